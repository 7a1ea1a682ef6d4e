import { gql } from "@apollo/client";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import test from "node:test";

// Where a session runs that isn't a page: each is a process of its own, which has to end by itself.
const session = new URL("./session/session.js", import.meta.url).href; // as `npm test` builds it
const patience = 240_000; // ms until a process that doesn't end is ended

/** Runs a program after it has lost the browser's features that are named, and gives what it prints. */
async function runs(lost: readonly string[], program: string): Promise<string> {
  const lose = lost.map((name) => `delete globalThis.${name};`).join(" ");
  const script = `${lose}\nconst { Session } = await import(${JSON.stringify(session)});\n${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { timeout: patience, stdio: ["ignore", "pipe", "pipe"] });
  let [out, failed] = ["", ""];
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (failed += text));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.on("close", (...end) => resolve(end)));
  assert.deepEqual([code, signal, failed], [0, null, ""], `how the process ended, and what it complained of; it printed ${out}`);
  return out.trim();
}

// Signs in, refreshes and signs out, and prints what the session said.
const everything = (options: string) => `
let given = 0;
const send = async (query) => {
  const field = /\\{\\s*(\\w+)\\(/.exec(query)[1];
  if (field === "logout") return { data: { logout: true } };
  return { data: { [field]: { accessToken: "token " + ++given, expiresIn: 300, refreshToken: "refresh", refreshExpiresIn: 1800 } } };
};
const session = new Session({ url: "x", send, ${options} });
await session.signIn({ username: "anybody", password: "secret" });
const said = [await session.accessToken(), await session.refresh("token 1"), session.state().held.id.length];
await session.signOut();
console.log([...said, session.state().why].join());`;
const said = "token 1,token 2,32,SIGNED_OUT";

const page = "globalThis.document ??= {};"; // as far as a session asks whether there is one

test("a session that nobody uses doesn't keep a process alive", async () => {
  for (const options of ["", 'name: "shared"']) {
    assert.equal(await runs([], `new Session({ url: "http://127.0.0.1:1/graphql", ${options} }); console.log("done");`), "done");
    assert.equal(await runs([], `${page} new Session({ url: "http://127.0.0.1:1/graphql", ${options} }); console.log("done");`), "done");
  }
});

test("a session that somebody is signed in with doesn't keep a process alive", async () => {
  const program = everything('name: "shared"').replace("await session.signOut();", "");
  assert.equal(await runs([], program), "token 1,token 2,32,");
});

// Whatever a session uses of a browser may be missing: in jsdom, in React Native, in an old Safari, without https.
const features = ["BroadcastChannel", "navigator", "AbortController", "AbortSignal", "crypto", "performance", "fetch"];
for (const lost of [[], ...features.map((name) => [name]), features]) {
  test(`a session without ${lost.join(", ") || "a page"}`, async () => {
    assert.equal(await runs(lost, everything("")), said);
    assert.equal(await runs(lost, page + everything("")), said);
  });
}

test("a page that may not store has no channel", async () => {
  const refused = 'globalThis.BroadcastChannel = class { constructor() { throw new Error("SecurityError"); } };';
  assert.equal(await runs([], refused + page + everything("")), said);
});

test("the application's client comes up while a server renders a page", async () => {
  const { currentClient, session } = await import("../src/client");
  assert.equal(await session.accessToken(), undefined);
  await assert.rejects(currentClient().query({ query: gql`{ me { id } }`, context: { uri: "http://127.0.0.1:1/graphql" } }), /fetch failed|bad port/);
  session.close();
});

test("without fetch, a session says what it needs", async () => {
  const program = 'await new Session({ url: "x" }).signIn({}).catch(({ message }) => console.log(message));';
  assert.equal(await runs(["fetch"], program), "There is no fetch here: give the session the option send");
});

test("a server that doesn't answer is given up, also where nothing can be aborted", async () => {
  const program = `
const timers = [];
globalThis.setTimeout = (f, ms) => (timers.push({ f, ms }), { ref() {}, unref() {} });
globalThis.clearTimeout = () => {};
const asked = new Promise((resolve) => (globalThis.fetch = () => (resolve(), new Promise(() => {}))));
const signingIn = new Session({ url: "x" }).signIn({}).catch(({ message }) => console.log(message));
await asked;
timers.find(({ ms }) => ms === 30_000).f();
await signingIn;`;
  for (const lost of [[], ["AbortController"]]) assert.equal(await runs(lost, program), "The server didn't answer in time");
});

test("outside of a page, sessions without a name share nothing, and those with one do", async () => {
  const program = (options: string) => `
const send = async () => ({ data: { login: { accessToken: "t", expiresIn: 300, refreshToken: null, refreshExpiresIn: null } } });
const sessions = [1, 2].map(() => new Session({ url: "x", send, ${options} }));
await sessions[0].signIn({});
await new Promise((resolve) => { // a channel's messages come in order
  const [a, b] = [new BroadcastChannel("end"), new BroadcastChannel("end")];
  b.onmessage = () => (a.close(), b.close(), resolve());
  a.postMessage("");
});
await sessions[1].accessToken().then((token) => console.log(token));`;
  assert.equal(await runs([], program("")), "undefined");
  assert.equal(await runs([], program('name: "shared"')), "t");
});
