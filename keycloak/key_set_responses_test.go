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

// x25519 returns the JWK of a key that can't sign, although its use is sig.
func x25519() map[string]any {
	return map[string]any{"kid": "x", "kty": "OKP", "crv": "X25519", "use": "sig",
		"x": base64url([]byte(strings.Repeat("x", 32)))}
}

// An endless is a response body that never ends. It counts the bytes that are read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func (*endless) Close() error { return nil }

// A bad response doesn't replace the last good key set.
func TestKeySet_badResponses(t *testing.T) {
	body := &endless{}
	plain := func(status int, text string) roundTrip {
		return func(*http.Request) (*http.Response, error) { return respond(status, text) }
	}
	for _, tt := range []struct {
		name    string
		respond roundTrip
		detail  string
	}{
		{"no keys", plain(200, `{"keys":[]}`), "no key"},
		{"keys null", plain(200, `{"keys":null}`), "no list of keys"},
		{"keys twice", plain(200, `{"keys":[],`+certsOf(unknownSigner(0))[1:]), "no list of keys"},
		{"keys in another case", plain(200, strings.Replace(certsOf(unknownSigner(0)), "keys", "Keys", 1)), "no list of keys"},
		{"too many keys", plain(200, certs(slices.Repeat([]any{unknownSigner(0).jwk()}, 101)...)), "holds 101 keys; accepted: 100"},
		{"two keys with the same kid", plain(200, certsOf(unknownSigner(0), signer{"unknown-0", "ES256", p256Key()})), "more than one key for signatures of this kid"},
		{"an object without keys", plain(200, `{"realm":"local"}`), "no list of keys"},
		{"keys not a list", plain(200, `{"keys":{}}`), "not a JSON Web Key Set"},
		{"only an encryption key", plain(200, certs(map[string]any{"kid": "e", "kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"})), "no key"},
		{"only a key that can't sign", plain(200, certs(x25519())), "no key"},
		{"only a weak key", plain(200, certsOf(signer{"weak", "RS256", weakRSAKey()})), "no key"},
		{"only a secret key", plain(200, certs(map[string]any{"kid": "o", "kty": "oct", "use": "sig", "alg": "HS256", "k": "c2VjcmV0"})), "no key"},
		{"HTML", plain(200, "<html>"), "not a JSON Web Key Set"},
		{"an empty body", plain(200, ""), "not a JSON Web Key Set"},
		{"null", plain(200, "null"), "not a JSON Web Key Set"},
		{"truncated JSON", plain(200, certsOf(edDSA())[:40]), "not a JSON Web Key Set"},
		{"another status", plain(404, `{"error":"Realm does not exist"}`), "answer 404"},
		{"good keys with another status", plain(203, certsOf(unknownSigner(0))), "answer 203"},
		{"a redirect", func(*http.Request) (*http.Response, error) {
			response, err := respond(302, "")
			response.Header.Set("Location", "/elsewhere")
			return response, err
		}, "redirect"},
		{"an error while reading the body", func(*http.Request) (*http.Response, error) {
			broken := io.MultiReader(strings.NewReader(certsOf(unknownSigner(0))), errorReader{})
			return &http.Response{StatusCode: 200, Header: http.Header{},
				Body: io.NopCloser(broken)}, nil
		}, "cut short"},
		{"an endless body", func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
		}, "larger than"},
		{"a server that hangs", slow(time.Hour, down), "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body.read = 0
				k := newKeyTest(t, serving(edDSA()))
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go k.keys.Run(ctx)
				synctest.Wait()
				k.endpoint.set(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path != "/realms/local/protocol/openid-connect/certs" {
						t.Errorf("got a request for %s", r.URL)
					}
					return tt.respond(r)
				})
				time.Sleep(refreshInterval + 10*time.Second)
				k.verify(edDSA(), nil)
				usable, failure := k.keys.Status()
				if !usable || failure == nil ||
					!strings.Contains(identity.Detail(failure), tt.detail) {
					t.Errorf("Status() = %v, %#v; want usable keys and a failure with %q",
						usable, failure, tt.detail)
				}
				checkClientSafe(t, failure)
				// A token with an unknown key may be good, so the error must blame the outage.
				k.verify(unknownSigner(0), identity.ErrKeysUnavailable)
				stop()
				time.Sleep(fetchTimeout) // let the last fetch end
				synctest.Wait()
				if tries := len(k.endpoint.times()); body.read > tries*(maxResponseBytes+1) {
					t.Errorf("read %d bytes of an endless body in %d tries", body.read, tries)
				}
			})
		})
	}
}

