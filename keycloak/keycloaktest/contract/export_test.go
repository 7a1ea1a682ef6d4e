package contract

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// TestImport_partialExport checks that the fake can import a partial export, and that alice can
// then sign in. The export was made by Keycloak's Admin API from the realm in deploy/keycloak, and
// shortened. A partial export has no users, and it masks client secrets: the option
// WithClientSecrets sets them. If there is a real Keycloak, the test also imports a new export from
// it.
func TestImport_partialExport(t *testing.T) {
	recorded, err := os.ReadFile("testdata/export.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("recorded", func(t *testing.T) { signInFromExport(t, recorded) })
	if srv := realKeycloak(); srv != nil {
		t.Run("real Keycloak", func(t *testing.T) {
			status, export, _, err := srv.call(http.MethodPost,
				"/local/partial-export?exportClients=true&exportGroupsAndRoles=true", nil)
			if err != nil || status != http.StatusOK {
				t.Fatalf("partial-export: got %d (%v), want 200:\n%s", status, err, export)
			}
			signInFromExport(t, []byte(export))
		})
	}
}

// signInFromExport imports an export, adds alice, and checks her tokens. It also checks that she
// can't sign in if the client's secret is masked.
func signInFromExport(t *testing.T, export []byte) {
	kc := keycloaktest.New(t)
	r, err := kc.Import(export,
		keycloaktest.WithClientSecrets(map[string]string{"local-api": "local-api-secret"}))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Users []json.RawMessage
	}
	text, err := os.ReadFile("../../../deploy/keycloak/local-realm.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddUser(file.Users[0]); err != nil { // alice
		t.Fatal(err)
	}
	resp, err := http.PostForm(r.EndpointURL("/token"), url.Values{
		"grant_type": {"password"}, "client_id": {"local-api"},
		"client_secret": {"local-api-secret"},
		"username":      {"alice"}, "password": {"alice-password"}, "scope": {"openid"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&tokens); err != nil ||
		resp.StatusCode != http.StatusOK {
		t.Fatalf("login of alice: got %s (%v), want 200 and tokens", resp.Status, err)
	}
	var claims struct {
		jwt.RegisteredClaims
		Username    string   `json:"preferred_username"`
		Groups      []string `json:"groups"`
		RealmAccess struct {
			Roles []string `json:"roles"`
		} `json:"realm_access"`
	}
	if _, _, err := jwt.NewParser().ParseUnverified(tokens.AccessToken, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Username != "alice" || len(claims.Groups) != 1 || claims.Groups[0] != "/staff" ||
		len(claims.RealmAccess.Roles) != 4 || len(claims.Audience) != 2 {
		t.Errorf(
			"alice's claims: got %+v; want her name, her group, four realm roles, and two "+
				"audiences", claims)
	}

	// Without the option, the client gets a 501, because its secret can't be checked.
	maskedServer := keycloaktest.New(t, export)
	resp, err = http.PostForm(maskedServer.Realm("local").EndpointURL("/token"), url.Values{
		"grant_type": {"password"}, "client_id": {"local-api"},
		"client_secret": {"local-api-secret"}, "username": {"alice"},
		"password": {"alice-password"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("login with a masked secret: got %s, want 501", resp.Status)
	}
}
