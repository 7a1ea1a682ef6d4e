package keycloak

import (
	"crypto"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// All tokens of this file are signed with the realm's own keys, but for those whose key can't be:
// what they lack is to be meant for us.

func issuerAttacks(f *forge) []attack {
	with := func(iss any) string { return f.token(f.ed, nil, object{"iss": iss}) }
	refused := identity.ErrTokenNotAccepted
	return []attack{
		row("iss missing", "RFC 9068, section 2.2", with(gone), refused, "iss is missing"),
		row("iss null", "RFC 7519, section 4.1.1", with(nil), refused, "iss"),
		row("iss empty", "RFC 9068, section 4", with(""), refused, `iss is ""`),
		row("iss a number", "RFC 7519, section 4.1.1", with(1), refused, "iss is 1"),
		row("iss a list with ours", "RFC 7519, section 4.1.1", with([]string{localIssuer}), refused, "iss is ["),
		row("iss an object", "RFC 7519, section 4.1.1", with(object{localIssuer: true}), refused, "iss is {"),
		row("iss of another realm of the server", "RFC 8725, section 3.8", with(otherIssuer), refused, otherIssuer),
		row("iss of the master realm", "RFC 8725, section 3.8", with("http://localhost:8080/realms/master"), refused, "realms/master"),
		row("iss that begins like ours", "RFC 9068, section 4", with(localIssuer+"2"), refused, localIssuer+"2"),
		row("iss that ours begins with", "RFC 9068, section 4", with(localIssuer[:len(localIssuer)-1]), refused, "iss"),
		row("iss that is a part of ours", "CVE-2024-53861", with("local"), refused, `iss is "local"`),
		row("iss with a slash", "RFC 9068, section 4", with(localIssuer+"/"), refused, "iss"),
		row("iss in another case", "RFC 9068, section 4", with(strings.ToUpper(localIssuer)), refused, "iss"),
		row("iss of https", "RFC 9068, section 4", with(strings.Replace(localIssuer, "http:", "https:", 1)), refused, "iss"),
		row("iss with a path that leads to ours", "RFC 9068, section 4", with("http://localhost:8080/realms/other/../local"), refused, "iss"),
		row("iss with a name before ours", "RFC 9068, section 4", with("http://evil.example/?"+localIssuer), refused, "evil.example"),
		row("iss with an address for the name", "RFC 9068, section 4", with("http://127.0.0.1:8080/realms/local"), refused, "127.0.0.1"),
		row("iss with a blank", "RFC 9068, section 4", with(localIssuer+" "), refused, "iss"),
		row("iss with a zero byte", "RFC 9068, section 4", with(localIssuer+"\x00"), refused, "iss"),
		row("iss of the attacker's server, with its key", "RFC 8725, section 2.9", f.token(f.evil, nil, object{"iss": f.canary.URL}), refused, f.canary.URL),
		row("iss with a line of a log", "RFC 8725, section 3.10", with("x\nlevel=ERROR msg=forged"), refused, "forged"),
		row("iss in the header alone", "RFC 7519, section 5.3", f.token(f.ed, object{"iss": localIssuer}, object{"iss": gone}), refused, "iss is missing"),
	}
}

// kindAttacks are good tokens of Keycloak's that are no access tokens, or are bound to somebody.
func kindAttacks(f *forge) []attack {
	refused := identity.ErrTokenNotAccepted
	typ := func(typ any) string { return f.token(f.ed, nil, object{"typ": typ}) }
	// made is a token as the realm makes it, of those claims and what every token has.
	made := func(s signer, headerTyp string, claims object) string {
		base := object{"iat": atNoon(-time.Minute), "exp": atNoon(4 * time.Minute), "iss": localIssuer, "jti": "6e0ffcf1-7c2c-4b1f-8a30-1b6f4bd0a7a5"}
		return s.sign(f.header(s, object{"typ": headerTyp}), with(f.t, toJSON(base), claims))
	}
	// internal is one that Keycloak reads itself: its key is a secret which no key set has.
	internal := func(claims object) string {
		base := object{"iat": atNoon(-time.Minute), "exp": atNoon(time.Hour), "iss": localIssuer, "aud": localIssuer, "sub": aliceID}
		input := f.input(`{"alg":"HS512","typ" : "JWT","kid" : "5a4a2f0e-41f5-4c0e-9a39-66f3a77f3d0e"}`, with(f.t, toJSON(base), claims))
		return f.spend(input, make([]byte, crypto.SHA512.Size()))
	}
	user := object{"sub": aliceID, "aud": localAudience, "azp": "local-api", "sid": "q1c9HhvZ3rXxkUe7a0uWZJ2b"}
	as := func(changes object) object {
		out := object{}
		for _, members := range []object{user, changes} {
			for name, value := range members {
				out[name] = value
			}
		}
		return out
	}
	event := object{"http://schemas.openid.net/event/backchannel-logout": object{}}
	thumbprint := "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	hs512 := identity.ErrTokenSignature
	return []attack{
		row("typ in lower case", "Keycloak 26.7.4: the client attribute token.response.type.bearer.lower-case", typ("bearer"), nil),
		row("an ID token", "Keycloak 26.7.4: an ID token has typ ID, and key and issuer of the access token", made(f.rsa, "JWT", as(object{"typ": "ID", "at_hash": "x"})), refused, `"ID"`),
		row("an ID token that has expired", "Keycloak 26.7.4: an ID token has typ ID, and lives no longer than the access token", made(f.rsa, "JWT", as(object{"typ": "ID", "exp": atNoon(-time.Hour)})), refused, `"ID"`),
		row("an ID token without a typ", "OpenID Connect Core 1.0, section 2", made(f.rsa, "JWT", as(object{"nonce": "n-0S6_WzA2Mj"})), refused, "typ is missing"),
		row("a refresh token", "Keycloak 26.7.4: refresh tokens are signed with HS512", internal(object{"typ": "Refresh", "prov": "default"}), hs512, `"HS512"`),
		row("a refresh token of the realm's RSA key", "RFC 8725, section 2.8", made(f.rsa, "JWT", as(object{"typ": "Refresh"})), refused, `"Refresh"`),
		row("an offline token", "Keycloak 26.7.4: an offline token has typ Offline and no exp", internal(object{"typ": "Offline", "exp": gone}), hs512, `"HS512"`),
		row("an offline token of the realm's RSA key", "RFC 8725, section 2.8", made(f.rsa, "JWT", as(object{"typ": "Offline", "exp": gone})), refused, `"Offline"`),
		row("a logout token", "Keycloak 26.7.4: a logout token has the header typ logout+jwt", made(f.rsa, "logout+jwt", as(object{"typ": "Logout", "events": event})), refused, "logout+jwt"),
		row("a logout token with the header of a JWT", "OpenID Connect Back-Channel Logout 1.0, section 2.4", made(f.rsa, "JWT", as(object{"typ": "Logout", "events": event})), refused, `"Logout"`),
		row("the cookie of the login pages", "Keycloak 26.7.4: KEYCLOAK_IDENTITY is a token of typ Serialized-ID", internal(object{"typ": "Serialized-ID"}), hs512, `"HS512"`),
		row("the cookie, of the realm's RSA key", "RFC 8725, section 2.8", made(f.rsa, "JWT", as(object{"typ": "Serialized-ID"})), refused, `"Serialized-ID"`),
		row("a registration access token", "Keycloak 26.7.4: a registration access token has typ RegistrationAccessToken", internal(object{"typ": "RegistrationAccessToken", "registration_auth": "authenticated"}), hs512, `"HS512"`),
		row("an initial access token of the realm's RSA key", "Keycloak 26.7.4: an initial access token has typ InitialAccessToken", made(f.rsa, "JWT", as(object{"typ": "InitialAccessToken"})), refused, `"InitialAccessToken"`),
		row("a link to reset a password", "Keycloak 26.7.4: an action token has the action's name as its typ", internal(object{"typ": "reset-credentials", "asid": "x"}), hs512, `"HS512"`),
		row("a link, of the realm's RSA key", "Keycloak 26.7.4: an action token has the action's name as its typ", made(f.rsa, "JWT", as(object{"typ": "execute-actions"})), refused, `"execute-actions"`),
		row("a signed answer of userinfo", "OpenID Connect Core 1.0, section 5.3.2", made(f.rsa, "JWT", as(object{"exp": gone, "email": "alice@example.com"})), refused, "typ is missing"),
		row("a signed answer of introspection", "RFC 9701, section 5", made(f.rsa, "JWT", object{"aud": localAudience, "token_introspection": as(object{"typ": "Bearer", "active": true})}), refused, "typ is missing"),
		row("a client's assertion", "RFC 7523, section 3", made(f.ed, "JWT", object{"iss": "local-api", "sub": "local-api", "aud": localIssuer}), refused, `iss is "local-api"`),

		row("typ missing", "RFC 8725, section 3.12", typ(gone), refused, "typ is missing"),
		row("typ in the claims null", "RFC 8725, section 3.12", typ(nil), refused, "typ"),
		row("typ in the claims empty", "RFC 8725, section 3.12", typ(""), refused, `typ is ""`),
		row("typ in the claims a list", "RFC 8725, section 3.12", typ([]string{"Bearer"}), refused, "typ is ["),
		row("typ of both kinds", "RFC 8725, section 3.12", typ("Bearer ID"), refused, "Bearer ID"),
		row("typ Bearer and a blank", "RFC 8725, section 3.12", typ("Bearer "), refused, `"Bearer "`),
		row("typ Bearer in the header alone", "RFC 8725, section 3.12", f.token(f.ed, object{"typ": "Bearer"}, object{"typ": gone}), refused, "typ in the header"),
		row("TYP for typ", "RFC 7519, section 7.3", f.token(f.ed, nil, object{"typ": "ID", "TYP": "Bearer"}), refused, `"ID"`),

		row("bound to a DPoP key", "RFC 9449, section 6.1; Keycloak 26.7.4: such a token has typ DPoP", f.token(f.ed, nil, object{"typ": "DPoP", "cnf": object{"jkt": thumbprint}}), refused, `"DPoP"`),
		row("bound to a DPoP key, as Bearer", "RFC 9449, section 7.2", f.token(f.ed, nil, object{"cnf": object{"jkt": thumbprint}}), refused, "cnf"),
		row("bound to a certificate", "RFC 8705, section 3.1", f.token(f.ed, nil, object{"cnf": object{"x5t#S256": thumbprint}}), refused, "cnf"),
		row("bound to a key in the token", "RFC 7800, section 3.2", f.token(f.ed, nil, object{"cnf": object{"jwk": f.evil.jwk()}}), refused, "cnf"),
		row("bound to a key elsewhere", "RFC 7800, section 3.5", f.token(f.ed, nil, object{"cnf": object{"jku": f.canary.URL, "kid": "evil"}}), refused, "cnf"),
		row("bound to nothing", "RFC 7800, section 3.1", f.token(f.ed, nil, object{"cnf": object{}}), refused, "cnf"),
		row("bound by a text", "RFC 7800, section 3.1", f.token(f.ed, nil, object{"cnf": thumbprint}), refused, "cnf"),
		row("bound by null", "RFC 7800, section 3.1", f.token(f.ed, nil, object{"cnf": nil}), refused, "cnf"),
		row("bound to a certificate, where somebody in front checks that", "RFC 8705, section 3.1", f.token(f.ed, nil, object{"cnf": object{"x5t#S256": thumbprint}}), nil).on("bound"),
		row("bound to a DPoP key, where certificates are checked", "RFC 9449, section 6.1", f.token(f.ed, nil, object{"typ": "DPoP", "cnf": object{"jkt": thumbprint}}), refused, `"DPoP"`).on("bound"),

		row("sub missing", "Keycloak 26.7.4: sub comes with the client scope basic, and lightweight tokens have none", f.token(f.ed, nil, object{"sub": gone}), refused, "sub is missing"),
		row("sub null", "RFC 7519, section 4.1.2", f.token(f.ed, nil, object{"sub": nil}), refused, "sub"),
		row("sub empty", "RFC 9068, section 2.2", f.token(f.ed, nil, object{"sub": ""}), refused, `sub is ""`),
		row("sub a number", "RFC 7519, section 4.1.2", f.token(f.ed, nil, object{"sub": 0}), refused, "sub is 0"),
		row("sub a list", "RFC 7519, section 4.1.2", f.token(f.ed, nil, object{"sub": []string{aliceID, "mallory"}}), refused, "sub is ["),
	}
}

func audienceAttacks(f *forge) []attack {
	with := func(aud any) string { return f.token(f.ed, nil, object{"aud": aud}) }
	party := func(aud, azp any) string { return f.token(f.ed, nil, object{"aud": aud, "azp": azp}) }
	refused := identity.ErrTokenNotAccepted
	return []attack{
		row("account alone, of our client, where that is wanted", "Keycloak 26.7.4: aud is account where the client has no audience mapper", party("account", "local-api"), nil).on("party"),
		row("aud missing", "RFC 9068, section 4", with(gone), refused, "aud is missing"),
		row("aud null", "RFC 7519, section 4.1.3", with(nil), refused, "aud"),
		row("aud empty", "RFC 7519, section 4.1.3", with(""), refused, `aud is ""`),
		row("aud an empty list", "CVE-2020-26160", with([]string{}), refused, "aud is []"),
		row("aud a list of nothing", "CVE-2020-26160", with([]string{""}), refused, "aud"),
		row("aud of another API", "RFC 8725, section 3.9", with("billing"), refused, `"billing"`),
		row("aud a list without ours", "RFC 8725, section 3.9", with([]string{"billing", "account"}), refused, "billing"),
		row("aud account alone", "Keycloak 26.7.4: every user's token has account in aud", with("account"), refused, `"account"`),
		row("aud in another case", "RFC 7519, section 4.1.3", with("LOCAL-API"), refused, "LOCAL-API"),
		row("aud that begins like ours", "RFC 7519, section 4.1.3", with("local-api-admin"), refused, "local-api-admin"),
		row("aud that ours begins with", "RFC 7519, section 4.1.3", with("local"), refused, `"local"`),
		row("aud with ours among words", "RFC 7519, section 4.1.3", with("billing local-api account"), refused, "billing"),
		row("aud with ours and a blank", "RFC 7519, section 4.1.3", with("local-api "), refused, "local-api "),
		row("aud of a pattern", "RFC 7519, section 4.1.3", with([]string{"*", ".*", "local-*"}), refused, "local-*"),
		row("aud a number", "RFC 7519, section 4.1.3", with(0), refused, "aud is 0"),
		row("aud true", "RFC 7519, section 4.1.3", with(true), refused, "aud is true"),
		row("aud an object with ours", "RFC 7519, section 4.1.3", with(object{"local-api": true, "0": "local-api", "length": 1}), refused, "aud is {"),
		row("aud a list in a list", "RFC 7519, section 4.1.3", with([]any{[]string{"local-api"}}), refused, "aud is [["),
		row("aud a list with ours and a number", "RFC 7519, section 4.1.3", with([]any{"local-api", 7}), refused, "7"),
		row("AUD for aud", "RFC 7519, section 7.3", f.token(f.ed, nil, object{"aud": gone, "AUD": "local-api", "audience": "local-api"}), refused, "aud is missing"),
		row("aud the issuer", "Keycloak 26.7.4: aud of a refresh token is the issuer", with(localIssuer), refused, localIssuer),
		row("no azp, and aud account", "RFC 8725, section 3.9", party("account", gone), refused, "azp is missing"),
		row("azp empty, and aud account", "RFC 8725, section 3.9", party("account", ""), refused, `azp is ""`),
		row("azp for a missing aud", "RFC 8725, section 3.9", party(gone, "local-api"), refused, "azp"),
		row("azp for aud account", "RFC 8725, section 3.9", party("account", "local-api"), refused, "azp"),

		row("by party: other APIs in which the user has a role", "Keycloak 26.7.4: aud has each client in which the user has a role", party([]string{"realm-management", "account", "billing"}, "local-api"), nil).on("party"),
		row("by party: an API twice in aud", "RFC 7519, section 4.1.3", party([]string{"billing", "billing"}, "local-api"), nil).on("party"),
		row("by party: aud of another API, of another client", "RFC 8725, section 3.9", party("billing", "web"), refused, "billing").on("party"),
		row("by party: aud our client, of another client", "RFC 9068, section 4", party("local-api", "web"), nil).on("party"),
		row("by party: aud a list with an empty text", "RFC 7519, section 4.1.3", party([]string{"billing", ""}, "local-api"), refused, "aud").on("party"),
		row("by party: aud another API and a number", "RFC 7519, section 4.1.3", party([]any{"billing", 7}, "local-api"), refused, "7").on("party"),
		row("by party: aud empty", "RFC 7519, section 4.1.3", party("", "local-api"), refused, `aud is ""`).on("party"),
		row("by party: another API's token with azp in another member", "RFC 7519, section 7.3", f.token(f.ed, nil, object{"aud": "billing", "azp": "web", "AZP": "local-api"}), refused, `azp is "web"`).on("party"),

		row("of the second client that may", "Keycloak 26.7.4: azp is the client that a token was issued to", party(localAudience, "web"), nil).on("parties"),
		row("of another client whose user has a role of ours", "Keycloak 26.7.4: aud has each client in which the user has a role", party([]string{"account", localAudience}, "other-web"), refused, `azp is "other-web"`).on("parties"),
		row("of another client, where nobody narrows that", "RFC 9068, section 4", party([]string{"account", localAudience}, "other-web"), nil),
		row("of another client's service account", "Keycloak 26.7.4: a service account's azp is its client", f.token(f.ed, nil, object{"aud": localAudience, "azp": "robot", "client_id": "robot", "sid": gone}), refused, `azp is "robot"`).on("parties"),
		row("of a client that may, for another API", "RFC 9068, section 4", party("billing", "web"), refused, "billing").on("parties"),
		row("of a client that may, for nobody", "RFC 9068, section 4", party(gone, "local-api"), refused, "aud is missing").on("parties"),
		row("of no client", "RFC 9068, section 2.2", party(localAudience, gone), refused, "azp is missing").on("parties"),
		row("of the empty client", "RFC 9068, section 2.2", party(localAudience, ""), refused, `azp is ""`).on("parties"),
		row("of several clients", "OpenID Connect Core 1.0, section 2", party(localAudience, []string{"web"}), refused, "azp is [").on("parties"),
		row("of a client in another case", "OpenID Connect Core 1.0, section 2", party(localAudience, "WEB"), refused, "WEB").on("parties"),
		row("of a client whose name begins like one", "OpenID Connect Core 1.0, section 2", party(localAudience, "web-evil"), refused, "web-evil").on("parties"),
		row("of two clients in one name", "OpenID Connect Core 1.0, section 2", party(localAudience, "local-api,web"), refused, "local-api,web").on("parties"),
		row("client_id of one that may", "RFC 9068, section 2.2", f.token(f.ed, nil, object{"azp": "other-web", "client_id": "web"}), refused, `azp is "other-web"`).on("parties"),
		row("by party: account, of another client", "RFC 8725, section 2.7", party("account", "web"), refused, `azp is "web"`).on("party"),
		row("by party: account, of no client", "RFC 8725, section 2.7", party("account", gone), refused, "azp is missing").on("party"),
		row("by party: no aud, of another client", "RFC 8725, section 2.7", party(gone, "web"), refused, `azp is "web"`).on("party"),
		row("by party: azp a list with ours", "OpenID Connect Core 1.0, section 2", party("account", []string{"local-api"}), refused, "azp is [").on("party"),
		row("by party: azp in another case", "RFC 8725, section 2.7", party("account", "LOCAL-API"), refused, "LOCAL-API").on("party"),
		row("by party: client_id for azp", "RFC 9068, section 2.2", f.token(f.ed, nil, object{"aud": "account", "azp": gone, "client_id": "local-api"}), refused, "azp is missing").on("party"),
		row("by party: aud a number", "RFC 7519, section 4.1.3", party(7, "local-api"), refused, "aud is 7").on("party"),
		row("by party: aud a list with null", "RFC 7519, section 4.1.3", party([]any{nil}, "local-api"), refused, "aud").on("party"),
	}
}

func timeAttacks(f *forge) []attack {
	claim := func(name string, value any) string { return f.token(f.ed, nil, object{name: value}) }
	number := func(name, digits string) string { return claim(name, json.Number(digits)) }
	expired, early, malformed := identity.ErrTokenExpired, identity.ErrTokenNotYetValid, identity.ErrTokenMalformed
	source := "RFC 7519, section 4.1.4"
	return []attack{
		row("exp in the last second of the leeway", source, claim("exp", atNoon(-29*time.Second)), nil),
		row("nbf in the last second of the leeway", "RFC 7519, section 4.1.5", claim("nbf", atNoon(30*time.Second)), nil),
		row("iat in the last second of the leeway", "RFC 7519, section 4.1.6", claim("iat", atNoon(30*time.Second)), nil),

		row("exp a second past the leeway", source, claim("exp", atNoon(-30*time.Second)), expired, "11:59:30"),
		row("exp an hour ago", source, claim("exp", atNoon(-time.Hour)), expired, "11:00:00"),
		row("exp in 1970", source, claim("exp", 0), expired, "1970"),
		row("exp with a fraction past the leeway", "RFC 7519, section 2", number("exp", fmt.Sprintf("%d.999", atNoon(-31*time.Second))), expired, "exp"),
		row("exp by an exponent", "RFC 7519, section 2", number("exp", "1.7e9"), expired, "exp"),
		row("exp of minus zero", "RFC 7519, section 2", number("exp", "-0"), expired, "exp"),
		row("exp almost zero", "RFC 7519, section 2", number("exp", "1e-300"), expired, "exp"),
		row("exp passed, and the key unknown", "RFC 9068, section 4", f.token(f.evil, nil, object{"exp": atNoon(-time.Hour)}), expired, "exp"),
		row("exp missing", "RFC 9068, section 2.2; RFC 9068, section 4", claim("exp", gone), malformed, "exp is missing"),
		row("EXP for exp", "RFC 7519, section 7.3", f.token(f.ed, nil, object{"exp": gone, "EXP": atNoon(time.Hour)}), malformed, "exp is missing"),
		row("exp null", source, claim("exp", nil), malformed, "exp"),
		row("exp a number in quotes", source, claim("exp", fmt.Sprint(atNoon(time.Hour))), malformed, "exp"),
		row("exp a date", source, claim("exp", "2099-01-01T00:00:00Z"), malformed, "exp"),
		row("exp true", source, claim("exp", true), malformed, "exp"),
		row("exp a list", source, claim("exp", []int64{atNoon(time.Hour)}), malformed, "exp"),
		row("exp an object", source, claim("exp", object{"$gt": 0}), malformed, "exp"),
		row("exp NaN in quotes", source, claim("exp", "NaN"), malformed, "exp"),
		row("exp NaN", "RFC 8259, section 6", f.ed.sign(f.ed.header(), strings.Replace(alice(f.t), `"exp":1767269040`, `"exp":NaN`, 1)), malformed, "JSON"),
		row("exp negative", "RFC 7519, section 2", claim("exp", -1), malformed, "exp"),
		row("exp in milliseconds", "RFC 7519, section 2", claim("exp", noon.Add(time.Hour).UnixMilli()), malformed, "exp"),
		row("exp in the year 10000", "RFC 3339, section 1", number("exp", "253402300800"), malformed, "exp"),
		row("exp past 64 bits", "RFC 8259, section 6", number("exp", "18446744073709551616"), malformed, "exp"),
		row("exp whose low 64 bits are good", "RFC 8259, section 6", number("exp", "18446744075476820656"), malformed, "exp"),
		row("exp 1e300", "RFC 8259, section 6", number("exp", "1e300"), malformed, "exp"),
		row("exp 1e400", "RFC 8259, section 6", number("exp", "1e400"), malformed, "1e400"),

		row("nbf a second past the leeway", "RFC 7519, section 4.1.5", claim("nbf", atNoon(31*time.Second)), early, "nbf is 2026-01-01T12:00:31Z"),
		row("nbf tomorrow", "RFC 7519, section 4.1.5", claim("nbf", atNoon(24*time.Hour)), early, "nbf"),
		row("nbf in milliseconds", "RFC 7519, section 2", claim("nbf", noon.UnixMilli()), malformed, "nbf"),
		row("nbf a text", "RFC 7519, section 4.1.5", claim("nbf", "0"), malformed, "nbf"),
		row("nbf null", "RFC 7519, section 4.1.5", claim("nbf", nil), malformed, "nbf"),
		row("nbf tomorrow, and exp passed", "RFC 7519, section 4.1.5", f.token(f.ed, nil, object{"nbf": atNoon(24 * time.Hour), "exp": atNoon(-time.Hour)}), early, "nbf"),
		row("iat a second past the leeway", "RFC 7519, section 4.1.6", claim("iat", atNoon(31*time.Second)), early, "iat is 2026-01-01T12:00:31Z"),
		row("iat next year", "RFC 7519, section 4.1.6", claim("iat", atNoon(365*24*time.Hour)), early, "iat"),
		row("iat a list", "RFC 7519, section 4.1.6", claim("iat", []int{0}), malformed, "iat"),
		row("iat negative", "RFC 7519, section 2", claim("iat", -62135596800), malformed, "iat"),
	}
}
