package keycloak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// An Issuer is a realm whose tokens are accepted: the names that its tokens may carry in iss,
// compared exactly, and the keys that they must be signed with. A key of one Issuer never verifies
// a token of another.
type Issuer struct {
	Names []string // needed, unless Keys is a KeySet; the realm's own issuer if empty
	Keys  Keys     // a *KeySet, or StaticKeys
}

const maxLeeway = 5 * time.Minute

// A VerifierConfig says which access tokens are good. Issuers and Audience are needed. What is zero
// of the others is safe: some fields loosen a check, and say so; others narrow one.
type VerifierConfig struct {
	Issuers []Issuer

	// Audience is the API that tokens must be meant for: one of these must be in a token's aud.
	// "account" can't be one: Keycloak puts it into every user's tokens.
	Audience []string

	// AuthorizedParty, if set, loosens that: a token that was issued to this client (azp) also
	// passes, whatever APIs its aud names. Keycloak names no API there without an audience mapper,
	// but each client in which the user has a role. What such a token was meant for is unknown
	// then: another API that it is sent to can send it on. Leave this empty as soon as the realm
	// has an audience mapper for this API.
	AuthorizedParty string

	// AuthorizedParties, if any, narrow it: a token must have been issued to one of these clients
	// (azp), besides all else. Keycloak puts this API into the aud of any client's token once the
	// user has one of this API's client roles. It is the realm's administrators who decide what azp
	// says: a mapper can write it.
	AuthorizedParties []string

	// AllowBound, if set, lets tokens pass that are bound to a key of their client's (cnf: RFC
	// 8705, RFC 9449). They are worth nothing without a proof that the client holds the key, which
	// a Verifier doesn't see: set it where something in front of this process has checked the
	// proof.
	AllowBound bool

	// Algorithms narrows which signatures are accepted: some of RS256, RS384, RS512, PS256, PS384,
	// PS512, ES256, ES384, ES512 and EdDSA (with Ed25519). All of them if empty; a token's must be
	// its key's anyway.
	Algorithms []string

	MaxBytes int // of a token; DefaultTokenMaxBytes if zero
	// on exp, nbf and iat, for clocks that differ; 30 s if zero, at most 5 min
	Leeway time.Duration
	Now    func() time.Time // time.Now if nil
}

// DefaultTokenMaxBytes is the default of VerifierConfig.MaxBytes.
const DefaultTokenMaxBytes = 16 << 10

// A Verifier decides whether an access token of Keycloak's is good. Make it with NewVerifier; it is
// safe for concurrent use. It remembers no verdict: a key that the realm withdrew verifies nothing
// from the next fetch of the key set on.
type Verifier struct {
	config   VerifierConfig
	keys     map[string]Keys // by issuer
	accepted string          // the issuers, for people
}

