package keycloaktest_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// planned uses everything that a plan has.
var fullSpec = keycloaktest.RealmSpec{
	Clients: []keycloaktest.ClientSpec{
		{ID: "api", Secret: "api-secret", Roles: []string{"reader", "writer"}, RedirectURIs: []string{"http://app.test/*"}},
		{ID: "app", Settings: map[string]any{"name": "The App", "directAccessGrantsEnabled": true}},
		{ID: "closed", Secret: "closed-secret", Settings: map[string]any{"directAccessGrantsEnabled": false, "serviceAccountsEnabled": false}},
	},
	Users: []keycloaktest.UserSpec{
		{Name: "ann", Password: "ann-password", Roles: []string{"member", "api/reader", "api/extra", "account/view-groups"}, Groups: []string{"/staff", "/staff/night", "guests"}},
		{Name: "ben", Password: "ben-password", Settings: map[string]any{"email": "ben@corp.test", "lastName": "Planned"}},
		{Name: "cid", Password: "cid-password", Settings: map[string]any{"enabled": false}},
	},
	Settings: map[string]any{"accessTokenLifespan": 77, "revokeRefreshToken": true},
}

// A plan must mean the same here and to a real Keycloak, or tests hold for the stand-in alone.
func TestRealmSpec(t *testing.T) {
	spec := fullSpec
	spec.Name = "Plan-" + rand.Text()[:10]
	t.Run("stand-in", func(t *testing.T) {
		kc := keycloaktest.New(t, spec.File())
		if ignored := kc.Realm(spec.Name).Ignored(); len(ignored) != 0 {
			t.Errorf("%v of the plan is left aside", ignored)
		}
		testRealmSpec(t, kc.URL+"/realms/"+spec.Name)
	})
	if url := strings.TrimSuffix(os.Getenv("TEST_KEYCLOAK_URL"), "/"); url != "" {
		t.Run("Keycloak", func(t *testing.T) {
			admin(t, url, http.MethodPost, "", spec.File())
			defer admin(t, url, http.MethodDelete, "/"+spec.Name, nil)
			testRealmSpec(t, url+"/realms/"+spec.Name)
		})
	}
}

// admin calls the admin API of a real Keycloak and wants success.
func admin(t *testing.T, url, method, path string, content []byte) {
	t.Helper()
	signedIn := post(t, url+"/realms/master/protocol/openid-connect/token", "grant_type",
		"password", "client_id", "admin-cli", "username", "admin", "password", "admin").wantOK(t)
	request := newRequest(t, method, url+"/admin/realms"+path, string(content))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+signedIn.field("access_token"))
	if r := send(t, request); r.status >= 300 {
		t.Fatalf("%s %s answers %v", method, path, r)
	}
}

