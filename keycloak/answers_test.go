package keycloak

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// newAnswersVerifier returns a verifier that keeps answers, the keys that it uses, and its clock.
// It has the keys of es256 and edDSA. The clock holds the nanoseconds since noon.
func newAnswersVerifier(t testing.TB, cacheBytes int) (*Verifier, *countingKeys, *atomic.Int64) {
	t.Helper()
	keys, clock := &countingKeys{}, &atomic.Int64{}
	keys.setKeys(keyOf(es256()), keyOf(edDSA()))
	return newVerifier(t, nil, VerifierConfig{
		Issuers:    []Issuer{{Names: []string{localIssuer}, Keys: keys}},
		CacheBytes: cacheBytes, KeepAnswers: true,
		Now: func() time.Time { return noon.Add(time.Duration(clock.Load())) },
	}), keys, clock
}

// answersOf returns what AnswersFromContext returns for a request with this Authorization header.
func answersOf(t testing.TB, v *Verifier, authorization string) (answers *Answers) {
	t.Helper()
	r := httptest.NewRequest("POST", "/graphql", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	Middleware(v, slog.New(slog.DiscardHandler))(http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) {
			answers = AnswersFromContext(r.Context())
		})).ServeHTTP(httptest.NewRecorder(), r)
	return answers
}

// tokenNumber returns a token that differs for each n. Its signature is quick to make.
func tokenNumber(t testing.TB, n int) string {
	t.Helper()
	return edDSA().token(patch(t, aliceClaims(t), object{"jti": fmt.Sprint(n)}))
}

// cacheWeight returns the weight that the cache counts for a token, or 0 if the token isn't in the
// cache.
func cacheWeight(v *Verifier, token string) int {
	entry, _ := v.cache.tokens.GetEntryQuietly(token)
	return int(entry.Weight)
}

// All requests with a token share its answers, and no other token has them.
func TestAnswers_perToken(t *testing.T) {
	v, _, _ := newAnswersVerifier(t, 0)
	first, second := tokenNumber(t, 1), tokenNumber(t, 2)
	answersOf(t, v, "Bearer "+first).Put([]byte("request"), "answer", 6)
	for range 2 {
		if got := answersOf(t, v, "Bearer "+first).Get([]byte("request")); got != "answer" {
			t.Errorf("Get() = %v, want the answer that was put with the same token", got)
		}
		if got := answersOf(t, v, "Bearer "+second).Get([]byte("request")); got != nil {
			t.Errorf("Get() with another token = %v, want nil", got)
		}
	}
	if got := answersOf(t, v, "Bearer "+first).Get([]byte("another")); got != nil {
		t.Errorf("Get() of another request = %v, want nil", got)
	}
}

// AnswersFromContext returns nil if a request has no valid token, the verifier has no cache, or
// KeepAnswers isn't set.
func TestAnswersFromContext_nil(t *testing.T) {
	token := tokenNumber(t, 1)
	v, _, _ := newAnswersVerifier(t, 0)
	withoutCache, _, _ := newAnswersVerifier(t, -1)
	withoutAnswers, _ := newCachingVerifier(t, must(StaticKeys(keyOf(edDSA()))), 0)
	expired := edDSA().token(patch(t, aliceClaims(t), object{"exp": 0}))
	for _, tt := range []struct {
		name, authorization string
		verifier            *Verifier
		want                bool
	}{
		{"valid", "Bearer " + token, v, true},
		{"no token", "", v, false},
		{"another scheme", "Basic YWxpY2U6YWxpY2U=", v, false},
		{"bad token", "Bearer " + corruptSignature(token), v, false},
		{"expired token", "Bearer " + expired, v, false},
		{"no cache", "Bearer " + token, withoutCache, false},
		{"KeepAnswers off", "Bearer " + token, withoutAnswers, false},
	} {
		for range 2 {
			if got := answersOf(t, tt.verifier, tt.authorization); (got != nil) != tt.want {
				t.Errorf("%s: AnswersFromContext() = %v, want answers: %t", tt.name, got, tt.want)
			}
		}
	}
	if got := AnswersFromContext(context.Background()); got != nil {
		t.Errorf("AnswersFromContext() without Middleware = %v, want nil", got)
	}
}

