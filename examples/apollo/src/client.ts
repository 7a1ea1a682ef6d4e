import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { graphqlURL } from "./graphqlURL";
import { RefreshLink } from "./refreshLink";
import { Session, type State } from "./session";

export const session = new Session({ url: graphqlURL });

/** The session that a state is of, or null for nobody's. It stays the same while tokens are refreshed. */
export const sessionID = (state: State): string | null => (state.status === "signedIn" ? state.held.id : null);

let client = newClient();
let owner = sessionID(session.state());

// Each session has a client of its own, in this tab and wherever the sign-in or sign-out happened. Clearing the cache
// of one client would be too little: a mutation that is under way writes its answer into the cache later.
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
