// Builds the console into dist, which is committed and embedded: `npm ci --ignore-scripts && npm run build`. The gate
// does so again and compares, so nothing in here may depend on the day or the machine.
import react from "@vitejs/plugin-react";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// What Vite's list of licenses lacks: what Monaco has built in itself, and what its workers alone use.
const notices: Plugin = {
  name: "notices",
  generateBundle() {
    const text = ["monaco-editor/ThirdPartyNotices.txt", "picomatch-browser/LICENSE"].map((path) =>
      readFileSync(source(`./node_modules/${path}`), "utf8"),
    );
    this.emitFile({ type: "asset", fileName: "console/notices.txt", source: text.join("\n\npicomatch-browser\n\n") });
  },
};

export default defineConfig({
  base: "./", // works below any prefix
  plugins: [react(), notices],
  html: { cspNonce: "__NONCE__" }, // console.go puts a new one into each page
  resolve: {
    alias: [
      // Our choice of Monaco's parts instead of all of them.
      { find: "monaco-graphql/esm/monaco-editor.js", replacement: source("./src/monaco.ts") },
    ],
  },
  worker: { format: "es" },
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // have light-dark(), which can't be had by other means once a theme is chosen
    assetsDir: "console",
    assetsInlineLimit: 0, // the policy admits no data: but for images
    modulePreload: { polyfill: false }, // an inline script in older versions, and no browser of today needs it
    license: { fileName: "console/licenses.md" },
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      onLog(level, log, handler) {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handler(level, log); // "use no memo" has done its work
      },
    },
  },
});
