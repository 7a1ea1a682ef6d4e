// node graphql-request.mjs URL USER PASSWORD signs in and out with graphql-request, and prints a line of JSON for each case.
import { GraphQLClient } from 'graphql-request';
import { describeTokens, documents, mediaTypes, recordingFetch, run } from './record.mjs';

const [url, username, password] = process.argv.slice(2);
let token;

function newClient({ headers, ...options } = {}) {
  return new GraphQLClient(url, {
    fetch: recordingFetch,
    headers: () => ({ ...headers, ...(token && { authorization: `Bearer ${token}` }) }),
    ...options,
  });
}

const graphQLErrors = (error) => error.response?.errors;
const client = newClient();

await run('me, anonymous', graphQLErrors, () => client.request(documents.me));
await run('login, wrong password', graphQLErrors, () => client.request(documents.login, { u: username, p: 'wrong' }));
let tokens;
await run('login', graphQLErrors, async () => {
  tokens = (await client.request(documents.login, { u: username, p: password })).login;
  token = tokens.accessToken;
  return describeTokens(tokens);
});
await run('me', graphQLErrors, async () => (await client.request(documents.me)).me.username === username);
for (const accept of mediaTypes) {
  await run('invalid, ' + accept, graphQLErrors, () => newClient({ headers: { accept } }).request(documents.invalid));
}
const getClient = newClient({ method: 'GET' });
await run('me, GET', graphQLErrors, async () => (await getClient.request(documents.me)).me.username === username);
await run('batch', graphQLErrors, () => client.batchRequests([{ document: documents.me }, { document: documents.me }]));
await run('refresh', graphQLErrors, async () => {
  tokens = (await client.request(documents.refresh, { r: tokens.refreshToken })).refresh;
  return describeTokens(tokens);
});
await run('logout', graphQLErrors, () => client.request(documents.logout, { r: tokens.refreshToken }));
await run('refresh, signed out', graphQLErrors, () => client.request(documents.refresh, { r: tokens.refreshToken }));
