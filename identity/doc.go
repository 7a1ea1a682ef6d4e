// Package identity defines users, credentials, tokens and their errors, independent of the server
// that issues the tokens.
//
// Every other package may import it, and it imports only the standard library. Read it in this
// order: a User is a caller whose access token was verified. NewContext and Require carry the
// caller, or the reason why there is none, through a request. Credentials are the input of a
// sign-in, and OpenIDToken is its result. Secret keeps passwords and tokens out of every log.
// errors.go lists the errors.
//
// gqlgen binds the types of the GraphQL schema to the types of this package by name (gqlgen.yml,
// autobind). So an exported type with the name of a schema type is the Go type of that schema type.
package identity
