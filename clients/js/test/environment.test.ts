import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import test from "node:test";

// These tests run sessions outside of a page, each in its own process, which must exit by itself.
const sessionModule = import.meta.resolve("@cloakql/client");
const processTimeout = 240_000; // ms

/** Runs a program without some browser features, and returns its output. */
async function run(missingFeatures: readonly string[], program: string): Promise<string> {
  const removal = missingFeatures.map((name) => `delete globalThis.${name};`).join(" ");
  const script = `${removal}\nconst { Session } = await import(${JSON.stringify(sessionModule)});\n${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { timeout: processTimeout, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => (stdout += text));
  child.stderr.on("data", (text) => (stderr += text));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => child.on("close", (...result) => resolve(result)));
  assert.deepEqual([code, signal, stderr], [0, null, ""], `exit code, signal and standard error; its output was ${stdout}`);
  return stdout.trim();
}

// A program that signs in, refreshes and signs out, and prints the results.
const signInAndOutProgram = (options: string) => `
let issued = 0;
const send = async (query) => {
  const field = /\\{\\s*(\\w+)\\(/.exec(query)[1];
  if (field === "logout") return { data: { logout: true } };
  return { data: { [field]: { accessToken: "token " + ++issued, expiresIn: 300, refreshToken: "refresh", refreshExpiresIn: 1800 } } };
};
const session = new Session({ url: "x", send, ${options} });
await session.signIn({ username: "anybody", password: "secret" });
const results = [await session.accessToken(), await session.refresh("token 1"), session.state().tokens.sessionID.length];
await session.signOut();
console.log([...results, session.state().reason].join());`;
const expectedOutput = "token 1,token 2,32,SIGNED_OUT";

const fakePage = "globalThis.document ??= {};"; // makes a session believe that it runs in a page

test("an unused session doesn't keep a process alive", async () => {
  for (const options of ["", 'name: "shared"']) {
    assert.equal(await run([], `new Session({ url: "http://127.0.0.1:1/graphql", ${options} }); console.log("done");`), "done");
    assert.equal(await run([], `${fakePage} new Session({ url: "http://127.0.0.1:1/graphql", ${options} }); console.log("done");`), "done");
  }
});

test("a signed-in session doesn't keep a process alive", async () => {
  const program = signInAndOutProgram('name: "shared"').replace("await session.signOut();", "");
  assert.equal(await run([], program), "token 1,token 2,32,");
});

// Each feature may be missing: in jsdom, in React Native, in an old Safari, or without https.
const features = ["BroadcastChannel", "navigator", "AbortController", "AbortSignal", "crypto", "performance", "fetch"];
for (const missingFeatures of [[], ...features.map((name) => [name]), features]) {
  test(`a session without ${missingFeatures.join(", ") || "a page"}`, async () => {
    assert.equal(await run(missingFeatures, signInAndOutProgram("")), expectedOutput);
    assert.equal(await run(missingFeatures, fakePage + signInAndOutProgram("")), expectedOutput);
  });
}

test("a page that may not use storage has no channel", async () => {
  const throwingChannel = 'globalThis.BroadcastChannel = class { constructor() { throw new Error("SecurityError"); } };';
  assert.equal(await run([], throwingChannel + fakePage + signInAndOutProgram("")), expectedOutput);
});

test("without fetch, the error names the option to set", async () => {
  const program = 'await new Session({ url: "x" }).signIn({}).catch(({ message }) => console.log(message));';
  assert.equal(await run(["fetch"], program), "There is no fetch here: give the session the option send");
});

test("a call times out, also without AbortController", async () => {
  const program = `
const timers = [];
globalThis.setTimeout = (f, ms) => (timers.push({ f, ms }), { ref() {}, unref() {} });
globalThis.clearTimeout = () => {};
const called = new Promise((resolve) => (globalThis.fetch = () => (resolve(), new Promise(() => {}))));
const signingIn = new Session({ url: "x" }).signIn({}).catch(({ message }) => console.log(message));
await called;
timers.find(({ ms }) => ms === 30_000).f();
await signingIn;`;
  for (const missingFeatures of [[], ["AbortController"]]) assert.equal(await run(missingFeatures, program), "The server didn't answer in time");
});

test("outside of a page, only sessions with a name are shared", async () => {
  const program = (options: string) => `
const send = async () => ({ data: { login: { accessToken: "t", expiresIn: 300, refreshToken: null, refreshExpiresIn: null } } });
const sessions = [1, 2].map(() => new Session({ url: "x", send, ${options} }));
await sessions[0].signIn({});
await new Promise((resolve) => { // wait: a channel delivers messages in order
  const [a, b] = [new BroadcastChannel("end"), new BroadcastChannel("end")];
  b.onmessage = () => (a.close(), b.close(), resolve());
  a.postMessage("");
});
await sessions[1].accessToken().then((token) => console.log(token));`;
  assert.equal(await run([], program("")), "undefined");
  assert.equal(await run([], program('name: "shared"')), "t");
});
