import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { ServerError, Session, type GraphQLResponse, type SessionState } from "@cloakql/client";

/** Returns a server that issues new tokens for each sign-in and refresh, and counts the calls of each field. */
function fakeServer() {
  let tokenCount = 0;
  const calls: Record<string, number> = { login: 0, refresh: 0, logout: 0 };
  const send = async (query: string): Promise<GraphQLResponse> => {
    const field = /\{\s*(\w+)\(/.exec(query)![1]!;
    calls[field]!++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (field === "logout") return { data: { logout: true } };
    tokenCount++;
    return { data: { [field]: { accessToken: `token ${tokenCount}`, expiresIn: 300, refreshToken: `refresh ${tokenCount}`, refreshExpiresIn: 1800 } } };
  };
  return { send, calls };
}

/** Waits until a session has a status. */
function waitForStatus(session: Session, status: SessionState["status"]): Promise<void> {
  return new Promise((resolve) => {
    const keepAlive = setInterval(() => undefined, 1_000); // a session doesn't keep the process alive
    const check = () => {
      if (session.state().status !== status) return;
      clearInterval(keepAlive);
      resolve();
    };
    session.subscribe(check);
    check();
  });
}

/** Replaces performance.now with a clock that only `advance` moves. */
function fakeClock(t: TestContext): { advance(ms: number): void } {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  return { advance: (ms) => (now += ms) };
}

const credentials = { username: "anybody", password: "secret" };

test("callers share a refresh, and later ones get its token", async () => {
  const { send, calls } = fakeServer();
  const session = new Session({ url: "x", name: "shared", send });
  await session.signIn(credentials);
  const staleToken = (await session.accessToken())!;
  const newTokens = await Promise.all(Array.from({ length: 10 }, () => session.refresh(staleToken)));
  assert.deepEqual(new Set([...newTokens, await session.refresh(staleToken)]), new Set(["token 2"]));
  assert.equal(calls.refresh, 1);
  session.close();
});

test("an operation that one user started isn't repeated as another", async () => {
  const { send, calls } = fakeServer();
  const session = new Session({ url: "x", name: "another", send });
  await session.signIn(credentials);
  const staleToken = (await session.accessToken())!;
  await session.signOut();
  assert.equal(await session.refresh(staleToken), undefined);
  await session.signIn(credentials);
  assert.equal(await session.refresh(staleToken), undefined);
  assert.equal(calls.refresh, 0);
  session.close();
});

test("a refresh of another session isn't shared", async () => {
  const { send, calls } = fakeServer();
  let release = () => {};
  let arrive = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const requested = new Promise<void>((resolve) => (arrive = resolve));
  const slowSend = async (query: string, variables: Record<string, unknown>) => {
    if (variables.refreshToken === "refresh 1" && query.includes("Refresh")) {
      arrive();
      await released;
    }
    return send(query);
  };
  const session = new Session({ url: "x", name: "joined", send: slowSend });
  await session.signIn(credentials);
  const firstRefresh = session.refresh((await session.accessToken())!);
  await requested;
  await session.signOut();
  await session.signIn(credentials);
  const newToken = await session.refresh((await session.accessToken())!);
  assert.equal(newToken, "token 3");
  release();
  assert.equal(await firstRefresh, undefined);
  assert.equal(calls.refresh, 2);
  session.close();
});

test("signing out in one tab wins over a refresh in another", async () => {
  const { send, calls } = fakeServer();
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const slowSend = async (query: string) => {
    const response = await send(query);
    if (query.includes("Refresh")) await released;
    return response;
  };
  const [tab1, tab2] = [new Session({ url: "x", name: "tabs", send: slowSend }), new Session({ url: "x", name: "tabs", send: slowSend })];
  await tab1.signIn(credentials);
  await waitForStatus(tab2, "signedIn");
  const refreshResult = tab1.refresh((await tab2.accessToken())!);
  while (calls.refresh === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await tab2.signOut();
  await waitForStatus(tab1, "signedOut");
  release();
  assert.equal(await refreshResult, undefined);
  assert.deepEqual([tab1.state(), tab2.state()], Array(2).fill({ status: "signedOut", reason: "SIGNED_OUT" }));
  assert.equal(calls.logout, 2); // with the current refresh token, and with the one that arrived too late
  tab1.close();
  tab2.close();
});

test("without a refresh token a session lasts as long as its access token", async () => {
  const tokens = { accessToken: "t", expiresIn: 300, refreshToken: null, refreshExpiresIn: null };
  const session = new Session({ url: "x", name: "short", send: async () => ({ data: { login: tokens } }) });
  await session.signIn(credentials);
  const state = session.state();
  assert.ok(state.status === "signedIn" && state.tokens.refreshAt === state.tokens.expiresAt);
  session.close();
});

test("while Keycloak is down, a session refreshes at most once a second, or when retryAfter says", async (t) => {
  const { advance } = fakeClock(t);
  const { send } = fakeServer();
  let refreshes = 0;
  let error: { message: string; extensions: Record<string, unknown> } | undefined;
  const session = new Session({
    url: "x",
    name: "pausing",
    send: async (query) => (error && query.includes("Refresh") ? (refreshes++, { errors: [error] }) : send(query)),
  });
  await session.signIn(credentials);
  const staleToken = (await session.accessToken())!;
  error = { message: "Sign-in is not available", extensions: { code: "SERVICE_UNAVAILABLE" } };
  for (let i = 0; i < 5; i++) await assert.rejects(session.refresh(staleToken), { code: "SERVICE_UNAVAILABLE" });
  assert.equal(refreshes, 1);
  advance(999);
  await assert.rejects(session.refresh(staleToken), { code: "SERVICE_UNAVAILABLE" });
  assert.equal(refreshes, 1);
  advance(1);
  error = { message: "Too many attempts", extensions: { code: "RATE_LIMITED", retryAfter: 60 } };
  await assert.rejects(session.refresh(staleToken), { code: "RATE_LIMITED" });
  advance(59_999);
  await assert.rejects(session.refresh(staleToken), { code: "RATE_LIMITED" });
  assert.equal(refreshes, 2);
  advance(1);
  await assert.rejects(session.refresh(staleToken), { code: "RATE_LIMITED" });
  assert.equal(refreshes, 3);
  session.close();
});

test("a session ends if the realm refuses its refresh token, but not while Keycloak is down", async (t) => {
  const { advance } = fakeClock(t);
  const { send } = fakeServer();
  let response: GraphQLResponse | undefined;
  const session = new Session({ url: "x", name: "refused", send: async (query) => (query.includes("Refresh") && response) || send(query) });
  await session.signIn(credentials);
  const staleToken = (await session.accessToken())!;
  response = { errors: [{ message: "Sign-in is not available", extensions: { code: "SERVICE_UNAVAILABLE", reason: "IDENTITY_PROVIDER_UNAVAILABLE" } }] };
  await assert.rejects(session.refresh(staleToken), { code: "SERVICE_UNAVAILABLE" });
  assert.equal(await session.accessToken(), staleToken);
  advance(1_000); // before that, the session doesn't call the server again
  response = { errors: [{ message: "Sign in again", extensions: { code: "INVALID_REFRESH_TOKEN", reason: "SESSION_ENDED" } }] };
  assert.equal(await session.refresh(staleToken), undefined);
  assert.deepEqual(session.state(), { status: "signedOut", reason: "SESSION_ENDED" });
  session.close();
});

test("an unknown reason ends the session, and is its reason", async () => {
  const { send } = fakeServer();
  const error = { message: "Sign in again", extensions: { code: "INVALID_REFRESH_TOKEN", reason: "DEVICE_LOST" } };
  const session = new Session({
    url: "x",
    name: "unknown reason",
    send: async (query) => (query.includes("Refresh") ? { errors: [error] } : send(query)),
  });
  await session.signIn(credentials);
  assert.equal(await session.refresh((await session.accessToken())!), undefined);
  assert.deepEqual(session.state(), { status: "signedOut", reason: "DEVICE_LOST" });
  session.close();
});

test("an application's own error keeps its code, reason, message and extensions", async () => {
  const extensions = { code: "SHOP_CLOSED", reason: "NIGHT", opensAt: "09:00" };
  const session = new Session({ url: "x", name: "closed", send: async () => ({ errors: [{ message: "We are closed", extensions }] }) });
  await assert.rejects(session.signIn(credentials), (error) => {
    assert.ok(error instanceof ServerError);
    assert.deepEqual([error.message, error.code, error.reason, error.extensions], ["We are closed", "SHOP_CLOSED", "NIGHT", extensions]);
    return true;
  });
  session.close();
});
