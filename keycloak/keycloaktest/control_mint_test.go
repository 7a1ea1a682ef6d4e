package keycloaktest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// SignIn returns valid tokens of a new session without sending a request.
func TestRealm_SignIn(t *testing.T) {
	kc, realm := startShop(t)
	tokens := signIn(t, realm)
	if n := kc.Count(""); n != 0 {
		t.Errorf("SignIn sent %d requests, want none", n)
	}
	claims, err := verify(t, kc, realm, tokens.AccessToken)
	alice := mustFindUser(t, realm, "alice")
	if err != nil || claims["sub"] != alice.ID() || claims["typ"] != "Bearer" ||
		!slices.Contains(tokenRoles(claims, "shop-api"), "reader") {
		t.Errorf("access token's claims are %v (%v), want alice as sub, typ Bearer and role reader",
			claims, err)
	}
	if claims, err := verify(t, kc, realm, tokens.IDToken); err != nil || claims["typ"] != "ID" ||
		claims["sid"] != tokens.SessionID {
		t.Errorf("ID token's claims are %v (%v), want session %s", claims, err, tokens.SessionID)
	}
	if tokens.ExpiresIn != 5*time.Minute || tokens.RefreshExpiresIn != 30*time.Minute {
		t.Errorf("ExpiresIn is %v and RefreshExpiresIn %v, want 5m and 30m", tokens.ExpiresIn,
			tokens.RefreshExpiresIn)
	}
	if scope := strings.Join(tokens.Scope, " "); scope != claims["scope"] ||
		!slices.Contains(tokens.Scope, "openid") {
		t.Errorf("Scope is %q, want openid and the same scopes as the claim %q", scope,
			claims["scope"])
	}
	wantUserinfoOK(t, realm, tokens.AccessToken)
	refresh(t, realm, tokens.RefreshToken).wantOK(t)
	if tokensByEmail, err := realm.SignIn("shop-api", "Alice@Example.com"); err != nil ||
		tokensByEmail.SessionID == tokens.SessionID {
		t.Errorf("SignIn with the email address returns session %q (%v), want a new session",
			tokensByEmail.SessionID, err)
	}
}

// The scopes passed to SignIn determine whether it returns an ID token and whether the session is
// offline. Several scopes may be passed in one string.
func TestRealm_SignIn_scopes(t *testing.T) {
	_, realm := startShop(t)
	for _, scopes := range [][]string{{"openid", "phone"}, {"openid phone"}} {
		if tokens := signIn(t, realm, scopes...); !slices.Contains(tokens.Scope, "phone") ||
			tokens.IDToken == "" {
			t.Errorf("SignIn(%q) returns scope %q and ID token %q, want phone and an ID token",
				scopes, tokens.Scope, tokens.IDToken)
		}
	}
	if tokens := signIn(t, realm, "profile"); tokens.IDToken != "" ||
		slices.Contains(tokens.Scope, "openid") {
		t.Errorf("without openid, SignIn returns scope %q and ID token %q, want neither openid "+
			"nor an ID token", tokens.Scope, tokens.IDToken)
	}
	offlineTokens := signIn(t, realm, "openid", "offline_access")
	if typ := parseClaims(t, offlineTokens.RefreshToken)["typ"]; typ != "Offline" ||
		offlineTokens.RefreshExpiresIn != 0 {
		t.Errorf("refresh token has type %v and lifespan %v, want Offline and none", typ,
			offlineTokens.RefreshExpiresIn)
	}
	must(t,
		realm.UpdateClient("shop-api", []byte(`{"attributes": {"use.refresh.tokens": "false"}}`)))
	if tokens := signIn(t, realm); tokens.RefreshToken != "" || tokens.RefreshExpiresIn != 0 {
		t.Error("SignIn returns a refresh token for a client without refresh tokens, want none")
	}
}

