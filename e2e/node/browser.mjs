// What the browser's scripts share: Chromium, tabs that report whatever they complain of, and a line of JSON for each case.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// The test's settings, as JSON in the first argument: addresses, users, and the folder for pictures.
export const settings = JSON.parse(process.argv[2]);

export const browser = await chromium.launch({
  executablePath: settings.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// How long, in ms, to wait for what has to happen. It says nothing of how quick a machine is: only a fault takes so long.
const patience = 4 * 60_000;

// What no page may do: say so on its console, break its policy, or ask another host than this machine.
const complaints = [];

// newContext is a browser of its own: its tabs share storage and channels with each other and with nobody else. Where
// stopped is set, their clocks stand still: see stopClock.
export async function newContext({ stopped = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', locale: 'en-US', ...options });
  context.setDefaultTimeout(patience);
  const complain = (text) => complaints.push(text);
  context.on('console', (message) => ['error', 'warning'].includes(message.type()) && complain(`${message.type()}: ${message.text()}`));
  context.on('weberror', (error) => complain(`error: ${error.error().message}`));
  context.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url());
    if (protocol !== 'data:' && !['127.0.0.1', 'localhost'].includes(hostname)) complain(`request: ${request.url()}`);
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => console.error(`policy: ${violatedDirective} ${blockedURI}`));
  });
  if (stopped) await stopClock(context);
  return context;
}

// stopClock makes the clocks of a context's pages stand still until advance moves them: what a page means to do in 100 ms
// or later, it does then. So a token lasts however slow this machine is, nobody gives up waiting for another tab, and
// what comes with a delay comes when it is asked for.
function stopClock(context) {
  return context.addInitScript((start) => {
    const timers = new Map();
    let now = start;
    let moved = 0;
    let last = 1e9; // browsers count theirs from one
    const [set, clear, monotonic] = [setTimeout.bind(window), clearTimeout.bind(window), performance.now.bind(performance)];
    Date.now = () => now;
    performance.now = () => monotonic() + moved;
    window.setTimeout = (f, ms, ...rest) => {
      if (!(ms >= 100)) return set(f, ms, ...rest);
      timers.set(++last, { at: now + ms, run: () => f(...rest) });
      return last;
    };
    window.clearTimeout = (id) => timers.delete(id) || clear(id);
    window.advance = (ms) => {
      const end = now + ms;
      moved += ms;
      for (;;) {
        const [id, timer] = [...timers].reduce((a, b) => (b[1].at < a[1].at ? b : a), [0, { at: Infinity }]);
        if (timer.at > end) break;
        timers.delete(id);
        now = Math.max(now, timer.at);
        timer.run();
      }
      now = end;
    };
  }, Date.now());
}

// advance moves a stopped clock on.
export const advance = (page, ms) => page.evaluate((ms) => globalThis.advance(ms), ms);

// settled ends when no tab of a page's context refreshes, nor waits for its turn to.
export const settled = (page) =>
  page.waitForFunction(async () => {
    const { held, pending } = await navigator.locks.query();
    return ![...held, ...pending].some(({ name }) => name.endsWith(':turn'));
  });

// outdate makes the server find the access token expired that a context holds now: it is sent one in its place that has
// expired in fact. What replaces it is sent as it is.
export async function outdate(context) {
  const expired = await control('expired');
  let held;
  await context.route('**/graphql', async (route) => {
    const headers = route.request().headers();
    held ??= headers.authorization;
    if (!held || headers.authorization !== held) return route.fallback();
    return route.fallback({ headers: { ...headers, authorization: `Bearer ${expired}` } });
  });
}

// counter counts the operations of a name that a context sends.
export function counter(context, name) {
  const count = { sent: 0 };
  context.on('request', (request) => {
    if (operationOf(request) === name) count.sent++;
  });
  return count;
}

export function operationOf(request) {
  if (request.method() !== 'POST') return undefined;
  try {
    return /(?:query|mutation)\s+(\w+)/.exec(JSON.parse(request.postData()).query)?.[1];
  } catch {
    return undefined;
  }
}

// hold keeps the answers to operations of a name until release is called. held ends when the first has come.
export async function hold(context, name) {
  let release, arrived;
  const released = new Promise((resolve) => (release = resolve));
  const held = new Promise((resolve) => (arrived = resolve));
  await context.route('**/graphql', async (route) => {
    if (operationOf(route.request()) !== name) return route.fallback();
    const response = await route.fetch();
    arrived();
    await released;
    await route.fulfill({ response });
  });
  return { held, release };
}

// inspect gives what axe finds in a page as it is now, which must be nothing, and takes its picture.
export async function inspect(page, name) {
  await page.evaluate(() => // what fades in
    Promise.allSettled(document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity).map(({ finished }) => finished)));
  await page.screenshot({ path: `${settings.pictures}/${name}.png`, fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  for (const { id, nodes } of violations) complaints.push(`axe: ${name}: ${id}: ${nodes[0].html.slice(0, 200)}`);
}

// stored is everything that a page has stored, as text.
export function stored(page) {
  return page.evaluate(async () =>
    JSON.stringify([
      { ...localStorage }, { ...sessionStorage }, document.cookie,
      (await indexedDB.databases()).map(({ name }) => name), await caches.keys(), history.state, location.href,
    ]),
  );
}

// control asks the test to do something to the world: down, up; or for something of it: otp, expired.
export async function control(what) {
  const response = await fetch(`${settings.control}/${what}`, { method: 'POST' });
  if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
  return response.text();
}

// signInWithCode fills the form in with a one-time code, again where that has run out on its way, until the person is in.
export async function signInWithCode(context, fill) {
  for (let tries = 0; tries < 3; tries++) {
    const answered = context.waitForEvent('response', { predicate: (response) => operationOf(response.request()) === 'Login' });
    await fill(await control('otp'));
    if ((await (await answered).json()).data?.login) return true;
  }
  return false;
}

// run runs a case, and prints what it gives, or how it failed. After one that waited in vain nothing is as it should be,
// so that one is the last.
export async function run(name, f) {
  let result;
  let inVain = false;
  try {
    result = JSON.stringify(await f());
  } catch (error) {
    result = `${error.name}: ${error.message}`;
    inVain = error.name === 'TimeoutError';
  }
  console.log(JSON.stringify({ case: name, result }));
  if (inVain) {
    await browser.close();
    process.exit(0);
  }
}

export async function finish() {
  await browser.close();
  await run('complaints', () => complaints);
}
