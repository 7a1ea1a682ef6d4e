import { CombinedGraphQLErrors } from "@apollo/client";
import { ServerError } from "@cloakql/client";

/** ErrorInfo describes an error of a sign-in or an operation. Without a response from the server, it has no code. */
export type ErrorInfo = { message: string; code?: string; reason?: string; retryAfter?: number; stepUp?: StepUp };

/** StepUp has the parameters of the sign-in that a denied field requires, for Keycloak's authorization endpoint. */
export type StepUp = { acr_values?: string; max_age?: number };

export function errorInfo(error: unknown): ErrorInfo {
  if (error instanceof ServerError) return { message: error.message, ...contractFields(error.extensions) };
  if (CombinedGraphQLErrors.is(error)) {
    const firstError = error.errors[0];
    return { message: firstError?.message ?? error.message, ...contractFields(firstError?.extensions ?? {}) };
  }
  return { message: error instanceof Error ? error.message : String(error) };
}

function contractFields(extensions: Record<string, unknown>): Partial<ErrorInfo> {
  const { code, reason, retryAfter } = extensions;
  return {
    ...(typeof code === "string" && { code }),
    ...(typeof reason === "string" && { reason }),
    ...(typeof retryAfter === "number" && { retryAfter }),
    ...(reason === "STEP_UP_REQUIRED" && { stepUp: stepUp(extensions) }),
  };
}

function stepUp({ acrValues, maxAge }: Record<string, unknown>): StepUp {
  return {
    ...(Array.isArray(acrValues) && { acr_values: acrValues.join(" ") }),
    ...(typeof maxAge === "number" && { max_age: maxAge }),
  };
}

/**
 * Returns an error's text for users. For codes that aren't listed here, such as an application's own, that is the server's
 * message with the code.
 */
export function errorText({ message, code, reason, retryAfter }: ErrorInfo): string {
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
      return "The input can’t be used: part of it is empty or too long.";
    case "SERVICE_UNAVAILABLE":
      if (reason === "BUSY") return "Many people are signing in right now. Try again in a moment.";
      if (reason === "KEYS_UNAVAILABLE") return "Your sign-in can’t be checked right now. Try again in a moment.";
      return "Sign-in isn’t available right now. Try again later.";
    case "UNAUTHENTICATED":
      if (reason === "TOKEN_MISSING") return "Only people who are signed in may see this, and the request had no token.";
      if (reason === "STEP_UP_REQUIRED") return "Sign in at Keycloak again to confirm that it’s you.";
      if (reason === "TOKEN_EXPIRED") return "Your sign-in couldn’t be renewed just now. You are still signed in: try again.";
      if (reason === "TOKEN_REVOKED") return "Your session has ended. Sign in again.";
      return "The server doesn’t accept the token of this request.";
    case "FORBIDDEN":
      if (reason === "IMPERSONATED") return "You can’t do this while you act as somebody else.";
      return "You don’t have access to this.";
    case "TIMEOUT":
      return "The server took too long. Try again.";
    case "INTERNAL_SERVER_ERROR":
      return "Something went wrong. Try again later.";
    default:
      return `${message} (${code})`;
  }
}

const seconds = (count = 60): string => (count === 1 ? "1 second" : `${count} seconds`);
