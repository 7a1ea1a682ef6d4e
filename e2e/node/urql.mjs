// node urql.mjs URL USER PASSWORD signs in and out with urql, and prints a line of JSON for each case.
import { createClient, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { describeTokens, documents, mediaTypes, recordingFetch, run } from './record.mjs';

const [url, username, password] = process.argv.slice(2);
let token;

function newClient({ exchanges = [], headers, ...options } = {}) {
  return createClient({
    url,
    fetch: recordingFetch,
    exchanges: [...exchanges, fetchExchange],
    preferGetMethod: false,
    fetchOptions: () => ({ headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) } }),
    ...options,
  });
}

// urql returns errors along with the data; the other clients throw them.
function unwrap({ data, error }) {
  if (error) {
    throw error;
  }
  return data;
}

const graphQLErrors = (error) => error.graphQLErrors;
const defaultClient = newClient();
const query = async (text, client = defaultClient) => unwrap(await client.query(text, {}).toPromise());
const mutate = async (text, variables, client = defaultClient) => unwrap(await client.mutation(text, variables).toPromise());

await run('me, anonymous', graphQLErrors, () => query(documents.me));
await run('login, wrong password', graphQLErrors, () => mutate(documents.login, { u: username, p: 'wrong' }));
let tokens;
await run('login', graphQLErrors, async () => {
  tokens = (await mutate(documents.login, { u: username, p: password })).login;
  token = tokens.accessToken;
  return describeTokens(tokens);
});
await run('me', graphQLErrors, async () => (await query(documents.me)).me.username === username);
for (const accept of mediaTypes) {
  await run('invalid, ' + accept, graphQLErrors, () => query(documents.invalid, newClient({ headers: { accept } })));
}
await run('me, GET', graphQLErrors, async () => (await query(documents.me, newClient({ preferGetMethod: 'force' }))).me.username === username);

const persistedClient = newClient({
  preferGetMethod: 'within-url-limit',
  exchanges: [persistedExchange({ preferGetForPersistedQueries: true, enableForMutation: true })],
});
for (const attempt of ['first', 'second']) {
  await run(`me, persisted, ${attempt}`, graphQLErrors, async () => (await query(documents.me, persistedClient)).me.username === username);
}
await run('refresh, persisted', graphQLErrors, async () => {
  tokens = (await mutate(documents.refresh, { r: tokens.refreshToken }, persistedClient)).refresh;
  return describeTokens(tokens);
});
await run('refresh', graphQLErrors, async () => {
  tokens = (await mutate(documents.refresh, { r: tokens.refreshToken })).refresh;
  return describeTokens(tokens);
});
await run('logout', graphQLErrors, () => mutate(documents.logout, { r: tokens.refreshToken }));
await run('refresh, signed out', graphQLErrors, () => mutate(documents.refresh, { r: tokens.refreshToken }));
