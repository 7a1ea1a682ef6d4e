package keycloak

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// x25519JWK returns the JWK of a key that can't sign, although its use is sig.
func x25519JWK() map[string]any {
	return map[string]any{"kid": "x", "kty": "OKP", "crv": "X25519", "use": "sig",
		"x": base64url([]byte(strings.Repeat("x", 32)))}
}

// An endlessBody is a response body that never ends. It counts the bytes that are read from it.
type endlessBody struct{ bytesRead int }

func (b *endlessBody) Read(p []byte) (int, error) {
	b.bytesRead += len(p)
	return len(p), nil
}

func (*endlessBody) Close() error { return nil }

// A bad response doesn't replace the cached key set. Status reports the failure.
func TestKeySet_badResponseKeepsKeys(t *testing.T) {
	body := &endlessBody{}
	respondWith := func(status int, text string) roundTripFunc {
		return func(*http.Request) (*http.Response, error) { return newResponse(status, text) }
	}
	for _, tt := range []struct {
		name    string
		respond roundTripFunc
		detail  string
	}{
		{"no keys", respondWith(200, `{"keys":[]}`), "no key"},
		{"a null list of keys", respondWith(200, `{"keys":null}`), "no list of keys"},
		{"two members named keys", respondWith(200, `{"keys":[],`+jwksOf(unknownSigningKey(0))[1:]),
			"no list of keys"},
		{"Keys instead of keys",
			respondWith(200, strings.Replace(jwksOf(unknownSigningKey(0)), "keys", "Keys",
				1)), "no list of keys"},
		{"too many keys", respondWith(200,
			jwks(slices.Repeat([]any{unknownSigningKey(0).jwk()},
				101)...)), "holds 101 keys; accepted: 100"},
		{"two keys with the same kid",
			respondWith(200, jwksOf(unknownSigningKey(0),
				signingKey{"unknown-0", "ES256",
					p256Key()})), "more than one signing key has this kid"},
		{"an object without keys", respondWith(200, `{"realm":"local"}`), "no list of keys"},
		{"keys that is an object", respondWith(200, `{"keys":{}}`), "not a JSON Web Key Set"},
		{"only an encryption key",
			respondWith(200, jwks(map[string]any{"kid": "e", "kty": "RSA", "use": "enc",
				"n": "AQAB", "e": "AQAB"})), "no key"},
		{"only a key that can't sign", respondWith(200, jwks(x25519JWK())), "no key"},
		{"only a weak key", respondWith(200, jwksOf(signingKey{"weak", "RS256", weakRSAKey()})),
			"no key"},
		{"only a secret key",
			respondWith(200, jwks(map[string]any{"kid": "o", "kty": "oct", "use": "sig",
				"alg": "HS256", "k": "c2VjcmV0"})), "no key"},
		{"HTML", respondWith(200, "<html>"), "not a JSON Web Key Set"},
		{"an empty body", respondWith(200, ""), "not a JSON Web Key Set"},
		{"null", respondWith(200, "null"), "not a JSON Web Key Set"},
		{"truncated JSON", respondWith(200, jwksOf(edDSA())[:40]), "not a JSON Web Key Set"},
		{"status 404", respondWith(404, `{"error":"Realm does not exist"}`), "response 404"},
		{"good keys with status 203", respondWith(203, jwksOf(unknownSigningKey(0))),
			"response 203"},
		{"a redirect", func(*http.Request) (*http.Response, error) {
			response, err := newResponse(302, "")
			response.Header.Set("Location", "/elsewhere")
			return response, err
		}, "redirect"},
		{"an error while reading the body", func(*http.Request) (*http.Response, error) {
			brokenBody := io.MultiReader(
				strings.NewReader(jwksOf(unknownSigningKey(0))), errorReader{})
			return &http.Response{StatusCode: 200, Header: http.Header{},
				Body: io.NopCloser(brokenBody)}, nil
		}, "cut short"},
		{"an endless body", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
		}, "larger than"},
		{"a server that hangs", delayResponse(time.Hour, refuseConnection), "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body.bytesRead = 0
				k := newKeyTest(t, serveKeys(edDSA()))
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go k.keys.Run(ctx)
				synctest.Wait()
				k.endpoint.setResponse(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path != "/realms/local/protocol/openid-connect/certs" {
						t.Errorf("got a request for %s, want only requests for the key set", r.URL)
					}
					return tt.respond(r)
				})
				time.Sleep(refreshInterval + 10*time.Second)
				k.verify(edDSA(), nil)
				usable, fetchErr := k.keys.Status()
				if !usable || fetchErr == nil ||
					!strings.Contains(identity.Detail(fetchErr), tt.detail) {
					t.Errorf("Status() = %v, %#v; want usable keys and a failure with %q",
						usable, fetchErr, tt.detail)
				}
				checkClientSafe(t, fetchErr)
				// A token with an unknown key may be valid, so the error blames the failed fetch.
				k.verify(unknownSigningKey(0), identity.ErrKeysUnavailable)
				stop()
				time.Sleep(fetchTimeout) // let the last fetch end
				synctest.Wait()
				fetches := len(k.endpoint.requestTimes())
				if maxBytes := fetches * (maxResponseBytes + 1); body.bytesRead > maxBytes {
					t.Errorf("read %d bytes of an endless body in %d fetches, want at most %d",
						body.bytesRead, fetches, maxBytes)
				}
			})
		})
	}
}

