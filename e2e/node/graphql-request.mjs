// node graphql-request.mjs URL USER PASSWORD signs in and out with graphql-request, and prints a line of JSON for each case.
import { GraphQLClient } from 'graphql-request';
import { documents, mediaTypes, recordingFetch, run, signedIn } from './record.mjs';

const [url, u, p] = process.argv.slice(2);
let token;

function client({ headers, ...options } = {}) {
  return new GraphQLClient(url, {
    fetch: recordingFetch,
    headers: () => ({ ...headers, ...(token && { authorization: `Bearer ${token}` }) }),
    ...options,
  });
}

const failed = (error) => error.response?.errors;
const at = client();

await run('me, anonymous', failed, () => at.request(documents.me));
await run('login, wrong password', failed, () => at.request(documents.login, { u, p: 'wrong' }));
let tokens;
await run('login', failed, async () => {
  tokens = (await at.request(documents.login, { u, p })).login;
  token = tokens.accessToken;
  return signedIn(tokens);
});
await run('me', failed, async () => (await at.request(documents.me)).me.username === u);
for (const accept of mediaTypes) {
  await run('invalid, ' + accept, failed, () => client({ headers: { accept } }).request(documents.invalid));
}
const get = client({ method: 'GET' });
await run('me, GET', failed, async () => (await get.request(documents.me)).me.username === u);
await run('batch', failed, () => at.batchRequests([{ document: documents.me }, { document: documents.me }]));
await run('refresh', failed, async () => {
  tokens = (await at.request(documents.refresh, { r: tokens.refreshToken })).refresh;
  return signedIn(tokens);
});
await run('logout', failed, () => at.request(documents.logout, { r: tokens.refreshToken }));
await run('refresh, signed out', failed, () => at.request(documents.refresh, { r: tokens.refreshToken }));
