const meta = typeof document === "undefined" ? null : document.querySelector<HTMLMetaElement>('meta[name="graphql-url"]');
const inPage = meta?.content;

/** The endpoint's URL: set in the served page, or else in the build, or else the default of a local server. */
export const graphqlURL = inPage || (import.meta.env.VITE_GRAPHQL_URL ?? "http://localhost:8000/graphql");
