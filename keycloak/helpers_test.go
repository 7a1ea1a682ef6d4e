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
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/identity"
)

// localIssuer and localAudience are the issuer and the audience of the tokens in testdata.
const (
	localIssuer   = "http://localhost:8080/realms/local"
	localAudience = "local-api"
)

// noon is a time at which the tokens in testdata are valid.
var noon = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

// localRealm returns the realm that issues the tokens in testdata.
func localRealm(t testing.TB) Realm {
	t.Helper()
	realm, err := NewRealm("http://localhost:8080", "local")
	if err != nil {
		t.Fatal(err)
	}
	return realm
}

// A signingKey is a private key with which a realm signs tokens.
type signingKey struct {
	kid, alg string
	key      crypto.Signer
}

// All tests share these keys: generating an RSA key takes longer than most tests.
var (
	rsaKey = sync.OnceValue(func() crypto.Signer {
		return must(rsa.GenerateKey(rand.Reader, 2048))
	})
	// weakRSAKey has 1024 bits, as the keys of some old realms still do.
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

// newEdKey returns a new Ed25519 key.
func newEdKey() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
}

// must returns value, and panics if err isn't nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// rs256, es256 and edDSA each return a signing key of the local realm.
func rs256() signingKey { return signingKey{"rsa-1", "RS256", rsaKey()} }
func es256() signingKey { return signingKey{"ec-1", "ES256", p256Key()} }
func edDSA() signingKey { return signingKey{"ed-1", "EdDSA", edKey()} }

// jwk returns the public key as a JWK, as Keycloak writes it but without certificates.
func (k signingKey) jwk() map[string]any {
	jwk := map[string]any{"kid": k.kid, "use": "sig", "alg": k.alg}
	switch key := k.key.Public().(type) {
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

// withKID returns the same key under another kid.
func (k signingKey) withKID(kid string) signingKey { k.kid = kid; return k }

// header returns a token header exactly as Keycloak 26.7.4 writes it, spaces included.
func (k signingKey) header() string {
	return `{"alg":"` + k.alg + `","typ" : "JWT","kid" : "` + k.kid + `"}`
}

// sign returns a compact JWS. The header and payload need not be valid.
func (k signingKey) sign(header, payload string) string {
	signingInput := base64url([]byte(header)) + "." + base64url([]byte(payload))
	signature := must(jwt.GetSigningMethod(k.alg).Sign(signingInput, k.key))
	return signingInput + "." + base64url(signature)
}

// token returns a token with the usual header.
func (k signingKey) token(payload string) string { return k.sign(k.header(), payload) }

// base64url encodes data in unpadded base64url, as JWS does.
func base64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// strictBase64 is unpadded base64url. Decoding fails if unused bits of the last character are set.
var strictBase64 = base64.RawURLEncoding.Strict()

// An object is a JSON object.
type object map[string]any

// absent is a field value in the changes for patch. It removes the field.
var absent = new(int)

// patch returns the JSON object in text with these changes to its fields.
func patch(t testing.TB, text string, changes object) string {
	t.Helper()
	fields := object{}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	maps.Copy(fields, changes)
	maps.DeleteFunc(fields, func(_ string, value any) bool { return value == absent })
	return toJSON(fields)
}

// toJSON marshals value.
func toJSON(value any) string { return string(must(json.Marshal(value))) }

// readTestdata returns the contents of a file in testdata.
func readTestdata(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// aliceClaims returns the payload of an access token of the user alice, from a password grant.
func aliceClaims(t testing.TB) string { return readTestdata(t, "alice.json") }

// jwks returns the JSON of a key set, as the realm's certs endpoint sends it.
func jwks(keys ...any) string { return toJSON(map[string]any{"keys": append([]any{}, keys...)}) }

// jwksOf returns the JSON of a key set with the public keys of signingKeys.
func jwksOf(signingKeys ...signingKey) string {
	var keys []any
	for _, k := range signingKeys {
		keys = append(keys, k.jwk())
	}
	return jwks(keys...)
}

// A roundTripFunc is a function that implements http.RoundTripper.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newResponse returns a response for a roundTripFunc.
func newResponse(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body))}, nil
}

