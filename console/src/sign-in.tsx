// The sign-in form. Keycloak never says that a one-time code is missing, so the form lets people enter one from the start.
import { ServerError } from "@cloakql/client";
import { useEffect, useId, useRef, useState, type FormEvent } from "react";
import { explain } from "./explain.ts";
import { suggestedUsers, type SuggestedUser } from "./suggested-users.ts";
import { session } from "./session.ts";

export function SignIn({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const [hasCode, setHasCode] = useState(false);
  const [isSubmitting, setIsSubmitting] = useState(false);
  const [failure, setFailure] = useState<{ code?: string; text: string }>();
  const titleID = useId();

  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal();
  }, []);

  // If the dialog is closed and not removed, the browser restores the focus.
  const close = () => dialog.current?.close();

  function fillIn({ username, password }: SuggestedUser) {
    for (const [name, value] of Object.entries({ username, password })) {
      const input = form.current?.querySelector<HTMLInputElement>(`[name=${name}]`);
      if (input) input.value = value;
    }
    form.current?.querySelector<HTMLButtonElement>("[type=submit]")?.focus();
  }

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const { username, password, otp } = Object.fromEntries(new FormData(form)) as Record<string, string>;
    setIsSubmitting(true);
    setFailure(undefined);
    try {
      await session.signIn({ username: username ?? "", password: password ?? "", ...(otp && { otp }) });
      close();
    } catch (error) {
      setFailure(describeFailure(error));
      setIsSubmitting(false);
      form.querySelector<HTMLInputElement>("[name=password]")?.select();
    }
  }

  return (
    <dialog ref={dialog} aria-labelledby={titleID} onClose={onClose} className="sign-in">
      <form ref={form} onSubmit={submit}>
        <h2 id={titleID}>Sign in</h2>
        {suggestedUsers.map((user) => (
          <button key={user.username} type="button" className="link" onClick={() => fillIn(user)}>
            Fill in {user.username}, a test user
          </button>
        ))}
        <label>
          Username or e-mail address
          <input name="username" autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        {hasCode ? (
          <label>
            One-time code
            <input name="otp" inputMode="numeric" autoComplete="one-time-code" spellCheck={false} autoFocus />
          </label>
        ) : (
          <button type="button" className="link" onClick={() => setHasCode(true)}>
            I have a one-time code
          </button>
        )}
        <div role="alert">
          {failure && (
            <p className="failure">
              {failure.text} {failure.code && <code>{failure.code}</code>}
            </p>
          )}
        </div>
        <div className="row">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={isSubmitting}>
            {isSubmitting ? "Signing in …" : "Sign in"}
          </button>
        </div>
      </form>
    </dialog>
  );
}

function describeFailure(error: unknown): { code?: string; text: string } {
  if (!(error instanceof ServerError)) return { text: "The server can't be reached. Try again in a moment." };
  const { code, meaning, advice, retryAfter } = explain(error);
  switch (error.code) {
    case "INVALID_CREDENTIALS": // the server's message, which doesn't say what is wrong
      return { code, text: `${error.message} If you have set up one-time codes, enter one too.` };
    case "RATE_LIMITED":
      return { code, text: `${meaning} Try again in ${retryAfter ?? "a few"} seconds.` };
    case "SERVICE_UNAVAILABLE":
      return { code, text: advice ? `${meaning} Try again in a moment.` : meaning };
    default:
      return { code, text: `${meaning} ${advice}`.trimEnd() };
  }
}
