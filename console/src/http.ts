// Sends an operation as GraphQL over HTTP.
import type { GraphQLResponse } from "@cloakql/client";

/** The endpoint next to this page, below the same path prefix. */
export const endpoint = new URL("graphql", document.baseURI).href;

export type Operation = { query: string; variables?: Record<string, unknown>; operationName?: string | null | undefined };

/** A response that isn't GraphQL, for example a proxy's. */
export class NotGraphQLError extends Error {
  constructor(readonly status: number) {
    super(`The response isn't GraphQL (HTTP status ${status})`);
    this.name = "NotGraphQLError";
  }
}

/** Returns a signal that aborts when a or b does. */
export const anySignal = (a: AbortSignal, b: AbortSignal | null): AbortSignal => (b ? AbortSignal.any([a, b]) : a);

/**
 * Sends an operation and returns the response, which may contain errors. It throws a NotGraphQLError if the response
 * isn't GraphQL, and fetch's error if there is no response.
 */
export async function post(operation: Operation, headers: Record<string, string>, signal: AbortSignal | null): Promise<GraphQLResponse> {
  const response = await fetch(endpoint, {
    method: "POST",
    credentials: "omit",
    headers: { accept: "application/graphql-response+json, application/json;q=0.9", ...headers, "content-type": "application/json" },
    body: JSON.stringify(operation),
    signal,
  });
  const result = (await response.json().catch(() => undefined)) as GraphQLResponse | undefined;
  if (!result || typeof result !== "object" || !("data" in result || "errors" in result)) throw new NotGraphQLError(response.status);
  return result;
}

/** Reports whether the token has expired, or was revoked: then its session has usually ended, and the refresh finds out. */
export function needsRefresh({ errors }: GraphQLResponse): boolean {
  return errors?.some(({ extensions }) => ["TOKEN_EXPIRED", "TOKEN_REVOKED"].includes(String(extensions?.reason))) ?? false;
}