// SignIn returns an error, and creates no session, for unknown clients, users and scopes.
func TestRealm_SignIn_errors(t *testing.T) {
	_, realm := startShop(t)
	for _, tt := range []struct{ client, user, scope, want string }{
		{"shop", "alice", "openid", `keycloaktest: realm shop has no client "shop"`},
		{"shop-api", "alcie", "openid", `keycloaktest: realm shop has no user "alcie"`},
		{"shop-api", "service-account-shop-api", "openid",
			`has no user "service-account-shop-api"`},
		{"shop-api", "alice", "openid everything",
			"keycloaktest: Invalid scopes: openid everything"},
		{"shop-api", "alice", "", "keycloaktest: Invalid scopes: "},
	} {
		tokens, err := realm.SignIn(tt.client, tt.user, tt.scope)
		wantError(t, err, tt.want)
		if tokens.AccessToken != "" || len(realm.Sessions()) != 0 {
			t.Errorf("SignIn(%v) returns an error and %v, and the realm has %d sessions, want no "+
				"tokens and no session", tt, tokens, len(realm.Sessions()))
		}
	}
	alice := mustFindUser(t, realm, "alice")
	must(t, alice.RevokeRole(keycloaktest.Role{Name: "default-roles-shop"}))
	_, err := realm.SignIn("shop-api", "alice", "openid", "offline_access")
	wantError(t, err, "keycloaktest: Offline tokens not allowed for the user or client")
}

// The zero TokenSpec makes a token with the default claims and header.
func TestRealm_Mint_zeroValue(t *testing.T) {
	kc, realm := startShop(t)
	token := mint(t, realm, tokenSpec{})
	claims := parseClaims(t, token)
	if len(claims) != 5 || claims["iss"] != realm.Issuer() || claims["typ"] != "Bearer" ||
		claims["jti"] == "" || claims["exp"].(float64)-claims["iat"].(float64) != 300 {
		t.Errorf("claims are %v, want iss, iat, exp five minutes after iat, jti and typ", claims)
	}
	if age := kc.Now().Unix() - int64(claims["iat"].(float64)); age < 0 || age > 60 {
		t.Errorf("iat is %d s ago, want at most 60", age)
	}
	got, want := parseHeader(t, token),
		(object{"alg": "RS256", "typ": "JWT", "kid": realm.SigningKeyID("RS256")})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("header is %v, want %v", got, want)
	}
	secondClaims := parseClaims(t, mint(t, realm, tokenSpec{}))
	if secondClaims["jti"] == claims["jti"] {
		t.Error("two tokens have the same jti, want different values")
	}
	wantUserinfoError(t, realm, token, "Token verification failed") // the token has no session
}

// Claims and Header override the defaults. A nil value omits the claim or header parameter.
func TestRealm_Mint_overrides(t *testing.T) {
	_, realm := startShop(t)
	claims := object{"iss": "https://evil.example", "typ": nil, "aud": []string{"a", "b"},
		"nested": object{"x": 1}, "exp": 12, "sub": nil}
	token := mint(t, realm, tokenSpec{Claims: claims,
		Header: object{"kid": nil, "typ": "at+jwt", "crit": []string{"x"}}})
	got := parseClaims(t, token)
	_, hasTyp := got["typ"]
	_, hasSub := got["sub"]
	if got["iss"] != "https://evil.example" || hasTyp || hasSub ||
		!slices.Equal(audience(got), []string{"a", "b"}) || got["exp"] != 12.0 ||
		fmt.Sprint(got["nested"]) != "map[x:1]" {
		t.Errorf("claims are %v, want the overrides %v", got, claims)
	}
	header, want := parseHeader(t, token),
		(object{"alg": "RS256", "typ": "at+jwt", "crit": []string{"x"}})
	if fmt.Sprint(header) != fmt.Sprint(want) {
		t.Errorf("header is %v, want %v", header, want)
	}
	if len(claims) != 6 || claims["typ"] != nil {
		t.Errorf("Mint changes TokenSpec.Claims to %v, want them unchanged", claims)
	}
}

