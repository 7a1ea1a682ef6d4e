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

// A grant is everything that tokens are made of. It is put together under the realm's lock.
type grant struct {
	realm   *Realm
	client  *client
	user    *user
	session *session       // nil for a service account without one
	part    *clientSession // of the session; nil like it
	scope   []string
	kind    string // of the grant, two letters of the access token's id: ro, ac, rt, cc, dg
	notes   map[string]string
	nonce   string // of the request for a code; a refresh has none
	now     time.Time
	reuseID string // of the line of refresh tokens that goes on
	// what the refresh token keeps, where a refresh asked for less than scope; else nil
	granted []string
	shown   bool // whether the answer's scope is granted, too
}

// kept is the scope that refresh tokens carry on.
func (g *grant) kept() []string {
	if g.granted != nil {
		return g.granted
	}
	return g.scope
}

func (g *grant) has(scope string) bool { return slices.Contains(g.scope, scope) }

// mappers are those of the client and of the granted scopes; for userinfo, which goes by the
// token's scope claim, of those that it shows.
func (g *grant) mappers(target realmfile.Target) []realmfile.Mapper {
	all := slices.Clone(g.client.ProtocolMappers)
	for _, name := range g.scope {
		if s := g.realm.scopes[name]; s != nil && g.permitted(s) &&
			(target != realmfile.ForUserinfo || s.shown()) {
			all = append(all, s.ProtocolMappers...)
		}
	}
	return slices.DeleteFunc(all, func(m realmfile.Mapper) bool {
		return m.Protocol != "" && m.Protocol != "openid-connect"
	})
}

// permitted reports whether the user may have a scope: one with roles wants one of them.
func (g *grant) permitted(s *scope) bool {
	if len(s.roles) == 0 {
		return true
	}
	has := g.user.effectiveRoles()
	return slices.ContainsFunc(expand(s.roles), func(r *role) bool {
		return slices.Contains(has, r)
	})
}

// scopeText is what the scope member of an answer and of an access token says.
func (g *grant) scopeText() string {
	var shown []string
	if g.has("openid") {
		shown = append(shown, "openid")
	}
	for _, name := range g.scope {
		if s := g.realm.scopes[name]; s != nil && name != "openid" && name != "" && s.shown() &&
			g.permitted(s) {
			shown = append(shown, name)
		}
	}
	return strings.Join(shown, " ")
}

// answerScope is the scope member of the token endpoint's answer.
func (g *grant) answerScope() string {
	if !g.shown {
		return g.scopeText()
	}
	all := *g
	all.scope = g.kept()
	return all.scopeText()
}

func (g *grant) lightweight() bool {
	return g.client.attribute("client.use.lightweight.access.token.enabled")
}

// base are the claims that every token of a grant has.
func (g *grant) base(typ, id string, expiry time.Time) claims {
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

func (g *grant) accessID() string {
	session, token := "on", "rt"
	if g.session == nil {
		session = "tr"
	} else if g.session.offline {
		session = "of"
	}
	if g.lightweight() {
		token = "lt"
	}
	return session + token + g.kind + ":" + uuid.NewString()
}

func (g *grant) access() claims {
	typ := "Bearer"
	if g.client.attribute("token.response.type.bearer.lower-case") {
		typ = "bearer"
	}
	out := g.base(typ, g.accessID(), g.realm.accessExpiry(g.client, g.session, g.part, g.now))
	out["scope"] = g.scopeText()
	if g.session == nil { // who a service account is can't be looked up by a session
		out["sub"] = g.user.ID
	}
	if g.lightweight() {
		g.mapInto(out, realmfile.ForLightweight)
	} else {
		g.mapInto(out, realmfile.ForAccess)
	}
	return out
}

func (g *grant) id(access claims) claims {
	out := g.base("ID", uuid.NewString(), time.Unix(access["exp"].(int64), 0))
	out["aud"] = g.client.ClientID
	out["sub"] = g.user.ID
	if g.nonce != "" {
		out["nonce"] = g.nonce
	}
	g.mapInto(out, realmfile.ForID)
	return out
}

func (g *grant) refresh(access claims) claims {
	typ := "Refresh"
	if g.session.offline {
		typ = "Offline"
	}
	out := g.base(typ, uuid.NewString(), g.realm.refreshExpiry(g.client, g.session, g.part, g.now))
	out["aud"] = g.realm.Issuer()
	out["scope"] = strings.Join(g.kept(), " ")
	out["prov"] = "default"
	if audience, has := access["aud"]; has {
		out["aud_x"] = audience
	}
	if subject, has := access["sub"]; has {
		out["sub"] = subject
	}
	if g.realm.settings.RevokeRefreshToken {
		out["reuse_id"] = g.reuseID
		if g.reuseID == "" {
			out["reuse_id"] = uuid.NewString()
		}
	}
	return out
}

// An unsigned is a token that waits for its signature, which needs no lock and takes the time.
type unsigned struct {
	typ    string // of the header
	claims claims
	key    *key
}

func (g *grant) unsigned(what claims, attribute, typ string) unsigned {
	return unsigned{typ, what, g.realm.keys.signing(g.realm.algorithm(g.client, attribute))}
}

// algorithm is what signs a client's tokens, by the attribute for their kind.
func (r *Realm) algorithm(c *client, attribute string) string {
	return cmp.Or(c.Attributes[attribute], r.settings.DefaultSignatureAlgorithm, "RS256")
}

// sign writes a token as Keycloak does: the blanks in its header are Keycloak's.
func (u unsigned) sign() string {
	header := `{"alg":` + quoted(u.key.algorithm) + `,"typ" : ` + quoted(u.typ) + `,"kid" : ` +
		quoted(u.key.kid) + `}`
	payload, err := json.Marshal(u.claims)
	if err != nil {
		// they were made here, of JSON
		panic("keycloaktest: claims that can't be written as JSON: " + err.Error())
	}
	return must(sign(header, payload, u.key))
}

// sign is a compact JWS (RFC 7515) of a header and a payload as they are. It fails when the key
// isn't of the algorithm.
func sign(header string, payload []byte, k *key) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(header)) + "." + encode(payload)
	signature, err := jwt.GetSigningMethod(k.algorithm).Sign(input, k.private)
	if err != nil {
		return "", fmt.Errorf("keycloaktest: sign with %s: %w", k.algorithm, err)
	}
	return input + "." + encode(signature), nil
}

