package keycloak

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

const (
	// maxLogoutTokenAge limits the age of a logout token by its iat, whatever its exp is. Keycloak
	// 26.7.4 sends the token at once, with an exp of iat plus two minutes.
	maxLogoutTokenAge = 5 * time.Minute

	// maxSessionIDBytes limits sid and sub in logout tokens. OpenID Connect Core 1.0, section 2,
	// limits sub to 255 characters; Keycloak's IDs are shorter.
	maxSessionIDBytes = 255

	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// logoutTokenTypes are the accepted values of typ in the header of a logout token. Keycloak 26.7.4
// always sets it. Without it, another kind of token could pass as a logout token.
var logoutTokenTypes = []string{"logout+jwt"}

// A logoutToken has the claims of a verified logout token.
type logoutToken struct {
	end     SessionEnd
	tokenID string // the claim jti
}

// logoutClaims holds the claims of a logout token, OpenID Connect Back-Channel Logout 1.0, section
// 2.4, and Keycloak's claim typ. An absent claim is nil.
type logoutClaims struct {
	iss, typ, aud, nbf, iat, exp, jti, events, nonce, sub, sid strictjson.Value
}

func (c *logoutClaims) setMember(name []byte, value strictjson.Value) {
	switch string(name) {
	case "iss":
		c.iss = value
	case "typ":
		c.typ = value
	case "aud":
		c.aud = value
	case "nbf":
		c.nbf = value
	case "iat":
		c.iat = value
	case "exp":
		c.exp = value
	case "jti":
		c.jti = value
	case "events":
		c.events = value
	case "nonce":
		c.nonce = value
	case "sub":
		c.sub = value
	case "sid":
		c.sid = value
	}
}

// verifyLogoutToken verifies a logout token as OpenID Connect Back-Channel Logout 1.0, section 2.6,
// describes, except that it doesn't recognize a replay. v's audiences are client IDs. Like Verify,
// it checks the claims before the signature, so that an expired or foreign token can't cause a
// fetch of keys. isSigned reports whether an issuer has signed the token, as far as the keys in
// memory show.
func (v *Verifier) verifyLogoutToken(ctx context.Context, rawToken string) (token logoutToken,
	isSigned bool, err error) {
	if len(rawToken) > v.config.MaxBytes {
		return logoutToken{}, false, &identity.Error{Reason: identity.ErrTokenTooLarge,
			Detail: fmt.Sprintf("it has %d bytes; accepted: %d (VerifierConfig.MaxBytes)",
				len(rawToken), v.config.MaxBytes)}
	}
	var c logoutClaims
	jws, err := parseJWS(rawToken, v.config.Algorithms, logoutTokenTypes, c.setMember)
	if err != nil {
		return logoutToken{}, false, err
	}
	issuer, err := v.checkIssuer(c.iss)
	if err != nil {
		return logoutToken{}, v.isSigned(jws), err
	}
	if token, err = v.checkLogoutClaims(&c); err != nil {
		return logoutToken{}, v.isSigned(jws), err
	}
	if _, err := v.verifySignature(ctx, issuer.Keys, rawToken, jws); err != nil {
		return logoutToken{}, false, err
	}
	return token, true, nil
}

// isSigned reports whether a token is signed with a key of any issuer that is in memory. It fetches
// no keys.
func (v *Verifier) isSigned(token *jose.JWS) bool {
	for _, issuer := range v.issuers {
		key, ok := cachedKey(issuer.Keys, token.KeyID)
		if ok && key.Algorithm == token.Algorithm &&
			jose.Verify(token.Algorithm, key.Public, token.SigningInput, token.Signature) {
			return true
		}
	}
	return false
}

// checkLogoutClaims checks all claims except iss.
func (v *Verifier) checkLogoutClaims(c *logoutClaims) (token logoutToken, err error) {
	if typ, _ := c.typ.String(); !strings.EqualFold(typ, "Logout") {
		return token, notAcceptedError("typ is %s; accepted: \"Logout\", which logout tokens have",
			c.typ.Quoted())
	}
	if client, ok := singleAudience(c.aud); !ok || !slices.Contains(v.config.Audience, client) {
		return token, notAcceptedError("aud is %s; accepted: one of %s "+
			"(BackchannelLogoutConfig.ClientIDs)", c.aud.Quoted(), quoteList(v.config.Audience))
	}
	if !hasLogoutEvent(c.events) {
		return token, notAcceptedError("events is %s; expected an object whose member %s is an "+
			"object", c.events.Quoted(), logoutEvent)
	}
	if c.nonce != nil { // an ID token may have one
		return token, notAcceptedError("nonce is %s; a logout token has none", c.nonce.Quoted())
	}
	if token.end.SessionID, err = optionalID("sid", c.sid); err != nil {
		return token, err
	}
	if token.end.Subject, err = optionalID("sub", c.sub); err != nil {
		return token, err
	}
	if token.end.SessionID == "" && token.end.Subject == "" {
		return token, notAcceptedError("sid and sub are missing: a logout token needs one of them")
	}
	if token.tokenID, _ = c.jti.String(); token.tokenID == "" {
		return token, notAcceptedError("jti is %s; expected a string", c.jti.Quoted())
	}
	if c.iat == nil {
		return token, malformedError("iat is missing")
	}
	times, err := v.checkTimes(c.nbf, c.iat, c.exp)
	if err != nil {
		return token, err
	}
	latestUse := times.issuedAt.Add(maxLogoutTokenAge + v.config.Leeway)
	if now := v.config.Now(); !now.Before(latestUse) {
		return token, &identity.Error{Reason: identity.ErrTokenExpired,
			Detail: fmt.Sprintf("iat is %s; now is %s: a logout token is accepted for %v",
				formatTime(times.issuedAt), formatTime(now), maxLogoutTokenAge)}
	}
	token.end.At = times.issuedAt
	return token, nil
}

// singleAudience returns aud, which is a string or a list of one string. OpenID Connect Core 1.0,
// section 3.1.3.7, rejects tokens with audiences that the client doesn't trust.
func singleAudience(aud strictjson.Value) (name string, ok bool) {
	if list, ok := aud.Strings(); ok && len(list) == 1 {
		return list[0], true
	}
	return aud.String()
}

// hasLogoutEvent reports whether events is an object with the event of a logout. Keycloak may add
// the member revoke_offline_access.
func hasLogoutEvent(events strictjson.Value) (found bool) {
	err := strictjson.VisitMembersLenient(events, func(name []byte, value strictjson.Value) {
		if string(name) == logoutEvent {
			found = len(value) > 0 && value[0] == '{'
		}
	})
	return err == nil && found
}

// optionalID returns the text of the claim sid or sub, or "" if it is absent.
func optionalID(name string, value strictjson.Value) (string, error) {
	if value == nil {
		return "", nil
	}
	text, ok := value.String()
	if !ok || text == "" || len(text) > maxSessionIDBytes {
		return "", notAcceptedError("%s is %s; expected a string of 1 to %d bytes", name,
			value.Quoted(), maxSessionIDBytes)
	}
	return text, nil
}
