import { useState } from "react";
import { session } from "./client";
import type { Route } from "./route";

const pages: { route: Route; name: string }[] = [
  { route: "/", name: "Home" },
  { route: "/account", name: "Account" },
];

type Props = { route: Route; signedIn: boolean; onLogoutFailed: () => void };

/** Header shows the pages and signs out. It calls `onLogoutFailed` if the server can't be told of a sign-out. */
export function Header({ route, signedIn, onLogoutFailed }: Props) {
  const [busy, setBusy] = useState(false);

  async function signOut() {
    setBusy(true);
    await session.signOut().catch(onLogoutFailed);
    setBusy(false);
  }

  return (
    <header>
      <p className="brand">
        <img src="./favicon.svg" alt="" width="28" height="28" />
        CloakQL
      </p>
      <nav aria-label="Pages">
        {pages.map(({ route: to, name }) => (
          <a key={to} href={`#${to}`} aria-current={to === route ? "page" : undefined}>
            {name}
          </a>
        ))}
      </nav>
      {signedIn && (
        <button type="button" className="plain" disabled={busy} onClick={() => void signOut()}>
          Sign out
        </button>
      )}
    </header>
  );
}
