package graph

import "github.com/cloakql/cloakql/signin"

//go:generate go tool gqlgen generate

// A Resolver has the dependencies of the resolvers. gqlgen embeds it in two types, one with the
// resolvers of Query and one with those of Mutation.
type Resolver struct {
	SignIn *signin.Service
}