// An errorReader always fails.
type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// A JWK that can't be used doesn't affect the other keys of the set: a realm may have keys of every
// kind.
func TestKeySet_skipsUnusableKey(t *testing.T) {
	goodKey := rs256()
	changedJWK := func(k signingKey, changes object) any {
		jwk := k.jwk()
		jwk["kid"] = "bad"
		for name, value := range changes {
			jwk[name] = value
		}
		for name, value := range jwk {
			if value == absent {
				delete(jwk, name)
			}
		}
		return jwk
	}
	for _, tt := range []struct {
		name   string
		badJWK any
		want   error // for a token signed with badJWK; ErrKeyUnknown if badJWK is skipped
	}{
		{"null", nil, identity.ErrKeyUnknown},
		{"a number", 5, identity.ErrKeyUnknown},
		{"a list", []any{}, identity.ErrKeyUnknown},
		{"no fields", object{}, identity.ErrKeyUnknown},
		{"no kid", changedJWK(edDSA(), object{"kid": absent}), identity.ErrKeyUnknown},
		{"kid is a number", changedJWK(edDSA(), object{"kid": 5}), identity.ErrKeyUnknown},
		{"no use", changedJWK(edDSA(), object{"use": absent}), identity.ErrKeyUnknown},
		{"use enc", changedJWK(edDSA(), object{"use": "enc"}), identity.ErrKeyUnknown},
		{"use SIG", changedJWK(edDSA(), object{"use": "SIG"}), identity.ErrKeyUnknown},
		{"no kty", changedJWK(edDSA(), object{"kty": absent}), identity.ErrKeyUnknown},
		{"unknown kty", changedJWK(edDSA(), object{"kty": "AKP"}), identity.ErrKeyUnknown},
		{"unknown curve", changedJWK(edDSA(), object{"crv": "Ed448"}), identity.ErrKeyUnknown},
		{"a secret key", object{"kid": "bad", "kty": "oct", "use": "sig", "alg": "HS256",
			"k": "c2VjcmV0"}, identity.ErrKeyUnknown},
		{"x too short", changedJWK(edDSA(), object{"x": "AAAA"}), identity.ErrKeyUnknown},
		{"no n", changedJWK(rs256(), object{"n": absent}), identity.ErrKeyUnknown},
		{"n isn't base64url", changedJWK(rs256(), object{"n": "!!"}), identity.ErrKeyUnknown},
		{"n is a number", changedJWK(rs256(), object{"n": 5}), identity.ErrKeyUnknown},
		{"n with padding", changedJWK(rs256(), object{"n": rs256().jwk()["n"].(string) + "="}),
			identity.ErrKeyUnknown},
		{"n with a line break",
			changedJWK(rs256(), object{"n": "\n" +
				rs256().jwk()["n"].(string)}), identity.ErrKeyUnknown},
		{"n is even", changedJWK(rs256(), object{"n": evenModulus(rs256())}),
			identity.ErrKeyUnknown},
		{"n with 16384 bits",
			changedJWK(rs256(), object{"n": base64url(bytes.Repeat([]byte{0xff},
				2048))}), identity.ErrKeyUnknown},
		{"e is one", changedJWK(rs256(), object{"e": "AQ"}), identity.ErrKeyUnknown},
		{"e is three", changedJWK(rs256(), object{"e": "Aw"}), identity.ErrKeyUnknown},
		{"e is even", changedJWK(rs256(), object{"e": "AQAC"}), identity.ErrKeyUnknown},
		{"e whose low 64 bits are 65537",
			changedJWK(rs256(), object{"e": base64url([]byte{1, 0, 0, 0, 0, 0, 1, 0,
				1})}), identity.ErrKeyUnknown},
		{"a coordinate that is too short", changedJWK(es256(), object{"x": "AQ"}),
			identity.ErrKeyUnknown},
		{"no alg, and several fit the key", changedJWK(rs256(), object{"alg": absent}),
			identity.ErrKeyUnknown},
		{"alg for another curve", changedJWK(es256(), object{"alg": "ES384"}),
			identity.ErrKeyUnknown},
		{"alg for another key type", changedJWK(edDSA(), object{"alg": "ES256"}),
			identity.ErrKeyUnknown},
		{"alg is null", changedJWK(edDSA(), object{"alg": nil}), identity.ErrKeyUnknown},
		{"alg for encryption", changedJWK(rs256(), object{"alg": "RSA-OAEP"}),
			identity.ErrKeyUnknown},
		{"key_ops without verify", changedJWK(edDSA(), object{"key_ops": []string{"sign"}}),
			identity.ErrKeyUnknown},
		{"key_ops is empty", changedJWK(edDSA(), object{"key_ops": []string{}}),
			identity.ErrKeyUnknown},
		{"key_ops is a string", changedJWK(edDSA(), object{"key_ops": "verify"}),
			identity.ErrKeyUnknown},
		{"a duplicate field",
			json.RawMessage(`{"use":"sig",` +
				toJSON(changedJWK(edDSA(), object{}))[1:]), identity.ErrKeyUnknown},
		{"a kid that is too long", changedJWK(edDSA(), object{"kid": strings.Repeat("k", 257)}),
			identity.ErrKeyUnknown},
		{"fields in capitals",
			object{"KID": "bad", "KTY": "OKP", "USE": "sig", "CRV": "Ed25519",
				"X": edDSA().jwk()["x"]}, identity.ErrKeyUnknown},
		{"a private key", changedJWK(edDSA(),
			object{"d": base64url([]byte(strings.Repeat("d", 32)))}), identity.ErrKeyUnknown},
		{"a point that isn't on its curve", changedJWK(es256(), object{"x": es256().jwk()["y"]}),
			identity.ErrKeyUnknown},
		{"crv that isn't the point's curve", changedJWK(es256(), object{"crv": "P-384"}),
			identity.ErrKeyUnknown},
		// A KeySet ignores these fields, as long as they are well-formed JSON.
		{"a wrong x5t", changedJWK(edDSA(), object{"x5t": "AAAA", "x5t#S256": "AAAA"}), nil},
		{"garbage in x5c", changedJWK(edDSA(), object{"x5c": []string{"garbage"}}), nil},
		{"an x5u", changedJWK(edDSA(), object{"x5u": "http://evil.example"}), nil},
		{"a number too large for a float",
			changedJWK(edDSA(), object{"x-note": json.RawMessage("1e400")}),
			identity.ErrKeyUnknown},
		{"a lone surrogate", changedJWK(edDSA(), object{"x-note": json.RawMessage(`"\ud800"`)}),
			identity.ErrKeyUnknown},
		{"deep nesting", changedJWK(edDSA(), object{"x-note": json.RawMessage(nestedArrays(40))}),
			identity.ErrKeyUnknown},
		{"two kids", json.RawMessage(`{"kid":"rsa-1","kid":"bad"}`), identity.ErrKeyUnknown},
		{"an encryption key with the good key's kid",
			changedJWK(es256(), object{"kid": "rsa-1", "use": "enc"}), identity.ErrKeyUnknown},
		{"no alg, and only one fits the key", changedJWK(edDSA(), object{"alg": absent}), nil},
		{"key_ops with verify", changedJWK(edDSA(), object{"key_ops": []string{"sign", "verify"}}),
			nil},
		{"unknown fields", changedJWK(edDSA(), object{"x-note": object{}}), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, body := range []string{jwks(tt.badJWK, goodKey.jwk()),
				jwks(goodKey.jwk(), tt.badJWK)} {
				verifier := newVerifier(t, newKeys(t, body), VerifierConfig{})
				_, err := verifier.Verify(t.Context(), goodKey.token(aliceClaims(t)))
				checkVerifyError(t, err, nil)
				_, err = verifier.Verify(t.Context(),
					signingKey{"bad", "EdDSA", edKey()}.token(aliceClaims(t)))
				checkVerifyError(t, err, tt.want)
			}
		})
	}
}

