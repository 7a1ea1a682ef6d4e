// What the clients' scripts share: a fetch that records what goes over the wire, and a line of JSON for each case.

let wire = [];

// recordingFetch is fetch. Of each exchange it keeps the method, the status, the media type and the codes of the errors.
export async function recordingFetch(input, init) {
  const request = new Request(input, init);
  const response = await fetch(request);
  const media = (response.headers.get('content-type') ?? '').split(';')[0];
  const body = await response.clone().json().catch(() => ({}));
  wire.push([request.method, response.status, media, ...codes(body.errors)].join(' '));
  return response;
}

// codes are CODE or CODE/REASON of each error.
export function codes(errors) {
  return (errors ?? []).map(({ extensions = {} }) => [extensions.code, extensions.reason].filter(Boolean).join('/'));
}

// run runs a case, which gives what the client makes of the answer, or throws what failed turns into codes. What is
// no error of GraphQL is told as it is.
export async function run(name, failed, f) {
  wire = [];
  let result;
  try {
    result = JSON.stringify(await f());
  } catch (error) {
    const found = failed(error);
    result = found?.length ? 'error ' + codes(found).join(' ') : `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify({ case: name, result, wire }));
}

// signedIn is what a case tells of tokens, which differ each time.
export function signedIn({ tokenType, accessToken, refreshToken }) {
  return { tokenType, accessToken: accessToken.split('.').length, refreshToken: refreshToken.split('.').length };
}

export const mediaTypes = ['application/json', 'application/graphql-response+json'];

export const documents = {
  me: 'query Me { me { id username } }',
  login: 'mutation Login($u: String!, $p: String!) { login(username: $u, password: $p) { tokenType accessToken refreshToken } }',
  refresh: 'mutation Refresh($r: String!) { refresh(refreshToken: $r) { tokenType accessToken refreshToken } }',
  logout: 'mutation Logout($r: String!) { logout(refreshToken: $r) }',
  invalid: 'query Invalid { me { nickname } }',
};
