package keycloaktest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

var (
	errGone   = errors.New("keycloaktest: the user was deleted")
	errNoUser = errors.New(
		"keycloaktest: this *User is nil or empty: get one from Realm.User or Realm.UserByID, " +
			"which return nil where the realm has no such user, or from Realm.AddUser")
)

// A User is a handle of a realm's user. Its methods fail once the user was deleted.
type User struct {
	realm *Realm
	id    string
}

// ID is the user's id: the sub of tokens.
func (u *User) ID() string {
	if u == nil {
		panic(errNoUser.Error())
	}
	return u.id
}

// User is the user who signs in by this name or e-mail address, or nil. A client's service account
// is found by its name, too: service-account-<client id>.
func (r *Realm) User(name string) *User {
	if r.handle().server == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if account := r.names[strings.ToLower(name)]; account != nil && account.ServiceAccountOf != "" {
		return &User{r, account.ID}
	}
	if found := r.byName(name); found != nil {
		return &User{r, found.ID}
	}
	return nil
}

// UserByID is the user of an id, the sub of tokens, or nil.
func (r *Realm) UserByID(id string) *User {
	r.handle().mu.Lock()
	defer r.mu.Unlock()
	if r.users[id] == nil {
		return nil
	}
	return &User{r, id}
}

// AddUser adds a user, from a piece of a realm file: a member of users. It gets the realm's default
// role, as a user has whom an administrator adds, and the realm's default groups and required
// actions. Attributes that the realm's user profile doesn't declare are dropped, unless it lets
// unmanaged attributes in: so does Keycloak's admin API, other than an import.
//
// The profile of a Keycloak realm asks for an e-mail address, a first and a last name. Without them
// the user is there, and can't use the password grant, which answers "Account is not fully set up",
// before completing the profile in the browser. The log of the test says so then, and which fields
// are missing. A user who can sign in at once:
//
//	{"username": "ann", "enabled": true, "email": "ann@example.com", "firstName": "Ann", "lastName": "Lee",
//	 "credentials": [{"type": "password", "value": "ann-password"}]}
func (r *Realm) AddUser(document []byte) (*User, error) {
	if err := r.present(); err != nil {
		return nil, err
	}
	representation, err := realmfile.ReadUser(document)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: user: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(representation.RealmRoles, r.defaultRole()) {
		representation.RealmRoles = append(representation.RealmRoles, r.defaultRole())
	}
	// an import doesn't change them
	representation.Groups = slices.Concat(representation.Groups, r.settings.DefaultGroups)
	for _, credential := range representation.Credentials {
		if credential.Temporary { // an import takes no notice of it, the admin API does
			representation.RequiredActions = append(representation.RequiredActions,
				"UPDATE_PASSWORD")
		}
	}
	for _, action := range r.settings.RequiredActions {
		if action.Enabled && action.Default &&
			!slices.Contains(representation.RequiredActions, action.Alias) {
			representation.RequiredActions = append(representation.RequiredActions, action.Alias)
		}
	}
	r.dropAttributes(representation.Attributes)
	r.nameByEmail(&representation)
	if representation.Username == "" {
		return nil, errors.New("keycloaktest: user: username is missing")
	}
	u, err := r.addUser(representation)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: user: %w", err)
	}
	return &User{r, u.ID}, nil
}

// change runs f with the user, under the realm's lock.
func (u *User) change(f func(*user) error) error {
	if u == nil || u.realm == nil {
		return errNoUser
	}
	if err := u.realm.present(); err != nil {
		return err
	}
	u.realm.mu.Lock()
	defer u.realm.mu.Unlock()
	found := u.realm.users[u.id]
	if found == nil {
		return errGone
	}
	return f(found)
}

// Update changes the user as a PUT to the admin API does: the members of the patch, a piece of a
// realm file, replace those of the user. Roles, groups and credentials can't be changed with it.
func (u *User) Update(patch []byte) error {
	return u.change(func(found *user) error {
		changed, err := realmfile.PatchUser(found.User, patch)
		if err != nil {
			return fmt.Errorf("keycloaktest: user: %w", err)
		}
		u.realm.nameByEmail(&changed)
		if changed.Username == "" {
			return errors.New("keycloaktest: user: username is missing")
		}
		if err := u.realm.nameUser(&changed); err != nil {
			return fmt.Errorf("keycloaktest: user: %w", err)
		}
		u.realm.dropAttributes(changed.Attributes)
		u.realm.unindex(found)
		found.User = changed
		u.realm.index(found)
		if changed.Enabled {
			found.permanently = false
		}
		return nil
	})
}

// Delete deletes the user. Its sessions end without a word to their clients.
func (u *User) Delete() error {
	return u.change(func(found *user) error {
		u.realm.unindex(found)
		for _, kept := range []map[string]*session{u.realm.sessions, u.realm.offline} {
			maps.DeleteFunc(kept, func(_ string, s *session) bool { return s.user == found })
		}
		return nil
	})
}

