package keycloak

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// maxNames limits the memory of an accountIndex to about 2 MB.
const maxNames = 20_000

// An accountIndex maps usernames and email addresses to accounts. It learns them from successful
// sign-ins.
// An account's username and its email address must share a queue: Keycloak's quick login check
// counts guesses at either name against the account.
//
// A token that contains a name doesn't prove that the name belongs to the token's account. Users
// may choose their username and address, and if a realm doesn't sign people in by email address,
// one user's address may be another's username. So a name that was used to sign in belongs to that
// account, even if another account's token claims it: no user can take over another user's name.
type accountIndex struct {
	mu     sync.Mutex // guards byName
	byName map[digest]knownAccount
}

// A knownAccount is the account that a name belongs to.
type knownAccount struct {
	id       digest
	isProven bool // somebody signed in with the name; false if only a token claims it
}

func newAccountIndex() *accountIndex { return &accountIndex{byName: map[digest]knownAccount{}} }

// queueKey returns the key of the account's login queue: a digest of the account's ID if a sign-in
// has revealed it, and otherwise of the name.
func (a *accountIndex) queueKey(credentials identity.Credentials) digest {
	name := nameDigest(credentials.Username)
	a.mu.Lock()
	defer a.mu.Unlock()
	if account, ok := a.byName[name]; ok {
		return account.id
	}
	return name
}

// learn remembers the names of the account that signed in with credentials. The token comes
// straight from Keycloak's response, so its signature need not be verified.
func (a *accountIndex) learn(credentials identity.Credentials, token *identity.OpenIDToken) {
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
	a.remember(credentials.Username, knownAccount{id, true})
	a.remember(claims.Username, knownAccount{id, false})
	a.remember(claims.Email, knownAccount{id, false})
}

// remember stores a name's account. A name that is only in a token never replaces an existing
// entry. The caller holds mu.
func (a *accountIndex) remember(name string, account knownAccount) {
	if name == "" {
		return
	}
	key := nameDigest(name)
	_, exists := a.byName[key]
	if exists && !account.isProven {
		return
	}
	if !exists && len(a.byName) >= maxNames {
		for evicted := range a.byName { // any entry; queueKey then returns the name's digest again
			delete(a.byName, evicted)
			break
		}
	}
	a.byName[key] = account
}

func nameDigest(name string) digest {
	username := identity.Credentials{Username: name}.NormalizedUsername()
	return sha256.Sum256([]byte("name\x00" + username))
}
