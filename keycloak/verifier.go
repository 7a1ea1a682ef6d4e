package keycloak

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// An Issuer is a realm whose tokens are accepted. A token's iss must be one of Names, compared
// exactly, and the token must be signed with one of Keys. A key of one Issuer never verifies a
// token of another.
type Issuer struct {
	Names []string // required, unless Keys is a *KeySet: then it defaults to the realm's issuer
	Keys  Keys     // a *KeySet, or StaticKeys

	// CheckRevoked, if set, is called with the session of each token that has passed all other
	// checks, on each use of the token. If the token was revoked, it returns an identity.Error with
	// the Reason ErrTokenRevoked, and the token is rejected with that error. It must be fast, and
	// safe for concurrent use. Package revocation has a Set with such a method.
	CheckRevoked func(TokenSession) error

	// CheckSession, if set, is called after CheckRevoked, on each use of the token. If it returns
	// an error, the request is rejected with it: an identity.Error with the Reason ErrTokenRevoked,
	// or ErrKeysUnavailable or ErrBusy if it can't decide. It may wait, until ctx is done. It must
	// be safe for concurrent use. SessionChecker has such a method.
	CheckSession func(ctx context.Context, session TokenSession, accessToken identity.Secret) error
}

// A TokenSession identifies the session of an access token.
type TokenSession struct {
	// SessionID is the claim sid. If there is none, as in a service account's token, the token
	// counts as a session of its own, and SessionID is "token:" and a digest of the token.
	SessionID string
	Subject   string    // the claim sub
	IssuedAt  time.Time // the claim iat; zero if there is none
	ExpiresAt time.Time // the claim exp
	// Offline means that the token has the scope offline_access: its refresh token keeps working
	// when the user's session ends.
	Offline bool
}

const maxLeeway = 5 * time.Minute

// A VerifierConfig says which access tokens are valid. Issuers and Audience are required. The zero
// value of every other field is safe. A field that relaxes a check says so.
type VerifierConfig struct {
	Issuers []Issuer

	// Audience holds the names of this API: a token's aud must hold one of them. "account" can't be
	// one of them, since Keycloak puts it into every user's tokens.
	Audience []string

	// AnyAudienceFor, if set, is a client ID, and accepts tokens that were meant for other APIs: a
	// token issued to this client (azp) passes with any aud. Another API that receives such a token
	// can use it to call this one. AnyAudienceFor is for realms without an audience mapper, where
	// Keycloak doesn't put APIs into aud, only the clients in which the user has a role. Leave it
	// empty once the realm has an audience mapper for this API.
	AnyAudienceFor string

	// AuthorizedParties, if any, restricts the clients: a token must also have been issued to one
	// of these (azp). Audience doesn't restrict clients: once a user has one of this API's client
	// roles, Keycloak puts this API into the aud of every client's tokens for that user. The
	// realm's administrators control azp: a mapper can set it.
	AuthorizedParties []string

	// AllowBound accepts tokens that are bound to a client's key (cnf: RFC 8705, RFC 9449).
	// A bound token needs proof that the client holds the key, and a Verifier never sees that
	// proof. Set AllowBound only if a proxy in front of this process checks it.
	AllowBound bool

	// Algorithms restricts the signature algorithms: some of RS256, RS384, RS512, PS256, PS384,
	// PS512, ES256, ES384, ES512 and EdDSA (with Ed25519). All are accepted if it is empty. In any
	// case, a token's algorithm must be the algorithm of its key.
	Algorithms []string

	MaxBytes int // of a token; DefaultTokenMaxBytes if zero
	// CacheBytes bounds the memory for verified tokens: DefaultTokenCacheBytes if zero; negative
	// means no cache. Each use of a cached token checks its times and its key again.
	CacheBytes int
	// KeepAnswers lets handlers keep encoded responses together with a token in the cache: see
	// AnswersFromContext. CacheBytes bounds the memory for both.
	KeepAnswers bool
	// Leeway is the tolerance for exp, nbf and iat if clocks differ: 30 s if zero, at most 5 min.
	Leeway time.Duration
	Now    func() time.Time // time.Now if nil
}

// DefaultTokenMaxBytes is the default of VerifierConfig.MaxBytes.
const DefaultTokenMaxBytes = 16 << 10

