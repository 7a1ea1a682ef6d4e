// Package graphqlhttp serves GraphQL over HTTP for a gqlgen server, as specified in
// https://graphql.github.io/graphql-over-http/draft/. It works with any schema.
//
//	server := handler.New(schema)
//	err := graphqlhttp.Install(server, graphqlhttp.Config{
//		Errors: &apierror.Presenter{RequestID: graphqlhttp.RequestID},
//	})
//
// A server needs nothing else from this package; limits.Install bounds what a document may cost.
// The transport replaces gqlgen's transports for POST, GET and OPTIONS, whose errors repeat the
// request's body, passwords included. To read the source, start with install.go and transport.go,
// then follow a request:
//
//	accept.go          chooses the media type of the response
//	request.go         reads the request, with post.go and get.go
//	answers.go         sends a cached answer, or caches a new one
//	documents.go       decides which documents may run (manifest.go), and finds documents that a
//	                   request names by hash: Apollo's automatic persisted queries (persisted.go)
//	operation.go       parses and validates the document
//	input_coercion.go  checks values by the rules of GraphQL's input coercion
//	errors.go          bounds errors, and removes values that they quote
//	response.go        writes status, headers and body
//
// # Statuses
//
// Once execution has started, the status is 200, whether or not fields fail. A request that is
// rejected earlier gets a response without a data entry, not even null. If its document or
// variables are invalid, the status is 400 with application/graphql-response+json, and 200 with
// application/json, because older clients read a JSON body only if the status is 200. All other
// statuses are the same with both media types: 400 for a body that isn't a GraphQL request, 405,
// 406, 413 and 415.
//
// An error with the extension retryAfter, a whole number of seconds, also sets the Retry-After
// header, whatever the status.
//
// # Documents
//
// Documents follow the September 2025 edition of GraphQL. Syntax that gqlparser would reject or
// misread is rewritten to equivalent syntax that it reads correctly, and the locations in its
// errors are mapped back to the client's text.
//
// # Cross-site requests
//
// A page of another site can make a browser send requests, but these requests are anonymous: this
// package reads and sets no cookies, and the page doesn't know the bearer token. A GET therefore
// doesn't need one of Apollo's CSRF headers (apollo-require-preflight, x-apollo-operation-name).
// Such a page can only run an anonymous query, as any client can, and it can't read the response
// unless CORS allows that. A server that adds cookies in front of this package must require one of
// these headers on each GET. GET runs only queries. Mutations need a POST of application/json,
// which no form or image can send, and which a script can send only after a preflight.
package graphqlhttp