// The answers of a token take at most 16 KiB. Once they are full, Put adds nothing, and the
// existing answers stay.
func TestAnswers_bound(t *testing.T) {
	v, _, _ := newAnswersVerifier(t, 0)
	token := tokenNumber(t, 1)
	answers := answersOf(t, v, "Bearer "+token)
	answers.Put([]byte("too large"), "answer", maxAnswerBytes)
	answers.Put(bytes.Repeat([]byte("x"), maxAnswerBytes), "answer", 6)
	if answers.weight() != 0 {
		t.Errorf("weight() = %d after answers that are too large, want 0", answers.weight())
	}
	answers.Put([]byte("request"), "first", 100)
	answers.Put([]byte("request"), "second", 100)
	if got := answers.Get([]byte("request")); got != "first" {
		t.Errorf("Get() = %v, want the first answer", got)
	}
	kept := 0
	for n := range 1000 {
		request := fmt.Appendf(nil, "request %d", n)
		answers.Put(request, n, 100)
		if answers.Get(request) == n {
			kept++
		}
	}
	if got := answers.weight(); got > maxAnswerBytes || got < maxAnswerBytes*9/10 {
		t.Errorf("weight() = %d with %d answers, want nearly %d", got, kept, maxAnswerBytes)
	}
	if kept < 40 || kept > 100 || answers.Get([]byte("request")) != "first" {
		t.Errorf("%d answers were kept, and the first is %v; want 40 to 100, and the first too",
			kept,
			answers.Get([]byte("request")))
	}
	request := []byte("x")
	otherAnswers := answersOf(t, v, "Bearer "+tokenNumber(t, 2))
	otherAnswers.Put(request, "answer", 1)
	request[0] = 'y'
	if otherAnswers.Get([]byte("x")) != "answer" || otherAnswers.Get([]byte("y")) != nil {
		t.Error("Put() retains the request's slice, want a copy")
	}
}

// The cache counts a token's answers and stays within its bound: answers are evicted with their
// tokens.
func TestAnswers_countedByCache(t *testing.T) {
	const cacheBytes = 200 << 10
	v, _, _ := newAnswersVerifier(t, cacheBytes)
	token := tokenNumber(t, -1)
	answers := answersOf(t, v, "Bearer "+token)
	before := cacheWeight(v, token)
	answers.Put([]byte("request"), "answer", 5000)
	if growth := cacheWeight(v, token) - before; growth < 5000 || growth > 6000 {
		t.Errorf("the weight grew by %d for an answer of 5000 bytes, want about 5200", growth)
	}
	for n := range 200 {
		other := answersOf(t, v, "Bearer "+tokenNumber(t, n))
		for i := range 10 {
			other.Put(fmt.Append(nil, i), "answer", 1000)
		}
		if size := v.cache.tokens.WeightedSize(); size > cacheBytes {
			t.Fatalf("the cache has %d bytes after %d tokens, want at most %d", size, n+1,
				cacheBytes)
		}
		if n%5 == 0 { // a token in use stays
			answersOf(t, v, "Bearer "+token)
		}
	}
	if size := v.cache.tokens.EstimatedSize(); size > 20 {
		t.Errorf("the cache has %d tokens with their answers, want at most 20", size)
	}
	if got := answersOf(t, v, "Bearer "+token).Get([]byte("request")); got != "answer" {
		t.Errorf("Get() with a token that is used often = %v, want its answer", got)
	}
}

