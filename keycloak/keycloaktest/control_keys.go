package keycloaktest

import (
	"fmt"
	"slices"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// firstKeys gives a new realm its keys: an RSA key to sign with, one to encrypt with, as real
// realms have, and one for HMAC, which isn't published. place is which realm of its server it is.
func (r *Realm) firstKeys(place int) {
	if r.settings.Keys != nil {
		r.makeKeys(place)
		return
	}
	go encryptionKey() // the first start of a process makes two RSA keys: both at once
	signing := rsaKey(r.server.rsaKey(place, 0), "RS256", r.name)
	signing.priority = 100
	encryption := rsaKey(encryptionKey(), "RSA-OAEP", r.name)
	refresh := newKey("HMAC", "HS512", r.name)
	refresh.priority = 100
	r.keys = keyRing{r.name, []*key{signing, encryption, refresh}}
}

// A Key is one of a realm's keys, without what is secret of it.
type Key struct {
	ID        string // kid
	Algorithm string // RS256, HS512, RSA-OAEP ...
	Use       string // sig or enc
	// of the active keys of an algorithm, the one with the highest signs, of equals the newer
	Priority int
	Passive  bool // listed and verifying, but signs no more
}

// Keys are the realm's keys, those that aren't published among them.
func (r *Realm) Keys() []Key {
	r.handle().mu.Lock()
	defer r.mu.Unlock()
	var out []Key
	for _, k := range r.keys.keys {
		out = append(out, Key{k.kid, k.algorithm, k.use, k.priority, k.passive})
	}
	return out
}

// AddKey makes a new key to sign with and returns its kid. Algorithm, Priority and Passive are
// taken from k.
func (r *Realm) AddKey(k Key) (kid string, err error) {
	if err := r.present(); err != nil {
		return "", err
	}
	if !slices.Contains(realmfile.SignatureAlgorithms, k.Algorithm) {
		return "", fmt.Errorf("keycloaktest: %q is no signature algorithm of Keycloak's",
			k.Algorithm)
	}
	fresh := newKey(realmfile.MaterialOf(k.Algorithm), k.Algorithm, r.name)
	fresh.priority, fresh.passive = k.Priority, k.Passive
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.present(); err != nil {
		return "", err
	}
	if len(r.keys.keys) >= maxKeys {
		return "", fmt.Errorf("keycloaktest: a realm has at most %d keys: remove some", maxKeys)
	}
	r.keys.keys = append(r.keys.keys, fresh)
	return fresh.kid, nil
}

// maxKeys is how many keys a realm may have.
const maxKeys = 100

// RotateKeys makes a new key for an algorithm, which signs from now on, and returns its kid. The
// old ones stay listed, and verify.
func (r *Realm) RotateKeys(algorithm string) (kid string, err error) {
	if err := r.present(); err != nil {
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

// SetKeyPassive makes a key passive, so that it stays listed and verifies but signs no more, or
// active again.
func (r *Realm) SetKeyPassive(kid string, passive bool) error {
	if err := r.present(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys.keys {
		if k.kid == kid {
			k.passive = passive
			return nil
		}
	}
	return fmt.Errorf("keycloaktest: the realm has no key %q", kid)
}

// RemoveKey deletes a key: what it signed is refused from now on.
func (r *Realm) RemoveKey(kid string) error {
	if err := r.present(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.keys.remove(kid) {
		return fmt.Errorf("keycloaktest: the realm has no key %q", kid)
	}
	return nil
}

// SigningKey is the kid of the key that signs tokens of an algorithm now: "RS256" for access and ID
// tokens of most realms, "HS512" for refresh tokens. As at a key's first use, one is made where
// there is none. It is empty for what is no signature algorithm of Keycloak's.
func (r *Realm) SigningKey(algorithm string) string {
	if r.handle().server == nil || !slices.Contains(realmfile.SignatureAlgorithms, algorithm) {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys.signing(algorithm).kid
}
