package keycloak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// An Issuer is a realm whose tokens are accepted: the names that its tokens may carry in iss, compared
// exactly, and the keys that they must be signed with. A key of one Issuer never verifies a token of another.
type Issuer struct {
	Names []string
	Keys  *KeySet
}

// A VerifierConfig says which access tokens are good. Issuers and Audience are needed.
type VerifierConfig struct {
	Issuers []Issuer

	// Audience is the API that tokens must be meant for: one of these must be in a token's aud. "account"
	// can't be one: Keycloak puts it into every user's tokens.
	Audience []string

	// AuthorizedParty, if set, loosens that: a token whose aud is absent, or names "account" alone, also
	// passes when it was issued to this client (azp). That is what Keycloak gives to a client without an
	// audience mapper. Leave it empty as soon as the realm has one.
	AuthorizedParty string

	MaxBytes int              // of a token; 16 KiB if zero
	Leeway   time.Duration    // on exp, nbf and iat, for clocks that differ; 30 s if zero
	Now      func() time.Time // time.Now if nil
}

// A Verifier decides whether an access token of Keycloak's is good. Make it with NewVerifier; it is safe
// for concurrent use.
type Verifier struct {
	config VerifierConfig
	keys   map[string]*KeySet // by issuer
}

// NewVerifier checks config and returns a verifier for it.
func NewVerifier(config VerifierConfig) (*Verifier, error) {
	v := &Verifier{config: config, keys: map[string]*KeySet{}}
	for _, issuer := range config.Issuers {
		if issuer.Keys == nil || len(issuer.Names) == 0 {
			return nil, errors.New("keycloak: an issuer needs a name and keys")
		}
		for _, name := range issuer.Names {
			if _, twice := v.keys[name]; twice || name == "" {
				return nil, fmt.Errorf("keycloak: issuer %q is empty or there twice", name)
			}
			v.keys[name] = issuer.Keys
		}
	}
	switch {
	case len(v.keys) == 0:
		return nil, errors.New("keycloak: a verifier needs an issuer")
	case len(config.Audience) == 0 || slices.Contains(config.Audience, ""):
		return nil, errors.New("keycloak: a verifier needs an audience")
	case slices.Contains(config.Audience, "account"):
		return nil, errors.New(`keycloak: "account" can't be the audience: it is in every user's tokens`)
	}
	if v.config.MaxBytes <= 0 {
		v.config.MaxBytes = 16 << 10
	}
	if v.config.Leeway <= 0 {
		v.config.Leeway = 30 * time.Second
	}
	if v.config.Now == nil {
		v.config.Now = time.Now
	}
	return v, nil
}

// Verify checks an access token in the compact form of RFC 7515 and returns the user it speaks for. It
// fails with an identity.TokenError, whose reason is that of the first check that fails, in this order:
// size, form, header, iss, typ, aud or azp, sub, nbf and iat, exp, key, signature. A token of the wrong
// kind is told so even when it has expired too: a client that hears "expired" would refresh for ever.
//
// Claims are checked before the key, so that a stale or a foreign token can't cause a fetch of keys;
// nothing of a token is used for anything else before its signature is verified. When ctx ends while
// keys are being fetched, the error is that of ctx.
func (v *Verifier) Verify(ctx context.Context, raw string) (*identity.User, error) {
	if len(raw) > v.config.MaxBytes {
		return nil, &identity.TokenError{Reason: identity.ErrTokenTooLarge, Detail: fmt.Sprintf("it has %d bytes; accepted: %d (TOKEN_MAX_BYTES)", len(raw), v.config.MaxBytes)}
	}
	token, err := parse(raw)
	if err != nil {
		return nil, err
	}
	expires, err := v.checkClaims(token.claims)
	if err != nil {
		return nil, err
	}
	issuer, _ := token.claims["iss"].(string)
	if err := v.keys[issuer].verify(ctx, token); err != nil {
		return nil, err
	}
	return newUser(token.claims, token.payload, expires), nil
}

