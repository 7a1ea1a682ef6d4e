package keycloaktest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

const carol = `{"username": "Carol", "email": "Carol@Example.com", "firstName": "Carol", "lastName": "C", "enabled": true,
	"credentials": [{"type": "password", "value": "carol-password"}], "realmRoles": ["member"], "groups": ["/staff"]}`

// anyAttribute is a user profile that lets every attribute in. Keycloak's own drops what it doesn't
// declare.
const anyAttribute = `{"attributes": [{"name": "username"}, {"name": "email"}, {"name": "firstName"}, {"name": "lastName"}], "unmanagedAttributePolicy": "ENABLED"}`

// staff is the realm shop with a group and a mapper of the attribute shoe.
func startStaff(t *testing.T) (*keycloaktest.Server, *keycloaktest.Realm) {
	t.Helper()
	kc, realm := startWith(t, object{
		"groups": []object{{"name": "staff"}},
		"components": object{"org.keycloak.userprofile.UserProfileProvider": []object{
			{"providerId": "declarative-user-profile", "config": object{"kc.user.profile.config": []string{anyAttribute}}},
		}},
	}, nil, nil)
	must(t, realm.UpdateClient("shop-api", []byte(`{"protocolMappers": [
		{"name": "shoe", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-attribute-mapper", "config":
			{"user.attribute": "shoe", "claim.name": "shoe", "jsonType.label": "String", "access.token.claim": "true"}},
		{"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper", "config":
			{"claim.name": "groups", "full.path": "true", "access.token.claim": "true"}}]}`)))
	return kc, realm
}

func TestRealm_AddUser(t *testing.T) {
	_, realm := startStaff(t)
	added, err := realm.AddUser([]byte(carol))
	must(t, err)
	for _, name := range []string{"carol", "CAROL", "carol@example.com"} {
		found := realm.User(name)
		if found == nil || found.ID() != added.ID() {
			t.Errorf("%s isn't found", name)
		}
		claims := parseClaims(t,
			login(t, realm, name, "carol-password").wantOK(t).field("access_token"))
		if claims["sub"] != added.ID() || claims["preferred_username"] != "carol" ||
			claims["email"] != "carol@example.com" {
			t.Errorf("the claims are %v, want carol's", claims)
		}
		roles := rolesIn(claims, "")
		if !slices.Contains(roles, "member") || !slices.Contains(roles, "default-roles-shop") ||
			fmt.Sprint(claims["groups"]) != "[/staff]" {
			t.Errorf("the roles are %v and the groups %v, want her own and those of everybody",
				roles, claims["groups"])
		}
	}
	if found := realm.UserByID(added.ID()); found == nil || found.ID() != added.ID() {
		t.Error("she isn't found by her id")
	}
	if realm.User("nobody") != nil || realm.UserByID("carol") != nil || realm.User("") != nil {
		t.Error("somebody is found who isn't there")
	}
}

func TestRealm_AddUser_temporaryPassword(t *testing.T) {
	_, realm := startStaff(t)
	_, err := realm.AddUser(
		[]byte(strings.Replace(carol, `"carol-password"`, `"carol-password", "temporary": true`,
			1)))
	must(t, err)
	login(t, realm, "carol", "carol-password").wantRefused(t, 400, "Account is not fully set up")
}

func TestRealm_AddUser_invalid(t *testing.T) {
	_, realm := startStaff(t)
	alice := user(t, realm, "alice")
	for document, want := range map[string]string{
		`{"username": "ALICE"}`: "another user has this name",
		`{"username": "x", "email": "Alice@example.com"}`: "another user has the e-mail address " +
			"alice@example.com",
		`{"username": "x", "id": "` + alice.ID() + `"}`: "another user has the id " +
			alice.ID(),
		`{"email": "x@example.com"}`:                          "username is missing",
		`{"username": "x", "groups": ["/nobody"]}`:            `the realm has no group "/nobody"`,
		`{"username": "x", "clientRoles": {"none": ["r"]}}`:   `the realm has no client "none"`,
		`{"username": "x", "credentials": [{"type": "otp"}]}`: "secretData is missing",
		`{"username": {}}`:                                    "username",
		`alice`:                                               "invalid character",
	} {
		added, err := realm.AddUser([]byte(document))
		wantError(t, err, want)
		if added != nil || realm.User("x") != nil {
			t.Errorf("%s is refused, and there is a user", document)
		}
	}
	login(t, realm, "alice", "alice-password").wantOK(t)
}

