// Completes GraphiQL's settings of Monaco's editors: labels for screen readers, and a key that leaves the editor.
import { useGraphiQL, useMonaco } from "@graphiql/react";
import { useEffect } from "react";

const escapePrecondition =
  "!suggestWidgetVisible && !findWidgetVisible && !markersNavigationVisible && !inSnippetMode && !editorHoverVisible && !editorHasMultipleSelections";

export function useEditorSettings() {
  const monaco = useMonaco((state) => state.monaco);
  const editors = useGraphiQL(({ queryEditor, variableEditor, headerEditor, responseEditor }) => ({
    queryEditor,
    variableEditor,
    headerEditor,
    responseEditor,
  }));
  const { queryEditor, variableEditor, headerEditor, responseEditor } = editors;
  useEffect(() => {
    if (!monaco) return;
    const labels = [
      [queryEditor, "Operation"],
      [variableEditor, "Variables, as JSON"],
      [headerEditor, "Headers, as JSON"],
      [responseEditor, "Response"],
    ] as const;
    const actions = labels.map(([editor, ariaLabel]) => {
      editor?.updateOptions({ ariaLabel, fontSize: 13, fixedOverflowWidgets: true, wordWrap: "on" });
      // In an editor, Tab inserts a tab, so without this, keyboard users couldn't get out again.
      return editor?.addAction({
        id: "leave-editor",
        label: "Leave the editor",
        keybindings: [monaco.KeyCode.Escape],
        precondition: escapePrecondition,
        run: () => editor.getContainerDomNode().focus(),
      });
    });
    return () => actions.forEach((action) => action?.dispose());
  }, [monaco, queryEditor, variableEditor, headerEditor, responseEditor]);
}
