import react from "@vitejs/plugin-react";
import { defaultClientConditions, defaultServerConditions, defineConfig } from "vite";

const source = "@cloakql/source"; // TypeScript of clients/js instead of what it builds; away from it, nothing has this

export default defineConfig({
  base: "./", // dist can be served below any path
  plugins: [react()],
  resolve: {
    conditions: [source, ...defaultClientConditions],
    dedupe: ["@apollo/client", "graphql", "rxjs"], // clients/js may have copies for its own tests
  },
  ssr: { resolve: { conditions: [source, ...defaultServerConditions] } },
});