// Answers are dropped with the token's entry in the cache. A request that began before the drop
// can't bring them back.
func TestAnswers_dropped(t *testing.T) {
	otherKey := Key{ID: es256().kid, Algorithm: "ES256", Public: otherP256Key().Public()}
	for name, drop := range map[string]func(keys *countingKeys, clock *atomic.Int64){
		"exp has passed": func(_ *countingKeys,
			clock *atomic.Int64) {
			clock.Store(int64(time.Hour))
		},
		"the key is replaced": func(keys *countingKeys, _ *atomic.Int64) { keys.setKeys(otherKey) },
	} {
		t.Run(name, func(t *testing.T) {
			v, keys, clock := newAnswersVerifier(t, 0)
			token := es256().token(aliceClaims(t))
			old := answersOf(t, v, "Bearer "+token)
			old.Put([]byte("request"), "old", 3)
			drop(keys, clock)
			if got := answersOf(t, v, "Bearer "+token); got != nil {
				t.Errorf("AnswersFromContext() = %v, want nil", got)
			}
			keys.setKeys(keyOf(es256()))
			clock.Store(0)
			renewed := answersOf(t, v, "Bearer "+token)
			weight := cacheWeight(v, token)
			old.Put([]byte("another"), "old", 3)
			for _, request := range []string{"request", "another"} {
				if got := renewed.Get([]byte(request)); got != nil {
					t.Errorf("Get(%s) = %v once the token is valid again, want nil", request, got)
				}
			}
			if cacheWeight(v, token) != weight || answersOf(t, v, "Bearer "+token) != renewed {
				t.Error("Put() of dropped answers changed the token's new entry")
			}
		})
	}
	t.Run("the key is removed", func(t *testing.T) {
		v, keys, _ := newAnswersVerifier(t, 0)
		token := es256().token(aliceClaims(t))
		answersOf(t, v, "Bearer "+token).Put([]byte("request"), "old", 3)
		keys.setKeys()
		if got := answersOf(t, v, "Bearer "+token); got != nil {
			t.Errorf("AnswersFromContext() = %v, want nil", got)
		}
	})
	t.Run("evicted", func(t *testing.T) {
		v, _, _ := newAnswersVerifier(t, 0)
		token := tokenNumber(t, 1)
		old := answersOf(t, v, "Bearer "+token)
		v.cache.tokens.Invalidate(token)
		old.Put([]byte("request"), "old", 3)
		checkCached(t, v, token, false)
	})
}

// Concurrent requests share a token's answers. Run it with -race.
func TestAnswers_concurrent(t *testing.T) {
	v, _, _ := newAnswersVerifier(t, 64<<10)
	tokens := []string{tokenNumber(t, 1), tokenNumber(t, 2), tokenNumber(t, 3)}
	var requests sync.WaitGroup
	for n := range 8 {
		requests.Go(func() {
			for i := range 300 {
				token := tokens[(n+i)%len(tokens)]
				answers, request := answersOf(t, v, "Bearer "+token), fmt.Append(nil, i%50)
				want := token + string(request)
				answers.Put(request, want, len(want))
				if got := answers.Get(request); got != nil && got != want {
					t.Errorf("Get() = %v, want %s", got, want)
				}
			}
		})
	}
	requests.Wait()
	if size := v.cache.tokens.WeightedSize(); size > 64<<10 {
		t.Errorf("the cache has %d bytes, want at most %d", size, 64<<10)
	}
	for _, token := range tokens {
		entry, ok := v.cache.tokens.GetIfPresent(token)
		if ok && cacheWeight(v, token) != int(tokenWeight(token, entry)) {
			t.Errorf("the cache counts %d bytes for a token of %d", cacheWeight(v, token),
				tokenWeight(token, entry))
		}
	}
}

