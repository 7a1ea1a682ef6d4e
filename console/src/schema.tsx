// The schema, for completion, validation and docs. Without it, the console works without these.
import { withTimeout } from "@cloakql/client";
import { buildClientSchema, getIntrospectionQuery, type GraphQLSchema, type IntrospectionQuery } from "graphql";
import { createContext, use, useCallback, useEffect, useState } from "react";
import { either, post } from "./http.ts";

export type Known = { reload: () => void } & (
  | { status: "asking" }
  | { status: "known"; schema: GraphQLSchema }
  | { status: "hidden"; code: string } // introspection is refused with this code
  | { status: "unreachable" }
);

export const SchemaContext = createContext<Known>({ status: "asking", reload: () => undefined });

const introspection = getIntrospectionQuery({ specifiedByUrl: true, directiveIsRepeatable: true, inputValueDeprecation: true });

export function useSchema(): Known {
  const [known, setKnown] = useState<Omit<Known, "reload">>({ status: "asking" });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const unmounted = new AbortController();
    withTimeout(30_000, (late) => post({ query: introspection, operationName: "IntrospectionQuery" }, {}, either(unmounted.signal, late)))
      .then(({ data, errors }) => {
        if (data?.__schema) setKnown({ status: "known", schema: buildClientSchema(data as unknown as IntrospectionQuery) } as Known);
        else setKnown({ status: "hidden", code: String(errors?.[0]?.extensions?.code ?? "") } as Known);
      })
      .catch(() => {
        if (!unmounted.signal.aborted) setKnown({ status: "unreachable" }); // or the response isn't a schema
      });
    return () => unmounted.abort();
  }, [attempt]);
  const reload = useCallback(() => setAttempt((n) => n + 1), []);
  return { ...known, reload } as Known;
}

/** Says why there is no completion, if there is none. */
export function SchemaNotice() {
  const known = use(SchemaContext);
  switch (known.status) {
    case "asking":
    case "known":
      return null;
    case "hidden":
      return (
        <p className="notice" role="status">
          {known.code === "INTROSPECTION_DISABLED"
            ? "Introspection is off on this server, so there are no docs and no completion. Operations still run."
            : `This server doesn't reveal its schema (${known.code}), so there are no docs and no completion.`}
        </p>
      );
    case "unreachable":
      return (
        <p className="notice" role="status">
          The server can't be reached.{" "}
          <button type="button" className="link" onClick={known.reload}>
            Try again
          </button>
        </p>
      );
  }
}
