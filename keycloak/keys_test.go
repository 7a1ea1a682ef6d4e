package keycloak

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

// StaticKeys returns an error if a key can't be used, and if there are no keys.
func TestStaticKeys_invalid(t *testing.T) {
	goodKey := keyOf(edDSA())
	for name, tt := range map[string]struct {
		keys    []Key
		wantErr string
	}{
		"no key":       {nil, "no keys"},
		"the zero key": {[]Key{{}}, "expected 1 to 256"},
		"a key without an ID": {[]Key{{Algorithm: "EdDSA", Public: edKey().Public()}},
			"expected 1 to 256"},
		"an ID that is too long": {[]Key{{strings.Repeat("k", 257), "EdDSA", edKey().Public()}},
			"expected 1 to 256"},
		"a key without an algorithm": {[]Key{{"a", "", edKey().Public()}}, "not a key for"},
		"the algorithm none": {[]Key{{"a", "none", edKey().Public()}},
			"not a key for"},
		"an HMAC secret": {[]Key{{"a", "HS256", []byte("secret")}},
			"not a key for"},
		"an algorithm for another key type": {[]Key{{"a", "RS256", edKey().Public()}},
			"not a key for"},
		"a weak key": {[]Key{goodKey, {"a", "RS256", weakRSAKey().Public()}},
			`"a" can't be used: it is too weak`},
		"a private key": {[]Key{{"a", "EdDSA", edKey()}}, "not a key for"},
		"a key of small order": {[]Key{{"a", "EdDSA", ed25519.PublicKey(make([]byte, 32))}},
			"too weak"},
		"a key without a public key": {[]Key{{"a", "EdDSA", nil}}, "not a key for"},
		"two keys with one ID":       {[]Key{goodKey, goodKey}, "two keys have the kid"},
		"an ID with a line break":    {[]Key{{"a\nb", "EdDSA", nil}}, `a\nb`},
		"an algorithm for another curve": {[]Key{{"a", "ES256", p384Key().Public()}},
			"not a key for"},
	} {
		if _, err := StaticKeys(tt.keys...); err == nil ||
			!strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: StaticKeys() = %v, want an error with %q on one line", name, err,
				tt.wantErr)
		}
	}
}

// ParseKeys uses and skips the same keys of a key set as a KeySet does.
func TestParseKeys(t *testing.T) {
	encryptionJWK, weakJWK := es256().jwk(), signingKey{"weak", "RS256", weakRSAKey()}.jwk()
	encryptionJWK["use"] = "enc"
	keys, err := ParseKeys([]byte(jwks(encryptionJWK, weakJWK, edDSA().jwk())))
	if err != nil {
		t.Fatal(err)
	}
	verifier := newVerifier(t, nil,
		VerifierConfig{Issuers: []Issuer{{Names: []string{localIssuer}, Keys: keys}}})
	for _, tt := range []struct {
		key  signingKey
		want error
	}{{edDSA(), nil}, {es256(), identity.ErrKeyUnknown},
		{signingKey{"weak", "RS256", weakRSAKey()}, identity.ErrKeyUnknown}} {
		_, err := verifier.Verify(t.Context(), tt.key.token(aliceClaims(t)))
		checkVerifyError(t, err, tt.want)
	}
	for _, text := range []string{"", "{}", `{"keys":[]}`, jwks(encryptionJWK),
		jwks(weakJWK)} {
		if _, err := ParseKeys([]byte(text)); err == nil {
			t.Errorf("ParseKeys(%.40s) succeeded, want an error", text)
		}
	}
}

// A keysFunc is a function that implements Keys.
type keysFunc func(context.Context, string) (Key, error)

func (f keysFunc) Key(ctx context.Context, id string) (Key, error) { return f(ctx, id) }

