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
	return within(ctx, credentials, r.Budget.Login, r.Realm.Login)
}

func (r *mutationResolver) Refresh(ctx context.Context, refreshToken string) (*identity.OpenIDToken, error) {
	token, err := identity.NewRefreshToken(refreshToken)
	if err != nil {
		return nil, err
	}
	return within(ctx, token, r.Budget.Refresh, r.Realm.Refresh)
}

func (r *mutationResolver) Logout(ctx context.Context, refreshToken string) (bool, error) {
	token, err := identity.NewRefreshToken(refreshToken)
	if err != nil {
		return false, err
	}
	return within(ctx, token, r.Budget.Logout, r.signOut)
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

type mutationResolver struct{ *Resolver }
