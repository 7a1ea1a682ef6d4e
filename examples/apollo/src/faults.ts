import { CombinedGraphQLErrors } from "@apollo/client";
import { Refused } from "./session";

/** What went wrong. The code and the reason are the server's, and absent where it didn't answer. */
export type Fault = { message: string; code?: string; reason?: string; retryAfter?: number };

/** Of an operation that Apollo Client sent, or of a sign-in. */
export function faultOf(error: unknown): Fault {
  if (error instanceof Refused) return { message: error.message, ...known(error.extensions) };
  if (CombinedGraphQLErrors.is(error)) {
    const first = error.errors[0];
    return { message: first?.message ?? error.message, ...known(first?.extensions ?? {}) };
  }
  return { message: error instanceof Error ? error.message : String(error) };
}

function known({ code, reason, retryAfter }: Record<string, unknown>): Partial<Fault> {
  return {
    ...(typeof code === "string" && { code }),
    ...(typeof reason === "string" && { reason }),
    ...(typeof retryAfter === "number" && { retryAfter }),
  };
}

/** A fault in words for the person. The server's messages are for developers, and in English alone. */
export function inWords({ code, reason, retryAfter }: Fault): string {
  switch (code) {
    case undefined:
      return "The server can’t be reached. Try again in a moment.";
    case "INVALID_CREDENTIALS":
      return "Username, password or one-time code is wrong.";
    case "ACCOUNT_DISABLED":
      return "This account is disabled.";
    case "ACCOUNT_NOT_READY":
      return "This account isn’t ready yet. Finish setting it up in the browser.";
    case "LOGIN_NOT_ALLOWED":
      return "Signing in with a password is turned off.";
    case "RATE_LIMITED":
      return `Too many attempts. Try again in ${seconds(retryAfter)}.`;
    case "BAD_USER_INPUT":
      return "What was typed can’t be used: a part of it is empty or too long.";
    case "SERVICE_UNAVAILABLE":
      if (reason === "BUSY") return "Many people are signing in right now. Try again in a moment.";
      if (reason === "KEYS_UNAVAILABLE") return "Your sign-in can’t be checked right now. Try again in a moment.";
      return "Sign-in isn’t available right now. Try again later.";
    case "UNAUTHENTICATED":
      if (reason === "TOKEN_MISSING") return "Only people who are signed in may ask this, and the request had no token.";
      if (reason === "TOKEN_EXPIRED") return "Your sign-in couldn’t be renewed just now. You are still signed in: try again.";
      return "The server doesn’t accept the token of this request.";
    case "TIMEOUT":
      return "The server took too long. Try again.";
    default:
      return "Something went wrong. Try again later.";
  }
}

const seconds = (count = 60): string => (count === 1 ? "1 second" : `${count} seconds`);
