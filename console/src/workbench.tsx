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
import { useEditorSettings } from "./editors.ts";
import { exampleInputs, withRefreshToken, forgetRefreshToken } from "./examples.ts";
import { ResponseExplanations } from "./explanation.tsx";
import { SchemaNotice } from "./schema.tsx";
import { useSession } from "./session.ts";

const keyHint = "Enter to edit, Escape to leave";

export function Workbench() {
  const hasMonaco = useMonaco((state) => Boolean(state.monaco));
  const isFetching = useGraphiQL((state) => state.isFetching);
  const visiblePlugin = useGraphiQL((state) => state.visiblePlugin);
  const Panel = visiblePlugin?.content;
  useEditorSettings();
  useRefreshTokenInExample();
  useForgetOnSignOut();
  return (
    <>
      <Tabs />
      <main className="work" data-panel={visiblePlugin ? "open" : "closed"}>
        <PanelButtons />
        {Panel && (
          <div className="panel graphiql-plugin" tabIndex={0} role="region" aria-label={`Panel: ${visiblePlugin?.title}`} onClick={openLinkInNewTab}>
            <Panel />
          </div>
        )}
        <div className="editors">
          <section aria-label="Operation" className="query">
            <SchemaNotice />
            <div className="query-editor">{hasMonaco ? <QueryEditor role="group" aria-label={`Operation: ${keyHint}`} /> : <Spinner />}</div>
            <Toolbar />
          </section>
          <VariablesAndHeaders hasMonaco={hasMonaco} />
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
  const activeIndex = useGraphiQL((state) => state.activeTabIndex);
  const { addTab, changeTab, closeTab } = useGraphiQLActions();
  return (
    <nav className="tabs" aria-label="Operations">
      <ul>
        {tabs.map((tab, index) => (
          <li key={tab.id} data-active={index === activeIndex || undefined}>
            <button type="button" aria-current={index === activeIndex ? "page" : undefined} onClick={() => changeTab(index)}>
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

function PanelButtons() {
  const plugins = useGraphiQL((state) => state.plugins);
  const visiblePlugin = useGraphiQL((state) => state.visiblePlugin);
  const { setVisiblePlugin } = useGraphiQLActions();
  return (
    <nav className="rail" aria-label="Panels">
      {plugins.map((plugin) => {
        const Icon = plugin.icon;
        const isVisible = plugin === visiblePlugin;
        const title = plugin.title === "Documentation Explorer" ? "Docs" : plugin.title;
        return (
          <button key={plugin.title} type="button" aria-expanded={isVisible} onClick={() => setVisiblePlugin(isVisible ? null : plugin)}>
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

function VariablesAndHeaders({ hasMonaco }: { hasMonaco: boolean }) {
  const [openEditor, setOpenEditor] = useState<"variables" | "headers" | null>("variables");
  const toggle = (editor: "variables" | "headers") => setOpenEditor(openEditor === editor ? null : editor);
  return (
    <section aria-label="Variables and headers" className="tools" data-open={openEditor !== null || undefined}>
      <div className="tool-buttons">
        <button type="button" aria-expanded={openEditor === "variables"} onClick={() => toggle("variables")}>
          Variables
        </button>
        <button type="button" aria-expanded={openEditor === "headers"} onClick={() => toggle("headers")}>
          Headers
        </button>
      </div>
      {hasMonaco && (
        <div className="tool-editors">
          <VariableEditor role="group" aria-label={`Variables, JSON: ${keyHint}`} className={openEditor === "variables" ? "" : "hidden"} />
          <HeaderEditor role="group" aria-label={`Headers, JSON: ${keyHint}`} className={openEditor === "headers" ? "" : "hidden"} />
        </div>
      )}
    </section>
  );
}

/** Forgets everything except documents when a user signs out: the next user of this page may be somebody else. */
function useForgetOnSignOut() {
  const state = useSession();
  const signedOut = state.status === "signedOut" && state.reason === "SIGNED_OUT";
  const tabs = useGraphiQL((state) => state.tabs);
  const { variableEditor, headerEditor, responseEditor } = useGraphiQL(({ variableEditor, headerEditor, responseEditor }) => ({
    variableEditor,
    headerEditor,
    responseEditor,
  }));
  const activeIndex = useGraphiQL((state) => state.activeTabIndex);
  const { stop, updateActiveTabValues } = useGraphiQLActions();
  useEffect(() => {
    if (!signedOut) return;
    stop();
    forgetRefreshToken();
    // GraphiQL has an action only for the active tab. It reads the other tabs when they are shown.
    for (const tab of tabs) Object.assign(tab, exampleInputs(tab.query), { response: null });
    const inputs = exampleInputs(tabs[activeIndex]?.query ?? null);
    updateActiveTabValues({ ...inputs, response: null });
    variableEditor?.setValue(inputs.variables ?? "");
    headerEditor?.setValue(inputs.headers ?? "");
    responseEditor?.setValue("");
  }, [signedOut]); // once for each sign-out
}

/** Opens links in the docs' descriptions in a new tab, so that this page keeps its session and its editors' contents. */
function openLinkInNewTab(event: MouseEvent) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  if (/^https?:$/.test(link.protocol)) window.open(link.href, "_blank", "noopener,noreferrer");
}

/** Fills in the refresh token of the last Login, when the tab of the example Refresh is shown. */
function useRefreshTokenInExample() {
  const activeIndex = useGraphiQL((state) => state.activeTabIndex);
  const editor = useGraphiQL((state) => state.variableEditor);
  useEffect(() => {
    const variables = editor && withRefreshToken(editor.getValue());
    if (variables) editor.setValue(variables);
  }, [activeIndex, editor]);
}
