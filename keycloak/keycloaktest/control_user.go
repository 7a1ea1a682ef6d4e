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
	errUserDeleted = errors.New("keycloaktest: the user was deleted")
	errNoUser      = errors.New(
		"keycloaktest: this *User is nil or empty: get one from Realm.User or Realm.UserByID, " +
			"which return nil if the realm has no such user, or from Realm.AddUser")
)

// A User is a handle to a user of a realm. Its methods return an error once the user was deleted.
type User struct {
	realm *Realm
	id    string
}

// ID returns the user's ID, which is the sub claim of the user's tokens.
func (u *User) ID() string {
	if u == nil {
		panic(errNoUser.Error())
	}
	return u.id
}

// User returns the user who signs in with this username or email address, or nil. It also finds a
// client's service account by its username, service-account-<client id>.
func (r *Realm) User(name string) *User {
	if r.nonNil().server == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	account := r.usersByName[strings.ToLower(name)]
	if account != nil && account.ServiceAccountClientID != "" {
		return &User{r, account.ID}
	}
	if u := r.userByLogin(name); u != nil {
		return &User{r, u.ID}
	}
	return nil
}

// UserByID returns the user with this ID (the sub claim of tokens), or nil.
func (r *Realm) UserByID(id string) *User {
	r.nonNil().mu.Lock()
	defer r.mu.Unlock()
	if r.users[id] == nil {
		return nil
	}
	return &User{r, id}
}

// AddUser adds a user. document is an entry from the users list of a realm file. Like Keycloak's
// admin API, and unlike an import, AddUser assigns the realm's default role, groups and required
// actions, and drops attributes that the realm's user profile doesn't declare, unless the profile
// allows unmanaged attributes.
//
// A realm's user profile normally requires an email address, a first and a last name. Without them
// the password grant returns "Account is not fully set up" until the user completes the profile in
// a browser; the test's log names the missing fields. This user can sign in immediately:
//
//	{"username": "ann", "enabled": true, "email": "ann@example.com", "firstName": "Ann", "lastName": "Lee",
//	 "credentials": [{"type": "password", "value": "ann-password"}]}
func (r *Realm) AddUser(document []byte) (*User, error) {
	if err := r.checkExists(); err != nil {
		return nil, err
	}
	record, err := realmfile.ReadUser(document)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: user: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(record.RealmRoles, r.defaultRoleName()) {
		record.RealmRoles = append(record.RealmRoles, r.defaultRoleName())
	}
	// The admin API does the following steps, and an import doesn't.
	record.Groups = slices.Concat(record.Groups, r.settings.DefaultGroups)
	for _, credential := range record.Credentials {
		if credential.Temporary {
			record.RequiredActions = append(record.RequiredActions,
				"UPDATE_PASSWORD")
		}
	}
	for _, action := range r.settings.RequiredActions {
		if action.Enabled && action.Default &&
			!slices.Contains(record.RequiredActions, action.Alias) {
			record.RequiredActions = append(record.RequiredActions, action.Alias)
		}
	}
	r.dropDisallowedAttributes(record.Attributes)
	r.useEmailAsUsername(&record)
	if record.Username == "" {
		return nil, errors.New("keycloaktest: user: username is missing")
	}
	u, err := r.addUser(record)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: user: %w", err)
	}
	return &User{r, u.ID}, nil
}

// withAccount calls f with the user and holds the realm's lock during the call.
func (u *User) withAccount(f func(*user) error) error {
	if u == nil || u.realm == nil {
		return errNoUser
	}
	if err := u.realm.checkExists(); err != nil {
		return err
	}
	u.realm.mu.Lock()
	defer u.realm.mu.Unlock()
	account := u.realm.users[u.id]
	if account == nil {
		return errUserDeleted
	}
	return f(account)
}

// Update changes the user as a PUT to the admin API does. patch is a JSON object with fields of a
// user in a realm file; they replace the user's values. Update can't change roles, groups or
// credentials.
func (u *User) Update(patch []byte) error {
	return u.withAccount(func(account *user) error {
		updatedUser, err := realmfile.PatchUser(account.User, patch)
		if err != nil {
			return fmt.Errorf("keycloaktest: user: %w", err)
		}
		u.realm.useEmailAsUsername(&updatedUser)
		if updatedUser.Username == "" {
			return errors.New("keycloaktest: user: username is missing")
		}
		if err := u.realm.normalizeNames(&updatedUser); err != nil {
			return fmt.Errorf("keycloaktest: user: %w", err)
		}
		u.realm.dropDisallowedAttributes(updatedUser.Attributes)
		u.realm.unindexUser(account)
		account.User = updatedUser
		u.realm.indexUser(account)
		if updatedUser.Enabled {
			account.lockedPermanently = false
		}
		return nil
	})
}

// Delete deletes the user. The user's sessions end without back-channel logout.
func (u *User) Delete() error {
	return u.withAccount(func(account *user) error {
		u.realm.unindexUser(account)
		for _, sessions := range []map[string]*session{u.realm.sessions, u.realm.offlineSessions} {
			maps.DeleteFunc(sessions, func(_ string, s *session) bool { return s.user == account })
		}
		return nil
	})
}

