// Runs the operations of GraphiQL's editor. A failure without a GraphQL response becomes an error without a code.
import { withTimeout, type GraphQLResponse } from "@cloakql/client";
import type { Fetcher } from "@graphiql/toolkit";
import { noteTokens } from "./examples.ts";
import { either, NotGraphQL } from "./http.ts";
import { run } from "./run.ts";

const timeout = 150_000; // ms; the server's own is two minutes at most

type Observer = { next(result: GraphQLResponse): void; error(error: unknown): void; complete(): void };

export const fetcher: Fetcher = (operation, options) =>
  ({
    subscribe(observer: Observer) {
      const stopped = new AbortController();
      withTimeout(timeout, (late) => run(operation, options?.headers ?? {}, either(stopped.signal, late)))
        .then(
          (result) => {
            noteTokens(result.data);
            return result;
          },
          (error: unknown): GraphQLResponse => ({ errors: [{ message: error instanceof NotGraphQL ? error.message : "The server can't be reached" }] }),
        )
        .then((result) => {
          if (stopped.signal.aborted) return;
          observer.next(result);
          observer.complete();
        })
        .catch(() => observer.error({ message: "The response can't be shown: it is nested too deeply, or GraphiQL can't merge it" }));
      return { unsubscribe: () => stopped.abort() };
    },
  }) as unknown as ReturnType<Fetcher>;
