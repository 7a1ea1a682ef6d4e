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

// What no page may do: say so on its console, break its policy, or ask another host than this machine.
const complaints = [];

// newContext is a browser of its own: its tabs share storage and channels with each other and with nobody else.
export async function newContext(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', locale: 'en-US', ...options });
  context.setDefaultTimeout(20_000);
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
  return context;
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

// laggard makes the pages of a context those of a machine that slept: its clock stands still, and what it meant to do
// in five seconds or later doesn't come. What the server says of a token is all that they know.
export function laggard(context) {
  return context.addInitScript((start) => {
    Date.now = () => start;
    const set = window.setTimeout;
    window.setTimeout = (f, ms, ...rest) => (ms >= 5000 ? 0 : set(f, ms, ...rest));
  }, Date.now());
}

// inspect gives what axe finds in a page as it is now, which must be nothing, and takes its picture.
export async function inspect(page, name) {
  await page.waitForTimeout(300); // for what fades in
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

// control asks the test to do something to the world: down, up, otp.
export async function control(what) {
  const response = await fetch(`${settings.control}/${what}`, { method: 'POST' });
  if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
  return response.text();
}

// run runs a case, and prints what it gives, or how it failed.
export async function run(name, f) {
  let result;
  try {
    result = JSON.stringify(await f());
  } catch (error) {
    result = `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify({ case: name, result }));
}

export async function finish() {
  await browser.close();
  await run('complaints', () => complaints);
}
