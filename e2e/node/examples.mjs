// node examples.mjs SETTINGS signs in and out with the examples for fetch and urql, and prints a line of JSON for each.
import { connect as withFetch } from '../../examples/fetch/main.mjs';
import { connect as withUrql } from '../../examples/urql/main.mjs';

const { url, user, password, expired } = JSON.parse(process.argv[2]);

// counting returns a fetch that counts operations by name, and the counts. It sends an expired token in place of the
// first token, so that the test needn't wait until that expires.
function counting() {
  const sent = {};
  let first;
  return [sent, (input, init) => {
    const name = /(?:query|mutation) (\w+)/.exec(JSON.parse(init.body).query)?.[1];
    sent[name] = (sent[name] ?? 0) + 1;
    const headers = new Headers(init.headers);
    const authorization = headers.get('authorization');
    first ??= authorization;
    if (authorization && authorization === first) headers.set('authorization', `Bearer ${expired}`);
    return fetch(input, { ...init, headers });
  }];
}

const [fetched, sendFetch] = counting();
const [urqled, sendUrql] = counting();
const byFetch = withFetch(url, sendFetch);
const byUrql = withUrql(url, sendUrql);
const examples = {
  fetch: { sent: fetched, ...byFetch, ask: (n) => byFetch.query(`query Me${n} { me { username } }`) },
  urql: { sent: urqled, ...byUrql, ask: (n) => byUrql.client.query(`query Me${n} { me { username } }`, {}).toPromise() },
};

const ten = Array.from({ length: 10 }, (_, n) => n);
// One after another, since an account's sign-ins queue, and are delayed after a wrong password.
for (const [name, { sent, ask, signIn, signOut }] of Object.entries(examples)) {
  const wrong = await signIn({ username: user, password: 'wrong' }).then(() => 'signed in', ({ code }) => code);
  await signIn({ username: user, password });
  const results = await Promise.all(ten.map(ask));
  const succeeded = results.filter(({ data }) => data?.me?.username === user).length;
  const signedOut = await signOut();
  const after = await ask(10);
  const denied = (after.errors ?? after.error?.graphQLErrors)[0].extensions.reason;
  console.log(JSON.stringify({ case: name, result: JSON.stringify({ wrong, succeeded, sent: sent.Me0, refreshes: sent.Refresh, signedOut, denied }) }));
}
