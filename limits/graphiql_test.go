package limits_test

import _ "embed"

// graphiql is graphql-js's getIntrospectionQuery (16.11) with every option on, types unwrapped nine
// levels deep.
//
//go:embed testdata/introspection.graphql
var graphiql string
