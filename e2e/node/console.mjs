// node console.mjs SETTINGS drives the console in Chromium, and prints a line of JSON for each case.
import {
  advanceClock, control, countOperations, expireToken, finish, holdResponses, inspect, newContext, operationOf, run, settings, signInWithCode, storedData,
  waitForRefreshes,
} from './browser.mjs';

// The URLs of the servers: proxied reaches Keycloak through a proxy that can be taken down, noIntrospection has
// introspection off, otherAudience accepts only tokens for another API, and dev is cloakql-dev with its fake Keycloak.
const { server, proxied, noIntrospection, otherAudience, dev, user, password, otpUser } = settings;

const tokenLifetime = settings.tokenLifetime * 1000;

async function open(context, url = server) {
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('.query-editor .view-line').first().waitFor();
  return page;
}

const pageHeader = (page) => page.locator('header.top');
const signInButton = (page) => pageHeader(page).getByRole('button', { name: 'Sign in' });
const signOutButton = (page) => page.getByRole('button', { name: 'Sign out' });
const waitForUser = (page, name) => page.getByTestId('who').getByText(name, { exact: true }).waitFor();
const signInForm = (page) => page.getByRole('dialog', { name: 'Sign in' });

async function fillForm(page, { username, password, otp }) {
  if (!(await signInForm(page).isVisible())) await signInButton(page).click();
  await signInForm(page).getByLabel('Username').fill(username);
  await signInForm(page).getByLabel('Password').fill(password);
  if (otp) {
    const link = signInForm(page).getByRole('button', { name: 'I have a one-time code' });
    if (await link.isVisible()) await link.click();
    await signInForm(page).getByLabel('One-time code').fill(otp);
  }
}

async function submitForm(page, person) {
  await fillForm(page, person);
  await signInForm(page).getByRole('button', { name: 'Sign in' }).click();
}

async function signIn(page) {
  await submitForm(page, { username: user, password });
  await waitForUser(page, user);
}

// The text of an editor: operation.graphql, variables.json, request-headers.json or response.json.
const editorText = (page, file) => page.evaluate((file) => globalThis.__MONACO.editor.getModels().find(({ uri }) => uri.path.endsWith(file)).getValue(), file);
const setEditorText = (page, file, text) =>
  page.evaluate(([file, text]) => globalThis.__MONACO.editor.getModels().find(({ uri }) => uri.path.endsWith(file)).setValue(text), [file, text]);
const waitForText = (page, file, pattern) =>
  page.waitForFunction(([file, pattern]) =>
    new RegExp(pattern).test(globalThis.__MONACO.editor.getModels().find(({ uri }) => uri.path.endsWith(file)).getValue()), [file, pattern]);

// openExample opens an example operation, and waits until it is in the editor.
async function openExample(page, title) {
  await page.getByRole('navigation', { name: 'Operations' }).getByRole('button', { name: title, exact: true }).click();
  await waitForText(page, 'operation.graphql', `(query|mutation) ${title}\\b`);
}

// execute runs the operation in the editor, and returns the response that is shown.
async function execute(page) {
  await setEditorText(page, 'response.json', '');
  await page.getByRole('button', { name: /^Execute/ }).click();
  return shownResponse(page);
}

async function shownResponse(page) {
  await waitForText(page, 'response.json', '.');
  await page.waitForFunction(() => document.querySelector('.result-window .view-lines')?.textContent.length > 2);
  return editorText(page, 'response.json');
}

const explainedCodes = (page) => page.getByRole('region', { name: 'What the errors mean' }).locator('code').allTextContents();
const errorCode = (response) => {
  const [{ extensions }] = JSON.parse(response).errors;
  return [extensions.code, extensions.reason].filter(Boolean).join('/');
};

// tokenID returns the ID of a page's token. Pages that share a session have the same ID.
async function tokenID(page) {
  await page.getByRole('button', { name: /^Token/ }).first().click();
  const panel = page.getByRole('region', { name: 'Token', exact: true });
  await panel.getByText('jti').waitFor();
  const id = await panel.locator('dl > div', { hasText: 'jti' }).locator('dd').textContent();
  await page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Token' }).click();
  return id;
}

// waitForNewToken waits until a page shows a new token.
const waitForNewToken = async (page, oldTokenID) => {
  while ((await tokenID(page)) === oldTokenID) await waitForRefreshes(page);
};

