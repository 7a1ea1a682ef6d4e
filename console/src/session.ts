// The console's session, which is a Session of clients/js, and the server's verdict on its token.
import { Session, withTimeout, type ResponseError, type SessionState, type Tokens } from "@cloakql/client";
import { useSyncExternalStore } from "react";
import { endpoint, needsRefresh, post } from "./http.ts";

const callTimeout = 30_000; // ms

export const session = new Session({
  url: endpoint,
  name: `cloakql-console ${endpoint}`, // a console below another path prefix has another session
  send: (query, variables) => withTimeout(callTimeout, (signal) => post({ query, variables }, {}, signal)),
});

export function useSession(): SessionState {
  return useSyncExternalStore(session.subscribe, session.state);
}

/** The server's verdict on an access token: who it belongs to, why it is refused, or why it can't be verified. */
export type Verdict =
  | { status: "asking" }
  | { status: "accepted"; username: string }
  | { status: "refused"; error: ResponseError }
  | { status: "unknown"; error: ResponseError };

const retryDelay = 10_000; // ms to wait if the server couldn't verify the token

const whoAmIQuery = `query WhoAmI { me { id username name } }`;

const askingVerdict: Verdict = { status: "asking" };
let verdict: Verdict = askingVerdict;
let checkedTokens: Tokens | undefined; // the tokens of the verdict, or of the request in flight
let refreshedSessionID: string | undefined; // the session refreshed because the server refused its token
const listeners = new Set<() => void>();

export function useVerdict(): Verdict {
  return useSyncExternalStore(
    (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    () => verdict,
  );
}

// There is one request for each access token, even if several parts of the page show the verdict.
session.subscribe(() => {
  const state = session.state();
  const tokens = state.status === "signedIn" ? state.tokens : undefined;
  if (tokens?.accessToken === checkedTokens?.accessToken) return;
  // The user's name stays while the server checks a refreshed token.
  if (tokens?.sessionID !== checkedTokens?.sessionID || verdict.status !== "accepted") setVerdict(askingVerdict);
  checkedTokens = tokens;
  if (tokens) void check(tokens);
});

async function check(tokens: Tokens): Promise<void> {
  const newVerdict = await fetchVerdict(tokens.accessToken);
  if (checkedTokens !== tokens) return; // refreshed or signed out meanwhile
  if (newVerdict.status === "unknown") {
    if (verdict.status !== "accepted") setVerdict(newVerdict); // else the last verdict still holds
    setTimeout(() => checkedTokens === tokens && void check(tokens), retryDelay);
    return;
  }
  setVerdict(newVerdict);
  if (newVerdict.status === "accepted") refreshedSessionID = undefined;
  // The token expired before this machine's clock said so, or its session has ended. Refresh a session only once for
  // this: if the server's clock is wrong, the new token has expired too, and refreshing would never end.
  if (newVerdict.status === "refused" && needsRefresh({ errors: [newVerdict.error] }) && refreshedSessionID !== tokens.sessionID) {
    refreshedSessionID = tokens.sessionID;
    await session.refresh(tokens.accessToken).catch(() => undefined);
  }
}

async function fetchVerdict(token: string): Promise<Verdict> {
  try {
    const { data, errors } = await withTimeout(callTimeout, (signal) => post({ query: whoAmIQuery }, { authorization: `Bearer ${token}` }, signal));
    const me = data?.me as { id: unknown; username: unknown; name: unknown } | null | undefined;
    if (me) return { status: "accepted", username: String(me.username ?? me.name ?? me.id) };
    const error = errors?.[0] ?? { message: "The server says nothing about this token" };
    // Other errors aren't about the token: unavailable keys, a timeout, an operation that isn't allowed.
    return { status: error.extensions?.code === "UNAUTHENTICATED" ? "refused" : "unknown", error };
  } catch {
    return { status: "unknown", error: { message: "The server can't be reached" } };
  }
}

function setVerdict(next: Verdict): void {
  verdict = next;
  for (const listener of [...listeners]) listener();
}
