/**
 * An Apollo Link that sends each operation with an access token, and again with a new one where the server says that
 * the token has expired. Copy this file; it imports only @apollo/client 4 and rxjs.
 *
 *   const client = new ApolloClient({
 *     link: ApolloLink.from([new RefreshLink(tokens), new HttpLink({ uri })]),
 *     cache: new InMemoryCache(),
 *   });
 *
 * `tokens` is two functions of yours (see Tokens below). Let them send `login`, `refresh` and `logout` with `fetch`:
 * through this client, a refresh would wait for itself.
 *
 * - An operation is sent as it is when its context says `anonymous: true`, when it has an `authorization` header
 *   already, and when nobody is signed in.
 * - It is repeated once at most. A mutation is repeated only where nothing of it can have run.
 * - Operations that fail together share one refresh: each names the token that it was sent with, and `refresh` trades
 *   each token once.
 * - Where there is no new token, the operation ends with the error that the server gave. The link signs nobody out.
 */
import { ApolloLink, CombinedGraphQLErrors } from "@apollo/client";
import { getMainDefinition } from "@apollo/client/utilities";
import { catchError, concatMap, defer, from, of, switchMap, throwError, type Observable } from "rxjs";

export interface Tokens {
  /** The access token to send now, or undefined where nobody is signed in. */
  accessToken(): Promise<string | undefined>;
  /**
   * The token that replaces `stale`. Callers that name the same one at the same time must share one exchange, and late
   * ones get what it gave. Undefined where the session has ended; it rejects where the exchange can't be done now.
   */
  refresh(stale: string): Promise<string | undefined>;
}

type Result = ApolloLink.Result;
type Operation = ApolloLink.Operation;
type Fault = { path?: readonly (string | number)[]; extensions?: Record<string, unknown> };

export class RefreshLink extends ApolloLink {
  constructor(tokens: Tokens) {
    super((operation, forward) => {
      const context = operation.getContext();
      // A RetryLink above this one comes here again, with the headers that we gave the operation before.
      const headers: Record<string, string> = context.headersOfCaller ?? context.headers ?? {};
      if (context.anonymous || hasAuthorization(headers)) return forward(operation);

      const send = (token: string | undefined) => {
        const bearer = token === undefined ? {} : { authorization: `Bearer ${token}` };
        operation.setContext({ headersOfCaller: headers, headers: { ...headers, ...bearer } });
        return forward(operation);
      };

      const sendAndRepeat = (token: string): Observable<Result> => {
        let repeated = false;
        const repeat = (outcome: unknown, asItWas: Observable<Result>): Observable<Result> => {
          if (repeated || !mayRepeat(operation, outcome)) return asItWas;
          repeated = true;
          return from(tokens.refresh(token)).pipe(
            catchError(() => of(undefined)), // can't be asked now: nothing is known about the session
            switchMap((fresh) => (fresh === undefined || fresh === token ? asItWas : send(fresh))),
          );
        };
        return send(token).pipe(
          catchError((error: unknown) => repeat(error, throwError(() => error))), // a link below may throw what it got
          concatMap((result) => {
            const outcome = repeat(result, of(result));
            repeated = true; // what follows a first result is a part of the same answer
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

/** Whether it was an expired token that the operation failed with, and sending it again does nothing twice. */
function mayRepeat(operation: Operation, outcome: unknown): boolean {
  const { data, errors } = answerOf(outcome);
  const expired = errors.filter(
    ({ extensions }) => extensions?.code === "UNAUTHENTICATED" && extensions.reason === "TOKEN_EXPIRED",
  );
  if (expired.length === 0) return false;
  if (operation.operationType === "subscription") return false; // it goes on beside the one that would be begun
  if (operation.operationType === "query") return true;
  if (Object.values(data ?? {}).some((value) => value !== null)) return false;
  // A null may be the answer of a field that ran, so each root field has to be among those that failed for the token.
  // An error without a path is of the whole request: no field ran.
  const failed = (name: string) => expired.some(({ path }) => !path || (path.length === 1 && path[0] === name));
  return rootFields(operation)?.every(failed) ?? false;
}

/** What the server answered: a result, or an error that was made of one. */
function answerOf(outcome: unknown): { data?: Record<string, unknown> | null; errors: readonly Fault[] } {
  if (CombinedGraphQLErrors.is(outcome)) return { data: outcome.data, errors: outcome.errors };
  const { data, errors } = (outcome ?? {}) as { data?: Record<string, unknown> | null; errors?: readonly Fault[] };
  return { data, errors: errors ?? [] };
}

/** The names of an operation's root fields in its answer; undefined where fragments hide them. */
function rootFields({ query }: Operation): string[] | undefined {
  const names: string[] = [];
  for (const selection of getMainDefinition(query).selectionSet.selections) {
    if (selection.kind !== "Field") return undefined;
    names.push((selection.alias ?? selection.name).value);
  }
  return names;
}
