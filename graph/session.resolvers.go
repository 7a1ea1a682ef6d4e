package graph

import (
	"context"

	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/identity"
)

func (r *mutationResolver) Login(ctx context.Context, username string, password string, otp *string) (*identity.OpenIDToken, error) {
	credentials, err := identity.NewCredentials(username, password, otp)
	if err != nil {
		return nil, err
	}
	return r.Realm.Login(ctx, credentials)
}

func (r *mutationResolver) Refresh(ctx context.Context, refreshToken string) (*identity.OpenIDToken, error) {
	token, err := identity.NewRefreshToken(refreshToken)
	if err != nil {
		return nil, err
	}
	return r.Realm.Refresh(ctx, token)
}

func (r *mutationResolver) Logout(ctx context.Context, refreshToken string) (bool, error) {
	token, err := identity.NewRefreshToken(refreshToken)
	if err != nil {
		return false, err
	}
	return true, r.Realm.Logout(ctx, token)
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

type mutationResolver struct{ *Resolver }
