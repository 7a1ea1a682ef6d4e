interface ImportMetaEnv {
  /** The URL of the GraphQL endpoint, if it is set in the build. */
  readonly VITE_GRAPHQL_URL?: string;
}
