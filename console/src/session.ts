// The console's session, and what the server says of its token. The session itself is the file that the examples give
// to everybody.
import { useEffect, useState, useSyncExternalStore } from "react";
import { Session, type GraphQLFault, type Held, type State } from "../../examples/apollo/src/session.ts";
import { endpoint, post } from "./http.ts";

export const session = new Session({
  url: endpoint,
  name: "cloakql-console",
  send: (query, variables) => post({ query, variables }, {}, AbortSignal.timeout(30_000)),
});

export function useSession(): State {
  return useSyncExternalStore(session.subscribe, session.state);
}

/** What the server says of an access token: whose it is, why it refuses it, or that it couldn't be asked. */
export type Verdict =
  | { status: "asking" }
  | { status: "accepted"; username: string }
  | { status: "refused"; fault: GraphQLFault }
  | { status: "unreachable" };

const whoAmI = `query WhoAmI { me { id username name } }`;

/** Asks the server about each new access token of a session, once. */
export function useVerdict(held: Held | undefined): Verdict {
  const [said, setSaid] = useState<{ token: string; verdict: Verdict }>();
  const token = held?.accessToken;
  useEffect(() => {
    if (!token) return;
    const gone = new AbortController();
    post({ query: whoAmI }, { authorization: `Bearer ${token}` }, AbortSignal.any([gone.signal, AbortSignal.timeout(30_000)])).then(
      ({ data, errors }) => {
        const me = data?.me as { id: string; username: string | null; name: string | null } | null | undefined;
        const verdict: Verdict = me
          ? { status: "accepted", username: me.username ?? me.name ?? me.id }
          : { status: "refused", fault: errors?.[0] ?? { message: "The server says nothing of this token" } };
        setSaid({ token, verdict });
        // This machine's clock, or its timers, are behind: what says the contrary is the server.
        if (verdict.status === "refused" && verdict.fault.extensions?.reason === "TOKEN_EXPIRED") session.refresh(token).catch(() => undefined);
      },
      () => {
        if (!gone.signal.aborted) setSaid({ token, verdict: { status: "unreachable" } });
      },
    );
    return () => gone.abort();
  }, [token]);
  if (!said || !held) return { status: "asking" };
  // While a refreshed token is asked about, who it was stays on show.
  return said.token === token || said.verdict.status === "accepted" ? said.verdict : { status: "asking" };
}