// A Verifier also checks the keys that a custom implementation of Keys returns. An error of the
// implementation gets the right reason.
func TestVerify_customKeys(t *testing.T) {
	weakKey := signingKey{"weak", "RS256", weakRSAKey()}
	keysReturning := func(key Key, err error) Keys {
		return keysFunc(func(context.Context, string) (Key, error) { return key, err })
	}
	for _, tt := range []struct {
		name   string
		keys   Keys
		key    signingKey
		want   error
		detail string
	}{
		{"a good key", keysReturning(keyOf(edDSA()), nil), edDSA(), nil, ""},
		{"a weak key", keysReturning(keyOf(weakKey), nil), weakKey, identity.ErrTokenSignature,
			"doesn't match"},
		{"the zero key", keysReturning(Key{}, nil), edDSA(), identity.ErrTokenSignature, "is for"},
		{"a key for another algorithm",
			keysReturning(Key{"rsa-1", "RS512", rsaKey().Public()},
				nil), rs256(), identity.ErrTokenSignature, `is for "RS512"`},
		{"a key that didn't sign the token",
			keysReturning(Key{"ed-1", "EdDSA", otherEdKey().Public()},
				nil), edDSA(), identity.ErrTokenSignature, "doesn't match"},
		{"an unknown key", keysReturning(Key{}, fmt.Errorf("row: %w", identity.ErrKeyUnknown)),
			edDSA(), identity.ErrKeyUnknown, "row"},
		{"an error with another reason",
			keysReturning(Key{},
				&identity.Error{Reason: identity.ErrProviderUnavailable}), edDSA(),
			identity.ErrKeysUnavailable, "realm is unavailable"},
		{"an error without a reason", keysReturning(Key{}, errors.New("db-7.internal is down")),
			edDSA(), identity.ErrKeysUnavailable, "db-7.internal"},
	} {
		verifier := newVerifier(t, nil,
			VerifierConfig{Issuers: []Issuer{{Names: []string{localIssuer}, Keys: tt.keys}}})
		for range 2 { // a valid token comes from the cache the second time
			_, err := verifier.Verify(t.Context(), tt.key.token(aliceClaims(t)))
			checkVerifyError(t, err, tt.want, tt.detail)
		}
	}
	canceledCtx, cancel := context.WithCancel(t.Context())
	cancel()
	verifier := newVerifier(t, nil,
		VerifierConfig{
			Issuers: []Issuer{{Names: []string{localIssuer},
				Keys: keysReturning(Key{}, canceledCtx.Err())}},
		})
	if _, err := verifier.Verify(canceledCtx, edDSA().token(aliceClaims(t))); !errors.Is(err,
		context.Canceled) {
		t.Errorf("Verify() = %v, want %v", err, context.Canceled)
	}
}

