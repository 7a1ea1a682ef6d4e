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

// A user is a user in the realm file, with roles and groups resolved.
type user struct {
	realmfile.User
	password      string
	passwordSetAt time.Time
	otp           *otpCredential
	roles         []*role
	groups        []*group

	consents map[string][]string // the scopes that the user consented to, by client ID
	bruteForceState
}

func (u *user) setPassword(password string, now time.Time) {
	u.password, u.passwordSetAt = password, now
}

// attribute returns the values of a user's property or attribute. If the user lacks the attribute,
// it returns the values of the first of the user's groups that has it. If aggregate is set, it
// returns the values of the user and of all groups.
func (u *user) attribute(name string, aggregate bool) []string {
	switch name {
	case "username":
		return valuesOf(u.Username)
	case "email":
		return valuesOf(u.Email)
	case "firstName":
		return valuesOf(u.FirstName)
	case "lastName":
		return valuesOf(u.LastName)
	}
	values := slices.Clone(u.Attributes[name])
	for _, g := range u.groups {
		for ; g != nil; g = g.parent {
			if len(values) > 0 && !aggregate {
				return values
			}
			for _, value := range g.attributes[name] {
				if !slices.Contains(values, value) {
					values = append(values, value)
				}
			}
		}
	}
	return values
}

