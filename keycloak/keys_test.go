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

func TestStaticKeys_refuses(t *testing.T) {
	good := keyOf(edDSA())
	for name, tt := range map[string]struct {
		keys []Key
		says string
	}{
		"no key":       {nil, "no keys"},
		"the zero key": {[]Key{{}}, "expected 1 to 256"},
		"no id": {[]Key{{Algorithm: "EdDSA", Public: edKey().Public()}},
			"expected 1 to 256"},
		"a long id": {[]Key{{strings.Repeat("k", 257), "EdDSA", edKey().Public()}},
			"expected 1 to 256"},
		"no algorithm":           {[]Key{{"a", "", edKey().Public()}}, "not one for"},
		"none":                   {[]Key{{"a", "none", edKey().Public()}}, "not one for"},
		"a secret":               {[]Key{{"a", "HS256", []byte("secret")}}, "not one for"},
		"an algorithm of others": {[]Key{{"a", "RS256", edKey().Public()}}, "not one for"},
		"a weak key": {[]Key{good, {"a", "RS256", weakRSAKey().Public()}},
			`"a" can't be used: it is too weak`},
		"a private key": {[]Key{{"a", "EdDSA", edKey()}}, "not one for"},
		"a key of small order": {[]Key{{"a", "EdDSA", ed25519.PublicKey(make([]byte, 32))}},
			"too weak"},
		"no public key":             {[]Key{{"a", "EdDSA", nil}}, "not one for"},
		"two of one id":             {[]Key{good, good}, "two keys have the id"},
		"an id that breaks a line":  {[]Key{{"a\nb", "EdDSA", nil}}, `a\nb`},
		"another curve's algorithm": {[]Key{{"a", "ES256", p384Key().Public()}}, "not one for"},
	} {
		if _, err := StaticKeys(tt.keys...); err == nil ||
			!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: StaticKeys() = %v, want an error that says %q", name, err, tt.says)
		}
	}
}

func TestParseKeys_reads_as_a_KeySet_does(t *testing.T) {
	enc, weak := es256().jwk(), signer{"weak", "RS256", weakRSAKey()}.jwk()
	enc["use"] = "enc"
	keys, err := ParseKeys([]byte(certs(enc, weak, edDSA().jwk())))
	if err != nil {
		t.Fatal(err)
	}
	verifier := newVerifier(t, nil,
		VerifierConfig{Issuers: []Issuer{{Names: []string{localIssuer}, Keys: keys}}})
	for _, tt := range []struct {
		signer signer
		want   error
	}{{edDSA(), nil}, {es256(), identity.ErrKeyUnknown},
		{signer{"weak", "RS256", weakRSAKey()}, identity.ErrKeyUnknown}} {
		_, err := verifier.Verify(t.Context(), tt.signer.token(alice(t)))
		checkRefusal(t, err, tt.want)
	}
	for _, text := range []string{"", "{}", `{"keys":[]}`, certs(enc), certs(weak)} {
		if _, err := ParseKeys([]byte(text)); err == nil {
			t.Errorf("ParseKeys(%.40s) succeeds", text)
		}
	}
}

// keysFunc is a Keys of one function.
type keysFunc func(context.Context, string) (Key, error)

func (f keysFunc) Key(ctx context.Context, id string) (Key, error) { return f(ctx, id) }

