import { ApolloClient, ApolloLink, InMemoryCache, Observable, gql, type DocumentNode } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { RetryLink } from "@apollo/client/link/retry";
import assert from "node:assert/strict";
import test from "node:test";
import { RefreshLink, type TokenSource } from "@cloakql/client/apollo";

type Response = { data?: Record<string, unknown> | null; errors?: { message: string; path?: string[] }[] };

const expiredError = (...path: string[]) => ({
  message: "Token has expired",
  ...(path.length > 0 && { path }),
  extensions: { code: "UNAUTHENTICATED", reason: "TOKEN_EXPIRED" },
});
const meQuery = gql`{ me { id } }`;
const deniedResponse: Response = { data: { me: null }, errors: [expiredError("me")] };

/** Returns a client of a server that responds with `respond`, and the authorization headers that the server received. */
function connect(tokens: TokenSource, respond: (authorization: string | undefined, n: number) => Response | Error, linksAbove: ApolloLink[] = []) {
  const sentHeaders: (string | undefined)[] = [];
  const server = new ApolloLink((operation) => {
    const { authorization } = (operation.getContext().headers ?? {}) as Record<string, string>;
    sentHeaders.push(authorization);
    const response = respond(authorization, sentHeaders.length);
    return new Observable((observer) => {
      const timer = setTimeout(() => {
        if (response instanceof Error) return observer.error(response);
        observer.next(response as ApolloLink.Result);
        observer.complete();
      }, Math.random() * 10);
      return () => clearTimeout(timer);
    });
  });
  const client = new ApolloClient({ link: ApolloLink.from([...linksAbove, new RefreshLink(tokens), server]), cache: new InMemoryCache() });
  const query = (context = {}) => client.query({ query: meQuery, fetchPolicy: "no-cache", context: { queryDeduplication: false, ...context } });
  return { client, query, sentHeaders };
}

/** Returns a source whose token is "old", and the result of `refreshResult` after a refresh. */
function fakeTokenSource(refreshResult: () => string | undefined = () => "new") {
  let currentToken = "old";
  let inFlight: Promise<string | undefined> | undefined;
  const source = {
    refreshes: 0,
    accessToken: async () => currentToken,
    refresh(staleToken: string): Promise<string | undefined> {
      if (staleToken !== currentToken) return Promise.resolve(currentToken);
      return (inFlight ??= (async () => {
        source.refreshes++;
        await new Promise((resolve) => setTimeout(resolve, 20));
        const next = refreshResult();
        if (next) currentToken = next;
        return next;
      })().finally(() => (inFlight = undefined)));
    },
  };
  return source;
}

const newTokenWorks = (authorization: string | undefined): Response => (authorization === "Bearer new" ? { data: { me: { id: "1" } } } : deniedResponse);

test("ten operations that fail together share one refresh, and are repeated once", async () => {
  const source = fakeTokenSource();
  const { query, sentHeaders } = connect(source, newTokenWorks);
  const results = await Promise.all(Array.from({ length: 10 }, () => query()));
  assert.deepEqual(results.map(({ data }) => (data as { me: { id: string } }).me.id), Array(10).fill("1"));
  assert.deepEqual([source.refreshes, sentHeaders.length], [1, 20]);
});

test("a revoked token is refreshed too, and without a new token the operation fails", async () => {
  const revokedError = { message: "Your session has ended", path: ["me"], extensions: { code: "UNAUTHENTICATED", reason: "TOKEN_REVOKED" } };
  const revokedResponse: Response = { data: { me: null }, errors: [revokedError] };
  for (const newToken of ["new", undefined]) {
    const source = fakeTokenSource(() => newToken);
    const { query, sentHeaders } = connect(source, (authorization) => (authorization === "Bearer new" ? { data: { me: { id: "1" } } } : revokedResponse));
    if (newToken) assert.equal(((await query()).data as { me: { id: string } }).me.id, "1");
    else await assert.rejects(query(), /Your session has ended/);
    assert.deepEqual([source.refreshes, sentHeaders.length], [1, newToken ? 2 : 1]);
  }
});

test("an operation is repeated only once", async () => {
  const { query, sentHeaders } = connect(fakeTokenSource(), () => deniedResponse);
  await assert.rejects(query(), /Token has expired/);
  assert.deepEqual(sentHeaders, ["Bearer old", "Bearer new"]);
});

