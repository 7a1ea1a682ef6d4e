// node apollo.mjs URL USER PASSWORD signs in and out with Apollo Client, and prints a line of JSON for each case.
import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { ErrorLink } from '@apollo/client/link/error';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { codes, documents, mediaTypes, recordingFetch, run, signedIn } from './record.mjs';

const [uri, u, p] = process.argv.slice(2);
let token;
let seen; // the error that the error link got in the current case

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

function client(options = {}, persisted) {
  const links = [
    new ErrorLink(({ error }) => {
      seen = error;
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

const failed = (error) => {
  if (!CombinedGraphQLErrors.is(error)) {
    return undefined;
  }
  if (String(codes(seen?.errors)) !== String(codes(error.errors))) {
    throw new Error(`the error link got ${seen}`);
  }
  return error.errors;
};
const at = client();
const query = async (text, from = at) => (await from.query({ query: gql(text) })).data;
const mutate = async (text, variables, from = at) => (await from.mutate({ mutation: gql(text), variables })).data;

await run('me, anonymous', failed, () => query(documents.me));
await run('login, wrong password', failed, () => mutate(documents.login, { u, p: 'wrong' }));
let tokens;
await run('login', failed, async () => {
  tokens = (await mutate(documents.login, { u, p })).login;
  token = tokens.accessToken;
  return signedIn(tokens);
});
await run('me', failed, async () => (await query(documents.me)).me.username === u);
const described = `"Who is signed in" query Described("whether to ask" $ask: Boolean = true) { ...Named }
  "by name" fragment Named on Query { me @include(if: $ask) { username } }`;
await run('me, with descriptions', failed, async () => (await query(described)).me.username === u);
for (const accept of mediaTypes) {
  await run('invalid, ' + accept, failed, () => query(documents.invalid, client({ headers: { accept } })));
}
await run('me, GET', failed, async () => (await query(documents.me, client({ useGETForQueries: true }))).me.username === u);

const persisting = client({}, { useGETForHashedQueries: true });
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
