const inPage = document.querySelector<HTMLMetaElement>('meta[name="graphql-url"]')?.content;

/** Of the endpoint: what the page that was served says, else what the build said, else the README's. */
export const graphqlURL = inPage || (import.meta.env.VITE_GRAPHQL_URL ?? "http://localhost:8000/graphql");
