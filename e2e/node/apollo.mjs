// node apollo.mjs URL USER PASSWORD signs in and out with Apollo Client, and prints a line of JSON for each case.
import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { ErrorLink } from '@apollo/client/link/error';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { codes, describeTokens, documents, mediaTypes, recordingFetch, run } from './record.mjs';

const [uri, username, password] = process.argv.slice(2);
let token;
let linkError; // the error that the error link got in the current case

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

function newClient(options = {}, persisted) {
  const links = [
    new ErrorLink(({ error }) => {
      linkError = error;
    }),
    new ApolloLink((operation, forward) => {
      operation.setContext(({ headers }) => ({ headers: { ...headers, ...(token && { authorization: `Bearer ${token}` }) } }));
      return forward(operation);
    }),
    ...(persisted ? [new PersistedQueryLink({ sha256, ...persisted })] : []),
    new HttpLink({ uri, fetch: recordingFetch, ...options }),
  ];
  return new ApolloClient({
    link: ApolloLink.from(links),
    cache: new InMemoryCache(),
    defaultOptions: { query: { fetchPolicy: 'no-cache' }, mutate: { fetchPolicy: 'no-cache' } },
  });
}

const graphQLErrors = (error) => {
  if (!CombinedGraphQLErrors.is(error)) {
    return undefined;
  }
  if (String(codes(linkError?.errors)) !== String(codes(error.errors))) {
    throw new Error(`the error link got ${linkError}`);
  }
  return error.errors;
};
const defaultClient = newClient();
const query = async (text, client = defaultClient) => (await client.query({ query: gql(text) })).data;
const mutate = async (text, variables, client = defaultClient) => (await client.mutate({ mutation: gql(text), variables })).data;

await run('me, anonymous', graphQLErrors, () => query(documents.me));
await run('login, wrong password', graphQLErrors, () => mutate(documents.login, { u: username, p: 'wrong' }));
let tokens;
await run('login', graphQLErrors, async () => {
  tokens = (await mutate(documents.login, { u: username, p: password })).login;
  token = tokens.accessToken;
  return describeTokens(tokens);
});
await run('me', graphQLErrors, async () => (await query(documents.me)).me.username === username);
const document = `"Who is signed in" query Described("whether to ask" $ask: Boolean = true) { ...Named }
  "by name" fragment Named on Query { me @include(if: $ask) { username } }`;
await run('me, with descriptions', graphQLErrors, async () => (await query(document)).me.username === username);
for (const accept of mediaTypes) {
  await run('invalid, ' + accept, graphQLErrors, () => query(documents.invalid, newClient({ headers: { accept } })));
}
await run('me, GET', graphQLErrors, async () => (await query(documents.me, newClient({ useGETForQueries: true }))).me.username === username);

const persistedClient = newClient({}, { useGETForHashedQueries: true });
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
