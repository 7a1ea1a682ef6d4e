// Runs the operations of GraphiQL's editor. A failure without a GraphQL response becomes an error without a code.
import { withTimeout, type GraphQLResponse } from "@cloakql/client";
import type { Fetcher } from "@graphiql/toolkit";
import { rememberRefreshToken } from "./examples.ts";
import { anySignal, NotGraphQLError } from "./http.ts";
import { run } from "./run.ts";

const requestTimeout = 150_000; // ms; the server's own is two minutes at most

type Observer = { next(result: GraphQLResponse): void; error(error: unknown): void; complete(): void };

export const fetcher: Fetcher = (operation, options) =>
  ({
    subscribe(observer: Observer) {
      const controller = new AbortController();
      withTimeout(requestTimeout, (timeout) => run(operation, options?.headers ?? {}, anySignal(controller.signal, timeout)))
        .then(
          (result) => {
            rememberRefreshToken(result.data);
            return result;
          },
          (error: unknown): GraphQLResponse => ({ errors: [{ message: error instanceof NotGraphQLError ? error.message : "The server can't be reached" }] }),
        )
        .then((result) => {
          if (controller.signal.aborted) return;
          observer.next(result);
          observer.complete();
        })
        .catch(() => observer.error({ message: "The response can't be shown: it is nested too deeply, or GraphiQL can't merge it" }));
      return { unsubscribe: () => controller.abort() };
    },
  }) as unknown as ReturnType<Fetcher>;
