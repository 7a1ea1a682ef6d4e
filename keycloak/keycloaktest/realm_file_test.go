package keycloaktest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// privateKeyBase64 returns a private key in the encoding that realm files use.
var privateKeyBase64 = sync.OnceValue(func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
})

// shopFileWith returns a realm file for the realm shop with these additional fields.
func shopFileWith(fields string) []byte {
	return []byte(`{"realm": "shop", "enabled": true, ` + fields + `}`)
}

// Start returns an error that says what is wrong with a realm file. Keycloak rejects most of these
// files too, with a 400 or 500 and without a reason. The other files use features that the fake
// doesn't support.
func TestImport_invalid(t *testing.T) {
	t.Parallel()
	profile := func(attributes string) string {
		return fmt.Sprintf(
			`"components": {"org.keycloak.userprofile.UserProfileProvider": [{"providerId": `+
				`"declarative-user-profile", "config": {"kc.user.profile.config": [%q]}}]}`,
			attributes)
	}
	keyProvider := func(provider string) string {
		return `"components": {"org.keycloak.keys.KeyProvider": [` + provider + `]}`
	}
	for _, tt := range []struct{ fields, want string }{
		// Unknown fields and wrong types.
		{`"colour": 1`, "colour: not a field of Keycloak's RealmRepresentation"},
		{`"Clients": []`, "Clients: not a field of Keycloak's RealmRepresentation"},
		{`"clients": [{"clientId": "a"}, {"clientId": "b"}, {"clientId": "c", "foo": 1}]`,
			"clients[2].foo: not a field of Keycloak's ClientRepresentation"},
		{`"users": [{"username": "a", "credentials": [{"foo": 1}]}]`,
			"users[0].credentials[0].foo: not a field of Keycloak's CredentialRepresentation"},
		{`"groups": [{"name": "a", "subGroups": [{"name": "b", "foo": 1}]}]`,
			"groups[0].subGroups[0].foo: not a field of Keycloak's GroupRepresentation"},
		{`"identityProviders": [{"foo": 1}]`,
			"identityProviders[0].foo: not a field of Keycloak's IdentityProviderRepresentation"},
		{`"roles": {"client": {"web": [{"name": "r", "foo": 1}]}}`,
			"roles.client[web][0].foo: not a field of Keycloak's RoleRepresentation"},
		{`"clients": {}`, "clients: a list is expected"},
		{`"clients": [null]`, "clients[0]: null in a list"},
		{`"clients": ["web"]`, "clients[0]: an object is expected"},
		{`"roles": ""`, "roles: an object is expected"},
		{`"displayName": ["Shop"]`, "displayName: a text is expected"},
		{`"attributes": {"a": ["x"]}`, "attributes[a]: a text is expected"},
		{`"accessTokenLifespan": "soon"`,
			"accessTokenLifespan: a whole number of 32 bits is expected"},
		{`"accessTokenLifespan": 99999999999`,
			"accessTokenLifespan: a whole number of 32 bits is expected"},
		{`"accessTokenLifespan": true`,
			"accessTokenLifespan: a whole number of 32 bits is expected"},
		{`"rememberMe": "yes"`, "rememberMe: true or false is expected"},
		{`"bruteForceStrategy": "RANDOM"`,
			"bruteForceStrategy: one of LINEAR, MULTIPLE is expected"},
		{`"users": [{"username": "a", "attributes": {"x": [null]}}]`,
			"users[0].attributes[x]: a list of texts is expected"},
		{`"groups": [{"name": "a", "attributes": {"x": "1"}}]`,
			"groups[0].attributes[x]: a list is expected"},

		// Missing and duplicate names.
		{`"clients": [{"clientId": "web"}, {"clientId": "web"}]`,
			"clients[1].clientId: web is already the name of clients[0]"},
		{`"clients": [{"clientId": "a", "id": "1"}, {"clientId": "b", "id": "1"}]`,
			"clients[1].id: 1 is already the name of clients[0]"},
		{`"roles": {"realm": [{"name": "a"}, {"name": "a"}]}`,
			"roles.realm[1].name: a is already the name of roles.realm[0]"},
		{`"groups": [{"name": "a", "subGroups": [{"name": "b"}, {"name": "b"}]}]`,
			"groups[0].subGroups[1].name: b is already the name of groups[0].subGroups[0]"},
		{`"requiredActions": [{"alias": "a"}, {"alias": "a"}]`,
			"requiredActions[1].alias: a is already the name of requiredActions[0]"},
		{`"scopeMappings": [{"clientScope": "no", "roles": []}]`,
			"scopeMappings[0].clientScope: the realm has no client scope no"},
		{`"scopeMappings": [{"roles": []}]`, "scopeMappings[0]: client or clientScope is missing"},

		// Incomplete protocol mappers.
		{`"clients": [{"clientId": "shop", "protocolMappers": [{"name": "m", "protocol": ` +
			`"openid-connect"}]}]`, "clients[0].protocolMappers[0].protocolMapper: missing"},
		{`"clients": [{"clientId": "shop", "protocolMappers": [{"name": "m", "protocolMapper": ` +
			`"oidc-sub-mapper"}]}]`, "clients[0].protocolMappers[0].protocol: missing"},

		// Invalid URLs, enumerations and other values.
		{`"clients": [{"clientId": "a", "redirectUris": ["not a uri"]}]`,
			"clients[0].redirectUris: not a uri: not a URL"},
		{`"clients": [{"clientId": "a", "redirectUris": ["http://localhost/%zz"]}]`,
			"clients[0].redirectUris: http://localhost/%zz: not a URL"},
		{`"clients": [{"clientId": "a", "redirectUris": ["http://localhost/#x"]}]`,
			"clients[0].redirectUris: http://localhost/#x: a fragment isn't allowed"},
		{`"clients": [{"clientId": "a", "redirectUris": ["JavaScript:x"]}]`,
			"clients[0].redirectUris: JavaScript:x: the scheme isn't allowed"},
		{`"clients": [{"clientId": "a", "rootUrl": "/x"}]`,
			"clients[0].rootUrl: /x: an absolute URL is expected"},
		{`"clients": [{"clientId": "a", "attributes": {"backchannel.logout.url": "x y"}}]`,
			"clients[0].attributes[backchannel.logout.url]: x y: not a URL"},
		{`"clients": [{"clientId": "a", "attributes": {"acr.loa.map": "{"}}]`,
			"clients[0].attributes[acr.loa.map]: an object of names and numbers is expected"},
		{`"clients": [{"clientId": "a", "protocol": "foo"}]`,
			"clients[0].protocol: foo isn't a protocol of Keycloak"},
		{`"sslRequired": "sometimes"`, "sslRequired: sometimes: all, external or none is expected"},
		{`"failureFactor": -1`, "failureFactor: less than 0"},
		{`"passwordPolicy": "length(x)"`, "passwordPolicy: length(x): a whole number is expected"},
		{`"passwordPolicy": "beauty(1)"`,
			"passwordPolicy: beauty isn't a password policy of Keycloak"},
		{`"clients": [{"clientId": "web", "secret": "${SECRET:dev}"}]`,
			"clients[0].secret: ${SECRET:dev} is a placeholder, which Keycloak replaces from its " +
				"environment and the fake doesn't: write the value instead"},
		{`"clients": [{"clientId": "web", "redirectUris": ["${BASE_URL}/*"]}]`,
			"clients[0].redirectUris[0]: ${BASE_URL} is a placeholder, which Keycloak replaces " +
				"from its environment and the fake doesn't: write the value instead"},

		// Unsupported components and invalid references.
		{`"components": {"org.example.Custom": [{"providerId": "x"}]}`,
			"components[org.example.Custom]: not supported: the fake has no such components"},
		{`"applications": [{}]`,
			"applications: not supported: it is from an old release of Keycloak, and the import " +
				"of Keycloak 26 fails on it"},
		{`"browserFlow": "own"`, `browserFlow: the file has no authentication flow "own"`},
		{`"authenticationFlows": [{"alias": "a", "authenticationExecutions": [{"flowAlias": "b", ` +
			`"requirement": "REQUIRED"}]}]`,
			`authenticationFlows[0].authenticationExecutions[0].flowAlias: the file has no ` +
				`authentication flow "b"`},
		{profile(`{"attributes": [{"name": "username"}]}`),
			"components[org.keycloak.userprofile.UserProfileProvider]: kc.user.profile.config: " +
				"the attribute email is missing"},
		{keyProvider(`{"providerId": "java-keystore"}`),
			"components[org.keycloak.keys.KeyProvider][0]: key provider java-keystore is not " +
				"supported"},
		{keyProvider(`{"providerId": "eddsa-generated", "config": {"eddsaEllipticCurveKey": ` +
			`["X448"]}}`),
			`components[org.keycloak.keys.KeyProvider][0].config[eddsaEllipticCurveKey]: "X448": ` +
				`one of Ed25519, Ed448 is expected`},
		{keyProvider(`{"providerId": "rsa", "config": {"privateKey": ["MII"]}}`),
			"components[org.keycloak.keys.KeyProvider][0].config[privateKey]: a private key is " +
				"expected"},
		{`"smtpServer": {"host": "mail.example"}`,
			`smtpServer[from]: "": an e-mail address is expected`},
		{keyProvider(`{"providerId": "rsa-generated", "config": {"priority": ["high"]}}`),
			"components[org.keycloak.keys.KeyProvider][0].config[priority]: a whole number is " +
				"expected"},
		{keyProvider(strings.Repeat(`{"providerId": "rsa-generated"},`, 20) +
			`{"providerId": "rsa-generated"}`),
			"components[org.keycloak.keys.KeyProvider]: at most 20 key providers are supported"},
	} {
		wantImportError(t, shopFileWith(tt.fields), tt.want)
	}
	for _, tt := range []struct{ file, want string }{
		{``, "EOF"},
		{`[]`, "the list has no realm"},
		{`[1]`, "a JSON object is expected"},
		{`{"realm": "shop"} {}`, "unexpected data after the JSON document"},
		{`{"enabled": true}`, "realm: missing"},
		{`{"realm": "a/b"}`, "realm: '/' isn't allowed in a name"},
		{`{"realm": "` + strings.Repeat("x", 16<<20) + `"}`, "longer than 16777216 bytes"},
		{`{"realm": "shop", "a": 1, "b": 2}`,
			"a: not a field of Keycloak's RealmRepresentation\nb: not a field of Keycloak's " +
				"RealmRepresentation"},
	} {
		wantImportError(t, []byte(tt.file), tt.want)
	}
}

