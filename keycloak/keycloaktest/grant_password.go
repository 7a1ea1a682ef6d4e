package keycloaktest

import (
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// passwordGrant is the resource owner password credentials grant (RFC 6749 4.3).
func (c *call) passwordGrant(by *client) (*issue, *refusal) {
	if !by.DirectAccessGrantsEnabled {
		return nil, refuse(400, "unauthorized_client",
			"Client not allowed for direct access grants")
	}
	if by.ConsentRequired {
		return nil, refuse(400, "invalid_client", "Client requires user consent")
	}
	if refused := c.realm.supports(by, realmfile.UsePassword); refused != nil {
		return nil, refused
	}
	scope, refused := c.requestedScope(by)
	if refused != nil {
		return nil, refused
	}
	name, sent := c.param("username")
	if !sent {
		return nil, refuse(401, "invalid_request", "Missing parameter: username")
	}
	u := c.realm.byName(name)
	if u == nil {
		if refused := c.realm.supports(by, realmfile.UseUnknownUser); refused != nil {
			return nil, refused
		}
		return nil, badCredentials
	}
	if u.otp != nil {
		if refused := c.realm.supports(by, realmfile.UseOTP); refused != nil {
			return nil, refused
		}
	}
	code, given := c.param("otp")
	if !given {
		code, given = c.param("totp")
	}
	if refused := c.realm.checkPassword(u, c.value("password"), c.now); refused != nil {
		return nil, refused
	}
	if u.otp != nil && (!given || !u.otp.accepts(code, c.now, c.realm.settings)) {
		c.realm.failed(u, c.now)
		return nil, badCredentials
	}
	c.realm.succeeded(u)
	if refused := c.realm.ready(u); refused != nil {
		return nil, refused
	}
	return c.signedIn(by, u, scope)
}

// checkPassword reports whether a password is right, counts when it isn't, and refuses who is
// locked or disabled.
func (r *Realm) checkPassword(u *user, password string, now time.Time) *refusal {
	if u.FederationLink != "" {
		return refuse(501, notInStandIn,
			"user "+u.Username+": users of another store can't sign in here")
	}
	if r.locked(u, now) {
		return badCredentials
	}
	if u.password == "" || password != u.password {
		r.failed(u, now)
		return badCredentials
	}
	if what := r.profile.UncheckedAttribute(&u.User); what != "" {
		return refuse(501, notInStandIn,
			"user "+u.Username+": attribute "+what+": it is not supported")
	}
	if !u.Enabled {
		if u.permanently {
			return badCredentials
		}
		return refuse(400, "invalid_grant", "Account disabled")
	}
	return nil
}

// ready refuses a user who has something to do in the browser first.
func (r *Realm) ready(u *user) *refusal {
	// Those that the realm has switched off count, too; a profile is looked at itself.
	asked := slices.ContainsFunc(u.RequiredActions, func(alias string) bool {
		return alias != profileAction
	})
	if asked || len(r.pendingActions(u)) > 0 {
		r.explainUnready(u)
		return refuse(400, "invalid_grant", "Account is not fully set up")
	}
	return nil
}

// explainUnready says what Keycloak's answer leaves out.
func (r *Realm) explainUnready(u *user) {
	if lacking := r.profile.InvalidAttributes(&u.User, &r.settings); u.ServiceAccountOf == "" &&
		len(lacking) > 0 {
		r.server.explain(
			"%s can't sign in with a password, as in Keycloak: the realm's user profile wants a "+
				"valid %s; give the user what is missing (members of the user in the realm file, "+
				"AddUser or Update)", u.Username,
			strings.Join(lacking, ", "))
	}
	if len(u.RequiredActions) > 0 {
		r.server.explain(
			"%s can't sign in with a password, as in Keycloak: the user has required actions: %s",
			u.Username, strings.Join(u.RequiredActions, ", "))
	}
}