// A Verifier verifies Keycloak's access tokens. Make it with NewVerifier. It is safe for concurrent
// use. It caches verified tokens, so that only a token's first use costs a signature check. When a
// fetched key set no longer contains a key, tokens signed with that key are rejected, even if they
// are cached.
type Verifier struct {
	config        VerifierConfig
	issuers       map[string]*Issuer // by each of their names
	quotedIssuers string             // all names, quoted, for error details
	cache         *tokenCache        // nil if there is none
}

// NewVerifier checks config and returns a Verifier. It copies config's lists, and doesn't change
// them.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	config.Audience, config.Algorithms = slices.Clone(config.Audience),
		slices.Clone(config.Algorithms)
	config.AuthorizedParties = slices.Clone(config.AuthorizedParties)
	v := &Verifier{config: config, issuers: map[string]*Issuer{}}
	var names []string
	for _, issuer := range config.Issuers {
		set, isKeySet := issuer.Keys.(*KeySet)
		if issuer.Keys == nil || isKeySet && set.isZero() {
			return nil, errors.New(
				"keycloak: an issuer needs keys, made by NewKeySet or StaticKeys")
		}
		issuerNames := issuer.Names
		if len(issuerNames) == 0 {
			if !isKeySet {
				return nil, errors.New(
					"keycloak: an issuer needs names, unless its keys are a KeySet")
			}
			issuerNames = []string{set.realm.Issuer()}
		}
		for _, name := range issuerNames {
			if _, exists := v.issuers[name]; exists || name == "" {
				return nil, fmt.Errorf("keycloak: issuer %q is empty or a duplicate", name)
			}
			v.issuers[name] = &issuer
			names = append(names, name)
		}
	}
	v.quotedIssuers = quoteList(names)
	switch {
	case len(v.issuers) == 0:
		return nil, errors.New("keycloak: a verifier needs an issuer")
	case len(config.Audience) == 0 || slices.Contains(config.Audience, ""):
		return nil, errors.New("keycloak: a verifier needs an audience")
	case slices.Contains(config.Audience, "account"):
		return nil, errors.New(
			`keycloak: "account" can't be the audience: it is in every user's tokens`)
	case slices.Contains(config.AuthorizedParties, ""):
		return nil, errors.New("keycloak: an authorized party can't be empty")
	case len(config.AuthorizedParties) > 0 && config.AnyAudienceFor != "" &&
		!slices.Contains(config.AuthorizedParties, config.AnyAudienceFor):
		return nil, fmt.Errorf(
			"keycloak: AnyAudienceFor %q isn't one of AuthorizedParties: none of its tokens "+
				"would pass", config.AnyAudienceFor)
	}
	for _, name := range config.Algorithms {
		if !slices.Contains(jose.Algorithms(), name) {
			return nil, fmt.Errorf("keycloak: algorithm %q can't be accepted; expected some of: %s",
				name, strings.Join(jose.Algorithms(), ", "))
		}
	}
	if config.MaxBytes < 0 {
		return nil, fmt.Errorf("keycloak: MaxBytes is %d: expected at least 0",
			config.MaxBytes)
	}
	if config.Leeway < 0 || config.Leeway > maxLeeway {
		return nil, fmt.Errorf("keycloak: Leeway is %v: expected 0 to %v",
			config.Leeway, maxLeeway)
	}
	if len(config.Algorithms) == 0 {
		v.config.Algorithms = jose.Algorithms()
	}
	if v.config.MaxBytes == 0 {
		v.config.MaxBytes = DefaultTokenMaxBytes
	}
	if v.config.Leeway == 0 {
		v.config.Leeway = 30 * time.Second
	}
	if v.config.Now == nil {
		v.config.Now = time.Now
	}
	v.cache = newTokenCache(cmp.Or(v.config.CacheBytes, DefaultTokenCacheBytes),
		v.config.KeepAnswers)
	return v, nil
}

// Verify verifies an access token in the compact form of RFC 7515 and returns its user. It fails
// with an identity.Error whose Reason tells which check failed first, in this order: size, form,
// header, iss, typ, cnf, aud or azp, sub, nbf and iat, exp, key, signature, revocation. The kind of
// a token is checked before its expiry: a client that is told that an ID token has expired would
// refresh it forever.
//
// Claims are checked before the signature, so that an expired or foreign token can't cause a fetch
// of keys. They aren't used for anything else until the signature is verified. If ctx ends while
// keys are being fetched, Verify returns ctx.Err().
func (v *Verifier) Verify(ctx context.Context, accessToken string) (*identity.User, error) {
	user, _, err := v.verify(ctx, accessToken)
	return user, err
}

