package keycloaktest

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// The methods below change a realm from the outside, as an administrator would with Keycloak's
// admin API.

// Name is the realm's name.
func (r *Realm) Name() string { return r.handle().name }

func (r *Realm) escapedName() string { return url.PathEscape(r.name) }

// URL is where the realm answers: the server's URL and /realms/{realm}. It differs from the Issuer
// where the server has a PublicURL.
func (r *Realm) URL() string {
	if r.handle().server == nil {
		return ""
	}
	return r.server.URL + "/realms/" + r.escapedName()
}

// EndpointURL is where an endpoint of the realm is, by the name that Count and Fault have for it:
// "/token", "/certs", "/userinfo". It panics for one that the stand-in doesn't have.
func (r *Realm) EndpointURL(endpoint string) string {
	for _, path := range []string{oidc + endpoint, endpoint} {
		if _, there := endpoints()[path]; there {
			return r.URL() + path
		}
	}
	panic("keycloaktest: there is no endpoint " + endpoint)
}

// Ignored lists the parts of the realm file that were left aside because they can't change an
// answer of OpenID Connect.
func (r *Realm) Ignored() []string { return slices.Clone(r.handle().ignored) }

// Update changes realm settings as a PUT to the admin API does: the members of the patch, a piece
// of a realm file, replace those of the realm. Users, clients, roles, groups, scopes and keys can't
// be changed with it.
func (r *Realm) Update(patch []byte) error {
	if err := r.present(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed, err := realmfile.PatchRealm(r.settings, patch)
	if err != nil {
		return fmt.Errorf("keycloaktest: realm: %w", err)
	}
	r.settingsChange(r.server.Now())
	r.settings = changed
	r.readFrontend()
	return nil
}

// SetNotBefore makes the realm refuse the tokens that were issued before a moment; zero takes it
// back.
func (r *Realm) SetNotBefore(moment time.Time) {
	r.handle().mu.Lock()
	defer r.mu.Unlock()
	r.settings.NotBefore = 0
	if !moment.IsZero() {
		r.settings.NotBefore = moment.Unix()
	}
}

// UpdateClient changes a client, as Update does a realm: its switches, its attributes one by one,
// its secret, its mappers.
func (r *Realm) UpdateClient(clientID string, patch []byte) error {
	if err := r.present(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[clientID]
	if c == nil {
		return fmt.Errorf("keycloaktest: the realm has no client %q", clientID)
	}
	changed, err := realmfile.PatchClient(c.Client, patch)
	if err != nil {
		return fmt.Errorf("keycloaktest: client: %w", err)
	}
	if changed.ClientID != clientID {
		return errors.New("keycloaktest: a client's id can't be changed")
	}
	attributes := maps.Clone(c.Attributes)
	for name, value := range changed.Attributes {
		if attributes[name] = value; value == "" {
			delete(attributes, name)
		}
	}
	changed.Attributes = attributes
	before := *c
	r.settingsChange(r.server.Now())
	c.Client = changed
	if err := r.addServiceAccount(c); err != nil {
		*c = before
		return fmt.Errorf("keycloaktest: client: %w", err)
	}
	c.enabled, c.standardFlow, c.fullScope = or(changed.Enabled, true),
		or(changed.StandardFlowEnabled, true),
		or(changed.FullScopeAllowed, !changed.ConsentRequired)
	r.showServiceAccount(c) // an import that lists the account doesn't, a change of the client does
	c.unsupported = realmfile.UnsupportedSettings(changed)
	if changed.Secret != maskedSecret {
		c.secretIsUnknown = false
	}
	return nil
}

// A Session is a user's session, as Sessions lists it. An offline session may have the id of the
// session that it came of.
type Session struct {
	ID, UserID string
	Offline    bool
	Clients    []string // the ids of the clients that take part in it, in order
}

// EndSession ends the session of this ID, the offline one where Offline is set, and tells the
// clients that want it. The other members don't matter. It reports whether there was one.
func (r *Realm) EndSession(which Session) bool {
	r.handle().mu.Lock()
	s := r.sessionOf(which.ID, which.Offline)
	if s == nil {
		r.mu.Unlock()
		return false
	}
	notices := r.end(s, r.server.Now())
	r.mu.Unlock()
	r.notify(notices)
	return true
}

// Sessions are the sessions that live, offline sessions among them, in no order.
func (r *Realm) Sessions() []Session {
	if r.handle().server == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.server.Now()
	var all []Session
	for _, kept := range []map[string]*session{r.sessions, r.offline} {
		for _, s := range kept {
			if r.alive(s, now) {
				all = append(all,
					Session{s.id, s.user.ID, s.offline, slices.Sorted(maps.Keys(s.clients))})
			}
		}
	}
	return all
}

var (
	errRemoved = errors.New("keycloaktest: the realm was removed")
	errNoRealm = errors.New(
		"keycloaktest: this *Realm is nil or empty: get one from Server.Realm, which returns nil " +
			"for a name that the server doesn't have, or from Server.Import")
)

// present fails once the realm was removed, and for a handle of none.
func (r *Realm) present() error {
	if r == nil || r.server == nil {
		return errNoRealm
	}
	if r.removed.Load() {
		return errRemoved
	}
	return nil
}

// handle returns r, for methods that can't fail: with nil they panic, in words.
func (r *Realm) handle() *Realm {
	if r == nil {
		panic(errNoRealm.Error())
	}
	return r
}
