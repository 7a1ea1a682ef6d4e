package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A fakeServer is the fake Keycloak of one suite. Its clock is fake, too: waiting takes no time.
type fakeServer struct {
	*keycloaktest.Server

	mu           sync.Mutex        // guards the fields below
	keyNames     map[string]string // the names of added key providers, by ID
	disabledKeys map[string]bool   // the IDs of disabled key providers, whose keys were removed
}

// startFake starts a fake.
func startFake() (*fakeServer, error) {
	s, err := keycloaktest.Start(keycloaktest.Config{})
	return &fakeServer{Server: s, keyNames: map[string]string{},
		disabledKeys: map[string]bool{}}, err
}

func (s *fakeServer) name() string         { return "fake" }
func (s *fakeServer) baseURL() string      { return s.URL }
func (s *fakeServer) concurrent() bool     { return false }
func (s *fakeServer) now() time.Time       { return s.Now() }
func (s *fakeServer) wait(d time.Duration) { s.Advance(d) }

func (s *fakeServer) importRealm(realm object) error {
	if _, err := s.Import(mustMarshal(realm)); err != nil {
		return &importError{http.StatusBadRequest, err.Error()}
	}
	return nil
}

// mustMarshal returns an object as JSON.
func mustMarshal(o object) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

func (s *fakeServer) removeRealm(realm string) error {
	if !s.Remove(realm) {
		return fmt.Errorf("no realm %s", realm)
	}
	return nil
}

// mustRealm returns the realm with this name. It panics if there is no such realm.
func (s *fakeServer) mustRealm(realm string) *keycloaktest.Realm {
	if r := s.Realm(realm); r != nil {
		return r
	}
	panic("no realm " + realm)
}

// user returns a user by ID.
func (s *fakeServer) user(ref userRef) (*keycloaktest.User, error) {
	if u := s.mustRealm(ref.realm).UserByID(ref.id); u != nil {
		return u, nil
	}
	return nil, fmt.Errorf("no user %s", ref.id)
}

// withUser calls f with a user.
func (s *fakeServer) withUser(ref userRef, f func(*keycloaktest.User) error) error {
	u, err := s.user(ref)
	if err != nil {
		return err
	}
	return f(u)
}

func (s *fakeServer) patchRealm(realm string, patch object) error {
	return s.mustRealm(realm).Update(mustMarshal(patch))
}

func (s *fakeServer) patchClient(ref clientRef, patch object) error {
	return s.mustRealm(ref.realm).UpdateClient(ref.clientID, mustMarshal(patch))
}

func (s *fakeServer) addUser(realm string, user object) (string, error) {
	u, err := s.mustRealm(realm).AddUser(mustMarshal(user))
	if err != nil {
		return "", err
	}
	return u.ID(), nil
}

func (s *fakeServer) patchUser(ref userRef, patch object) error {
	return s.withUser(ref, func(u *keycloaktest.User) error { return u.Update(mustMarshal(patch)) })
}

func (s *fakeServer) deleteUser(ref userRef) error {
	return s.withUser(ref, (*keycloaktest.User).Delete)
}

func (s *fakeServer) logoutUser(ref userRef) error {
	return s.withUser(ref, (*keycloaktest.User).Logout)
}

func (s *fakeServer) resetPassword(ref userRef, password string) error {
	return s.withUser(ref, func(u *keycloaktest.User) error { return u.SetPassword(password) })
}

func (s *fakeServer) grantRole(ref userRef, role roleRef) error {
	return s.withUser(ref, func(u *keycloaktest.User) error {
		return u.GrantRole(keycloaktest.Role{Client: role.client, Name: role.name})
	})
}

func (s *fakeServer) revokeRole(ref userRef, role roleRef) error {
	return s.withUser(ref, func(u *keycloaktest.User) error {
		return u.RevokeRole(keycloaktest.Role{Client: role.client, Name: role.name})
	})
}

func (s *fakeServer) revokeConsent(ref userRef, client string) error {
	return s.withUser(ref, func(u *keycloaktest.User) error { return u.RevokeConsent(client) })
}