// Lifetime is the time from iat to exp, and iat follows the server's clock.
func TestRealm_Mint_lifetime(t *testing.T) {
	kc, realm := startShop(t)
	start := kc.Now()
	for lifetime, want := range map[time.Duration]time.Duration{0: 5 * time.Minute,
		time.Hour: time.Hour, -time.Minute: -time.Minute} {
		claims := parseClaims(t, mint(t, realm, tokenSpec{Lifetime: lifetime}))
		if got := timeClaim(claims, "exp").Sub(timeClaim(claims, "iat")); got != want {
			t.Errorf("with Lifetime %v, exp-iat is %v, want %v", lifetime, got, want)
		}
	}
	kc.Advance(-24 * time.Hour)
	iat := timeClaim(parseClaims(t, mint(t, realm, tokenSpec{})), "iat")
	if iat.After(start.Add(-23 * time.Hour)) {
		t.Errorf("after Advance(-24h), iat is %v, want about a day before %v", iat, start)
	}
}

// algorithms lists the signature algorithms that a realm may use.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
	"ES512", "EdDSA", "HS256", "HS384", "HS512"}

// Mint and SignIn support every signature algorithm. Minted tokens verify with the published keys,
// except for tokens signed by HMAC keys, which aren't published.
func TestRealm_Mint_algorithms(t *testing.T) {
	kc, realm := startShop(t)
	for _, algorithm := range algorithms {
		token := mint(t, realm,
			tokenSpec{Algorithm: algorithm, Claims: object{"aud": "shop-api", "sub": "alice"}})
		if header := parseHeader(t, token); header["alg"] != algorithm ||
			header["kid"] != realm.SigningKeyID(algorithm) {
			t.Errorf("header is %v, want %s and its key %s", header, algorithm,
				realm.SigningKeyID(algorithm))
		}
		claims, err := verify(t, kc, realm, token)
		if strings.HasPrefix(algorithm, "HS") {
			if !errors.Is(err, jwkset.ErrKeyNotFound) {
				t.Errorf("%s: verify returns %v, want %v: HMAC keys must not be published",
					algorithm, err, jwkset.ErrKeyNotFound)
			}
		} else if err != nil || claims["sub"] != "alice" {
			t.Errorf("%s: claims are %v (%v), want alice as sub", algorithm, claims, err)
		}
	}
	// Each algorithm can be the realm's default.
	for _, algorithm := range algorithms {
		must(t, realm.Update([]byte(`{"defaultSignatureAlgorithm": "`+algorithm+`"}`)))
		wantUserinfoOK(t, realm, signIn(t, realm).AccessToken)
	}
}

// foreignKeys returns new keys that no realm has. The map's keys are signature algorithms.
func foreignKeys(t *testing.T) map[string]any {
	t.Helper()
	keys := map[string]any{}
	for algorithm, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(),
		"ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		keys[algorithm] = key
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	keys["EdDSA"] = edKey
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	keys["RS256"], keys["PS512"] = rsaKey, rsaKey
	keys["HS256"] = []byte("a secret that no realm uses as its key")
	return keys
}

// Mint signs with TokenSpec.Key. The header has the kid of the realm's key, but the token verifies
// only with TokenSpec.Key.
func TestRealm_Mint_foreignKey(t *testing.T) {
	kc, realm := startShop(t)
	for algorithm, key := range foreignKeys(t) {
		token := mint(t, realm,
			tokenSpec{Algorithm: algorithm, Key: key,
				Claims: object{"aud": "shop-api", "sub": "alice"}})
		if kid := parseHeader(t, token)["kid"]; kid != realm.SigningKeyID(algorithm) {
			t.Errorf("kid is %v, want the realm's kid %s, as in a forged token", kid,
				realm.SigningKeyID(algorithm))
		}
		want := jwt.ErrTokenSignatureInvalid
		if algorithm == "HS256" {
			want = jwkset.ErrKeyNotFound
		}
		if _, err := verify(t, kc, realm, token); !errors.Is(err, want) {
			t.Errorf("%s: verify returns %v, want %v", algorithm, err, want)
		}
		verificationKey := key
		if signer, ok := key.(crypto.Signer); ok {
			verificationKey = signer.Public()
		}
		_, err := jwt.Parse(token, func(*jwt.Token) (any, error) {
			return verificationKey, nil
		})
		if err != nil {
			t.Errorf("%s: verification with TokenSpec.Key returns %v, want no error", algorithm,
				err)
		}
	}
}

