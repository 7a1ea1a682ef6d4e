import { ApolloProvider } from "@apollo/client/react";
import { useEffect, useRef, useState } from "react";
import { Account } from "./Account";
import { currentClient, sessionID } from "./client";
import { Denied } from "./Denied";
import { Header } from "./Header";
import { Me } from "./Me";
import { useRoute, type Route } from "./route";
import { SignIn } from "./SignIn";
import { TenAtOnce } from "./TenAtOnce";
import { useSession } from "./useSession";

const titles: Record<Route, string> = { "/": "Home", "/account": "Account" };

export function App() {
  const state = useSession();
  const route = useRoute();
  const [hasLogoutFailed, setHasLogoutFailed] = useState(false);
  const main = useRef<HTMLElement>(null);
  const id = sessionID(state);
  const isSignedIn = state.status === "signedIn";
  const view = `${route} ${state.status} ${id}`;

  // After a change of page, a sign-in or a sign-out, the heading gets the focus, so that screen readers announce it.
  const lastView = useRef(view);
  useEffect(() => {
    if (lastView.current === view) return;
    const wasLoading = lastView.current.includes(" loading ");
    lastView.current = view;
    if (!wasLoading) main.current?.querySelector("h1")?.focus();
  }, [view]);

  useEffect(() => {
    if (isSignedIn) setHasLogoutFailed(false);
  }, [isSignedIn]);

  return (
    // The key resets the state of all components when another user signs in.
    <ApolloProvider client={currentClient()} key={id}>
      <title>{`${titles[route]} – CloakQL example`}</title>
      <Header route={route} isSignedIn={isSignedIn} onLogoutFailed={() => setHasLogoutFailed(true)} />
      <main ref={main}>
        {hasLogoutFailed && (
          <p className="note" role="status">
            You are signed out here, but the server couldn’t be reached. The session ends when it expires.
          </p>
        )}
        {state.status === "loading" && <p role="status">One moment…</p>}
        {state.status === "signedOut" && (
          // The form replaces the page at the same address, so that the page appears after the sign-in.
          <SignIn reason={state.reason} pageTitle={route === "/" ? null : titles[route]} key={route} />
        )}
        {isSignedIn && route === "/" && (
          <>
            <Me />
            <TenAtOnce />
          </>
        )}
        {isSignedIn && route === "/account" && <Account />}
        {state.status !== "loading" && route === "/" && <Denied />}
      </main>
    </ApolloProvider>
  );
}
