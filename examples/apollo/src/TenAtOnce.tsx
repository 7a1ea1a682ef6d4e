import { useApolloClient } from "@apollo/client/react";
import { useState } from "react";
import { graphql } from "./gql";
import { Problem } from "./Problem";

const whoQuery = graphql(`
  query Who {
    me {
      id
      username
    }
  }
`);

/** TenAtOnce sends ten operations in ten concurrent requests. If the token has expired, they share one refresh. */
export function TenAtOnce() {
  const client = useApolloClient();
  const [isRunning, setIsRunning] = useState(false);
  const [outcome, setOutcome] = useState<{ successCount: number; users: string; error?: unknown }>();

  async function run() {
    setIsRunning(true);
    const query = () =>
      client.query({
        query: whoQuery,
        fetchPolicy: "no-cache",
        context: { queryDeduplication: false }, // otherwise Apollo sends identical queries only once
      });
    const results = await Promise.allSettled(Array.from({ length: 10 }, query));
    const names = results.flatMap((result) => (result.status === "fulfilled" ? [result.value.data?.me?.username ?? "?"] : []));
    const failedResult = results.find((result) => result.status === "rejected");
    setOutcome({ successCount: names.length, users: [...new Set(names)].join(", "), error: failedResult?.reason });
    setIsRunning(false);
  }

  return (
    <section className="card" aria-labelledby="ten">
      <h2 id="ten">Ten at once</h2>
      <p>Sends ten operations at the same time. If the token has expired, they share one refresh.</p>
      <button type="button" className="plain" disabled={isRunning} onClick={() => void run()}>
        Run ten operations at once
      </button>
      <p role="status" data-testid="ten">
        {outcome && !isRunning && `${outcome.successCount} of 10 answered${outcome.users && ` for ${outcome.users}`}.`}
      </p>
      {outcome?.error !== undefined && !isRunning && <Problem error={outcome.error} />}
    </section>
  );
}
