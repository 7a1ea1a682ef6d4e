// Declarations for the parts of Monaco that have no types.
declare module "monaco-editor/esm/vs/*";
declare module "monaco-editor/esm/vs/editor/editor.api.js" {
  export * from "monaco-editor";
}

declare var MonacoEnvironment: { getWorker(id: string, label: string): Worker };
