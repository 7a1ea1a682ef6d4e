package graph

import "github.com/cloakql/cloakql/signin"

//go:generate go tool gqlgen generate

// A Resolver has the dependencies of the resolvers. gqlgen embeds it in the types that have the
// resolvers, such as queryResolver.
type Resolver struct {
	SignIn *signin.Service

	// Federation makes the schema a subgraph of Apollo Federation 2: it adds _entities and
	// _service, and User becomes an entity with the key id.
	Federation bool

	// FederationRole is the realm role of the callers that may refer to other users through
	// _entities. If it is empty, no caller may.
	FederationRole string
}
