package keycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// BenchmarkVerify measures the cost of a token that isn't cached. x-bare is that cost divided
// by the cost of only the hash and the signature check. The two are measured alternately, because
// machines are noisy. The goal is at most 1.35 for RS256 and 1.2 for ES256.
func BenchmarkVerify(b *testing.B) {
	for _, s := range []signer{rs256(), es256()} {
		b.Run(s.alg, func(b *testing.B) {
			verifier := newVerifier(b, newKeys(b, certsOf(s)), VerifierConfig{CacheBytes: -1})
			token := s.token(alice(b))
			bare := bareCheck(b, s, token)
			alternate(b, "x-bare", func() {
				if _, err := verifier.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}, func() {
				if !bare() {
					b.Fatal("the signature is wrong")
				}
			})
		})
	}
}

// BenchmarkVerify_cached measures the cost of a cached token, with several goroutines.
func BenchmarkVerify_cached(b *testing.B) {
	verifier := newVerifier(b, newKeys(b, certsOf(rs256())), VerifierConfig{})
	token := rs256().token(alice(b))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := verifier.Verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Allocations don't depend on the machine, so a change that adds many of them fails here.
func TestVerify_allocations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signer signer
		change object
		max    float64
	}{
		{"RS256", rs256(), object{}, 90},
		{"ES256", es256(), object{}, 105},
		{"expired", rs256(), object{"exp": 0}, 30},
	} {
		verifier := newVerifier(t, newKeys(t, certsOf(tt.signer)), VerifierConfig{CacheBytes: -1})
		token := tt.signer.token(patch(t, alice(t), tt.change))
		n := testing.AllocsPerRun(100, func() {
			verifier.Verify(t.Context(), token)
		})
		if n > tt.max {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.max)
		}
	}
}

// alternate runs two functions alternately in small batches. It reports the time and allocations of
// the first, and, as unit, its time divided by that of the second.
func alternate(b *testing.B, unit string, first, second func()) {
	const batch = 50
	var firstTook, secondTook time.Duration
	batches := 0
	for b.Loop() {
		start := time.Now()
		for range batch {
			first()
		}
		middle := time.Now()
		for range batch {
			second()
		}
		firstTook, secondTook = firstTook+middle.Sub(start), secondTook+time.Since(middle)
		batches++
	}
	b.ReportMetric(float64(firstTook)/float64(batches*batch), "ns/op")
	b.ReportMetric(float64(firstTook)/float64(secondTook), unit)
	b.ReportMetric(testing.AllocsPerRun(batch, first), "allocs")
}

// bareCheck returns a function that only hashes a token and checks a signature of it, with the
// standard library.
func bareCheck(tb testing.TB, s signer, token string) func() bool {
	signed := []byte(token[:strings.LastIndexByte(token, '.')])
	digest := sha256.Sum256(signed)
	switch key := s.key.(type) {
	case *rsa.PrivateKey:
		signature := must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]))
		return func() bool {
			digest := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) == nil
		}
	case *ecdsa.PrivateKey:
		signature := must(key.Sign(nil, digest[:], crypto.SHA256))
		return func() bool {
			digest := sha256.Sum256(signed)
			return ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature)
		}
	}
	tb.Fatalf("no check for a %T", s.key)
	return nil
}

// BenchmarkRefuse measures the cost of rejecting a bad token, since anyone can send one. x-accepted
// is that cost divided by the cost of accepting a token of the same size. The goal is less than a
// third.
func BenchmarkRefuse(b *testing.B) {
	key := rs256()
	verifier := newVerifier(b, newKeys(b, certsOf(key)), VerifierConfig{CacheBytes: -1})
	header, payload, signature := splitToken(key.token(alice(b)))
	for _, bench := range []struct {
		name, token string
		accepted    string // a token to compare with; alice's if empty
		want        error
	}{
		{"form", header + "." + payload + "." + signature + "=", "", identity.ErrTokenMalformed},
		{"algorithm", key.sign(patch(b, key.header(), object{"alg": "none"}), alice(b)), "", identity.ErrTokenSignature},
		{"issuer", key.token(patch(b, alice(b), object{"iss": "https://evil.example"})), "", identity.ErrTokenNotAccepted},
		{"audience", key.token(patch(b, alice(b), object{"aud": strings.Split(strings.Repeat("billing ", 40), " ")})), "", identity.ErrTokenNotAccepted},
		{"expired", key.token(patch(b, alice(b), object{"exp": 0})), "", identity.ErrTokenExpired},
		{"key", signer{"unknown", "RS256", rsaKey()}.token(alice(b)), "", identity.ErrKeyUnknown},
		{"large", key.token(withLongClaim(b, "exp", 0)), key.token(withLongClaim(b, "x", 0)), identity.ErrTokenExpired},
		{"many-members", key.token(withManyClaims(b, "exp", 0)), key.token(withManyClaims(b, "x", 0)), identity.ErrTokenExpired},
		{"objects", key.token(withObjects(b, "exp", 0)), key.token(withObjects(b, "x", 0)), identity.ErrTokenExpired},
		{"numbers", key.token(withNumbers(b, "exp", 0)), key.token(withNumbers(b, "y", 0)), identity.ErrTokenExpired},
		{"escapes", key.token(withEscapes(b, "exp", 0)), key.token(withEscapes(b, "x", 0)), identity.ErrTokenExpired},
	} {
		accepted := bench.accepted
		if accepted == "" {
			accepted = key.token(alice(b))
		}
		b.Run(bench.name, func(b *testing.B) {
			alternate(b, "x-accepted", func() {
				if _, err := verifier.Verify(b.Context(), bench.token); !errors.Is(err,
					bench.want) {
					b.Fatal(err)
				}
			}, func() {
				if _, err := verifier.Verify(b.Context(), accepted); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// These functions return alice's claims with one claim changed, and with others added that are
// expensive to parse, up to the limit of 16 KiB.

func withLongClaim(tb testing.TB, name string, value any) string {
	return patch(tb, alice(tb), object{name: value, "padding": strings.Repeat("x", 10_000)})
}

func withManyClaims(tb testing.TB, name string, value any) string {
	claims := object{name: value}
	for i := range 1000 {
		claims[strconv.Itoa(i)] = 1
	}
	return patch(tb, alice(tb), claims)
}

// withObjects adds objects with just enough members that the parser makes a hash table of their
// names.
func withObjects(tb testing.TB, name string, value any) string {
	var objects []any
	for range 50 {
		members := object{}
		for i := range 33 {
			members[strconv.Itoa(i)] = 1
		}
		objects = append(objects, members)
	}
	return patch(tb, alice(tb), object{name: value, "objects": objects})
}

// withNumbers adds numbers halfway between two float64s, which take longest to convert.
func withNumbers(tb testing.TB, name string, value any) string {
	number := json.Number("1.2345678901234567890123456789012345678901234567890123571e+300")
	return patch(tb, alice(tb), object{name: value, "x": slices.Repeat([]any{number}, 150)})
}

func withEscapes(tb testing.TB, name string, value any) string {
	text := patch(tb, alice(tb), object{name: value})
	for i := range 600 {
		text = strings.TrimSuffix(text, "}") + fmt.Sprintf(`,"\u%04x":1}`, 0x4000+i)
	}
	return text
}
