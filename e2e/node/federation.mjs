// node federation.mjs URL USER PASSWORD composes the server with a second subgraph, and sends operations through
// @apollo/gateway. It prints a line of JSON for each case.
import { composeServices } from '@apollo/composition';
import { ApolloGateway, LocalGraphQLDataSource, RemoteGraphQLDataSource } from '@apollo/gateway';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { parse } from 'graphql';

const [url, username, password] = process.argv.slice(2);
const send = async (query, token) => {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query }),
  });
  return (await response.json()).data;
};

const orders = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key"])
  type Query { orders: [Order!]! order(owner: ID!): Order! }
  type Order { number: Int! owner: User! }
  type User @key(fields: "id") { id: ID! orders: [Order!]! }
`);
const { token, id } = await (async () => {
  const { login } = await send(`mutation { login(username: "${username}", password: "${password}") { accessToken } }`);
  const { me } = await send('{ me { id } }', login.accessToken);
  return { token: login.accessToken, id: me.id };
})();
const order = (owner) => ({ number: 1, owner: { __typename: 'User', id: owner } });
const schema = buildSubgraphSchema({
  typeDefs: orders,
  resolvers: {
    Query: { orders: () => [order(id), order('somebody-else')], order: (_, { owner }) => order(owner) },
    User: { orders: ({ id }) => [order(id)] },
  },
});

const { _service } = await send('{ _service { sdl } }');
const services = [
  { name: 'cloakql', url, typeDefs: parse(_service.sdl) },
  { name: 'orders', url: 'http://orders.invalid', typeDefs: orders },
];
const { supergraphSdl, errors } = composeServices(services);
if (errors) throw new Error(errors.map(String).join('\n'));

const gateway = new ApolloGateway({
  supergraphSdl,
  buildService: ({ name, url }) =>
    name === 'orders'
      ? new LocalGraphQLDataSource(schema)
      : new (class extends RemoteGraphQLDataSource {
          willSendRequest({ request, context }) {
            if (context.token) request.http.headers.set('authorization', `Bearer ${context.token}`);
          }
        })({ url }),
});
const { executor } = await gateway.load();
const run = async (name, source, context) => {
  const { data, errors } = await executor({
    document: parse(source), request: { query: source }, queryHash: name, context, metrics: {}, cache: new Map(),
  });
  console.log(JSON.stringify({ name, data, errors: errors?.map(({ extensions: { code, reason } }) => ({ code, reason })) ?? null }));
};
await run('me, with orders of the other subgraph', '{ me { username orders { number } } }', { token });
await run('orders, with their owners', '{ orders { number owner { username } } }', { token });
await run('orders, without a token', '{ orders { number owner { username } } }', {});
await gateway.stop();
