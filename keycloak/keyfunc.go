package keycloak

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Keyfunc returns a function that finds the key of a token, for programs that parse tokens with
// golang-jwt already:
//
//	token, err := jwt.ParseWithClaims(text, claims, keys.Keyfunc(ctx), jwt.WithExpirationRequired())
//
// A token without a kid, or whose alg isn't its key's, gets no key. That is all that is checked
// here: issuer, audience, and that it is an access token at all, are then for the caller to check.
// A Verifier checks them all, and is what to use otherwise. Where ctx ends, so does the wait for a
// key.
func (k *KeySet) Keyfunc(ctx context.Context) jwt.Keyfunc {
	keys, err := keyfunc.New(keyfunc.Options{Storage: storage{k},
		UseWhitelist: []jwkset.USE{jwkset.UseSig}})
	if err != nil { // it fails only without a storage
		panic(err)
	}
	find := keys.KeyfuncCtx(ctx)
	return func(token *jwt.Token) (any, error) {
		if _, named := token.Header["kid"]; !named { // keyfunc would return all keys
			return nil, malformed("kid is missing")
		}
		return find(token)
	}
}

// A storage is a KeySet as jwkset's users read it. Only Keycloak writes to it.
type storage struct{ set *KeySet }

var _ jwkset.Storage = storage{}

var errReadOnly = errors.New("keycloak: a KeySet is read-only")

// KeyRead returns a key, after a fetch where its id is unknown and a fetch is allowed.
func (s storage) KeyRead(ctx context.Context, id string) (jwkset.JWK, error) {
	key, err := s.set.Key(ctx, id)
	if err != nil {
		return jwkset.JWK{}, err
	}
	return key.jwk()
}

// snapshot returns the keys that are there now.
func (s storage) snapshot(ctx context.Context) (*jwkset.MemoryJWKSet, error) {
	memory := jwkset.NewMemoryStorage()
	for _, key := range s.set.current() {
		jwk, err := key.jwk()
		if err != nil {
			return nil, err
		}
		if err := memory.KeyWrite(ctx, jwk); err != nil {
			return nil, err
		}
	}
	return memory, nil
}

func (k Key) jwk() (jwkset.JWK, error) {
	return jwkset.NewJWKFromKey(k.Public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
		ALG: jwkset.ALG(k.Algorithm), KID: k.ID, USE: jwkset.UseSig,
	}})
}

func (s storage) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	memory, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return memory.KeyReadAll(ctx)
}

func (s storage) MarshalWithOptions(ctx context.Context, marshal jwkset.JWKMarshalOptions,
	validate jwkset.JWKValidateOptions) (jwkset.JWKSMarshal, error) {
	memory, err := s.snapshot(ctx)
	if err != nil {
		return jwkset.JWKSMarshal{}, err
	}
	return memory.MarshalWithOptions(ctx, marshal, validate)
}

func (s storage) Marshal(ctx context.Context) (jwkset.JWKSMarshal, error) {
	return s.MarshalWithOptions(ctx, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
}

func (s storage) JSONWithOptions(ctx context.Context, marshal jwkset.JWKMarshalOptions,
	validate jwkset.JWKValidateOptions) (json.RawMessage, error) {
	set, err := s.MarshalWithOptions(ctx, marshal, validate)
	if err != nil {
		return nil, err
	}
	return json.Marshal(set)
}

// There are public keys only, so all three are one.
func (s storage) JSON(ctx context.Context) (json.RawMessage, error) {
	return s.JSONWithOptions(ctx, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
}
func (s storage) JSONPublic(ctx context.Context) (json.RawMessage, error)  { return s.JSON(ctx) }
func (s storage) JSONPrivate(ctx context.Context) (json.RawMessage, error) { return s.JSON(ctx) }

func (storage) KeyDelete(context.Context, string) (bool, error)   { return false, errReadOnly }
func (storage) KeyReplaceAll(context.Context, []jwkset.JWK) error { return errReadOnly }
func (storage) KeyWrite(context.Context, jwkset.JWK) error        { return errReadOnly }
