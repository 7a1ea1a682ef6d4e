package keycloak

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

// What the tokens in testdata name, and a moment within their life.
const (
	localIssuer   = "http://localhost:8080/realms/local"
	localAudience = "local-api"
)

var noon = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

func localRealm(t testing.TB) Realm {
	t.Helper()
	realm, err := NewRealm("http://localhost:8080", "local")
	if err != nil {
		t.Fatal(err)
	}
	return realm
}

// A signer is one signing key of a realm.
type signer struct {
	kid, alg string
	key      crypto.Signer
}

// Keys are made once: an RSA key takes longer than most tests.
var (
	rsaKey = sync.OnceValue(func() crypto.Signer {
		return must(rsa.GenerateKey(rand.Reader, 2048))
	})
	// Old realms have keys of this size.
	weakRSAKey = sync.OnceValue(func() crypto.Signer {
		return must(rsa.GenerateKey(rand.Reader, 1024))
	})
	p256Key = sync.OnceValue(func() crypto.Signer {
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	})
	p384Key = sync.OnceValue(func() crypto.Signer {
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	})
	p521Key = sync.OnceValue(func() crypto.Signer {
		return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	})
	edKey      = sync.OnceValue(newEdKey)
	otherEdKey = sync.OnceValue(newEdKey)
)

func newEdKey() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func rs256() signer { return signer{"rsa-1", "RS256", rsaKey()} }
func es256() signer { return signer{"ec-1", "ES256", p256Key()} }
func edDSA() signer { return signer{"ed-1", "EdDSA", edKey()} }

// jwk is the key's entry in the realm's key set, as Keycloak writes it, without certificates.
func (s signer) jwk() map[string]any {
	jwk := map[string]any{"kid": s.kid, "use": "sig", "alg": s.alg}
	switch key := s.key.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", base64url(key.N.Bytes()),
			base64url(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(key.Bytes())[1:]
		jwk["kty"], jwk["crv"] = "EC", key.Params().Name
		jwk["x"], jwk["y"] = base64url(point[:len(point)/2]), base64url(point[len(point)/2:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", base64url(key)
	}
	return jwk
}

// header is what Keycloak 26.7.4 writes, blanks included.
func (s signer) header() string {
	return `{"alg":"` + s.alg + `","typ" : "JWT","kid" : "` + s.kid + `"}`
}

// sign makes a compact JWS of texts that need not be what a header and a payload should be.
func (s signer) sign(header, payload string) string {
	signed := base64url([]byte(header)) + "." + base64url([]byte(payload))
	signature := must(jwt.GetSigningMethod(s.alg).Sign(signed, s.key))
	return signed + "." + base64url(signature)
}

func (s signer) token(payload string) string { return s.sign(s.header(), payload) }

func base64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

var strictBase64 = base64.RawURLEncoding.Strict()

type object map[string]any

// gone as a member's value takes the member away.
var gone = new(int)

// with lays changes over the members of a JSON object.
func with(t testing.TB, text string, changes object) string {
	t.Helper()
	members := object{}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		t.Fatal(err)
	}
	maps.Copy(members, changes)
	maps.DeleteFunc(members, func(_ string, value any) bool { return value == gone })
	return toJSON(members)
}

func toJSON(value any) string { return string(must(json.Marshal(value))) }

func fromFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// alice is the payload of an access token that a person got by a password grant.
func alice(t testing.TB) string { return fromFile(t, "alice.json") }

// certs is a key set as the realm's certs endpoint answers it.
func certs(keys ...any) string { return toJSON(map[string]any{"keys": append([]any{}, keys...)}) }

func certsOf(signers ...signer) string {
	var keys []any
	for _, s := range signers {
		keys = append(keys, s.jwk())
	}
	return certs(keys...)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body))}, nil
}

// newKeys returns a key set whose realm always answers with that body.
func newKeys(t testing.TB, body string) *KeySet {
	t.Helper()
	return NewKeySet(localRealm(t), KeySetConfig{
		Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return respond(200, body)
		}),
		Log: slog.New(slog.DiscardHandler),
	})
}

// newVerifier returns a verifier of the local realm's tokens at noon. What config says wins.
func newVerifier(t testing.TB, keys *KeySet, config VerifierConfig) *Verifier {
	t.Helper()
	if config.Issuers == nil {
		config.Issuers = []Issuer{{Names: []string{localIssuer}, Keys: keys}}
	}
	if config.Audience == nil {
		config.Audience = []string{localAudience}
	}
	if config.Now == nil {
		config.Now = func() time.Time { return noon }
	}
	verifier, err := NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

// A logBook is a log that can be read while others write to it.
type logBook struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// checkFitForClients holds that the text of an error is made only of identity's words: no address,
// no setting, nothing that came from Keycloak.
func checkFitForClients(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
		if !regexp.MustCompile(`^(keycloak: (login|refresh|logout): )?[a-zA-Z' -]+$`).MatchString(
			text) {
			t.Errorf("the text %q isn't fit for clients", text)
		}
	}
}

// checkRefusal compares an error with the reason it must have, nil for none, and with the words
// that an operator needs in its detail.
func checkRefusal(t *testing.T, err, want error, says ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("Verify() = %v, want %v", err, want)
	}
	if want == nil {
		return
	}
	refused, ok := errors.AsType[*identity.Error](err)
	if !ok {
		t.Fatalf("Verify() failed with %#v, want an identity.Error", err)
	}
	checkFitForClients(t, err)
	for _, word := range says {
		if !strings.Contains(refused.Detail, word) {
			t.Errorf("the detail is %q; it doesn't name %q", refused.Detail, word)
		}
	}
}

// at is a moment as claims have it, by how far it is from noon.
func at(offset time.Duration) int64 { return noon.Add(offset).Unix() }

// spoilSignature changes one bit in the middle of the signature.
func spoilSignature(token string) string {
	dot := strings.LastIndexByte(token, '.')
	signature := must(strictBase64.DecodeString(token[dot+1:]))
	signature[len(signature)/2] ^= 1
	return token[:dot+1] + base64url(signature)
}

// decodeJSON is what encoding/json makes of a text.
func decodeJSON(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return value
}

// stranger is a signer whose key no realm has.
func stranger(n int) signer { return signer{fmt.Sprint("stranger-", n), "EdDSA", otherEdKey()} }

// splitToken returns the three parts of a token.
func splitToken(token string) (header, payload, signature string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

// otherTrailingBits spells the same 64 bytes with another last character: four of its bits are
// unused.
func otherTrailingBits(signature string) string {
	last := signature[len(signature)-1]
	other := map[byte]byte{'A': 'B', 'Q': 'R', 'g': 'h', 'w': 'x'}[last]
	out := signature[:len(signature)-1] + string(other)
	if got := must(base64.RawURLEncoding.DecodeString(out)); base64url(got) != signature {
		panic("these are other bytes")
	}
	return out
}

// standardAlphabet writes a signature with the + and / of the other base64.
func standardAlphabet(key signer) string {
	for i := range 1000 {
		_, _, signature := splitToken(key.token(fmt.Sprintf(`{"n":%d}`, i)))
		if strings.ContainsAny(signature, "-_") {
			return strings.NewReplacer("-", "+", "_", "/").Replace(signature)
		}
	}
	panic("no signature holds a 62 or a 63")
}

// nested is a JSON list of lists, that many deep.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// keyOf is the public key of a signer.
func keyOf(s signer) Key { return Key{ID: s.kid, Algorithm: s.alg, Public: s.key.Public()} }
