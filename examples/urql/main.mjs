// CloakQL with urql: sign in, query, refresh when the token has expired, sign out. `connect` also runs in browsers.
//   npm ci --ignore-scripts && node main.mjs http://localhost:8000/graphql alice alice-password
import { fileURLToPath } from "node:url";
import { Client, fetchExchange, gql } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";

const loginMutation = gql`mutation Login($username: String!, $password: String!, $otp: String) {
  login(username: $username, password: $password, otp: $otp) { accessToken refreshToken }
}`;
const refreshMutation = gql`mutation Refresh($refreshToken: String!) {
  refresh(refreshToken: $refreshToken) { accessToken refreshToken }
}`;
const logoutMutation = gql`mutation Logout($refreshToken: String!) { logout(refreshToken: $refreshToken) }`;

// connect returns a session for one user. Call it again for another user, so that no operation is repeated as another user.
export function connect(url, send = fetch) {
  let tokens, sentAuthorization; // in memory, since every script of a page can read its storage
  const authorizationHeader = () => tokens && `Bearer ${tokens.accessToken}`;
  // Refreshes once for all operations that fail because the token has expired, and repeats each query once. Two tabs may
  // use the same refresh token at once: within REFRESH_GRACE, the server sends both the same response.
  const auth = authExchange(async ({ appendHeaders, mutate }) => ({
    addAuthToOperation: (operation) => (tokens ? appendHeaders(operation, { authorization: authorizationHeader() }) : operation),
    didAuthError({ graphQLErrors }, { context, kind }) {
      sentAuthorization = context.fetchOptions?.headers?.authorization; // called right before refreshAuth
      return kind === "query" && !!tokens && graphQLErrors.some(({ extensions }) => ["TOKEN_EXPIRED", "TOKEN_REVOKED"].includes(extensions.reason));
    },
    async refreshAuth() {
      if (sentAuthorization !== authorizationHeader()) return; // already refreshed since the operation was sent
      const { refreshToken } = tokens;
      const { data, error } = await mutate(refreshMutation, { refreshToken });
      if (tokens?.refreshToken !== refreshToken) return; // the user has signed out meanwhile
      // If Keycloak can't be reached, the user stays signed in.
      if (data || error.graphQLErrors[0]?.extensions.code === "INVALID_REFRESH_TOKEN") tokens = data?.refresh;
    },
  }));
  const client = new Client({ url, fetch: send, exchanges: [auth, fetchExchange], preferGetMethod: false });
  return {
    client,
    signIn: async (credentials) => void (tokens = unwrap(await client.mutation(loginMutation, credentials)).login),
    async signOut() {
      const refreshToken = tokens?.refreshToken;
      tokens = undefined; // the access token works until it expires, so forget it even if logout fails
      return refreshToken ? unwrap(await client.mutation(logoutMutation, { refreshToken })).logout : true;
    },
  };
}
function unwrap({ data, error }) {
  if (!error) return data;
  const { message, extensions } = error.graphQLErrors[0] ?? error;
  throw Object.assign(new Error(message, { cause: error.networkError?.cause }), extensions); // code, reason, retryAfter
}
async function main(url, username, password, otp) {
  if (!password) throw new Error("usage: node main.mjs URL USERNAME PASSWORD [ONE-TIME-CODE]");
  const api = connect(url);
  await api.signIn({ username, password, otp });
  const query = (_, n) => api.client.query(`query Me${n} { me { username realmRoles } }`, {}); // urql sends identical queries only once
  const results = await Promise.all(Array.from({ length: 10 }, query));
  for (const { data, error } of results) console.log(JSON.stringify({ me: data?.me, errors: error?.graphQLErrors }));
  console.log(JSON.stringify({ signedOut: await api.signOut() }));
}
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(...process.argv.slice(2)).catch(({ message, cause, code = cause?.code }) => {
    console.error(code ? `${message} (${code})` : message);
    process.exitCode = 1;
  });
}
