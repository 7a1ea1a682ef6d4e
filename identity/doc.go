// Package identity describes callers, whichever server issued their tokens.
//
// It is the one package that every room of the server may import, and it imports nothing but the
// standard library. Read it in this order: User is a caller whose access token was verified;
// NewContext and Require carry that caller, or the reason why there is none, through a request;
// Credentials and OpenIDToken are what goes into a sign-in and what comes out; Secret keeps
// passwords and tokens out of every log; errors.go names everything that can go wrong.
//
// gqlgen binds the types of the GraphQL schema to the types here by name (gqlgen.yml, autobind), so
// an exported type in this package that shares a name with a schema type is that schema type.
package identity