// measureFirstVisit measures a first visit with an empty cache: the bytes transferred, including the workers' files, and the milliseconds
// until Run can be pressed, which are only logged.
async function measureFirstVisit() {
  const context = await newContext();
  const page = await context.newPage();
  const sizes = [];
  context.on('response', (response) => {
    if (!response.url().endsWith('/graphql')) sizes.push(Number(response.headers()['content-length']));
  });
  const workers = ['editor', 'graphql', 'json'].map((name) => // loaded later
    context.waitForEvent('response', { predicate: (response) => response.url().includes(`/console/${name}.worker-`) }));
  const start = Date.now();
  await page.goto(server);
  await page.getByRole('button', { name: /^Execute/ }).waitFor();
  await page.locator('.query-editor .view-line').first().waitFor();
  const ready = Date.now() - start;
  await Promise.all(workers);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  console.error(`a first visit: ${bytes} bytes in ${sizes.length} files; Run can be pressed after ${ready} ms`);
  await run('a first visit loads at most 1.6 MB', () => bytes > 1_000_000 && bytes < 1_600_000);
  await context.close();
}

async function firstVisit() {
  const context = await newContext({ stoppedClock: true });
  const page = await open(context);
  await run('a first visit shows example operations', () =>
    page.getByRole('navigation', { name: 'Operations' }).locator('button:not([aria-label])').allTextContents());
  await inspect(page, 'console-first-visit');
  await run('me, anonymous', async () => [errorCode(await execute(page)), await explainedCodes(page)]);
  await inspect(page, 'console-denied');
  await run('denied, with the server\'s detail', async () => {
    await openExample(page, 'Denied');
    const response = await execute(page);
    return [errorCode(response), /The server says: \S/.test(await page.locator('.explanations').textContent())];
  });
  await run('login by hand', async () => {
    await openExample(page, 'Login');
    await setEditorText(page, 'variables.json', JSON.stringify({ username: user, password }));
    return Object.keys(JSON.parse(await execute(page)).data.login);
  });
  await run('refresh by hand uses the token of login', async () => {
    await openExample(page, 'Refresh');
    return Object.keys(JSON.parse(await execute(page)).data.refresh);
  });
  await run('a login by hand does not sign in', async () => signInButton(page).isVisible());

  await signInButton(page).click();
  await inspect(page, 'console-sign-in');
  await run('wrong password', async () => {
    await submitForm(page, { username: user, password: 'wrong-password-canary' });
    return signInForm(page).getByRole('alert').locator('code').textContent();
  });
  await inspect(page, 'console-wrong-password');
  await run('one-time code missing', async () => {
    await submitForm(page, { username: otpUser, password });
    await signInForm(page).getByRole('button', { name: 'Sign in', exact: true }).waitFor();
    return signInForm(page).getByRole('alert').locator('code').textContent();
  });
  await run('one-time code', async () => {
    await fillForm(page, { username: otpUser, password, otp: '123456' });
    await inspect(page, 'console-one-time-code');
    if (!(await signInWithCode(context, (otp) => submitForm(page, { username: otpUser, password, otp })))) return 'refused';
    await waitForUser(page, otpUser);
    return 'signed in';
  });
  await run('sign out', async () => {
    await signOutButton(page).click();
    return pageHeader(page).getByRole('status').textContent();
  });

  await run('sign in with the keyboard', async () => {
    await signInButton(page).focus();
    await page.keyboard.press('Enter');
    await signInForm(page).locator('[name=username]:focus').waitFor();
    await page.keyboard.type(user);
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await waitForUser(page, user);
    return page.evaluate(() => document.activeElement.className); // the focus is still in the page
  });
  await run('run me and leave the editor with the keyboard', async () => {
    await openExample(page, 'Me');
    const editor = page.getByRole('group', { name: /^Operation/ });
    await editor.focus();
    await setEditorText(page, 'response.json', '');
    await page.keyboard.press('Enter'); // into the editor
    await page.waitForFunction(() => document.querySelector('.query-editor').contains(document.activeElement));
    await page.keyboard.press('Control+Enter');
    const response = await shownResponse(page);
    await page.keyboard.press('Escape');
    const focused = await editor.evaluate((element) => element === document.activeElement);
    return [JSON.parse(response).data.me.username === user, focused];
  });
  await inspect(page, 'console-me');
  await run('the token\'s remaining time', async () => /^Token \d+:\d\d$/.test(await page.getByTestId('remaining').textContent()));
  await run('the token, claim by claim', async () => {
    await page.getByRole('button', { name: /^Token \d/ }).click();
    const panel = page.getByRole('region', { name: 'Token', exact: true });
    const claim = (name) => panel.locator('dl > div').filter({ has: page.locator('code', { hasText: new RegExp(`^${name}$`) }) }).textContent();
    return [await page.getByTestId('verdict').textContent(), await claim('preferred_username'), /^iss Issuer: the realm that issued the token/.test(await claim('iss'))];
  });
  await inspect(page, 'console-token');
  await page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Docs' }).click();
  await page.getByRole('link', { name: 'Query', exact: true }).waitFor();
  await inspect(page, 'console-docs');
  await page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Examples' }).click();
  await inspect(page, 'console-examples');
  await run('no secrets are stored', async () => {
    await advanceClock(page, 1000); // GraphiQL stores with a delay
    const text = await storedData(page);
    return [text.includes('query Me'), /eyJ|canary/.test(text) || text.includes(password)];
  });
  await run('a document that may contain a secret isn\'t stored', async () => {
    await openExample(page, 'Me');
    const foundInStorage = [];
    for (const document of [
      'mutation { login(username: "a", password: "hunter2canary") { accessToken } }', 'mutation { login(username: "a", password: "hunter2canary',
      "mutation { login(username: 'a', password: 'hunter2canary') { accessToken } }", 'mutation { login(username: a, password: hunter2canary) { accessToken } }',
      'query Canary { me { id } } # hunter2canary', 'Bearer hunter2canary', 'mutation { login(otp: 1234567890) { accessToken } }',
      'query Kept($canary: String) { me { id } }', // may be stored
    ]) {
      await setEditorText(page, 'operation.graphql', document);
      await advanceClock(page, 1000); // GraphiQL stores with a delay
      foundInStorage.push(/canary|1234567890/.test(await storedData(page)));
    }
    return foundInStorage;
  });
  await run('reloading the last tab signs out', async () => {
    await page.reload();
    await signInButton(page).waitFor();
    return pageHeader(page).getByRole('status').textContent();
  });
  await context.close();
}

