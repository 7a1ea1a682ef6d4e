// node apollo-app.mjs SETTINGS drives the example for Apollo Client in Chromium, and prints a line of JSON for each case.
import { advance, control, counter, finish, hold, inspect, newContext, outdate, run, settings, signInWithCode, stored } from './browser.mjs';

const { app, linkedApp, user, password, otpUser } = settings; // linkedApp: its server reaches Keycloak through a link that can be cut

async function open(context, url = app) {
  const page = await context.newPage();
  await page.goto(url);
  await page.getByRole('heading', { level: 1 }).waitFor();
  return page;
}

async function fill(page, { username, password, otp }) {
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password').fill(password);
  if (otp) {
    const link = page.getByRole('button', { name: 'I have a one-time code' });
    if (await link.isVisible()) await link.click();
    await page.getByLabel('One-time code').fill(otp);
  }
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

const hello = (page) => page.getByTestId('username').getByText(user, { exact: true }).waitFor();
const signInHeading = (page) => page.getByRole('heading', { name: 'Sign in' }).waitFor();
const signOut = (page) => page.getByRole('button', { name: 'Sign out' }).click();
const alert = (page) => page.getByRole('alert').first().textContent();

async function signIn(page) {
  await fill(page, { username: user, password });
  await hello(page);
}

async function ten(page) {
  await page.getByRole('button', { name: 'Run ten operations at once' }).click();
  await page.getByTestId('ten').getByText('answered').waitFor();
  return page.getByTestId('ten').textContent();
}

async function oneTab() {
  const context = await newContext();
  const page = await open(context);
  await inspect(page, 'apollo-sign-in');
  await run('wrong password', async () => {
    await fill(page, { username: user, password: 'wrong-password-canary' });
    return alert(page);
  });
  await run('one-time code', async () => {
    if (!(await signInWithCode(context, (otp) => fill(page, { username: otpUser, password, otp })))) return 'refused';
    await page.getByTestId('username').getByText(otpUser, { exact: true }).waitFor();
    return 'signed in';
  });
  await signOut(page);
  await run('a guarded page asks for a sign-in, and opens after it', async () => {
    await page.getByRole('link', { name: 'Account' }).click();
    await signInHeading(page);
    await fill(page, { username: user, password });
    await page.getByRole('heading', { name: 'Account' }).waitFor();
    await page.getByTestId('account').getByText('Scopes').waitFor();
    return new URL(page.url()).hash;
  });
  await inspect(page, 'apollo-account');
  await page.getByRole('link', { name: 'Home' }).click();
  await hello(page);
  await run('a denied field', async () => {
    await page.getByRole('button', { name: 'Ask without a token' }).click();
    await page.getByTestId('denied').getByRole('alert').waitFor();
    return [await page.getByTestId('denied').locator('.terms dd').allTextContents(), await page.getByTestId('username').textContent()];
  });
  await inspect(page, 'apollo-me');
  await run('no secrets are stored', async () => /eyJ|canary/.test(await stored(page)) || (await stored(page)).includes(password));
  await run('reloading the last tab signs out', async () => {
    await page.reload();
    await signInHeading(page);
    return 'signed out';
  });
  await context.close();
}

async function manyTabs() {
  const context = await newContext({ stopped: true });
  const [one, two] = [await open(context), await open(context)];
  await run('two tabs share a session, even after a reload', async () => {
    await signIn(one);
    await hello(two);
    await two.reload();
    await hello(two);
    return 'shared';
  });
  await run('signing out in one tab signs out the other', async () => {
    await signOut(one);
    await signInHeading(two);
    return two.getByText(user, { exact: true }).count();
  });
  await context.close();
}

async function expired() {
  const context = await newContext({ stopped: true });
  const page = await open(context);
  await run('ten operations fail with an expired token: one refresh, and all are retried', async () => {
    await signIn(page);
    await outdate(context);
    const refreshes = counter(context, 'Refresh');
    const queries = counter(context, 'Who');
    return [await ten(page), { sent: queries.sent, refreshes: refreshes.sent }];
  });
  await context.close();
}

async function joining() {
  const context = await newContext({ stopped: true });
  const one = await open(context);
  await run('a tab that is opened during a refresh', async () => {
    await signIn(one);
    await outdate(context);
    const refreshes = counter(context, 'Refresh');
    const { held, release } = await hold(context, 'Refresh');
    const results = ten(one);
    await held;
    const two = await context.newPage();
    await two.goto(app);
    await two.getByRole('button', { name: 'Sign out' }).waitFor(); // it has the session
    release();
    await hello(two);
    return [await results, { refreshes: refreshes.sent }];
  });
  await context.close();
}

async function outage() {
  const context = await newContext({ stopped: true });
  const page = await open(context, linkedApp);
  await run('Keycloak is down: sign-in', async () => {
    await control('down');
    await fill(page, { username: user, password });
    return alert(page);
  });
  await inspect(page, 'apollo-keycloak-down');
  await run('Keycloak is down: users stay signed in', async () => {
    await control('up');
    await fill(page, { username: user, password });
    await hello(page);
    await outdate(context);
    await control('down');
    const failed = await ten(page);
    await control('up');
    await advance(page, 1100); // a session doesn't refresh again at once
    await page.getByRole('button', { name: 'Run ten operations at once' }).click();
    await page.getByTestId('ten').getByText('10 of 10').waitFor();
    return [failed, await page.getByTestId('ten').textContent()];
  });
  await context.close();
}

async function smallAndDark() {
  const context = await newContext({ viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
  const page = await open(context);
  await inspect(page, 'apollo-phone-sign-in');
  await signIn(page);
  await inspect(page, 'apollo-phone');
  await run('a phone scrolls only vertically', () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await context.close();
}

await oneTab();
await manyTabs();
await smallAndDark();
await expired();
await joining();
await outage();
await finish();
