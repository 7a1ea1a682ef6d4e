import { useState } from "react";
import { session } from "./client";
import type { Route } from "./route";

const pages: { route: Route; name: string }[] = [
  { route: "/", name: "Home" },
  { route: "/account", name: "Account" },
];

type Props = { route: Route; isSignedIn: boolean; onLogoutFailed: () => void };

/** Header shows the pages and signs out. It calls `onLogoutFailed` if the server can't be told about a sign-out. */
export function Header({ route, isSignedIn, onLogoutFailed }: Props) {
  const [isSigningOut, setIsSigningOut] = useState(false);

  async function signOut() {
    setIsSigningOut(true);
    await session.signOut().catch(onLogoutFailed);
    setIsSigningOut(false);
  }

  return (
    <header>
      <p className="brand">
        <img src="./favicon.svg" alt="" width="28" height="28" />
        CloakQL
      </p>
      <nav aria-label="Pages">
        {pages.map(({ route: target, name }) => (
          <a key={target} href={`#${target}`} aria-current={target === route ? "page" : undefined}>
            {name}
          </a>
        ))}
      </nav>
      {isSignedIn && (
        <button type="button" className="plain" disabled={isSigningOut} onClick={() => void signOut()}>
          Sign out
        </button>
      )}
    </header>
  );
}
