// Package graphqlhttp is GraphQL over HTTP for a gqlgen server: a request in, a response out, as
// https://graphql.github.io/graphql-over-http/draft/ has it. It knows no schema.
//
//	server := handler.New(schema)
//	err := graphqlhttp.Install(server, graphqlhttp.Config{
//		Errors: &apierror.Presenter{RequestID: graphqlhttp.RequestID},
//	})
//
// That is all that a server needs, beside limits.Install for what a document may cost. Its
// transport takes the place of gqlgen's own POST, GET and OPTIONS, which repeat the request's body
// in their errors, passwords included. Start with install.go and transport.go; then, in the order
// of a request:
//
//	accept.go          which of the two media types answers
//	request.go         what a client sent: post.go, get.go, and what they share
//	documents.go       which documents may run: trusted ones (manifest.go), and those that a request
//	                   names by their hash, as Apollo's automatic persisted queries do (persisted.go)
//	operation.go       the document parsed and validated, for any transport
//	input_coercion.go  values that GraphQL's input coercion refuses
//	errors.go          what the error of a rejected request may say
//	response.go        status, headers and body
//
// # Statuses
//
// A request whose execution began is answered 200, whatever its errors. One that was rejected
// before has no data entry, not even null. An error of the document or of its variables is 200
// under application/json, since older clients read such a body at 200 only, and 400 under
// application/graphql-response+json. A body that isn't a GraphQL request is 400 under either media
// type; so are 405, 406, 413 and 415.
//
// An error whose extensions have a whole number retryAfter, of seconds, also sets the header
// Retry-After, whatever the status.
//
// # Documents
//
// Documents are read as GraphQL of September 2025 has them: what gqlparser would refuse or misread
// is rewritten to a document that means the same, and gqlparser's locations are corrected.
//
// # Other sites
//
// A page of another site can make a browser send requests, but here they carry no authority:
// no cookie is read or set, and a bearer token is a header that the page would have to know. So a
// GET needs no header of Apollo's (apollo-require-preflight, x-apollo-operation-name): with it, a
// page could at most have run a query as a stranger, which it can do from anywhere, and never sees
// the answer unless CORS lets it. A server that adds cookies in front of this package must also
// demand such a header of each GET. What changes something needs POST with the media type
// application/json, which no form and no image can send, and a script only after a preflight; GET
// runs only queries.
package graphqlhttp
