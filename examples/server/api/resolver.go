// Package api resolves the fields of the schema.
package api

import (
	"github.com/cloakql/cloakql/signin"

	"example.com/notes/notes"
)

//go:generate go tool cloakql-gqlgen

// A Resolver has what the resolvers need.
type Resolver struct {
	SignIn *signin.Service // for login, refresh and logout
	Store  notes.Store
}
