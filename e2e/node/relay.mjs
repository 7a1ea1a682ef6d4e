// node relay.mjs URL USER PASSWORD signs in and out with Relay, and prints a line of JSON for each case. The output of
// relay-compiler is in relay/artifacts, and its command in relay/src/documents.js.
import { createHash } from 'node:crypto';
import relay from 'relay-runtime';
import login from './relay/artifacts/documentsLoginMutation.graphql.js';
import logout from './relay/artifacts/documentsLogoutMutation.graphql.js';
import me from './relay/artifacts/documentsMeQuery.graphql.js';
import refresh from './relay/artifacts/documentsRefreshMutation.graphql.js';
import { codes, describeTokens, mediaTypes, recordingFetch, run } from './record.mjs';

const { Environment, Network, RecordSource, Store, commitMutation, fetchQuery } = relay;
const [url, username, password] = process.argv.slice(2);
let token;
let fieldErrors; // of the last response, since Relay returns only null for such a field

async function send(body, accept = mediaTypes.toReversed().join()) {
  const response = await recordingFetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  return response.json();
}

function newEnvironment(sendOperation) {
  const network = Network.create(async ({ text }, variables) => {
    const response = await sendOperation(text, variables);
    fieldErrors = response.errors;
    return response;
  });
  return new Environment({ network, store: new Store(new RecordSource()) });
}

// In Relay, the network layer decides how persisted operations are identified. This is Apollo's protocol.
async function sendPersisted(query, variables) {
  const extensions = { persistedQuery: { version: 1, sha256Hash: createHash('sha256').update(query).digest('hex') } };
  const response = await send({ variables, extensions });
  const isUnknown = ['PERSISTED_QUERY_NOT_FOUND', 'PERSISTED_QUERY_NOT_SUPPORTED'].includes(codes(response.errors)[0]);
  return isUnknown ? send({ query, variables, extensions }) : response;
}

const graphQLErrors = (error) => error.source?.errors;
const defaultEnvironment = newEnvironment((query, variables) => send({ query, variables }));
const queryMe = (environment = defaultEnvironment) => fetchQuery(environment, me, {}, { fetchPolicy: 'network-only' }).toPromise();
const mutate = (mutation, variables, environment = defaultEnvironment) =>
  new Promise((onCompleted, onError) => {
    commitMutation(environment, {
      mutation,
      variables,
      onError,
      onCompleted: (data, errors) => (errors ? onError(Object.assign(new Error('field errors'), { source: { errors } })) : onCompleted(data)),
    });
  });

await run('me, anonymous', graphQLErrors, async () => ({ ...(await queryMe()), errors: codes(fieldErrors) }));
await run('login, wrong password', graphQLErrors, () => mutate(login, { username, password: 'wrong' }));
let tokens;
await run('login', graphQLErrors, async () => {
  tokens = (await mutate(login, { username, password })).login;
  token = tokens.accessToken;
  return describeTokens(tokens);
});
await run('me', graphQLErrors, async () => (await queryMe()).me.username === username);
for (const accept of mediaTypes) {
  const environment = newEnvironment((query, variables) => send({ query: query.replace('username', 'nickname'), variables }, accept));
  await run('invalid, ' + accept, graphQLErrors, () => queryMe(environment));
}
const persistedEnvironment = newEnvironment(sendPersisted);
for (const attempt of ['first', 'second']) {
  await run(`me, persisted, ${attempt}`, graphQLErrors, async () => (await queryMe(persistedEnvironment)).me.username === username);
}
await run('refresh, persisted', graphQLErrors, async () => {
  tokens = (await mutate(refresh, { token: tokens.refreshToken }, persistedEnvironment)).refresh;
  return describeTokens(tokens);
});
await run('refresh', graphQLErrors, async () => {
  tokens = (await mutate(refresh, { token: tokens.refreshToken })).refresh;
  return describeTokens(tokens);
});
await run('logout', graphQLErrors, () => mutate(logout, { token: tokens.refreshToken }));
await run('refresh, signed out', graphQLErrors, () => mutate(refresh, { token: tokens.refreshToken }));