// wantImportError checks that Start returns an error for file, with exactly the message want.
func wantImportError(t *testing.T, file []byte, want string) {
	t.Helper()
	_, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file}})
	if want = "keycloaktest: realm file: " + want; err == nil || err.Error() != want {
		t.Errorf("%.300s\n\terror is %v\n\twant     %s", file, err, want)
	}
}

// Start accepts irregular values in realm files if Keycloak accepts them, such as a number in a
// string.
func TestImport_lenient(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		`"displayName": 5, "accessTokenLifespan": "300", "failureFactor": 7.9, ` +
			`"ssoSessionIdleTimeout": " 8 ", "refreshTokenMaxReuse": ""`,
		`"bruteForceProtected": "True", "rememberMe": 1, "verifyEmail": "", ` +
			`"revokeRefreshToken": null`,
		`"attributes": {"a": 1, "b": true, "c": null, "d": 1.50}, "clients": null, "users": ` +
			`null, "clientScopes": null, "components": null`,
		`"users": [{"username": "a", "attributes": {"x": "1", "y": 2, "z": [1, true]}}]`,
		`"clientScopes": [{"name": "s", "protocol": "openid-connect", "foo": 1}]`,
		`"social": {"anything": []}, "attributesOrEmpty": 1, "parsedClientProfiles": [], ` +
			`"protocolMappers": []`,
		`"clients": [{"clientId": "a", "redirectUris": ["*", "+", "", "/x", "http://*", ` +
			`"urn:ietf:wg:oauth:2.0:oob", "http://[::1]/*"], "rootUrl": "${authBaseUrl}"}]`,
		`"clients": [{"clientId": "a", "defaultClientScopes": ["no-such-scope"]}], "users": ` +
			`[{"username": "u", "realmRoles": ["no-such-role"]}]`,
		`"clients": [{"clientId": "a"}, {"clientId": "A"}], "browserFlow": "browser", ` +
			`"directGrantFlow": "direct grant", "clientAuthenticationFlow": "clients"`,
		`"clients": [{"clientId": "web", "name": "${client_web}", "secret": "a $5 {note}"}]`,
	} {
		kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{shopFileWith(fields)}})
		if err != nil {
			t.Errorf("Start with %s returns %v, want no error", fields, err)
			continue
		}
		kc.Close()
	}
}

