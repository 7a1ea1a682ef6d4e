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

// carolJSON is a user for AddUser whose username and email address are in mixed case.
const carolJSON = `{"username": "Carol", "email": "Carol@Example.com", "firstName": "Carol", "lastName": "C", "enabled": true,
	"credentials": [{"type": "password", "value": "carol-password"}], "realmRoles": ["member"], "groups": ["/staff"]}`

// anyAttributeProfile is a user profile that allows all attributes. With Keycloak's default
// profile, attributes that the profile doesn't declare are dropped.
const anyAttributeProfile = `{"attributes": [{"name": "username"}, {"name": "email"}, {"name": ` +
	`"firstName"}, {"name": "lastName"}], "unmanagedAttributePolicy": "ENABLED"}`

// startShopWithGroup starts a server whose realm shop has the group staff, and mappers for groups
// and for the attribute shoe.
func startShopWithGroup(t *testing.T) (*keycloaktest.Server, *keycloaktest.Realm) {
	t.Helper()
	kc, realm := startShopWith(t, object{
		"groups": []object{{"name": "staff"}},
		"components": object{"org.keycloak.userprofile.UserProfileProvider": []object{
			{"providerId": "declarative-user-profile",
				"config": object{"kc.user.profile.config": []string{anyAttributeProfile}}},
		}},
	}, nil, nil)
	must(t, realm.UpdateClient("shop-api", []byte(`{"protocolMappers": [
		{"name": "shoe", "protocol": "openid-connect", "protocolMapper": "oidc-usermodel-attribute-mapper", "config":
			{"user.attribute": "shoe", "claim.name": "shoe", "jsonType.label": "String", "access.token.claim": "true"}},
		{"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper", "config":
			{"claim.name": "groups", "full.path": "true", "access.token.claim": "true"}}]}`)))
	return kc, realm
}

// AddUser adds a user who can sign in with the username or the email address, in upper or lower
// case.
func TestRealm_AddUser(t *testing.T) {
	_, realm := startShopWithGroup(t)
	addedUser, err := realm.AddUser([]byte(carolJSON))
	must(t, err)
	for _, name := range []string{"carol", "CAROL", "carol@example.com"} {
		foundUser := realm.User(name)
		if foundUser == nil || foundUser.ID() != addedUser.ID() {
			t.Errorf("User(%q) = %v, want carol", name, foundUser)
		}
		claims := parseClaims(t,
			passwordGrant(t, realm, name, "carol-password").wantOK(t).field("access_token"))
		if claims["sub"] != addedUser.ID() || claims["preferred_username"] != "carol" ||
			claims["email"] != "carol@example.com" {
			t.Errorf("claims are %v, want carol's", claims)
		}
		roles := tokenRoles(claims, "")
		if !slices.Contains(roles, "member") || !slices.Contains(roles, "default-roles-shop") ||
			fmt.Sprint(claims["groups"]) != "[/staff]" {
			t.Errorf("roles are %v and groups %v, want member, default-roles-shop and /staff",
				roles, claims["groups"])
		}
	}
	if foundUser := realm.UserByID(addedUser.ID()); foundUser == nil ||
		foundUser.ID() != addedUser.ID() {
		t.Errorf("UserByID(%s) = %v, want carol", addedUser.ID(), foundUser)
	}
	if realm.User("unknown") != nil || realm.UserByID("carol") != nil || realm.User("") != nil {
		t.Error("User or UserByID returns a user for an unknown name or ID, want nil")
	}
}

// The password grant rejects a temporary password, because the user must change it first.
func TestRealm_AddUser_temporaryPassword(t *testing.T) {
	_, realm := startShopWithGroup(t)
	_, err := realm.AddUser(
		[]byte(strings.Replace(carolJSON, `"carol-password"`, `"carol-password", "temporary": true`,
			1)))
	must(t, err)
	passwordGrant(t, realm, "carol", "carol-password").wantOAuthError(
		t, 400, "Account is not fully set up")
}

