package graph

import (
	"context"

	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/identity"
)

func (r *entityResolver) FindUserByID(ctx context.Context, id string) (*identity.User, error) {
	return r.findUser(ctx, id)
}

func (r *Resolver) Entity() generated.EntityResolver { return &entityResolver{r} }

type entityResolver struct{ *Resolver }
