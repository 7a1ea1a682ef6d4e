package keycloak

import (
	"context"
	"crypto"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// DefaultTokenCacheBytes is the default of VerifierConfig.CacheBytes.
const DefaultTokenCacheBytes = 32 << 20

// A tokenCache holds tokens that have passed every check, so that a client who sends a token again
// doesn't cost another signature check. It is keyed by the whole token, not by a digest. Only
// accepted tokens enter, and those that are used often stay, so an attacker without tokens can't
// evict any, and one with many tokens only those that are rarely used. It is safe for concurrent
// use.
type tokenCache struct {
	tokens  *otter.Cache[string, *verifiedToken]
	pending singleflight.Group // signature checks of tokens that aren't in the cache yet
}

// A verifiedToken is a token that passed every check. What may change since then isn't remembered:
// each use checks the time again, and that the issuer still has the same key.
type verifiedToken struct {
	keys               Keys
	key                Key
	notBefore, expires time.Time // with leeway
	user               *identity.User
}

// newTokenCache returns an empty cache that takes at most bytes of memory, or nil if bytes isn't
// positive.
func newTokenCache(bytes int) *tokenCache {
	if bytes <= 0 {
		return nil
	}
	return &tokenCache{tokens: otter.Must(&otter.Options[string, *verifiedToken]{
		MaximumWeight: uint64(bytes),
		Weigher:       tokenWeight,
		Executor:      func(evict func()) { evict() }, // in put, not in a goroutine
	})}
}

// tokenWeight estimates the memory of an entry: the token, its payload, the claims that were copied
// out of it, and the overhead of the entry.
func tokenWeight(token string, _ *verifiedToken) uint32 { return uint32(3*len(token) + 1024) }

// get returns the user of a token if it is in the cache and still valid. ok is false if the token
// has to be verified from the start. A cached token whose key can't be had at the moment fails with
// the same error as any other.
func (c *tokenCache) get(ctx context.Context, token string, now time.Time) (
	user *identity.User, ok bool, err error) {
	if c == nil {
		return nil, false, nil
	}
	cached, ok := c.tokens.GetIfPresent(token)
	if !ok {
		return nil, false, nil
	}
	if now.Before(cached.notBefore) || !now.Before(cached.expires) {
		c.tokens.Invalidate(token)
		return nil, false, nil
	}
	key, err := cached.keys.Key(ctx, cached.key.ID)
	if err != nil {
		return nil, false, keyError(ctx, err)
	}
	if !cached.key.equal(key) {
		c.tokens.Invalidate(token)
		return nil, false, nil
	}
	copied := *cached.user // so that a request can't change another's
	return &copied, true, nil
}

// put stores a verified token. The cache is within its bound when put returns.
func (c *tokenCache) put(token string, verified *verifiedToken) {
	if c == nil {
		return
	}
	copied := *verified.user
	verified.user = &copied
	c.tokens.Set(strings.Clone(token), verified)
	// If another request is evicting, otter defers the eviction for this entry.
	c.tokens.CleanUp()
}

// verifySignature is jose.Verify, but callers with the same token and the same key share one check.
func (c *tokenCache) verifySignature(text string, token *accessToken, key Key) bool {
	check := func() bool {
		return jose.Verify(token.Algorithm, key.Public, token.SigningInput, token.Signature)
	}
	if c == nil {
		return check()
	}
	type verdict struct {
		key   Key
		valid bool
	}
	result, _, _ := c.pending.Do(text, func() (any, error) { return verdict{key, check()}, nil })
	if shared := result.(verdict); shared.key.equal(key) {
		return shared.valid
	}
	return check() // the realm has replaced the key meanwhile
}

// equal reports whether two keys verify the same signatures.
func (k Key) equal(other Key) bool {
	if k.ID != other.ID || k.Algorithm != other.Algorithm {
		return false
	}
	public, ok := k.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(other.Public)
}
