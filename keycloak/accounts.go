package keycloak

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/cloakql/cloakql/identity"
)

// maxNames bounds the names that accounts remembers: some 2 MB.
const maxNames = 20_000

// accounts knows which names are one account's, its e-mail address among them, as far as a sign-in has shown it. Guesses at
// two names of one account are two guesses at it, and Keycloak's quick login check takes them so.
type accounts struct {
	mu  sync.Mutex // guards ids
	ids map[digest]digest
}

func newAccounts() *accounts { return &accounts{ids: map[digest]digest{}} }

// of returns what stands for the account of a name: the account's id, or the name itself where no sign-in has shown it.
func (a *accounts) of(credentials identity.Credentials) digest {
	name := nameDigest(credentials.Username)
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, ok := a.ids[name]; ok {
		return id
	}
	return name
}

// learn remembers the names of the account that signed in with credentials. The token comes from Keycloak itself, in the
// answer to our own request, so its claims need no signature here.
func (a *accounts) learn(credentials identity.Credentials, token *identity.OpenIDToken) {
	parts, err := decodeCompact(token.AccessToken.Reveal())
	if err != nil {
		return
	}
	var claims struct {
		Subject  string `json:"sub"`
		Username string `json:"preferred_username"`
		Email    string `json:"email"`
	}
	if json.Unmarshal(parts[1], &claims) != nil || claims.Subject == "" {
		return
	}
	id := digest(sha256.Sum256([]byte("id\x00" + claims.Subject)))
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range []string{credentials.Username, claims.Username, claims.Email} {
		if name == "" {
			continue
		}
		key := nameDigest(name)
		if _, known := a.ids[key]; !known && len(a.ids) >= maxNames {
			for other := range a.ids { // any: a name that is forgotten stands for itself again
				delete(a.ids, other)
				break
			}
		}
		a.ids[key] = id
	}
}

func nameDigest(name string) digest {
	return sha256.Sum256([]byte("name\x00" + identity.Credentials{Username: name}.LookupName()))
}
