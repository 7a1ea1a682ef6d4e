package keycloak

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/cloakql/cloakql/identity"
)

// countingKeys implements Keys and counts the lookups. A test can change its keys and its error.
type countingKeys struct {
	mu      sync.Mutex // guards the fields below
	keys    map[string]Key
	err     error
	lookups int
}

func (c *countingKeys) Key(_ context.Context, id string) (Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups++
	key, ok := c.keys[id]
	if c.err == nil && !ok {
		return Key{}, &identity.Error{Reason: identity.ErrKeyUnknown}
	}
	return key, c.err
}

// setKeys replaces all keys.
func (c *countingKeys) setKeys(keys ...Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = map[string]Key{}
	for _, key := range keys {
		c.keys[key.ID] = key
	}
}

// otherP256Key returns a key that isn't one of the local realm's keys.
var otherP256Key = sync.OnceValue(func() crypto.Signer {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
})

// newCachingVerifier returns a verifier with these keys, and a clock for it. The clock holds the
// nanoseconds since noon.
func newCachingVerifier(t testing.TB, keys Keys, cacheBytes int) (*Verifier, *atomic.Int64) {
	t.Helper()
	clock := &atomic.Int64{}
	return newVerifier(t, nil, VerifierConfig{
		Issuers:    []Issuer{{Names: []string{localIssuer}, Keys: keys}},
		CacheBytes: cacheBytes,
		Now:        func() time.Time { return noon.Add(time.Duration(clock.Load())) },
	}), clock
}

// checkCached checks whether a token is in the cache.
func checkCached(t *testing.T, v *Verifier, token string, want bool) {
	t.Helper()
	if _, got := v.cache.tokens.GetIfPresent(token); got != want {
		t.Errorf("token in the cache: %v, want %v", got, want)
	}
}

// A token is in the cache after its first use. Its second use returns the same user.
func TestTokenCache_secondUse(t *testing.T) {
	keys := &countingKeys{}
	keys.setKeys(keyOf(es256()))
	verifier, _ := newCachingVerifier(t, keys, 0)
	token := es256().token(aliceClaims(t))
	first := must(verifier.Verify(t.Context(), token))
	checkCached(t, verifier, token, true)
	second := must(verifier.Verify(t.Context(), token))
	if toJSON(first) != toJSON(second) {
		t.Errorf("the second user is %s, want %s", toJSON(second), toJSON(first))
	}
	if keys.lookups != 2 {
		t.Errorf("the key was looked up %d times, want 2: once for each use of the token",
			keys.lookups)
	}
}

// Each request gets its own copy of a cached user: setting a field or appending to a list has no
// effect on other requests with the same token.
func TestTokenCache_copiesUser(t *testing.T) {
	keys := &countingKeys{}
	keys.setKeys(keyOf(es256()))
	verifier, _ := newCachingVerifier(t, keys, 0)
	token := es256().token(patch(t, aliceClaims(t), object{
		"realm_access":    object{"roles": []string{"a", "b", "c"}},
		"resource_access": object{"shop": object{"roles": []string{"a", "b", "c"}}},
		"groups":          []string{"/a", "/b", "/c"}, "scope": "a b c",
		"organization": object{"a": object{"groups": []string{"/a", "/b", "/c"}}, "b": object{},
			"c": object{}},
	}))
	want := toJSON(must(verifier.Verify(t.Context(), token)))
	var users []*identity.User
	var nestedLists [][]string
	for n := range 3 {
		user := must(verifier.Verify(t.Context(), token))
		if got := toJSON(user); got != want {
			t.Errorf("user %d is %s, want %s", n, got, want)
		}
		users = append(users, user)
		user.ID, user.Token.ExpiresAt = "changed", time.Time{}
		user.RealmRoles = append(user.RealmRoles, fmt.Sprint("admin", n))
		user.Groups = append(user.Groups, fmt.Sprint("/admin", n))
		nestedLists = append(nestedLists,
			append(user.ClientRoles[0].Roles, fmt.Sprint("admin", n)),
			append(user.Organizations[0].Groups, fmt.Sprint("admin", n)))
		user.Organizations = append(user.Organizations,
			identity.Organization{Alias: fmt.Sprint("admin", n)})
		user.Token.Scope = append(user.Token.Scope, fmt.Sprint("admin", n))
	}
	for n, user := range users {
		if !user.HasRealmRole(fmt.Sprint("admin", n)) || user.HasRealmRole("admin0") != (n == 0) ||
			!user.HasScope(fmt.Sprint("admin", n)) || !user.InGroup(fmt.Sprint("/admin", n)) ||
			!user.InOrganization(fmt.Sprint("admin", n)) {
			t.Errorf("user %d has the roles %q, the groups %q, the organizations %+v and the "+
				"scope %q; want its own additions only", n, user.RealmRoles, user.Groups,
				user.Organizations, user.Token.Scope)
		}
	}
	for i, list := range nestedLists {
		if want := fmt.Sprint("admin", i/2); list[len(list)-1] != want {
			t.Errorf("a list of user %d is %q, want %q at its end", i/2, list, want)
		}
	}
}

