// node urql.mjs URL USER PASSWORD signs in and out with urql, and prints a line of JSON for each case.
import { createClient, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { documents, mediaTypes, recordingFetch, run, signedIn } from './record.mjs';

const [url, u, p] = process.argv.slice(2);
let token;

function client({ exchanges = [], headers, ...options } = {}) {
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

const failed = (error) => error.graphQLErrors;
const at = client();
const query = async (text, from = at) => unwrap(await from.query(text, {}).toPromise());
const mutate = async (text, variables, from = at) => unwrap(await from.mutation(text, variables).toPromise());

await run('me, anonymous', failed, () => query(documents.me));
await run('login, wrong password', failed, () => mutate(documents.login, { u, p: 'wrong' }));
let tokens;
await run('login', failed, async () => {
  tokens = (await mutate(documents.login, { u, p })).login;
  token = tokens.accessToken;
  return signedIn(tokens);
});
await run('me', failed, async () => (await query(documents.me)).me.username === u);
for (const accept of mediaTypes) {
  await run('invalid, ' + accept, failed, () => query(documents.invalid, client({ headers: { accept } })));
}
await run('me, GET', failed, async () => (await query(documents.me, client({ preferGetMethod: 'force' }))).me.username === u);

const persisting = client({
  preferGetMethod: 'within-url-limit',
  exchanges: [persistedExchange({ preferGetForPersistedQueries: true, enableForMutation: true })],
});
for (const time of ['first', 'second']) {
  await run(`me, persisted, ${time}`, failed, async () => (await query(documents.me, persisting)).me.username === u);
}
await run('refresh, persisted', failed, async () => {
  tokens = (await mutate(documents.refresh, { r: tokens.refreshToken }, persisting)).refresh;
  return signedIn(tokens);
});
await run('refresh', failed, async () => {
  tokens = (await mutate(documents.refresh, { r: tokens.refreshToken })).refresh;
  return signedIn(tokens);
});
await run('logout', failed, () => mutate(documents.logout, { r: tokens.refreshToken }));
await run('refresh, signed out', failed, () => mutate(documents.refresh, { r: tokens.refreshToken }));
