// node examples.mjs SETTINGS signs in and out with the examples for fetch and urql, and prints a line of JSON for each.
import { connect as connectFetch } from '../../examples/fetch/main.mjs';
import { connect as connectUrql } from '../../examples/urql/main.mjs';

const { url, user, password, expired } = JSON.parse(process.argv[2]);

// countingFetch returns counts of operations by name, and a fetch that counts them. It sends an expired token in place
// of the first token, so that the test needn't wait until that token expires.
function countingFetch() {
  const sent = {};
  let firstAuthorization;
  return [sent, (input, init) => {
    const name = /(?:query|mutation) (\w+)/.exec(JSON.parse(init.body).query)?.[1];
    sent[name] = (sent[name] ?? 0) + 1;
    const headers = new Headers(init.headers);
    const authorization = headers.get('authorization');
    firstAuthorization ??= authorization;
    if (authorization && authorization === firstAuthorization) headers.set('authorization', `Bearer ${expired}`);
    return fetch(input, { ...init, headers });
  }];
}

const [fetchCounts, sendFetch] = countingFetch();
const [urqlCounts, sendUrql] = countingFetch();
const fetchExample = connectFetch(url, sendFetch);
const urqlExample = connectUrql(url, sendUrql);
const examples = {
  fetch: { sent: fetchCounts, ...fetchExample, queryMe: (n) => fetchExample.query(`query Me${n} { me { username } }`) },
  urql: { sent: urqlCounts, ...urqlExample, queryMe: (n) => urqlExample.client.query(`query Me${n} { me { username } }`, {}).toPromise() },
};

const numbers = Array.from({ length: 10 }, (_, n) => n);
// One after another, since an account's sign-ins queue, and are delayed after a wrong password.
for (const [name, { sent, queryMe, signIn, signOut }] of Object.entries(examples)) {
  const wrong = await signIn({ username: user, password: 'wrong' }).then(() => 'signed in', ({ code }) => code);
  await signIn({ username: user, password });
  const results = await Promise.all(numbers.map(queryMe));
  const succeeded = results.filter(({ data }) => data?.me?.username === user).length;
  const signedOut = await signOut();
  const response = await queryMe(10);
  const denied = (response.errors ?? response.error?.graphQLErrors)[0].extensions.reason;
  console.log(JSON.stringify({ case: name, result: JSON.stringify({ wrong, succeeded, sent: sent.Me0, refreshes: sent.Refresh, signedOut, denied }) }));
}
