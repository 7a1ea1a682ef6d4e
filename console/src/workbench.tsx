// Below the header: the tabs of operations, the panels at the side, the editors, and the response.
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
import { useEffect, useState, type MouseEvent } from "react";
import { useEditors } from "./editors.ts";
import { exampleInputs, filledVariables, forgetTokens } from "./examples.ts";
import { ResponseExplanations } from "./explanation.tsx";
import { SchemaNotice } from "./schema.tsx";
import { useSession } from "./session.ts";

const hint = "Enter to edit, Escape to leave";

export function Workbench() {
  const hasMonaco = useMonaco((state) => Boolean(state.monaco));
  const isFetching = useGraphiQL((state) => state.isFetching);
  const visible = useGraphiQL((state) => state.visiblePlugin);
  const Panel = visible?.content;
  useEditors();
  useRefreshExample();
  useForgetting();
  return (
    <>
      <Tabs />
      <main className="work" data-panel={visible ? "open" : "closed"}>
        <Rail />
        {Panel && (
          <div className="panel graphiql-plugin" tabIndex={0} role="region" aria-label={`Panel: ${visible?.title}`} onClick={openElsewhere}>
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
            {hasMonaco && <ResponseEditor aria-label="Response" />}
          </div>
          <ResponseExplanations />
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
              {titleOf(tab.title)}
            </button>
            {tabs.length > 1 && (
              <button type="button" className="close" aria-label={`Close ${titleOf(tab.title)}`} onClick={() => closeTab(index)}>
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

const titleOf = (title: string) => (title === "<untitled>" ? "Untitled" : title);

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
    <div className="toolbar" role="group" aria-label="Run, and more">
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

/** Forgets everything except documents when a user signs out: the next user of this page may be somebody else. */
function useForgetting() {
  const state = useSession();
  const signedOut = state.status === "signedOut" && state.reason === "SIGNED_OUT";
  const tabs = useGraphiQL((state) => state.tabs);
  const { variableEditor, headerEditor, responseEditor } = useGraphiQL(({ variableEditor, headerEditor, responseEditor }) => ({
    variableEditor,
    headerEditor,
    responseEditor,
  }));
  const active = useGraphiQL((state) => state.activeTabIndex);
  const { stop, updateActiveTabValues } = useGraphiQLActions();
  useEffect(() => {
    if (!signedOut) return;
    stop();
    forgetTokens();
    // GraphiQL has an action only for the active tab. It reads the other tabs when they are shown.
    for (const tab of tabs) Object.assign(tab, exampleInputs(tab.query), { response: null });
    const inputs = exampleInputs(tabs[active]?.query ?? null);
    updateActiveTabValues({ ...inputs, response: null });
    variableEditor?.setValue(inputs.variables ?? "");
    headerEditor?.setValue(inputs.headers ?? "");
    responseEditor?.setValue("");
  }, [signedOut]); // once for each sign-out
}

/** Opens links in the docs' descriptions in a new tab, so that this page keeps its session and its editors' contents. */
function openElsewhere(event: MouseEvent) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  if (/^https?:$/.test(link.protocol)) window.open(link.href, "_blank", "noopener,noreferrer");
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
