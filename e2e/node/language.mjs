// What graphql-js makes of documents: a line of JSON for each case of the file, which holds a list of
// { query, variables }, the variables as text. The schema is echo.graphql.

import { readFileSync } from 'node:fs';
import { buildSchema, execute, GraphQLError, parse, validate } from 'graphql';

const schema = buildSchema(readFileSync(new URL('echo.graphql', import.meta.url), 'utf8'));
const given = (args) => args;
const rootValue = { echo: given, need: given, preset: given, self: () => rootValue };

function answer({ query, variables }) {
  let document;
  try {
    document = parse(query);
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    return { verdict: 'syntax', locations: error.locations };
  }
  const invalid = validate(schema, document);
  if (invalid.length > 0) {
    return { verdict: 'invalid', locations: invalid.flatMap(({ locations = [] }) => locations) };
  }
  const result = execute({ schema, document, rootValue, variableValues: JSON.parse(variables || '{}') });
  if (result.errors) {
    return { verdict: 'data' in result ? 'failed' : 'refused', locations: result.errors.flatMap(({ locations = [] }) => locations) };
  }
  return { verdict: 'ran', data: JSON.stringify(result.data) };
}

for (const one of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  console.log(JSON.stringify(answer(one)));
}
