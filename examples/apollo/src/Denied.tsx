import { useApolloClient } from "@apollo/client/react";
import { useState } from "react";
import { graphql } from "./gql";
import { Problem } from "./Problem";

const anonymousQuery = graphql(`
  query Anonymous {
    me {
      id
    }
  }
`);

/** Denied sends a request without a token and shows its error, while the rest of the page keeps working. */
export function Denied() {
  const client = useApolloClient();
  const [error, setError] = useState<unknown>();

  async function sendAnonymously() {
    setError(undefined);
    await client
      .query({ query: anonymousQuery, fetchPolicy: "no-cache", context: { anonymous: true } })
      .catch(setError);
  }

  return (
    <section className="card" aria-labelledby="denied" data-testid="denied">
      <h2 id="denied">Without a token</h2>
      <p>
        Requests <code>me</code> without the token.
      </p>
      <button type="button" className="plain" onClick={() => void sendAnonymously()}>
        Ask without a token
      </button>
      {error !== undefined && <Problem error={error} />}
    </section>
  );
}
