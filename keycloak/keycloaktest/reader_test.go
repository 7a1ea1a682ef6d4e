package keycloaktest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// What a realm file asks for and the stand-in hasn't, what Keycloak's own import refuses, and what is no realm file: an
// error that says where and what.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"no JSON", `realm`, "invalid character 'r'"},
		{"a list", `[]`, "a JSON object is expected"},
		{"two documents", `{"realm":"r"}{}`, "something follows the JSON document"},
		{"no name", `{"enabled":true}`, "realm: missing"},
		{"unknown member", `{"realm":"r","accesTokenLifespan":5}`, "accesTokenLifespan: no member of Keycloak's RealmRepresentation"},
		{"member in another case", `{"realm":"r","AccessTokenLifespan":5}`, "AccessTokenLifespan: no member of Keycloak's RealmRepresentation"},
		{"unknown member of a client", `{"realm":"r","clients":[{"clientId":"shop","directAccesGrantsEnabled":true}]}`, "clients[0].directAccesGrantsEnabled: no member of Keycloak's ClientRepresentation"},
		{"wrong type", `{"realm":"r","accessTokenLifespan":"soon"}`, "accessTokenLifespan: a whole number of 32 bits is expected"},
		{"unknown mapper", `{"realm":"r","clients":[{"clientId":"shop","protocolMappers":[{"name":"m","protocol":"openid-connect","protocolMapper":"oidc-foo-mapper"}]}]}`, "protocolMapper oidc-foo-mapper of client shop is not supported: the stand-in has"},
		{"organizations", `{"realm":"r","organizationsEnabled":true}`, "organizationsEnabled: not supported"},
		{"LDAP", `{"realm":"r","components":{"org.keycloak.storage.UserStorageProvider":[{"name":"ldap","providerId":"ldap"}]}}`, "components[org.keycloak.storage.UserStorageProvider][0]: not supported"},
		{"browser flow", `{"realm":"r","browserFlow":"mine"}`, `browserFlow: the file has no authentication flow "mine"`},
		{"key provider", `{"realm":"r","components":{"org.keycloak.keys.KeyProvider":[{"providerId":"java-keystore"}]}}`, "key provider java-keystore is not supported"},
		{"algorithm", `{"realm":"r","defaultSignatureAlgorithm":"RS1024"}`, "defaultSignatureAlgorithm: RS1024 is no signature algorithm"},
		{"two clients", `{"realm":"r","clients":[{"clientId":"shop"},{"clientId":"shop"}]}`, "clients[1].clientId: shop is the name of clients[0] already"},
		{"two users", `{"realm":"r","users":[{"username":"ann"},{"username":"Ann"}]}`, "user Ann: another user has this name"},
		{"unknown group", `{"realm":"r","users":[{"username":"ann","groups":["/nowhere"]}]}`, `user ann: the realm has no group "/nowhere"`},
		{"redirect URI", `{"realm":"r","clients":[{"clientId":"shop","redirectUris":["not a uri"]}]}`, "clients[0].redirectUris: not a uri"},
		{"password against the policy", `{"realm":"r","passwordPolicy":"length(8)","users":[{"username":"ann","credentials":[{"type":"password","value":"short"}]}]}`, "user ann: credentials: Invalid password: minimum length 8."},
		{"placeholder", `{"realm":"r","clients":[{"clientId":"shop","secret":"${SHOP_SECRET:dev}"}]}`, "clients[0].secret: ${SHOP_SECRET:dev} is a placeholder"},
		{"nesting", `{"realm":"r","attributes":` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat("}", 20_000) + `}`, "exceeded max depth"},
	} {
		kc := keycloaktest.New(t)
		if _, err := kc.Import([]byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Import fails with %v, want %s", tt.name, err, tt.want)
		}
	}
}

// What can't change an answer is left aside, and said so; keys of the file are never used.
func TestIgnored(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t)
	r, err := kc.Import([]byte(`{"realm":"r","enabled":true,"loginTheme":"mine","smtpServer":{"host":"mail"},"eventsEnabled":true,
		"clientScopes":[{"name":"role_list","protocol":"saml","protocolMappers":[{"name":"m","protocol":"saml","protocolMapper":"saml-role-list-mapper"}]}],
		"components":{"org.keycloak.keys.KeyProvider":[{"name":"mine","providerId":"rsa","config":{"privateKey":["-----BEGIN RSA PRIVATE KEY-----"]}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"clientScopes[role_list] (protocol saml)", "components[org.keycloak.keys.KeyProvider][mine].privateKey", "eventsEnabled", "loginTheme", "smtpServer",
	}
	if ignored := r.Ignored(); !slices.Equal(ignored, want) {
		t.Errorf("ignored is %q, want %q", ignored, want)
	}
}

// A client that would be answered wrongly is refused by name when it is used; its neighbours aren't.
func TestUnsupportedClient(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t)
	r, err := kc.Import([]byte(`{"realm":"r","enabled":true,"users":[{"username":"ann","enabled":true,"email":"ann@example.com","firstName":"A","lastName":"N"}],"clients":[
		{"clientId":"plain","secret":"s"},
		{"clientId":"signed","clientAuthenticatorType":"client-jwt"},
		{"clientId":"bound","secret":"s","attributes":{"dpop.bound.access.tokens":"true"}},
		{"clientId":"pairwise","secret":"s","protocolMappers":[{"name":"m","protocol":"openid-connect","protocolMapper":"oidc-sha256-pairwise-sub-mapper","config":{}}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SignIn("plain", "ann"); err != nil {
		t.Errorf("the client that is as any other is refused: %v", err)
	}
	for client, want := range map[string]string{
		"signed": `clientAuthenticatorType "client-jwt" is not supported`, "bound": "dpop.bound.access.tokens", "pairwise": "oidc-sha256-pairwise-sub-mapper is not supported",
	} {
		if _, err := r.SignIn(client, "ann"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: SignIn fails with %v, want %s", client, err, want)
		}
	}
}
