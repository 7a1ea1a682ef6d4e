import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { Session, type SessionState } from "@cloakql/client";
import { RefreshLink } from "@cloakql/client/apollo";
import { graphqlURL } from "./graphqlURL";

export const session = new Session({ url: graphqlURL });

/** Returns the ID of the session, or null where nobody is signed in. It stays the same while tokens are refreshed. */
export const sessionID = (state: SessionState): string | null => (state.status === "signedIn" ? state.tokens.sessionID : null);

let client = newClient();
let owner = sessionID(session.state());

// Each session gets a client of its own, whichever tab signs in or out. Clearing the cache of one client would not be
// enough: a mutation in flight writes its answer into the cache later.
session.subscribe(() => {
  const now = sessionID(session.state());
  if (now === owner) return;
  owner = now;
  const last = client;
  client = newClient();
  last.stop();
  void last.clearStore();
});

export const currentClient = (): ApolloClient => client;

function newClient(): ApolloClient {
  return new ApolloClient({
    link: ApolloLink.from([new RefreshLink(session), new HttpLink({ uri: graphqlURL })]),
    cache: new InMemoryCache(),
  });
}
