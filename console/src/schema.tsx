// The schema, for completion, validation and docs. The console works without it, but has none of these.
import { withTimeout } from "@cloakql/client";
import { buildClientSchema, getIntrospectionQuery, type GraphQLSchema, type IntrospectionQuery } from "graphql";
import { createContext, use, useCallback, useEffect, useState } from "react";
import { anySignal, post } from "./http.ts";

export type SchemaState = { reload: () => void } & (
  | { status: "loading" }
  | { status: "loaded"; schema: GraphQLSchema }
  | { status: "hidden"; code: string } // introspection is refused with this code
  | { status: "unreachable" }
);

export const SchemaContext = createContext<SchemaState>({ status: "loading", reload: () => undefined });

const introspectionQuery = getIntrospectionQuery({ specifiedByUrl: true, directiveIsRepeatable: true, inputValueDeprecation: true });

export function useSchema(): SchemaState {
  const [schemaState, setSchemaState] = useState<Omit<SchemaState, "reload">>({ status: "loading" });
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    withTimeout(30_000, (timeout) => post({ query: introspectionQuery, operationName: "IntrospectionQuery" }, {}, anySignal(controller.signal, timeout)))
      .then(({ data, errors }) => {
        if (data?.__schema) setSchemaState({ status: "loaded", schema: buildClientSchema(data as unknown as IntrospectionQuery) } as SchemaState);
        else setSchemaState({ status: "hidden", code: String(errors?.[0]?.extensions?.code ?? "") } as SchemaState);
      })
      .catch(() => {
        if (!controller.signal.aborted) setSchemaState({ status: "unreachable" }); // or the response isn't a schema
      });
    return () => controller.abort();
  }, [attempt]);
  const reload = useCallback(() => setAttempt((n) => n + 1), []);
  return { ...schemaState, reload } as SchemaState;
}

/** Says why the schema is missing, if it is. */
export function SchemaNotice() {
  const schemaState = use(SchemaContext);
  switch (schemaState.status) {
    case "loading":
    case "loaded":
      return null;
    case "hidden":
      return (
        <p className="notice" role="status">
          {schemaState.code === "INTROSPECTION_DISABLED"
            ? "Introspection is off on this server, so there are no docs and no completion. Operations still run."
            : `This server doesn't reveal its schema (${schemaState.code}), so there are no docs and no completion.`}
        </p>
      );
    case "unreachable":
      return (
        <p className="notice" role="status">
          The server can't be reached.{" "}
          <button type="button" className="link" onClick={schemaState.reload}>
            Try again
          </button>
        </p>
      );
  }
}