func (s *fakeServer) endSession(ref sessionRef) error {
	if !s.mustRealm(ref.realm).EndSession(keycloaktest.Session{ID: ref.sid, Offline: ref.offline}) {
		return errors.New("no such session")
	}
	return nil
}

// awaitFailures doesn't wait, because the fake counts a failed login before it responds.
func (s *fakeServer) awaitFailures(ref userRef, n int) error {
	return s.withUser(ref, func(u *keycloaktest.User) error {
		if count, err := u.Failures(); err != nil || count != n {
			return fmt.Errorf("failures: got %d (%v), want %d", count, err, n)
		}
		return nil
	})
}

func (s *fakeServer) awaitLocked(ref userRef) error {
	return s.withUser(ref, func(u *keycloaktest.User) error {
		if locked, err := u.Locked(); err != nil || !locked {
			return fmt.Errorf("locked: got %t (%v), want true", locked, err)
		}
		return nil
	})
}

func (s *fakeServer) unlock(ref userRef) error {
	return s.withUser(ref, (*keycloaktest.User).Unlock)
}

// keyProviders returns one provider for each key of the realm, with the key's ID, because the fake
// has keys, but no key providers.
func (s *fakeServer) keyProviders(realm string) ([]keyProvider, error) {
	var providers []keyProvider
	for _, k := range s.mustRealm(realm).Keys() {
		provider := "rsa-generated"
		switch {
		case k.Use == "enc":
			provider = "rsa-enc-generated"
		case strings.HasPrefix(k.Algorithm, "HS"):
			provider = "hmac-generated"
		case strings.HasPrefix(k.Algorithm, "ES"):
			provider = "ecdsa-generated"
		case k.Algorithm == "EdDSA":
			provider = "eddsa-generated"
		}
		name := s.keyName(k.ID)
		switch {
		case name != "":
		case k.Priority < 0:
			name = "fallback-" + k.Algorithm
		case k.Algorithm == "RS256": // this key and the HS512 key are from realmJSON
			name, provider = "given", "rsa"
		case k.Algorithm == "HS512":
			name = "hmac-generated-hs512"
		default:
			name = provider
		}
		providers = append(providers, keyProvider{k.ID, name, provider, map[string]string{
			"algorithm": k.Algorithm, "priority": strconv.Itoa(k.Priority),
			"active": strconv.FormatBool(!k.Passive), "enabled": "true",
		}})
	}
	// Keycloak also has a key for its cookies, which the fake doesn't list.
	return append(providers, keyProvider{name: "aes-generated", provider: "aes-generated"}), nil
}

// keyName returns the name of an added key provider, or "" for other keys.
func (s *fakeServer) keyName(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keyNames[id]
}

func (s *fakeServer) addKeyProvider(realm string, p keyProvider) (string, error) {
	algorithm := p.config["algorithm"]
	if algorithm == "" {
		curves := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512",
			"": "ES256"}
		algorithm = map[string]string{
			"rsa-generated": "RS256", "hmac-generated": "HS256", "eddsa-generated": "EdDSA",
			"ecdsa-generated": curves[p.config["ecdsaEllipticCurveKey"]],
		}[p.provider]
	}
	priority, _ := strconv.Atoi(p.config["priority"])
	id, err := s.mustRealm(realm).AddKey(keycloaktest.Key{Algorithm: algorithm, Priority: priority,
		Passive: p.config["active"] == "false"})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyNames[id] = p.name
	return id, err
}

func (s *fakeServer) patchKeyProvider(realm string, p keyProvider) error {
	if p.config["enabled"] == "false" {
		s.mu.Lock()
		s.disabledKeys[p.id] = true
		s.mu.Unlock()
		return s.mustRealm(realm).RemoveKey(p.id)
	}
	return s.mustRealm(realm).SetKeyPassive(p.id, p.config["active"] == "false")
}

func (s *fakeServer) removeKeyProvider(realm, id string) error {
	s.mu.Lock()
	disabled := s.disabledKeys[id]
	s.mu.Unlock()
	if disabled {
		return nil // patchKeyProvider has removed the key
	}
	return s.mustRealm(realm).RemoveKey(id)
}