async function sharedSession() {
  const context = await newContext({ stoppedClock: true });
  const [firstTab, secondTab] = [await open(context), await open(context)];
  await run('closing the form restores the focus', async () => {
    await signInButton(secondTab).click();
    await signInForm(secondTab).getByRole('button', { name: 'Cancel' }).click();
    return secondTab.evaluate(() => document.activeElement.textContent);
  });
  await run('an open form closes when another tab signs in', async () => {
    await signInButton(secondTab).click();
    await signIn(firstTab);
    await waitForUser(secondTab, user);
    await signOutButton(firstTab).click();
    await signInButton(secondTab).waitFor();
    return signInForm(secondTab).isVisible();
  });
  await run('two tabs share a session', async () => {
    await signIn(firstTab);
    await waitForUser(secondTab, user);
    return (await tokenID(firstTab)) === (await tokenID(secondTab));
  });
  await run('a reload gets the session from the other tab', async () => {
    await secondTab.reload();
    await waitForUser(secondTab, user);
    return (await tokenID(firstTab)) === (await tokenID(secondTab));
  });
  await run('signing out in one tab signs out the other', async () => {
    await signOutButton(firstTab).click();
    return [await pageHeader(firstTab).getByRole('status').textContent(), await signInButton(secondTab).waitFor().then(() => 'signed out')];
  });
  await context.close();
}

async function refreshBeforeExpiry() {
  const context = await newContext({ stoppedClock: true });
  const pages = [await open(context), await open(context)];
  await run('one of two tabs refreshes before the token expires', async () => {
    const count = countOperations(context, 'Refresh');
    await signIn(pages[0]);
    await waitForUser(pages[1], user);
    const oldTokenID = await tokenID(pages[0]);
    // Half a minute before the refresh is due, since a new token's lifetime is seconds shorter if Keycloak is slow.
    for (const page of pages) await advanceClock(page, tokenLifetime - 60_000);
    await waitForRefreshes(pages[0]);
    const earlyCount = count.sent;
    for (const page of pages) await advanceClock(page, 31_000);
    await waitForRefreshes(pages[0]);
    for (const page of pages) await waitForNewToken(page, oldTokenID);
    const [a, b] = [await tokenID(pages[0]), await tokenID(pages[1])];
    return { early: earlyCount, sent: count.sent, same: a === b };
  });
  await context.close();
}