func quoted(text string) string { return string(must(json.Marshal(text))) }

// tokenResponse is the body of the token endpoint's success.
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

// An issue is an answer of the token endpoint whose tokens still wait for their signatures.
type issue struct {
	response            tokenResponse
	access, id, refresh *unsigned
}

// issue makes the tokens of a grant. The caller holds the realm's lock.
func (g *grant) issue(withRefresh bool) *issue {
	access := g.access()
	typ := "JWT"
	if g.client.attribute("access.token.header.type.rfc9068") {
		typ = "at+jwt"
	}
	signedAccess := g.unsigned(access, "access.token.signed.response.alg", typ)
	out := &issue{access: &signedAccess, response: tokenResponse{
		ExpiresIn: access["exp"].(int64) - g.now.Unix(), TokenType: access["typ"].(string),
		Scope:           g.answerScope(),
		NotBeforePolicy: max(g.realm.settings.NotBefore, g.user.NotBefore, g.client.NotBefore),
	}}
	if g.session != nil {
		out.response.SessionState = g.session.id
	}
	if slices.Contains(g.kept(), "openid") {
		id := g.unsigned(g.id(access), "id.token.signed.response.alg", "JWT")
		out.id = &id
	}
	if withRefresh {
		refresh := unsigned{"JWT", g.refresh(access), g.realm.keys.signing("HS512")}
		out.refresh = &refresh
		if expiry, has := refresh.claims["exp"]; has {
			out.response.RefreshExpiresIn = expiry.(int64) - g.now.Unix()
		}
	}
	return out
}

// sign makes the answer. It is called without the realm's lock.
func (i *issue) sign() tokenResponse {
	out := i.response
	out.AccessToken = i.access.sign()
	if i.id != nil {
		i.id.claims["at_hash"] = accessHash(i.id.key.algorithm, out.AccessToken)
		out.IDToken = i.id.sign()
	}
	if i.refresh != nil {
		out.RefreshToken = i.refresh.sign()
	}
	return out
}

// accessHash is the at_hash claim (OpenID Connect Core 3.1.3.6): half of the hash of the ID token's
// algorithm.
func accessHash(algorithm, accessToken string) string {
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

var errToken = errors.New("not a token of this realm")

// verified reads a token that this realm signed, whatever its lifetime. The caller holds the
// realm's lock.
func (r *Realm) verified(token string) (claims, error) {
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(),
		jwt.WithValidMethods(realmfile.SignatureAlgorithms), jwt.WithStrictDecoding())
	parsed, err := parser.ParseWithClaims(canonical(token), jwt.MapClaims{},
		func(t *jwt.Token) (any, error) {
			kid, _ := t.Header["kid"].(string)
			k := r.keys.verifying(kid)
			if k == nil || k.algorithm != t.Method.Alg() {
				return nil, errToken
			}
			return k.public(), nil
		})
	if err != nil {
		return nil, errToken
	}
	return parsed.Claims.(jwt.MapClaims), nil
}

// expired reports whether a token's time is over: it is good until the second of exp has passed.
func expired(held claims, now time.Time) bool {
	exp := unix(held, "exp")
	return exp != 0 && now.Unix() > exp
}

// text is a claim that is a text; a missing one is empty.
func text(c claims, name string) string { s, _ := c[name].(string); return s }

// unix is a claim that is a time in seconds; a missing one is 0.
func unix(c claims, name string) int64 { n, _ := c[name].(float64); return int64(n) }