// Keys may return a key whose ID differs from the token's kid. The verifier looks up the key by the
// kid for a cached token too.
func TestTokenCache_keyID(t *testing.T) {
	for _, id := range []string{"", "alias"} {
		keyExists := true
		verifier, _ := newCachingVerifier(t, keysFunc(func(_ context.Context, kid string) (
			Key, error) {
			if !keyExists || kid != es256().kid {
				return Key{}, &identity.Error{Reason: identity.ErrKeyUnknown}
			}
			key := keyOf(es256())
			key.ID = id
			return key, nil
		}), 0)
		token := es256().token(aliceClaims(t))
		for range 2 {
			if _, err := verifier.Verify(t.Context(), token); err != nil {
				t.Errorf("with the key ID %q, Verify() = %v, want nil", id, err)
			}
		}
		keyExists = false
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, identity.ErrKeyUnknown) {
			t.Errorf("with the key ID %q, after the key was removed: Verify() = %v, want %v", id,
				err, identity.ErrKeyUnknown)
		}
	}
}

// tokenWeight counts the items of all lists of a token.
func TestTokenWeight(t *testing.T) {
	list := make([]string, 100)
	emptyWeight := tokenWeight("token", &verifiedToken{})
	for name, token := range map[string]*verifiedToken{
		"RealmRoles":  {user: identity.User{RealmRoles: list}},
		"ClientRoles": {user: identity.User{ClientRoles: []identity.ClientRoles{{Roles: list}}}},
		"Groups":      {user: identity.User{Groups: list}},
		"Organizations": {user: identity.User{
			Organizations: make([]identity.Organization, 100)}},
		"Organization.Groups": {user: identity.User{
			Organizations: []identity.Organization{{Groups: list}}}},
		"Scope": {tokenInfo: identity.TokenInfo{Scope: list}},
	} {
		want := uint32(100 * unsafe.Sizeof(""))
		if name == "Organizations" {
			want = uint32(100 * unsafe.Sizeof(identity.Organization{}))
		}
		if got := tokenWeight("token", token) - emptyWeight; got < want {
			t.Errorf("100 items in %s add %d bytes, want at least %d", name, got, want)
		}
	}
}

// Verifying a cached token makes few allocations, because the token isn't parsed and its signature
// isn't checked.
func TestTokenCache_allocations(t *testing.T) {
	verifier := newVerifier(t, newKeys(t, jwksOf(rs256())), VerifierConfig{})
	token := rs256().token(aliceClaims(t))
	n := testing.AllocsPerRun(100, func() {
		if _, err := verifier.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	})
	if n > 4 {
		t.Errorf("Verify() of a cached token made %v allocations, want at most 4", n)
	}
}

