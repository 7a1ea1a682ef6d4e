import type { SignedOutReason } from "@cloakql/client";
import { useRef, useState, type SubmitEvent } from "react";
import { session } from "./client";
import { errorInfo, errorText } from "./errors";

const reasonTexts: Record<SignedOutReason, string> = {
  SIGNED_OUT: "You are signed out.",
  EXPIRED: "Your session has expired. Sign in again.",
  SESSION_ENDED: "Your session has ended. Sign in again.",
  REUSED: "Your session has ended. Sign in again.",
  INVALID: "Your session has ended. Sign in again.",
};

/** SignIn shows the form. `reason` says why the last session ended, and `pageTitle` is the page that requires a sign-in. */
export function SignIn({ reason, pageTitle }: { reason: SignedOutReason | null; pageTitle: string | null }) {
  const [failure, setFailure] = useState<string | null>(null);
  const [isSubmitting, setIsSubmitting] = useState(false);
  const [hasCode, setHasCode] = useState(false);
  const password = useRef<HTMLInputElement>(null);

  async function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const otp = String(form.get("otp") ?? "").replaceAll(" ", ""); // authenticator apps show spaces
    setFailure(null);
    setIsSubmitting(true);
    try {
      await session.signIn({
        username: String(form.get("username")),
        password: String(form.get("password")),
        ...(otp !== "" && { otp }),
      });
    } catch (error) {
      setFailure(errorText(errorInfo(error)));
      setIsSubmitting(false);
      password.current?.select();
    }
  }

  return (
    <section className="card sign-in" aria-labelledby="sign-in">
      <h1 id="sign-in" tabIndex={-1}>
        Sign in
      </h1>
      {pageTitle !== null && <p>{pageTitle} is for people who are signed in.</p>}
      {reason !== null && (
        <p className="note" role="status">
          {reasonTexts[reason] ?? "Sign in again."}
        </p>
      )}
      <form onSubmit={submit}>
        <label htmlFor="username">Username</label>
        <input id="username" name="username" autoComplete="username" autoCapitalize="none" spellCheck={false} required />
        <label htmlFor="password">Password</label>
        <input id="password" name="password" type="password" autoComplete="current-password" required ref={password} />
        {hasCode ? (
          <>
            <label htmlFor="otp">One-time code</label>
            <input id="otp" name="otp" autoComplete="one-time-code" inputMode="numeric" autoFocus />
          </>
        ) : (
          <button type="button" className="link" onClick={() => setHasCode(true)}>
            I have a one-time code
          </button>
        )}
        {failure !== null && (
          <p className="problem" role="alert">
            {failure}
          </p>
        )}
        <button type="submit" disabled={isSubmitting}>
          {isSubmitting ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </section>
  );
}