// AddUser returns an error for an invalid user, and adds nothing.
func TestRealm_AddUser_invalid(t *testing.T) {
	_, realm := startShopWithGroup(t)
	alice := mustFindUser(t, realm, "alice")
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
		addedUser, err := realm.AddUser([]byte(document))
		wantError(t, err, want)
		if addedUser != nil || realm.User("x") != nil {
			t.Errorf("AddUser(%s) returns an error and adds a user, want no user", document)
		}
	}
	passwordGrant(t, realm, "alice", "alice-password").wantOK(t)
}

// Update changes only the fields in the patch. If the patch has attributes, they replace all
// attributes of the user.
func TestUser_Update(t *testing.T) {
	_, realm := startShopWithGroup(t)
	carolUser, err := realm.AddUser([]byte(carolJSON))
	must(t, err)
	update := func(patch string) { t.Helper(); must(t, carolUser.Update([]byte(patch))) }
	tokens, err := realm.SignIn("shop-api", "carol")
	must(t, err)
	refreshedClaims := func() jwt.MapClaims {
		t.Helper()
		return parseClaims(t,
			refresh(t, realm, tokens.RefreshToken).wantOK(t).field("access_token"))
	}

	update(
		`{"firstName": "Caroline", "username": "Caro", "attributes": {"shoe": ["38"], "hat": ` +
			`["56"]}, "lastName": null}`)
	if claims := refreshedClaims(); claims["name"] != "Caroline C" ||
		claims["preferred_username"] != "caro" || claims["shoe"] != "38" ||
		claims["sub"] != carolUser.ID() {
		t.Errorf("claims are %v, want the new names and shoe, and the same sub", claims)
	}
	if realm.User("carol") != nil || realm.User("caro") == nil {
		t.Error("User finds the old name, or doesn't find the new one; want only the new one found")
	}
	update(`{"attributes": {"hat": ["57"]}}`) // replaces all attributes
	if claims := refreshedClaims(); claims["shoe"] != nil ||
		fmt.Sprint(claims["groups"]) != "[/staff]" ||
		!slices.Contains(tokenRoles(claims, ""), "member") {
		t.Errorf("claims are %v, want no shoe, and the same roles and groups", claims)
	}
	update(`{"requiredActions": ["UPDATE_PASSWORD"]}`)
	passwordGrant(t, realm, "caro", "carol-password").wantOAuthError(
		t, 400, "Account is not fully set up")
	update(`{"requiredActions": []}`)
	passwordGrant(t, realm, "caro", "carol-password").wantOK(t)
	update(`{"enabled": false}`)
	passwordGrant(t, realm, "caro", "carol-password").wantOAuthError(t, 400, "Account disabled")
	refresh(t, realm, tokens.RefreshToken).wantOAuthError(t, 400, "User disabled")
	wantUserinfoError(t, realm, tokens.AccessToken, "User disabled")
	update(`{"enabled": true}`)
	wantUserinfoOK(t, realm, tokens.AccessToken)
}

// Update returns an error for an invalid patch, and changes nothing.
func TestUser_Update_invalid(t *testing.T) {
	_, realm := startShopWithGroup(t)
	addedUser, err := realm.AddUser(
		[]byte(strings.Replace(carolJSON, `"enabled"`, `"attributes": {"shoe": ["38"]}, "enabled"`,
			1)))
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
		wantError(t, addedUser.Update([]byte(patch)), want)
		claims := parseClaims(t,
			passwordGrant(t, realm, "carol", "carol-password").wantOK(t).field("access_token"))
		if claims["name"] != "Carol C" || claims["shoe"] != "38" ||
			claims["sub"] != addedUser.ID() {
			t.Errorf("after the invalid patch %s, claims are %v, want no change", patch, claims)
		}
	}
	// A patch may repeat the user's current username and email address.
	must(t, addedUser.Update([]byte(`{"username": "carol", "email": "carol@example.com"}`)))
}

