// node trusted.mjs manifest prints a manifest of the operations in the format of
// @apollo/generate-persisted-query-manifest: as Apollo Client's cache transforms them, and identified by their SHA-256.
//
// node trusted.mjs URL USER PASSWORD sends these and other operations to a server with this manifest, and prints a line
// of JSON for each case.
import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { getMainDefinition, print } from '@apollo/client/utilities';
import { describeTokens, documents, recordingFetch, run } from './record.mjs';

const [uri, username, password] = process.argv.slice(2);
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const cache = new InMemoryCache();

if (uri === 'manifest') {
  const operations = [documents.me, documents.login].map((text) => {
    const document = cache.transformDocument(gql(text));
    const { name, operation: type } = getMainDefinition(document);
    const body = print(document);
    return { id: sha256(body), name: name.value, type, body };
  });
  console.log(JSON.stringify({ format: 'apollo-persisted-query-manifest', version: 1, operations }));
  process.exit();
}

let token;
const newClient = (...links) =>
  new ApolloClient({
    cache,
    link: ApolloLink.from([
      ...links,
      new HttpLink({ uri, fetch: recordingFetch, headers: token && { authorization: `Bearer ${token}` } }),
    ]),
    defaultOptions: { query: { fetchPolicy: 'no-cache' }, mutate: { fetchPolicy: 'no-cache' } },
  });
const newPersistedClient = () => newClient(new PersistedQueryLink({ sha256, useGETForHashedQueries: true }));
const graphQLErrors = (error) => CombinedGraphQLErrors.is(error) && error.errors;
const isUser = ({ data }) => data.me.username === username;

await run('login, by ID', graphQLErrors, async () => {
  const { data } = await newPersistedClient().mutate({ mutation: gql(documents.login), variables: { u: username, p: password } });
  token = data.login.accessToken;
  return describeTokens(data.login);
});
await run('me, by ID', graphQLErrors, async () => isUser(await newPersistedClient().query({ query: gql(documents.me) })));
await run('me, by text', graphQLErrors, async () => isUser(await newClient().query({ query: gql(documents.me) })));
await run('other ID', graphQLErrors, () => newPersistedClient().query({ query: gql('query Me { me { id email } }') }));
await run('other text', graphQLErrors, () => newClient().query({ query: gql('query Me { me { id email } }') }));