async function refreshAfterExpiry() {
  const context = await newContext({ stoppedClock: true });
  const pages = [];
  for (let i = 0; i < 10; i++) pages.push(await open(context)); // one after another: each is heavy
  await run('ten operations fail with an expired token: one refresh, and all are retried', async () => {
    await signIn(pages[0]);
    await Promise.all(pages.map((page) => waitForUser(page, user)));
    await expireToken(context);
    const count = countOperations(context, 'Refresh');
    const queries = countOperations(context, 'Me');
    const { release } = await holdResponses(context, 'Refresh'); // until all ten have failed
    const failed = Promise.all(pages.map((page) => page.waitForResponse((response) => operationOf(response.request()) === 'Me')));
    failed.then(release);
    const results = await Promise.all(pages.map(async (page) => {
      return JSON.parse(await execute(page)).data.me.username === user;
    }));
    return { succeeded: results.filter(Boolean).length, sent: queries.sent, refreshes: count.sent };
  });
  await context.close();
}

async function openTabDuringRefresh() {
  const context = await newContext({ stoppedClock: true });
  const firstTab = await open(context);
  await run('a tab that is opened during a refresh', async () => {
    await signIn(firstTab);
    const oldTokenID = await tokenID(firstTab);
    await expireToken(context);
    const count = countOperations(context, 'Refresh');
    const { arrival, release } = await holdResponses(context, 'Refresh');
    await firstTab.getByRole('button', { name: /^Execute/ }).click();
    await arrival;
    const secondTab = await open(context);
    await signOutButton(secondTab).waitFor(); // it has the session
    release();
    await waitForUser(secondTab, user);
    await waitForRefreshes(secondTab);
    for (const page of [firstTab, secondTab]) await waitForNewToken(page, oldTokenID);
    const [a, b] = [await tokenID(firstTab), await tokenID(secondTab)];
    return { refreshes: count.sent, same: a === b };
  });
  await context.close();
}

async function signOutDuringRefresh() {
  const context = await newContext({ stoppedClock: true });
  const [firstTab, secondTab] = [await open(context), await open(context)];
  await run('signing out during a refresh', async () => {
    await signIn(firstTab);
    await waitForUser(secondTab, user);
    await expireToken(context);
    const { arrival, release } = await holdResponses(context, 'Refresh');
    await firstTab.getByRole('button', { name: /^Execute/ }).click();
    await arrival;
    await signOutButton(secondTab).click();
    await signInButton(firstTab).waitFor();
    const lateLogout = context.waitForEvent('requestfinished', { predicate: (request) => operationOf(request) === 'Logout' });
    release();
    await lateLogout; // of the session that the refresh has renewed
    await waitForRefreshes(firstTab);
    return [await signInButton(firstTab).isVisible(), await signInButton(secondTab).isVisible()];
  });
  await context.close();
}

async function keycloakOutage() {
  const context = await newContext({ stoppedClock: true });
  const page = await open(context, proxied);
  await run('Keycloak is down: sign-in', async () => {
    await control('down');
    await submitForm(page, { username: user, password });
    return signInForm(page).getByRole('alert').locator('code').textContent();
  });
  await inspect(page, 'console-keycloak-down');
  await run('Keycloak is down: users stay signed in', async () => {
    await control('up');
    await submitForm(page, { username: user, password });
    await waitForUser(page, user);
    await control('down');
    const failedRefresh = page.waitForResponse((response) => operationOf(response.request()) === 'Refresh');
    await advanceClock(page, tokenLifetime - 29_000);
    const response = await (await failedRefresh).json();
    await waitForRefreshes(page);
    const staysSignedIn = await signOutButton(page).isVisible();
    await control('up');
    const nextRefresh = page.waitForResponse((response) => operationOf(response.request()) === 'Refresh');
    await advanceClock(page, 11_000);
    return [errorCode(JSON.stringify(response)), staysSignedIn, Object.keys(await (await nextRefresh).json())];
  });
  await context.close();
}

