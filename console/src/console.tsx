// The page: GraphiQL's state and editors, in a layout that works on a phone, by keyboard and with a screen reader, below
// a header with the session.
import { DOC_EXPLORER_PLUGIN, DocExplorerStore } from "@graphiql/plugin-doc-explorer";
import { GraphiQLProvider, Tooltip } from "@graphiql/react";
import { EXAMPLES_PLUGIN } from "./examples-panel.tsx";
import { examples } from "./examples.ts";
import { fetcher } from "./fetcher.ts";
import { Header } from "./header.tsx";
import { SchemaContext, useSchema } from "./schema.tsx";
import { storage } from "./storage.ts";
import { TOKEN_PLUGIN } from "./token-panel.tsx";
import { Workbench } from "./workbench.tsx";

const plugins = [DOC_EXPLORER_PLUGIN, TOKEN_PLUGIN, EXAMPLES_PLUGIN];
const defaultTabs = examples.map(({ query, variables, headers }) => ({ query, variables: variables ?? null, headers: headers ?? null }));

export function Console() {
  const schemaState = useSchema();
  return (
    <SchemaContext value={schemaState}>
      <GraphiQLProvider
        fetcher={fetcher}
        schema={schemaState.status === "loaded" ? schemaState.schema : null}
        dangerouslyAssumeSchemaIsValid // the server has validated it
        plugins={plugins}
        referencePlugin={DOC_EXPLORER_PLUGIN}
        defaultQuery=""
        defaultTabs={defaultTabs}
        storage={storage}
      >
        <DocExplorerStore>
          <Tooltip.Provider>
            <div className="console graphiql-container">
              <Header />
              <Workbench />
            </div>
          </Tooltip.Provider>
        </DocExplorerStore>
      </GraphiQLProvider>
    </SchemaContext>
  );
}
