import type { SessionState } from "@cloakql/client";
import { useSyncExternalStore } from "react";
import { session } from "./client";

const onServer: SessionState = { status: "loading" }; // and until the page is hydrated

export const useSession = (): SessionState => useSyncExternalStore(session.subscribe, session.state, () => onServer);
