// What Monaco's parts have no types for.
declare module "monaco-editor/esm/vs/*";
declare module "monaco-editor/esm/vs/editor/editor.api.js" {
  export * from "monaco-editor";
}

declare var MonacoEnvironment: { getWorker(id: string, label: string): Worker };
