package keycloak

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// maxNames bounds the names that accounts remembers: some 2 MB.
const maxNames = 20_000

// accounts knows which names are one account's, its e-mail address among them, as far as a sign-in
// has shown it. Guesses at two names of one account are two guesses at it, and Keycloak's quick
// login check takes them so.
//
// What a token says of its user's names may be what the user likes to be called: where a realm
// doesn't sign people in by e-mail address, one person's address may be another's username. So the
// name that somebody signed in with is its account's whatever other tokens say, and nobody takes it
// by calling themselves so.
type accounts struct {
	mu    sync.Mutex // guards names
	names map[digest]knownName
}

// A knownName is a name's account.
type knownName struct {
	id     digest
	proven bool // somebody signed in with it; otherwise a token claims it
}

func newAccounts() *accounts { return &accounts{names: map[digest]knownName{}} }

// of returns what stands for the account of a name: the account's id, or the name itself where no
// sign-in has shown it.
func (a *accounts) of(credentials identity.Credentials) digest {
	name := nameDigest(credentials.Username)
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.names[name]; ok {
		return known.id
	}
	return name
}

// learn remembers the names of the account that signed in with credentials. The token comes from
// Keycloak itself, in the answer to our own request, so its claims need no signature here.
func (a *accounts) learn(credentials identity.Credentials, token *identity.OpenIDToken) {
	parts, err := jose.DecodeCompact(token.AccessToken.Reveal())
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
	a.remember(credentials.Username, knownName{id, true})
	a.remember(claims.Username, knownName{id, false})
	a.remember(claims.Email, knownName{id, false})
}

// remember notes a name's account. A claim never replaces what is known. The caller holds mu.
func (a *accounts) remember(name string, account knownName) {
	if name == "" {
		return
	}
	key := nameDigest(name)
	_, known := a.names[key]
	if known && !account.proven {
		return
	}
	if !known && len(a.names) >= maxNames {
		for other := range a.names { // any: a name that is forgotten stands for itself again
			delete(a.names, other)
			break
		}
	}
	a.names[key] = account
}

func nameDigest(name string) digest {
	return sha256.Sum256([]byte("name\x00" + identity.Credentials{Username: name}.LookupName()))
}