// evenModulus returns the key's RSA modulus minus one, in base64url.
func evenModulus(k signingKey) string {
	n := k.key.Public().(*rsa.PublicKey).N
	return base64url(new(big.Int).Sub(n, big.NewInt(1)).Bytes())
}

// A KeySet logs each key that can't be used once, even if it is fetched again. Encryption keys
// aren't logged, because every realm has one.
func TestKeySet_logsUnusableKeysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		encryptionJWK, privateJWK := es256().jwk(), edDSA().jwk()
		encryptionJWK["use"], encryptionJWK["kid"] = "enc", "enc"
		privateJWK["d"], privateJWK["kid"] = "secret-half", "private"
		weakJWK := signingKey{"weak", "RS256", weakRSAKey()}.jwk()
		k := newKeyTest(t, func(*http.Request) (*http.Response, error) {
			return newResponse(200, jwks(encryptionJWK, weakJWK, edDSA().jwk(), privateJWK, nil))
		})
		go k.keys.Run(t.Context())
		time.Sleep(time.Hour)
		log := k.log.String()
		for text, want := range map[string]int{"key skipped": 3, "kid=weak": 1, "too weak": 1,
			"kid=private": 1, "must not be published": 1, `kid=""`: 1, "enc": 0, "secret-half": 0} {
			if got := strings.Count(log, text); got != want {
				t.Errorf("the log contains %q %d times, want %d:\n%s", text, got, want, log)
			}
		}
		_, err := k.verifier.Verify(t.Context(),
			signingKey{"private", "EdDSA", edKey()}.token(aliceClaims(t)))
		checkVerifyError(t, err, identity.ErrKeyUnknown, "must not be published")
	})
}

