package graph

import (
	"context"
	"io/fs"
	"sync"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/schema"
)

// WithoutFederation returns CloakQL's schema without the additions of schema/federation and of
// gqlgen's federation plugin. Operations that were validated against this schema can't reach the
// generated code for _entities and _service.
var WithoutFederation = sync.OnceValue(func() *ast.Schema {
	files := schema.Files()
	names, err := fs.Glob(files, "*.graphqls")
	if err != nil {
		panic(err) // the pattern is valid
	}
	var sources []*ast.Source
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err) // the files are a part of the program
		}
		sources = append(sources, &ast.Source{Name: name, Input: string(text)})
	}
	return gqlparser.MustLoadSchema(sources...)
})

// findUser returns the user that a representation refers to. If id is the caller's own ID, findUser
// returns the caller. Otherwise, if the caller has the role FederationRole, findUser returns a user
// who has only this ID, because it can't know whether that user exists. Other callers get an error.
func (r *Resolver) findUser(ctx context.Context, id string) (*identity.User, error) {
	caller, err := identity.Require(ctx)
	switch {
	case err != nil:
		return nil, err
	case id == caller.ID:
		return caller, nil
	case r.FederationRole != "" && caller.HasRealmRole(r.FederationRole):
		return &identity.User{ID: id}, nil
	}
	return nil, &identity.DeniedError{Reason: identity.ErrNotOwner}
}
