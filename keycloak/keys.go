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

// Keys provides the public keys of one issuer. A KeySet fetches them from Keycloak; StaticKeys and
// ParseKeys return fixed keys, for unit tests and the like.
//
// Key returns the key with this ID. It fails with an identity.Error whose Reason is ErrKeyUnknown
// if there is no such key, and ErrKeysUnavailable if it can't tell at the moment. If ctx ends
// first, it returns ctx.Err(). A Verifier treats any other error as ErrKeysUnavailable. IDs may be
// made up by an attacker. Key must be safe for concurrent use.
//
// A Verifier checks the key itself: a key that is too weak, or whose algorithm isn't the token's,
// verifies nothing.
type Keys interface {
	Key(ctx context.Context, id string) (Key, error)
}

// A Key is a public key that verifies signatures.
type Key struct {
	ID        string           // the kid in token headers, 1 to 256 bytes
	Algorithm string           // the only algorithm the key may be used with, one of Algorithms
	Public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

type staticKeys map[string]Key

// StaticKeys returns Keys that never change. It returns an error if a key can't be used, or if two
// keys share an ID.
func StaticKeys(keys ...Key) (Keys, error) {
	static := staticKeys{}
	for _, key := range keys {
		if err := jose.Key(key).Check(); err != nil {
			return nil, fmt.Errorf("keycloak: the key %s can't be used: %w",
				strictjson.Quote(key.ID), err)
		}
		if _, twice := static[key.ID]; twice {
			return nil, fmt.Errorf("keycloak: two keys have the id %s", strictjson.Quote(key.ID))
		}
		static[key.ID] = key
	}
	if len(static) == 0 {
		return nil, errors.New("keycloak: there are no keys")
	}
	return static, nil
}

// ParseKeys returns the keys of a JSON Web Key Set (RFC 7517) as Keys that never change. Like
// KeySet, it skips keys that aren't for signatures or can't be used. It returns an error if none is
// left.
func ParseKeys(set []byte) (Keys, error) {
	keys, err := jose.ReadKeySet(set)
	if err != nil {
		return nil, fmt.Errorf("keycloak: %w", err)
	}
	static := staticKeys{}
	for id, key := range keys.Keys {
		static[id] = Key(key)
	}
	return static, nil
}

func (s staticKeys) Key(_ context.Context, id string) (Key, error) {
	key, known := s[id]
	if !known {
		return Key{}, &identity.Error{Reason: identity.ErrKeyUnknown,
			Detail: "the static keys have none with the kid " + strictjson.Quote(id)}
	}
	return key, nil
}

// verifySignature verifies a token's signature with the key that its header names, and returns the
// key. It fails with ErrKeyUnknown, ErrKeysUnavailable, ErrTokenSignature or ctx.Err().
func (v *Verifier) verifySignature(ctx context.Context, keys Keys, text string,
	token *accessToken) (Key, error) {
	key, err := keys.Key(ctx, token.KeyID)
	switch {
	case err != nil:
		return Key{}, keyError(ctx, err)
	case key.Algorithm != token.Algorithm: // RFC 8725, section 3.1
		return Key{}, wrongSignature("alg is %s; the key %s is for %s",
			strictjson.Quote(token.Algorithm), strictjson.Quote(token.KeyID),
			strictjson.Quote(key.Algorithm))
	case !v.cache.verifySignature(text, token, key):
		return Key{}, wrongSignature("the signature doesn't match the key %s",
			strictjson.Quote(token.KeyID))
	}
	return key, nil
}

// keyError turns an error from Keys into one that Verify documents.
func keyError(ctx context.Context, err error) error {
	failed, ok := errors.AsType[*identity.Error](err)
	switch {
	case ok &&
		(failed.Reason == identity.ErrKeyUnknown || failed.Reason == identity.ErrKeysUnavailable):
		return failed
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, identity.ErrKeyUnknown):
		return &identity.Error{Reason: identity.ErrKeyUnknown, Detail: err.Error()}
	}
	return &identity.Error{Reason: identity.ErrKeysUnavailable, Detail: err.Error()}
}
