package keycloak

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// DefaultTokenCacheBytes is the default of VerifierConfig.CacheBytes.
const DefaultTokenCacheBytes = 48 << 20

// A tokenCache holds tokens that have passed every check, so that a client who sends a token again
// doesn't cost another signature check. It is keyed by the whole token, not by a digest. Only
// accepted tokens enter, and those that are used often stay: an attacker without valid tokens can't
// evict anything, and an attacker with many valid tokens can evict only rarely used entries.
// Expired tokens stay until they are used again or evicted. It is safe for concurrent use.
type tokenCache struct {
	tokens   *otter.Cache[string, *verifiedToken]
	inFlight singleflight.Group // signature checks of tokens that aren't in the cache yet

	keepAnswers bool // VerifierConfig.KeepAnswers
}

// A verifiedToken is a token that passed every check. Each use checks again its validity period,
// whether the issuer still has the same key, and whether the token was revoked.
type verifiedToken struct {
	issuer               *Issuer
	keyID                string // the token's kid
	key                  Key
	session              TokenSession
	token                identity.Secret // empty unless the issuer has a CheckSession
	notBefore, expiresAt time.Time       // with leeway
	user                 identity.User
	tokenInfo            identity.TokenInfo // user.Token
	answers              *Answers           // nil unless VerifierConfig.KeepAnswers is set
}

// newTokenCache returns an empty cache that uses about maxBytes of memory at most, or nil if
// maxBytes isn't positive.
func newTokenCache(maxBytes int, keepAnswers bool) *tokenCache {
	if maxBytes <= 0 {
		return nil
	}
	return &tokenCache{
		keepAnswers: keepAnswers,
		tokens: otter.Must(&otter.Options[string, *verifiedToken]{
			MaximumWeight: uint64(maxBytes),
			Weigher:       tokenWeight,
			Executor:      func(evict func()) { evict() }, // evict within put, not on a goroutine
		}),
	}
}

// tokenWeight estimates the memory of an entry: the token, its payload, the claims that were copied
// out of it, the items of its lists, its answers, and the overhead of the entry.
func tokenWeight(token string, entry *verifiedToken) uint32 {
	user := &entry.user
	items := len(user.RealmRoles) + len(user.Groups) + len(entry.tokenInfo.Scope)
	for _, client := range user.ClientRoles {
		items += 3 + len(client.Roles)
	}
	for _, organization := range user.Organizations {
		items += 3 + len(organization.Groups)
	}
	return uint32(2*len(token) + 40*items + 1024 + entry.answers.weight())
}

// get returns the entry of a token if it is in the cache and still valid. It returns nil if the
// token has to be verified from the start. If the key can't be looked up, get returns the same
// error as for a token that isn't in the cache.
func (c *tokenCache) get(ctx context.Context, token string, now time.Time) (*verifiedToken, error) {
	if c == nil {
		return nil, nil
	}
	entry, ok := c.tokens.GetIfPresent(token)
	if !ok {
		return nil, nil
	}
	if now.Before(entry.notBefore) || !now.Before(entry.expiresAt) {
		c.tokens.Invalidate(token)
		return nil, nil
	}
	key, err := entry.issuer.Keys.Key(ctx, entry.keyID)
	if err != nil {
		return nil, keyError(ctx, err)
	}
	if !entry.key.equal(key) {
		c.tokens.Invalidate(token)
		return nil, nil
	}
	return entry, nil
}

// drop removes a token and its answers.
func (c *tokenCache) drop(token string) {
	if c != nil {
		c.tokens.Invalidate(token)
	}
}

// put stores a verified token. When put returns, the cache is within its limit.
func (c *tokenCache) put(token string, entry *verifiedToken, user *identity.User) {
	if c == nil {
		return
	}
	entry.user, entry.tokenInfo = *user, *user.Token
	clipLists(&entry.user, &entry.tokenInfo)
	if entry.token.Reveal() == token {
		token = entry.token.Reveal()
	} else {
		token = strings.Clone(token) // a copy, not a part of the request's header
	}
	if c.keepAnswers {
		entry.answers = &Answers{cache: c, token: token}
	}
	c.tokens.Set(token, entry)
	// If another request is evicting, otter defers the eviction for this entry.
	c.tokens.CleanUp()
}

// checkRevoked returns an error if the token was revoked, or if its session can't be checked.
func (v *verifiedToken) checkRevoked(ctx context.Context) error {
	if v.issuer.CheckRevoked != nil {
		if err := v.issuer.CheckRevoked(v.session); err != nil {
			return err
		}
	}
	if v.issuer.CheckSession == nil {
		return nil
	}
	return v.issuer.CheckSession(ctx, v.session, v.token)
}

// copyUser returns a copy of the user for one request. Setting the copy's fields and appending to
// its lists doesn't affect other requests. List items, and what pointers point to, are shared.
func (v *verifiedToken) copyUser() *identity.User {
	user, tokenInfo := v.user, v.tokenInfo
	user.Token = &tokenInfo
	return &user
}

// clipLists removes the lists' spare capacity, so that append copies them.
func clipLists(user *identity.User, tokenInfo *identity.TokenInfo) {
	user.RealmRoles, user.Groups = slices.Clip(user.RealmRoles), slices.Clip(user.Groups)
	user.ClientRoles = slices.Clip(user.ClientRoles)
	for i := range user.ClientRoles {
		user.ClientRoles[i].Roles = slices.Clip(user.ClientRoles[i].Roles)
	}
	user.Organizations = slices.Clip(user.Organizations)
	for i := range user.Organizations {
		user.Organizations[i].Groups = slices.Clip(user.Organizations[i].Groups)
	}
	tokenInfo.Scope, tokenInfo.Claims = slices.Clip(tokenInfo.Scope), slices.Clip(tokenInfo.Claims)
}

// verifyOnce calls jose.Verify. Concurrent callers with the same token and key share one check.
func (c *tokenCache) verifyOnce(rawToken string, token *jose.JWS, key Key) bool {
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
	result, _, _ := c.inFlight.Do(rawToken, func() (any, error) {
		return verdict{key, check()}, nil
	})
	if v := result.(verdict); v.key.equal(key) {
		return v.valid
	}
	return check() // another caller's check used a key that the realm has since replaced
}

// equal reports whether two keys verify the same signatures.
func (k Key) equal(other Key) bool {
	if k.ID != other.ID || k.Algorithm != other.Algorithm {
		return false
	}
	switch publicKey := k.Public.(type) { // comparing the pointers first is much faster
	case *rsa.PublicKey:
		if publicKey == other.Public {
			return true
		}
	case *ecdsa.PublicKey:
		if publicKey == other.Public {
			return true
		}
	}
	publicKey, ok := k.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && publicKey.Equal(other.Public)
}