// Logout ends the user's sessions, revokes the tokens issued so far and sends the back-channel
// logouts, like a logout by an administrator. Offline sessions continue.
func (u *User) Logout() error {
	var notices []logoutNotice
	err := u.withAccount(func(account *user) error {
		now := u.realm.server.Now()
		account.NotBefore = now.Unix()
		for _, s := range u.realm.sessions {
			if s.user == account {
				notices = append(notices, u.realm.endSession(s, now)...)
			}
		}
		return nil
	})
	if err == nil {
		u.realm.sendNotices(notices)
	}
	return err
}

// RevokeConsent revokes the user's consent for a client and removes the client from the user's
// sessions.
func (u *User) RevokeConsent(clientID string) error {
	return u.withAccount(func(account *user) error {
		if u.realm.clients[clientID] == nil {
			return fmt.Errorf("keycloaktest: the realm has no client %q", clientID)
		}
		delete(account.consents, clientID)
		for _, sessions := range []map[string]*session{u.realm.sessions, u.realm.offlineSessions} {
			for _, s := range sessions {
				if s.user != account {
					continue
				}
				if delete(s.clients, clientID); s.offline && len(s.clients) == 0 {
					u.realm.deleteSession(s)
				}
			}
		}
		return nil
	})
}

// SetPassword sets the user's password. It returns an error if the password violates the realm's
// password policy. The user's sessions continue.
func (u *User) SetPassword(password string) error {
	return u.withAccount(func(account *user) error {
		if problem := u.realm.passwordProblem(account.User, password); problem != "" {
			return errors.New("keycloaktest: " + problem)
		}
		account.setPassword(password, u.realm.server.Now())
		return nil
	})
}

// A Role names a realm role or, if Client is set, a client role.
type Role struct {
	Client string // the client ID
	Name   string
}

// realmRoles returns r in a list of realm roles, or nil if r is a client role.
func (r Role) realmRoles() []string {
	if r.Client != "" {
		return nil
	}
	return []string{r.Name}
}

// clientRoles returns r by client, as a realm file lists client roles, or nil if r is a realm role.
func (r Role) clientRoles() map[string][]string {
	if r.Client == "" {
		return nil
	}
	return map[string][]string{r.Client: {r.Name}}
}

// GrantRole assigns a role to the user, creating the role if necessary. It returns an error if
// r.Client doesn't exist.
func (u *User) GrantRole(r Role) error {
	return u.withAccount(func(account *user) error {
		roles, err := u.realm.findRoles(r.realmRoles(), r.clientRoles(), true)
		if err != nil {
			return fmt.Errorf("keycloaktest: %w", err)
		}
		account.roles = union(account.roles, roles)
		return nil
	})
}

// RevokeRole removes a role assigned to the user. The user keeps roles that a group gives them.
// RevokeRole returns an error if the realm has no such role.
func (u *User) RevokeRole(r Role) error {
	return u.withAccount(func(account *user) error {
		if _, err := u.realm.findRoles(r.realmRoles(), r.clientRoles(), false); err != nil {
			return fmt.Errorf("keycloaktest: %w", err)
		}
		account.roles = slices.DeleteFunc(account.roles, func(assignedRole *role) bool {
			return assignedRole.clientID == r.Client && assignedRole.name == r.Name
		})
		return nil
	})
}

// Lock locks the user for d, as brute-force protection does. It returns an error if the realm has
// no brute-force protection.
func (u *User) Lock(d time.Duration) error {
	return u.withAccount(func(account *user) error {
		if !u.realm.settings.BruteForceProtected {
			return errors.New(
				"keycloaktest: the realm has no brute-force protection, so Lock would have no " +
					"effect")
		}
		account.lockedUntil = u.realm.server.Now().Add(d)
		return nil
	})
}

// Unlock ends a lock and resets the count of failed sign-ins.
func (u *User) Unlock() error {
	return u.withAccount(func(account *user) error { u.realm.resetFailures(account); return nil })
}

// Failures returns the number of failed sign-ins that brute-force protection has counted.
func (u *User) Failures() (count int, err error) {
	err = u.withAccount(func(account *user) error { count = account.failureCount; return nil })
	return count, err
}

// Locked reports whether brute-force protection has locked the user.
func (u *User) Locked() (locked bool, err error) {
	err = u.withAccount(func(account *user) error {
		locked = u.realm.isLocked(account, u.realm.server.Now())
		return nil
	})
	return locked, err
}

// OneTimeCode returns the user's current one-time code.
func (u *User) OneTimeCode() (code string, err error) {
	err = u.withAccount(func(account *user) error {
		if account.otp == nil {
			return errors.New("keycloaktest: the user has no one-time codes")
		}
		code = account.otp.code(u.realm.server.Now().Unix() / account.otp.period)
		return nil
	})
	return code, err
}

// dropDisallowedAttributes removes attributes that an administrator may not set.
func (r *Realm) dropDisallowedAttributes(attributes map[string][]string) {
	maps.DeleteFunc(attributes, func(name string, _ []string) bool {
		return !r.profile.AdminCanSet(name, &r.settings)
	})
}
