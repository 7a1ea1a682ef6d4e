// node audits.mjs URL runs graphql-http's audits of GraphQL over HTTP and prints a line of JSON for each.
import { auditServer } from 'graphql-http';

const url = process.argv[2];

for (const result of await auditServer({ url, fetchFn: fetch })) {
  const { id, name, status, reason } = result;
  console.log(JSON.stringify({ id, name, status, reason }));
}
