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

// What Keycloak's admin API exports of our own realm loads, and alice signs in. An export has no
// users, and masks the secrets of clients: they are given by an option. The recorded export is a
// shorter one; where there is a real Keycloak, its own export of this moment is taken as well.
func TestPartialExport(t *testing.T) {
	recorded, err := os.ReadFile("testdata/export.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("recorded", func(t *testing.T) { signInFromExport(t, recorded) })
	if k := realKeycloak(); k != nil {
		t.Run("of the real Keycloak", func(t *testing.T) {
			status, export, _, err := k.call(http.MethodPost,
				"/local/partial-export?exportClients=true&exportGroupsAndRoles=true", nil)
			if err != nil || status != http.StatusOK {
				t.Fatalf("no export: %d %v\n%s", status, err, export)
			}
			signInFromExport(t, []byte(export))
		})
	}
}

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
		"grant_type": {"password"}, "client_id": {"local-api"}, "client_secret": {"local-api-secret"},
		"username": {"alice"}, "password": {"alice-password"}, "scope": {"openid"},
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
		t.Fatalf("alice gets %s (%v), want tokens", resp.Status, err)
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
			"alice's token says %+v; want her name, her group, four realm roles, and the "+
				"audience of two clients", claims)
	}

	// Without the option, a secret can't be checked: the client is refused by
	// name.
	masked := keycloaktest.New(t, export)
	resp, err = http.PostForm(masked.Realm("local").EndpointURL("/token"), url.Values{
		"grant_type": {"password"}, "client_id": {"local-api"}, "client_secret": {"local-api-secret"}, "username": {"alice"}, "password": {"alice-password"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("with a masked secret the client gets %s, want 501", resp.Status)
	}
}