// Logout ends the user's sessions, as an administrator does: tokens that were issued before now are
// refused, and clients that want it are told. Offline sessions go on.
func (u *User) Logout() error {
	var notices []notice
	err := u.change(func(found *user) error {
		now := u.realm.server.Now()
		found.NotBefore = now.Unix()
		for _, s := range u.realm.sessions {
			if s.user == found {
				notices = append(notices, u.realm.end(s, now)...)
			}
		}
		return nil
	})
	if err == nil {
		u.realm.notify(notices)
	}
	return err
}

// RevokeConsent takes back what the user allowed a client, and the client's part of the user's
// sessions.
func (u *User) RevokeConsent(clientID string) error {
	return u.change(func(found *user) error {
		if u.realm.clients[clientID] == nil {
			return fmt.Errorf("keycloaktest: the realm has no client %q", clientID)
		}
		delete(found.consents, clientID)
		for _, kept := range []map[string]*session{u.realm.sessions, u.realm.offline} {
			for _, s := range kept {
				if s.user != found {
					continue
				}
				if delete(s.clients, clientID); s.offline && len(s.clients) == 0 {
					u.realm.endSession(s)
				}
			}
		}
		return nil
	})
}

// SetPassword sets the user's password. It fails where the realm's password policy has something
// against it. Sessions go on.
func (u *User) SetPassword(password string) error {
	return u.change(func(found *user) error {
		if complaint := u.realm.badPassword(found.User, password); complaint != "" {
			return errors.New("keycloaktest: " + complaint)
		}
		found.setPassword(password, u.realm.server.Now())
		return nil
	})
}

// A Role is a realm's, or a client's where Client is set.
type Role struct {
	Client string // the client id
	Name   string
}

// Grant gives the user a role. It is made if there is none of this name; a client that isn't there
// is an error.
func (u *User) Grant(granted Role) error {
	return u.change(func(found *user) error {
		realm, ofClients := []string{granted.Name}, map[string][]string(nil)
		if granted.Client != "" {
			realm, ofClients = nil, map[string][]string{granted.Client: {granted.Name}}
		}
		roles, err := u.realm.rolesOf(realm, ofClients, true)
		if err != nil {
			return fmt.Errorf("keycloaktest: %w", err)
		}
		found.roles = union(found.roles, roles)
		return nil
	})
}

// Withdraw takes a role from the user, if it was the user's own; roles of groups stay. A role that
// isn't there is an error.
func (u *User) Withdraw(withdrawn Role) error {
	return u.change(func(found *user) error {
		realm, ofClients := []string{withdrawn.Name}, map[string][]string(nil)
		if withdrawn.Client != "" {
			realm, ofClients = nil, map[string][]string{withdrawn.Client: {withdrawn.Name}}
		}
		if _, err := u.realm.rolesOf(realm, ofClients, false); err != nil {
			return fmt.Errorf("keycloaktest: %w", err)
		}
		found.roles = slices.DeleteFunc(found.roles, func(r *role) bool {
			return r.client == withdrawn.Client && r.name == withdrawn.Name
		})
		return nil
	})
}

// Lock locks the user, as brute-force protection does; Unlock takes it back, and forgets the
// failures. The realm must have brute-force protection on.
func (u *User) Lock(d time.Duration) error {
	return u.change(func(found *user) error {
		if !u.realm.settings.BruteForceProtected {
			return errors.New(
				"keycloaktest: the realm has no brute-force protection: nothing would be locked")
		}
		found.until = u.realm.server.Now().Add(d)
		return nil
	})
}

// Unlock ends a lock.
func (u *User) Unlock() error {
	return u.change(func(found *user) error { u.realm.succeeded(found); return nil })
}

// Failures is how many failed sign-ins brute-force protection has counted.
func (u *User) Failures() (count int, err error) {
	err = u.change(func(found *user) error { count = found.count; return nil })
	return count, err
}

// Locked reports whether brute-force protection keeps the user out.
func (u *User) Locked() (locked bool, err error) {
	err = u.change(func(found *user) error {
		locked = u.realm.locked(found, u.realm.server.Now())
		return nil
	})
	return locked, err
}

// OneTimeCode is the user's one-time code of this moment.
func (u *User) OneTimeCode() (code string, err error) {
	err = u.change(func(found *user) error {
		if found.otp == nil {
			return errors.New("keycloaktest: the user has no one-time codes")
		}
		code = found.otp.code(u.realm.server.Now().Unix() / found.otp.period)
		return nil
	})
	return code, err
}

// dropAttributes drops what an administrator may not give a user.
func (r *Realm) dropAttributes(attributes map[string][]string) {
	maps.DeleteFunc(attributes, func(name string, _ []string) bool {
		return !r.profile.AdminCanSet(name, &r.settings)
	})
}
