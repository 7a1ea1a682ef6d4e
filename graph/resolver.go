package graph

import "github.com/cloakql/cloakql/signin"

//go:generate go tool gqlgen generate

// A Resolver holds what the resolvers need. gqlgen embeds it in one type for each of Query and
// Mutation.
type Resolver struct {
	SignIn *signin.Service
}