// Unusable keys with new kids in each fetch don't fill the log. Keycloak nodes may have different
// key sets, and anyone can cause fetches with made-up kids.
func TestKeySet_unusableKeysLogLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, nil)
		responses := 0
		k.endpoint.setResponse(func(*http.Request) (*http.Response, error) {
			responses++
			keys := []any{edDSA().jwk()}
			for i := range 99 {
				keys = append(keys,
					map[string]any{"kid": fmt.Sprint(responses, "-", i), "use": "sig"})
			}
			return newResponse(200, jwks(keys...))
		})
		for range 60 {
			k.verify(unknownSigningKey(0), identity.ErrKeyUnknown)
			time.Sleep(minFetchInterval)
		}
		if lines := strings.Count(k.log.String(), "key skipped"); responses < 60 || lines > 100 {
			t.Errorf("%d warnings in %d fetches, want at most 100 in at least 60", lines, responses)
		}
	})
}

// net/http quotes a response that it can't parse. The quote is truncated, so that a wrong server in
// Keycloak's place can't fill the log.
func TestKeySet_truncatesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, func(*http.Request) (*http.Response, error) {
			return nil, errors.New("malformed HTTP response " + strings.Repeat("\u202e", 60_000))
		})
		_, err := k.verifier.Verify(t.Context(), edDSA().token(aliceClaims(t)))
		checkVerifyError(t, err, identity.ErrKeysUnavailable, "malformed HTTP response")
		if _, fetchErr := k.keys.Status(); len(identity.Detail(err)) > 2000 ||
			len(identity.Detail(fetchErr)) > 2000 || len(k.log.String()) > 2000 {
			t.Errorf("%d bytes in the error, %d in the status, %d in the log; want at most 2000",
				len(identity.Detail(err)), len(identity.Detail(fetchErr)), len(k.log.String()))
		}
	})
}

