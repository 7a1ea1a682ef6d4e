import { useApolloClient } from "@apollo/client/react";
import { useState } from "react";
import { graphql } from "./gql";
import { Problem } from "./Problem";

const strangerQuery = graphql(`
  query Stranger {
    me {
      id
    }
  }
`);

/** What somebody without a token gets to see: an error at its place, and the page goes on. */
export function Denied() {
  const client = useApolloClient();
  const [denied, setDenied] = useState<unknown>();

  async function ask() {
    setDenied(undefined);
    await client
      .query({ query: strangerQuery, fetchPolicy: "no-cache", context: { anonymous: true } })
      .catch(setDenied);
  }

  return (
    <section className="card" aria-labelledby="denied" data-testid="denied">
      <h2 id="denied">Without a token</h2>
      <p>
        Asks for <code>me</code> and leaves the token out, as a stranger would.
      </p>
      <button type="button" className="plain" onClick={() => void ask()}>
        Ask without a token
      </button>
      {denied !== undefined && <Problem error={denied} />}
    </section>
  );
}
