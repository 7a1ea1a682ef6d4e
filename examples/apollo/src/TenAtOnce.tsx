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
  const [busy, setBusy] = useState(false);
  const [outcome, setOutcome] = useState<{ answered: number; as: string; problem?: unknown }>();

  async function run() {
    setBusy(true);
    const query = () =>
      client.query({
        query: whoQuery,
        fetchPolicy: "no-cache",
        context: { queryDeduplication: false }, // otherwise Apollo sends identical queries only once
      });
    const results = await Promise.allSettled(Array.from({ length: 10 }, query));
    const names = results.flatMap((result) => (result.status === "fulfilled" ? [result.value.data?.me?.username ?? "?"] : []));
    const failed = results.find((result) => result.status === "rejected");
    setOutcome({ answered: names.length, as: [...new Set(names)].join(", "), problem: failed?.reason });
    setBusy(false);
  }

  return (
    <section className="card" aria-labelledby="ten">
      <h2 id="ten">Ten at once</h2>
      <p>Sends ten operations at the same time. If the token has expired, they share one refresh.</p>
      <button type="button" className="plain" disabled={busy} onClick={() => void run()}>
        Run ten operations at once
      </button>
      <p role="status" data-testid="ten">
        {outcome && !busy && `${outcome.answered} of 10 answered${outcome.as && ` for ${outcome.as}`}.`}
      </p>
      {outcome?.problem !== undefined && !busy && <Problem error={outcome.problem} />}
    </section>
  );
}