async function rejectedToken() {
  const context = await newContext();
  const page = await open(context, otherAudience);
  await run('a rejected token, with the reason', async () => {
    await submitForm(page, { username: user, password });
    await page.getByTestId('who').getByText('Token refused').waitFor();
    await page.getByRole('button', { name: /^Token \d/ }).click();
    const verdict = page.getByTestId('verdict');
    return [await verdict.locator('code').textContent(), /accepted in aud: \S+/.exec(await verdict.locator('.detail').textContent())[0]];
  });
  await inspect(page, 'console-token-refused');
  await context.close();
}

// openWithResponses opens the console with a server that returns these responses to operations with these names.
async function openWithResponses(responses) {
  const context = await newContext({ stoppedClock: true });
  const count = countOperations(context, 'Refresh');
  await context.route('**/graphql', async (route) => {
    const body = responses[operationOf(route.request())];
    return body ? route.fulfill({ status: 200, contentType: 'application/json', body }) : route.fallback();
  });
  const page = await open(context);
  return { context, page, count };
}

async function hostileServer() {
  await run('every token is rejected as expired: only one refresh', async () => {
    const expiredTokenResponse = { errors: [{ message: 'Token has expired', extensions: { code: 'UNAUTHENTICATED', reason: 'TOKEN_EXPIRED' } }], data: { me: null } };
    const { context, page, count } = await openWithResponses({ WhoAmI: JSON.stringify(expiredTokenResponse) });
    await submitForm(page, { username: user, password });
    await page.getByTestId('who').getByText('Token refused').waitFor();
    await execute(page); // anything else that the responses triggered has started before this
    await waitForRefreshes(page);
    await context.close();
    return count.sent;
  });
  await run('hostile claims and responses', async () => {
    const encodeSegment = (text) => Buffer.from(text).toString('base64url');
    const token = [encodeSegment('{"alg":"none","__proto__":{"a":1}}'), encodeSegment('{"__proto__":{"a":1},"iss":{"constructor":"<img src=x>"},"constructor":1,"exp":1e300}'), 'x'].join('.');
    const { context, page } = await openWithResponses({
      Login: JSON.stringify({ data: { login: { accessToken: token, expiresIn: 300, refreshToken: 'x', refreshExpiresIn: 300 } } }),
      WhoAmI: '{"data":{"me":{"id":"a","username":{"a":"<b>"},"name":["__proto__"]}}}',
      Me: `{"data":{"__proto__":{"a":${'['.repeat(20000)}${']'.repeat(20000)}}},"errors":[{"message":"x","extensions":{"code":"__proto__","reason":{},"detail":"<img src=x>"}}],"incremental":[{"path":["__proto__"],"data":{"polluted":1}}]}`,
    });
    await submitForm(page, { username: user, password });
    await signOutButton(page).waitFor();
    await page.getByRole('button', { name: /^Token/ }).first().click();
    await page.getByRole('region', { name: 'Token', exact: true }).getByText('__proto__').first().waitFor();
    await execute(page);
    const alive = await signOutButton(page).isVisible();
    const polluted = await page.evaluate(() => ({}).polluted);
    await context.close();
    return [alive, polluted ?? null];
  });
  await run('an error code of the application: its message is shown', async () => {
    const closedShop = JSON.stringify({ errors: [{ message: 'The shop is closed', extensions: { code: 'SHOP_CLOSED', reason: 'NIGHT' } }], data: null });
    const { context, page } = await openWithResponses({ Login: closedShop, Me: closedShop });
    await submitForm(page, { username: user, password });
    const failure = await signInForm(page).getByRole('alert').getByText('SHOP_CLOSED').locator('..').textContent();
    await signInForm(page).getByRole('button', { name: 'Cancel' }).click();
    await execute(page);
    const explanations = await page.locator('.explanations .explanation').allTextContents();
    await context.close();
    return [failure, explanations];
  });
  await run('access rules: what they require is shown', async () => {
    const errors = [{ code: 'FORBIDDEN', reason: 'ROLE_MISSING', required: { anyOf: ['admin'] } },
      { code: 'UNAUTHENTICATED', reason: 'STEP_UP_REQUIRED', acrValues: ['gold', 'silver'], maxAge: 300 }];
    const { context, page } = await openWithResponses({
      Me: JSON.stringify({ errors: errors.map((extensions) => ({ message: 'No', extensions })), data: null }),
    });
    await execute(page);
    const requirements = await page.locator('.explanations .detail').allTextContents();
    await context.close();
    return requirements;
  });
  await run('signing out leaves no tokens and no password', findSecretsAfterSignOut);
}

