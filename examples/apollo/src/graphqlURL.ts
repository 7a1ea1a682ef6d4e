const meta = typeof document === "undefined" ? null : document.querySelector<HTMLMetaElement>('meta[name="graphql-url"]');
const inPage = meta?.content;

/** Of the endpoint: what the page that was served says, else what the build said, else the README's. */
export const graphqlURL = inPage || (import.meta.env.VITE_GRAPHQL_URL ?? "http://localhost:8000/graphql");
