package keycloak

import (
	"crypto"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// The tokens in this file are rejected for their claims. Nearly all of them are signed with the
// realm's keys, so nothing else is wrong with them.

// issuerAttacks returns tokens whose iss isn't the realm's issuer.
func issuerAttacks(f *forge) []attack {
	issToken := func(iss any) string { return f.token(f.ed, nil, object{"iss": iss}) }
	errNotAccepted := identity.ErrTokenNotAccepted
	return []attack{
		row("iss missing", "RFC 9068, section 2.2", issToken(absent), errNotAccepted,
			"iss is missing"),
		row("iss null", "RFC 7519, section 4.1.1", issToken(nil), errNotAccepted, "iss"),
		row("iss empty", "RFC 9068, section 4", issToken(""), errNotAccepted, `iss is ""`),
		row("iss is a number", "RFC 7519, section 4.1.1", issToken(1), errNotAccepted, "iss is 1"),
		row("iss is a list that contains ours", "RFC 7519, section 4.1.1",
			issToken([]string{localIssuer}), errNotAccepted, "iss is ["),
		row("iss is an object", "RFC 7519, section 4.1.1", issToken(object{localIssuer: true}),
			errNotAccepted, "iss is {"),
		row("iss of another realm on the server", "RFC 8725, section 3.8", issToken(otherIssuer),
			errNotAccepted, otherIssuer),
		row("iss of the master realm", "RFC 8725, section 3.8",
			issToken("http://localhost:8080/realms/master"), errNotAccepted, "realms/master"),
		row("iss starts with ours", "RFC 9068, section 4", issToken(localIssuer+"2"),
			errNotAccepted,
			localIssuer+"2"),
		row("iss is a prefix of ours", "RFC 9068, section 4",
			issToken(localIssuer[:len(localIssuer)-1]), errNotAccepted, "iss"),
		row("iss is only the realm's name", "CVE-2024-53861", issToken("local"), errNotAccepted,
			`iss is "local"`),
		row("iss with a trailing slash", "RFC 9068, section 4", issToken(localIssuer+"/"),
			errNotAccepted, "iss"),
		row("iss in another case", "RFC 9068, section 4", issToken(strings.ToUpper(localIssuer)),
			errNotAccepted, "iss"),
		row("iss with https", "RFC 9068, section 4",
			issToken(strings.Replace(localIssuer, "http:", "https:", 1)), errNotAccepted, "iss"),
		row("iss whose path, with the dots resolved, is ours", "RFC 9068, section 4",
			issToken("http://localhost:8080/realms/other/../local"), errNotAccepted, "iss"),
		row("iss with another host before ours", "RFC 9068, section 4",
			issToken("http://evil.example/?"+localIssuer), errNotAccepted, "evil.example"),
		row("iss with an IP address as its host", "RFC 9068, section 4",
			issToken("http://127.0.0.1:8080/realms/local"), errNotAccepted, "127.0.0.1"),
		row("iss with a trailing space", "RFC 9068, section 4", issToken(localIssuer+" "),
			errNotAccepted, "iss"),
		row("iss with a trailing NUL byte", "RFC 9068, section 4", issToken(localIssuer+"\x00"),
			errNotAccepted, "iss"),
		row("iss of the attacker's server, with its key", "RFC 8725, section 2.9",
			f.token(f.attacker, nil, object{"iss": f.canary.URL}), errNotAccepted, f.canary.URL),
		row("iss with a forged log line", "RFC 8725, section 3.10",
			issToken("x\nlevel=ERROR msg=forged"), errNotAccepted, "forged"),
		row("iss only in the header", "RFC 7519, section 5.3",
			f.token(f.ed, object{"iss": localIssuer}, object{"iss": absent}), errNotAccepted,
			"iss is missing"),
	}
}

// typeAttacks returns tokens from Keycloak that aren't access tokens, that are bound to a key, or
// that have no sub.
func typeAttacks(f *forge) []attack {
	errNotAccepted := identity.ErrTokenNotAccepted
	typToken := func(typ any) string { return f.token(f.ed, nil, object{"typ": typ}) }
	// realmToken returns a token signed by the realm. It has these claims in addition to the claims
	// that every token of the realm has.
	realmToken := func(k signingKey, headerTyp string, claims object) string {
		baseClaims := object{"iat": noonPlus(-time.Minute), "exp": noonPlus(4 * time.Minute),
			"iss": localIssuer, "jti": "6e0ffcf1-7c2c-4b1f-8a30-1b6f4bd0a7a5"}
		return k.sign(f.header(k, object{"typ": headerTyp}), patch(f.t, toJSON(baseClaims), claims))
	}
	// hs512Token returns a token that Keycloak makes for its own use. Keycloak publishes no key for
	// HS512, so the signature is all zeros.
	hs512Token := func(claims object) string {
		baseClaims := object{"iat": noonPlus(-time.Minute), "exp": noonPlus(time.Hour),
			"iss": localIssuer, "aud": localIssuer, "sub": aliceID}
		input := f.signingInput(
			`{"alg":"HS512","typ" : "JWT","kid" : "5a4a2f0e-41f5-4c0e-9a39-66f3a77f3d0e"}`,
			patch(f.t, toJSON(baseClaims), claims))
		return f.compact(input, make([]byte, crypto.SHA512.Size()))
	}
	userClaims := object{"sub": aliceID, "aud": localAudience, "azp": "local-api",
		"sid": "q1c9HhvZ3rXxkUe7a0uWZJ2b"}
	withUserClaims := func(changes object) object {
		out := object{}
		for _, claims := range []object{userClaims, changes} {
			for name, value := range claims {
				out[name] = value
			}
		}
		return out
	}
	logoutEvents := object{"http://schemas.openid.net/event/backchannel-logout": object{}}
	thumbprint := "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	errSignature := identity.ErrTokenSignature
	return []attack{
		row("typ bearer in lowercase",
			"Keycloak 26.7.4: the client attribute token.response.type.bearer.lower-case",
			typToken("bearer"), nil),
		row("an ID token",
			"Keycloak 26.7.4: an ID token has typ ID, and the access token's key and issuer",
			realmToken(f.rsa, "JWT", withUserClaims(object{"typ": "ID", "at_hash": "x"})),
			errNotAccepted,
			`"ID"`),
		row("an expired ID token",
			"Keycloak 26.7.4: an ID token has typ ID, and lives no longer than the access token",
			realmToken(
				f.rsa, "JWT", withUserClaims(object{"typ": "ID", "exp": noonPlus(-time.Hour)})),
			errNotAccepted, `"ID"`),
		row("an ID token without a typ", "OpenID Connect Core 1.0, section 2",
			realmToken(f.rsa, "JWT", withUserClaims(object{"nonce": "n-0S6_WzA2Mj"})),
			errNotAccepted,
			"typ is missing"),
		row("a refresh token", "Keycloak 26.7.4: refresh tokens are signed with HS512",
			hs512Token(object{"typ": "Refresh", "prov": "default"}), errSignature, `"HS512"`),
		row("a refresh token signed with the realm's RSA key", "RFC 8725, section 2.8",
			realmToken(f.rsa, "JWT", withUserClaims(object{"typ": "Refresh"})), errNotAccepted,
			`"Refresh"`),
		row("an offline token", "Keycloak 26.7.4: an offline token has typ Offline and no exp",
			hs512Token(object{"typ": "Offline", "exp": absent}), errSignature, `"HS512"`),
		row("an offline token signed with the realm's RSA key", "RFC 8725, section 2.8",
			realmToken(f.rsa, "JWT", withUserClaims(object{"typ": "Offline", "exp": absent})),
			errNotAccepted,
			`"Offline"`),
		row("a logout token", "Keycloak 26.7.4: a logout token has the header typ logout+jwt",
			realmToken(
				f.rsa, "logout+jwt",
				withUserClaims(object{"typ": "Logout", "events": logoutEvents})),
			errNotAccepted, "logout+jwt"),
		row("a logout token with typ JWT in its header",
			"OpenID Connect Back-Channel Logout 1.0, section 2.4",
			realmToken(
				f.rsa, "JWT", withUserClaims(object{"typ": "Logout", "events": logoutEvents})),
			errNotAccepted, `"Logout"`),
		row("the login cookie",
			"Keycloak 26.7.4: KEYCLOAK_IDENTITY is a token of typ Serialized-ID",
			hs512Token(object{"typ": "Serialized-ID"}), errSignature, `"HS512"`),
		row("the login cookie signed with the realm's RSA key", "RFC 8725, section 2.8",
			realmToken(f.rsa, "JWT", withUserClaims(object{"typ": "Serialized-ID"})),
			errNotAccepted,
			`"Serialized-ID"`),
		row("a registration access token",
			"Keycloak 26.7.4: a registration access token has typ RegistrationAccessToken",
			hs512Token(object{"typ": "RegistrationAccessToken",
				"registration_auth": "authenticated"}), errSignature, `"HS512"`),
		row("an initial access token signed with the realm's RSA key",
			"Keycloak 26.7.4: an initial access token has typ InitialAccessToken",
			realmToken(f.rsa, "JWT", withUserClaims(object{"typ": "InitialAccessToken"})),
			errNotAccepted,
			`"InitialAccessToken"`),
		row("a password reset link",
			"Keycloak 26.7.4: an action token has the action's name as its typ",
			hs512Token(object{"typ": "reset-credentials", "asid": "x"}), errSignature, `"HS512"`),
		row("an action link signed with the realm's RSA key",
			"Keycloak 26.7.4: an action token has the action's name as its typ",
			realmToken(f.rsa, "JWT", withUserClaims(object{"typ": "execute-actions"})),
			errNotAccepted,
			`"execute-actions"`),
		row("a signed userinfo response", "OpenID Connect Core 1.0, section 5.3.2",
			realmToken(
				f.rsa, "JWT", withUserClaims(object{"exp": absent, "email": "alice@example.com"})),
			errNotAccepted, "typ is missing"),
		row("a signed introspection response", "RFC 9701, section 5", realmToken(f.rsa, "JWT",
			object{"aud": localAudience,
				"token_introspection": withUserClaims(object{"typ": "Bearer",
					"active": true})}), errNotAccepted, "typ is missing"),
		row("a client assertion", "RFC 7523, section 3",
			realmToken(
				f.ed, "JWT", object{"iss": "local-api", "sub": "local-api", "aud": localIssuer}),
			errNotAccepted, `iss is "local-api"`),

		row("typ in the claims is missing", "RFC 8725, section 3.12", typToken(absent),
			errNotAccepted, "typ is missing"),
		row("typ in the claims is null", "RFC 8725, section 3.12", typToken(nil), errNotAccepted,
			"typ"),
		row("typ in the claims is empty", "RFC 8725, section 3.12", typToken(""),
			errNotAccepted, `typ is ""`),
		row("typ in the claims is a list", "RFC 8725, section 3.12", typToken([]string{"Bearer"}),
			errNotAccepted, "typ is ["),
		row("typ in the claims lists Bearer and ID", "RFC 8725, section 3.12",
			typToken("Bearer ID"), errNotAccepted, "Bearer ID"),
		row("typ Bearer with a trailing space", "RFC 8725, section 3.12", typToken("Bearer "),
			errNotAccepted, `"Bearer "`),
		row("typ Bearer only in the header", "RFC 8725, section 3.12",
			f.token(f.ed, object{"typ": "Bearer"}, object{"typ": absent}), errNotAccepted,
			"typ in the header"),
		row("typ is ID, TYP is Bearer", "RFC 7519, section 7.3",
			f.token(f.ed, nil, object{"typ": "ID", "TYP": "Bearer"}), errNotAccepted, `"ID"`),

		row("a token bound to a DPoP key",
			"RFC 9449, section 6.1; Keycloak 26.7.4: such a token has typ DPoP", f.token(f.ed, nil,
				object{"typ": "DPoP", "cnf": object{"jkt": thumbprint}}), errNotAccepted, `"DPoP"`),
		row("a token bound to a DPoP key, with typ Bearer", "RFC 9449, section 7.2",
			f.token(f.ed, nil, object{"cnf": object{"jkt": thumbprint}}), errNotAccepted, "cnf"),
		row("a token bound to a certificate", "RFC 8705, section 3.1", f.token(f.ed, nil,
			object{"cnf": object{"x5t#S256": thumbprint}}), errNotAccepted, "cnf"),
		row("a token bound to a key in its cnf", "RFC 7800, section 3.2",
			f.token(f.ed, nil, object{"cnf": object{"jwk": f.attacker.jwk()}}),
			errNotAccepted, "cnf"),
		row("a token bound to a key at a URL", "RFC 7800, section 3.5", f.token(f.ed, nil,
			object{"cnf": object{"jku": f.canary.URL, "kid": "evil"}}), errNotAccepted, "cnf"),
		row("cnf is an empty object", "RFC 7800, section 3.1",
			f.token(f.ed, nil, object{"cnf": object{}}), errNotAccepted, "cnf"),
		row("cnf is a string", "RFC 7800, section 3.1",
			f.token(f.ed, nil, object{"cnf": thumbprint}), errNotAccepted, "cnf"),
		row("cnf is null", "RFC 7800, section 3.1", f.token(f.ed, nil, object{"cnf": nil}),
			errNotAccepted, "cnf"),
		row("AllowBound: a token bound to a certificate", "RFC 8705, section 3.1",
			f.token(f.ed, nil, object{"cnf": object{"x5t#S256": thumbprint}}), nil).onSite("bound"),
		row("AllowBound: a token bound to a DPoP key", "RFC 9449, section 6.1",
			f.token(f.ed, nil, object{"typ": "DPoP", "cnf": object{"jkt": thumbprint}}),
			errNotAccepted, `"DPoP"`).onSite("bound"),

		row("sub missing",
			"Keycloak 26.7.4: sub comes with the client scope basic, and lightweight tokens "+
				"have none",
			f.token(f.ed, nil, object{"sub": absent}), errNotAccepted, "sub is missing"),
		row("sub null", "RFC 7519, section 4.1.2", f.token(f.ed, nil, object{"sub": nil}),
			errNotAccepted, "sub"),
		row("sub empty", "RFC 9068, section 2.2", f.token(f.ed, nil, object{"sub": ""}),
			errNotAccepted, `sub is ""`),
		row("sub is a number", "RFC 7519, section 4.1.2", f.token(f.ed, nil, object{"sub": 0}),
			errNotAccepted, "sub is 0"),
		row("sub is a list", "RFC 7519, section 4.1.2", f.token(f.ed, nil,
			object{"sub": []string{aliceID, "mallory"}}), errNotAccepted, "sub is ["),
	}
}

// audienceAttacks returns tokens whose aud or azp the site's VerifierConfig doesn't accept.
func audienceAttacks(f *forge) []attack {
	audToken := func(aud any) string { return f.token(f.ed, nil, object{"aud": aud}) }
	audAzpToken := func(aud, azp any) string {
		return f.token(f.ed, nil, object{"aud": aud, "azp": azp})
	}
	errNotAccepted := identity.ErrTokenNotAccepted
	return []attack{
		row("AnyAudienceFor: aud is account, azp is our client",
			"Keycloak 26.7.4: aud is account where the client has no audience mapper",
			audAzpToken("account", "local-api"), nil).onSite("party"),
		row("aud missing", "RFC 9068, section 4", audToken(absent), errNotAccepted,
			"aud is missing"),
		row("aud null", "RFC 7519, section 4.1.3", audToken(nil), errNotAccepted, "aud"),
		row("aud empty", "RFC 7519, section 4.1.3", audToken(""), errNotAccepted, `aud is ""`),
		row("aud is an empty list", "CVE-2020-26160", audToken([]string{}), errNotAccepted,
			"aud is []"),
		row("aud is a list that contains only an empty string", "CVE-2020-26160",
			audToken([]string{""}),
			errNotAccepted, "aud"),
		row("aud is another API", "RFC 8725, section 3.9", audToken("billing"), errNotAccepted,
			`"billing"`),
		row("aud is a list without ours", "RFC 8725, section 3.9",
			audToken([]string{"billing", "account"}), errNotAccepted, "billing"),
		row("aud is only account", "Keycloak 26.7.4: every user's token has account in aud",
			audToken("account"), errNotAccepted, `"account"`),
		row("aud in another case", "RFC 7519, section 4.1.3", audToken("LOCAL-API"), errNotAccepted,
			"LOCAL-API"),
		row("aud starts with ours", "RFC 7519, section 4.1.3", audToken("local-api-admin"),
			errNotAccepted, "local-api-admin"),
		row("aud is a prefix of ours", "RFC 7519, section 4.1.3", audToken("local"), errNotAccepted,
			`"local"`),
		row("aud is one string that lists three APIs", "RFC 7519, section 4.1.3",
			audToken("billing local-api account"), errNotAccepted, "billing"),
		row("aud with a trailing space", "RFC 7519, section 4.1.3", audToken("local-api "),
			errNotAccepted, "local-api "),
		row("aud is a list of patterns", "RFC 7519, section 4.1.3",
			audToken([]string{"*", ".*", "local-*"}), errNotAccepted, "local-*"),
		row("aud is a number", "RFC 7519, section 4.1.3", audToken(0), errNotAccepted, "aud is 0"),
		row("aud is true", "RFC 7519, section 4.1.3", audToken(true), errNotAccepted,
			"aud is true"),
		row("aud is an object that contains ours", "RFC 7519, section 4.1.3",
			audToken(object{"local-api": true, "0": "local-api", "length": 1}), errNotAccepted,
			"aud is {"),
		row("aud is a list in a list", "RFC 7519, section 4.1.3",
			audToken([]any{[]string{"local-api"}}), errNotAccepted, "aud is [["),
		row("aud is a list of ours and a number", "RFC 7519, section 4.1.3",
			audToken([]any{"local-api", 7}), errNotAccepted, "7"),
		row("AUD instead of aud", "RFC 7519, section 7.3",
			f.token(f.ed, nil, object{"aud": absent, "AUD": "local-api", "audience": "local-api"}),
			errNotAccepted, "aud is missing"),
		row("aud is the issuer", "Keycloak 26.7.4: aud of a refresh token is the issuer",
			audToken(localIssuer), errNotAccepted, localIssuer),
		row("aud is account, azp missing", "RFC 8725, section 3.9", audAzpToken("account", absent),
			errNotAccepted, "azp is missing"),
		row("aud is account, azp empty", "RFC 8725, section 3.9", audAzpToken("account", ""),
			errNotAccepted, `azp is ""`),
		row("aud missing, azp is our client", "RFC 8725, section 3.9", audAzpToken(absent,
			"local-api"), errNotAccepted, "azp"),
		row("aud is account, azp is our client", "RFC 8725, section 3.9",
			audAzpToken("account", "local-api"), errNotAccepted, "azp"),

		row("AnyAudienceFor: aud lists other APIs in which the user has a role",
			"Keycloak 26.7.4: aud has each client in which the user has a role",
			audAzpToken([]string{"realm-management", "account", "billing"}, "local-api"),
			nil).onSite("party"),
		row("AnyAudienceFor: aud lists an API twice", "RFC 7519, section 4.1.3",
			audAzpToken([]string{"billing", "billing"}, "local-api"), nil).onSite("party"),
		row("AnyAudienceFor: aud is another API, azp another client", "RFC 8725, section 3.9",
			audAzpToken("billing", "web"), errNotAccepted, "billing").onSite("party"),
		row("AnyAudienceFor: aud is our client, azp another client", "RFC 9068, section 4",
			audAzpToken("local-api", "web"), nil).onSite("party"),
		row("AnyAudienceFor: aud lists an empty string", "RFC 7519, section 4.1.3",
			audAzpToken([]string{"billing", ""}, "local-api"), errNotAccepted,
			"aud").onSite("party"),
		row("AnyAudienceFor: aud lists another API and a number", "RFC 7519, section 4.1.3",
			audAzpToken([]any{"billing", 7}, "local-api"), errNotAccepted, "7").onSite("party"),
		row("AnyAudienceFor: aud empty", "RFC 7519, section 4.1.3", audAzpToken("", "local-api"),
			errNotAccepted, `aud is ""`).onSite("party"),
		row("AnyAudienceFor: azp is another client, AZP is ours", "RFC 7519, section 7.3",
			f.token(f.ed, nil, object{"aud": "billing", "azp": "web", "AZP": "local-api"}),
			errNotAccepted, `azp is "web"`).onSite("party"),

		row("AuthorizedParties: azp is the second of them",
			"Keycloak 26.7.4: azp is the client that a token was issued to",
			audAzpToken(localAudience, "web"), nil).onSite("parties"),
		row("AuthorizedParties: azp is another client, the user has a role in ours",
			"Keycloak 26.7.4: aud has each client in which the user has a role",
			audAzpToken([]string{"account", localAudience}, "other-web"), errNotAccepted,
			`azp is "other-web"`).onSite("parties"),
		row("azp is another client, without AuthorizedParties", "RFC 9068, section 4",
			audAzpToken([]string{"account", localAudience}, "other-web"), nil),
		row("AuthorizedParties: the service account of another client",
			"Keycloak 26.7.4: a service account's azp is its client",
			f.token(f.ed, nil,
				object{"aud": localAudience, "azp": "robot", "client_id": "robot", "sid": absent}),
			errNotAccepted, `azp is "robot"`).onSite("parties"),
		row("AuthorizedParties: azp is one of them, aud another API", "RFC 9068, section 4",
			audAzpToken("billing", "web"), errNotAccepted, "billing").onSite("parties"),
		row("AuthorizedParties: azp is one of them, aud missing", "RFC 9068, section 4",
			audAzpToken(absent, "local-api"), errNotAccepted, "aud is missing").onSite("parties"),
		row("AuthorizedParties: azp missing", "RFC 9068, section 2.2",
			audAzpToken(localAudience, absent), errNotAccepted, "azp is missing").onSite("parties"),
		row("AuthorizedParties: azp empty", "RFC 9068, section 2.2", audAzpToken(localAudience, ""),
			errNotAccepted, `azp is ""`).onSite("parties"),
		row("AuthorizedParties: azp is a list", "OpenID Connect Core 1.0, section 2",
			audAzpToken(localAudience, []string{"web"}), errNotAccepted,
			"azp is [").onSite("parties"),
		row("AuthorizedParties: azp in another case", "OpenID Connect Core 1.0, section 2",
			audAzpToken(localAudience, "WEB"), errNotAccepted, "WEB").onSite("parties"),
		row("AuthorizedParties: azp starts with one of them", "OpenID Connect Core 1.0, section 2",
			audAzpToken(localAudience, "web-evil"), errNotAccepted, "web-evil").onSite("parties"),
		row("AuthorizedParties: azp lists two clients in one string",
			"OpenID Connect Core 1.0, section 2",
			audAzpToken(localAudience, "local-api,web"), errNotAccepted,
			"local-api,web").onSite("parties"),
		row("AuthorizedParties: client_id is one of them, azp isn't", "RFC 9068, section 2.2",
			f.token(f.ed, nil, object{"azp": "other-web", "client_id": "web"}), errNotAccepted,
			`azp is "other-web"`).onSite("parties"),
		row("AnyAudienceFor: aud is account, azp another client", "RFC 8725, section 2.7",
			audAzpToken("account", "web"), errNotAccepted, `azp is "web"`).onSite("party"),
		row("AnyAudienceFor: aud is account, azp missing", "RFC 8725, section 2.7",
			audAzpToken("account", absent), errNotAccepted, "azp is missing").onSite("party"),
		row("AnyAudienceFor: aud missing, azp another client", "RFC 8725, section 2.7",
			audAzpToken(absent, "web"), errNotAccepted, `azp is "web"`).onSite("party"),
		row("AnyAudienceFor: azp is a list that contains ours",
			"OpenID Connect Core 1.0, section 2",
			audAzpToken("account", []string{"local-api"}), errNotAccepted,
			"azp is [").onSite("party"),
		row("AnyAudienceFor: azp in another case", "RFC 8725, section 2.7",
			audAzpToken("account", "LOCAL-API"), errNotAccepted, "LOCAL-API").onSite("party"),
		row("AnyAudienceFor: client_id instead of azp", "RFC 9068, section 2.2",
			f.token(f.ed, nil, object{"aud": "account", "azp": absent, "client_id": "local-api"}),
			errNotAccepted, "azp is missing").onSite("party"),
		row("AnyAudienceFor: aud is a number", "RFC 7519, section 4.1.3", audAzpToken(7,
			"local-api"), errNotAccepted, "aud is 7").onSite("party"),
		row("AnyAudienceFor: aud is a list that contains null", "RFC 7519, section 4.1.3",
			audAzpToken([]any{nil}, "local-api"), errNotAccepted, "aud").onSite("party"),
	}
}

// timeAttacks returns tokens that have expired, that aren't valid yet, or whose times aren't valid
// numbers.
func timeAttacks(f *forge) []attack {
	claimToken := func(name string, value any) string {
		return f.token(f.ed, nil, object{name: value})
	}
	numberToken := func(name, digits string) string { return claimToken(name, json.Number(digits)) }
	errExpired, errNotYetValid, errMalformed := identity.ErrTokenExpired,
		identity.ErrTokenNotYetValid, identity.ErrTokenMalformed
	source := "RFC 7519, section 4.1.4"
	return []attack{
		row("exp in the last second of the leeway", source, claimToken("exp",
			noonPlus(-29*time.Second)), nil),
		row("nbf in the last second of the leeway", "RFC 7519, section 4.1.5",
			claimToken("nbf", noonPlus(30*time.Second)), nil),
		row("iat in the last second of the leeway", "RFC 7519, section 4.1.6",
			claimToken("iat", noonPlus(30*time.Second)), nil),

		row("exp is a second past the leeway", source, claimToken("exp", noonPlus(-30*time.Second)),
			errExpired, "11:59:30"),
		row("exp an hour ago", source, claimToken("exp", noonPlus(-time.Hour)), errExpired,
			"11:00:00"),
		row("exp in 1970", source, claimToken("exp", 0), errExpired, "1970"),
		row("exp with a fraction, past the leeway", "RFC 7519, section 2",
			numberToken("exp", fmt.Sprintf("%d.999", noonPlus(-31*time.Second))), errExpired,
			"exp"),
		row("exp with an exponent", "RFC 7519, section 2", numberToken("exp", "1.7e9"), errExpired,
			"exp"),
		row("exp is minus zero", "RFC 7519, section 2", numberToken("exp", "-0"), errExpired,
			"exp"),
		row("exp is almost zero", "RFC 7519, section 2", numberToken("exp", "1e-300"), errExpired,
			"exp"),
		row("exp in the past, key unknown", "RFC 9068, section 4",
			f.token(f.attacker, nil, object{"exp": noonPlus(-time.Hour)}), errExpired, "exp"),
		row("exp missing", "RFC 9068, section 2.2; RFC 9068, section 4", claimToken("exp", absent),
			errMalformed, "exp is missing"),
		row("EXP instead of exp", "RFC 7519, section 7.3",
			f.token(f.ed, nil, object{"exp": absent, "EXP": noonPlus(time.Hour)}), errMalformed,
			"exp is missing"),
		row("exp null", source, claimToken("exp", nil), errMalformed, "exp"),
		row("exp is a number in quotes", source, claimToken("exp", fmt.Sprint(noonPlus(time.Hour))),
			errMalformed, "exp"),
		row("exp is a date", source, claimToken("exp", "2099-01-01T00:00:00Z"), errMalformed,
			"exp"),
		row("exp is true", source, claimToken("exp", true), errMalformed, "exp"),
		row("exp is a list", source, claimToken("exp", []int64{noonPlus(time.Hour)}), errMalformed,
			"exp"),
		row("exp is an object", source, claimToken("exp", object{"$gt": 0}), errMalformed, "exp"),
		row("exp is NaN in quotes", source, claimToken("exp", "NaN"), errMalformed, "exp"),
		row("exp is NaN", "RFC 8259, section 6",
			f.ed.sign(f.header(f.ed, nil),
				strings.Replace(f.payload, `"exp":1767269040`, `"exp":NaN`, 1)),
			errMalformed,
			"JSON"),
		row("exp negative", "RFC 7519, section 2", claimToken("exp", -1), errMalformed, "exp"),
		row("exp in milliseconds", "RFC 7519, section 2",
			claimToken("exp", noon.Add(time.Hour).UnixMilli()), errMalformed, "exp"),
		row("exp in the year 10000", "RFC 3339, section 1", numberToken("exp", "253402300800"),
			errMalformed, "exp"),
		row("exp exceeds 64 bits", "RFC 8259, section 6",
			numberToken("exp", "18446744073709551616"),
			errMalformed, "exp"),
		row("exp whose low 64 bits are in the future", "RFC 8259, section 6",
			numberToken("exp", "18446744075476820656"), errMalformed, "exp"),
		row("exp is 1e300", "RFC 8259, section 6", numberToken("exp", "1e300"), errMalformed,
			"exp"),
		row("exp is 1e400", "RFC 8259, section 6", numberToken("exp", "1e400"), errMalformed,
			"1e400"),

		row("nbf is a second past the leeway", "RFC 7519, section 4.1.5", claimToken("nbf",
			noonPlus(31*time.Second)), errNotYetValid, "nbf is 2026-01-01T12:00:31Z"),
		row("nbf tomorrow", "RFC 7519, section 4.1.5", claimToken("nbf", noonPlus(24*time.Hour)),
			errNotYetValid, "nbf"),
		row("nbf in milliseconds", "RFC 7519, section 2", claimToken("nbf", noon.UnixMilli()),
			errMalformed, "nbf"),
		row("nbf is a string", "RFC 7519, section 4.1.5", claimToken("nbf", "0"), errMalformed,
			"nbf"),
		row("nbf null", "RFC 7519, section 4.1.5", claimToken("nbf", nil), errMalformed, "nbf"),
		row("nbf tomorrow, exp in the past", "RFC 7519, section 4.1.5",
			f.token(f.ed, nil, object{"nbf": noonPlus(24 * time.Hour),
				"exp": noonPlus(-time.Hour)}),
			errNotYetValid, "nbf"),
		row("iat is a second past the leeway", "RFC 7519, section 4.1.6", claimToken("iat",
			noonPlus(31*time.Second)), errNotYetValid, "iat is 2026-01-01T12:00:31Z"),
		row("iat next year", "RFC 7519, section 4.1.6", claimToken("iat",
			noonPlus(365*24*time.Hour)), errNotYetValid, "iat"),
		row("iat is a list", "RFC 7519, section 4.1.6", claimToken("iat", []int{0}), errMalformed,
			"iat"),
		row("iat negative", "RFC 7519, section 2", claimToken("iat", -62135596800), errMalformed,
			"iat"),
	}
}
