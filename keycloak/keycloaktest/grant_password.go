package keycloaktest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// passwordGrant handles the resource owner password credentials grant (RFC 6749 4.3).
func (req *request) passwordGrant(caller *client) (*unsignedResponse, *oauthError) {
	if !caller.DirectAccessGrantsEnabled {
		return nil, newOAuthError(400, "unauthorized_client",
			"Client not allowed for direct access grants")
	}
	if caller.ConsentRequired {
		return nil, newOAuthError(400, "invalid_client", "Client requires user consent")
	}
	if err := req.realm.checkSupported(caller, realmfile.UsePassword); err != nil {
		return nil, err
	}
	scope, err := req.resolveScopes(caller)
	if err != nil {
		return nil, err
	}
	name, hasName := req.param("username")
	if !hasName {
		return nil, newOAuthError(401, "invalid_request", "Missing parameter: username")
	}
	u := req.realm.userByLogin(name)
	if u == nil {
		if err := req.realm.checkSupported(caller, realmfile.UseUnknownUser); err != nil {
			return nil, err
		}
		return nil, errInvalidCredentials
	}
	if u.otp != nil {
		if err := req.realm.checkSupported(caller, realmfile.UseOTP); err != nil {
			return nil, err
		}
	}
	otp, hasOTP := req.param("otp")
	if !hasOTP {
		otp, hasOTP = req.param("totp")
	}
	if err := req.realm.checkPassword(u, req.rawParam("password"), req.now); err != nil {
		return nil, err
	}
	if u.otp != nil && (!hasOTP || !u.otp.accept(otp, req.now, req.realm.settings)) {
		req.realm.recordFailure(u, req.now)
		return nil, errInvalidCredentials
	}
	req.realm.resetFailures(u)
	if err := req.realm.checkSetUp(u); err != nil {
		return nil, err
	}
	return req.issuePasswordTokens(caller, u, scope)
}

// checkPassword returns an error if the password is wrong or the user is locked or disabled. It
// counts wrong passwords.
func (r *Realm) checkPassword(u *user, password string, now time.Time) *oauthError {
	if u.FederationLink != "" {
		return newOAuthError(501, codeUnsupported,
			"user "+u.Username+": users of user storage providers can't sign in here")
	}
	if r.isLocked(u, now) {
		return errInvalidCredentials
	}
	if u.password == "" || password != u.password {
		r.recordFailure(u, now)
		return errInvalidCredentials
	}
	if problem := r.profile.UncheckedAttribute(&u.User); problem != "" {
		return newOAuthError(501, codeUnsupported,
			"user "+u.Username+": attribute "+problem+": it is not supported")
	}
	if !u.Enabled {
		if u.lockedPermanently {
			return errInvalidCredentials
		}
		return newOAuthError(400, "invalid_grant", "Account disabled")
	}
	return nil
}

// checkSetUp returns an error if the user has required actions, which need a browser.
func (r *Realm) checkSetUp(u *user) *oauthError {
	// Actions assigned to the user count even if the realm has disabled them, except for
	// verifyProfile, which pendingActions checks.
	hasAssignedAction := slices.ContainsFunc(u.RequiredActions, func(alias string) bool {
		return alias != verifyProfile
	})
	if hasAssignedAction || len(r.pendingActions(u)) > 0 {
		r.logNotSetUp(u)
		return newOAuthError(400, "invalid_grant", "Account is not fully set up")
	}
	return nil
}

// logNotSetUp logs why the user can't sign in, which Keycloak's response omits.
func (r *Realm) logNotSetUp(u *user) {
	invalidAttributes := r.profile.InvalidAttributes(&u.User, &r.settings)
	if u.ServiceAccountClientID == "" && len(invalidAttributes) > 0 {
		r.server.logDetail(
			"%s can't sign in with a password, as in Keycloak: the realm's user profile requires "+
				"a "+
				"valid %s; set these fields of the user in the realm file, or with AddUser or "+
				"Update", u.Username,
			strings.Join(invalidAttributes, ", "))
	}
	if len(u.RequiredActions) > 0 {
		r.server.logDetail(
			"%s can't sign in with a password, as in Keycloak: the user has required actions: %s",
			u.Username, strings.Join(u.RequiredActions, ", "))
	}
}
