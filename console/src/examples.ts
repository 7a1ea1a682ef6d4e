// The operations that stand ready on a first visit. Their documents hold no string, so that they may be kept, and no line
// that is too wide for the editor beside a panel.
import { offered } from "./offered.ts";

export type Example = { title: string; about: string; query: string; variables?: string; headers?: string };

const emptyRefresh = `{
  "refreshToken": ""
}`;

export const examples: Example[] = [
  {
    title: "Me",
    about: "Who the token says you are. Denied until you sign in.",
    query: `# Who am I? Sign in above first: this field is
# guarded, and says so to everybody else.
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
    about: "What the sign-in above does: a name and a password for tokens.",
    query: `# The sign-in above does this too. Tokens that you
# get here are yours to use: the console keeps its
# own. Put somebody of your realm into Variables.
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
    about: "A refresh token for new tokens. Run Login first: its refresh token is filled in.",
    query: `# Run Login first: its refresh token comes into
# Variables. A realm may take each one only once.
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
    about: "A guarded field with a token that is none, and how it says why.",
    query: `# The header below holds no token. Denial is an
# error with a code and a reason, never a bare null.
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

/** Forgets it: whoever signs in next is somebody else. */
export function forgetTokens(): void {
  lastRefreshToken = undefined;
}

/** Remembers the refresh token of an answer to login or refresh, for the example Refresh. */
export function noteTokens(data: Record<string, unknown> | null | undefined): void {
  for (const value of Object.values(data ?? {})) {
    const token = (value as { refreshToken?: unknown } | null)?.refreshToken;
    if (typeof token === "string") lastRefreshToken = token;
  }
}

/** The variables of the example Refresh, where they are still empty and a login was run. */
export function filledVariables(variables: string): string | undefined {
  return variables === emptyRefresh && lastRefreshToken ? JSON.stringify({ refreshToken: lastRefreshToken }, null, 2) : undefined;
}

/** The variables and headers that an example has; none for another document. */
export function besideDocument(query: string | null): { variables: string | null; headers: string | null } {
  const example = examples.find((example) => example.query === query);
  return { variables: example?.variables ?? null, headers: example?.headers ?? null };
}

/** Gives the tabs of a stored state their example's variables and headers back, where they still hold its document. */
export function restored(tabState: string): string {
  const state = JSON.parse(tabState) as { tabs: { query: string | null; variables: string | null; headers: string | null }[] };
  for (const tab of state.tabs) Object.assign(tab, besideDocument(tab.query));
  return JSON.stringify(state);
}