// A cached token is rejected as soon as its key changes or the time is outside its validity. It is
// accepted again once the change is undone.
func TestTokenCache_rechecks(t *testing.T) {
	otherKey := signingKey{es256().kid, "ES256", otherP256Key()}
	for _, tt := range []struct {
		name   string
		change func(keys *countingKeys, clock *atomic.Int64)
		want   error
	}{
		{"the key is removed", func(k *countingKeys, _ *atomic.Int64) { k.setKeys() },
			identity.ErrKeyUnknown},
		{"the key is replaced",
			func(k *countingKeys,
				_ *atomic.Int64) {
				k.setKeys(keyOf(otherKey))
			}, identity.ErrTokenSignature},
		{"the key's algorithm is changed", func(k *countingKeys, _ *atomic.Int64) {
			key := keyOf(es256())
			key.Algorithm = "ES384"
			k.setKeys(key)
		}, identity.ErrTokenSignature},
		{"keys can't be fetched",
			func(k *countingKeys,
				_ *atomic.Int64) {
				k.err = errors.New("down")
			}, identity.ErrKeysUnavailable},
		{"exp has passed", func(_ *countingKeys,
			clock *atomic.Int64) {
			clock.Store(int64(time.Hour))
		}, identity.ErrTokenExpired},
		{"the clock is set back",
			func(_ *countingKeys,
				clock *atomic.Int64) {
				clock.Store(int64(-time.Hour))
			}, identity.ErrTokenNotYetValid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := &countingKeys{}
			keys.setKeys(keyOf(es256()))
			verifier, clock := newCachingVerifier(t, keys, 0)
			token := es256().token(aliceClaims(t))
			must(verifier.Verify(t.Context(), token))
			tt.change(keys, clock)
			if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, tt.want) {
				t.Errorf("Verify() = %v, want %v", err, tt.want)
			}
			// Undo the change.
			keys.setKeys(keyOf(es256()))
			keys.err = nil
			clock.Store(0)
			if _, err := verifier.Verify(t.Context(), token); err != nil {
				t.Errorf("Verify() = %v after the change was undone, want nil", err)
			}
		})
	}
}

// The leeway is the same for a cached token and a new one, to the second.
func TestTokenCache_leeway(t *testing.T) {
	keys := &countingKeys{}
	keys.setKeys(keyOf(es256()))
	withCache, clockWithCache := newCachingVerifier(t, keys, 0)
	withoutCache, clockWithoutCache := newCachingVerifier(t, keys, -1)
	token := es256().token(aliceClaims(t))
	must(withCache.Verify(t.Context(), token))
	for seconds := -2 * 3600; seconds < 2*3600; seconds++ {
		clockWithCache.Store(int64(time.Duration(seconds) * time.Second))
		clockWithoutCache.Store(clockWithCache.Load())
		_, got := withCache.Verify(t.Context(), token)
		_, want := withoutCache.Verify(t.Context(), token)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d s from noon: Verify() = %v with the cache, %v without", seconds, got, want)
		}
		if got != nil { // put the token back into the cache
			clockWithCache.Store(0)
			must(withCache.Verify(t.Context(), token))
		}
	}
}

// A rejected token isn't cached, even if it differs from a cached token in only one character.
func TestTokenCache_rejectedToken(t *testing.T) {
	keys := &countingKeys{}
	keys.setKeys(keyOf(es256()))
	verifier, _ := newCachingVerifier(t, keys, 0)
	validToken := es256().token(aliceClaims(t))
	must(verifier.Verify(t.Context(), validToken))
	for i := range len(validToken) {
		changed := []byte(validToken)
		if changed[i] = 'A'; changed[i] == validToken[i] {
			changed[i] = 'B'
		}
		if _, err := verifier.Verify(t.Context(), string(changed)); err == nil {
			t.Fatalf("Verify() accepted a token with character %d changed, want an error", i)
		}
		checkCached(t, verifier, string(changed), false)
	}
	checkCached(t, verifier, validToken, true)
}

