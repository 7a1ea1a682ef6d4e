// Helpers of the scripts that drive Chromium. Pages report problems, and each case prints a line of JSON.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// The test's settings, as JSON in the first argument: URLs, users, and the directory for screenshots.
export const settings = JSON.parse(process.argv[2]);

export const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// How long to wait for an event, in ms. Even on a slow machine, only a bug makes a script wait that long.
const timeout = 4 * 60_000;

// Problems of pages: errors and warnings on the console, violations of the content security policy, requests to other
// hosts, and axe's findings.
const problems = [];

// newContext opens a separate browser context, whose tabs share storage and channels only with each other. If
// stoppedClock is set, their clocks are stopped: see stopClock.
export async function newContext({ stoppedClock = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', locale: 'en-US', ...options });
  context.setDefaultTimeout(timeout);
  const report = (text) => problems.push(text);
  context.on('console', (message) => ['error', 'warning'].includes(message.type()) && report(`${message.type()}: ${message.text()}`));
  context.on('weberror', (error) => report(`error: ${error.error().message}`));
  context.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol !== 'data:' && !['127.0.0.1', 'localhost'].includes(hostname)) report(`request: ${request.url()}`);
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => console.error(`policy: ${violatedDirective} ${blockedURI}`));
  });
  if (stoppedClock) await stopClock(context);
  return context;
}

// stopClock stops the clocks of a context's pages until advanceClock moves them. Timers of 100 ms or more fire
// only then. Even on a slow machine, tokens don't expire by themselves, no tab stops waiting for another, and delayed
// actions run when the test wants them.
function stopClock(context) {
  return context.addInitScript((start) => {
    const timers = new Map();
    let now = start;
    let advancedBy = 0;
    let lastID = 1e9; // browsers' own timer IDs start at 1
    const [realSetTimeout, realClearTimeout, realNow] = [setTimeout.bind(window), clearTimeout.bind(window), performance.now.bind(performance)];
    Date.now = () => now;
    performance.now = () => realNow() + advancedBy;
    window.setTimeout = (f, ms, ...rest) => {
      if (!(ms >= 100)) return realSetTimeout(f, ms, ...rest);
      timers.set(++lastID, { dueAt: now + ms, run: () => f(...rest) });
      return lastID;
    };
    window.clearTimeout = (id) => timers.delete(id) || realClearTimeout(id);
    window.advanceClock = (ms) => {
      const end = now + ms;
      advancedBy += ms;
      for (;;) {
        const [id, timer] = [...timers].reduce((a, b) => (b[1].dueAt < a[1].dueAt ? b : a), [0, { dueAt: Infinity }]);
        if (timer.dueAt > end) break;
        timers.delete(id);
        now = Math.max(now, timer.dueAt);
        timer.run();
      }
      now = end;
    };
  }, Date.now());
}

// advanceClock moves a stopped clock forward.
export const advanceClock = (page, ms) => page.evaluate((ms) => globalThis.advanceClock(ms), ms);

// waitForRefreshes waits until no tab of a page's context is refreshing or waiting for its turn to refresh.
export const waitForRefreshes = (page) =>
  page.waitForFunction(async () => {
    const { held, pending } = await navigator.locks.query();
    return ![...held, ...pending].some(({ name }) => name.endsWith(':turn'));
  });

// expireToken makes the server reject the context's current access token as expired: it replaces the token in requests
// with an expired token. Newer tokens are sent unchanged.
export async function expireToken(context) {
  const expiredToken = await control('expired');
  let currentAuthorization;
  await context.route('**/graphql', async (route) => {
    const headers = route.request().headers();
    currentAuthorization ??= headers.authorization;
    if (!currentAuthorization || headers.authorization !== currentAuthorization) return route.fallback();
    return route.fallback({ headers: { ...headers, authorization: `Bearer ${expiredToken}` } });
  });
}

// countOperations counts the operations with this name that a context sends.
export function countOperations(context, name) {
  const count = { sent: 0 };
  context.on('request', (request) => {
    if (operationOf(request) === name) count.sent++;
  });
  return count;
}

// operationOf returns the name of the operation that a request sends, if any.
export function operationOf(request) {
  if (request.method() !== 'POST') return undefined;
  try {
    return /(?:query|mutation)\s+(\w+)/.exec(JSON.parse(request.postData()).query)?.[1];
  } catch {
    return undefined;
  }
}

// holdResponses delays the responses to operations with this name until release is called. arrival resolves when the
// first response has arrived.
export async function holdResponses(context, name) {
  let release, resolveArrival;
  const released = new Promise((resolve) => (release = resolve));
  const arrival = new Promise((resolve) => (resolveArrival = resolve));
  await context.route('**/graphql', async (route) => {
    if (operationOf(route.request()) !== name) return route.fallback();
    const response = await route.fetch();
    resolveArrival();
    await released;
    await route.fulfill({ response });
  });
  return { arrival, release };
}

// inspect takes a screenshot of a page and reports axe's findings.
export async function inspect(page, name) {
  await page.evaluate(() => // wait for animations
    Promise.allSettled(document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity).map(({ finished }) => finished)));
  await page.screenshot({ path: `${settings.pictures}/${name}.png`, fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  for (const { id, nodes } of violations) problems.push(`axe: ${name}: ${id}: ${nodes[0].html.slice(0, 200)}`);
}

// storedData returns everything that a page has stored, as text.
export function storedData(page) {
  return page.evaluate(async () =>
    JSON.stringify([
      { ...localStorage }, { ...sessionStorage }, document.cookie,
      (await indexedDB.databases()).map(({ name }) => name), await caches.keys(), history.state, location.href,
    ]),
  );
}

// control sends a command to the test: down and up take down and restore the proxy in front of Keycloak, otp
// returns a one-time code, and expired returns an expired access token.
export async function control(command) {
  const response = await fetch(`${settings.control}/${command}`, { method: 'POST' });
  if (!response.ok) throw new Error(`${command}: ${response.status} ${await response.text()}`);
  return response.text();
}

// signInWithCode fills in the form with a one-time code, and tries again if the code has expired in the meantime. It
// returns whether the user is signed in.
export async function signInWithCode(context, fill) {
  for (let attempt = 0; attempt < 3; attempt++) {
    const response = context.waitForEvent('response', { predicate: (r) => operationOf(r.request()) === 'Login' });
    await fill(await control('otp'));
    if ((await (await response).json()).data?.login) return true;
  }
  return false;
}

// run runs a case, and prints its result or its error. After a timeout it ends the script, since the following cases
// would fail too.
export async function run(name, f) {
  let result;
  let timedOut = false;
  try {
    result = JSON.stringify(await f());
  } catch (error) {
    result = `${error.name}: ${error.message}`;
    timedOut = error.name === 'TimeoutError';
  }
  console.log(JSON.stringify({ case: name, result }));
  if (timedOut) {
    await browser.close();
    process.exit(0);
  }
}

// finish closes the browser and prints the problems.
export async function finish() {
  await browser.close();
  await run('problems', () => problems);
}
