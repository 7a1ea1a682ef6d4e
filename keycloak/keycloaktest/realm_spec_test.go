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

// fullSpec uses all fields of a RealmSpec.
var fullSpec = keycloaktest.RealmSpec{
	Clients: []keycloaktest.ClientSpec{
		{ID: "api", Secret: "api-secret", Roles: []string{"reader", "writer"},
			RedirectURIs: []string{"http://app.test/*"}},
		{ID: "app", Settings: map[string]any{"name": "The App", "directAccessGrantsEnabled": true}},
		{ID: "closed", Secret: "closed-secret",
			Settings: map[string]any{"directAccessGrantsEnabled": false,
				"serviceAccountsEnabled": false}},
	},
	Users: []keycloaktest.UserSpec{
		{Name: "ann", Password: "ann-password",
			Roles: []string{"member", "api/reader", "api/extra",
				"account/view-groups"}, Groups: []string{"/staff", "/staff/night", "guests"}},
		{Name: "ben", Password: "ben-password",
			Settings: map[string]any{"email": "ben@corp.test", "lastName": "Spec"}},
		{Name: "cid", Password: "cid-password", Settings: map[string]any{"enabled": false}},
	},
	Settings: map[string]any{"accessTokenLifespan": 77, "revokeRefreshToken": true},
}

// The file of a RealmSpec creates the same realm in the fake and in a real Keycloak.
func TestRealmSpec(t *testing.T) {
	spec := fullSpec
	spec.Name = "Spec-" + rand.Text()[:10]
	t.Run("fake", func(t *testing.T) {
		kc := keycloaktest.New(t, spec.File())
		if ignored := kc.Realm(spec.Name).Ignored(); len(ignored) != 0 {
			t.Errorf("Ignored() = %v, want none", ignored)
		}
		checkRealmSpec(t, kc.URL+"/realms/"+spec.Name)
	})
	if url := strings.TrimSuffix(os.Getenv("TEST_KEYCLOAK_URL"), "/"); url != "" {
		t.Run("Keycloak", func(t *testing.T) {
			sendAdminRequest(t, url, http.MethodPost, "", spec.File())
			defer sendAdminRequest(t, url, http.MethodDelete, "/"+spec.Name, nil)
			checkRealmSpec(t, url+"/realms/"+spec.Name)
		})
	}
}

// sendAdminRequest sends a request to the admin API of a real Keycloak, and fails the test on an
// error.
func sendAdminRequest(t *testing.T, baseURL, method, path string, content []byte) {
	t.Helper()
	tokens := post(t, baseURL+"/realms/master/protocol/openid-connect/token", "grant_type",
		"password", "client_id", "admin-cli", "username", "admin", "password", "admin").wantOK(t)
	request := newRequest(t, method, baseURL+"/admin/realms"+path, string(content))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+tokens.field("access_token"))
	if r := send(t, request); r.status >= 300 {
		t.Fatalf("%s %s returns %v, want success", method, path, r)
	}
}

