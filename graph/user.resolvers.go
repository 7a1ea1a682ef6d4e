package graph

import (
	"context"

	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/identity"
)

func (r *queryResolver) Me(ctx context.Context) (*identity.User, error) {
	return identity.Require(ctx)
}

func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

type queryResolver struct{ *Resolver }
