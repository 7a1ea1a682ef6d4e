// The console's session, and the server's verdict on its token. The session itself is that of clients/js.
import { Session, withTimeout, type ResponseError, type SessionState, type Tokens } from "@cloakql/client";
import { useSyncExternalStore } from "react";
import { endpoint, post } from "./http.ts";

const callTimeout = 30_000; // ms

export const session = new Session({
  url: endpoint,
  name: `cloakql-console ${endpoint}`, // another server's console, below another prefix, has another session
  send: (query, variables) => withTimeout(callTimeout, (signal) => post({ query, variables }, {}, signal)),
});

export function useSession(): SessionState {
  return useSyncExternalStore(session.subscribe, session.state);
}

/** The server's verdict on an access token: whose it is, why it is refused, or why the server can't verify it. */
export type Verdict =
  | { status: "asking" }
  | { status: "accepted"; username: string }
  | { status: "refused"; error: ResponseError }
  | { status: "unknown"; error: ResponseError };

const retryAfter = 10_000; // ms until a server that couldn't verify the token is asked again

const whoAmI = `query WhoAmI { me { id username name } }`;

const asking: Verdict = { status: "asking" };
let verdict: Verdict = asking;
let judged: Tokens | undefined; // those that the verdict is on, or that the server is being asked about
let refreshed: string | undefined; // the session that was refreshed because the server called its token expired
const listeners = new Set<() => void>();

export function useVerdict(): Verdict {
  return useSyncExternalStore(
    (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    () => verdict,
  );
}

// The server is asked about each access token once, however many parts of the page show the verdict.
session.subscribe(() => {
  const state = session.state();
  const tokens = state.status === "signedIn" ? state.tokens : undefined;
  if (tokens?.accessToken === judged?.accessToken) return;
  // While the server is asked about a refreshed token, the person's name stays.
  if (tokens?.sessionID !== judged?.sessionID || verdict.status !== "accepted") setVerdict(asking);
  judged = tokens;
  if (tokens) void judge(tokens);
});

async function judge(tokens: Tokens): Promise<void> {
  const answer = await ask(tokens.accessToken);
  if (judged !== tokens) return; // refreshed or signed out meanwhile
  if (answer.status === "unknown") {
    if (verdict.status !== "accepted") setVerdict(answer); // else the last verdict still holds
    setTimeout(() => judged === tokens && void judge(tokens), retryAfter);
    return;
  }
  setVerdict(answer);
  if (answer.status === "accepted") refreshed = undefined;
  // This machine's clock or timers are late. If the new token has expired too, the server's clock is wrong, and refreshing
  // again would never end.
  if (answer.status === "refused" && answer.error.extensions?.reason === "TOKEN_EXPIRED" && refreshed !== tokens.sessionID) {
    refreshed = tokens.sessionID;
    await session.refresh(tokens.accessToken).catch(() => undefined);
  }
}

async function ask(token: string): Promise<Verdict> {
  try {
    const { data, errors } = await withTimeout(callTimeout, (signal) => post({ query: whoAmI }, { authorization: `Bearer ${token}` }, signal));
    const me = data?.me as { id: unknown; username: unknown; name: unknown } | null | undefined;
    if (me) return { status: "accepted", username: String(me.username ?? me.name ?? me.id) };
    const error = errors?.[0] ?? { message: "The server says nothing of this token" };
    // Unavailable keys, a deadline, an operation that isn't trusted: none of them is about the token.
    return { status: error.extensions?.code === "UNAUTHENTICATED" ? "refused" : "unknown", error };
  } catch {
    return { status: "unknown", error: { message: "The server can't be reached" } };
  }
}

function setVerdict(next: Verdict): void {
  verdict = next;
  for (const listener of [...listeners]) listener();
}
