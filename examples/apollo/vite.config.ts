import react from "@vitejs/plugin-react";
import { defaultClientConditions, defaultServerConditions, defineConfig } from "vite";

const source = "@cloakql/source"; // the TypeScript sources of clients/js instead of its build; no other package has this

export default defineConfig({
  base: "./", // dist can be served below any path
  plugins: [react()],
  resolve: {
    conditions: [source, ...defaultClientConditions],
    dedupe: ["@apollo/client", "graphql", "rxjs"], // clients/js may have its own copies for its tests
  },
  ssr: { resolve: { conditions: [source, ...defaultServerConditions] } },
});