// valuesOf returns a list with text, or nil if text is empty.
func valuesOf(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// effectiveRoles returns the roles of the user and their groups, with composites expanded.
func (u *user) effectiveRoles() []*role {
	roles := slices.Clone(u.roles)
	for _, g := range u.groups {
		for ; g != nil; g = g.parent {
			roles = append(roles, g.roles...)
		}
	}
	return expandComposites(roles)
}

// expandComposites returns roles and all roles that they contain as composites. Composites may form
// cycles.
func expandComposites(roles []*role) []*role {
	var expandedRoles []*role
	seen := map[*role]bool{}
	var visit func([]*role)
	visit = func(roles []*role) {
		for _, r := range roles {
			if !seen[r] {
				seen[r] = true
				expandedRoles = append(expandedRoles, r)
				visit(r.composites)
			}
		}
	}
	visit(roles)
	return expandedRoles
}

func (r *Realm) buildUsers(importOptions) error {
	for _, record := range r.settings.Users {
		if _, err := r.addUser(record); err != nil {
			return fmt.Errorf("user %s: %w", record.Username, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.clients)) {
		if err := r.addServiceAccount(r.clients[id]); err != nil {
			return err
		}
	}
	return nil
}

// addServiceAccount creates a client's service account if the client's settings enable it and the
// account doesn't exist. As in Keycloak, the account gets the default role, and the client gets the
// scope service_account.
func (r *Realm) addServiceAccount(c *client) error {
	if !c.ServiceAccountsEnabled || c.serviceAccount != nil {
		return nil
	}
	account, err := r.addUser(realmfile.User{
		Username: "service-account-" + strings.ToLower(c.ClientID), Enabled: true,
		ServiceAccountClientID: c.ClientID,
		RealmRoles:             []string{r.defaultRoleName()},
	})
	if err != nil {
		return fmt.Errorf("service account of %s: %w", c.ClientID, err)
	}
	c.serviceAccountGenerated = true
	if !r.settings.LateServiceAccountScope {
		r.addServiceAccountScope(c)
	}
	if c.AuthorizationEnabled {
		c.roles["uma_protection"] = &role{name: "uma_protection", clientID: c.ClientID}
		account.roles = append(account.roles, c.roles["uma_protection"])
	}
	return nil
}

// removeServiceAccount undoes addServiceAccount, so that an imported users file (importUsersFile)
// can define the account.
func (r *Realm) removeServiceAccount(c *client) {
	r.unindexUser(c.serviceAccount)
	c.serviceAccount, c.serviceAccountGenerated = nil, false
	if !slices.Contains(c.DefaultClientScopes, "service_account") {
		c.defaultScopes = slices.DeleteFunc(c.defaultScopes, func(name string) bool {
			return name == "service_account"
		})
	}
}

// addServiceAccountScope adds the scope service_account to a client with a service account, if the
// realm has this scope.
func (r *Realm) addServiceAccountScope(c *client) {
	if c.ServiceAccountsEnabled && r.scopes["service_account"] != nil &&
		!slices.Contains(c.defaultScopes, "service_account") {
		c.defaultScopes = append(c.defaultScopes, "service_account")
	}
}

// addUser adds a user. It resolves the names of roles, groups and clients in record.
func (r *Realm) addUser(record realmfile.User) (*user, error) {
	if record.ID == "" {
		record.ID = uuid.NewString()
	}
	if r.users[record.ID] != nil {
		return nil, fmt.Errorf("another user has the id %s", record.ID)
	}
	if err := r.normalizeNames(&record); err != nil {
		return nil, err
	}
	u := &user{User: record, consents: map[string][]string{}}
	for _, path := range record.Groups {
		g := r.groups["/"+strings.TrimPrefix(path, "/")]
		if g == nil {
			return nil, fmt.Errorf("the realm has no group %q", path)
		}
		if !slices.Contains(u.groups, g) {
			u.groups = append(u.groups, g)
		}
	}
	for _, credential := range record.Credentials {
		if err := u.addCredential(credential); err != nil {
			return nil, err
		}
	}
	u.passwordSetAt = r.server.Now()
	if problem := r.passwordProblem(u.User, u.password); problem != "" && u.password != "" {
		return nil, fmt.Errorf("credentials: %s", problem)
	}
	for _, consent := range record.Consents {
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
	owner := r.clients[record.ServiceAccountClientID]
	switch {
	case record.ServiceAccountClientID == "":
	case owner == nil:
		return nil, fmt.Errorf("serviceAccountClientId: the realm has no client %q",
			record.ServiceAccountClientID)
	case owner.serviceAccount != nil:
		return nil, fmt.Errorf("serviceAccountClientId: the client %q already has an account",
			record.ServiceAccountClientID)
	}
	// findRoles creates missing roles, so call it only if nothing else is invalid.
	var err error
	if u.roles, err = r.findRoles(record.RealmRoles, record.ClientRoles, true); err != nil {
		return nil, err
	}
	if owner != nil {
		owner.serviceAccount = u
	}
	r.indexUser(u)
	return u, nil
}

// useEmailAsUsername sets the username to the email address if the realm is configured that way.
// Keycloak does this when it adds or changes a user, but not on import.
func (r *Realm) useEmailAsUsername(record *realmfile.User) {
	if r.settings.RegistrationEmailAsUsername && record.Email != "" &&
		record.ServiceAccountClientID == "" {
		record.Username = record.Email
	}
}

// normalizeNames lower-cases the username and email address, as Keycloak does. It returns an error
// if another user already has the username or email address.
func (r *Realm) normalizeNames(record *realmfile.User) error {
	record.Username = strings.ToLower(record.Username)
	record.Email = strings.ToLower(record.Email)
	if len(record.Username) > maxNameLength {
		return fmt.Errorf("username is longer than %d bytes", maxNameLength)
	}
	if other := r.usersByName[record.Username]; other != nil && other.ID != record.ID {
		return fmt.Errorf("another user has this name")
	}
	if !r.settings.DuplicateEmailsAllowed && r.emailTaken(record.Email, record.ID) {
		return fmt.Errorf("another user has the e-mail address %s", record.Email)
	}
	return nil
}

// maxNameLength is the maximum length of a username, in bytes.
const maxNameLength = 255

// indexUser adds a user to the maps by ID, username and email address. To change one of these, call
// unindexUser before the change and indexUser after it.
func (r *Realm) indexUser(u *user) {
	r.users[u.ID], r.usersByName[u.Username] = u, u
	if u.Email != "" {
		r.usersByEmail[u.Email] = append(r.usersByEmail[u.Email], u)
	}
}

// unindexUser removes a user from the maps.
func (r *Realm) unindexUser(u *user) {
	delete(r.users, u.ID)
	delete(r.usersByName, u.Username)
	usersWithEmail := slices.DeleteFunc(r.usersByEmail[u.Email], func(other *user) bool {
		return other == u
	})
	if r.usersByEmail[u.Email] = usersWithEmail; len(usersWithEmail) == 0 {
		delete(r.usersByEmail, u.Email)
	}
}

// emailTaken reports whether a user with another ID has this email address.
func (r *Realm) emailTaken(email, id string) bool {
	return slices.ContainsFunc(r.usersByEmail[email], func(other *user) bool {
		return other.ID != id
	})
}

// userByLogin returns the user who signs in as name, or nil. name is a username or, if the realm
// allows that, a unique email address. Service accounts can't sign in.
func (r *Realm) userByLogin(name string) *user {
	name = strings.ToLower(name)
	if u := r.usersByName[name]; u != nil && u.ServiceAccountClientID == "" {
		return u
	}
	if !valueOr(r.settings.LoginWithEmailAllowed, true) || r.settings.DuplicateEmailsAllowed {
		return nil
	}
	for _, u := range r.usersByEmail[name] {
		if u.ServiceAccountClientID == "" {
			return u
		}
	}
	return nil
}