// An errorReader always fails.
type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// A key that can't be used doesn't affect the others: a realm may have keys of every kind.
func TestKeySet_unusableKey(t *testing.T) {
	good := rs256()
	change := func(s signer, changes object) any {
		jwk := s.jwk()
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
		name string
		bad  any
		want error // for a token signed with the key; ErrKeyUnknown if it is skipped
	}{
		{"null", nil, identity.ErrKeyUnknown},
		{"a number", 5, identity.ErrKeyUnknown},
		{"a list", []any{}, identity.ErrKeyUnknown},
		{"no members", object{}, identity.ErrKeyUnknown},
		{"no kid", change(edDSA(), object{"kid": absent}), identity.ErrKeyUnknown},
		{"kid a number", change(edDSA(), object{"kid": 5}), identity.ErrKeyUnknown},
		{"no use", change(edDSA(), object{"use": absent}), identity.ErrKeyUnknown},
		{"use enc", change(edDSA(), object{"use": "enc"}), identity.ErrKeyUnknown},
		{"use SIG", change(edDSA(), object{"use": "SIG"}), identity.ErrKeyUnknown},
		{"no kty", change(edDSA(), object{"kty": absent}), identity.ErrKeyUnknown},
		{"unknown kty", change(edDSA(), object{"kty": "AKP"}), identity.ErrKeyUnknown},
		{"unknown curve", change(edDSA(), object{"crv": "Ed448"}), identity.ErrKeyUnknown},
		{"a secret key", object{"kid": "bad", "kty": "oct", "use": "sig", "alg": "HS256", "k": "c2VjcmV0"}, identity.ErrKeyUnknown},
		{"x too short", change(edDSA(), object{"x": "AAAA"}), identity.ErrKeyUnknown},
		{"no n", change(rs256(), object{"n": absent}), identity.ErrKeyUnknown},
		{"n not base64url", change(rs256(), object{"n": "!!"}), identity.ErrKeyUnknown},
		{"n a number", change(rs256(), object{"n": 5}), identity.ErrKeyUnknown},
		{"n with padding", change(rs256(), object{"n": rs256().jwk()["n"].(string) + "="}), identity.ErrKeyUnknown},
		{"n with a line break", change(rs256(), object{"n": "\n" + rs256().jwk()["n"].(string)}), identity.ErrKeyUnknown},
		{"n is even", change(rs256(), object{"n": even(rs256())}), identity.ErrKeyUnknown},
		{"n with 16384 bits", change(rs256(), object{"n": base64url(bytes.Repeat([]byte{0xff}, 2048))}), identity.ErrKeyUnknown},
		{"e is one", change(rs256(), object{"e": "AQ"}), identity.ErrKeyUnknown},
		{"e is three", change(rs256(), object{"e": "Aw"}), identity.ErrKeyUnknown},
		{"e is even", change(rs256(), object{"e": "AQAC"}), identity.ErrKeyUnknown},
		{"e whose low 64 bits are 65537", change(rs256(), object{"e": base64url([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})}), identity.ErrKeyUnknown},
		{"a coordinate that is too short", change(es256(), object{"x": "AQ"}), identity.ErrKeyUnknown},
		{"no alg, where several fit", change(rs256(), object{"alg": absent}), identity.ErrKeyUnknown},
		{"alg for another curve", change(es256(), object{"alg": "ES384"}), identity.ErrKeyUnknown},
		{"alg for another key type", change(edDSA(), object{"alg": "ES256"}), identity.ErrKeyUnknown},
		{"alg null", change(edDSA(), object{"alg": nil}), identity.ErrKeyUnknown},
		{"alg for encryption", change(rs256(), object{"alg": "RSA-OAEP"}), identity.ErrKeyUnknown},
		{"key_ops without verify", change(edDSA(), object{"key_ops": []string{"sign"}}), identity.ErrKeyUnknown},
		{"key_ops empty", change(edDSA(), object{"key_ops": []string{}}), identity.ErrKeyUnknown},
		{"key_ops a string", change(edDSA(), object{"key_ops": "verify"}), identity.ErrKeyUnknown},
		{"a duplicate member", json.RawMessage(`{"use":"sig",` + toJSON(change(edDSA(), object{}))[1:]), identity.ErrKeyUnknown},
		{"a kid that is too long", change(edDSA(), object{"kid": strings.Repeat("k", 257)}), identity.ErrKeyUnknown},
		{"members in capitals", object{"KID": "bad", "KTY": "OKP", "USE": "sig", "CRV": "Ed25519", "X": edDSA().jwk()["x"]}, identity.ErrKeyUnknown},
		{"a private key", change(edDSA(), object{"d": base64url([]byte(strings.Repeat("d", 32)))}), identity.ErrKeyUnknown},
		{"a point that isn't on its curve", change(es256(), object{"x": es256().jwk()["y"]}), identity.ErrKeyUnknown},
		{"another curve than the point's", change(es256(), object{"crv": "P-384"}), identity.ErrKeyUnknown},
		// Members that aren't used don't matter if they are well-formed.
		{"a wrong x5t", change(edDSA(), object{"x5t": "AAAA", "x5t#S256": "AAAA"}), nil},
		{"garbage in x5c", change(edDSA(), object{"x5c": []string{"garbage"}}), nil},
		{"an x5u", change(edDSA(), object{"x5u": "http://evil.example"}), nil},
		{"a number too large for a float", change(edDSA(), object{"x-note": json.RawMessage("1e400")}), identity.ErrKeyUnknown},
		{"a lone surrogate", change(edDSA(), object{"x-note": json.RawMessage(`"\ud800"`)}), identity.ErrKeyUnknown},
		{"deep nesting", change(edDSA(), object{"x-note": json.RawMessage(nested(40))}), identity.ErrKeyUnknown},
		{"two kids", json.RawMessage(`{"kid":"rsa-1","kid":"bad"}`), identity.ErrKeyUnknown},
		{"an encryption key with the good key's kid", change(es256(), object{"kid": "rsa-1", "use": "enc"}), identity.ErrKeyUnknown},
		{"no alg, where only one fits", change(edDSA(), object{"alg": absent}), nil},
		{"key_ops with verify", change(edDSA(), object{"key_ops": []string{"sign", "verify"}}), nil},
		{"unknown members", change(edDSA(), object{"x-note": object{}}), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, body := range []string{certs(tt.bad, good.jwk()), certs(good.jwk(), tt.bad)} {
				verifier := newVerifier(t, newKeys(t, body), VerifierConfig{})
				_, err := verifier.Verify(t.Context(), good.token(alice(t)))
				checkRefusal(t, err, nil)
				_, err = verifier.Verify(t.Context(),
					signer{"bad", "EdDSA", edKey()}.token(alice(t)))
				checkRefusal(t, err, tt.want)
			}
		})
	}
}

