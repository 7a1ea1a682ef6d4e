import { useSyncExternalStore } from "react";
import { session } from "./client";
import type { State } from "./session";

const onServer: State = { status: "asking" }; // and until the page that a server rendered has come alive

export const useSession = (): State => useSyncExternalStore(session.subscribe, session.state, () => onServer);