func TestUser_Update(t *testing.T) {
	_, realm := startStaff(t)
	added, err := realm.AddUser([]byte(carol))
	must(t, err)
	update := func(patch string) { t.Helper(); must(t, added.Update([]byte(patch))) }
	tokens, err := realm.SignIn("shop-api", "carol")
	must(t, err)
	renewed := func() jwt.MapClaims {
		t.Helper()
		return parseClaims(t,
			refresh(t, realm, tokens.RefreshToken).wantOK(t).field("access_token"))
	}

	update(
		`{"firstName": "Caroline", "username": "Caro", "attributes": {"shoe": ["38"], "hat": ["56"]}, "lastName": null}`)
	if claims := renewed(); claims["name"] != "Caroline C" ||
		claims["preferred_username"] != "caro" || claims["shoe"] != "38" ||
		claims["sub"] != added.ID() {
		t.Errorf("the claims are %v, want the new ones and the old sub", claims)
	}
	if realm.User("carol") != nil || realm.User("caro") == nil {
		t.Error("she is found by her old name, or not by the new one")
	}
	update(`{"attributes": {"hat": ["57"]}}`) // which replaces them all
	if claims := renewed(); claims["shoe"] != nil || fmt.Sprint(claims["groups"]) != "[/staff]" ||
		!slices.Contains(rolesIn(claims, ""), "member") {
		t.Errorf("the claims are %v, want no shoe, and the roles and groups of before", claims)
	}
	update(`{"requiredActions": ["UPDATE_PASSWORD"]}`)
	login(t, realm, "caro", "carol-password").wantRefused(t, 400, "Account is not fully set up")
	update(`{"requiredActions": []}`)
	login(t, realm, "caro", "carol-password").wantOK(t)
	update(`{"enabled": false}`)
	login(t, realm, "caro", "carol-password").wantRefused(t, 400, "Account disabled")
	refresh(t, realm, tokens.RefreshToken).wantRefused(t, 400, "User disabled")
	wantUserinfo(t, realm, tokens.AccessToken, "User disabled")
	update(`{"enabled": true}`)
	wantUserinfo(t, realm, tokens.AccessToken, "")
}

func TestUser_Update_invalid(t *testing.T) {
	_, realm := startStaff(t)
	added, err := realm.AddUser(
		[]byte(strings.Replace(carol, `"enabled"`, `"attributes": {"shoe": ["38"]}, "enabled"`, 1)))
	must(t, err)
	const changes = `"firstName": "X", "attributes": {"shoe": ["1"]}, "enabled": false`
	for patch, want := range map[string]string{
		`null`: "a JSON object is expected",
		`{"emailVerified": "yes", ` + changes + `}`:       "emailVerified",
		`{"username": "Alice", ` + changes + `}`:          "another user has this name",
		`{"email": "alice@example.com", ` + changes + `}`: "another user has the e-mail address",
		`{"username": "", ` + changes + `}`:               "username is missing",
		`{"realmRoles": [], ` + changes + `}`:             "realmRoles can't be changed",
		`{"groups": [], ` + changes + `}`:                 "groups can't be changed",
		`{"credentials": [], ` + changes + `}`:            "credentials can't be changed",
		`{"id": "1", ` + changes + `}`:                    "id can't be changed",
	} {
		wantError(t, added.Update([]byte(patch)), want)
		claims := parseClaims(t,
			login(t, realm, "carol", "carol-password").wantOK(t).field("access_token"))
		if claims["name"] != "Carol C" || claims["shoe"] != "38" || claims["sub"] != added.ID() {
			t.Errorf("after %s, which fails, the claims are %v", patch, claims)
		}
	}
	// Her own name and address aren't somebody else's.
	must(t, added.Update([]byte(`{"username": "carol", "email": "carol@example.com"}`)))
}

