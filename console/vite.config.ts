// Builds the console into dist, which is committed and embedded: `npm ci --ignore-scripts && npm run build`. .ci/run
// builds it again and compares, so the build must not depend on the time or the machine.
import react from "@vitejs/plugin-react";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

type Vendored = { library?: string; constant?: string; within: string; why: string };
const vendored: Vendored[] = JSON.parse(readFileSync(source("./vendored.json"), "utf8"));
const locked: Record<string, { version?: string }> = JSON.parse(readFileSync(source("./package-lock.json"), "utf8")).packages;

// Copies of libraries inside other packages aren't in the lock file, so no tool would notice their vulnerabilities. If a
// file in the bundle names another library, in a banner or as its path before bundling, then that library has the version
// in the lock file, or vendored.json says why the copy may stay. vendored_test.go checks the list that this writes.
const noCopies = (): Plugin => ({
  name: "no-copies",
  generateBundle(_, bundle) {
    const copies = new Set<string>();
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== "chunk") continue;
      for (const [id, module] of Object.entries(chunk.modules)) {
        const file = id.replace(/\?.*$/, "").replace(/^\0/, "");
        const within = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1];
        if (!within || module.renderedLength === 0 || !/\.[cm]?js$/.test(file)) continue;
        const text = readFileSync(file, "utf8");
        const found = [
          ...text.matchAll(/\/\*[!*\s]*(?:@license\s+)?((?:@[\w.-]+\/)?[A-Za-z][\w.-]*?)(?:\.js)?\s+v?(\d+\.\d+\.\d+)/g),
          ...text.matchAll(/^\s*\/\/ (?:\.\.\/)*node_modules\/((?:@[^/\s]+\/)?[^/\s]+)\//gm),
        ];
        for (const [, name, version] of found) {
          const library = name!.toLowerCase();
          if (library === within || (version && locked[`node_modules/${library}`]?.version === version)) continue;
          if (vendored.some((known) => known.library === library && known.within === within)) continue;
          copies.add(`${library} ${version ?? "(of no version that it tells)"}, in ${file.replace(/.*\/node_modules\//, "")}`);
        }
      }
    }
    if (copies.size > 0) {
      this.error(`the bundle has copies of libraries that aren't in the lock file:\n${[...copies].join("\n")}\nReplace them, as with dompurify below, or say in vendored.json why they may stay`);
    }
  },
});

// Writes the digest of each source file of the build. TestGenerated_upToDate compares them and finds a stale build.
const sources: Plugin = {
  name: "sources",
  generateBundle(_, bundle) {
    const inputs = [
      ...["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "vendored.json"].map((name) => `console/${name}`),
      ...readdirSync(source("./src")).map((name) => `console/src/${name}`),
      "clients/js/package.json",
      "clients/js/src/session.ts",
    ].sort();
    const root = source("../");
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== "chunk") continue;
      const ours = Object.keys(chunk.modules).filter((id) => id.startsWith(root) && !id.includes("/node_modules/"));
      const missing = ours.map((id) => id.slice(root.length).replace(/\?.*$/, "")).filter((path) => !inputs.includes(path));
      if (missing.length > 0) this.error(`the build also uses ${missing.join(", ")}: add it in vite.config.ts and in generated_test.go`);
    }
    const digest = (path: string) => createHash("sha256").update(readFileSync(root + path, "utf8").replaceAll("\r\n", "\n")).digest("hex");
    this.emitFile({ type: "asset", fileName: "sources.sum", source: inputs.map((path) => `${digest(path)}  ${path}\n`).join("") });
  },
};

// The licenses that Vite's list lacks: of libraries inside Monaco, and of those that only its workers use.
const notices: Plugin = {
  name: "notices",
  generateBundle() {
    const text = ["monaco-editor/ThirdPartyNotices.txt", "picomatch-browser/LICENSE"].map((path) =>
      readFileSync(source(`./node_modules/${path}`), "utf8"),
    );
    const copies = vendored.map(({ library, constant, within, why }) => `${library ?? constant}, in ${within}: ${why}\n`).join("");
    const list = `Libraries that others have built in\n\n${copies}\n\n${text.join("\n\npicomatch-browser\n\n")}`;
    this.emitFile({ type: "asset", fileName: "console/notices.txt", source: list });
  },
};

export default defineConfig({
  base: "./", // works below any prefix
  plugins: [react(), notices, sources, noCopies()],
  html: { cspNonce: "__NONCE__" }, // console.go replaces it in each response
  resolve: {
    conditions: ["@cloakql/source", ...defaultClientConditions], // the TypeScript sources of clients/js instead of its build
    alias: [
      // Only the parts of Monaco that the console needs.
      { find: "monaco-graphql/esm/monaco-editor.js", replacement: source("./src/monaco.ts") },
      // The versions in package.json instead of Monaco's own copies.
      { find: /^.*\/dompurify\/dompurify\.js$/, replacement: source("./src/dompurify.ts") },
      { find: /^.*\/common\/marked\/marked\.js$/, replacement: "marked" },
    ],
  },
  worker: { format: "es", plugins: () => [noCopies()] },
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // these support light-dark(), which can't be emulated once a theme is chosen
    assetsDir: "console",
    assetsInlineLimit: 0, // the policy allows data: only for images
    modulePreload: { polyfill: false }, // current browsers don't need it
    license: { fileName: "console/licenses.md" },
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      onLog(level, log, handler) {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handler(level, log); // "use no memo" has been applied
      },
    },
  },
});
