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

// The methods in this file replace Keycloak's admin API.

// Name returns the realm's name.
func (r *Realm) Name() string { return r.nonNil().name }

// escapedName returns the realm's name as it appears in URLs.
func (r *Realm) escapedName() string { return url.PathEscape(r.name) }

// URL returns the realm's base URL: the server's URL followed by /realms/{realm}. It differs from
// Issuer if the server has a PublicURL.
func (r *Realm) URL() string {
	if r.nonNil().server == nil {
		return ""
	}
	return r.server.URL + "/realms/" + r.escapedName()
}

// EndpointURL returns the URL of an endpoint, named as in Request.Endpoint: "/token", "/certs",
// "/userinfo". It panics if the fake has no such endpoint.
func (r *Realm) EndpointURL(endpoint string) string {
	for _, path := range []string{oidcPath + endpoint, endpoint} {
		if _, ok := endpoints()[path]; ok {
			return r.URL() + path
		}
	}
	panic("keycloaktest: there is no endpoint " + endpoint)
}

// Ignored lists the parts of the realm file that the fake ignores because they don't affect OpenID
// Connect responses.
func (r *Realm) Ignored() []string { return slices.Clone(r.nonNil().ignoredParts) }

// Update changes realm settings as a PUT to the admin API does. patch is a JSON object with fields
// of a realm file; they replace the realm's values. Update can't change users, clients, roles,
// groups, client scopes or keys.
func (r *Realm) Update(patch []byte) error {
	if err := r.checkExists(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	newSettings, err := realmfile.PatchRealm(r.settings, patch)
	if err != nil {
		return fmt.Errorf("keycloaktest: realm: %w", err)
	}
	r.recordLifespans(r.server.Now())
	r.settings = newSettings
	r.loadFrontendURL()
	return nil
}

// SetNotBefore revokes all tokens issued before t. The zero time makes them valid again.
func (r *Realm) SetNotBefore(t time.Time) {
	r.nonNil().mu.Lock()
	defer r.mu.Unlock()
	r.settings.NotBefore = 0
	if !t.IsZero() {
		r.settings.NotBefore = t.Unix()
	}
}

// UpdateClient changes a client's settings, secret and protocol mappers, in the same way as Update
// changes the settings of a realm. Attributes that aren't in patch stay; an empty value deletes an
// attribute.
func (r *Realm) UpdateClient(clientID string, patch []byte) error {
	if err := r.checkExists(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[clientID]
	if c == nil {
		return fmt.Errorf("keycloaktest: the realm has no client %q", clientID)
	}
	updatedClient, err := realmfile.PatchClient(c.Client, patch)
	if err != nil {
		return fmt.Errorf("keycloaktest: client: %w", err)
	}
	if updatedClient.ClientID != clientID {
		return errors.New("keycloaktest: a client's id can't be changed")
	}
	attributes := maps.Clone(c.Attributes)
	for name, value := range updatedClient.Attributes {
		if attributes[name] = value; value == "" {
			delete(attributes, name)
		}
	}
	updatedClient.Attributes = attributes
	oldClient := *c
	r.recordLifespans(r.server.Now())
	c.Client = updatedClient
	if err := r.addServiceAccount(c); err != nil {
		*c = oldClient
		return fmt.Errorf("keycloaktest: client: %w", err)
	}
	c.enabled, c.allowsStandardFlow, c.hasFullScope = valueOr(updatedClient.Enabled, true),
		valueOr(updatedClient.StandardFlowEnabled, true),
		valueOr(updatedClient.FullScopeAllowed, !updatedClient.ConsentRequired)
	// An update adds the scope service_account. An import doesn't if the file has the account.
	r.addServiceAccountScope(c)
	c.unsupportedSettings = realmfile.UnsupportedSettings(updatedClient)
	if updatedClient.Secret != maskedSecret {
		c.secretUnknown = false
	}
	return nil
}

// A Session describes a user's session. An offline session may have the same ID as the online
// session that it was created from.
type Session struct {
	ID, UserID string
	Offline    bool
	Clients    []string // the client IDs of the session's clients, sorted
}

// EndSession ends a session and sends the back-channel logouts. It finds the session by ID and
// Offline and ignores the other fields. It reports whether the session existed.
func (r *Realm) EndSession(session Session) bool {
	r.nonNil().mu.Lock()
	s := r.sessionByID(session.ID, session.Offline)
	if s == nil {
		r.mu.Unlock()
		return false
	}
	notices := r.endSession(s, r.server.Now())
	r.mu.Unlock()
	r.sendNotices(notices)
	return true
}

// Sessions returns the active sessions, including offline sessions, in no particular order.
func (r *Realm) Sessions() []Session {
	if r.nonNil().server == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.server.Now()
	var activeSessions []Session
	for _, sessions := range []map[string]*session{r.sessions, r.offlineSessions} {
		for _, s := range sessions {
			if r.sessionActive(s, now) {
				activeSessions = append(activeSessions,
					Session{s.id, s.user.ID, s.offline, slices.Sorted(maps.Keys(s.clients))})
			}
		}
	}
	return activeSessions
}

var (
	errRemoved = errors.New("keycloaktest: the realm was removed")
	errNoRealm = errors.New(
		"keycloaktest: this *Realm is nil or empty: get one from Server.Realm, which returns nil " +
			"for a name that the server doesn't have, or from Server.Import")
)

// checkExists returns an error if the realm was removed or r is nil or the zero Realm.
func (r *Realm) checkExists() error {
	if r == nil || r.server == nil {
		return errNoRealm
	}
	if r.isRemoved.Load() {
		return errRemoved
	}
	return nil
}

// nonNil returns r, or panics if r is nil. Methods without an error result call it.
func (r *Realm) nonNil() *Realm {
	if r == nil {
		panic(errNoRealm.Error())
	}
	return r
}