func TestUser_Delete(t *testing.T) {
	_, realm := start(t)
	tokens, offline := signIn(t, realm), signIn(t, realm, "openid", "offline_access")
	alice := user(t, realm, "alice")
	again := user(t, realm, "alice") // another handle of hers
	must(t, alice.Delete())
	if realm.User("alice") != nil || realm.UserByID(alice.ID()) != nil {
		t.Error("she is found still")
	}
	wantSessions(t, realm)
	login(t, realm, "alice", "alice-password").wantRefused(t, 400, "Invalid user credentials")
	wantUserinfo(t, realm, tokens.AccessToken, "user_session_not_found")
	refresh(t, realm, tokens.RefreshToken).wantRefused(t, 400, "Session not active")
	refresh(t, realm, offline.RefreshToken).wantRefused(t, 400, "Offline user session not found")
	_, err := realm.SignIn("shop-api", "alice")
	wantError(t, err, `no user "alice"`)

	for name, method := range map[string]func(*keycloaktest.User) error{
		"Update":        func(u *keycloaktest.User) error { return u.Update([]byte(`{}`)) },
		"Delete":        (*keycloaktest.User).Delete,
		"Logout":        (*keycloaktest.User).Logout,
		"RevokeConsent": func(u *keycloaktest.User) error { return u.RevokeConsent("shop-api") },
		"SetPassword":   func(u *keycloaktest.User) error { return u.SetPassword("x") },
		"Grant": func(u *keycloaktest.User) error {
			return u.GrantRole(keycloaktest.Role{Name: "x"})
		},
		"Withdraw": func(u *keycloaktest.User) error {
			return u.RevokeRole(keycloaktest.Role{Name: "x"})
		},
		"Lock":        func(u *keycloaktest.User) error { return u.Lock(1) },
		"Unlock":      (*keycloaktest.User).Unlock,
		"Locked":      func(u *keycloaktest.User) error { _, err := u.Locked(); return err },
		"Failures":    func(u *keycloaktest.User) error { _, err := u.Failures(); return err },
		"OneTimeCode": func(u *keycloaktest.User) error { _, err := u.OneTimeCode(); return err },
	} {
		for _, handle := range []*keycloaktest.User{alice, again} {
			if err := method(handle); err == nil ||
				err.Error() != "keycloaktest: the user was deleted" {
				t.Errorf("%s of a deleted user says %v, want that the user was deleted", name, err)
			}
		}
	}

	// Somebody else may have her name, and is somebody else.
	other, err := realm.AddUser(
		[]byte(
			`{"username": "alice", "enabled": true, "email": "alice@example.com", "firstName": "A", "lastName": "A",
		"credentials": [{"type": "password", "value": "alice-password"}]}`))
	must(t, err)
	claims := parseClaims(t,
		login(t, realm, "alice", "alice-password").wantOK(t).field("access_token"))
	if claims["sub"] != other.ID() || other.ID() == alice.ID() ||
		slices.Contains(rolesIn(claims, "shop-api"), "reader") {
		t.Errorf("the claims are %v, want those of another", claims)
	}
	refresh(t, realm, tokens.RefreshToken).wantRefused(t, 400, "Session not active")
}

// An administrator reaches a service account by its name, and what it gets shows in its tokens.
func TestRealm_User_serviceAccount(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t,
		keycloaktest.RealmSpec{Name: "shop",
			Clients: []keycloaktest.ClientSpec{{ID: "robot", Secret: "robot-secret"}}}.File())
	account := kc.Realm("shop").User("service-account-robot")
	if account == nil {
		t.Fatal("the service account isn't found by its name")
	}
	if err := account.GrantRole(keycloaktest.Role{Name: "sweeper"}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(kc.Realm("shop").EndpointURL("/token"), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"robot"}, "client_secret": {"robot-secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the service account gets %s, want 200", resp.Status)
	}
	if _, err := kc.Realm("shop").SignIn("robot", "service-account-robot"); err == nil {
		t.Error("somebody signs in as a service account")
	}
}
