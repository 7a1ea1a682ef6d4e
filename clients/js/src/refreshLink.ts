/**
 * An Apollo Link that sends each operation with an access token, and repeats it with a new one if the server says that
 * the token has expired or was revoked. A token is revoked when its session ends: then the refresh fails, and the
 * TokenSource learns that no user is signed in.
 *
 *   const client = new ApolloClient({
 *     link: ApolloLink.from([new RefreshLink(session), new HttpLink({ uri })]),
 *     cache: new InMemoryCache(),
 *   });
 *
 * Its argument is a Session, or an object of yours with the same two functions (see TokenSource). These must not send
 * `refresh` through this client, because that `refresh` would wait for itself.
 *
 * - An operation is sent unchanged when its context says `anonymous: true`, when it already has an `authorization`
 *   header, and when no user is signed in.
 * - An operation is repeated at most once. A mutation is repeated only if none of its fields can have run.
 * - Operations that fail together share one refresh.
 * - Without a new token, the operation ends with the server's error. The link never signs a user out.
 *
 * This file imports only @apollo/client 4 and rxjs, so it can also be copied.
 */
import { ApolloLink, CombinedGraphQLErrors } from "@apollo/client";
import { getMainDefinition } from "@apollo/client/utilities";
import { catchError, concatMap, defer, from, of, switchMap, throwError, type Observable } from "rxjs";

export interface TokenSource {
  /** Returns the access token to send, or undefined if no user is signed in. */
  accessToken(): Promise<string | undefined>;
  /**
   * Returns the token that replaces `staleToken`, or undefined if its session has ended. Callers with the same
   * `staleToken` must share one request, and later callers must get its token. It rejects if refreshing isn't possible
   * now.
   */
  refresh(staleToken: string): Promise<string | undefined>;
}

type Result = ApolloLink.Result;
type Operation = ApolloLink.Operation;
type ResponseError = { path?: readonly (string | number)[]; extensions?: Record<string, unknown> };

export class RefreshLink extends ApolloLink {
  constructor(tokens: TokenSource) {
    super((operation, forward) => {
      const context = operation.getContext();
      // A RetryLink above this one sends the operation again, with the headers that were added here.
      const headers: Record<string, string> = context.callerHeaders ?? context.headers ?? {};
      if (context.anonymous || hasAuthorization(headers)) return forward(operation);

      const send = (token: string | undefined) => {
        const authorizationHeader = token === undefined ? {} : { authorization: `Bearer ${token}` };
        operation.setContext({ callerHeaders: headers, headers: { ...headers, ...authorizationHeader } });
        return forward(operation);
      };

      const sendAndRepeat = (token: string): Observable<Result> => {
        let hasRepeated = false;
        const repeat = (outcome: unknown, original: Observable<Result>): Observable<Result> => {
          if (hasRepeated || !mayRepeat(operation, outcome)) return original;
          hasRepeated = true;
          return from(tokens.refresh(token)).pipe(
            catchError(() => of(undefined)), // not possible now, but the session may still be good
            switchMap((newToken) => (newToken === undefined || newToken === token ? original : send(newToken))),
          );
        };
        return send(token).pipe(
          catchError((error: unknown) => repeat(error, throwError(() => error))), // a link below may throw the response
          concatMap((result) => {
            const outcome = repeat(result, of(result));
            hasRepeated = true; // later results belong to the same response
            return outcome;
          }),
        );
      };

      return defer(() => tokens.accessToken()).pipe(
        switchMap((token) => (token === undefined ? send(undefined) : sendAndRepeat(token))),
      );
    });
  }
}

function hasAuthorization(headers: Record<string, string>): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
}

/** Reports whether the operation failed because its token isn't valid any more, and none of it would run twice. */
function mayRepeat(operation: Operation, outcome: unknown): boolean {
  const { data, errors } = responseOf(outcome);
  const tokenErrors = errors.filter(
    ({ extensions }) => extensions?.code === "UNAUTHENTICATED" && ["TOKEN_EXPIRED", "TOKEN_REVOKED"].includes(String(extensions.reason)),
  );
  if (tokenErrors.length === 0) return false;
  if (operation.operationType === "subscription") return false; // it would still be running
  if (operation.operationType === "query") return true;
  if (Object.values(data ?? {}).some((value) => value !== null)) return false;
  // A field that ran may be null, so every root field must have failed because of the token. An error without a path
  // concerns the whole request: no field ran.
  const wasRefused = (name: string) => tokenErrors.some(({ path }) => !path || (path.length === 1 && path[0] === name));
  return rootFields(operation)?.every(wasRefused) ?? false;
}

/** Returns the response: the outcome is a result, or an error that Apollo created from one. */
function responseOf(outcome: unknown): { data?: Record<string, unknown> | null; errors: readonly ResponseError[] } {
  if (CombinedGraphQLErrors.is(outcome)) return { data: outcome.data, errors: outcome.errors };
  const { data, errors } = (outcome ?? {}) as { data?: Record<string, unknown> | null; errors?: readonly ResponseError[] };
  return { data, errors: errors ?? [] };
}

/** Returns the response names of the operation's root fields, or undefined if fragments hide them. */
function rootFields({ query }: Operation): string[] | undefined {
  const names: string[] = [];
  for (const selection of getMainDefinition(query).selectionSet.selections) {
    if (selection.kind !== "Field") return undefined;
    names.push((selection.alias ?? selection.name).value);
  }
  return names;
}
