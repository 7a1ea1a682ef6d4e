package keycloaktest

import (
	"fmt"
	"slices"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// createKeys creates the keys of a new realm: the keys that its realm file configures or else, as
// in Keycloak, an RSA signing key, an RSA encryption key and an unpublished HMAC key. realmIndex is
// the realm's index in its server.
func (r *Realm) createKeys(realmIndex int) {
	if r.settings.Keys != nil {
		r.createConfiguredKeys(realmIndex)
		return
	}
	go encryptionKey() // the first realm of a process needs two RSA keys: generate them in parallel
	signingKey := keyFromRSA(r.server.rsaKey(realmIndex, 0), "RS256", r.name)
	signingKey.priority = 100
	encKey := keyFromRSA(encryptionKey(), "RSA-OAEP", r.name)
	refreshKey := newKey("HMAC", "HS512", r.name)
	refreshKey.priority = 100
	r.keySet = keySet{r.name, []*key{signingKey, encKey, refreshKey}}
}

// A Key describes a realm key. It doesn't contain the key itself.
type Key struct {
	ID        string // kid
	Algorithm string // RS256, HS512, RSA-OAEP ...
	Use       string // sig or enc
	// Priority selects the signing key: the active key with the highest priority signs, or the
	// newest of several such keys.
	Priority int
	Passive  bool // published and used to verify signatures, but not to sign
}

// Keys returns the realm's keys, including unpublished ones.
func (r *Realm) Keys() []Key {
	r.nonNil().mu.Lock()
	defer r.mu.Unlock()
	var keys []Key
	for _, k := range r.keySet.keys {
		keys = append(keys, Key{k.kid, k.algorithm, k.use, k.priority, k.passive})
	}
	return keys
}

// AddKey generates a signing key with the Algorithm, Priority and Passive fields of k, and returns
// its kid.
func (r *Realm) AddKey(k Key) (kid string, err error) {
	if err := r.checkExists(); err != nil {
		return "", err
	}
	if !slices.Contains(realmfile.SignatureAlgorithms, k.Algorithm) {
		return "", fmt.Errorf("keycloaktest: %q isn't a signature algorithm of Keycloak",
			k.Algorithm)
	}
	signingKey := newKey(realmfile.MaterialOf(k.Algorithm), k.Algorithm, r.name)
	signingKey.priority, signingKey.passive = k.Priority, k.Passive
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkExists(); err != nil {
		return "", err
	}
	if len(r.keySet.keys) >= maxKeys {
		return "", fmt.Errorf("keycloaktest: a realm has at most %d keys: remove some", maxKeys)
	}
	r.keySet.keys = append(r.keySet.keys, signingKey)
	return signingKey.kid, nil
}

// maxKeys is the maximum number of keys of a realm.
const maxKeys = 100

// RotateKeys generates a new signing key for algorithm and returns its kid. The old keys stay
// published, and tokens signed by them stay valid.
func (r *Realm) RotateKeys(algorithm string) (kid string, err error) {
	if err := r.checkExists(); err != nil {
		return "", err
	}
	priority := 100
	for _, k := range r.Keys() {
		if k.Algorithm == algorithm {
			priority = max(priority, k.Priority+1)
		}
	}
	return r.AddKey(Key{Algorithm: algorithm, Priority: priority})
}

// SetKeyPassive makes a key passive or active. A passive key stays published and its tokens stay
// valid, but it no longer signs.
func (r *Realm) SetKeyPassive(kid string, passive bool) error {
	if err := r.checkExists(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keySet.keys {
		if k.kid == kid {
			k.passive = passive
			return nil
		}
	}
	return fmt.Errorf("keycloaktest: the realm has no key %q", kid)
}

// RemoveKey deletes a key. Tokens signed with it become invalid.
func (r *Realm) RemoveKey(kid string) error {
	if err := r.checkExists(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.keySet.remove(kid) {
		return fmt.Errorf("keycloaktest: the realm has no key %q", kid)
	}
	return nil
}

// SigningKeyID returns the kid of the key that currently signs with algorithm. Most realms use
// "RS256" for access and ID tokens; refresh tokens use "HS512". If the realm has no key for
// algorithm, SigningKeyID generates one, as signing a token would. It returns "" if Keycloak has no
// such signature algorithm.
func (r *Realm) SigningKeyID(algorithm string) string {
	if r.nonNil().server == nil || !slices.Contains(realmfile.SignatureAlgorithms, algorithm) {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keySet.signingKey(algorithm).kid
}
