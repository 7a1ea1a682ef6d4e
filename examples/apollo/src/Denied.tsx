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

/** What a request without a token gets: an error, shown in its place while the rest of the page works. */
export function Denied() {
  const client = useApolloClient();
  const [denied, setDenied] = useState<unknown>();

  async function ask() {
    setDenied(undefined);
    await client
      .query({ query: anonymousQuery, fetchPolicy: "no-cache", context: { anonymous: true } })
      .catch(setDenied);
  }

  return (
    <section className="card" aria-labelledby="denied" data-testid="denied">
      <h2 id="denied">Without a token</h2>
      <p>
        Requests <code>me</code> without the token.
      </p>
      <button type="button" className="plain" onClick={() => void ask()}>
        Ask without a token
      </button>
      {denied !== undefined && <Problem error={denied} />}
    </section>
  );
}
