import { useSyncExternalStore } from "react";

/** The page's paths. They follow a # in the address, so that any server of static files can serve them. */
export type Route = "/" | "/account";

const currentRoute = (): Route => (window.location.hash === "#/account" ? "/account" : "/");

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

export const useRoute = (): Route => useSyncExternalStore(subscribe, currentRoute);
