package graph

import "github.com/cloakql/cloakql/signin"

//go:generate go tool gqlgen generate

// A Resolver holds the dependencies of the resolvers. gqlgen embeds it in one type for Query and
// one for Mutation.
type Resolver struct {
	SignIn *signin.Service
}