// testPlan holds a realm at an address to what planned says.
func testRealmSpec(t *testing.T, realm string) {
	endpoint := realm + "/protocol/openid-connect"
	login := func(client, secret, name string) reply {
		t.Helper()
		return post(t, endpoint+"/token", "grant_type", "password", "scope", "openid", "client_id",
			client, "client_secret", secret, "username", name, "password", name+"-password")
	}

	begin := time.Now()
	r := login("api", "api-secret", "ann").wantOK(t)
	took := time.Since(begin)
	claims := parseClaims(t, r.field("access_token"))
	if iss := claims["iss"]; iss != realm {
		t.Errorf("the issuer is %v, want %s", iss, realm)
	}
	for client, want := range map[string][]string{
		"": {"default-roles-" + strings.ToLower(realm[strings.LastIndex(realm, "/")+1:]), "member", "offline_access", "uma_authorization"},
		// What everybody has is there beside what the plan gives.
		"account": {"manage-account", "manage-account-links", "view-groups", "view-profile"},
		"api":     {"extra", "reader"},
		"app":     nil,
	} {
		if got := slices.Sorted(slices.Values(rolesIn(claims, client))); !slices.Equal(got, want) {
			t.Errorf("ann's roles of %q are %v, want %v", client, got, want)
		}
	}
	if aud := audience(claims); !slices.Contains(aud, "api") || slices.Contains(aud, "app") {
		t.Errorf("the audience is %v, want api in it", aud)
	}
	for _, token := range []string{r.field("access_token"), r.field("id_token")} {
		if got := groups(parseClaims(t, token)); !slices.Equal(got,
			[]string{"/guests", "/staff", "/staff/night"}) {
			t.Errorf("ann's groups are %v", got)
		}
	}
	// Keycloak takes the time that it needed from the 77 s of the plan.
	lives, _ := r.body["expires_in"].(float64)
	if claims["email"] != "ann@example.com" || claims["email_verified"] != true ||
		claims["name"] != "ann Test" || lives > 77 || lives < 76-took.Seconds() {
		t.Errorf("the claims are %v, and tokens live for %v s, given after %v", claims, lives, took)
	}

	// Settings: refresh tokens are good once.
	redeem := func() reply {
		return post(t, endpoint+"/token", "grant_type", "refresh_token", "client_id", "api",
			"client_secret", "api-secret", "refresh_token", r.field("refresh_token"))
	}
	redeem().wantOK(t)
	redeem().wantRefused(t, 400, "Maximum allowed refresh token reuse exceeded")

	// Who has nothing but a name.
	ben := parseClaims(t, login("app", "", "ben").wantOK(t).field("access_token"))
	if aud := audience(ben); !slices.Contains(aud, "app") || len(groups(ben)) != 0 ||
		len(rolesIn(ben, "api")) != 0 || ben["email"] != "ben@corp.test" ||
		ben["name"] != "ben Planned" {
		t.Errorf("ben's claims are %v", ben)
	}
	login("api", "api-secret", "cid").wantRefused(t, 400, "Account disabled")

	// Every grant that a client's kind allows.
	service := parseClaims(t,
		post(t, endpoint+"/token", "grant_type", "client_credentials", "client_id", "api",
			"client_secret", "api-secret").wantOK(t).field("access_token"))
	if service["client_id"] != "api" || !slices.Contains(audience(service), "api") {
		t.Errorf("the claims of the service account are %v", service)
	}
	post(t, endpoint+"/auth/device", "client_id", "app", "scope", "openid").wantOK(t)
	page := get(t,
		endpoint+
			"/auth?response_type=code&scope=openid&client_id=api&redirect_uri=http%3A%2F%2Fapp.test%2Fcb").wantOK(t)
	if !strings.Contains(page.text, `name="username"`) {
		t.Errorf("the client that has redirect URIs gets no login page: %s", page.text)
	}
	post(t, endpoint+"/token", "grant_type", "client_credentials", "client_id", "app").
		wantRefused(t, 401, "Public client not allowed to retrieve service account")

	// What a client's settings say wins.
	login("closed", "closed-secret", "ann").wantRefused(t, 400,
		"Client not allowed for direct access grants")
	post(t, endpoint+"/token", "grant_type", "client_credentials", "client_id", "closed",
		"client_secret", "closed-secret").
		wantRefused(t, 401, "Client not enabled to retrieve service account")
}

func groups(claims jwt.MapClaims) []string {
	var paths []string
	all, _ := claims["groups"].([]any)
	for _, path := range all {
		paths = append(paths, fmt.Sprint(path))
	}
	return slices.Sorted(slices.Values(paths))
}

// A plan is data: writing it changes nothing in it, and gives the same file each time.
func TestRealmSpec_File(t *testing.T) {
	spec := fullSpec
	spec.Name = "same"
	before := fmt.Sprintf("%+v", spec)
	first := spec.File()
	if !bytes.Equal(first, spec.File()) || !json.Valid(first) ||
		fmt.Sprintf("%+v", spec) != before {
		t.Error("the plan, or its file, isn't what it was the first time")
	}
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{Name: "empty"}.File())
	if _, err := kc.Realm("empty").AddUser([]byte(`{"username": "x", "enabled": true}`)); err !=
		nil {
		t.Errorf("a realm without anything takes no user: %v", err)
	}
}

func TestRealmSpec_File_panic(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got,
			"keycloaktest: a RealmSpec's settings can't be written as JSON: ") {
			t.Errorf("File says %q", got)
		}
	}()
	keycloaktest.RealmSpec{Name: "x",
		Settings: map[string]any{"accessTokenLifespan": math.Inf(1)}}.File()
}

// A mistake in a plan is a mistake in its file, and told as one.
func TestRealmSpec_invalid(t *testing.T) {
	for _, tt := range []struct {
		plan keycloaktest.RealmSpec
		want string
	}{
		{keycloaktest.RealmSpec{}, "realm: missing"},
		{keycloaktest.RealmSpec{Name: "x", Users: []keycloaktest.UserSpec{{Name: "u", Roles: []string{"nowhere/reader"}}}}, `nowhere`},
		{keycloaktest.RealmSpec{Name: "x", Users: []keycloaktest.UserSpec{{Name: "u"}, {Name: "U"}}}, "another user has this name"},
		{keycloaktest.RealmSpec{Name: "x", Users: []keycloaktest.UserSpec{{Password: "p"}}}, "users[0].username: missing"},
	} {
		kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{tt.plan.File()}})
		wantError(t, err, tt.want)
		if err == nil {
			kc.Close()
		}
	}
}
