// Below the top: the tabs of operations, the panels at the side, the editors, and the answer.
import {
  ExecuteButton,
  HeaderEditor,
  QueryEditor,
  ResponseEditor,
  Spinner,
  useGraphiQL,
  useGraphiQLActions,
  useMonaco,
  VariableEditor,
} from "@graphiql/react";
import { useEffect, useState } from "react";
import { useEditors } from "./editors.ts";
import { filledVariables } from "./examples.ts";
import { AnswerExplanation } from "./explanation.tsx";
import { SchemaNotice } from "./schema.tsx";

const hint = "Enter to edit, Escape to leave";

export function Workbench() {
  const hasMonaco = useMonaco((state) => Boolean(state.monaco));
  const isFetching = useGraphiQL((state) => state.isFetching);
  const visible = useGraphiQL((state) => state.visiblePlugin);
  const Panel = visible?.content;
  useEditors();
  useRefreshExample();
  return (
    <>
      <Tabs />
      <main className="work" data-panel={visible ? "open" : "closed"}>
        <Rail />
        {Panel && (
          <div className="panel graphiql-plugin" tabIndex={0} role="region" aria-label="Panel">
            <Panel />
          </div>
        )}
        <div className="editors">
          <section aria-label="Operation" className="query">
            <SchemaNotice />
            <div className="query-editor">{hasMonaco ? <QueryEditor role="group" aria-label={`Operation: ${hint}`} /> : <Spinner />}</div>
            <Toolbar />
          </section>
          <Tools hasMonaco={hasMonaco} />
        </div>
        <div className="answer">
          <div className="response">
            {isFetching && <Spinner />}
            {hasMonaco && <ResponseEditor aria-label="Answer" />}
          </div>
          <AnswerExplanation />
        </div>
      </main>
    </>
  );
}

function Tabs() {
  const tabs = useGraphiQL((state) => state.tabs);
  const active = useGraphiQL((state) => state.activeTabIndex);
  const { addTab, changeTab, closeTab } = useGraphiQLActions();
  return (
    <nav className="tabs" aria-label="Operations">
      <ul>
        {tabs.map((tab, index) => (
          <li key={tab.id} data-active={index === active || undefined}>
            <button type="button" aria-current={index === active ? "page" : undefined} onClick={() => changeTab(index)}>
              {tab.title === "<untitled>" ? "Untitled" : tab.title}
            </button>
            {tabs.length > 1 && (
              <button type="button" className="close" aria-label={`Close ${tab.title}`} onClick={() => closeTab(index)}>
                ×
              </button>
            )}
          </li>
        ))}
        <li>
          <button type="button" aria-label="New operation" onClick={addTab}>
            +
          </button>
        </li>
      </ul>
    </nav>
  );
}

function Rail() {
  const plugins = useGraphiQL((state) => state.plugins);
  const visible = useGraphiQL((state) => state.visiblePlugin);
  const { setVisiblePlugin } = useGraphiQLActions();
  return (
    <nav className="rail" aria-label="Panels">
      {plugins.map((plugin) => {
        const Icon = plugin.icon;
        const shown = plugin === visible;
        const title = plugin.title === "Documentation Explorer" ? "Docs" : plugin.title;
        return (
          <button key={plugin.title} type="button" aria-expanded={shown} onClick={() => setVisiblePlugin(shown ? null : plugin)}>
            <Icon />
            <span>{title}</span>
          </button>
        );
      })}
    </nav>
  );
}

function Toolbar() {
  const { prettifyEditors, copyQuery } = useGraphiQLActions();
  return (
    <div className="toolbar" role="toolbar" aria-label="Operation">
      <ExecuteButton />
      <button type="button" onClick={prettifyEditors}>
        Prettify
      </button>
      <button type="button" onClick={copyQuery}>
        Copy
      </button>
    </div>
  );
}

function Tools({ hasMonaco }: { hasMonaco: boolean }) {
  const [shown, setShown] = useState<"variables" | "headers" | null>("variables");
  const choose = (tool: "variables" | "headers") => setShown(shown === tool ? null : tool);
  return (
    <section aria-label="Variables and headers" className="tools" data-open={shown !== null || undefined}>
      <div className="tool-buttons">
        <button type="button" aria-expanded={shown === "variables"} onClick={() => choose("variables")}>
          Variables
        </button>
        <button type="button" aria-expanded={shown === "headers"} onClick={() => choose("headers")}>
          Headers
        </button>
      </div>
      {hasMonaco && (
        <div className="tool-editors">
          <VariableEditor role="group" aria-label={`Variables, JSON: ${hint}`} className={shown === "variables" ? "" : "hidden"} />
          <HeaderEditor role="group" aria-label={`Headers, JSON: ${hint}`} className={shown === "headers" ? "" : "hidden"} />
        </div>
      )}
    </section>
  );
}

/** Fills in the refresh token of the last Login, when the tab of the example Refresh is shown. */
function useRefreshExample() {
  const active = useGraphiQL((state) => state.activeTabIndex);
  const editor = useGraphiQL((state) => state.variableEditor);
  useEffect(() => {
    const filled = editor && filledVariables(editor.getValue());
    if (filled) editor.setValue(filled);
  }, [active, editor]);
}
