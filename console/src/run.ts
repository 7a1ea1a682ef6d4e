// Runs what is in the editor: with the session's token, which is refreshed where the server says that it has expired.
import type { GraphQLResponse } from "@cloakql/client";
import { parse } from "graphql";
import { post, type Operation } from "./http.ts";
import { session } from "./session.ts";

/**
 * Runs an operation. A header Authorization of the editor's is sent instead of the session's token; an empty one sends
 * none. A query is sent once more with a refreshed token; a mutation isn't. It throws where there is no answer.
 */
export async function run(asked: Operation, editorHeaders: Record<string, unknown>, signal: AbortSignal): Promise<GraphQLResponse> {
  const operation = named(asked);
  const headers: Record<string, string> = {};
  let token: string | undefined;
  for (const [name, value] of Object.entries(editorHeaders)) headers[name.toLowerCase()] = String(value);
  if (headers.authorization === undefined) {
    token = await session.accessToken();
    if (token) headers.authorization = `Bearer ${token}`;
  } else if (headers.authorization === "") {
    delete headers.authorization;
  }
  const result = await post(operation, headers, signal);
  if (!token || !expired(result)) return result;
  const next = await session.refresh(token).catch(() => undefined);
  if (!next || next === token || !isQuery(operation)) return result;
  return post(operation, { ...headers, authorization: `Bearer ${next}` }, signal);
}

function expired(result: GraphQLResponse): boolean {
  return result.errors?.some(({ extensions }) => extensions?.reason === "TOKEN_EXPIRED") ?? false;
}

/** Queries can be sent again. Of a mutation, public fields may have run beside the one that was refused. */
function isQuery({ query, operationName }: Operation): boolean {
  const operations = operationsOf(query);
  const ours = operationName ? operations.find(({ name }) => name?.value === operationName) : operations[0];
  return ours?.operation === "query";
}

/** GraphiQL notices the name of an operation a moment after it is edited: one that the document hasn't is left out. */
function named(operation: Operation): Operation {
  const known = operationsOf(operation.query).some(({ name }) => name?.value === operation.operationName);
  return known ? operation : { ...operation, operationName: undefined };
}

function operationsOf(query: string) {
  try {
    return parse(query).definitions.filter((definition) => definition.kind === "OperationDefinition");
  } catch {
    return []; // the server says what is wrong with it
  }
}
