package keycloaktest_test

import (
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

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
