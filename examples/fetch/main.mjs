// CloakQL with fetch only: sign in, query, refresh when the token has expired, sign out. `connect` also runs in browsers.
//   node main.mjs http://localhost:8000/graphql alice alice-password
import { fileURLToPath } from "node:url";

const loginMutation = `mutation Login($username: String!, $password: String!, $otp: String) {
  login(username: $username, password: $password, otp: $otp) { accessToken refreshToken }
}`;
const refreshMutation = `mutation Refresh($refreshToken: String!) {
  refresh(refreshToken: $refreshToken) { accessToken refreshToken }
}`;
const logoutMutation = `mutation Logout($refreshToken: String!) { logout(refreshToken: $refreshToken) }`;

// connect returns a session for one user. Call it again for another user, so that no operation is repeated as another user.
export function connect(url, send = fetch) {
  let tokens; // in memory, since every script of a page can read its storage
  let refreshInFlight; // shared by all operations
  // Two tabs may use the same refresh token at once: within REFRESH_GRACE, the server sends both the same response.

  async function post(query, variables, accessToken) {
    const headers = { "content-type": "application/json", ...(accessToken && { authorization: `Bearer ${accessToken}` }) };
    const response = await send(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
    return response.json().catch(() => { throw new Error(`The response isn't GraphQL: HTTP status ${response.status}`); });
  }
  async function call(field, query, variables) { // login, refresh or logout, without an access token
    const { data, errors } = await post(query, variables);
    if (errors) throw Object.assign(new Error(errors[0].message), errors[0].extensions); // code, reason, retryAfter
    return data[field];
  }
  async function refresh({ refreshToken }) {
    try {
      const newTokens = await call("refresh", refreshMutation, { refreshToken });
      if (tokens?.refreshToken === refreshToken) tokens = newTokens; // otherwise the user has signed out meanwhile
    } catch (error) { // if Keycloak can't be reached, the user stays signed in
      if (error.code === "INVALID_REFRESH_TOKEN" && tokens?.refreshToken === refreshToken) tokens = undefined;
    }
  }
  return {
    signIn: async (credentials) => void (tokens = await call("login", loginMutation, credentials)),
    async query(query, variables) { // a mutation isn't repeated after a refresh, because it may have run in part
      const sentToken = tokens?.accessToken;
      const result = await post(query, variables, sentToken);
      if (!sentToken || !result.errors?.some((error) => ["TOKEN_EXPIRED", "TOKEN_REVOKED"].includes(error.extensions?.reason))) return result;
      if (tokens?.accessToken === sentToken) await (refreshInFlight ??= refresh(tokens).finally(() => (refreshInFlight = undefined)));
      return tokens && tokens.accessToken !== sentToken && !/^\s*mutation\b/m.test(query) ? post(query, variables, tokens.accessToken) : result;
    },
    async signOut() {
      const refreshToken = tokens?.refreshToken;
      tokens = undefined; // the access token works until it expires, so forget it even if logout fails
      return refreshToken ? call("logout", logoutMutation, { refreshToken }) : true;
    },
  };
}
async function main(url, username, password, otp) {
  if (!password) throw new Error("usage: node main.mjs URL USERNAME PASSWORD [ONE-TIME-CODE]");
  const api = connect(url);
  await api.signIn({ username, password, otp });
  const results = await Promise.all(Array.from({ length: 10 }, () => api.query("{ me { username realmRoles } }")));
  for (const { data, errors } of results) console.log(JSON.stringify({ me: data?.me, errors }));
  console.log(JSON.stringify({ signedOut: await api.signOut() }));
}
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(...process.argv.slice(2)).catch(({ message, cause, code = cause?.code }) => {
    console.error(code ? `${message} (${code})` : message);
    process.exitCode = 1;
  });
}
