import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { Session, type SessionState } from "@cloakql/client";
import { RefreshLink } from "@cloakql/client/apollo";
import { graphqlURL } from "./graphqlURL";

export const session = new Session({ url: graphqlURL });

/** Returns the ID of the session, or null if no user is signed in. It stays the same when tokens are refreshed. */
export const sessionID = (state: SessionState): string | null => (state.status === "signedIn" ? state.tokens.sessionID : null);

let client = newClient();
let clientSessionID = sessionID(session.state());

// Each session gets its own client, even if another tab signs in or out. Clearing the cache of a single client would not
// be enough: a mutation in flight could write its result into the cleared cache.
session.subscribe(() => {
  const newSessionID = sessionID(session.state());
  if (newSessionID === clientSessionID) return;
  clientSessionID = newSessionID;
  const oldClient = client;
  client = newClient();
  oldClient.stop();
  void oldClient.clearStore();
});

export const currentClient = (): ApolloClient => client;

function newClient(): ApolloClient {
  return new ApolloClient({
    link: ApolloLink.from([new RefreshLink(session), new HttpLink({ uri: graphqlURL })]),
    cache: new InMemoryCache(),
  });
}