// NewVerifier checks config and returns a verifier for it. It changes nothing of config, and copies
// its lists.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	config.Audience, config.Algorithms = slices.Clone(config.Audience),
		slices.Clone(config.Algorithms)
	config.AuthorizedParties = slices.Clone(config.AuthorizedParties)
	v := &Verifier{config: config, keys: map[string]Keys{}}
	var names []string
	for _, issuer := range config.Issuers {
		set, fetched := issuer.Keys.(*KeySet)
		if issuer.Keys == nil || fetched && set.isZero() {
			return nil, errors.New(
				"keycloak: an issuer needs keys, made by NewKeySet or StaticKeys")
		}
		issuerNames := issuer.Names
		if len(issuerNames) == 0 {
			if !fetched {
				return nil, errors.New(
					"keycloak: an issuer needs names, unless its keys are a KeySet")
			}
			issuerNames = []string{set.realm.Issuer()}
		}
		for _, name := range issuerNames {
			if _, twice := v.keys[name]; twice || name == "" {
				return nil, fmt.Errorf("keycloak: issuer %q is empty or there twice", name)
			}
			v.keys[name] = issuer.Keys
			names = append(names, name)
		}
	}
	v.accepted = quoteAll(names)
	switch {
	case len(v.keys) == 0:
		return nil, errors.New("keycloak: a verifier needs an issuer")
	case len(config.Audience) == 0 || slices.Contains(config.Audience, ""):
		return nil, errors.New("keycloak: a verifier needs an audience")
	case slices.Contains(config.Audience, "account"):
		return nil, errors.New(
			`keycloak: "account" can't be the audience: it is in every user's tokens`)
	case slices.Contains(config.AuthorizedParties, ""):
		return nil, errors.New("keycloak: an authorized party can't be empty")
	case len(config.AuthorizedParties) > 0 && config.AuthorizedParty != "" &&
		!slices.Contains(config.AuthorizedParties, config.AuthorizedParty):
		return nil, fmt.Errorf(
			"keycloak: AuthorizedParty %q is none of AuthorizedParties: none of its tokens "+
				"would pass", config.AuthorizedParty)
	}
	for _, name := range config.Algorithms {
		if !slices.Contains(jose.Algorithms(), name) {
			return nil, fmt.Errorf("keycloak: algorithm %q can't be accepted; expected some of: %s",
				name, strings.Join(jose.Algorithms(), ", "))
		}
	}
	if config.MaxBytes < 0 || config.Leeway < 0 || config.Leeway > maxLeeway {
		return nil, fmt.Errorf(
			"keycloak: the size of a token can't be negative, and the leeway is at most %v",
			maxLeeway)
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
	return v, nil
}

// Verify checks an access token in the compact form of RFC 7515 and returns the user it speaks for.
// It fails with an identity.Error, whose reason is that of the first check that fails, in this
// order: size, form, header, iss, typ, cnf, aud or azp, sub, nbf and iat, exp, key, signature. A
// token of the wrong kind is told so even when it has expired too: a client that hears "expired"
// would refresh for ever.
//
// Claims are checked before the key, so that a stale or a foreign token can't cause a fetch of
// keys; nothing of a token is used for anything else before its signature is verified. When ctx
// ends while keys are being fetched, the error is that of ctx.
func (v *Verifier) Verify(ctx context.Context, accessToken string) (*identity.User, error) {
	if v == nil || v.keys == nil {
		return nil, &identity.Error{Reason: identity.ErrKeysUnavailable,
			Detail: "the zero Verifier accepts nothing: make it with keycloak.NewVerifier"}
	}
	if len(accessToken) > v.config.MaxBytes {
		return nil, &identity.Error{Reason: identity.ErrTokenTooLarge,
			Detail: fmt.Sprintf("it has %d bytes; accepted: %d (VerifierConfig.MaxBytes)",
				len(accessToken), v.config.MaxBytes)}
	}
	token, err := parse(accessToken, v.config.Algorithms)
	if err != nil {
		return nil, err
	}
	keys, err := v.checkIssuer(&token.claims)
	if err != nil {
		return nil, err
	}
	expires, err := v.checkClaims(&token.claims)
	if err != nil {
		return nil, err
	}
	if err := verifyWith(ctx, keys, token); err != nil {
		return nil, err
	}
	return newUser(&token.claims, token.Payload, expires), nil
}

// checkIssuer returns the keys of the realm that says it issued the token.
func (v *Verifier) checkIssuer(c *claims) (Keys, error) {
	issuer, _ := c.iss.String()
	keys := v.keys[issuer]
	if keys == nil {
		return nil, notAccepted("iss is %s; accepted: %s (Issuer.Names)", c.iss.Quoted(),
			v.accepted)
	}
	return keys, nil
}