// The rules for keys hold for every implementation of Keys, and Verify fails as it says.
func TestVerifier_Verify_checks_any_Keys(t *testing.T) {
	weak := signer{"weak", "RS256", weakRSAKey()}
	answers := func(key Key, err error) Keys {
		return keysFunc(func(context.Context, string) (Key, error) { return key, err })
	}
	for _, tt := range []struct {
		name   string
		keys   Keys
		signer signer
		want   error
		says   string
	}{
		{"a good key", answers(keyOf(edDSA()), nil), edDSA(), nil, ""},
		{"a weak key", answers(keyOf(weak), nil), weak, identity.ErrTokenSignature, "doesn't match"},
		{"the zero key", answers(Key{}, nil), edDSA(), identity.ErrTokenSignature, "is for"},
		{"a key for another algorithm", answers(Key{"rsa-1", "RS512", rsaKey().Public()}, nil), rs256(), identity.ErrTokenSignature, `is for "RS512"`},
		{"another key", answers(Key{"ed-1", "EdDSA", otherEdKey().Public()}, nil), edDSA(), identity.ErrTokenSignature, "doesn't match"},
		{"unknown", answers(Key{}, fmt.Errorf("row: %w", identity.ErrKeyUnknown)), edDSA(), identity.ErrKeyUnknown, "row"},
		{"an error of another kind", answers(Key{}, &identity.Error{Reason: identity.ErrProviderUnavailable}), edDSA(), identity.ErrKeysUnavailable, "realm is unavailable"},
		{"a fault of its own", answers(Key{}, errors.New("db-7.internal is down")), edDSA(), identity.ErrKeysUnavailable, "db-7.internal"},
	} {
		verifier := newVerifier(t, nil,
			VerifierConfig{Issuers: []Issuer{{Names: []string{localIssuer}, Keys: tt.keys}}})
		_, err := verifier.Verify(t.Context(), tt.signer.token(alice(t)))
		checkRefusal(t, err, tt.want, tt.says)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	verifier := newVerifier(t, nil,
		VerifierConfig{
			Issuers: []Issuer{{Names: []string{localIssuer}, Keys: answers(Key{}, ended.Err())}},
		})
	if _, err := verifier.Verify(ended, edDSA().token(alice(t))); !errors.Is(err,
		context.Canceled) {
		t.Errorf("Verify() = %v, want %v", err, context.Canceled)
	}
}

// Only a KeySet knows its realm, so other keys need a name.
func TestNewVerifier_needs_names_of_static_keys(t *testing.T) {
	keys := must(StaticKeys(keyOf(edDSA())))
	_, err := NewVerifier(VerifierConfig{Issuers: []Issuer{{Keys: keys}}, Audience: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "needs names") {
		t.Errorf("NewVerifier() = %v, want that the issuer needs names", err)
	}
}

func TestKeySet_Keyfunc(t *testing.T) {
	k := newKeyTest(t, holding(edDSA(), rs256()))
	parse := func(text string) error {
		_, err := jwt.Parse(text, k.keys.Keyfunc(t.Context()),
			jwt.WithTimeFunc(func() time.Time { return noon }))
		return err
	}
	for name, tt := range map[string]struct {
		token string
		want  error // nil for a token that passes
	}{
		"EdDSA": {edDSA().token(alice(t)), nil},
		"RS256": {rs256().token(alice(t)), nil},
		"no kid": {edDSA().sign(`{"alg":"EdDSA"}`, alice(t)),
			identity.ErrTokenMalformed},
		"kid a number": {edDSA().sign(`{"alg":"EdDSA","kid":5}`, alice(t)),
			jwt.ErrTokenUnverifiable},
		"another algorithm": {signer{"rsa-1", "RS512", rsaKey()}.token(alice(t)), jwt.ErrTokenUnverifiable},
		"another key": {signer{"ed-1", "EdDSA", otherEdKey()}.token(alice(t)),
			jwt.ErrTokenSignatureInvalid},
		"an unknown key": {stranger(0).token(alice(t)), identity.ErrKeyUnknown},
	} {
		if err := parse(tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: jwt.Parse() = %v, want %v", name, err, tt.want)
		}
	}
	k.fetched(1)
	zero := &KeySet{}
	if _, err := jwt.Parse(edDSA().token(alice(t)), zero.Keyfunc(t.Context())); !errors.Is(err,
		identity.ErrKeysUnavailable) {
		t.Errorf("keys of the zero KeySet: %v", err)
	}
}

// jwkset's users read a KeySet as any storage, and can't write to it.
func TestStorage(t *testing.T) {
	k := newKeyTest(t, holding(edDSA(), rs256(), es256()))
	store := storage{k.keys}
	if all, err := store.KeyReadAll(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("before a fetch: %v, %v", all, err)
	}
	jwk, err := store.KeyRead(t.Context(), "ec-1")
	if err != nil || jwk.Marshal().ALG != "ES256" || jwk.Marshal().USE != "sig" {
		t.Errorf("KeyRead() = %v, %v", jwk.Marshal(), err)
	}
	for name, read := range map[string]func(context.Context) (json.RawMessage,
		error){"JSON": store.JSON, "JSONPublic": store.JSONPublic,
		"JSONPrivate": store.JSONPrivate} {
		text, err := read(t.Context())
		keys, parseErr := ParseKeys(text)
		if err != nil || parseErr != nil || len(keys.(staticKeys)) != 3 ||
			strings.Contains(string(text), `"d"`) {
			t.Errorf("%s() = %s, %v, %v; want the three public keys", name, text, err, parseErr)
		}
	}
	if set, err := store.Marshal(t.Context()); err != nil || len(set.Keys) != 3 {
		t.Errorf("Marshal() = %v, %v", set, err)
	}
	_, deleteErr := store.KeyDelete(t.Context(), "ec-1")
	for _, err := range []error{deleteErr, store.KeyWrite(t.Context(), jwk),
		store.KeyReplaceAll(t.Context(), nil)} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("a write fails with %v, want %v", err, errReadOnly)
		}
	}
}

// Callers wait no longer than they are told to, though a transport ignores the deadline of its
// request.
func TestTransport_that_ignores_its_context(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hangs := roundTrip(func(*http.Request) (*http.Response, error) {
			<-release
			return nil, errors.New("released")
		})
		client, err := NewClient(ClientConfig{Realm: localRealm(t), ClientID: "a",
			ClientSecret: identity.NewSecret("b"), Timeout: 4 * time.Second, Transport: hangs})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = client.Login(t.Context(),
			identity.Credentials{Username: "alice", Password: identity.NewSecret("x")})
		if took := time.Since(begin); !identity.TimedOut(err) || took != 4*time.Second {
			t.Errorf("Login() = %v after %v, want a time-out after 4s", err, took)
		}
		k := newKeyTest(t, hangs)
		begin = time.Now()
		k.verify(edDSA(), identity.ErrKeysUnavailable)
		if took := time.Since(begin); took != maxWait {
			t.Errorf("Verify() took %v, want %v", took, maxWait)
		}
		close(release)
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}
