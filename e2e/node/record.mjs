// Helpers of the scripts that run clients: they record HTTP requests, and print a line of JSON for each case.

let requests = [];

// recordingFetch is like fetch, and records each request's method and its response's status, media type and error codes.
export async function recordingFetch(input, init) {
  const request = new Request(input, init);
  const response = await fetch(request);
  const mediaType = (response.headers.get('content-type') ?? '').split(';')[0];
  const body = await response.clone().json().catch(() => ({}));
  requests.push([request.method, response.status, mediaType, ...codes(body.errors)].join(' '));
  return response;
}

// codes returns the code of each error, as CODE or CODE/REASON.
export function codes(errors) {
  return (errors ?? []).map(({ extensions = {} }) => [extensions.code, extensions.reason].filter(Boolean).join('/'));
}

// run runs a case, and prints its result and the recorded requests. f returns the client's result or throws an error.
// graphQLErrors returns the GraphQL errors of such an error; other errors are printed as they are.
export async function run(name, graphQLErrors, f) {
  requests = [];
  let result;
  try {
    result = JSON.stringify(await f());
  } catch (error) {
    const errors = graphQLErrors(error);
    result = errors?.length ? 'error ' + codes(errors).join(' ') : `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify({ case: name, result, requests }));
}

// describeTokens describes tokens by their type and number of parts, since they differ each time.
export function describeTokens({ tokenType, accessToken, refreshToken }) {
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