// Ignored lists the parts of a realm file that have no effect in the fake, unless they have default
// values. A long list is shortened.
func TestRealm_Ignored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fields string
		want   []string
	}{
		{`"displayName": "Shop", "loginTheme": "dark", "eventsEnabled": true, "eventsListeners": ` +
			`["jboss-logging"]`,
			[]string{"displayName", "eventsEnabled", "eventsListeners", "loginTheme"}},
		{`"displayName": "", "eventsEnabled": false, "eventsListeners": [], "smtpServer": {}, "clientProfiles": {"profiles": []}, "eventsExpiration": 0`, nil}, // only defaults
		{`"clients": [{"clientId": "a", "description": "A"}, {"clientId": "b", "description": ` +
			`"B"}]`, []string{"clients[].description"}},
		{`"clients": [{"clientId": "a", "protocol": "saml"}, {"clientId": "b", ` +
			`"protocolMappers": [{"name": "m", "protocol": "saml", "protocolMapper": ` +
			`"saml-role-list-mapper"}]}]`,
			[]string{"clients[].protocolMappers (protocol saml)", "clients[a] (protocol saml)"}},
		{`"clientScopes": [{"name": "role_list", "protocol": "saml"}, {"name": "x", "protocol": ` +
			`"docker-v2"}]`,
			[]string{"clientScopes[role_list] (protocol saml)",
				"clientScopes[x] (protocol docker-v2)"}},
		{`"users": [{"username": "a", "createdTimestamp": 1, "credentials": [{"type": ` +
			`"webauthn", "secretData": "{}"}]}]`,
			[]string{"users[].createdTimestamp", "users[a].credentials (type webauthn)"}},
		{`"roles": {"realm": [{"name": "a", "description": "A", "composite": true}]}, "groups": ` +
			`[{"name": "g", "subGroups": [{"name": "h", "path": "/g/h"}]}]`,
			[]string{"groups[].subGroups[].path", "roles.realm[].composite",
				"roles.realm[].description"}},
		{`"identityProviders": [{"alias": "google", "providerId": "google"}], ` +
			`"browserSecurityHeaders": {"xFrameOptions": "DENY"}, "localizationTexts": {"de": ` +
			`{"a": "b"}}`,
			[]string{"browserSecurityHeaders", "identityProviders[].providerId",
				"localizationTexts"}},
		{`"components": {"org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy": [{"providerId": "scope"}],
			"org.keycloak.keys.KeyProvider": [{"name": "rsa", "providerId": "rsa", "config": {"privateKey": ["` + privateKeyBase64() + `"], "keySize": ["4096"]}}]}`,
			[]string{"components[org.keycloak.keys.KeyProvider][rsa].keySize",
				"components[org.keycloak.keys.KeyProvider][rsa].privateKey",
				"components[org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy]"}},
	} {
		kc := keycloaktest.New(t, shopFileWith(tt.fields))
		if got := kc.Realm("shop").Ignored(); !slices.Equal(got, tt.want) {
			t.Errorf("%s\n\tIgnored() = %q\n\twant        %q", tt.fields, got, tt.want)
		}
	}

	var scopes []string
	for i := range 300 {
		scopes = append(scopes, fmt.Sprintf(`{"name": "s%d", "protocol": "saml"}`, i))
	}
	ignored := keycloaktest.New(t,
		shopFileWith(`"clientScopes": [`+strings.Join(scopes, ",")+`]`)).Realm("shop").Ignored()
	if len(ignored) != 201 || ignored[200] != "and 100 more" {
		t.Errorf("Ignored() has %d entries, the last %q, want 201, the last \"and 100 more\"",
			len(ignored), ignored[len(ignored)-1])
	}
}