// checkClaims checks what RFC 9068, section 4, and Keycloak's own typ ask of an access token. It
// returns when the token expires.
func (v *Verifier) checkClaims(c *claims) (expires time.Time, err error) {
	// ID, refresh and logout tokens come from the same issuer, ID tokens with the same keys: typ
	// and aud are what sets an access token apart.
	if typ, _ := c.typ.String(); !strings.EqualFold(typ, "Bearer") {
		return time.Time{}, notAccepted("typ is %s; accepted: \"Bearer\", which access tokens have",
			c.typ.Quoted())
	}
	if c.cnf != nil && !v.config.AllowBound {
		return time.Time{}, notAccepted(
			"cnf is %s: the token is bound to a key of its client's, and a bearer proves nothing "+
				"about that", c.cnf.Quoted())
	}
	if err := v.checkAudience(c); err != nil {
		return time.Time{}, err
	}
	if sub, _ := c.sub.String(); sub == "" {
		return time.Time{}, notAccepted(
			"sub is %s: the client lacks the client scope basic, or gives lightweight access "+
				"tokens", c.sub.Quoted())
	}
	now := v.config.Now()
	for _, date := range []struct {
		name  string
		value strictjson.Value
	}{{"nbf", c.nbf}, {"iat", c.iat}} {
		if date.value == nil {
			continue
		}
		at, err := numericDate(date.name, date.value)
		if err != nil {
			return time.Time{}, err
		}
		if at.After(now.Add(v.config.Leeway)) {
			return time.Time{}, &identity.Error{Reason: identity.ErrTokenNotYetValid,
				Detail: fmt.Sprintf("%s is %s; now is %s: do the clocks differ?", date.name,
					stamp(at), stamp(now))}
		}
	}
	if c.exp == nil {
		return time.Time{}, malformed("exp is missing")
	}
	if expires, err = numericDate("exp", c.exp); err != nil {
		return time.Time{}, err
	}
	if !now.Before(expires.Add(v.config.Leeway)) {
		return time.Time{}, &identity.Error{Reason: identity.ErrTokenExpired,
			Detail: fmt.Sprintf("exp is %s; now is %s", stamp(expires), stamp(now))}
	}
	return expires, nil
}

// checkAudience checks whom the token was issued for (aud) and to (azp).
func (v *Verifier) checkAudience(c *claims) error {
	audience, ok := []string(nil), true
	if c.aud != nil {
		// RFC 7519, section 4.1.3: one audience may be a string instead of a list
		if audience, ok = c.aud.Strings(); !ok {
			var one string
			one, ok = c.aud.String()
			audience = []string{one}
		}
	}
	meant := ok &&
		slices.ContainsFunc(audience, func(a string) bool {
			return slices.Contains(v.config.Audience, a)
		})
	azp, _ := c.azp.String()
	if !meant {
		// Of our own client, whatever Keycloak put into aud; it writes no list without a name.
		written := c.aud == nil || ok && len(audience) > 0 && !slices.Contains(audience, "")
		meant = written && v.config.AuthorizedParty != "" && azp == v.config.AuthorizedParty
	}
	if !meant {
		return notAccepted(
			"aud is %s, azp is %s; accepted in aud: %s (VerifierConfig.Audience): add a mapper "+
				"of type Audience to the client that asks for the token",
			c.aud.Quoted(), c.azp.Quoted(), quoteAll(v.config.Audience))
	}
	if parties := v.config.AuthorizedParties; len(parties) > 0 && !slices.Contains(parties, azp) {
		return notAccepted("azp is %s; accepted: %s (VerifierConfig.AuthorizedParties)",
			c.azp.Quoted(), quoteAll(parties))
	}
	return nil
}

const year10000 = 253402300800 // RFC 3339 has no dates from there on

// numericDate reads a date of RFC 7519, section 2: seconds since 1970, not necessarily whole.
func numericDate(name string, value strictjson.Value) (time.Time, error) {
	seconds, ok := value.Float()
	if !ok || !(seconds >= 0 && seconds < year10000) {
		return time.Time{}, malformed("%s is %s; expected seconds since 1970", name, value.Quoted())
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func quoteAll(texts []string) string {
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, strictjson.Quote(text))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
