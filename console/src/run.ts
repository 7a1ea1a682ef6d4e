// Runs an operation with the session's token, which is refreshed if the server says that it isn't valid any more.
import type { GraphQLResponse } from "@cloakql/client";
import { parse } from "graphql";
import { needsRefresh, post, type Operation } from "./http.ts";
import { session } from "./session.ts";

/**
 * Runs an operation. An Authorization header in the editor replaces the session's token; if it is empty, no token is
 * sent. A query is repeated once with a refreshed token; a mutation isn't. It throws if there is no response.
 */
export async function run(editorOperation: Operation, editorHeaders: Record<string, unknown>, signal: AbortSignal): Promise<GraphQLResponse> {
  const operation = withoutUnknownName(editorOperation);
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
  if (!token || !needsRefresh(result)) return result;
  const newToken = await session.refresh(token).catch(() => undefined);
  if (!newToken || newToken === token || !isQuery(operation)) return result;
  return post(operation, { ...headers, authorization: `Bearer ${newToken}` }, signal);
}

/** Only queries can be repeated. In a mutation, public fields may have run although another field was refused. */
function isQuery({ query, operationName }: Operation): boolean {
  const operations = operationsOf(query);
  const selected = operationName ? operations.find(({ name }) => name?.value === operationName) : operations[0];
  return selected?.operation === "query";
}

/** Drops an operation name that isn't in the document: GraphiQL updates it only a moment after an edit. */
function withoutUnknownName(operation: Operation): Operation {
  const isKnown = operationsOf(operation.query).some(({ name }) => name?.value === operation.operationName);
  return isKnown ? operation : { ...operation, operationName: undefined };
}

function operationsOf(query: string) {
  try {
    return parse(query).definitions.filter((definition) => definition.kind === "OperationDefinition");
  } catch {
    return []; // the server reports the syntax error
  }
}