// even returns an even modulus in base64url.
func even(s signer) string {
	n := s.key.Public().(*rsa.PublicKey).N
	return base64url(new(big.Int).Sub(n, big.NewInt(1)).Bytes())
}

// Keys that can't be used are logged once. Encryption keys aren't logged: every realm has one.
func TestKeySet_logsUnusableKeysOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enc, weak, private := es256().jwk(), signer{"weak", "RS256", weakRSAKey()}.jwk(),
			edDSA().jwk()
		enc["use"], enc["kid"], private["d"], private["kid"] = "enc", "enc", "secret-half",
			"private"
		k := newKeyTest(t, func(*http.Request) (*http.Response, error) {
			return respond(200, certs(enc, weak, edDSA().jwk(), private, nil))
		})
		go k.keys.Run(t.Context())
		time.Sleep(time.Hour)
		log := k.log.String()
		for text, want := range map[string]int{"passed over": 3, "kid=weak": 1, "too weak": 1,
			"kid=private": 1, "for everyone to read": 1, `kid=""`: 1, "enc": 0, "secret-half": 0} {
			if got := strings.Count(log, text); got != want {
				t.Errorf("the log contains %q %d times, want %d:\n%s", text, got, want, log)
			}
		}
		_, err := k.verifier.Verify(t.Context(),
			signer{"private", "EdDSA", edKey()}.token(alice(t)))
		checkRefusal(t, err, identity.ErrKeyUnknown, "for everyone to read")
	})
}