// checkRealmSpec checks that the realm with this URL has the clients, users and settings of
// fullSpec.
func checkRealmSpec(t *testing.T, realmURL string) {
	endpoint := realmURL + "/protocol/openid-connect"
	login := func(client, secret, name string) reply {
		t.Helper()
		return post(t, endpoint+"/token", "grant_type", "password", "scope", "openid", "client_id",
			client, "client_secret", secret, "username", name, "password", name+"-password")
	}

	start := time.Now()
	r := login("api", "api-secret", "ann").wantOK(t)
	elapsed := time.Since(start)
	claims := parseClaims(t, r.field("access_token"))
	if iss := claims["iss"]; iss != realmURL {
		t.Errorf("issuer is %v, want %s", iss, realmURL)
	}
	for client, want := range map[string][]string{
		"": {"default-roles-" + strings.ToLower(realmURL[strings.LastIndex(realmURL, "/")+1:]),
			"member", "offline_access", "uma_authorization"},
		// In addition to the roles in the spec, ann has the default roles.
		"account": {"manage-account", "manage-account-links", "view-groups", "view-profile"},
		"api":     {"extra", "reader"},
		"app":     nil,
	} {
		got := slices.Sorted(slices.Values(tokenRoles(claims, client)))
		if !slices.Equal(got, want) {
			t.Errorf("ann's roles at client %q (empty: realm roles) are %v, want %v", client, got,
				want)
		}
	}
	if aud := audience(claims); !slices.Contains(aud, "api") || slices.Contains(aud, "app") {
		t.Errorf("audience is %v, want it to include api and not app", aud)
	}
	for _, token := range []string{r.field("access_token"), r.field("id_token")} {
		if got := sortedGroups(parseClaims(t, token)); !slices.Equal(got,
			[]string{"/guests", "/staff", "/staff/night"}) {
			t.Errorf("ann's groups are %v, want /guests, /staff and /staff/night", got)
		}
	}
	// expires_in is the spec's 77 s, minus the time that Keycloak needs for the response.
	expiresIn, _ := r.body["expires_in"].(float64)
	if claims["email"] != "ann@example.com" || claims["email_verified"] != true ||
		claims["name"] != "ann Test" || expiresIn > 77 || expiresIn < 76-elapsed.Seconds() {
		t.Errorf("claims are %v and expires_in %v, want ann's email and name, and 77 minus at "+
			"most %v", claims, expiresIn, elapsed)
	}

	// The spec's Settings make refresh tokens single-use.
	useRefreshToken := func() reply {
		return post(t, endpoint+"/token", "grant_type", "refresh_token", "client_id", "api",
			"client_secret", "api-secret", "refresh_token", r.field("refresh_token"))
	}
	useRefreshToken().wantOK(t)
	useRefreshToken().wantOAuthError(t, 400, "Maximum allowed refresh token reuse exceeded")

	// ben has no roles and no groups.
	benClaims := parseClaims(t, login("app", "", "ben").wantOK(t).field("access_token"))
	if aud := audience(benClaims); !slices.Contains(aud, "app") ||
		len(sortedGroups(benClaims)) != 0 || len(tokenRoles(benClaims, "api")) != 0 ||
		benClaims["email"] != "ben@corp.test" ||
		benClaims["name"] != "ben Spec" {
		t.Errorf("ben's claims are %v, want the spec's email and name, and no roles and groups",
			benClaims)
	}
	login("api", "api-secret", "cid").wantOAuthError(t, 400, "Account disabled")

	// By default, a client may use all grants that Keycloak allows for a client of its type (public
	// or confidential).
	serviceClaims := parseClaims(t,
		post(t, endpoint+"/token", "grant_type", "client_credentials", "client_id", "api",
			"client_secret", "api-secret").wantOK(t).field("access_token"))
	if serviceClaims["client_id"] != "api" || !slices.Contains(audience(serviceClaims), "api") {
		t.Errorf("service account's claims are %v, want client_id and aud api", serviceClaims)
	}
	post(t, endpoint+"/auth/device", "client_id", "app", "scope", "openid").wantOK(t)
	page := get(t,
		endpoint+
			"/auth?response_type=code&scope=openid&client_id=api&redirect_uri=http%3A%2F%2Fapp.test%2Fcb").wantOK(t)
	if !strings.Contains(page.text, `name="username"`) {
		t.Errorf("authorization request returns %s, want the login page", page.text)
	}
	post(t, endpoint+"/token", "grant_type", "client_credentials", "client_id", "app").
		wantOAuthError(t, 401, "Public client not allowed to retrieve service account")

	// Settings of a client override the defaults.
	login("closed", "closed-secret", "ann").wantOAuthError(t, 400,
		"Client not allowed for direct access grants")
	post(t, endpoint+"/token", "grant_type", "client_credentials", "client_id", "closed",
		"client_secret", "closed-secret").
		wantOAuthError(t, 401, "Client not enabled to retrieve service account")
}