// newKeys returns a KeySet whose certs endpoint always returns body.
func newKeys(t testing.TB, body string) *KeySet {
	t.Helper()
	return NewKeySet(localRealm(t), KeySetConfig{
		Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
			return newResponse(200, body)
		}),
		Log: slog.New(slog.DiscardHandler),
	})
}

// newVerifier returns a Verifier for config. Its issuer, audience and clock default to the local
// realm, localAudience and noon.
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

// A logBuffer collects a log, and can be read while others write to it.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logger returns a logger that writes records of all levels to b.
func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// checkClientSafe checks that the error's text contains only fixed messages of package identity: no
// address, no setting and nothing from Keycloak.
func checkClientSafe(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
		if !regexp.MustCompile(`^(keycloak: (login|refresh|logout): )?[a-zA-Z' -]+$`).MatchString(
			text) {
			t.Errorf("the error text %q isn't safe for clients", text)
		}
	}
}

// checkVerifyError checks that Verify's error wraps want, or is nil if want is nil, and that its
// detail contains each of details.
func checkVerifyError(t *testing.T, err, want error, details ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("Verify() = %v, want %v", err, want)
	}
	if want == nil {
		return
	}
	identityErr, ok := errors.AsType[*identity.Error](err)
	if !ok {
		t.Fatalf("Verify() = %#v, want an *identity.Error", err)
	}
	checkClientSafe(t, err)
	for _, detail := range details {
		if !strings.Contains(identityErr.Detail, detail) {
			t.Errorf("the detail %q doesn't contain %q", identityErr.Detail, detail)
		}
	}
}

// noonPlus returns noon plus offset as a NumericDate, the form of times in claims.
func noonPlus(offset time.Duration) int64 { return noon.Add(offset).Unix() }

// corruptSignature flips a bit in the middle of the token's signature.
func corruptSignature(token string) string {
	dot := strings.LastIndexByte(token, '.')
	signature := must(strictBase64.DecodeString(token[dot+1:]))
	signature[len(signature)/2] ^= 1
	return token[:dot+1] + base64url(signature)
}

// decodeJSON decodes text with encoding/json.
func decodeJSON(t *testing.T, text []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Errorf("decoding %q: got %v, want nil", text, err)
	}
	return value
}

// unknownSigningKey returns a signing key whose kid, which contains n, is in no key set.
func unknownSigningKey(n int) signingKey {
	return signingKey{fmt.Sprint("unknown-", n), "EdDSA", otherEdKey()}
}

// splitToken splits a token into its three parts.
func splitToken(token string) (header, payload, signature string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// withStrayBits sets unused bits in the last character of a base64url text. A lenient decoder
// returns the same bytes as before.
func withStrayBits(text string) string {
	last := strings.IndexByte(base64Alphabet, text[len(text)-1])
	out := text[:len(text)-1] + base64Alphabet[last+1:last+2]
	if got := must(base64.RawURLEncoding.DecodeString(out)); base64url(got) != text {
		panic("the last character has no unused bits")
	}
	return out
}

// standardBase64Signature returns a signature in standard base64 that contains + or /, which
// base64url doesn't use.
func standardBase64Signature(k signingKey) string {
	for i := range 1000 {
		_, _, signature := splitToken(k.token(fmt.Sprintf(`{"n":%d}`, i)))
		if strings.ContainsAny(signature, "-_") {
			return strings.NewReplacer("-", "+", "_", "/").Replace(signature)
		}
	}
	panic("no signature contains - or _")
}

// nestedArrays returns a JSON array that nests to this depth.
func nestedArrays(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

// keyOf returns the public key of a signing key.
func keyOf(k signingKey) Key { return Key{ID: k.kid, Algorithm: k.alg, Public: k.key.Public()} }

// A certsEndpoint is a fake certs endpoint of a realm. A test can change its response.
type certsEndpoint struct {
	mu       sync.Mutex // guards the fields below
	requests []time.Time
	respond  roundTripFunc
}

func (e *certsEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.requests = append(e.requests, time.Now())
	respond := e.respond
	e.mu.Unlock()
	return respond(r)
}

// setResponse changes the response.
func (e *certsEndpoint) setResponse(respond roundTripFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.respond = respond
}

// requestTimes returns the times of all requests.
func (e *certsEndpoint) requestTimes() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]time.Time{}, e.requests...)
}

