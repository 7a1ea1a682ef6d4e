// node language.mjs FILE runs documents with graphql-js, and prints a line of JSON for each. The file has a list of {
// query, variables }, with the variables as text. The schema is echo.graphql.

import { readFileSync } from 'node:fs';
import { buildSchema, execute, GraphQLError, parse, validate } from 'graphql';

const schema = buildSchema(readFileSync(new URL('echo.graphql', import.meta.url), 'utf8'));
const echo = (args) => args;
const rootValue = { echo, need: echo, preset: echo, self: () => rootValue };

function run({ query, variables }) {
  let document;
  try {
    document = parse(query);
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    return { verdict: 'syntax', locations: error.locations };
  }
  const errors = validate(schema, document);
  if (errors.length > 0) {
    return { verdict: 'invalid', locations: errors.flatMap(({ locations = [] }) => locations) };
  }
  const result = execute({ schema, document, rootValue, variableValues: JSON.parse(variables || '{}') });
  if (result.errors) {
    return { verdict: 'data' in result ? 'failed' : 'refused', locations: result.errors.flatMap(({ locations = [] }) => locations) };
  }
  return { verdict: 'ran', data: JSON.stringify(result.data) };
}

for (const testCase of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  console.log(JSON.stringify(run(testCase)));
}