// Organizations of a spec are in the tokens of their members.
func TestRealmSpec_Organizations(t *testing.T) {
	spec := keycloaktest.RealmSpec{Name: "Spec-" + rand.Text()[:10],
		Clients: []keycloaktest.ClientSpec{{ID: "app"}},
		Users:   []keycloaktest.UserSpec{{Name: "ann", Password: "pw"}, {Name: "ben", Password: "pw"}},
		Organizations: []keycloaktest.OrganizationSpec{{Alias: "acme", Members: []string{"ann"}},
			{Alias: "blue", Members: []string{"ann", "ben"}}},
	}
	groupSpec := spec
	groupSpec.Name += "-groups"
	groupSpec.Organizations = []keycloaktest.OrganizationSpec{
		{Alias: "acme", Groups: map[string][]string{"/staff/ops": {"ann"}, "night": {"ben"}}},
		{Alias: "blue", Members: []string{"ann"},
			Settings: map[string]any{"enabled": false}},
	}
	check := func(t *testing.T, realmURL, user, scope, want string) {
		t.Helper()
		tokens := post(t, realmURL+"/protocol/openid-connect/token", "grant_type", "password",
			"client_id", "app", "username", user, "password", "pw", "scope", scope).wantOK(t)
		value := parseClaims(t, tokens.field("access_token"))["organization"]
		if aliases, ok := value.([]any); ok { // in any order
			slices.SortFunc(aliases, func(a, b any) int {
				return strings.Compare(a.(string), b.(string))
			})
		}
		claim, _ := json.Marshal(value)
		if string(claim) != want {
			t.Errorf("organization of %s with the scope %s is %s, want %s", user, scope, claim, want)
		}
	}
	checkBoth := func(t *testing.T, serverURL string) {
		realmURL := serverURL + "/realms/" + spec.Name
		check(t, realmURL, "ann", "organization:*", `["acme","blue"]`)
		check(t, realmURL, "ann", "organization:blue", `["blue"]`)
		check(t, realmURL, "ann", "organization", `null`)
		check(t, realmURL, "ben", "organization", `["blue"]`)
		check(t, realmURL+"-groups", "ann", "organization:*",
			`{"acme":{"groups":["/staff/ops"]}}`)
		check(t, realmURL+"-groups", "ben", "organization", `{"acme":{"groups":["/night"]}}`)
	}
	t.Run("fake", func(t *testing.T) {
		checkBoth(t, keycloaktest.New(t, spec.File(), groupSpec.File()).URL)
	})
	if url := strings.TrimSuffix(os.Getenv("TEST_KEYCLOAK_URL"), "/"); url != "" {
		t.Run("Keycloak", func(t *testing.T) {
			for _, s := range []keycloaktest.RealmSpec{spec, groupSpec} {
				sendAdminRequest(t, url, http.MethodPost, "", s.File())
				defer sendAdminRequest(t, url, http.MethodDelete, "/"+s.Name, nil)
			}
			checkBoth(t, url)
		})
	}
}