// verify implements Verify, and also returns the answers that are kept for the token, if any.
func (v *Verifier) verify(ctx context.Context, accessToken string) (
	*identity.User, *Answers, error) {
	if v == nil || v.issuers == nil {
		return nil, nil, &identity.Error{Reason: identity.ErrKeysUnavailable,
			Detail: "the zero Verifier accepts nothing: make it with keycloak.NewVerifier"}
	}
	if len(accessToken) > v.config.MaxBytes {
		return nil, nil, &identity.Error{Reason: identity.ErrTokenTooLarge,
			Detail: fmt.Sprintf("it has %d bytes; accepted: %d (VerifierConfig.MaxBytes)",
				len(accessToken), v.config.MaxBytes)}
	}
	switch entry, err := v.cache.get(ctx, accessToken, v.config.Now()); {
	case err != nil:
		return nil, nil, err
	case entry != nil:
		if err := entry.checkRevoked(ctx); err != nil {
			if errors.Is(err, identity.ErrTokenRevoked) {
				v.cache.drop(accessToken)
			}
			return nil, nil, err
		}
		return entry.copyUser(), entry.answers, nil
	}
	token, err := parseToken(accessToken, v.config.Algorithms)
	if err != nil {
		return nil, nil, err
	}
	issuer, err := v.checkIssuer(token.claims.iss)
	if err != nil {
		return nil, nil, err
	}
	times, err := v.checkClaims(&token.claims)
	if err != nil {
		return nil, nil, err
	}
	key, err := v.verifySignature(ctx, issuer.Keys, accessToken, token.JWS)
	if err != nil {
		return nil, nil, err
	}
	user := newUser(&token.claims, token.Payload, times.expiresAt)
	entry := &verifiedToken{
		issuer: issuer, keyID: token.KeyID, key: key,
		session:   newTokenSession(user, times.issuedAt, accessToken),
		notBefore: times.notBefore.Add(-v.config.Leeway),
		expiresAt: times.expiresAt.Add(v.config.Leeway),
	}
	if issuer.CheckSession != nil {
		entry.token = identity.NewSecret(strings.Clone(accessToken))
	}
	if err := entry.checkRevoked(ctx); err != nil {
		return nil, nil, err
	}
	v.cache.put(accessToken, entry, user)
	return user, entry.answers, nil
}

