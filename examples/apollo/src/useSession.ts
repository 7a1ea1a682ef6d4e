import type { SessionState } from "@cloakql/client";
import { useSyncExternalStore } from "react";
import { session } from "./client";

const serverState: SessionState = { status: "loading" }; // used by server rendering, and until the page is hydrated

export const useSession = (): SessionState => useSyncExternalStore(session.subscribe, session.state, () => serverState);
