const meta = typeof document === "undefined" ? null : document.querySelector<HTMLMetaElement>('meta[name="graphql-url"]');
const urlInPage = meta?.content;

/** The endpoint's URL: from the served page, else from the build, else that of a local server. */
export const graphqlURL = urlInPage || (import.meta.env.VITE_GRAPHQL_URL ?? "http://localhost:8000/graphql");
