import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { Session, type Result, type State } from "../src/session";

/** A server that gives a token with each sign-in and refresh, and counts what it is asked. */
function server() {
  let given = 0;
  const asked: Record<string, number> = { login: 0, refresh: 0, logout: 0 };
  const send = async (query: string): Promise<Result> => {
    const field = /\{\s*(\w+)\(/.exec(query)![1]!;
    asked[field]!++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (field === "logout") return { data: { logout: true } };
    given++;
    return { data: { [field]: { accessToken: `token ${given}`, expiresIn: 300, refreshToken: `refresh ${given}`, refreshExpiresIn: 1800 } } };
  };
  return { send, asked };
}

/** Waits until a session has a status. */
function becomes(session: Session, status: State["status"]): Promise<void> {
  return new Promise((resolve) => {
    const alive = setInterval(() => undefined, 1_000); // a session doesn't keep this process so
    const look = () => {
      if (session.state().status !== status) return;
      clearInterval(alive);
      resolve();
    };
    session.subscribe(look);
    look();
  });
}

/** A clock in place of the one that nobody sets, which stands still until it is moved. */
function clock(t: TestContext): { advance(ms: number): void } {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  return { advance: (ms) => (now += ms) };
}

const anybody = { username: "anybody", password: "secret" };

test("callers share a refresh, and late ones get what it gave", async () => {
  const { send, asked } = server();
  const session = new Session({ url: "x", name: "shared", send });
  await session.signIn(anybody);
  const stale = (await session.accessToken())!;
  const fresh = await Promise.all(Array.from({ length: 10 }, () => session.refresh(stale)));
  assert.deepEqual(new Set([...fresh, await session.refresh(stale)]), new Set(["token 2"]));
  assert.equal(asked.refresh, 1);
  session.close();
});

test("what one person began isn't done as another", async () => {
  const { send, asked } = server();
  const session = new Session({ url: "x", name: "another", send });
  await session.signIn(anybody);
  const stale = (await session.accessToken())!;
  await session.signOut();
  assert.equal(await session.refresh(stale), undefined);
  await session.signIn(anybody);
  assert.equal(await session.refresh(stale), undefined);
  assert.equal(asked.refresh, 0);
  session.close();
});

test("nobody joins the refresh of another session", async () => {
  const { send, asked } = server();
  let release = () => {};
  let arrived = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const waiting = new Promise<void>((resolve) => (arrived = resolve));
  const slow = async (query: string, variables: Record<string, unknown>) => {
    if (variables.refreshToken === "refresh 1" && query.includes("Refresh")) {
      arrived();
      await held;
    }
    return send(query);
  };
  const session = new Session({ url: "x", name: "joined", send: slow });
  await session.signIn(anybody);
  const first = session.refresh((await session.accessToken())!);
  await waiting;
  await session.signOut();
  await session.signIn(anybody);
  const second = await session.refresh((await session.accessToken())!);
  assert.equal(second, "token 3");
  release();
  assert.equal(await first, undefined);
  assert.equal(asked.refresh, 2);
  session.close();
});

test("signing out in one tab wins over a refresh in another", async () => {
  const { send, asked } = server();
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const slow = async (query: string) => {
    const answer = await send(query);
    if (query.includes("Refresh")) await held;
    return answer;
  };
  const [one, two] = [new Session({ url: "x", name: "tabs", send: slow }), new Session({ url: "x", name: "tabs", send: slow })];
  await one.signIn(anybody);
  await becomes(two, "signedIn");
  const refreshing = one.refresh((await two.accessToken())!);
  while (asked.refresh === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await two.signOut();
  await becomes(one, "signedOut");
  release();
  assert.equal(await refreshing, undefined);
  assert.deepEqual([one.state(), two.state()], Array(2).fill({ status: "signedOut", why: "SIGNED_OUT" }));
  assert.equal(asked.logout, 2); // of the token that was held, and of the one that came too late
  one.close();
  two.close();
});

test("without a refresh token a session lasts as long as its access token", async () => {
  const tokens = { accessToken: "t", expiresIn: 300, refreshToken: null, refreshExpiresIn: null };
  const session = new Session({ url: "x", name: "short", send: async () => ({ data: { login: tokens } }) });
  await session.signIn(anybody);
  const state = session.state();
  assert.ok(state.status === "signedIn" && state.held.refreshAt === state.held.expiresAt);
  session.close();
});

test("while Keycloak is down, a second passes before it is asked again", async (t) => {
  const { advance } = clock(t);
  const { send } = server();
  let asked = 0;
  let fault: { message: string; extensions: Record<string, unknown> } | undefined;
  const session = new Session({
    url: "x",
    name: "pausing",
    send: async (query) => (fault && query.includes("Refresh") ? (asked++, { errors: [fault] }) : send(query)),
  });
  await session.signIn(anybody);
  const stale = (await session.accessToken())!;
  fault = { message: "Sign-in is not available", extensions: { code: "SERVICE_UNAVAILABLE" } };
  for (let i = 0; i < 5; i++) await assert.rejects(session.refresh(stale), { code: "SERVICE_UNAVAILABLE" });
  assert.equal(asked, 1);
  advance(999);
  await assert.rejects(session.refresh(stale), { code: "SERVICE_UNAVAILABLE" });
  assert.equal(asked, 1);
  advance(1);
  fault = { message: "Too many attempts", extensions: { code: "RATE_LIMITED", retryAfter: 60 } };
  await assert.rejects(session.refresh(stale), { code: "RATE_LIMITED" });
  advance(59_999);
  await assert.rejects(session.refresh(stale), { code: "RATE_LIMITED" });
  assert.equal(asked, 2);
  advance(1);
  await assert.rejects(session.refresh(stale), { code: "RATE_LIMITED" });
  assert.equal(asked, 3);
  session.close();
});

test("Keycloak is down, the realm refuses: one signs nobody out, the other does", async (t) => {
  const { advance } = clock(t);
  const { send } = server();
  let answer: Result | undefined;
  const session = new Session({ url: "x", name: "refused", send: async (query) => (query.includes("Refresh") && answer) || send(query) });
  await session.signIn(anybody);
  const stale = (await session.accessToken())!;
  answer = { errors: [{ message: "Sign-in is not available", extensions: { code: "SERVICE_UNAVAILABLE", reason: "IDENTITY_PROVIDER_UNAVAILABLE" } }] };
  await assert.rejects(session.refresh(stale), { code: "SERVICE_UNAVAILABLE" });
  assert.equal(await session.accessToken(), stale);
  advance(1_000); // it isn't asked again at once
  answer = { errors: [{ message: "Sign in again", extensions: { code: "INVALID_REFRESH_TOKEN", reason: "SESSION_ENDED" } }] };
  assert.equal(await session.refresh(stale), undefined);
  assert.deepEqual(session.state(), { status: "signedOut", why: "SESSION_ENDED" });
  session.close();
});