// newTokenSession returns the session of user's token.
func newTokenSession(user *identity.User, issuedAt time.Time, accessToken string) TokenSession {
	session := TokenSession{Subject: user.ID, IssuedAt: issuedAt, ExpiresAt: user.Token.ExpiresAt,
		Offline: user.HasScope("offline_access")}
	if user.Token.Session != nil {
		session.SessionID = user.Token.Session.ID
	} else {
		sum := sha256.Sum256([]byte(accessToken))
		session.SessionID = "token:" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return session
}

// checkIssuer returns the issuer that a token names in iss.
func (v *Verifier) checkIssuer(iss strictjson.Value) (*Issuer, error) {
	name, _ := iss.String()
	issuer := v.issuers[name]
	if issuer == nil {
		return nil, notAcceptedError("iss is %s; accepted: %s (Issuer.Names)", iss.Quoted(),
			v.quotedIssuers)
	}
	return issuer, nil
}

// tokenTimes are the times of a token, before leeway is applied.
type tokenTimes struct {
	notBefore time.Time // the later of nbf and iat; zero if both are absent
	issuedAt  time.Time // zero if iat is absent
	expiresAt time.Time
}

// checkClaims checks the claims by RFC 9068, section 4, and Keycloak's typ claim.
func (v *Verifier) checkClaims(c *claims) (tokenTimes, error) {
	// ID, refresh and logout tokens have the same issuer, and ID tokens are signed with the same
	// keys. Only typ and aud distinguish access tokens from them.
	if typ, _ := c.typ.String(); !strings.EqualFold(typ, "Bearer") {
		return tokenTimes{}, notAcceptedError(
			"typ is %s; accepted: \"Bearer\", which access tokens have", c.typ.Quoted())
	}
	if c.cnf != nil && !v.config.AllowBound {
		return tokenTimes{}, notAcceptedError(
			"cnf is %s: the token is bound to its client's key, and a bearer token carries no "+
				"proof of that key", c.cnf.Quoted())
	}
	if err := v.checkAudience(c); err != nil {
		return tokenTimes{}, err
	}
	if sub, _ := c.sub.String(); sub == "" {
		return tokenTimes{}, notAcceptedError(
			"sub is %s: the client lacks the client scope basic, or gives lightweight access "+
				"tokens", c.sub.Quoted())
	}
	return v.checkTimes(c.nbf, c.iat, c.exp)
}

// checkTimes checks, with the leeway, that nbf and iat are in the past, if present, and that exp is
// present and in the future.
func (v *Verifier) checkTimes(nbf, iat, exp strictjson.Value) (times tokenTimes, err error) {
	now := v.config.Now()
	for _, claim := range []struct {
		name  string
		value strictjson.Value
	}{{"nbf", nbf}, {"iat", iat}} {
		if claim.value == nil {
			continue
		}
		date, err := parseNumericDate(claim.name, claim.value)
		if err != nil {
			return tokenTimes{}, err
		}
		if date.After(now.Add(v.config.Leeway)) {
			return tokenTimes{}, &identity.Error{Reason: identity.ErrTokenNotYetValid,
				Detail: fmt.Sprintf("%s is %s; now is %s: do the clocks differ?", claim.name,
					formatTime(date), formatTime(now))}
		}
		times.notBefore = latest(times.notBefore, date)
		if claim.name == "iat" {
			times.issuedAt = date
		}
	}
	if exp == nil {
		return tokenTimes{}, malformedError("exp is missing")
	}
	if times.expiresAt, err = parseNumericDate("exp", exp); err != nil {
		return tokenTimes{}, err
	}
	if !now.Before(times.expiresAt.Add(v.config.Leeway)) {
		return tokenTimes{}, &identity.Error{Reason: identity.ErrTokenExpired,
			Detail: fmt.Sprintf("exp is %s; now is %s", formatTime(times.expiresAt),
				formatTime(now))}
	}
	return times, nil
}

// checkAudience checks which APIs the token is for (aud), and which client got it (azp).
func (v *Verifier) checkAudience(c *claims) error {
	audience, ok := []string(nil), true
	if c.aud != nil {
		// RFC 7519, section 4.1.3: a single audience may be a string instead of an array
		if audience, ok = c.aud.Strings(); !ok {
			var name string
			name, ok = c.aud.String()
			audience = []string{name}
		}
	}
	isAccepted := ok &&
		slices.ContainsFunc(audience, func(a string) bool {
			return slices.Contains(v.config.Audience, a)
		})
	azp, _ := c.azp.String()
	if !isAccepted {
		// AnyAudienceFor's tokens pass with any aud that Keycloak writes. Such an aud may be
		// absent, but has no empty name.
		isValid := c.aud == nil || ok && len(audience) > 0 && !slices.Contains(audience, "")
		isAccepted = isValid && v.config.AnyAudienceFor != "" && azp == v.config.AnyAudienceFor
	}
	if !isAccepted {
		return notAcceptedError(
			"aud is %s, azp is %s; accepted in aud: %s (VerifierConfig.Audience): add a mapper "+
				"of type Audience to the client that asks for the token",
			c.aud.Quoted(), c.azp.Quoted(), quoteList(v.config.Audience))
	}
	if parties := v.config.AuthorizedParties; len(parties) > 0 && !slices.Contains(parties, azp) {
		return notAcceptedError("azp is %s; accepted: %s (VerifierConfig.AuthorizedParties)",
			c.azp.Quoted(), quoteList(parties))
	}
	return nil
}

const year10000 = 253402300800 // in Unix time; RFC 3339 ends before it

// parseNumericDate parses a NumericDate, RFC 7519 section 2: seconds since 1970. It drops a
// fraction.
func parseNumericDate(name string, value strictjson.Value) (time.Time, error) {
	seconds, ok := value.Float()
	if !ok || !(seconds >= 0 && seconds < year10000) {
		return time.Time{}, malformedError("%s is %s; expected seconds since 1970", name,
			value.Quoted())
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func quoteList(texts []string) string {
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, strictjson.Quote(text))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
