// Builds the console into dist, which is committed and embedded: `npm ci --ignore-scripts && npm run build`. .ci/run
// builds it again and compares, so the build must not depend on the time or the machine.
import react from "@vitejs/plugin-react";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const absolutePath = (path: string) => fileURLToPath(new URL(path, import.meta.url));

type VendoredCopy = { library?: string; constant?: string; package: string; reason: string };
const vendored: VendoredCopy[] = JSON.parse(readFileSync(absolutePath("./vendored.json"), "utf8"));
const lockedPackages: Record<string, { version?: string }> = JSON.parse(readFileSync(absolutePath("./package-lock.json"), "utf8")).packages;

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
        const packageName = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1];
        if (!packageName || module.renderedLength === 0 || !/\.[cm]?js$/.test(file)) continue;
        const text = readFileSync(file, "utf8");
        const matches = [
          ...text.matchAll(/\/\*[!*\s]*(?:@license\s+)?((?:@[\w.-]+\/)?[A-Za-z][\w.-]*?)(?:\.js)?\s+v?(\d+\.\d+\.\d+)/g),
          ...text.matchAll(/^\s*\/\/ (?:\.\.\/)*node_modules\/((?:@[^/\s]+\/)?[^/\s]+)\//gm),
        ];
        for (const [, name, version] of matches) {
          const library = name!.toLowerCase();
          if (library === packageName || (version && lockedPackages[`node_modules/${library}`]?.version === version)) continue;
          if (vendored.some((copy) => copy.library === library && copy.package === packageName)) continue;
          copies.add(`${library} ${version ?? "(no version given)"}, in ${file.replace(/.*\/node_modules\//, "")}`);
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
      ...readdirSync(absolutePath("./src")).map((name) => `console/src/${name}`),
      "clients/js/package.json",
      "clients/js/src/session.ts",
    ].sort();
    const root = absolutePath("../");
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== "chunk") continue;
      const ownIDs = Object.keys(chunk.modules).filter((id) => id.startsWith(root) && !id.includes("/node_modules/"));
      const unlistedPaths = ownIDs.map((id) => id.slice(root.length).replace(/\?.*$/, "")).filter((path) => !inputs.includes(path));
      if (unlistedPaths.length > 0) this.error(`the build also uses ${unlistedPaths.join(", ")}: add it in vite.config.ts and in generated_test.go`);
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
      readFileSync(absolutePath(`./node_modules/${path}`), "utf8"),
    );
    const copies = vendored.map(({ library, constant, package: packageName, reason }) => `${library ?? constant}, in ${packageName}: ${reason}\n`).join("");
    const list = `Libraries that other packages contain\n\n${copies}\n\n${text.join("\n\npicomatch-browser\n\n")}`;
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
      { find: "monaco-graphql/esm/monaco-editor.js", replacement: absolutePath("./src/monaco.ts") },
      // The versions in package.json instead of Monaco's own copies.
      { find: /^.*\/dompurify\/dompurify\.js$/, replacement: absolutePath("./src/dompurify.ts") },
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
