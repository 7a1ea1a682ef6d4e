// What Monaco's editors are told beyond GraphiQL's own settings: names for screen readers, and a way out by keyboard.
import { useGraphiQL, useMonaco } from "@graphiql/react";
import { useEffect } from "react";

const escapePrecondition =
  "!suggestWidgetVisible && !findWidgetVisible && !markersNavigationVisible && !inSnippetMode && !editorHoverVisible && !editorHasMultipleSelections";

export function useEditors() {
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
    const named = [
      [queryEditor, "Operation"],
      [variableEditor, "Variables, as JSON"],
      [headerEditor, "Headers, as JSON"],
      [responseEditor, "Answer"],
    ] as const;
    const actions = named.map(([editor, ariaLabel]) => {
      editor?.updateOptions({ ariaLabel, fontSize: 13, fixedOverflowWidgets: true, wordWrap: "on" }); // nothing is cut off
      // Tab types a tab in here: without this, a keyboard would never come out again.
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
