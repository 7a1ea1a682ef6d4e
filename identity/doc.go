// Package identity defines users, credentials, tokens and their errors, independent of the server
// that issues the tokens.
//
// Every other package may import this package, which imports only the standard library. To read the
// source, start with User, which is a caller whose access token was verified. NewContext and
// Require carry the caller through a request, or the error if there is no caller. Credentials are
// the input of a sign-in, and OpenIDToken is its result. Secret keeps passwords and tokens out of
// logs. errors.go lists the errors.
//
// gqlgen binds the types of the GraphQL schema to the types of this package by name (autobind in
// gqlgen.yml). So if an exported type has the same name as a type in the schema, it is that type's
// Go type.
package identity