test("a response that a link below throws as an error is handled too", async () => {
  const thrownError = new CombinedGraphQLErrors({ data: null, errors: [expiredError("me")] });
  const { query, sentHeaders } = connect(fakeTokenSource(), (authorization) => (authorization === "Bearer new" ? { data: { me: { id: "1" } } } : thrownError));
  await query();
  assert.equal(sentHeaders.length, 2);
});

for (const [name, refreshResult] of [
  ["the session has ended", () => undefined],
  ["Keycloak is down", () => { throw new Error("down"); }],
] as const) {
  test(`${name}: the caller gets the server's error`, async () => {
    const { query, sentHeaders } = connect(fakeTokenSource(refreshResult), newTokenWorks);
    await assert.rejects(query(), /Token has expired/);
    assert.deepEqual(sentHeaders, ["Bearer old"]);
  });
}

test("no token is added to an anonymous operation, to one with its own header, or without a session", async () => {
  const respond = () => ({ data: { me: { id: "1" } } });
  const { query, sentHeaders } = connect(fakeTokenSource(), respond);
  await query({ anonymous: true });
  await query({ headers: { Authorization: "Basic x" } });
  assert.deepEqual(sentHeaders, [undefined, undefined]);
  const signedOutClient = connect({ accessToken: async () => undefined, refresh: () => assert.fail() }, respond);
  await signedOutClient.query();
  assert.deepEqual(signedOutClient.sentHeaders, [undefined]);
});

const [oneField, twoFields, aliasedField, fragmentSpread] = [gql`mutation { a }`, gql`mutation { a b }`, gql`mutation { x: a }`, gql`mutation { ...F } fragment F on Mutation { a }`];
const mutations: [name: string, document: DocumentNode, response: Response, wantRequests: number][] = [
  ["its field was refused", oneField, { data: { a: null }, errors: [expiredError("a")] }, 2],
  ["its field was refused, and the data is null", oneField, { data: null, errors: [expiredError("a")] }, 2],
  ["the request was refused", oneField, { errors: [expiredError()] }, 2],
  ["under an alias", aliasedField, { data: { x: null }, errors: [expiredError("x")] }, 2],
  ["both fields were refused", twoFields, { data: { a: null, b: null }, errors: [expiredError("a"), expiredError("b")] }, 2],
  ["one field ran", twoFields, { data: { a: 1, b: null }, errors: [expiredError("b")] }, 1],
  ["one field ran and returned null", twoFields, { data: { a: null, b: null }, errors: [expiredError("b")] }, 1],
  ["one field ran, and the data is null", twoFields, { data: null, errors: [expiredError("b")] }, 1],
  ["a nested field was refused", oneField, { data: { a: null }, errors: [expiredError("a", "secret")] }, 1],
  ["a fragment hides what ran", fragmentSpread, { data: { a: null }, errors: [expiredError("a")] }, 1],
];
for (const [name, mutation, response, wantRequests] of mutations) {
  test(`a mutation: ${name}`, async () => {
    const { client, sentHeaders } = connect(fakeTokenSource(), (authorization) => (authorization === "Bearer new" ? { data: { a: 1, b: 1, x: 1 } } : response));
    await client.mutate({ mutation, errorPolicy: "all" });
    assert.equal(sentHeaders.length, wantRequests);
  });
}

test("a subscription isn't started twice", async () => {
  const { client, sentHeaders } = connect(fakeTokenSource(), () => deniedResponse);
  const events = client.subscribe({ query: gql`subscription { me { id } }`, errorPolicy: "all" });
  await new Promise<void>((resolve) => events.subscribe({ complete: resolve, error: () => resolve() }));
  assert.deepEqual(sentHeaders, ["Bearer old"]);
});

test("an operation isn't repeated after its caller has unsubscribed", async () => {
  const source = fakeTokenSource();
  const { client, sentHeaders } = connect(source, () => deniedResponse);
  const subscription = client.watchQuery({ query: meQuery, fetchPolicy: "no-cache" }).subscribe({});
  while (source.refreshes === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  subscription.unsubscribe();
  assert.equal(await source.refresh("old"), "new"); // the refresh in flight
  await new Promise((resolve) => setImmediate(resolve)); // time for its callbacks
  assert.deepEqual(sentHeaders, ["Bearer old"]);
});

test("a retry by a link above gets the newest token", async () => {
  const retry = new RetryLink({ delay: { initial: 1 } });
  const { query, sentHeaders } = connect(fakeTokenSource(), (authorization, n) => (n === 1 ? new TypeError("blip") : newTokenWorks(authorization)), [retry]);
  await query();
  assert.deepEqual(sentHeaders, ["Bearer old", "Bearer old", "Bearer new"]);
});