// An Issuer with StaticKeys needs Names, because only a KeySet knows its realm.
func TestNewVerifier_staticKeysNeedNames(t *testing.T) {
	keys := must(StaticKeys(keyOf(edDSA())))
	_, err := NewVerifier(VerifierConfig{Issuers: []Issuer{{Keys: keys}}, Audience: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "needs names") {
		t.Errorf("NewVerifier() = %v, want an error with %q", err, "needs names")
	}
}

// Keyfunc finds keys for golang-jwt, and returns an error if the kid or the algorithm is wrong.
func TestKeySet_Keyfunc(t *testing.T) {
	k := newKeyTest(t, serveKeys(edDSA(), rs256()))
	parse := func(text string) error {
		_, err := jwt.Parse(text, k.keys.Keyfunc(t.Context()),
			jwt.WithTimeFunc(func() time.Time { return noon }))
		return err
	}
	for name, tt := range map[string]struct {
		token string
		want  error // nil if the token is accepted
	}{
		"a key for EdDSA": {edDSA().token(aliceClaims(t)), nil},
		"a key for RS256": {rs256().token(aliceClaims(t)), nil},
		"no kid": {edDSA().sign(`{"alg":"EdDSA"}`, aliceClaims(t)),
			identity.ErrTokenMalformed},
		"kid is a number": {edDSA().sign(`{"alg":"EdDSA","kid":5}`, aliceClaims(t)),
			jwt.ErrTokenUnverifiable},
		"another algorithm": {signingKey{"rsa-1", "RS512", rsaKey()}.token(aliceClaims(t)),
			jwt.ErrTokenUnverifiable},
		"another key": {signingKey{"ed-1", "EdDSA", otherEdKey()}.token(aliceClaims(t)),
			jwt.ErrTokenSignatureInvalid},
		"an unknown key": {unknownSigningKey(0).token(aliceClaims(t)), identity.ErrKeyUnknown},
	} {
		if err := parse(tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: jwt.Parse() = %v, want %v", name, err, tt.want)
		}
	}
	k.checkFetches(1)
	zeroKeySet := &KeySet{}
	_, err := jwt.Parse(edDSA().token(aliceClaims(t)), zeroKeySet.Keyfunc(t.Context()))
	if !errors.Is(err, identity.ErrKeysUnavailable) {
		t.Errorf("jwt.Parse() with the zero KeySet = %v, want %v", err, identity.ErrKeysUnavailable)
	}
}

// A KeySet works as a read-only jwkset.Storage.
func TestStorage_readOnly(t *testing.T) {
	k := newKeyTest(t, serveKeys(edDSA(), rs256(), es256()))
	s := storage{k.keys}
	if keys, err := s.KeyReadAll(t.Context()); err != nil || len(keys) != 0 {
		t.Errorf("KeyReadAll() before a fetch = %v, %v; want no keys", keys, err)
	}
	jwk, err := s.KeyRead(t.Context(), "ec-1")
	if err != nil || jwk.Marshal().ALG != "ES256" || jwk.Marshal().USE != "sig" {
		t.Errorf("KeyRead() = %v, %v; want a signing key for ES256", jwk.Marshal(), err)
	}
	for name, read := range map[string]func(context.Context) (json.RawMessage,
		error){"JSON": s.JSON, "JSONPublic": s.JSONPublic,
		"JSONPrivate": s.JSONPrivate} {
		text, err := read(t.Context())
		keys, parseErr := ParseKeys(text)
		if err != nil || parseErr != nil || len(keys.(staticKeys)) != 3 ||
			strings.Contains(string(text), `"d"`) {
			t.Errorf("%s() = %s, %v, %v; want the three public keys", name, text, err, parseErr)
		}
	}
	if jwks, err := s.Marshal(t.Context()); err != nil || len(jwks.Keys) != 3 {
		t.Errorf("Marshal() = %v, %v; want three keys", jwks, err)
	}
	_, deleteErr := s.KeyDelete(t.Context(), "ec-1")
	for _, err := range []error{deleteErr, s.KeyWrite(t.Context(), jwk),
		s.KeyReplaceAll(t.Context(), nil)} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("a write or delete returned %v, want %v", err, errReadOnly)
		}
	}
}

// Login and Verify return at their timeouts even if the transport ignores the request's context.
func TestTransport_ignoresContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		transport := roundTripFunc(func(*http.Request) (*http.Response, error) {
			<-release
			return nil, errors.New("released")
		})
		client, err := NewClient(ClientConfig{Realm: localRealm(t), ClientID: "a",
			ClientSecret: identity.NewSecret("b"), Timeout: 4 * time.Second, Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = client.Login(t.Context(),
			identity.Credentials{Username: "alice", Password: identity.NewSecret("x")})
		if duration := time.Since(start); !identity.TimedOut(err) || duration != 4*time.Second {
			t.Errorf("Login() = %v after %v, want a timeout after 4s", err, duration)
		}
		k := newKeyTest(t, transport)
		start = time.Now()
		k.verify(edDSA(), identity.ErrKeysUnavailable)
		if duration := time.Since(start); duration != maxWait {
			t.Errorf("Verify() took %v, want %v", duration, maxWait)
		}
		close(release)
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}