// For a realm exported from Keycloak, Ignored lists the parts that the fake doesn't use. Nothing
// that affects tokens is among them.
func TestRealm_Ignored_export(t *testing.T) {
	t.Parallel()
	export, err := os.ReadFile("contract/testdata/export.json")
	must(t, err)
	ignored := keycloaktest.New(t, export).Realm("local").Ignored()
	for _, want := range []string{
		"browserSecurityHeaders", "clientScopes[AuthnContextClassRef] (protocol saml)",
		"clientScopes[role_list] (protocol saml)",
		"clientScopes[saml_organization] (protocol saml)", "displayName", "eventsListeners",
		"otpSupportedApplications", "requiredActions[].priority", "resetCredentialsFlow",
		"roles.realm[].description",
	} {
		if !slices.Contains(ignored, want) {
			t.Errorf("Ignored() = %q, want %s among them", ignored, want)
		}
	}
	// These entries contain a word of the list below, but don't affect tokens.
	harmlessEntries := []string{
		"accessCodeLifespanUserAction", "accessTokenLifespanForImplicitFlow",
		"actionTokenGeneratedByAdminLifespan", "actionTokenGeneratedByUserLifespan",
		"clients[].nodeReRegistrationTimeout",
	}
	for _, entry := range ignored {
		for _, word := range []string{"mapper", "secret", "lifespan", "timeout", "redirect",
			"flow."} {
			if strings.Contains(strings.ToLower(entry), word) &&
				!slices.Contains(harmlessEntries, entry) {
				t.Errorf("Ignored() contains %s, want no entry that contains %q", entry, word)
			}
		}
	}
}
