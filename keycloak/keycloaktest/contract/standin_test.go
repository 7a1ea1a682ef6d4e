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

// standInSide is a stand-in of its own for each group: time is its clock, which passes at once.
type standInSide struct {
	*keycloaktest.Server

	mu    sync.Mutex        // guards the fields below
	names map[string]string // of key providers that were added, by id
	off   map[string]bool   // providers that were disabled: the stand-in has no such keys
}

func newStandIn() (*standInSide, error) {
	s, err := keycloaktest.Start(keycloaktest.Config{})
	return &standInSide{Server: s, names: map[string]string{}, off: map[string]bool{}}, err
}

func (s *standInSide) name() string         { return "stand-in" }
func (s *standInSide) base() string         { return s.URL }
func (s *standInSide) concurrent() bool     { return false }
func (s *standInSide) now() time.Time       { return s.Now() }
func (s *standInSide) pass(d time.Duration) { s.Advance(d) }

func (s *standInSide) importRealm(realm object) error {
	if _, err := s.Import(document(realm)); err != nil {
		return &refusal{http.StatusBadRequest, err.Error()}
	}
	return nil
}

// document is an object as JSON; the suite's objects can all be written.
func document(o object) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

func (s *standInSide) removeRealm(realm string) error {
	if !s.Remove(realm) {
		return fmt.Errorf("no realm %s", realm)
	}
	return nil
}

// at is a realm of the suite's own: it is there.
func (s *standInSide) at(realm string) *keycloaktest.Realm {
	if r := s.Realm(realm); r != nil {
		return r
	}
	panic("no realm " + realm)
}

func (s *standInSide) user(at userRef) (*keycloaktest.User, error) {
	if u := s.at(at.realm).UserByID(at.id); u != nil {
		return u, nil
	}
	return nil, fmt.Errorf("no user %s", at.id)
}

// change calls f with a user.
func (s *standInSide) change(at userRef, f func(*keycloaktest.User) error) error {
	u, err := s.user(at)
	if err != nil {
		return err
	}
	return f(u)
}

func (s *standInSide) patchRealm(realm string, patch object) error {
	return s.at(realm).Update(document(patch))
}

func (s *standInSide) patchClient(at clientRef, patch object) error {
	return s.at(at.realm).UpdateClient(at.clientID, document(patch))
}

func (s *standInSide) addUser(realm string, user object) (string, error) {
	u, err := s.at(realm).AddUser(document(user))
	if err != nil {
		return "", err
	}
	return u.ID(), nil
}

func (s *standInSide) patchUser(at userRef, patch object) error {
	return s.change(at, func(u *keycloaktest.User) error { return u.Update(document(patch)) })
}

func (s *standInSide) deleteUser(at userRef) error {
	return s.change(at, (*keycloaktest.User).Delete)
}
func (s *standInSide) logoutUser(at userRef) error {
	return s.change(at, (*keycloaktest.User).Logout)
}

func (s *standInSide) resetPassword(at userRef, password string) error {
	return s.change(at, func(u *keycloaktest.User) error { return u.SetPassword(password) })
}

func (s *standInSide) grantRole(at userRef, role roleRef) error {
	return s.change(at, func(u *keycloaktest.User) error {
		return u.Grant(keycloaktest.Role{Client: role.client, Name: role.name})
	})
}

func (s *standInSide) revokeRole(at userRef, role roleRef) error {
	return s.change(at, func(u *keycloaktest.User) error {
		return u.Withdraw(keycloaktest.Role{Client: role.client, Name: role.name})
	})
}

func (s *standInSide) revokeConsent(at userRef, client string) error {
	return s.change(at, func(u *keycloaktest.User) error { return u.RevokeConsent(client) })
}

func (s *standInSide) endSession(at sessionRef) error {
	if !s.at(at.realm).EndSession(keycloaktest.Session{ID: at.sid, Offline: at.offline}) {
		return errors.New("no such session")
	}
	return nil
}

// failures and locked need not wait: the stand-in counts before it answers.
func (s *standInSide) failures(at userRef, n int) error {
	return s.change(at, func(u *keycloaktest.User) error {
		if count, err := u.Failures(); err != nil || count != n {
			return fmt.Errorf("%d failures counted, want %d (%v)", count, n, err)
		}
		return nil
	})
}

func (s *standInSide) locked(at userRef) error {
	return s.change(at, func(u *keycloaktest.User) error {
		if locked, err := u.Locked(); err != nil || !locked {
			return fmt.Errorf("the user isn't locked (%v)", err)
		}
		return nil
	})
}

func (s *standInSide) unlock(at userRef) error { return s.change(at, (*keycloaktest.User).Unlock) }

// keyProviders are the realm's keys: the stand-in has no providers, and a key's kid is its
// provider's id.
func (s *standInSide) keyProviders(realm string) ([]keyProvider, error) {
	var providers []keyProvider
	for _, k := range s.at(realm).Keys() {
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
		name := s.nameOf(k.ID)
		switch {
		case name != "":
		case k.Priority < 0:
			name = "fallback-" + k.Algorithm
		case k.Algorithm == "RS256": // this and the next are of the suite's realm files
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
	// The stand-in lists no key that is for Keycloak's own cookies.
	return append(providers, keyProvider{name: "aes-generated", provider: "aes-generated"}), nil
}

func (s *standInSide) nameOf(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[id]
}

func (s *standInSide) addKeyProvider(realm string, p keyProvider) (string, error) {
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
	id, err := s.at(realm).AddKey(keycloaktest.Key{Algorithm: algorithm, Priority: priority,
		Passive: p.config["active"] == "false"})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[id] = p.name
	return id, err
}

func (s *standInSide) patchKeyProvider(realm string, p keyProvider) error {
	if p.config["enabled"] == "false" {
		s.mu.Lock()
		s.off[p.id] = true
		s.mu.Unlock()
		return s.at(realm).RemoveKey(p.id)
	}
	return s.at(realm).SetKeyPassive(p.id, p.config["active"] == "false")
}

func (s *standInSide) removeKeyProvider(realm, id string) error {
	s.mu.Lock()
	off := s.off[id]
	s.mu.Unlock()
	if off {
		return nil
	}
	return s.at(realm).RemoveKey(id)
}