async function serverWithoutKeys() {
  await run('a server without keys: no verdict on the token', async () => {
    const { context, page } = await openWithResponses({ WhoAmI: JSON.stringify({ errors: [{ message: 'Tokens can\'t be verified right now', extensions: { code: 'SERVICE_UNAVAILABLE', reason: 'KEYS_UNAVAILABLE' } }], data: { me: null } }) });
    await submitForm(page, { username: user, password });
    await signOutButton(page).waitFor();
    await page.getByRole('button', { name: /^Token \d/ }).click();
    const verdict = await page.getByTestId('verdict').locator('code').textContent();
    const name = await page.getByTestId('who').textContent();
    await context.close();
    return [name, verdict];
  });
}

async function hostileSchema() {
  await run('a link in the docs opens a new tab', async () => {
    const context = await newContext();
    await context.route('**/graphql', async (route) => {
      if (operationOf(route.request()) !== 'IntrospectionQuery') return route.fallback();
      const response = await route.fetch();
      await route.fulfill({ response, body: (await response.text()).replace('The root of all queries.', '[go](http://127.0.0.1:9/elsewhere)') });
    });
    const page = await open(context);
    await page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Docs' }).click();
    await page.getByRole('link', { name: 'Query', exact: true }).click();
    const newPage = context.waitForEvent('page');
    await page.getByRole('link', { name: 'go', exact: true }).click();
    await newPage;
    const pageUnchanged = page.url() === server && (await signInButton(page).isVisible());
    await context.close();
    return pageUnchanged;
  });
}

// Monaco renders descriptions of the schema as HTML. The build of the console replaces Monaco's own copies of marked and
// DOMPurify.
async function hostileDescription() {
  await run('a description in the editor is shown and sanitized', async () => {
    const context = await newContext();
    await context.route('**/graphql', async (route) => {
      if (operationOf(route.request()) !== 'IntrospectionQuery') return route.fallback();
      const response = await route.fetch();
      const json = await response.json();
      const fields = json.data.__schema.types.find(({ name }) => name === 'Query').fields;
      fields.find(({ name }) => name === 'me').description =
        '**Bold** <img src=x onerror="globalThis.hacked = 1"><a href="javascript:hacked = 2">a</a> [b](javascript:hacked=3) <svg><script>hacked = 4</script></svg>';
      await route.fulfill({ response, json });
    });
    const page = await open(context);
    const hover = page.locator('.monaco-hover .rendered-markdown').filter({ hasText: 'Bold' });
    for (let attempt = 0; attempt < 500 && !(await hover.isVisible()); attempt++) { // the worker may not have the schema yet
      await page.evaluate(() => {
        const editor = globalThis.__MONACO.editor.getEditors().find((editor) => editor.getModel()?.uri.path.endsWith('operation.graphql'));
        const range = editor.getModel().findMatches('\\bme\\b', false, true, true, null, false)[0].range;
        editor.setPosition({ lineNumber: range.startLineNumber, column: range.startColumn + 1 });
        editor.focus();
        editor.trigger('', 'editor.action.showHover', {});
      });
      await page.waitForTimeout(200);
    }
    const html = await hover.innerHTML();
    const harmless = await hover.evaluate((element) => !element.querySelector('img, script, svg, [onerror], [href^="javascript"]'));
    const hacked = await page.evaluate(() => globalThis.hacked);
    await context.close();
    return [html.includes('<strong>Bold</strong>'), harmless, hacked ?? null];
  });
}

