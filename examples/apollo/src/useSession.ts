import { useSyncExternalStore } from "react";
import { session } from "./client";
import type { State } from "./session";

export const useSession = (): State => useSyncExternalStore(session.subscribe, session.state);
