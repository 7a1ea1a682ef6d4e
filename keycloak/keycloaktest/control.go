package keycloaktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

// The methods below change a realm from the outside, as an administrator would with Keycloak's admin API.

// Name is the realm's name.
func (r *Realm) Name() string { return r.name }

func (r *Realm) escapedName() string { return url.PathEscape(r.name) }

// URL is where the realm answers: the server's URL and /realms/{realm}. It differs from the Issuer where
// the server has a PublicURL.
func (r *Realm) URL() string { return r.server.URL + "/realms/" + r.escapedName() }

// Ignored lists the parts of the realm file that were left aside because they can't change an answer of
// OpenID Connect.
func (r *Realm) Ignored() []string { return slices.Clone(r.ignored) }

// Update changes realm settings as a PUT to the admin API does: the members of the patch, a piece of a realm
// file, replace those of the realm. Users, clients, roles, groups, scopes and keys can't be changed with it.
func (r *Realm) Update(patch []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed, err := patched(r.settings, patch, builtOnce...)
	if err != nil {
		return fmt.Errorf("keycloaktest: realm: %w", err)
	}
	if algorithm := changed.DefaultSignatureAlgorithm; algorithm != "" && !slices.Contains(signatureAlgorithms, algorithm) {
		return fmt.Errorf("keycloaktest: realm: %q is no signature algorithm of Keycloak's", algorithm)
	}
	r.settingsChange(r.server.Now())
	r.settings = changed
	r.readFrontend()
	return nil
}

// builtOnce are the members of a realm file that a realm is built of, once.
var builtOnce = []string{
	"id", "realm", "clients", "clientScopes", "users", "roles", "groups", "defaultRole", "defaultRoles", "defaultGroups", "components",
	"scopeMappings", "clientScopeMappings", "defaultDefaultClientScopes", "defaultOptionalClientScopes",
}

// patched is a representation with the members of a patch in place of its own. What was there isn't touched, so that a patch
// that fails changes nothing. fixed are the members that can't be changed.
func patched[T any](old T, patch []byte, fixed ...string) (changed T, err error) {
	var members, changes map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil {
		return changed, err
	}
	for name, value := range changes {
		if slices.Contains(fixed, name) {
			return changed, fmt.Errorf("%s can't be changed with Update", name)
		}
		if string(value) == "null" { // for Keycloak, as good as not there
			delete(changes, name)
		}
	}
	if err := json.Unmarshal(must(json.Marshal(old)), &members); err != nil {
		return changed, err
	}
	maps.Copy(members, changes)
	err = json.Unmarshal(must(json.Marshal(members)), &changed)
	return changed, err
}

// SetNotBefore makes the realm refuse the tokens that were issued before a moment; zero takes it back.
func (r *Realm) SetNotBefore(moment time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settings.NotBefore = 0
	if !moment.IsZero() {
		r.settings.NotBefore = moment.Unix()
	}
}

// UpdateClient changes a client, as Update does a realm: its switches, its attributes one by one, its secret, its mappers.
func (r *Realm) UpdateClient(clientID string, patch []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[clientID]
	if c == nil {
		return fmt.Errorf("keycloaktest: the realm has no client %q", clientID)
	}
	changed, err := patched(c.clientRepresentation, patch)
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
	c.clientRepresentation = changed
	if err := r.addServiceAccount(c); err != nil {
		*c = before
		return fmt.Errorf("keycloaktest: client: %w", err)
	}
	c.enabled, c.standardFlow, c.fullScope = or(changed.Enabled, true), or(changed.StandardFlowEnabled, true), or(changed.FullScopeAllowed, !changed.ConsentRequired)
	r.showServiceAccount(c) // an import that lists the account doesn't, a change of the client does
	c.unsupported = unsupportedIn(changed)
	if changed.Secret != maskedSecret {
		c.secretIsUnknown = false
	}
	return nil
}

// EndSession ends a session by its id, and tells the clients that want it. It says whether there was one.
func (r *Realm) EndSession(id string) bool {
	r.mu.Lock()
	s := r.sessions[id]
	if s == nil {
		s = r.offline[id]
	}
	if s == nil {
		r.mu.Unlock()
		return false
	}
	notices := r.end(s, r.server.Now())
	r.mu.Unlock()
	r.notify(notices)
	return true
}

// Sessions are the ids of the sessions that live, offline sessions beside them, in no order.
func (r *Realm) Sessions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.server.Now()
	var ids []string
	for _, kept := range []map[string]*session{r.sessions, r.offline} {
		for id, s := range kept {
			if r.alive(s, now) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
