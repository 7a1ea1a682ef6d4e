package authz

import (
	"context"
	"slices"

	"github.com/cloakql/cloakql/identity"
)

// RequireOwner returns nil if the caller is the user with the ID ownerID, or has one of the realm
// roles orRole. Otherwise, it returns an error for the resolver to return: the error of
// identity.Require, or an identity.DeniedError with the reason ErrNotOwner. Use RequireOwner where
// @owner can't decide, because the owner is only known once the object has been loaded:
//
//	if err := authz.RequireOwner(ctx, note.Owner, "admin"); err != nil {
//		return nil, err
//	}
//
// No user has the empty ID. If you pass "" for an object that doesn't exist, callers can't tell
// such an object from that of another user.
func RequireOwner(ctx context.Context, ownerID string, orRole ...string) error {
	user, err := identity.Require(ctx)
	if err != nil {
		return err
	}
	if ownerID != "" && user.ID == ownerID || slices.ContainsFunc(orRole, user.HasRealmRole) {
		return nil
	}
	return &identity.DeniedError{Reason: identity.ErrNotOwner}
}