// Tokens with made-up kids, and Keycloak nodes whose key sets differ, must not fill the log.
func TestKeySet_unusableKeysLogLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, nil)
		responses := 0
		k.endpoint.set(func(*http.Request) (*http.Response, error) {
			responses++
			keys := []any{edDSA().jwk()}
			for i := range 99 {
				keys = append(keys,
					map[string]any{"kid": fmt.Sprint(responses, "-", i), "use": "sig"})
			}
			return respond(200, certs(keys...))
		})
		for range 60 {
			k.verify(unknownSigner(0), identity.ErrKeyUnknown)
			time.Sleep(minFetchInterval)
		}
		if lines := strings.Count(k.log.String(), "passed over"); responses < 60 || lines > 100 {
			t.Errorf("%d warnings for %d key sets, want at most 100", lines, responses)
		}
	})
}

// net/http quotes a response that it can't parse. Whoever answers in Keycloak's place must not fill
// the log with that.
func TestKeySet_longErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, func(*http.Request) (*http.Response, error) {
			return nil, errors.New("malformed HTTP response " + strings.Repeat("\u202e", 60_000))
		})
		_, err := k.verifier.Verify(t.Context(), edDSA().token(alice(t)))
		checkRefusal(t, err, identity.ErrKeysUnavailable, "malformed HTTP response")
		if _, failure := k.keys.Status(); len(identity.Detail(err)) > 2000 ||
			len(identity.Detail(failure)) > 2000 || len(k.log.String()) > 2000 {
			t.Errorf("%d bytes in the error, %d in the status, %d in the log; want at most 2000",
				len(identity.Detail(err)), len(identity.Detail(failure)), len(k.log.String()))
		}
	})
}

// Keycloak publishes a certificate with each RSA key.
func TestKeySet_certificates(t *testing.T) {
	key := rs256()
	jwk := key.jwk()
	// Not a certificate: it isn't looked at.
	certificate := base64.StdEncoding.EncodeToString(
		must(x509.MarshalPKIXPublicKey(key.key.Public())))
	jwk["x5c"], jwk["x5t"], jwk["x5t#S256"] = []string{certificate}, "AAAA", "AAAA"
	enc := signer{"enc", "RSA-OAEP", rsaKey()}.jwk()
	enc["use"] = "enc"
	for _, body := range []string{certs(jwk, enc), certs(enc, jwk)} { // Keycloak uses either order
		_, err := newVerifier(t, newKeys(t, body), VerifierConfig{}).Verify(t.Context(),
			key.token(alice(t)))
		checkRefusal(t, err, nil)
	}
}

// The fetch of keys doesn't follow redirects.
func TestKeySet_redirect(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		io.WriteString(w, certsOf(edDSA()))
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	keys := NewKeySet(must(NewRealm(server.URL, "local")),
		KeySetConfig{Transport: http.DefaultTransport, Log: slog.New(slog.DiscardHandler)})
	_, err := keys.download(t.Context())
	if err == nil || !strings.Contains(err.Error(), "redirect") || reached.Load() != 0 {
		t.Errorf("got %v, and %d requests to the target; want an error and no request", err,
			reached.Load())
	}
}

// A panic during a fetch is an error. The fetch has its own goroutine, so the panic would otherwise
// end the process.
func TestKeySet_panicInTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, func(*http.Request) (*http.Response, error) {
			panic("a library's mistake")
		})
		k.verify(edDSA(), identity.ErrKeysUnavailable)
		if _, failure := k.keys.Status(); !strings.Contains(identity.Detail(failure), "panicked") {
			t.Errorf("Status() returned %#v, want an error about the panic", failure)
		}
	})
}

// If MaxAge is shorter than the refresh interval, keys are refreshed more often.
func TestKeySet_shortMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &certsEndpoint{respond: serving(edDSA())}
		keys := NewKeySet(localRealm(t),
			KeySetConfig{MaxAge: time.Minute, Transport: roundTrip(endpoint.RoundTrip),
				Log: slog.New(slog.DiscardHandler)})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go keys.Run(ctx)
		for range 600 {
			time.Sleep(time.Second)
			if usable, failure := keys.Status(); !usable || failure != nil {
				t.Fatalf("Status() = %v, %v; want usable keys", usable, failure)
			}
		}
	})
}