// checkClaims checks what RFC 9068, section 4, and Keycloak's own typ ask of an access token. It returns
// when the token expires.
func (v *Verifier) checkClaims(claims map[string]any) (expires time.Time, err error) {
	issuer, _ := claims["iss"].(string)
	if v.keys[issuer] == nil {
		return time.Time{}, notAccepted("iss is %s; accepted: %s (KEYCLOAK_ISSUER)", quote(claims["iss"]), v.issuers())
	}
	// ID, refresh and logout tokens come from the same issuer, ID tokens with the same keys: typ and aud
	// are what sets an access token apart.
	if typ, _ := claims["typ"].(string); !strings.EqualFold(typ, "Bearer") {
		return time.Time{}, notAccepted("typ is %s; accepted: \"Bearer\", which access tokens have", quote(claims["typ"]))
	}
	if err := v.checkAudience(claims); err != nil {
		return time.Time{}, err
	}
	if sub, _ := claims["sub"].(string); sub == "" {
		return time.Time{}, notAccepted("sub is %s: the client lacks the client scope basic, or gives lightweight access tokens", quote(claims["sub"]))
	}
	now := v.config.Now()
	for _, name := range []string{"nbf", "iat"} {
		at, there, err := numericDate(claims, name)
		if err != nil {
			return time.Time{}, err
		}
		if there && at.After(now.Add(v.config.Leeway)) {
			return time.Time{}, &identity.TokenError{Reason: identity.ErrTokenNotYetValid, Detail: fmt.Sprintf("%s is %s; now is %s: do the clocks differ?", name, stamp(at), stamp(now))}
		}
	}
	expires, there, err := numericDate(claims, "exp")
	switch {
	case err != nil:
		return time.Time{}, err
	case !there:
		return time.Time{}, malformed("exp is missing")
	case !now.Before(expires.Add(v.config.Leeway)):
		return time.Time{}, &identity.TokenError{Reason: identity.ErrTokenExpired, Detail: fmt.Sprintf("exp is %s; now is %s", stamp(expires), stamp(now))}
	}
	return expires, nil
}

func (v *Verifier) checkAudience(claims map[string]any) error {
	audience, ok := stringOrList(claims["aud"])
	if ok && slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.config.Audience, a) }) {
		return nil
	}
	unspecific := ok && !slices.ContainsFunc(audience, func(a string) bool { return a != "account" })
	azp, _ := claims["azp"].(string)
	if unspecific && v.config.AuthorizedParty != "" && azp == v.config.AuthorizedParty {
		return nil
	}
	return notAccepted("aud is %s, azp is %s; accepted in aud: %s (KEYCLOAK_AUDIENCE): add a mapper of type Audience to the client that asks for the token",
		quote(claims["aud"]), quote(claims["azp"]), quote(v.config.Audience))
}

func (v *Verifier) issuers() string {
	var names []string
	for _, issuer := range v.config.Issuers {
		names = append(names, issuer.Names...)
	}
	return quote(names)
}

const year10000 = 253402300800 // RFC 3339 has no dates from there on

// numericDate reads a date of RFC 7519, section 2: seconds since 1970, not necessarily whole.
func numericDate(claims map[string]any, name string) (at time.Time, there bool, err error) {
	value, there := claims[name]
	if !there {
		return time.Time{}, false, nil
	}
	number, _ := value.(json.Number)
	seconds, err := number.Float64()
	if err != nil || !(seconds >= 0 && seconds < year10000) {
		return time.Time{}, false, malformed("%s is %s; expected seconds since 1970", name, quote(value))
	}
	return time.Unix(int64(seconds), 0).UTC(), true, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// stringOrList reads a claim that is absent, a string, or a list of strings.
func stringOrList(value any) (list []string, ok bool) {
	switch value := value.(type) {
	case nil:
		return nil, true
	case string:
		return []string{value}, true
	case []any:
		for _, item := range value {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}