// Delete ends the user's sessions. Afterwards, all methods of the deleted user return an error.
func TestUser_Delete(t *testing.T) {
	_, realm := startShop(t)
	tokens, offlineTokens := signIn(t, realm), signIn(t, realm, "openid", "offline_access")
	alice := mustFindUser(t, realm, "alice")
	alice2 := mustFindUser(t, realm, "alice") // another handle to the same user
	must(t, alice.Delete())
	if realm.User("alice") != nil || realm.UserByID(alice.ID()) != nil {
		t.Error("User or UserByID returns the deleted user, want nil")
	}
	wantSessions(t, realm)
	passwordGrant(t, realm, "alice", "alice-password").wantOAuthError(
		t, 400, "Invalid user credentials")
	wantUserinfoError(t, realm, tokens.AccessToken, "user_session_not_found")
	refresh(t, realm, tokens.RefreshToken).wantOAuthError(t, 400, "Session not active")
	refresh(t, realm, offlineTokens.RefreshToken).wantOAuthError(t, 400,
		"Offline user session not found")
	_, err := realm.SignIn("shop-api", "alice")
	wantError(t, err, `no user "alice"`)

	for name, method := range map[string]func(*keycloaktest.User) error{
		"Update":        func(u *keycloaktest.User) error { return u.Update([]byte(`{}`)) },
		"Delete":        (*keycloaktest.User).Delete,
		"Logout":        (*keycloaktest.User).Logout,
		"RevokeConsent": func(u *keycloaktest.User) error { return u.RevokeConsent("shop-api") },
		"SetPassword":   func(u *keycloaktest.User) error { return u.SetPassword("x") },
		"GrantRole": func(u *keycloaktest.User) error {
			return u.GrantRole(keycloaktest.Role{Name: "x"})
		},
		"RevokeRole": func(u *keycloaktest.User) error {
			return u.RevokeRole(keycloaktest.Role{Name: "x"})
		},
		"Lock":        func(u *keycloaktest.User) error { return u.Lock(1) },
		"Unlock":      (*keycloaktest.User).Unlock,
		"Locked":      func(u *keycloaktest.User) error { _, err := u.Locked(); return err },
		"Failures":    func(u *keycloaktest.User) error { _, err := u.Failures(); return err },
		"OneTimeCode": func(u *keycloaktest.User) error { _, err := u.OneTimeCode(); return err },
	} {
		for _, handle := range []*keycloaktest.User{alice, alice2} {
			if err := method(handle); err == nil ||
				err.Error() != "keycloaktest: the user was deleted" {
				t.Errorf("%s of a deleted user returns %v, want %q", name, err,
					"keycloaktest: the user was deleted")
			}
		}
	}

	// A new user with the same name is a different user.
	newUser, err := realm.AddUser(
		[]byte(
			`{"username": "alice", "enabled": true, "email": "alice@example.com", "firstName": "A", "lastName": "A",
		"credentials": [{"type": "password", "value": "alice-password"}]}`))
	must(t, err)
	claims := parseClaims(t,
		passwordGrant(t, realm, "alice", "alice-password").wantOK(t).field("access_token"))
	if claims["sub"] != newUser.ID() || newUser.ID() == alice.ID() ||
		slices.Contains(tokenRoles(claims, "shop-api"), "reader") {
		t.Errorf("claims are %v, want the new user's sub, and no role reader", claims)
	}
	refresh(t, realm, tokens.RefreshToken).wantOAuthError(t, 400, "Session not active")
}

// Realm.User returns a service account by its username. SignIn returns an error for a service
// account.
func TestRealm_User_serviceAccount(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.New(t,
		keycloaktest.RealmSpec{Name: "shop",
			Clients: []keycloaktest.ClientSpec{{ID: "robot", Secret: "robot-secret"}}}.File())
	account := kc.Realm("shop").User("service-account-robot")
	if account == nil {
		t.Fatal("User(service-account-robot) = nil, want the service account")
	}
	if err := account.GrantRole(keycloaktest.Role{Name: "sweeper"}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(kc.Realm("shop").EndpointURL("/token"), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"robot"},
		"client_secret": {"robot-secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("client credentials grant returns %s, want 200", resp.Status)
	}
	if _, err := kc.Realm("shop").SignIn("robot", "service-account-robot"); err == nil {
		t.Error("SignIn of a service account returns no error, want one")
	}
}
