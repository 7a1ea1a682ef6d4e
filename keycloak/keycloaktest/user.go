package keycloaktest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A user is a user with roles and groups resolved.
type user struct {
	realmfile.User
	password string
	since    time.Time // when the password was set
	otp      *otpCredential
	roles    []*role
	groups   []*group

	consents map[string][]string // by client id: the scopes consented to
	failures
}

func (u *user) setPassword(password string, now time.Time) { u.password, u.since = password, now }

// attribute is the values of a user's property or attribute: its own, or those of the first group
// that has some; with aggregate, all of them together.
func (u *user) attribute(name string, aggregate bool) []string {
	switch name {
	case "username":
		return nonEmpty(u.Username)
	case "email":
		return nonEmpty(u.Email)
	case "firstName":
		return nonEmpty(u.FirstName)
	case "lastName":
		return nonEmpty(u.LastName)
	}
	all := slices.Clone(u.Attributes[name])
	for _, g := range u.groups {
		for ; g != nil; g = g.parent {
			if len(all) > 0 && !aggregate {
				return all
			}
			for _, value := range g.attributes[name] {
				if !slices.Contains(all, value) {
					all = append(all, value)
				}
			}
		}
	}
	return all
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// effectiveRoles are a user's roles, those of its groups, and what they are composed of.
func (u *user) effectiveRoles() []*role {
	all := slices.Clone(u.roles)
	for _, g := range u.groups {
		for ; g != nil; g = g.parent {
			all = append(all, g.roles...)
		}
	}
	return expand(all)
}

// expand adds what roles are composed of. Composites may form a ring.
func expand(roles []*role) []*role {
	var all []*role
	seen := map[*role]bool{}
	var visit func([]*role)
	visit = func(roles []*role) {
		for _, r := range roles {
			if !seen[r] {
				seen[r] = true
				all = append(all, r)
				visit(r.composites)
			}
		}
	}
	visit(roles)
	return all
}

func (r *Realm) buildUsers(importOptions) error {
	for _, document := range r.settings.Users {
		if _, err := r.addUser(document); err != nil {
			return fmt.Errorf("user %s: %w", document.Username, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.clients)) {
		if err := r.addServiceAccount(r.clients[id]); err != nil {
			return err
		}
	}
	return nil
}

// addServiceAccount gives a client that may have one the account that it acts as, unless it has
// one. Left to Keycloak, the account has the default roles, and its client the scope that shows
// what it is.
func (r *Realm) addServiceAccount(c *client) error {
	if !c.ServiceAccountsEnabled || c.serviceAccount != nil {
		return nil
	}
	account, err := r.addUser(realmfile.User{
		Username: "service-account-" + strings.ToLower(c.ClientID), Enabled: true,
		ServiceAccountOf: c.ClientID,
		RealmRoles:       []string{r.defaultRole()},
	})
	if err != nil {
		return fmt.Errorf("service account of %s: %w", c.ClientID, err)
	}
	c.accountIsMade = true
	if !r.settings.LateServiceAccountScope {
		r.showServiceAccount(c)
	}
	if c.AuthorizationEnabled {
		c.roles["uma_protection"] = &role{name: "uma_protection", client: c.ClientID}
		account.roles = append(account.roles, c.roles["uma_protection"])
	}
	return nil
}

// withdrawServiceAccount takes back what addServiceAccount did, for a file of users that lists the
// account.
func (r *Realm) withdrawServiceAccount(c *client) {
	r.unindex(c.serviceAccount)
	c.serviceAccount, c.accountIsMade = nil, false
	if !slices.Contains(c.DefaultClientScopes, "service_account") {
		c.defaultScopes = slices.DeleteFunc(c.defaultScopes, func(name string) bool {
			return name == "service_account"
		})
	}
}

// showServiceAccount gives a client the scope that shows what its service account is, if the realm
// has it.
func (r *Realm) showServiceAccount(c *client) {
	if c.ServiceAccountsEnabled && r.scopes["service_account"] != nil &&
		!slices.Contains(c.defaultScopes, "service_account") {
		c.defaultScopes = append(c.defaultScopes, "service_account")
	}
}

// addUser resolves what a user's representation names.
func (r *Realm) addUser(document realmfile.User) (*user, error) {
	if document.ID == "" {
		document.ID = uuid.NewString()
	}
	if r.users[document.ID] != nil {
		return nil, fmt.Errorf("another user has the id %s", document.ID)
	}
	if err := r.nameUser(&document); err != nil {
		return nil, err
	}
	u := &user{User: document, consents: map[string][]string{}}
	for _, path := range document.Groups {
		g := r.groups["/"+strings.TrimPrefix(path, "/")]
		if g == nil {
			return nil, fmt.Errorf("the realm has no group %q", path)
		}
		if !slices.Contains(u.groups, g) {
			u.groups = append(u.groups, g)
		}
	}
	for _, credential := range document.Credentials {
		if err := u.addCredential(credential, r.settings); err != nil {
			return nil, err
		}
	}
	u.since = r.server.Now()
	if complaint := r.badPassword(u.User, u.password); complaint != "" && u.password != "" {
		return nil, fmt.Errorf("credentials: %s", complaint)
	}
	for _, consent := range document.Consents {
		if r.clients[consent.ClientID] == nil {
			return nil, fmt.Errorf("clientConsents: the realm has no client %q", consent.ClientID)
		}
		for _, name := range consent.Scopes {
			if r.scopes[name] == nil {
				return nil, fmt.Errorf("clientConsents: the realm has no client scope %q", name)
			}
		}
		u.consents[consent.ClientID] = consent.Scopes
	}
	of := r.clients[document.ServiceAccountOf]
	switch {
	case document.ServiceAccountOf == "":
	case of == nil:
		return nil, fmt.Errorf("serviceAccountClientId: the realm has no client %q",
			document.ServiceAccountOf)
	case of.serviceAccount != nil:
		return nil, fmt.Errorf("serviceAccountClientId: the client %q has an account already",
			document.ServiceAccountOf)
	}
	var err error // roles are last: those that aren't there are made
	if u.roles, err = r.rolesOf(document.RealmRoles, document.ClientRoles, true); err != nil {
		return nil, err
	}
	if of != nil {
		of.serviceAccount = u
	}
	r.index(u)
	return u, nil
}

// nameByEmail makes the e-mail address the username where the realm says so: Keycloak does it where
// a user is added or changed, and an import leaves the names of its file alone.
func (r *Realm) nameByEmail(document *realmfile.User) {
	if r.settings.RegistrationEmailAsUsername && document.Email != "" &&
		document.ServiceAccountOf == "" {
		document.Username = document.Email
	}
}

// nameUser writes a user's name and e-mail address as Keycloak does, and fails where another user
// has them.
func (r *Realm) nameUser(document *realmfile.User) error {
	document.Username = strings.ToLower(document.Username)
	document.Email = strings.ToLower(document.Email)
	if len(document.Username) > maxNameLength {
		return fmt.Errorf("username is longer than %d bytes", maxNameLength)
	}
	if other := r.names[document.Username]; other != nil && other.ID != document.ID {
		return fmt.Errorf("another user has this name")
	}
	if !r.settings.DuplicateEmailsAllowed && r.emailTaken(document.Email, document.ID) {
		return fmt.Errorf("another user has the e-mail address %s", document.Email)
	}
	return nil
}

// maxNameLength is the longest name that a user may have, in bytes.
const maxNameLength = 255

// index makes a user known by id, name and e-mail address; unindex takes that back. Who changes one
// of them unindexes the user before, and indexes it again.
func (r *Realm) index(u *user) {
	r.users[u.ID], r.names[u.Username] = u, u
	if u.Email != "" {
		r.emails[u.Email] = append(r.emails[u.Email], u)
	}
}

func (r *Realm) unindex(u *user) {
	delete(r.users, u.ID)
	delete(r.names, u.Username)
	others := slices.DeleteFunc(r.emails[u.Email], func(other *user) bool { return other == u })
	if r.emails[u.Email] = others; len(others) == 0 {
		delete(r.emails, u.Email)
	}
}

// emailTaken reports whether a user other than the one of this id has an e-mail address.
func (r *Realm) emailTaken(email, id string) bool {
	return slices.ContainsFunc(r.emails[email], func(other *user) bool { return other.ID != id })
}

// byName finds the user who signs in as name: a username, or an e-mail address where the realm
// allows it and it is one user's only. A service account can't sign in.
func (r *Realm) byName(name string) *user {
	name = strings.ToLower(name)
	if u := r.names[name]; u != nil && u.ServiceAccountOf == "" {
		return u
	}
	if !or(r.settings.LoginWithEmailAllowed, true) || r.settings.DuplicateEmailsAllowed {
		return nil
	}
	for _, u := range r.emails[name] {
		if u.ServiceAccountOf == "" {
			return u
		}
	}
	return nil
}
