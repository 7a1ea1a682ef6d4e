// The top of the page: who is signed in, how long the token lasts, and the buttons to sign in and out.
import type { SignedOutReason, Tokens } from "@cloakql/client";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useEffect, useRef, useState } from "react";
import { session, useSession, useVerdict } from "./session.ts";
import { SignIn } from "./sign-in.tsx";
import { TOKEN_PLUGIN } from "./token-panel.tsx";

export function Header() {
  const state = useSession();
  const [isFormOpen, setIsFormOpen] = useState(false);
  const [hasSignOutFailed, setHasSignOutFailed] = useState(false);
  const sessionArea = useRef<HTMLDivElement>(null);
  const lastStatus = useRef(state.status);

  // When another tab has signed in, an open form is closed. A failed sign-out concerned the previous session.
  useEffect(() => {
    if (state.status !== "signedIn") return;
    setIsFormOpen(false);
    setHasSignOutFailed(false);
  }, [state.status]);

  // A sign-in or a sign-out removes the button that had the focus. Move the focus to the user's name, which a screen
  // reader then reads, or to the button to sign in.
  useEffect(() => {
    if (lastStatus.current !== "loading" && lastStatus.current !== state.status && document.activeElement === document.body) {
      sessionArea.current?.querySelector<HTMLElement>(".name, button")?.focus();
    }
    lastStatus.current = state.status;
  }, [state.status]);

  async function signOut() {
    setHasSignOutFailed(false);
    await session.signOut().catch(() => setHasSignOutFailed(true));
  }

  return (
    <header className="top">
      <h1>
        <Logo /> CloakQL
      </h1>
      <div className="who" ref={sessionArea}>
        {/* Always in the page: screen readers don't announce an element that is added together with its text. */}
        <span className="muted" role="status">
          {state.status === "loading" && "Looking for your session …"}
          {state.status === "signedOut" &&
            (hasSignOutFailed ? "Signed out here, but the server couldn't be reached. The session ends when it expires." : signedOutMessage(state.reason))}
        </span>
        {state.status === "signedOut" && (
          <button type="button" className="primary" onClick={() => setIsFormOpen(true)}>
            Sign in
          </button>
        )}
        {state.status === "signedIn" && <SignedIn tokens={state.tokens} onSignOut={signOut} />}
        <ThemeChoice />
      </div>
      {isFormOpen && state.status === "signedOut" && <SignIn onClose={() => setIsFormOpen(false)} />}
    </header>
  );
}

function signedOutMessage(reason: SignedOutReason | null): string {
  switch (reason) {
    case null:
      return "Not signed in";
    case "SIGNED_OUT":
      return "You have signed out";
    case "EXPIRED":
      return "Your session has expired. Sign in again.";
    case "SESSION_ENDED":
      return "Your session has ended. Sign in again.";
    case "REUSED":
      return "Your session has ended: its refresh token was used twice. Sign in again.";
    default:
      return "Your session is no longer valid. Sign in again.";
  }
}

function SignedIn({ tokens, onSignOut }: { tokens: Tokens; onSignOut: () => void }) {
  const { setVisiblePlugin } = useGraphiQLActions();
  const verdict = useVerdict();
  return (
    <>
      <span className="name" data-testid="who" tabIndex={-1}>
        {verdict.status === "accepted" && verdict.username}
        {verdict.status === "refused" && "Token refused"}
        {(verdict.status === "asking" || verdict.status === "unknown") && "Signed in"}
      </span>
      <button type="button" onClick={() => setVisiblePlugin(TOKEN_PLUGIN)} className="token" data-state={verdict.status}>
        <RemainingTime expiresAt={tokens.expiresAt} />
      </button>
      <button type="button" onClick={onSignOut}>
        Sign out
      </button>
    </>
  );
}

/** How long the token lasts. Screen readers don't announce it each second. */
function RemainingTime({ expiresAt }: { expiresAt: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((expiresAt - now) / 1000));
  if (seconds === 0) return <span data-testid="remaining">Token has expired</span>;
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, String(seconds % 60).padStart(2, "0")];
  return (
    <span data-testid="remaining">
      Token {hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`}
    </span>
  );
}

function ThemeChoice() {
  const theme = useGraphiQL((state) => state.theme);
  const { setTheme } = useGraphiQLActions();
  useEffect(() => {
    // GraphiQL reads the system's theme only once, but it may change later.
    const darkQuery = window.matchMedia("(prefers-color-scheme: dark)");
    const reapply = () => setTheme(theme);
    darkQuery.addEventListener("change", reapply);
    return () => darkQuery.removeEventListener("change", reapply);
  }, [theme, setTheme]);
  return (
    <select
      aria-label="Theme"
      value={theme ?? "system"}
      onChange={({ target: { value } }) => setTheme(value === "light" || value === "dark" ? value : null)}
    >
      <option value="system">System</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" className="mark">
      <path fill="currentColor" d="M16 2 28 7v8c0 8-5 13-12 15C9 28 4 23 4 15V7z" />
      <path
        className="mark-lines"
        fill="none"
        strokeWidth="2.4"
        strokeLinecap="round"
        strokeLinejoin="round"
        d="M11 12.5 7.5 16l3.5 3.5M21 12.5l3.5 3.5-3.5 3.5M17.8 10.5l-3.6 11"
      />
    </svg>
  );
}
