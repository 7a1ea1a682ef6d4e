// What errors mean and what to do: one entry for each CODE or CODE/REASON of the README's table of errors. A Go test
// compares the two.
import type { ResponseError } from "@cloakql/client";

type Entry = { meaning: string; advice: string };

const explanations: Record<string, Entry> = {
  "UNAUTHENTICATED/TOKEN_MISSING": {
    meaning: "This field is for people who are signed in, and the request carried no token.",
    advice: "Sign in above, or put an Authorization header into Headers, and run it again.",
  },
  "UNAUTHENTICATED/TOKEN_MALFORMED": {
    meaning: "What was sent as a bearer token isn't a signed token.",
    advice: "Send one token, whole, after the word Bearer: three parts with a dot between them.",
  },
  "UNAUTHENTICATED/TOKEN_TOO_LARGE": {
    meaning: "The token is longer than the server takes.",
    advice: "Have the realm put less into tokens (roles, groups), or raise TOKEN_MAX_BYTES.",
  },
  "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED": {
    meaning: "The token is genuine to look at, and isn't meant for this API: its issuer, its audience or its kind differs.",
    advice: "Send an access token of this realm with this API in its audience. An ID token or a refresh token is none.",
  },
  "UNAUTHENTICATED/TOKEN_NOT_YET_VALID": {
    meaning: "The token starts in the future.",
    advice: "The clocks of Keycloak and of the server differ: set them right.",
  },
  "UNAUTHENTICATED/TOKEN_EXPIRED": {
    meaning: "The token has expired.",
    advice: "The console refreshes its own, and sends queries again: run it once more if this stays. One that you put into Headers is yours to renew.",
  },
  "UNAUTHENTICATED/KEY_UNKNOWN": {
    meaning: "The token is signed with a key that the realm doesn't have.",
    advice: "Sign in again: the realm may have changed its keys, or this is the token of another realm.",
  },
  "UNAUTHENTICATED/TOKEN_SIGNATURE": {
    meaning: "The signature isn't right, or is made with an algorithm that isn't accepted.",
    advice: "The token was changed on its way, or isn't of this realm. Sign in again.",
  },
  "SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE": {
    meaning: "The server can't have the realm's keys, so it can't verify a token that is signed with a new one.",
    advice: "Your session goes on. Try again when Keycloak can be reached.",
  },
  BAD_USER_INPUT: {
    meaning: "A variable or an argument is empty, too long, of another type, or holds control characters.",
    advice: "Look at Variables: the message says which.",
  },
  INVALID_CREDENTIALS: {
    meaning: "The name, the password or the one-time code is wrong, a code is missing, or the account is locked: the server never says which.",
    advice: "Check all three. Whoever has set up one-time codes must give one each time.",
  },
  ACCOUNT_DISABLED: {
    meaning: "The password is right, and the account is switched off.",
    advice: "An administrator of the realm can enable it.",
  },
  ACCOUNT_NOT_READY: {
    meaning: "The password is right, and something has to be done first: a new password, a checked e-mail address, terms.",
    advice: "Sign in to Keycloak in the browser once, and finish there.",
  },
  "LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED": {
    meaning: "The realm's client doesn't take passwords.",
    advice: "Turn on Direct access grants for it in Keycloak, or get a token elsewhere and put it into Headers.",
  },
  "INVALID_REFRESH_TOKEN/EXPIRED": {
    meaning: "The refresh token has expired.",
    advice: "Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/SESSION_ENDED": {
    meaning: "The session has ended: signed out, ended by an administrator, or idle for too long.",
    advice: "Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/REUSED": {
    meaning: "The refresh token was used before, and the realm takes each once.",
    advice: "Keep the newest refresh token only. Sign in again.",
  },
  "INVALID_REFRESH_TOKEN/INVALID": {
    meaning: "This is no refresh token of this realm and client.",
    advice: "Give what login or refresh answered as refreshToken, whole.",
  },
  "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_MISCONFIGURED": {
    meaning: "Keycloak refuses the server itself, not you.",
    advice: "The server's log names the setting or the switch of the realm to change.",
  },
  "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE": {
    meaning: "Keycloak is down, slow, or answers nothing that makes sense.",
    advice: "Nothing is lost: your session goes on. Try again in a moment.",
  },
  "SERVICE_UNAVAILABLE/BUSY": {
    meaning: "The server has as many such calls under way as it allows.",
    advice: "Try again in a moment.",
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
    meaning: "The document isn't GraphQL.",
    advice: "The message says what stands where something else was expected.",
  },
  GRAPHQL_VALIDATION_FAILED: {
    meaning: "The document is GraphQL and doesn't fit the schema.",
    advice: "Compare it with Docs. In production the server doesn't say what the schema has instead.",
  },
  OPERATION_RESOLUTION_FAILURE: {
    meaning: "The document has several operations, or none of that name.",
    advice: "Choose the one to run, beside Run.",
  },
  PERSISTED_QUERY_NOT_FOUND: {
    meaning: "The server doesn't know a query of that digest.",
    advice: "Send its text with the digest, once.",
  },
  PERSISTED_QUERY_NOT_SUPPORTED: {
    meaning: "Persisted queries are off at this server.",
    advice: "Send the text.",
  },
  OPERATION_NOT_ALLOWED: {
    meaning: "This server runs the operations of its manifest alone (TRUSTED_DOCUMENTS).",
    advice: "Send one of those, or ask a server for development.",
  },
  RATE_LIMITED: {
    meaning: "There were too many failing attempts under this name, or from this address.",
    advice: "Wait, and then try again with the right password.",
  },
  ERRORS_LEFT_OUT: {
    meaning: "There are more errors than an answer may hold.",
    advice: "Mend those that are shown.",
  },
  RESPONSE_TOO_LARGE: {
    meaning: "The answer is larger than the server allows.",
    advice: "Ask for less, or raise MAX_RESPONSE_BYTES.",
  },
  INTROSPECTION_DISABLED: {
    meaning: "This server doesn't tell its schema.",
    advice: "Everything else runs. The schema is in the folder schema of its sources.",
  },
  TIMEOUT: {
    meaning: "The request took longer than REQUEST_TIMEOUT.",
    advice: "Try again; what was done already stays done.",
  },
  BAD_REQUEST: {
    meaning: "The request isn't GraphQL over HTTP.",
    advice: "The message says what is expected.",
  },
  INTERNAL_SERVER_ERROR: {
    meaning: "Something failed that the server doesn't tell about.",
    advice: "Its log has the cause, under the requestId of this error.",
  },
};

function large(items: string): Entry {
  return { meaning: `The operation has too many ${items}.`, advice: "Ask for less at once. The message says what was found, and what is allowed." };
}

/** An error as people read it. The code is empty where the error has none. */
export type Explanation = { code: string; meaning: string; advice: string; detail?: string; retryAfter?: number };

/** Explains an error. One whose code isn't listed above, such as a product's own, has its message as its meaning. */
export function explain({ message, extensions = {} }: ResponseError): Explanation {
  const { code, reason, detail, retryAfter } = extensions;
  const name = [code, reason].filter((part) => typeof part === "string" && part).join("/");
  const key = [name, String(code)].find((key) => Object.hasOwn(explanations, key));
  const { meaning, advice } = (key !== undefined && explanations[key]) || { meaning: message, advice: "" };
  return {
    code: name,
    meaning,
    advice,
    ...(typeof detail === "string" && detail && { detail }),
    ...(typeof retryAfter === "number" && { retryAfter }),
  };
}