// The cache stays within its limit in bytes. The growth of the heap shows that tokenWeight's
// estimate is about right.
func TestTokenCache_memoryLimit(t *testing.T) {
	var aliases, groups []string
	organizations := object{}
	for n := range 200 {
		aliases = append(aliases, fmt.Sprint(n))
		organizations[aliases[n]] = object{"id": "1"}
		groups = append(groups, "/"+aliases[n])
	}
	for name, claims := range map[string]object{
		"usual claims":              {},
		"list of organizations":     {"organization": aliases},
		"map of organizations":      {"organization": organizations},
		"groups of an organization": {"organization": object{"a": object{"groups": groups}}},
	} {
		t.Run(name, func(t *testing.T) { checkMemoryLimit(t, patch(t, aliceClaims(t), claims)) })
	}
}

// checkMemoryLimit fills a cache with tokens of this payload, each with its own jti.
func checkMemoryLimit(t *testing.T, payload string) {
	const cacheBytes = 1 << 20
	keys := &countingKeys{}
	keys.setKeys(keyOf(edDSA()))
	verifier, _ := newCachingVerifier(t, keys, cacheBytes)
	token := func(n int) string {
		return edDSA().token(patch(t, payload, object{"jti": fmt.Sprint(n)}))
	}
	hotToken := token(-1)
	heapBytes := func() int64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	must(verifier.Verify(t.Context(), hotToken))
	heapBefore := heapBytes()
	for n := range 2000 {
		must(verifier.Verify(t.Context(), token(n)))
		must(verifier.Verify(t.Context(), hotToken))
		if size := verifier.cache.tokens.WeightedSize(); size > cacheBytes {
			t.Fatalf("after %d tokens the cache has %d bytes, want at most %d", n+1, size,
				cacheBytes)
		}
	}
	if growth := heapBytes() - heapBefore; growth > 2*cacheBytes {
		t.Errorf("the heap grew by %d bytes for a cache of %d, want at most %d", growth,
			cacheBytes, 2*cacheBytes)
	}
	checkCached(t, verifier, hotToken, true) // tokens that are used only once don't evict it
	runtime.KeepAlive(verifier)
}

// Concurrent callers with the same new token share one signature check. A caller whose key differs
// from the first caller's gets its own check.
func TestTokenCache_sharedCheck(t *testing.T) {
	cache := newTokenCache(1<<20, false)
	text := es256().token(aliceClaims(t))
	token := must(parseToken(text, Algorithms()))
	realmKey, otherKey := keyOf(es256()), Key{es256().kid, "ES256", otherP256Key().Public()}
	var callers sync.WaitGroup
	for n := range 200 {
		callers.Go(func() {
			key := realmKey
			if n%2 == 1 {
				key = otherKey
			}
			if got := cache.verifyOnce(text, token.JWS, key); got != (n%2 == 0) {
				t.Errorf("verifyOnce() = %v for caller %d, want %v", got, n, n%2 == 0)
			}
		})
	}
	callers.Wait()
}

// Under load, a token is accepted exactly while the key set has its key.
func TestTokenCache_keyRotation(t *testing.T) {
	keys := &countingKeys{}
	verifier, _ := newCachingVerifier(t, keys, 0)
	signingKeys := []signingKey{{"a", "ES256", p256Key()}, {"b", "ES256", otherP256Key()}}
	tokens := []string{signingKeys[0].token(aliceClaims(t)), signingKeys[1].token(aliceClaims(t))}
	// version is 2n while keys has signing key n%2, and 2n+1 while keys is being changed.
	var version atomic.Int64
	keys.setKeys(keyOf(signingKeys[0]))
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				versionBefore := version.Load()
				_, err := verifier.Verify(t.Context(), tokens[n%2])
				if versionBefore%2 == 1 || version.Load() != versionBefore {
					continue
				}
				wantAccepted := versionBefore/2%2 == int64(n%2)
				if (err == nil) != wantAccepted {
					t.Errorf("with signing key %d: Verify() of a token of key %d = %v; "+
						"want it accepted: %v", versionBefore/2%2, n%2, err, wantAccepted)
				}
			}
		})
	}
	for n := range 200 {
		version.Add(1)
		keys.setKeys(keyOf(signingKeys[(n+1)%2]))
		version.Add(1)
		time.Sleep(time.Millisecond)
	}
	stop()
	callers.Wait()
}
