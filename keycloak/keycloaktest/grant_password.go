package keycloaktest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// passwordGrant is the resource owner password credentials grant (RFC 6749 4.3).
func (c *call) passwordGrant(caller *client) (*unsignedResponse, *refusal) {
	if !caller.DirectAccessGrantsEnabled {
		return nil, refuse(400, "unauthorized_client",
			"Client not allowed for direct access grants")
	}
	if caller.ConsentRequired {
		return nil, refuse(400, "invalid_client", "Client requires user consent")
	}
	if refused := c.realm.checkSupported(caller, realmfile.UsePassword); refused != nil {
		return nil, refused
	}
	scope, refused := c.requestedScope(caller)
	if refused != nil {
		return nil, refused
	}
	name, sent := c.param("username")
	if !sent {
		return nil, refuse(401, "invalid_request", "Missing parameter: username")
	}
	u := c.realm.userByLogin(name)
	if u == nil {
		if refused := c.realm.checkSupported(caller, realmfile.UseUnknownUser); refused != nil {
			return nil, refused
		}
		return nil, badCredentials
	}
	if u.otp != nil {
		if refused := c.realm.checkSupported(caller, realmfile.UseOTP); refused != nil {
			return nil, refused
		}
	}
	otp, sent := c.param("otp")
	if !sent {
		otp, sent = c.param("totp")
	}
	if refused := c.realm.checkPassword(u, c.value("password"), c.now); refused != nil {
		return nil, refused
	}
	if u.otp != nil && (!sent || !u.otp.accepts(otp, c.now, c.realm.settings)) {
		c.realm.recordFailure(u, c.now)
		return nil, badCredentials
	}
	c.realm.resetFailures(u)
	if refused := c.realm.checkSetUp(u); refused != nil {
		return nil, refused
	}
	return c.passwordSession(caller, u, scope)
}

// checkPassword refuses a user whose password is wrong or who is locked or disabled. It counts
// wrong passwords.
func (r *Realm) checkPassword(u *user, password string, now time.Time) *refusal {
	if u.FederationLink != "" {
		return refuse(501, notInStandIn,
			"user "+u.Username+": users of another store can't sign in here")
	}
	if r.locked(u, now) {
		return badCredentials
	}
	if u.password == "" || password != u.password {
		r.recordFailure(u, now)
		return badCredentials
	}
	if problem := r.profile.UncheckedAttribute(&u.User); problem != "" {
		return refuse(501, notInStandIn,
			"user "+u.Username+": attribute "+problem+": it is not supported")
	}
	if !u.Enabled {
		if u.lockedPermanently {
			return badCredentials
		}
		return refuse(400, "invalid_grant", "Account disabled")
	}
	return nil
}

// checkSetUp refuses a user who has required actions, which need a browser.
func (r *Realm) checkSetUp(u *user) *refusal {
	// Actions of the user count even if the realm disabled them. pendingActions checks the profile.
	assigned := slices.ContainsFunc(u.RequiredActions, func(alias string) bool {
		return alias != verifyProfile
	})
	if assigned || len(r.pendingActions(u)) > 0 {
		r.explainNotSetUp(u)
		return refuse(400, "invalid_grant", "Account is not fully set up")
	}
	return nil
}

// explainNotSetUp logs why the user can't sign in, which Keycloak's response doesn't say.
func (r *Realm) explainNotSetUp(u *user) {
	if lacking := r.profile.InvalidAttributes(&u.User, &r.settings); u.ServiceAccountOf == "" &&
		len(lacking) > 0 {
		r.server.explain(
			"%s can't sign in with a password, as in Keycloak: the realm's user profile wants a "+
				"valid %s; give the user what is missing (fields of the user in the realm file, "+
				"AddUser or Update)", u.Username,
			strings.Join(lacking, ", "))
	}
	if len(u.RequiredActions) > 0 {
		r.server.explain(
			"%s can't sign in with a password, as in Keycloak: the user has required actions: %s",
			u.Username, strings.Join(u.RequiredActions, ", "))
	}
}
