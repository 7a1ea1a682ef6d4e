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

// BenchmarkVerify is what a request costs before anything is resolved for it. x-bare is how many
// times that of the bare hash and signature check, which nobody can do without; the two are
// measured in turns, since machines are noisy. The aim: at most 1.35 for RS256, and 1.2 for ES256.
func BenchmarkVerify(b *testing.B) {
	for _, s := range []signer{rs256(), es256()} {
		b.Run(s.alg, func(b *testing.B) {
			verifier := newVerifier(b, newKeys(b, certsOf(s)), VerifierConfig{})
			token := s.token(alice(b))
			bare := bareCheck(b, s, token)
			inTurns(b, "x-bare", func() {
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

// Whatever machines do to times, allocations are counted: a change that doubles them is seen here.
func TestVerifyAllocates(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signer signer
		change object
		most   float64
	}{
		{"RS256", rs256(), object{}, 90},
		{"ES256", es256(), object{}, 105},
		{"refused", rs256(), object{"exp": 0}, 30},
	} {
		verifier := newVerifier(t, newKeys(t, certsOf(tt.signer)), VerifierConfig{})
		token := tt.signer.token(with(t, alice(t), tt.change))
		n := testing.AllocsPerRun(100, func() {
			verifier.Verify(t.Context(), token)
		})
		if n > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.most)
		}
	}
}

// inTurns runs two things in turns, a few dozen of one and a few dozen of the other, and reports
// what the first takes and how many times that of the second. Allocations are the first one's.
func inTurns(b *testing.B, unit string, first, second func()) {
	const turn = 50
	var firstTook, secondTook time.Duration
	turns := 0
	for b.Loop() {
		begin := time.Now()
		for range turn {
			first()
		}
		between := time.Now()
		for range turn {
			second()
		}
		firstTook, secondTook = firstTook+between.Sub(begin), secondTook+time.Since(between)
		turns++
	}
	b.ReportMetric(float64(firstTook)/float64(turns*turn), "ns/op")
	b.ReportMetric(float64(firstTook)/float64(secondTook), unit)
	b.ReportMetric(testing.AllocsPerRun(turn, first), "allocs")
}

// bareCheck hashes and checks a token's signature with the standard library, and nothing else.
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
	tb.Fatalf("no bare check with a %T", s.key)
	return nil
}

// BenchmarkRefuse is what strangers can have for nothing. x-accepted is its share of what an
// accepted token of the same size costs. The aim: less than a third.
func BenchmarkRefuse(b *testing.B) {
	key := rs256()
	verifier := newVerifier(b, newKeys(b, certsOf(key)), VerifierConfig{})
	header, payload, signature := splitToken(key.token(alice(b)))
	for _, bench := range []struct {
		name, token string
		like        string // an accepted token
		want        error
	}{
		{"form", header + "." + payload + "." + signature + "=", "", identity.ErrTokenMalformed},
		{"algorithm", key.sign(with(b, key.header(), object{"alg": "none"}), alice(b)), "", identity.ErrTokenSignature},
		{"issuer", key.token(with(b, alice(b), object{"iss": "https://evil.example"})), "", identity.ErrTokenNotAccepted},
		{"audience", key.token(with(b, alice(b), object{"aud": strings.Split(strings.Repeat("billing ", 40), " ")})), "", identity.ErrTokenNotAccepted},
		{"expired", key.token(with(b, alice(b), object{"exp": 0})), "", identity.ErrTokenExpired},
		{"key", signer{"unknown", "RS256", rsaKey()}.token(alice(b)), "", identity.ErrKeyUnknown},
		{"large", key.token(padded(b, "exp", 0)), key.token(padded(b, "x", 0)), identity.ErrTokenExpired},
		{"many-members", key.token(crowded(b, 1000, "exp", 0)), key.token(crowded(b, 1000, "x", 0)), identity.ErrTokenExpired},
		{"objects", key.token(ofObjects(b, "exp", 0)), key.token(ofObjects(b, "x", 0)), identity.ErrTokenExpired},
		{"numbers", key.token(ofNumbers(b, "exp", 0)), key.token(ofNumbers(b, "y", 0)), identity.ErrTokenExpired},
		{"escapes", key.token(escaped(b, "exp", 0)), key.token(escaped(b, "x", 0)), identity.ErrTokenExpired},
	} {
		like := bench.like
		if like == "" {
			like = key.token(alice(b))
		}
		b.Run(bench.name, func(b *testing.B) {
			inTurns(b, "x-accepted", func() {
				if _, err := verifier.Verify(b.Context(), bench.token); !errors.Is(err,
					bench.want) {
					b.Fatal(err)
				}
			}, func() {
				if _, err := verifier.Verify(b.Context(), like); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// What strangers can send that is dear to read, up to 16 KiB: alice's claims with one changed, and
// more.

func padded(tb testing.TB, name string, value any) string {
	return with(tb, alice(tb), object{name: value, "padding": strings.Repeat("x", 10_000)})
}

func crowded(tb testing.TB, members int, name string, value any) string {
	more := object{name: value}
	for i := range members {
		more[strconv.Itoa(i)] = 1
	}
	return with(tb, alice(tb), more)
}

// ofObjects has objects of so many members that the names are worth a table, and few enough for
// many tables.
func ofObjects(tb testing.TB, name string, value any) string {
	var objects []any
	for range 50 {
		one := object{}
		for i := range 33 {
			one[strconv.Itoa(i)] = 1
		}
		objects = append(objects, one)
	}
	return with(tb, alice(tb), object{name: value, "objects": objects})
}

// ofNumbers has numbers halfway between two float64s, which take longest to convert.
func ofNumbers(tb testing.TB, name string, value any) string {
	number := json.Number("1.2345678901234567890123456789012345678901234567890123571e+300")
	return with(tb, alice(tb), object{name: value, "x": slices.Repeat([]any{number}, 150)})
}

func escaped(tb testing.TB, name string, value any) string {
	text := with(tb, alice(tb), object{name: value})
	for i := range 600 {
		text = strings.TrimSuffix(text, "}") + fmt.Sprintf(`,"\u%04x":1}`, 0x4000+i)
	}
	return text
}
