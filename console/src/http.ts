// One operation over HTTP, as GraphQL over HTTP has it.
import type { GraphQLResponse } from "@cloakql/client";

/** The endpoint beside this page, below whatever prefix both have. */
export const endpoint = new URL("graphql", document.baseURI).href;

export type Operation = { query: string; variables?: Record<string, unknown>; operationName?: string | null | undefined };

/** An answer that isn't GraphQL: of a proxy in between, say. */
export class NotGraphQL extends Error {
  constructor(readonly status: number) {
    super(`The answer isn't GraphQL (HTTP status ${status})`);
    this.name = "NotGraphQL";
  }
}

/** A signal that aborts when one of two does. */
export const either = (a: AbortSignal, b: AbortSignal | null): AbortSignal => (b ? AbortSignal.any([a, b]) : a);

/** Sends an operation and gives the answer, errors included. It throws NotGraphQL, or what fetch throws. */
export async function post(operation: Operation, headers: Record<string, string>, signal: AbortSignal | null): Promise<GraphQLResponse> {
  const response = await fetch(endpoint, {
    method: "POST",
    credentials: "omit",
    headers: { accept: "application/graphql-response+json, application/json;q=0.9", ...headers, "content-type": "application/json" },
    body: JSON.stringify(operation),
    signal,
  });
  const result = (await response.json().catch(() => undefined)) as GraphQLResponse | undefined;
  if (!result || typeof result !== "object" || !("data" in result || "errors" in result)) throw new NotGraphQL(response.status);
  return result;
}
