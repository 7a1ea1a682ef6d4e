// The console's session, and what the server says of its token. The session itself is the file that the examples give
// to everybody.
import { useSyncExternalStore } from "react";
import { Session, withTimeout, type GraphQLFault, type Held, type State } from "../../examples/apollo/src/session.ts";
import { endpoint, post } from "./http.ts";

const callTimeout = 30_000; // ms

export const session = new Session({
  url: endpoint,
  name: `cloakql-console ${endpoint}`, // another server's console, below another prefix, must not be told
  send: (query, variables) => withTimeout(callTimeout, (signal) => post({ query, variables }, {}, signal)),
});

export function useSession(): State {
  return useSyncExternalStore(session.subscribe, session.state);
}

/** What the server says of an access token: whose it is, why it refuses it, or why it can't say. */
export type Verdict =
  | { status: "asking" }
  | { status: "accepted"; username: string }
  | { status: "refused"; fault: GraphQLFault }
  | { status: "unknown"; fault: GraphQLFault };

const retryAfter = 10_000; // ms until a server that couldn't say is asked again

const whoAmI = `query WhoAmI { me { id username name } }`;

const asking: Verdict = { status: "asking" };
let verdict: Verdict = asking;
let judged: Held | undefined; // what the verdict is of, or is being asked about
let refreshed: string | undefined; // the session that was refreshed because the server called its token expired
const listeners = new Set<() => void>();

export function useVerdict(): Verdict {
  return useSyncExternalStore(
    (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    () => verdict,
  );
}

// The server is asked about each access token once, however many parts of the page show what it says.
session.subscribe(() => {
  const state = session.state();
  const held = state.status === "signedIn" ? state.held : undefined;
  if (held?.accessToken === judged?.accessToken) return;
  // While a refreshed token is asked about, who it was stays on show.
  if (held?.id !== judged?.id || verdict.status !== "accepted") say(asking);
  judged = held;
  if (held) void judge(held);
});

async function judge(held: Held): Promise<void> {
  const said = await ask(held.accessToken);
  if (judged !== held) return; // it was refreshed, or signed out, in the meantime
  if (said.status === "unknown") {
    if (verdict.status !== "accepted") say(said); // what it said before still holds
    setTimeout(() => judged === held && void judge(held), retryAfter);
    return;
  }
  say(said);
  if (said.status === "accepted") refreshed = undefined;
  // This machine's clock, or its timers, are behind, and the server knows better. Should it say so of the new token, too,
  // the server's clock is wrong, and refreshing would go on for ever.
  if (said.status === "refused" && said.fault.extensions?.reason === "TOKEN_EXPIRED" && refreshed !== held.id) {
    refreshed = held.id;
    await session.refresh(held.accessToken).catch(() => undefined);
  }
}

async function ask(token: string): Promise<Verdict> {
  try {
    const { data, errors } = await withTimeout(callTimeout, (signal) => post({ query: whoAmI }, { authorization: `Bearer ${token}` }, signal));
    const me = data?.me as { id: unknown; username: unknown; name: unknown } | null | undefined;
    if (me) return { status: "accepted", username: String(me.username ?? me.name ?? me.id) };
    const fault = errors?.[0] ?? { message: "The server says nothing of this token" };
    // Keys that can't be had, a deadline, an operation that isn't trusted: none of them is about the token.
    return { status: fault.extensions?.code === "UNAUTHENTICATED" ? "refused" : "unknown", fault };
  } catch {
    return { status: "unknown", fault: { message: "The server can't be reached" } };
  }
}

function say(next: Verdict): void {
  verdict = next;
  for (const listener of [...listeners]) listener();
}
