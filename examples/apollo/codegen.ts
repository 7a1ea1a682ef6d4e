import type { CodegenConfig } from "@graphql-codegen/cli";

// The schema comes from files, so that generating needs no server.
const config: CodegenConfig = {
  schema: "../../schema/*.graphqls",
  documents: ["src/**/*.{ts,tsx}", "!src/gql/**"],
  generates: {
    "./src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        scalars: { Time: "string", Claims: "Record<string, unknown>" },
        strictScalars: true,
        useTypeImports: true,
      },
    },
  },
};

export default config;
