interface ImportMetaEnv {
  /** Of the GraphQL endpoint, when the page is built. */
  readonly VITE_GRAPHQL_URL?: string;
}
