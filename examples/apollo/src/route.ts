import { useSyncExternalStore } from "react";

/** The page's paths. They follow a # in the address, so that any server of static files can serve them. */
export type Route = "/" | "/account";

const currentRoute = (): Route => (window.location.hash === "#/account" ? "/account" : "/");

function subscribe(onChange: () => void): () => void {
  window.addEventListener("hashchange", onChange);
  return () => window.removeEventListener("hashchange", onChange);
}

export const useRoute = (): Route => useSyncExternalStore(subscribe, currentRoute);