// While requests come in, the realm removes a key, replaces a key under the same kid, and tokens
// expire. A request that begins after such a change never gets the verdict or an answer from before
// it. Run it with -race.
func TestAnswers_dropUnderLoad(t *testing.T) {
	t.Run("keys", func(t *testing.T) {
		const kid = "rotated"
		signingKeys := []signingKey{{kid, "ES256", p256Key()}, {kid, "ES256", otherP256Key()}}
		tokens := []string{signingKeys[0].token(aliceClaims(t)),
			signingKeys[1].token(aliceClaims(t))}
		synctest.Test(t, func(t *testing.T) {
			// version is 2n while the realm has the keys of keySets[n%3], and 2n-1 while they are
			// being set.
			var version atomic.Int64
			keySets := [][]Key{{keyOf(signingKeys[0])}, {}, {keyOf(signingKeys[1])}}
			accepts := func(version int64, key int) bool {
				return version/2%3 == 0 && key == 0 || version/2%3 == 2 && key == 1
			}
			keys := &countingKeys{}
			keys.setKeys(keySets[0]...)
			v := newVerifier(t, nil, VerifierConfig{
				Issuers:     []Issuer{{Names: []string{localIssuer}, Keys: keys}},
				KeepAnswers: true,
			})
			// An answer is the version at which the handler ran.
			handler := Middleware(v, slog.New(slog.DiscardHandler))(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if _, err := identity.Require(r.Context()); err != nil {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					answers := AnswersFromContext(r.Context())
					if answer := answers.Get([]byte("request")); answer != nil {
						fmt.Fprint(w, answer)
						return
					}
					answer := version.Load()
					time.Sleep(time.Millisecond) // the keys may change now
					answers.Put([]byte("request"), answer, 8)
					fmt.Fprint(w, answer)
				}))
			var clients sync.WaitGroup
			done := make(chan struct{})
			var accepted, rejected atomic.Int64
			for n := range 6 {
				clients.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						before := version.Load()
						r := httptest.NewRequest("POST", "/graphql", nil)
						r.Header.Set("Authorization", "Bearer "+tokens[n%2])
						recorder := httptest.NewRecorder()
						handler.ServeHTTP(recorder, r)
						after := version.Load()
						var answer int64 = -1
						fmt.Sscan(recorder.Body.String(), &answer)
						ok := recorder.Code == http.StatusOK
						isStable := before == after && before%2 == 0
						switch {
						// The keys of an even version are set shortly before it begins.
						case ok && (answer < before-1 || answer > after):
							t.Errorf("a request during the versions %d to %d got an answer of %d",
								before, after, answer)
						case isStable && ok != accepts(before, n%2):
							t.Errorf("at version %d, a token of key %d was accepted: %t, want %t",
								before, n%2, ok, !ok)
						case ok:
							accepted.Add(1)
						default:
							rejected.Add(1)
						}
						time.Sleep(time.Duration(n+1) * 100 * time.Microsecond)
					}
				})
			}
			for n := range 300 {
				time.Sleep(5 * time.Millisecond)
				version.Add(1)
				keys.setKeys(keySets[(n+1)%3]...)
				version.Add(1)
			}
			close(done)
			clients.Wait()
			if accepted.Load() < 300 || rejected.Load() < 300 {
				t.Errorf("%d requests were accepted and %d rejected, want at least 300 of each",
					accepted.Load(), rejected.Load())
			}
		})
	})
	t.Run("time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const lifetime, leeway = time.Minute, 5 * time.Second
			v := newVerifier(t, nil, VerifierConfig{
				Issuers: []Issuer{{Names: []string{localIssuer},
					Keys: must(StaticKeys(keyOf(edDSA())))}},
				KeepAnswers: true, Leeway: leeway, Now: time.Now,
			})
			handler := Middleware(v, slog.New(slog.DiscardHandler))(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					if _, err := identity.Require(r.Context()); err != nil {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					answers := AnswersFromContext(r.Context())
					if answers.Get([]byte("request")) == nil {
						answers.Put([]byte("request"), "answer", 6)
					}
				}))
			var clients sync.WaitGroup
			for n := range 8 {
				issuedAt := time.Now().Add(time.Duration(n) * 7 * time.Second)
				token := edDSA().token(patch(t, aliceClaims(t), object{"jti": fmt.Sprint(n),
					"iat": issuedAt.Unix(), "nbf": issuedAt.Unix(),
					"exp": issuedAt.Add(lifetime).Unix()}))
				for range 2 {
					clients.Go(func() {
						end := issuedAt.Add(lifetime + 2*leeway)
						for time.Now().Before(end) {
							r := httptest.NewRequest("POST", "/graphql", nil)
							r.Header.Set("Authorization", "Bearer "+token)
							recorder := httptest.NewRecorder()
							handler.ServeHTTP(recorder, r)
							isValid := !time.Now().Before(issuedAt.Add(-leeway)) &&
								time.Now().Before(issuedAt.Add(lifetime+leeway))
							if (recorder.Code == http.StatusOK) != isValid {
								t.Errorf("%v from iat, the status is %d; want 200: %t",
									time.Since(issuedAt), recorder.Code, isValid)
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
			}
			clients.Wait()
		})
	})
}
