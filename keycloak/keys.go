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

// Keys finds the public keys of one issuer. A KeySet fetches them from Keycloak; StaticKeys and
// ParseKeys hold some that never change, as for a unit test.
//
// Key returns the key of that id. It fails with an identity.Error whose Reason is ErrKeyUnknown if
// there is no such key, and ErrKeysUnavailable if that can't be known now; and with the error of
// ctx when ctx ends first. A Verifier takes any other error for ErrKeysUnavailable. Key is called
// with ids that strangers made up, and must be safe for concurrent use.
//
// A Verifier checks what Key returns, in every implementation: a key that is too weak, or whose
// algorithm isn't that of the token, verifies nothing.
type Keys interface {
	Key(ctx context.Context, id string) (Key, error)
}

// A Key is a public key for signatures.
type Key struct {
	ID        string           // the kid that tokens name it by: 1 to 256 bytes
	Algorithm string           // the one that it is for, one of Algorithms
	Public    crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

type staticKeys map[string]Key

// StaticKeys returns Keys that hold these and never change. It fails when a key can't be used, or
// two have one id.
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

// ParseKeys returns Keys that hold those of a JSON Web Key Set (RFC 7517), and never change. It
// reads the set as a KeySet does: keys that aren't for signatures, or that can't be used, are
// passed over, and it fails when none is left.
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
			Detail: "the static keys have none of the kid " + strictjson.Quote(id)}
	}
	return key, nil
}

// verifyWith checks a token's signature with the key that its header names. It fails with
// ErrKeyUnknown, ErrKeysUnavailable or ErrTokenSignature, or as ctx does.
func verifyWith(ctx context.Context, keys Keys, token *accessToken) error {
	key, err := keys.Key(ctx, token.KeyID)
	switch {
	case err != nil:
		return keyError(ctx, err)
	case key.Algorithm != token.Algorithm: // RFC 8725, section 3.1
		return wrongSignature("alg is %s; the key %s is for %s", strictjson.Quote(token.Algorithm),
			strictjson.Quote(token.KeyID), strictjson.Quote(key.Algorithm))
	case !jose.Verify(token.Algorithm, key.Public, token.Signed, token.Signature):
		return wrongSignature("the signature doesn't match the key %s",
			strictjson.Quote(token.KeyID))
	}
	return nil
}

// keyError returns an error of Keys as one that Verify may fail with.
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
