// The operations in the tabs of a first visit. Their lines fit the editor next to an open panel.
import { suggestedUsers } from "./suggested-users.ts";

export type Example = { title: string; description: string; query: string; variables?: string; headers?: string };

const emptyRefreshVariables = `{
  "refreshToken": ""
}`;

export const examples: Example[] = [
  {
    title: "Me",
    description: "Who the token says you are. Denied until you sign in.",
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
    description: "Exchanges a username and a password for tokens, as the sign-in above does.",
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
    variables: JSON.stringify({ username: suggestedUsers[0]?.username ?? "", password: suggestedUsers[0]?.password ?? "" }, null, 2),
  },
  {
    title: "Refresh",
    description: "Exchanges a refresh token for new tokens. Run Login first: its refresh token is filled in.",
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
    variables: emptyRefreshVariables,
  },
  {
    title: "Denied",
    description: "A guarded field with an invalid token: the error says why.",
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
export function forgetRefreshToken(): void {
  lastRefreshToken = undefined;
}

/** Remembers the refresh token in a response to login or refresh, for the example Refresh. */
export function rememberRefreshToken(data: Record<string, unknown> | null | undefined): void {
  for (const value of Object.values(data ?? {})) {
    const token = (value as { refreshToken?: unknown } | null)?.refreshToken;
    if (typeof token === "string") lastRefreshToken = token;
  }
}

/** Returns the variables of the example Refresh with the last token, or undefined if they were edited or there is none. */
export function withRefreshToken(variables: string): string | undefined {
  return variables === emptyRefreshVariables && lastRefreshToken ? JSON.stringify({ refreshToken: lastRefreshToken }, null, 2) : undefined;
}

/** Returns the variables and headers of the example with this document, or null for each if there is none. */
export function exampleInputs(query: string | null): { variables: string | null; headers: string | null } {
  const example = examples.find((example) => example.query === query);
  return { variables: example?.variables ?? null, headers: example?.headers ?? null };
}

/** Adds the variables and headers of examples, which aren't stored, to the tabs with an example's document. */
export function restoreExamples(tabState: string): string {
  const state = JSON.parse(tabState) as { tabs: { query: string | null; variables: string | null; headers: string | null }[] };
  for (const tab of state.tabs) Object.assign(tab, exampleInputs(tab.query));
  return JSON.stringify(state);
}
