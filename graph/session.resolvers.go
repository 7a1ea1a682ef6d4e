package graph

import (
	"context"

	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/identity"
)

func (r *mutationResolver) Login(ctx context.Context, username string, password string, otp *string) (*identity.OpenIDToken, error) {
	return r.SignIn.Login(ctx, username, password, otp)
}

func (r *mutationResolver) Refresh(ctx context.Context, refreshToken string) (*identity.OpenIDToken, error) {
	return r.SignIn.Refresh(ctx, refreshToken)
}

func (r *mutationResolver) Logout(ctx context.Context, refreshToken string) (bool, error) {
	return r.SignIn.Logout(ctx, refreshToken)
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

type mutationResolver struct{ *Resolver }