// Mint returns an error for an unknown algorithm, a value that JSON can't represent, and a key of
// the wrong type.
func TestRealm_Mint_errors(t *testing.T) {
	_, realm := startShop(t)
	keys := foreignKeys(t)
	for _, tt := range []struct {
		spec tokenSpec
		want string
	}{
		{tokenSpec{Algorithm: "none"},
			`keycloaktest: "none" isn't a signature algorithm of Keycloak`},
		{tokenSpec{Algorithm: "rs256"}, `"rs256" isn't a signature algorithm`},
		{tokenSpec{Algorithm: "RSA-OAEP"}, `"RSA-OAEP" isn't a signature algorithm`},
		{tokenSpec{Claims: object{"x": math.NaN()}},
			"keycloaktest: claims: json: unsupported value: NaN"},
		{tokenSpec{Claims: object{"x": func() {}}},
			"keycloaktest: claims: json: unsupported type: func()"},
		{tokenSpec{Header: object{"x": make(chan int)}},
			"keycloaktest: header: json: unsupported type: chan int"},
		{tokenSpec{Key: keys["ES256"]}, "keycloaktest: sign with RS256: "},
		{tokenSpec{Algorithm: "ES256", Key: keys["RS256"]}, "keycloaktest: sign with ES256: "},
		{tokenSpec{Algorithm: "ES256", Key: keys["ES384"]}, "keycloaktest: sign with ES256: "},
		{tokenSpec{Algorithm: "EdDSA", Key: keys["ES256"]}, "keycloaktest: sign with EdDSA: "},
		{tokenSpec{Algorithm: "HS256", Key: "a text"}, "keycloaktest: sign with HS256: "},
		{tokenSpec{Key: keys["RS256"].(*rsa.PrivateKey).Public()},
			"keycloaktest: sign with RS256: "},
	} {
		token, err := realm.Mint(tt.spec)
		wantError(t, err, tt.want)
		if token != "" {
			t.Errorf("Mint(%v) returns an error and a token, want only an error", tt.spec)
		}
	}
}

// Mint writes a time.Time in Claims as a NumericDate, the number of seconds since 1970.
func TestRealm_Mint_timeClaim(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{Name: "shop"}.File())
	oneHourLater := time.Now().Add(time.Hour)
	token, err := kc.Realm("shop").Mint(
		keycloaktest.TokenSpec{Claims: map[string]any{"nbf": oneHourLater}})
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	if nbf, err := parsed.Claims.GetNotBefore(); err != nil || nbf.Unix() != oneHourLater.Unix() {
		t.Errorf("nbf is %v (%v), want %d", nbf, err, oneHourLater.Unix())
	}
}

// Tokens of an impersonated user name the administrator, also after a refresh. Tokens of other
// sign-ins don't.
func TestRealm_Impersonate(t *testing.T) {
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{Name: "r",
		Clients: []keycloaktest.ClientSpec{{ID: "app"}},
		Users:   []keycloaktest.UserSpec{{Name: "ann"}, {Name: "root"}}}.File())
	r := kc.Realm("r")
	tokens, err := r.Impersonate("app", "ann", "root")
	if err != nil {
		t.Fatal(err)
	}
	refreshed := post(t, r.EndpointURL("/token"), "grant_type", "refresh_token", "client_id", "app",
		"refresh_token", tokens.RefreshToken).wantOK(t)
	for _, token := range []string{tokens.AccessToken, tokens.IDToken,
		refreshed.field("access_token")} {
		claims := parseClaims(t, token)
		act, _ := claims["act"].(map[string]any)
		if claims["sub"] != r.User("ann").ID() || act["sub"] != r.User("root").ID() {
			t.Errorf("sub is %v and act is %v, want the IDs of ann and root", claims["sub"], act)
		}
	}
	own, err := r.SignIn("app", "ann")
	if act := parseClaims(t, own.AccessToken)["act"]; err != nil || act != nil {
		t.Errorf("act after SignIn is %v (%v), want none", act, err)
	}
	for administrator, want := range map[string]string{
		"": "needs an administrator", "nobody": `no user "nobody"`,
	} {
		_, err := r.Impersonate("app", "ann", administrator)
		wantError(t, err, want)
	}
}