// All texts that the console puts into editors can be read without horizontal scrolling at any width.
async function editorTextsFit() {
  await run('the console\'s texts aren\'t cut off, and wrap only if necessary', async () => {
    const context = await newContext();
    const page = await open(context);
    for (const { width, docs, hasRoom } of [{ width: 1280, docs: false, hasRoom: true }, { width: 1400, docs: true, hasRoom: true }, { width: 1024, docs: true }, { width: 390, docs: false }]) {
      await page.setViewportSize({ width, height: 800 });
      const button = page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Docs' });
      if (((await button.getAttribute('aria-expanded')) === 'true') !== docs) await button.click();
      for (const title of ['Me', 'Login', 'Refresh', 'Denied']) {
        await openExample(page, title);
        await page.waitForFunction(([hasRoom]) => globalThis.__MONACO.editor.getEditors().filter((editor) => editor.getModel()).every((editor) => {
          const { contentWidth } = editor.getLayoutInfo();
          const lines = editor.getModel().getLineCount();
          const height = editor.getTopForLineNumber(lines) - editor.getTopForLineNumber(1);
          const unwrapped = height === (lines - 1) * editor.getOption(globalThis.__MONACO.editor.EditorOption.lineHeight);
          const hidden = contentWidth <= 0;
          return hidden || (editor.getScrollWidth() <= contentWidth && (unwrapped || !hasRoom));
        }), [hasRoom]);
      }
    }
    await context.close();
    return true;
  });
}

async function suggestedUser() {
  const context = await newContext();
  const page = await open(context, dev);
  await run('with the fake Keycloak, the form suggests alice', async () => {
    await openExample(page, 'Login');
    const { username } = JSON.parse(await editorText(page, 'variables.json'));
    await signInButton(page).click();
    await signInForm(page).getByRole('button', { name: 'Fill in alice' }).click();
    await page.keyboard.press('Enter');
    await waitForUser(page, 'alice');
    return [username, await page.getByTestId('who').allTextContents()];
  });
  const otherPage = await open(context);
  await run('without the fake Keycloak, the form suggests no user', async () => {
    await openExample(otherPage, 'Login');
    await signInButton(otherPage).click();
    return [await signInForm(otherPage).getByRole('button', { name: /Fill in/ }).count(), JSON.parse(await editorText(otherPage, 'variables.json')).username];
  });
  await context.close();
}

// After signing out, the page contains neither the user's tokens nor the password.
async function findSecretsAfterSignOut() {
  const context = await newContext({ stoppedClock: true });
  const page = await open(context);
  await signIn(page);
  await openExample(page, 'Login');
  await setEditorText(page, 'variables.json', JSON.stringify({ username: user, password }));
  await execute(page);
  await openExample(page, 'Refresh');
  await waitForText(page, 'variables.json', 'eyJ');
  await signOutButton(page).click();
  await signInButton(page).waitFor();
  const texts = [];
  for (const title of ['Me', 'Login', 'Refresh', 'Denied']) {
    await openExample(page, title);
    texts.push((await editorText(page, 'response.json')) + (await editorText(page, 'variables.json')));
  }
  await context.close();
  return /eyJ/.test(texts.join()) || texts.join().includes(password);
}

async function introspectionOff() {
  const context = await newContext();
  const page = await open(context, noIntrospection);
  await run('introspection off: a notice, and operations run', async () => {
    const notice = await page.locator('.notice').textContent();
    await signIn(page);
    return [notice, JSON.parse(await execute(page)).data.me.username === user];
  });
  await inspect(page, 'console-introspection-off');
  await context.close();
}

async function darkPhone() {
  const context = await newContext({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
  const page = await open(context);
  await execute(page);
  await inspect(page, 'console-phone');
  await run('a phone scrolls only vertically', () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight));
  await signIn(page);
  await page.getByRole('button', { name: /^Token \d/ }).click();
  await page.getByTestId('verdict').getByText('accepts').waitFor();
  await inspect(page, 'console-phone-token');
  await page.getByLabel('Theme').selectOption('light');
  await inspect(page, 'console-phone-light');
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.getByLabel('Theme').selectOption('dark');
  await inspect(page, 'console-dark');
  await context.close();
}

await measureFirstVisit();
await firstVisit();
await sharedSession();
await hostileServer();
await hostileSchema();
await hostileDescription();
await editorTextsFit();
await suggestedUser();
await serverWithoutKeys();
await rejectedToken();
await introspectionOff();
await darkPhone();
await refreshBeforeExpiry();
await openTabDuringRefresh();
await signOutDuringRefresh();
await refreshAfterExpiry();
await keycloakOutage();
await finish();
