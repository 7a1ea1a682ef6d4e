import { ApolloClient, ApolloLink, InMemoryCache, Observable, gql, type DocumentNode } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { RetryLink } from "@apollo/client/link/retry";
import assert from "node:assert/strict";
import test from "node:test";
import { RefreshLink, type Tokens } from "../src/refreshLink";

type Answer = { data?: Record<string, unknown> | null; errors?: { message: string; path?: string[] }[] };

const expired = (...path: string[]) => ({
  message: "Token has expired",
  ...(path.length > 0 && { path }),
  extensions: { code: "UNAUTHENTICATED", reason: "TOKEN_EXPIRED" },
});
const me = gql`{ me { id } }`;
const denied: Answer = { data: { me: null }, errors: [expired("me")] };

/** A client whose server answers as it is told, and what authorization it was sent. */
function connect(tokens: Tokens, answer: (authorization: string | undefined, n: number) => Answer | Error, above: ApolloLink[] = []) {
  const sent: (string | undefined)[] = [];
  const server = new ApolloLink((operation) => {
    const { authorization } = (operation.getContext().headers ?? {}) as Record<string, string>;
    sent.push(authorization);
    const given = answer(authorization, sent.length);
    return new Observable((observer) => {
      const timer = setTimeout(() => {
        if (given instanceof Error) return observer.error(given);
        observer.next(given as ApolloLink.Result);
        observer.complete();
      }, Math.random() * 10);
      return () => clearTimeout(timer);
    });
  });
  const client = new ApolloClient({ link: ApolloLink.from([...above, new RefreshLink(tokens), server]), cache: new InMemoryCache() });
  const query = (context = {}) => client.query({ query: me, fetchPolicy: "no-cache", context: { queryDeduplication: false, ...context } });
  return { client, query, sent };
}

/** Tokens that are "old", and after one exchange what `fresh` gives. */
function tokens(fresh: () => string | undefined = () => "new") {
  let now = "old";
  let flight: Promise<string | undefined> | undefined;
  const held = {
    exchanges: 0,
    accessToken: async () => now,
    refresh(stale: string): Promise<string | undefined> {
      if (stale !== now) return Promise.resolve(now);
      return (flight ??= (async () => {
        held.exchanges++;
        await new Promise((resolve) => setTimeout(resolve, 20));
        const next = fresh();
        if (next) now = next;
        return next;
      })().finally(() => (flight = undefined)));
    },
  };
  return held;
}

const mended = (authorization: string | undefined): Answer => (authorization === "Bearer new" ? { data: { me: { id: "1" } } } : denied);

test("ten that fail together share one refresh, and are sent once more", async () => {
  const held = tokens();
  const { query, sent } = connect(held, mended);
  const answers = await Promise.all(Array.from({ length: 10 }, () => query()));
  assert.deepEqual(answers.map(({ data }) => (data as { me: { id: string } }).me.id), Array(10).fill("1"));
  assert.deepEqual([held.exchanges, sent.length], [1, 20]);
});

test("an operation is sent once more, not for ever", async () => {
  const { query, sent } = connect(tokens(), () => denied);
  await assert.rejects(query(), /Token has expired/);
  assert.deepEqual(sent, ["Bearer old", "Bearer new"]);
});

test("an error that a link below throws counts too", async () => {
  const thrown = new CombinedGraphQLErrors({ data: null, errors: [expired("me")] });
  const { query, sent } = connect(tokens(), (authorization) => (authorization === "Bearer new" ? { data: { me: { id: "1" } } } : thrown));
  await query();
  assert.equal(sent.length, 2);
});

for (const [name, fresh] of [
  ["the session has ended", () => undefined],
  ["Keycloak is down", () => { throw new Error("down"); }],
] as const) {
  test(`${name}: the server's error stays`, async () => {
    const { query, sent } = connect(tokens(fresh), mended);
    await assert.rejects(query(), /Token has expired/);
    assert.deepEqual(sent, ["Bearer old"]);
  });
}

test("anonymous, with a header of its own, and nobody", async () => {
  const answer = () => ({ data: { me: { id: "1" } } });
  const { query, sent } = connect(tokens(), answer);
  await query({ anonymous: true });
  await query({ headers: { Authorization: "Basic x" } });
  assert.deepEqual(sent, [undefined, undefined]);
  const nobody = connect({ accessToken: async () => undefined, refresh: () => assert.fail() }, answer);
  await nobody.query();
  assert.deepEqual(nobody.sent, [undefined]);
});

const [a, ab, x, spread] = [gql`mutation { a }`, gql`mutation { a b }`, gql`mutation { x: a }`, gql`mutation { ...F } fragment F on Mutation { a }`];
const mutations: [name: string, document: DocumentNode, answer: Answer, sent: number][] = [
  ["its field was refused", a, { data: { a: null }, errors: [expired("a")] }, 2],
  ["its field was refused, and the data is null", a, { data: null, errors: [expired("a")] }, 2],
  ["the request was refused", a, { errors: [expired()] }, 2],
  ["under an alias", x, { data: { x: null }, errors: [expired("x")] }, 2],
  ["both fields were refused", ab, { data: { a: null, b: null }, errors: [expired("a"), expired("b")] }, 2],
  ["one field ran", ab, { data: { a: 1, b: null }, errors: [expired("b")] }, 1],
  ["one field ran and gave null", ab, { data: { a: null, b: null }, errors: [expired("b")] }, 1],
  ["one field ran, and the data is null", ab, { data: null, errors: [expired("b")] }, 1],
  ["a field below ran into it", a, { data: { a: null }, errors: [expired("a", "secret")] }, 1],
  ["a fragment hides what ran", spread, { data: { a: null }, errors: [expired("a")] }, 1],
];
for (const [name, mutation, answer, times] of mutations) {
  test(`a mutation: ${name}`, async () => {
    const { client, sent } = connect(tokens(), (authorization) => (authorization === "Bearer new" ? { data: { a: 1, b: 1, x: 1 } } : answer));
    await client.mutate({ mutation, errorPolicy: "all" });
    assert.equal(sent.length, times);
  });
}

test("a subscription isn't begun twice", async () => {
  const { client, sent } = connect(tokens(), () => denied);
  const events = client.subscribe({ query: gql`subscription { me { id } }`, errorPolicy: "all" });
  await new Promise<void>((resolve) => events.subscribe({ complete: resolve, error: () => resolve() }));
  assert.deepEqual(sent, ["Bearer old"]);
});

test("who has left isn't answered for", async () => {
  const held = tokens();
  const { client, sent } = connect(held, () => denied);
  const subscription = client.watchQuery({ query: me, fetchPolicy: "no-cache" }).subscribe({});
  while (held.exchanges === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  subscription.unsubscribe();
  assert.equal(await held.refresh("old"), "new"); // the exchange that was under way
  await new Promise((resolve) => setImmediate(resolve)); // for what comes of it
  assert.deepEqual(sent, ["Bearer old"]);
});

test("a link above that tries again gets the newest token", async () => {
  const retry = new RetryLink({ delay: { initial: 1 } });
  const { query, sent } = connect(tokens(), (authorization, n) => (n === 1 ? new TypeError("blip") : mended(authorization)), [retry]);
  await query();
  assert.deepEqual(sent, ["Bearer old", "Bearer old", "Bearer new"]);
});
