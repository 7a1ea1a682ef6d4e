// What errors mean, in words, and what to do: a line for each CODE or CODE/REASON of the README's table of errors. A
// test compares the two.
import type { GraphQLFault } from "../../examples/apollo/src/session.ts";

type Words = { what: string; next: string };

export const words: Record<string, Words> = {
  "UNAUTHENTICATED/TOKEN_MISSING": {
    what: "This field is for people who are signed in, and the request carried no token.",
    next: "Sign in above, or put an Authorization header into Headers, and run it again.",
  },
  "UNAUTHENTICATED/TOKEN_MALFORMED": {
    what: "What was sent as a bearer token isn't a signed token.",
    next: "Send one token, whole, after the word Bearer: three parts with a dot between them.",
  },
  "UNAUTHENTICATED/TOKEN_TOO_LARGE": {
    what: "The token is longer than the server takes.",
    next: "Have the realm put less into tokens (roles, groups), or raise TOKEN_MAX_BYTES.",
  },
  "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED": {
    what: "The token is genuine to look at, and isn't meant for this API: its issuer, its audience or its kind differs.",
    next: "Send an access token of this realm with this API in its audience. An ID token or a refresh token is none.",
  },
  "UNAUTHENTICATED/TOKEN_NOT_YET_VALID": {
    what: "The token starts in the future.",
    next: "The clocks of Keycloak and of the server differ: set them right.",
  },
  "UNAUTHENTICATED/TOKEN_EXPIRED": {
    what: "The token has expired.",
    next: "The console refreshes its own, and sends queries again: run it once more if this stays. One that you put into Headers is yours to renew.",
  },
  "UNAUTHENTICATED/KEY_UNKNOWN": {
    what: "The token is signed with a key that the realm doesn't have.",
    next: "Sign in again: the realm may have changed its keys, or this is the token of another realm.",
  },
  "UNAUTHENTICATED/TOKEN_SIGNATURE": {
    what: "The signature isn't right, or is made with an algorithm that isn't accepted.",
    next: "The token was changed on its way, or isn't of this realm. Sign in again.",
  },
  "SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE": {
    what: "The server can't have the realm's keys, so it can't verify a token that is signed with a new one.",
    next: "Your session goes on. Try again when Keycloak can be reached.",
  },
  BAD_USER_INPUT: {
    what: "A variable or an argument is empty, too long, of another type, or holds control characters.",
    next: "Look at Variables: the message says which.",
  },
  INVALID_CREDENTIALS: {
    what: "The name, the password or the one-time code is wrong, a code is missing, or the account is locked: the server never says which.",
    next: "Check all three. Whoever has set up one-time codes must give one each time.",
  },
  ACCOUNT_DISABLED: {
    what: "The password is right, and the account is switched off.",
    next: "An administrator of the realm can enable it.",
  },
  ACCOUNT_NOT_READY: {
    what: "The password is right, and something has to be done first: a new password, a checked e-mail address, terms.",
    next: "Sign in to Keycloak in the browser once, and finish there.",
  },
  "LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED": {
    what: "The realm's client doesn't take passwords.",
    next: "Turn on Direct access grants for it in Keycloak, or get a token elsewhere and put it into Headers.",
  },
  "INVALID_REFRESH_TOKEN/EXPIRED": {
    what: "The refresh token has expired.",
    next: "Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/SESSION_ENDED": {
    what: "The session has ended: signed out, ended by an administrator, or idle for too long.",
    next: "Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/REUSED": {
    what: "The refresh token was used before, and the realm takes each once.",
    next: "Keep the newest refresh token only. Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/INVALID": {
    what: "This is no refresh token of this realm and client.",
    next: "Give what login or refresh answered as refreshToken, whole.",
  },
  "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_MISCONFIGURED": {
    what: "Keycloak refuses the server itself, not you.",
    next: "The server's log names the setting or the switch of the realm to change.",
  },
  "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE": {
    what: "Keycloak is down, slow, or answers nothing that makes sense.",
    next: "Nothing is lost: your session goes on. Try again in a moment.",
  },
  "SERVICE_UNAVAILABLE/BUSY": {
    what: "The server has as many such calls under way as it allows.",
    next: "Try again in a moment.",
  },
  "OPERATION_TOO_LARGE/BYTES": large("bytes"),
  "OPERATION_TOO_LARGE/TOKENS": large("words and signs"),
  "OPERATION_TOO_LARGE/NESTING": large("brackets inside each other"),
  "OPERATION_TOO_LARGE/NAMES": large("characters in a name"),
  "OPERATION_TOO_LARGE/STRINGS": large("characters in a string"),
  "OPERATION_TOO_LARGE/NUMBERS": large("digits in a number"),
  "OPERATION_TOO_LARGE/DEPTH": large("levels of fields or values"),
  "OPERATION_TOO_LARGE/FIELDS": large("fields, fragments counted wherever they are spread"),
  "OPERATION_TOO_LARGE/ROOT_FIELDS": large("root fields; login, refresh and logout are allowed once each"),
  "OPERATION_TOO_LARGE/ALIASES": large("aliases"),
  "OPERATION_TOO_LARGE/OPERATIONS": large("operations"),
  "OPERATION_TOO_LARGE/FRAGMENTS": large("fragments or spreads"),
  "OPERATION_TOO_LARGE/DIRECTIVES": large("directives"),
  "OPERATION_TOO_LARGE/ARGUMENTS": large("arguments in one place"),
  "OPERATION_TOO_LARGE/VARIABLES": large("variables, or items in them"),
  "OPERATION_TOO_LARGE/VALUES": large("values"),
  "OPERATION_TOO_LARGE/INTROSPECTION": large("lists of the schema inside each other"),
  "OPERATION_TOO_LARGE/COERCIONS": large("places that variables stand in"),
  GRAPHQL_PARSE_FAILED: {
    what: "The document isn't GraphQL.",
    next: "The message says what stands where something else was expected.",
  },
  GRAPHQL_VALIDATION_FAILED: {
    what: "The document is GraphQL and doesn't fit the schema.",
    next: "Compare it with Docs. In production the server doesn't say what the schema has instead.",
  },
  OPERATION_RESOLUTION_FAILURE: {
    what: "The document has several operations, or none of that name.",
    next: "Choose the one to run, beside Run.",
  },
  PERSISTED_QUERY_NOT_FOUND: {
    what: "The server doesn't know a query of that digest.",
    next: "Send its text with the digest, once.",
  },
  PERSISTED_QUERY_NOT_SUPPORTED: {
    what: "Persisted queries are off at this server.",
    next: "Send the text.",
  },
  OPERATION_NOT_ALLOWED: {
    what: "This server runs the operations of its manifest alone (TRUSTED_DOCUMENTS).",
    next: "Send one of those, or ask a server for development.",
  },
  RATE_LIMITED: {
    what: "There were too many failing attempts under this name, or from this address.",
    next: "Wait, and then try again with the right password.",
  },
  ERRORS_LEFT_OUT: {
    what: "There are more errors than an answer may hold.",
    next: "Mend those that are shown.",
  },
  RESPONSE_TOO_LARGE: {
    what: "The answer is larger than the server allows.",
    next: "Ask for less, or raise MAX_RESPONSE_BYTES.",
  },
  INTROSPECTION_DISABLED: {
    what: "This server doesn't tell its schema.",
    next: "Everything else runs. The schema is in the folder schema of its sources.",
  },
  TIMEOUT: {
    what: "The request took longer than REQUEST_TIMEOUT.",
    next: "Try again; what was done already stays done.",
  },
  BAD_REQUEST: {
    what: "The request isn't GraphQL over HTTP.",
    next: "The message says what is expected.",
  },
  INTERNAL_SERVER_ERROR: {
    what: "Something failed that the server doesn't tell about.",
    next: "Its log has the cause, under the requestId of this error.",
  },
};

function large(of: string): Words {
  return { what: `The operation has too many ${of}.`, next: "Ask for less at once. The message says what was found, and what is allowed." };
}

/** An error as people read it. */
export type Explanation = { code: string; message: string; what: string; next: string; detail?: string; retryAfter?: number };

export function explain(fault: GraphQLFault): Explanation {
  const { code, reason, detail, retryAfter } = fault.extensions ?? {};
  const name = [code, reason].filter((part) => typeof part === "string" && part).join("/");
  const known = [name, String(code)].filter((key) => Object.hasOwn(words, key)).map((key) => words[key])[0];
  return {
    code: name || "no code",
    message: fault.message,
    what: known?.what ?? "The server gives this error a code of its own.",
    next: known?.next ?? "The message says what it is about.",
    ...(typeof detail === "string" && detail && { detail }),
    ...(typeof retryAfter === "number" && { retryAfter }),
  };
}