// serveKeys responds with the key set of signingKeys.
func serveKeys(signingKeys ...signingKey) roundTripFunc {
	body := jwksOf(signingKeys...)
	return func(*http.Request) (*http.Response, error) { return newResponse(200, body) }
}

// refuseConnection returns the error of a connection to an address where nothing listens.
func refuseConnection(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// delayResponse responds after d, unless the request's context ends first.
func delayResponse(d time.Duration, respond roundTripFunc) roundTripFunc {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return respond(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// A keyTest verifies tokens of the local realm with the keys of a certsEndpoint.
type keyTest struct {
	*testing.T
	endpoint *certsEndpoint
	keys     *KeySet
	verifier *Verifier
	log      *logBuffer
}

// newKeyTest returns a keyTest whose certs endpoint responds with respond.
func newKeyTest(t *testing.T, respond roundTripFunc) *keyTest {
	endpoint, log := &certsEndpoint{respond: respond}, &logBuffer{}
	keys := NewKeySet(localRealm(t),
		KeySetConfig{Transport: roundTripFunc(endpoint.RoundTrip), Log: log.logger()})
	return &keyTest{t, endpoint, keys, newVerifier(t, keys, VerifierConfig{}), log}
}

// verify verifies a token and checks the error.
func (t *keyTest) verify(k signingKey, want error) {
	t.Helper()
	if _, err := t.verifier.Verify(t.Context(), k.token(aliceClaims(t))); !errors.Is(err, want) {
		t.Errorf("Verify() of a token signed with %s = %v, want %v", k.kid, err, want)
	}
}

// checkFetches checks how many times the keys were fetched.
func (t *keyTest) checkFetches(want int) {
	t.Helper()
	if got := len(t.endpoint.requestTimes()); got != want {
		t.Errorf("keys were fetched %d times, want %d", got, want)
	}
}

// checkStatus checks whether Status reports usable keys and whether it reports a failure.
func (t *keyTest) checkStatus(wantUsable, wantFailure bool) {
	t.Helper()
	usable, fetchErr := t.keys.Status()
	if usable != wantUsable || (fetchErr != nil) != wantFailure {
		t.Errorf("Status() = %v, %v; want usable keys: %v, a failure: %v", usable, fetchErr,
			wantUsable, wantFailure)
	}
}

// callMiddleware sends a request with these Authorization headers through Middleware, and returns
// what identity.Require returns in the handler.
func callMiddleware(t *testing.T, log *logBuffer, verifier *Verifier,
	authorization ...string) (user *identity.User, err error) {
	t.Helper()
	handlerRan := false
	server := httptest.NewServer(Middleware(verifier,
		log.logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlerRan = true
		user, err = identity.Require(r.Context())
		w.WriteHeader(http.StatusTeapot)
	})))
	defer server.Close()
	request, requestErr := http.NewRequestWithContext(t.Context(), "POST", server.URL,
		strings.NewReader("{}"))
	if requestErr != nil {
		t.Fatal(requestErr)
	}
	request.Header["Authorization"] = authorization
	response, requestErr := http.DefaultClient.Do(request)
	if requestErr != nil {
		t.Fatal(requestErr)
	}
	response.Body.Close()
	server.Close() // the handler has returned
	if !handlerRan || response.StatusCode != http.StatusTeapot ||
		response.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("handler ran: %v, got %d %v; want the handler's unchanged 418 response",
			handlerRan, response.StatusCode, response.Header)
	}
	return user, err
}
