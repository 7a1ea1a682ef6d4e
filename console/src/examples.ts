// The operations in the tabs of a first visit. Their lines fit the editor next to an open panel.
import { offered } from "./offered.ts";

export type Example = { title: string; about: string; query: string; variables?: string; headers?: string };

const emptyRefresh = `{
  "refreshToken": ""
}`;

export const examples: Example[] = [
  {
    title: "Me",
    about: "Who the token says you are. Denied until you sign in.",
    query: `# Who am I? Sign in above first: this field
# needs an access token.
query Me {
  me {
    username
    name
    email
    realmRoles
    clientRoles {
      client
      roles
    }
    groups
    token {
      expiresAt
      scope
    }
  }
}
`,
  },
  {
    title: "Login",
    about: "Exchanges a username and a password for tokens, as the sign-in above does.",
    query: `# The sign-in above does this too. The console
# doesn't use the tokens that you get here.
# Enter a user of your realm in Variables.
mutation Login(
  $username: String!
  $password: String!
  $otp: String
) {
  login(
    username: $username
    password: $password
    otp: $otp
  ) {
    tokenType
    accessToken
    expiresIn
    refreshToken
    refreshExpiresIn
    scope
  }
}
`,
    variables: JSON.stringify({ username: offered[0]?.username ?? "", password: offered[0]?.password ?? "" }, null, 2),
  },
  {
    title: "Refresh",
    about: "Exchanges a refresh token for new tokens. Run Login first: its refresh token is filled in.",
    query: `# Run Login first: its refresh token is filled
# in below. A realm may accept each one once.
mutation Refresh($refreshToken: String!) {
  refresh(refreshToken: $refreshToken) {
    accessToken
    expiresIn
    refreshToken
  }
}
`,
    variables: emptyRefresh,
  },
  {
    title: "Denied",
    about: "A guarded field with an invalid token: the error says why.",
    query: `# The header below has an invalid token. The
# error has a code and a reason.
query Denied {
  me {
    username
  }
}
`,
    headers: `{
  "Authorization": "Bearer not-a-token"
}`,
  },
];

let lastRefreshToken: string | undefined;

/** Forgets the refresh token: the next person to sign in may be somebody else. */
export function forgetTokens(): void {
  lastRefreshToken = undefined;
}

/** Remembers the refresh token in a response to login or refresh, for the example Refresh. */
export function noteTokens(data: Record<string, unknown> | null | undefined): void {
  for (const value of Object.values(data ?? {})) {
    const token = (value as { refreshToken?: unknown } | null)?.refreshToken;
    if (typeof token === "string") lastRefreshToken = token;
  }
}

/** Returns the variables of the example Refresh with the last refresh token, if they are empty and there is one. */
export function filledVariables(variables: string): string | undefined {
  return variables === emptyRefresh && lastRefreshToken ? JSON.stringify({ refreshToken: lastRefreshToken }, null, 2) : undefined;
}

/** Returns the variables and headers of the example with this document; null if it isn't an example's. */
export function exampleInputs(query: string | null): { variables: string | null; headers: string | null } {
  const example = examples.find((example) => example.query === query);
  return { variables: example?.variables ?? null, headers: example?.headers ?? null };
}

/** Restores the variables and headers of examples, which aren't stored, in the tabs that still have an example's document. */
export function restored(tabState: string): string {
  const state = JSON.parse(tabState) as { tabs: { query: string | null; variables: string | null; headers: string | null }[] };
  for (const tab of state.tabs) Object.assign(tab, exampleInputs(tab.query));
  return JSON.stringify(state);
}