// Keycloak publishes a certificate with each RSA key. A KeySet ignores it.
func TestKeySet_ignoresCertificates(t *testing.T) {
	key := rs256()
	jwk := key.jwk()
	// x5c holds a public key instead of a certificate, so that reading it would fail.
	certificate := base64.StdEncoding.EncodeToString(
		must(x509.MarshalPKIXPublicKey(key.key.Public())))
	jwk["x5c"], jwk["x5t"], jwk["x5t#S256"] = []string{certificate}, "AAAA", "AAAA"
	encryptionJWK := signingKey{"enc", "RSA-OAEP", rsaKey()}.jwk()
	encryptionJWK["use"] = "enc"
	// Keycloak may list the keys in either order.
	for _, body := range []string{jwks(jwk, encryptionJWK), jwks(encryptionJWK, jwk)} {
		_, err := newVerifier(t, newKeys(t, body), VerifierConfig{}).Verify(t.Context(),
			key.token(aliceClaims(t)))
		checkVerifyError(t, err, nil)
	}
}

// Key fetches don't follow redirects.
func TestKeySet_followsNoRedirect(t *testing.T) {
	var targetRequests atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		targetRequests.Add(1)
		io.WriteString(w, jwksOf(edDSA()))
	}))
	defer target.Close()
	server := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusFound))
	defer server.Close()
	keys := NewKeySet(must(NewRealm(server.URL, "local")),
		KeySetConfig{Transport: http.DefaultTransport, Log: slog.New(slog.DiscardHandler)})
	_, err := keys.fetchKeys(t.Context())
	if err == nil || !strings.Contains(err.Error(), "redirect") || targetRequests.Load() != 0 {
		t.Errorf("fetchKeys() = %v, with %d requests to the target; want an error and no request",
			err, targetRequests.Load())
	}
}

// A panic during a fetch becomes an error. A fetch runs on a goroutine of its own, where an
// unrecovered panic would end the process.
func TestKeySet_recoversPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, func(*http.Request) (*http.Response, error) {
			panic("a bug in a library, with a " + canary)
		})
		k.verify(edDSA(), identity.ErrKeysUnavailable)
		if _, fetchErr := k.keys.Status(); !strings.Contains(
			identity.Detail(fetchErr), "panicked") {
			t.Errorf("Status() returned %#v, want an error about the panic", fetchErr)
		}
		checkPanicLog(t, k.log.String(), 1)
	})
}

// If MaxAge is shorter than the refresh interval, keys are refreshed before they reach MaxAge.
func TestKeySet_refreshesBeforeMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &certsEndpoint{respond: serveKeys(edDSA())}
		keys := NewKeySet(localRealm(t),
			KeySetConfig{MaxAge: time.Minute, Transport: roundTripFunc(endpoint.RoundTrip),
				Log: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go keys.Run(ctx)
		for range 600 {
			time.Sleep(time.Second)
			if usable, fetchErr := keys.Status(); !usable || fetchErr != nil {
				t.Fatalf("Status() = %v, %v; want usable keys", usable, fetchErr)
			}
		}
	})
}
