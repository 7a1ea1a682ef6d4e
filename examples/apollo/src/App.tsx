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
  const [untold, setUntold] = useState(false);
  const main = useRef<HTMLElement>(null);
  const id = sessionID(state);
  const signedIn = state.status === "signedIn";
  const place = `${route} ${state.status} ${id}`;

  // Who uses a screen reader is told of a new page, and of a sign-in or sign-out: focus goes to its heading.
  const last = useRef(place);
  useEffect(() => {
    if (last.current === place) return;
    const first = last.current.includes(" loading ");
    last.current = place;
    if (!first) main.current?.querySelector("h1")?.focus();
  }, [place]);

  useEffect(() => {
    if (signedIn) setUntold(false);
  }, [signedIn]);

  return (
    // The key forgets what components remember of one person before the next one comes.
    <ApolloProvider client={currentClient()} key={id}>
      <title>{`${titles[route]} – CloakQL example`}</title>
      <Header route={route} signedIn={signedIn} onUntold={() => setUntold(true)} />
      <main ref={main}>
        {untold && (
          <p className="note" role="status">
            The server couldn’t be told of your sign-out. This browser has forgotten you, and the session ends by itself.
          </p>
        )}
        {state.status === "loading" && <p role="status">One moment…</p>}
        {state.status === "signedOut" && (
          // In the guarded page's place, at its address: who signs in is there.
          <SignIn reason={state.reason} wanted={route === "/" ? null : titles[route]} key={route} />
        )}
        {signedIn && route === "/" && (
          <>
            <Me />
            <TenAtOnce />
          </>
        )}
        {signedIn && route === "/account" && <Account />}
        {state.status !== "loading" && route === "/" && <Denied />}
      </main>
    </ApolloProvider>
  );
}