// Levels of a spec become levels of authentication with names.
func TestRealmSpec_Levels(t *testing.T) {
	spec := keycloaktest.RealmSpec{Name: "Spec-" + rand.Text()[:10],
		Clients: []keycloaktest.ClientSpec{{ID: "app"}},
		Users:   []keycloaktest.UserSpec{{Name: "ann", Password: "pw"}},
		Levels: []keycloaktest.LevelSpec{{Name: "low", MaxAge: 10 * time.Hour},
			{Name: "middle"}, {Name: "high", OTP: true}},
	}
	check := func(t *testing.T, realmURL string) {
		endpoint := realmURL + "/protocol/openid-connect"
		metadata := get(t, realmURL+"/.well-known/openid-configuration").wantOK(t)
		var fields struct {
			Values []string `json:"acr_values_supported"`
		}
		json.Unmarshal([]byte(metadata.text), &fields)
		slices.Sort(fields.Values)
		want := []string{"0", "1", "2", "3", "high", "low", "middle"}
		if !slices.Equal(fields.Values, want) {
			t.Errorf("acr_values_supported is %v, want %v", fields.Values, want)
		}
		tokens := post(t, endpoint+"/token", "grant_type", "password", "client_id", "app",
			"username", "ann", "password", "pw").wantOK(t)
		if acr := parseClaims(t, tokens.field("access_token"))["acr"]; acr != "low" {
			t.Errorf("acr is %v, want low", acr)
		}
	}
	t.Run("fake", func(t *testing.T) {
		check(t, keycloaktest.New(t, spec.File()).URL+"/realms/"+spec.Name)
	})
	if url := strings.TrimSuffix(os.Getenv("TEST_KEYCLOAK_URL"), "/"); url != "" {
		t.Run("Keycloak", func(t *testing.T) {
			sendAdminRequest(t, url, http.MethodPost, "", spec.File())
			defer sendAdminRequest(t, url, http.MethodDelete, "/"+spec.Name, nil)
			check(t, url+"/realms/"+spec.Name)
		})
	}
}

// sortedGroups returns the groups claim, sorted.
func sortedGroups(claims jwt.MapClaims) []string {
	var paths []string
	values, _ := claims["groups"].([]any)
	for _, path := range values {
		paths = append(paths, fmt.Sprint(path))
	}
	return slices.Sorted(slices.Values(paths))
}

// File doesn't modify the spec, and returns the same file each time. A spec with only a name is
// valid.
func TestRealmSpec_File(t *testing.T) {
	spec := fullSpec
	spec.Name = "same"
	specBefore := fmt.Sprintf("%+v", spec)
	file := spec.File()
	if !bytes.Equal(file, spec.File()) || !json.Valid(file) ||
		fmt.Sprintf("%+v", spec) != specBefore {
		t.Error("File modifies the spec, returns invalid JSON or isn't deterministic, want the " +
			"same valid file each time")
	}
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{Name: "empty"}.File())
	_, err := kc.Realm("empty").AddUser([]byte(`{"username": "x", "enabled": true}`))
	if err != nil {
		t.Errorf("AddUser in a realm from an empty spec returns %v, want no error", err)
	}
}

// File panics if Settings contain a value that JSON can't represent.
func TestRealmSpec_File_panic(t *testing.T) {
	defer func() {
		const want = "keycloaktest: a RealmSpec's settings can't be written as JSON: "
		if got := fmt.Sprint(recover()); !strings.HasPrefix(got, want) {
			t.Errorf("File panics with %q, want the prefix %q", got, want)
		}
	}()
	keycloaktest.RealmSpec{Name: "x",
		Settings: map[string]any{"accessTokenLifespan": math.Inf(1)}}.File()
}

// For an invalid spec, File returns a file that Start rejects.
func TestRealmSpec_invalid(t *testing.T) {
	for _, tt := range []struct {
		spec keycloaktest.RealmSpec
		want string
	}{
		{keycloaktest.RealmSpec{}, "realm: missing"},
		{keycloaktest.RealmSpec{Name: "x",
			Users: []keycloaktest.UserSpec{{Name: "u",
				Roles: []string{"nowhere/reader"}}}}, `nowhere`},
		{keycloaktest.RealmSpec{Name: "x",
			Users: []keycloaktest.UserSpec{{Name: "u"},
				{Name: "U"}}}, "another user has this name"},
		{keycloaktest.RealmSpec{Name: "x", Users: []keycloaktest.UserSpec{{Password: "p"}}},
			"users[0].username: missing"},
	} {
		kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{tt.spec.File()}})
		wantError(t, err, tt.want)
		if err == nil {
			kc.Close()
		}
	}
}
