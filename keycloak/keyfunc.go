package keycloak

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// Keyfunc returns a function that finds a token's key, for programs that already parse tokens with
// golang-jwt:
//
//	token, err := jwt.ParseWithClaims(text, claims, keys.Keyfunc(ctx), jwt.WithExpirationRequired())
//
// The function returns an error for a token that has no kid, or whose alg isn't the algorithm of
// its key. It checks nothing else: the caller must check the issuer, the audience, and that the
// token is an access token. Prefer a Verifier, which checks all of these. The function stops
// waiting for a key when ctx ends.
func (k *KeySet) Keyfunc(ctx context.Context) jwt.Keyfunc {
	keys, err := keyfunc.New(keyfunc.Options{Storage: storage{k},
		UseWhitelist: []jwkset.USE{jwkset.UseSig}})
	if err != nil { // New fails only without a Storage
		panic(err)
	}
	lookup := keys.KeyfuncCtx(ctx)
	return func(token *jwt.Token) (any, error) {
		if _, ok := token.Header["kid"]; !ok { // keyfunc would return all keys
			return nil, malformedError("kid is missing")
		}
		return lookup(token)
	}
}

// A storage adapts a KeySet to jwkset.Storage, read-only.
type storage struct{ keySet *KeySet }

var _ jwkset.Storage = storage{}

var errReadOnly = errors.New("keycloak: a KeySet is read-only")

// KeyRead returns a key, after a fetch if its ID is unknown and a fetch is allowed.
func (s storage) KeyRead(ctx context.Context, id string) (jwkset.JWK, error) {
	key, err := s.keySet.Key(ctx, id)
	if err != nil {
		return jwkset.JWK{}, err
	}
	return key.toJWK()
}

// memorySet returns a copy of the cached keys.
func (s storage) memorySet(ctx context.Context) (*jwkset.MemoryJWKSet, error) {
	set := jwkset.NewMemoryStorage()
	for _, key := range s.keySet.cachedKeys() {
		jwk, err := key.toJWK()
		if err != nil {
			return nil, err
		}
		if err := set.KeyWrite(ctx, jwk); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (k Key) toJWK() (jwkset.JWK, error) {
	return jwkset.NewJWKFromKey(k.Public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
		ALG: jwkset.ALG(k.Algorithm), KID: k.ID, USE: jwkset.UseSig,
	}})
}

func (s storage) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	set, err := s.memorySet(ctx)
	if err != nil {
		return nil, err
	}
	return set.KeyReadAll(ctx)
}

func (s storage) MarshalWithOptions(ctx context.Context, marshalOptions jwkset.JWKMarshalOptions,
	validateOptions jwkset.JWKValidateOptions) (jwkset.JWKSMarshal, error) {
	set, err := s.memorySet(ctx)
	if err != nil {
		return jwkset.JWKSMarshal{}, err
	}
	return set.MarshalWithOptions(ctx, marshalOptions, validateOptions)
}

func (s storage) Marshal(ctx context.Context) (jwkset.JWKSMarshal, error) {
	return s.MarshalWithOptions(ctx, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
}

func (s storage) JSONWithOptions(ctx context.Context, marshalOptions jwkset.JWKMarshalOptions,
	validateOptions jwkset.JWKValidateOptions) (json.RawMessage, error) {
	set, err := s.MarshalWithOptions(ctx, marshalOptions, validateOptions)
	if err != nil {
		return nil, err
	}
	return json.Marshal(set)
}

// JSON returns the cached keys. All are public, so JSONPublic and JSONPrivate return the same.
func (s storage) JSON(ctx context.Context) (json.RawMessage, error) {
	return s.JSONWithOptions(ctx, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
}
func (s storage) JSONPublic(ctx context.Context) (json.RawMessage, error)  { return s.JSON(ctx) }
func (s storage) JSONPrivate(ctx context.Context) (json.RawMessage, error) { return s.JSON(ctx) }

func (storage) KeyDelete(context.Context, string) (bool, error)   { return false, errReadOnly }
func (storage) KeyReplaceAll(context.Context, []jwkset.JWK) error { return errReadOnly }
func (storage) KeyWrite(context.Context, jwkset.JWK) error        { return errReadOnly }
