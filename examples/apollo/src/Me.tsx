import { useQuery } from "@apollo/client/react";
import { graphql } from "./gql";
import { Moment } from "./Moment";
import { Problem } from "./Problem";
import { Tags } from "./Tags";

const meQuery = graphql(`
  query Me {
    me {
      id
      username
      name
      email
      emailVerified
      realmRoles
      groups
      token {
        expiresAt
      }
    }
  }
`);

/** Me shows the signed-in user. */
export function Me() {
  const { data, error, loading, refetch } = useQuery(meQuery);
  const me = data?.me;
  return (
    <section className="card" aria-labelledby="me" data-testid="me">
      <h1 id="me" tabIndex={-1}>
        {me ? `Hello, ${me.name ?? me.username ?? "you"}` : "Hello"}
      </h1>
      {error && <Problem error={error} />}
      {me && (
        <dl>
          <dt>Username</dt>
          <dd data-testid="username">{me.username ?? "–"}</dd>
          <dt>E-mail</dt>
          <dd data-testid="email">
            {me.email ?? "–"}
            {me.email && me.emailVerified === false && <span className="quiet"> not verified</span>}
          </dd>
          <dt>Realm roles</dt>
          <dd data-testid="realm-roles">
            <Tags names={me.realmRoles} />
          </dd>
          <dt>Groups</dt>
          <dd data-testid="groups">
            <Tags names={me.groups} />
          </dd>
          <dt>Token expires</dt>
          <dd data-testid="expires-at">{me.token ? <Moment time={me.token.expiresAt} /> : "–"}</dd>
        </dl>
      )}
      <button type="button" className="plain" disabled={loading} onClick={() => void refetch().catch(() => undefined)}>
        {loading ? "Loading…" : "Reload"}
      </button>
    </section>
  );
}
