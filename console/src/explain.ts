// What errors mean and what to do about them: an entry for each CODE or CODE/REASON in docs/errors.md. A Go test compares
// the two.
import type { ResponseError } from "@cloakql/client";

type Entry = { meaning: string; advice: string };

const explanations: Record<string, Entry> = {
  "UNAUTHENTICATED/TOKEN_MISSING": {
    meaning: "This field is for people who are signed in, and the request had no token.",
    advice: "Sign in above, or add an Authorization header in Headers, and run it again.",
  },
  "UNAUTHENTICATED/TOKEN_MALFORMED": {
    meaning: "The text after Bearer isn't a signed token.",
    advice: "Send exactly one complete token after the word Bearer: three parts separated by dots.",
  },
  "UNAUTHENTICATED/TOKEN_TOO_LARGE": {
    meaning: "The token is longer than the server accepts.",
    advice: "Make the realm's tokens smaller (fewer roles or groups), or raise TOKEN_MAX_BYTES.",
  },
  "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED": {
    meaning: "The token isn't meant for this API: its issuer, audience, client or type is wrong, or it is bound to a client's key.",
    advice: "Send an access token of this realm with this API in its audience, not an ID token or a refresh token.",
  },
  "UNAUTHENTICATED/TOKEN_NOT_YET_VALID": {
    meaning: "The token isn't valid yet.",
    advice: "The clocks of Keycloak and of the server probably differ: correct them.",
  },
  "UNAUTHENTICATED/TOKEN_EXPIRED": {
    meaning: "The token has expired.",
    advice: "The console refreshes its own token: run the operation again. Replace a token that you entered in Headers yourself.",
  },
  "UNAUTHENTICATED/TOKEN_REVOKED": {
    meaning: "The token's session has ended: you signed out, or an administrator ended it.",
    advice: "Sign in again.",
  },
  "UNAUTHENTICATED/KEY_UNKNOWN": {
    meaning: "The token is signed with a key that the realm doesn't have.",
    advice: "Sign in again: the realm may have changed its keys, or the token is from another realm.",
  },
  "UNAUTHENTICATED/TOKEN_SIGNATURE": {
    meaning: "The signature is wrong, or its algorithm isn't accepted.",
    advice: "The token was changed, or isn't from this realm. Sign in again.",
  },
  "FORBIDDEN/ROLE_MISSING": {
    meaning: "Your token is valid, but lacks a role that this field requires.",
    advice: "The access rule is in the schema. Roles, groups and the like are in the token: sign in again after a change in Keycloak.",
  },
  "FORBIDDEN/SCOPE_MISSING": {
    meaning: "Your token is valid, but lacks a scope that this field requires.",
    advice: "The access rule is in the schema. Roles, groups and the like are in the token: sign in again after a change in Keycloak.",
  },
  "FORBIDDEN/GROUP_MISSING": {
    meaning: "Your token is valid, but lacks a group that this field requires.",
    advice: "The access rule is in the schema. Roles, groups and the like are in the token: sign in again after a change in Keycloak.",
  },
  "FORBIDDEN/ORGANIZATION_MISSING": {
    meaning: "Your token is valid, but lacks an organization that this field requires.",
    advice: "The access rule is in the schema. Roles, groups and the like are in the token: sign in again after a change in Keycloak.",
  },
  "FORBIDDEN/CLAIM_MISSING": {
    meaning: "Your token is valid, but lacks a claim that this field requires.",
    advice: "The access rule is in the schema. Roles, groups and the like are in the token: sign in again after a change in Keycloak.",
  },
  "FORBIDDEN/NOT_OWNER": {
    meaning: "The argument names another user. Only that user may use this field.",
    advice: "Pass your own ID, which is me { id }.",
  },
  "FORBIDDEN/IMPERSONATED": {
    meaning: "You act as somebody else, and this field doesn't allow that.",
    advice: "Sign in as yourself.",
  },
  "UNAUTHENTICATED/STEP_UP_REQUIRED": {
    meaning: "This field requires a stronger or more recent sign-in.",
    advice: "Sign in again at Keycloak in the browser, and enter the new token in Headers.",
  },
  "SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE": {
    meaning: "The server can't fetch the realm's keys, so it can't verify a token signed with a new key.",
    advice: "You are still signed in. Try again when Keycloak can be reached.",
  },
  BAD_USER_INPUT: {
    meaning: "A variable or an argument is empty, too long, of the wrong type, or contains control characters.",
    advice: "Check Variables and the operation's arguments.",
  },
  INVALID_CREDENTIALS: {
    meaning: "The username, password or one-time code is wrong, a code is missing, or the account is locked: the server never says which.",
    advice: "Check all three. If you have set up one-time codes, you need one for each sign-in.",
  },
  ACCOUNT_DISABLED: {
    meaning: "The password is right, but the account is disabled.",
    advice: "An administrator of the realm can enable it.",
  },
  ACCOUNT_NOT_READY: {
    meaning: "The password is right, but something has to be done first: choose a new password, verify the e-mail address, accept terms.",
    advice: "Sign in to Keycloak in the browser once, and finish there.",
  },
  "LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED": {
    meaning: "The realm's client doesn't accept passwords.",
    advice: "Turn on Direct access grants for it in Keycloak, or get a token elsewhere and enter it in Headers.",
  },
  "INVALID_REFRESH_TOKEN/EXPIRED": {
    meaning: "The refresh token has expired.",
    advice: "Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/SESSION_ENDED": {
    meaning: "The session has ended: you signed out, an administrator ended it, or it was idle for too long.",
    advice: "Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/REUSED": {
    meaning: "The refresh token was used before, and the realm accepts each only once.",
    advice: "Sign in again. Always use the newest refresh token.",
  },
  "INVALID_REFRESH_TOKEN/INVALID": {
    meaning: "This isn't a refresh token of this realm and client.",
    advice: "Send the complete refreshToken that login or refresh returned.",
  },
  "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_MISCONFIGURED": {
    meaning: "Keycloak refuses the server itself, not you.",
    advice: "The server's log names the setting, or the option in Keycloak, to change.",
  },
  "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE": {
    meaning: "Keycloak is down or slow, or its response makes no sense.",
    advice: "You are still signed in. Try again in a moment.",
  },
  "SERVICE_UNAVAILABLE/STORE_UNAVAILABLE": {
    meaning: "The store that the server's processes share is unavailable. Keycloak wasn't called.",
    advice: "You are still signed in. Try again in a moment.",
  },
  "SERVICE_UNAVAILABLE/REFRESH_INTERRUPTED": {
    meaning: "Another process of the server was exchanging the refresh token, and ended before it had the result.",
    advice: "Try again. If Keycloak then refuses the token, sign in again.",
  },
  "SERVICE_UNAVAILABLE/BUSY": {
    meaning: "The server is handling as many of these calls, or as many sign-ins to this account, as it allows.",
    advice: "Try again in a moment.",
  },
  "OPERATION_TOO_LARGE/BYTES": tooMany("bytes"),
  "OPERATION_TOO_LARGE/TOKENS": tooMany("words and symbols"),
  "OPERATION_TOO_LARGE/NESTING": tooMany("nested brackets"),
  "OPERATION_TOO_LARGE/NAMES": tooMany("characters in a name"),
  "OPERATION_TOO_LARGE/STRINGS": tooMany("characters in a string"),
  "OPERATION_TOO_LARGE/NUMBERS": tooMany("digits in a number"),
  "OPERATION_TOO_LARGE/DEPTH": tooMany("levels of fields or values"),
  "OPERATION_TOO_LARGE/FIELDS": tooMany("fields, counting fragments wherever they are spread"),
  "OPERATION_TOO_LARGE/ROOT_FIELDS": tooMany("root fields; login, refresh and logout are allowed once each"),
  "OPERATION_TOO_LARGE/ALIASES": tooMany("aliases"),
  "OPERATION_TOO_LARGE/OPERATIONS": tooMany("operations"),
  "OPERATION_TOO_LARGE/FRAGMENTS": tooMany("fragments or spreads"),
  "OPERATION_TOO_LARGE/DIRECTIVES": tooMany("directives"),
  "OPERATION_TOO_LARGE/ARGUMENTS": tooMany("arguments in one place"),
  "OPERATION_TOO_LARGE/VARIABLES": tooMany("variables, or items in them"),
  "OPERATION_TOO_LARGE/VALUES": tooMany("values"),
  "OPERATION_TOO_LARGE/INTROSPECTION": tooMany("nested lists in introspection"),
  "OPERATION_TOO_LARGE/COERCIONS": tooMany("uses of variables"),
  GRAPHQL_PARSE_FAILED: {
    meaning: "The document isn't GraphQL.",
    advice: "The message says what was found where something else was expected.",
  },
  GRAPHQL_VALIDATION_FAILED: {
    meaning: "The document is GraphQL but doesn't match the schema.",
    advice: "Compare it with Docs. In production, the server makes no suggestions from its schema.",
  },
  OPERATION_RESOLUTION_FAILURE: {
    meaning: "The document has several operations, or none with that name.",
    advice: "Choose one next to Run.",
  },
  PERSISTED_QUERY_NOT_FOUND: {
    meaning: "The server doesn't know a query with that hash.",
    advice: "Send the query's text along with the hash once.",
  },
  PERSISTED_QUERY_NOT_SUPPORTED: {
    meaning: "Persisted queries are off on this server.",
    advice: "Send the query's text.",
  },
  OPERATION_NOT_ALLOWED: {
    meaning: "This server runs only the operations in its manifest (TRUSTED_DOCUMENTS).",
    advice: "Run one of those, or use a development server.",
  },
  RATE_LIMITED: {
    meaning: "There were too many attempts with this name or token, or from this address or its network.",
    advice: "Wait, and then try again with the right password.",
  },
  ERRORS_LEFT_OUT: {
    meaning: "There are more errors than a response may contain.",
    advice: "Fix the ones shown.",
  },
  RESPONSE_TOO_LARGE: {
    meaning: "The response is larger than the server allows.",
    advice: "Request less, or raise MAX_RESPONSE_BYTES.",
  },
  INTROSPECTION_DISABLED: {
    meaning: "This server doesn't reveal its schema.",
    advice: "Other operations run. The schema is in the directory schema of the source code.",
  },
  TIMEOUT: {
    meaning: "The request took longer than REQUEST_TIMEOUT.",
    advice: "Try again. Changes that were already made stay.",
  },
  BAD_REQUEST: {
    meaning: "The request isn't valid GraphQL over HTTP.",
    advice: "The message says what is expected.",
  },
  INTERNAL_SERVER_ERROR: {
    meaning: "Something failed in the server.",
    advice: "The server's log has the cause, with the requestId of this error.",
  },
};

function tooMany(items: string): Entry {
  return { meaning: `The operation has too many ${items}.`, advice: "Request less at once. The message has the number found and the limit." };
}

/** An error as the console shows it. The code is empty if the error has none. */
export type Explanation = {
  code: string;
  meaning: string;
  advice: string;
  detail?: string;
  /** What the access rule of the field requires, if the server says so. */
  required?: string;
  retryAfter?: number;
};

/** Returns what the access rule requires: the parameters of a sign-in, or the rule's arguments. */
function requirement({ acrValues, maxAge, required }: Record<string, unknown>): Pick<Explanation, "required"> {
  const parts: string[] = [];
  if (Array.isArray(acrValues)) parts.push(`acr_values=${acrValues.join(" ")}`);
  if (typeof maxAge === "number") parts.push(`max_age=${maxAge}`);
  if (parts.length === 0 && typeof required === "object" && required) parts.push(JSON.stringify(required));
  return parts.length > 0 ? { required: parts.join(", ") } : {};
}

/** Explains an error. If its code isn't listed above, such as the application's own, the meaning is the error's message. */
export function explain({ message, extensions = {} }: ResponseError): Explanation {
  const { code, reason, detail, retryAfter } = extensions;
  const codeAndReason = [code, reason].filter((part) => typeof part === "string" && part).join("/");
  const key = [codeAndReason, String(code)].find((key) => Object.hasOwn(explanations, key));
  const { meaning, advice } = (key !== undefined && explanations[key]) || { meaning: message, advice: "" };
  return {
    code: codeAndReason,
    meaning,
    advice,
    ...(typeof detail === "string" && detail && { detail }),
    ...requirement(extensions),
    ...(typeof retryAfter === "number" && { retryAfter }),
  };
}
