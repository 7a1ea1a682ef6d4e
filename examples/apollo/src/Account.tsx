import { useQuery } from "@apollo/client/react";
import { Fragment } from "react";
import { graphql } from "./gql";
import { Moment } from "./Moment";
import { Problem } from "./Problem";
import { Tags } from "./Tags";

const accountQuery = graphql(`
  query Account {
    me {
      id
      clientRoles {
        client
        roles
      }
      token {
        scope
        expiresAt
        session {
          id
        }
        claims
      }
    }
  }
`);

/** Account shows the contents of the user's token. Only signed-in users see this page. */
export function Account() {
  const { data, error, loading } = useQuery(accountQuery);
  const me = data?.me;
  return (
    <section className="card" aria-labelledby="account" data-testid="account">
      <h1 id="account" tabIndex={-1}>
        Account
      </h1>
      {loading && !me && <p role="status">Loading…</p>}
      {error && <Problem error={error} />}
      {me && (
        <>
          <dl>
            {me.clientRoles.map(({ client, roles }) => (
              <Fragment key={client}>
                <dt>Roles in {client}</dt>
                <dd>
                  <Tags names={roles} />
                </dd>
              </Fragment>
            ))}
            <dt>Scopes</dt>
            <dd>
              <Tags names={me.token?.scope ?? []} />
            </dd>
            <dt>Session</dt>
            <dd>{me.token?.session?.id ?? "–"}</dd>
            <dt>Token expires</dt>
            <dd>{me.token ? <Moment time={me.token.expiresAt} /> : "–"}</dd>
          </dl>
          <details>
            <summary>All claims of the token</summary>
            <pre tabIndex={0} role="region" aria-label="Claims">
              {JSON.stringify(me.token?.claims, null, 2)}
            </pre>
          </details>
        </>
      )}
    </section>
  );
}
