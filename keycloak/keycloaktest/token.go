package keycloaktest

import (
	"cmp"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	_ "crypto/sha256" // at_hash
	_ "crypto/sha512"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// claims is the payload of a token.
type claims = map[string]any

// A grant holds the data for issuing tokens. The realm's lock guards it.
type grant struct {
	realm             *Realm
	client            *client
	user              *user
	session           *session       // nil for a service account without a session
	clientSession     *clientSession // in session; nil if session is nil
	scope             []string
	grantTypeShortcut string // the grant type in the jti of access tokens: ro, ac, rt, cc or dg
	notes             map[string]string
	nonce             string // of the authorization request
	now               time.Time
	familyID          string // reuse_id of the refresh token; empty for a new family
	// grantedScope is the originally granted scope, of which a refresh may request only a part. It
	// is nil in other grants.
	grantedScope       []string
	returnGrantedScope bool // the response's scope is grantedScope, not scope
}

// refreshScope returns the scope of refresh tokens.
func (g *grant) refreshScope() []string {
	if g.grantedScope != nil {
		return g.grantedScope
	}
	return g.scope
}

func (g *grant) hasScope(scope string) bool { return slices.Contains(g.scope, scope) }

// mappers returns the protocol mappers of the client and of the granted scopes. For userinfo, it
// omits the scopes that aren't in the token's scope claim.
func (g *grant) mappers(target realmfile.Target) []realmfile.Mapper {
	mappers := slices.Clone(g.client.ProtocolMappers)
	var seen []*scope // two scopes for organizations have the same client scope
	for _, name := range g.scope {
		if s := g.realm.scopeNamed(name); s != nil && g.userMayUseScope(s) &&
			!g.isDroppedScope(name) && !slices.Contains(seen, s) &&
			(target != realmfile.TargetUserinfo || s.inScopeClaim()) {
			seen = append(seen, s)
			mappers = append(mappers, s.ProtocolMappers...)
		}
	}
	return slices.DeleteFunc(mappers, func(m realmfile.Mapper) bool {
		return m.Protocol != "" && m.Protocol != "openid-connect"
	})
}

// userMayUseScope reports whether the user may use a scope: if the scope has roles, the user needs
// one of them.
func (g *grant) userMayUseScope(s *scope) bool {
	if len(s.roles) == 0 {
		return true
	}
	roles := g.user.effectiveRoles()
	return slices.ContainsFunc(expandComposites(s.roles), func(r *role) bool {
		return slices.Contains(roles, r)
	})
}

// scopeClaim returns the scope claim of access tokens.
func (g *grant) scopeClaim() string {
	var names []string
	if g.hasScope("openid") {
		names = append(names, "openid")
	}
	for _, name := range g.scope {
		if s := g.realm.scopeNamed(name); s != nil && name != "openid" && name != "" &&
			s.inScopeClaim() && g.userMayUseScope(s) && !g.isDroppedScope(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// responseScope returns the scope in the token endpoint's response.
func (g *grant) responseScope() string {
	if !g.returnGrantedScope {
		return g.scopeClaim()
	}
	fullGrant := *g
	fullGrant.scope = g.refreshScope()
	return fullGrant.scopeClaim()
}

func (g *grant) isLightweight() bool {
	return g.client.attributeIsTrue("client.use.lightweight.access.token.enabled")
}

// baseClaims returns the claims that all tokens of a grant have.
func (g *grant) baseClaims(typ, id string, expiry time.Time) claims {
	out := claims{"iat": g.now.Unix(), "jti": id, "iss": g.realm.Issuer(), "typ": typ,
		"azp": g.client.ClientID}
	if !expiry.IsZero() {
		out["exp"] = expiry.Unix()
	}
	if g.session != nil {
		out["sid"] = g.session.id
	}
	return out
}

// newAccessTokenID returns the jti of an access token. Its prefix encodes the types of session,
// token and grant.
func (g *grant) newAccessTokenID() string {
	sessionType, tokenType := "on", "rt"
	if g.session == nil {
		sessionType = "tr"
	} else if g.session.offline {
		sessionType = "of"
	}
	if g.isLightweight() {
		tokenType = "lt"
	}
	return sessionType + tokenType + g.grantTypeShortcut + ":" + uuid.NewString()
}

func (g *grant) accessTokenClaims() claims {
	typ := "Bearer"
	if g.client.attributeIsTrue("token.response.type.bearer.lower-case") {
		typ = "bearer"
	}
	expiry := g.realm.accessExpiry(g.client, g.session, g.clientSession, g.now)
	out := g.baseClaims(typ, g.newAccessTokenID(), expiry)
	out["scope"] = g.scopeClaim()
	if g.session == nil { // without a session, only sub identifies the service account
		out["sub"] = g.user.ID
	}
	if g.isLightweight() {
		g.applyMappers(out, realmfile.TargetLightweightToken)
	} else {
		g.applyMappers(out, realmfile.TargetAccessToken)
	}
	return out
}

func (g *grant) idTokenClaims(accessClaims claims) claims {
	out := g.baseClaims("ID", uuid.NewString(), time.Unix(accessClaims["exp"].(int64), 0))
	out["aud"] = g.client.ClientID
	out["sub"] = g.user.ID
	if g.nonce != "" {
		out["nonce"] = g.nonce
	}
	g.applyMappers(out, realmfile.TargetIDToken)
	return out
}

func (g *grant) refreshTokenClaims(accessClaims claims) claims {
	typ := "Refresh"
	if g.session.offline {
		typ = "Offline"
	}
	expiry := g.realm.refreshExpiry(g.client, g.session, g.clientSession, g.now)
	out := g.baseClaims(typ, uuid.NewString(), expiry)
	out["aud"] = g.realm.Issuer()
	out["scope"] = strings.Join(slices.DeleteFunc(slices.Clone(g.refreshScope()),
		g.isDroppedScope), " ")
	out["prov"] = "default"
	if audience, ok := accessClaims["aud"]; ok {
		out["aud_x"] = audience
	}
	if subject, ok := accessClaims["sub"]; ok {
		out["sub"] = subject
	}
	if g.realm.settings.RevokeRefreshToken {
		out["reuse_id"] = g.familyID
		if g.familyID == "" {
			out["reuse_id"] = uuid.NewString()
		}
	}
	return out
}

// An unsignedToken is a token to be signed later. Signing is slow, so it happens without the lock.
type unsignedToken struct {
	typ    string // the typ in the header
	claims claims
	key    *key
}

// newUnsignedToken returns a token for the grant's client. algorithmAttribute is the client
// attribute for the signature algorithm.
func (g *grant) newUnsignedToken(payload claims, algorithmAttribute, typ string) unsignedToken {
	algorithm := g.realm.signatureAlgorithm(g.client, algorithmAttribute)
	return unsignedToken{typ, payload, g.realm.keySet.signingKey(algorithm)}
}

// signatureAlgorithm returns the signature algorithm of a client's tokens. algorithmAttribute is
// the client attribute for the algorithm of this kind of token.
func (r *Realm) signatureAlgorithm(c *client, algorithmAttribute string) string {
	return cmp.Or(c.Attributes[algorithmAttribute], r.settings.DefaultSignatureAlgorithm, "RS256")
}

// sign returns the signed token. Its header has the same spaces as in Keycloak's tokens.
func (u unsignedToken) sign() string {
	header := `{"alg":` + quoteJSON(u.key.algorithm) + `,"typ" : ` + quoteJSON(u.typ) +
		`,"kid" : ` + quoteJSON(u.key.kid) + `}`
	payload, err := json.Marshal(u.claims)
	if err != nil {
		// impossible: all claims come from JSON or this package
		panic("keycloaktest: claims that can't be written as JSON: " + err.Error())
	}
	return must(sign(header, payload, u.key))
}

// sign returns the compact JWS (RFC 7515) of a header and a payload. It returns an error if the key
// has the wrong type for its algorithm.
func sign(header string, payload []byte, k *key) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(header)) + "." + encode(payload)
	signature, err := jwt.GetSigningMethod(k.algorithm).Sign(input, k.privateKey)
	if err != nil {
		return "", fmt.Errorf("keycloaktest: sign with %s: %w", k.algorithm, err)
	}
	return input + "." + encode(signature), nil
}

// quoteJSON returns s as a JSON string.
func quoteJSON(s string) string { return string(must(json.Marshal(s))) }

// tokenResponse is the body of a successful response of the token endpoint.
type tokenResponse struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshExpiresIn int64  `json:"refresh_expires_in"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	TokenType        string `json:"token_type"`
	IDToken          string `json:"id_token,omitempty"`
	NotBeforePolicy  int64  `json:"not-before-policy"`
	SessionState     string `json:"session_state,omitempty"`
	Scope            string `json:"scope"`
}

// An unsignedResponse is a response of the token endpoint with tokens that aren't signed yet.
type unsignedResponse struct {
	response                           tokenResponse
	accessToken, idToken, refreshToken *unsignedToken
}

// issue creates the tokens of a grant. The caller holds the realm's lock.
func (g *grant) issue(withRefreshToken bool) *unsignedResponse {
	accessClaims := g.accessTokenClaims()
	typ := "JWT"
	if g.client.attributeIsTrue("access.token.header.type.rfc9068") {
		typ = "at+jwt"
	}
	accessToken := g.newUnsignedToken(accessClaims, "access.token.signed.response.alg", typ)
	out := &unsignedResponse{accessToken: &accessToken, response: tokenResponse{
		ExpiresIn:       accessClaims["exp"].(int64) - g.now.Unix(),
		TokenType:       accessClaims["typ"].(string),
		Scope:           g.responseScope(),
		NotBeforePolicy: max(g.realm.settings.NotBefore, g.user.NotBefore, g.client.NotBefore),
	}}
	if g.session != nil {
		out.response.SessionState = g.session.id
	}
	if slices.Contains(g.refreshScope(), "openid") {
		idToken := g.newUnsignedToken(g.idTokenClaims(accessClaims), "id.token.signed.response.alg",
			"JWT")
		out.idToken = &idToken
	}
	if withRefreshToken {
		refreshToken := unsignedToken{"JWT", g.refreshTokenClaims(accessClaims),
			g.realm.keySet.signingKey("HS512")}
		out.refreshToken = &refreshToken
		if expiry, ok := refreshToken.claims["exp"]; ok {
			out.response.RefreshExpiresIn = expiry.(int64) - g.now.Unix()
		}
	}
	return out
}

// sign signs the tokens and returns the response. Call it without the realm's lock.
func (u *unsignedResponse) sign() tokenResponse {
	out := u.response
	out.AccessToken = u.accessToken.sign()
	if u.idToken != nil {
		u.idToken.claims["at_hash"] = atHash(u.idToken.key.algorithm, out.AccessToken)
		out.IDToken = u.idToken.sign()
	}
	if u.refreshToken != nil {
		out.RefreshToken = u.refreshToken.sign()
	}
	return out
}

// atHash returns the at_hash claim (OpenID Connect Core 3.1.3.6): the first half of the access
// token's hash, with the hash function of the ID token's algorithm.
func atHash(algorithm, accessToken string) string {
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(algorithm, "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(algorithm, "512") || algorithm == "EdDSA":
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(accessToken))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

var errInvalidToken = errors.New("not a token of this realm")

// verifyToken verifies a token's signature, but not its expiry, and returns its claims. The caller
// holds the realm's lock.
func (r *Realm) verifyToken(token string) (claims, error) {
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(),
		jwt.WithValidMethods(realmfile.SignatureAlgorithms), jwt.WithStrictDecoding())
	parsedToken, err := parser.ParseWithClaims(canonicalToken(token), jwt.MapClaims{},
		func(t *jwt.Token) (any, error) {
			kid, _ := t.Header["kid"].(string)
			k := r.keySet.verificationKey(kid)
			if k == nil || k.algorithm != t.Method.Alg() {
				return nil, errInvalidToken
			}
			return k.publicKey(), nil
		})
	if err != nil {
		return nil, errInvalidToken
	}
	return parsedToken.Claims.(jwt.MapClaims), nil
}

// canonicalToken returns the canonical encoding of a token, or "" if the signature can't be
// decoded. Keycloak also accepts a token with trailing dots, and a signature with padding, the
// standard base64 alphabet or non-zero trailing bits.
func canonicalToken(token string) string {
	token = strings.TrimRight(token, ".")
	signatureStart := strings.LastIndexByte(token, '.') + 1
	signature, _, _ := strings.Cut(token[signatureStart:], "=")
	decodedSignature, err := base64.RawURLEncoding.DecodeString(
		strings.NewReplacer("+", "-", "/", "_").Replace(signature))
	if err != nil || strings.ContainsAny(token, "\r\n") { // Go's decoder skips line breaks
		return ""
	}
	return token[:signatureStart] + base64.RawURLEncoding.EncodeToString(decodedSignature)
}

// isExpired reports whether a token has expired. A token is valid up to and including the second of
// exp.
func isExpired(payload claims, now time.Time) bool {
	exp := timeClaim(payload, "exp")
	return exp != 0 && now.Unix() > exp
}

// stringClaim returns a string claim, or "" if it is missing.
func stringClaim(c claims, name string) string { s, _ := c[name].(string); return s }

// timeClaim returns a time claim in Unix seconds, or 0 if it is missing.
func timeClaim(c claims, name string) int64 { n, _ := c[name].(float64); return int64(n) }
