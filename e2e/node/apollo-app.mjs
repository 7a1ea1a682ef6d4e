// node apollo-app.mjs SETTINGS drives the example for Apollo Client in Chromium, and prints a line of JSON for each case.
import { advanceClock, control, countOperations, expireToken, finish, holdResponses, inspect, newContext, run, settings, signInWithCode, storedData } from './browser.mjs';

// The server of proxiedApp reaches Keycloak through a proxy that can be taken down.
const { app, proxiedApp, user, password, otpUser } = settings;

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

const waitForUser = (page) => page.getByTestId('username').getByText(user, { exact: true }).waitFor();
const waitForSignIn = (page) => page.getByRole('heading', { name: 'Sign in' }).waitFor();
const signOut = (page) => page.getByRole('button', { name: 'Sign out' }).click();
const alertText = (page) => page.getByRole('alert').first().textContent();

async function signIn(page) {
  await fill(page, { username: user, password });
  await waitForUser(page);
}

async function runTenOperations(page) {
  await page.getByRole('button', { name: 'Run ten operations at once' }).click();
  await page.getByTestId('ten').getByText('answered').waitFor();
  return page.getByTestId('ten').textContent();
}

async function signInAndOut() {
  const context = await newContext();
  const page = await open(context);
  await inspect(page, 'apollo-sign-in');
  await run('wrong password', async () => {
    await fill(page, { username: user, password: 'wrong-password-canary' });
    return alertText(page);
  });
  await run('one-time code', async () => {
    if (!(await signInWithCode(context, (otp) => fill(page, { username: otpUser, password, otp })))) return 'refused';
    await page.getByTestId('username').getByText(otpUser, { exact: true }).waitFor();
    return 'signed in';
  });
  await signOut(page);
  await run('a guarded page asks for a sign-in, and opens after it', async () => {
    await page.getByRole('link', { name: 'Account' }).click();
    await waitForSignIn(page);
    await fill(page, { username: user, password });
    await page.getByRole('heading', { name: 'Account' }).waitFor();
    await page.getByTestId('account').getByText('Scopes').waitFor();
    return new URL(page.url()).hash;
  });
  await inspect(page, 'apollo-account');
  await page.getByRole('link', { name: 'Home' }).click();
  await waitForUser(page);
  await run('a denied field', async () => {
    await page.getByRole('button', { name: 'Ask without a token' }).click();
    await page.getByTestId('denied').getByRole('alert').waitFor();
    return [await page.getByTestId('denied').locator('.terms dd').allTextContents(), await page.getByTestId('username').textContent()];
  });
  await inspect(page, 'apollo-me');
  await run('no secrets are stored', async () => /eyJ|canary/.test(await storedData(page)) || (await storedData(page)).includes(password));
  await run('reloading the last tab signs out', async () => {
    await page.reload();
    await waitForSignIn(page);
    return 'signed out';
  });
  await context.close();
}

async function sharedSession() {
  const context = await newContext({ stoppedClock: true });
  const [firstTab, secondTab] = [await open(context), await open(context)];
  await run('two tabs share a session, even after a reload', async () => {
    await signIn(firstTab);
    await waitForUser(secondTab);
    await secondTab.reload();
    await waitForUser(secondTab);
    return 'shared';
  });
  await run('signing out in one tab signs out the other', async () => {
    await signOut(firstTab);
    await waitForSignIn(secondTab);
    return secondTab.getByText(user, { exact: true }).count();
  });
  await context.close();
}

async function refreshAfterExpiry() {
  const context = await newContext({ stoppedClock: true });
  const page = await open(context);
  await run('ten operations fail with an expired token: one refresh, and all are retried', async () => {
    await signIn(page);
    await expireToken(context);
    const refreshes = countOperations(context, 'Refresh');
    const queries = countOperations(context, 'Who');
    return [await runTenOperations(page), { sent: queries.sent, refreshes: refreshes.sent }];
  });
  await context.close();
}

async function openTabDuringRefresh() {
  const context = await newContext({ stoppedClock: true });
  const firstTab = await open(context);
  await run('a tab that is opened during a refresh', async () => {
    await signIn(firstTab);
    await expireToken(context);
    const refreshes = countOperations(context, 'Refresh');
    const { arrival, release } = await holdResponses(context, 'Refresh');
    const results = runTenOperations(firstTab);
    await arrival;
    const secondTab = await context.newPage();
    await secondTab.goto(app);
    await secondTab.getByRole('button', { name: 'Sign out' }).waitFor(); // it has the session
    release();
    await waitForUser(secondTab);
    return [await results, { refreshes: refreshes.sent }];
  });
  await context.close();
}

async function keycloakOutage() {
  const context = await newContext({ stoppedClock: true });
  const page = await open(context, proxiedApp);
  await run('Keycloak is down: sign-in', async () => {
    await control('down');
    await fill(page, { username: user, password });
    return alertText(page);
  });
  await inspect(page, 'apollo-keycloak-down');
  await run('Keycloak is down: users stay signed in', async () => {
    await control('up');
    await fill(page, { username: user, password });
    await waitForUser(page);
    await expireToken(context);
    await control('down');
    const failedResult = await runTenOperations(page);
    await control('up');
    await advanceClock(page, 1100); // a session doesn't refresh again at once
    await page.getByRole('button', { name: 'Run ten operations at once' }).click();
    await page.getByTestId('ten').getByText('10 of 10').waitFor();
    return [failedResult, await page.getByTestId('ten').textContent()];
  });
  await context.close();
}

async function darkPhone() {
  const context = await newContext({ viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
  const page = await open(context);
  await inspect(page, 'apollo-phone-sign-in');
  await signIn(page);
  await inspect(page, 'apollo-phone');
  await run('a phone scrolls only vertically', () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await context.close();
}

await signInAndOut();
await sharedSession();
await darkPhone();
await refreshAfterExpiry();
await openTabDuringRefresh();
await keycloakOutage();
await finish();
