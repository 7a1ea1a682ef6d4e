package keycloak

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// Keys provides the public keys of one issuer. A KeySet fetches them from Keycloak. StaticKeys and
// ParseKeys return fixed keys, for example for unit tests.
//
// Key returns the key with this ID. If there is no such key, it returns an identity.Error with the
// Reason ErrKeyUnknown. If Key can't find out whether the key exists, the Reason is
// ErrKeysUnavailable. If ctx ends first, it returns ctx.Err(). A Verifier treats any other error as
// ErrKeysUnavailable. Attackers can make up IDs, so a call with an unknown ID must be cheap. Key
// must be safe for concurrent use.
//
// Implementations need not check keys: a Verifier rejects a key that is too weak or whose algorithm
// differs from the token's alg.
type Keys interface {
	Key(ctx context.Context, id string) (Key, error)
}

// A Key is a public key that verifies signatures.
type Key struct {
	ID        string // the kid in token headers, 1 to 256 bytes
	Algorithm string // the only algorithm the key may be used with, one of Algorithms
	// Public is a *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. Don't modify it once Keys
	// has returned it.
	Public crypto.PublicKey
}

type staticKeys map[string]Key

// StaticKeys returns Keys that never change. It returns an error if a key can't be used, or if two
// keys share an ID.
func StaticKeys(keys ...Key) (Keys, error) {
	byID := staticKeys{}
	for _, key := range keys {
		if err := jose.Key(key).Check(); err != nil {
			return nil, fmt.Errorf("keycloak: the key %s can't be used: %w",
				strictjson.Quote(key.ID), err)
		}
		if _, exists := byID[key.ID]; exists {
			return nil, fmt.Errorf("keycloak: two keys have the kid %s", strictjson.Quote(key.ID))
		}
		byID[key.ID] = key
	}
	if len(byID) == 0 {
		return nil, errors.New("keycloak: there are no keys")
	}
	return byID, nil
}

// ParseKeys returns the keys of a JSON Web Key Set (RFC 7517) as Keys that never change. Like
// KeySet, it skips keys that aren't for signatures or can't be used. It returns an error if no
// key is left.
func ParseKeys(jwks []byte) (Keys, error) {
	keys, err := jose.ReadKeySet(jwks)
	if err != nil {
		return nil, fmt.Errorf("keycloak: %w", err)
	}
	byID := staticKeys{}
	for id, key := range keys.Keys {
		byID[id] = Key(key)
	}
	return byID, nil
}

func (s staticKeys) Key(_ context.Context, id string) (Key, error) {
	key, ok := s[id]
	if !ok {
		return Key{}, &identity.Error{Reason: identity.ErrKeyUnknown,
			Detail: "no static key has the kid " + strictjson.Quote(id)}
	}
	return key, nil
}

// cachedKey returns the key with this ID if it is in memory.
func cachedKey(keys Keys, id string) (key Key, ok bool) {
	switch keys := keys.(type) {
	case *KeySet:
		return keys.cachedKey(id)
	case staticKeys:
		key, ok = keys[id]
	}
	return key, ok
}

// verifySignature verifies a token's signature with the key that its header names, and returns the
// key. Its errors are ErrKeyUnknown, ErrKeysUnavailable, ErrTokenSignature and ctx.Err().
func (v *Verifier) verifySignature(ctx context.Context, keys Keys, rawToken string,
	token *jose.JWS) (Key, error) {
	key, err := keys.Key(ctx, token.KeyID)
	switch {
	case err != nil:
		return Key{}, keyError(ctx, err)
	case key.Algorithm != token.Algorithm: // RFC 8725, section 3.1
		return Key{}, signatureError("alg is %s; the key %s is for %s",
			strictjson.Quote(token.Algorithm), strictjson.Quote(token.KeyID),
			strictjson.Quote(key.Algorithm))
	case !v.cache.verifyOnce(rawToken, token, key):
		return Key{}, signatureError("the signature doesn't match the key %s",
			strictjson.Quote(token.KeyID))
	}
	return key, nil
}

// keyError turns an error from Keys into one that Verify documents.
func keyError(ctx context.Context, err error) error {
	identityErr, ok := errors.AsType[*identity.Error](err)
	switch {
	case ok && (identityErr.Reason == identity.ErrKeyUnknown ||
		identityErr.Reason == identity.ErrKeysUnavailable):
		return identityErr
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, identity.ErrKeyUnknown):
		return &identity.Error{Reason: identity.ErrKeyUnknown, Detail: err.Error()}
	}
	return &identity.Error{Reason: identity.ErrKeysUnavailable, Detail: err.Error()}
}
