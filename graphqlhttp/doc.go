// Package graphqlhttp is GraphQL over HTTP for a gqlgen server: a request in, a response out, as
// https://graphql.github.io/graphql-over-http/draft/ has it. It knows no schema.
//
//	server := handler.New(schema)
//	server.AddTransport(graphqlhttp.Transport{MaxBodyBytes: 64 << 10})
//
// Transport takes the place of gqlgen's own POST, GET and OPTIONS, which repeat the request's body in
// their errors, passwords included. Start with Transport.Do; request.go reads what a client sent,
// response.go decides media type, status and what a refused request may say.
package graphqlhttp
