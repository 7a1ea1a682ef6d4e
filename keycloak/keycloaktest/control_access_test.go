package keycloaktest_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// SetPassword replaces the password and doesn't end the user's sessions.
func TestUser_SetPassword(t *testing.T) {
	_, realm := startShop(t)
	tokens := signIn(t, realm)
	must(t, mustFindUser(t, realm, "alice").SetPassword("another"))
	passwordGrant(t, realm, "alice", "alice-password").wantOAuthError(
		t, 400, "Invalid user credentials")
	passwordGrant(t, realm, "alice", "another").wantOK(t)
	refresh(t, realm, tokens.RefreshToken).wantOK(t)
}

// Logout ends the user's online sessions and revokes the user's tokens. It doesn't affect other
// users.
func TestUser_Logout(t *testing.T) {
	kc, realm := startShop(t)
	// The realm has no groups, so carol is added without hers.
	_, err := realm.AddUser([]byte(carolJSON[:strings.Index(carolJSON, `, "groups"`)] + "}"))
	must(t, err)
	carolTokens, err := realm.SignIn("shop-api", "carol")
	must(t, err)
	tokens1, tokens2 := signIn(t, realm), signIn(t, realm)
	offlineTokens := signIn(t, realm, "openid", "offline_access")
	kc.Advance(time.Minute)
	must(t, mustFindUser(t, realm, "alice").Logout())
	wantSessions(t, realm, carolTokens.SessionID, offlineTokens.SessionID)
	for _, tokens := range []keycloaktest.Tokens{tokens1, tokens2} {
		wantUserinfoError(t, realm, tokens.AccessToken, "user_session_not_found")
		refresh(t, realm, tokens.RefreshToken).wantOAuthError(t, 400, "Session not active")
	}
	// The offline session continues, but the access tokens from before Logout are revoked.
	wantUserinfoError(t, realm, offlineTokens.AccessToken, "User not valid")
	wantUserinfoOK(t, realm, carolTokens.AccessToken)
	wantUserinfoOK(t, realm, signIn(t, realm).AccessToken)
}

// GrantRole and RevokeRole add and remove realm roles and client roles. New tokens have the changed
// roles.
func TestUser_GrantRole(t *testing.T) {
	_, realm := startShop(t)
	alice := mustFindUser(t, realm, "alice")
	tokens := signIn(t, realm)
	for _, role := range []keycloaktest.Role{{Name: "member"}, {Name: "auditor"},
		{Client: "shop-api", Name: "reader"}, {Client: "shop-api",
			Name: "writer"}, {Client: "account", Name: "delete-account"}} {
		wantTokenRole := func(desc string, want bool) {
			t.Helper()
			claims := parseClaims(t,
				refresh(t, realm, tokens.RefreshToken).wantOK(t).field("access_token"))
			if got := slices.Contains(tokenRoles(claims, role.Client), role.Name); got != want {
				t.Errorf("%s, token has role %v: %t, want %t; claims are %v", desc, role, got, want,
					claims)
			}
		}
		must(t, alice.GrantRole(role))
		wantTokenRole("after GrantRole", true)
		must(t, alice.GrantRole(role))
		must(t, alice.RevokeRole(role))
		wantTokenRole("after GrantRole twice and RevokeRole once", false)
		must(t, alice.RevokeRole(role))
		wantTokenRole("after RevokeRole twice", false)
		// Roles of different clients are different roles, even if they have the same name.
		otherRole := keycloaktest.Role{Client: "broker", Name: role.Name}
		must(t, alice.GrantRole(otherRole))
		wantTokenRole("after GrantRole of another client's role", false)
		must(t, alice.GrantRole(role))
		must(t, alice.RevokeRole(otherRole))
		wantTokenRole("after RevokeRole of another client's role", true)
	}
	wantError(t, alice.GrantRole(keycloaktest.Role{Client: "none", Name: "r"}),
		`the realm has no client "none"`)
	roles := tokenRoles(signInClaims(t, realm), "")
	if !slices.Contains(roles, "default-roles-shop") {
		t.Errorf("roles are %v, want default-roles-shop among them", roles)
	}
}

// A locked user can't sign in until the lock expires or Unlock is called. Locked and Failures
// return the state of brute-force protection.
func TestUser_Lock(t *testing.T) {
	kc, realm := startShopWith(t,
		map[string]any{"bruteForceProtected": true, "failureFactor": 3}, nil, nil)
	alice := mustFindUser(t, realm, "alice")
	wantState := func(failures int, locked bool) {
		t.Helper()
		gotFailures, err := alice.Failures()
		must(t, err)
		gotLocked, err := alice.Locked()
		must(t, err)
		if gotFailures != failures || gotLocked != locked {
			t.Errorf("Failures() = %d and Locked() = %t, want %d and %t", gotFailures, gotLocked,
				failures,
				locked)
		}
		if r := passwordGrant(t, realm, "alice", "alice-password"); locked {
			r.wantOAuthError(t, 400, "Invalid user credentials")
		} else {
			r.wantOK(t) // resets the failures
		}
	}
	wantState(0, false)
	must(t, alice.Lock(time.Hour))
	wantState(0, true)
	kc.Advance(59 * time.Minute)
	wantState(0, true)
	kc.Advance(time.Minute)
	wantState(0, false)
	must(t, alice.Lock(time.Hour))
	must(t, alice.Unlock())
	wantState(0, false)

	failLogin := func() {
		kc.Advance(2 * time.Second) // two failures within a second would lock alice
		passwordGrant(t, realm, "alice", "wrong").wantOAuthError(t, 400, "Invalid user credentials")
	}
	failLogin()
	failLogin()
	wantState(2, false)
	failLogin()
	failLogin()
	failLogin()
	wantState(3, true)
	must(t, alice.Unlock())
	wantState(0, false)

	_, unprotectedRealm := startShop(t)
	wantError(t, mustFindUser(t, unprotectedRealm, "alice").Lock(time.Hour),
		"the realm has no brute-force protection")
}

// Unlock doesn't enable a user whom a permanent lockout has disabled.
func TestUser_Unlock_permanentLockout(t *testing.T) {
	kc, realm := startShopWith(t,
		map[string]any{"bruteForceProtected": true, "failureFactor": 2, "permanentLockout": true},
		nil, nil)
	alice := mustFindUser(t, realm, "alice")
	for range 2 {
		kc.Advance(2 * time.Second)
		passwordGrant(t, realm, "alice", "wrong")
	}
	must(t, alice.Unlock())
	passwordGrant(t, realm, "alice", "alice-password").wantOAuthError(
		t, 400, "Invalid user credentials")
	must(t, alice.Update([]byte(`{"enabled": true}`)))
	passwordGrant(t, realm, "alice", "alice-password").wantOK(t)
}

// The password grant accepts a code from OneTimeCode once. Five minutes later, it rejects the code.
func TestUser_OneTimeCode(t *testing.T) {
	kc, realm := startShopWith(t, nil, nil, map[string]any{"credentials": []map[string]any{
		{"type": "password", "value": "alice-password"},
		{"type": "otp", "secretData": `{"value": "alice-otp-secret"}`,
			"credentialData": `{"subType": "totp", "digits": 6, "period": 30, "algorithm": ` +
				`"HmacSHA1"}`},
	}})
	alice := mustFindUser(t, realm, "alice")
	passwordGrant(t, realm, "alice", "alice-password").wantOAuthError(
		t, 400, "Invalid user credentials")
	seenCodes := map[string]bool{}
	for range 3 {
		code, err := alice.OneTimeCode()
		must(t, err)
		if len(code) != 6 || seenCodes[code] {
			t.Errorf("OneTimeCode() = %q, want six digits that differ from earlier codes", code)
		}
		seenCodes[code] = true
		passwordGrant(t, realm, "alice", "wrong", "totp", code).wantOAuthError(t, 400,
			"Invalid user credentials")
		passwordGrant(t, realm, "alice", "alice-password", "totp", code).wantOK(t)
		// A code can't be reused.
		passwordGrant(t, realm, "alice", "alice-password", "totp", code).wantOAuthError(t, 400,
			"Invalid user credentials")
		kc.Advance(30 * time.Second)
	}
	oldCode, err := alice.OneTimeCode()
	must(t, err)
	kc.Advance(5 * time.Minute)
	passwordGrant(t, realm, "alice", "alice-password", "totp", oldCode).wantOAuthError(t, 400,
		"Invalid user credentials")

	_, realmWithoutOTP := startShop(t)
	_, err = mustFindUser(t, realmWithoutOTP, "alice").OneTimeCode()
	wantError(t, err, "the user has no one-time codes")
}

// A browser follows redirects, except for redirects to the client.
type browser struct {
	*testing.T
	client http.Client
}

// newBrowser returns a browser without cookies.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{t,
		http.Client{Jar: jar, CheckRedirect: func(next *http.Request, _ []*http.Request) error {
			if next.URL.Host == "app.test" {
				return http.ErrUseLastResponse
			}
			return nil
		}}}
}

// open posts a form to an address, or sends a GET request if form is nil. It returns the page or,
// if the server redirects to the client, the URL of the redirect.
func (b *browser) open(address string, form url.Values) (page, redirect string) {
	b.Helper()
	var response *http.Response
	var err error
	if form == nil {
		response, err = b.client.Get(address)
	} else {
		response, err = b.client.PostForm(address, form)
	}
	must(b, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(b, err)
	return string(body), response.Header.Get("Location")
}

var formActionPattern = regexp.MustCompile(`action="([^"]*)"`)

// submit fills in and posts the form on a page. It returns the same results as open.
func (b *browser) submit(realm *keycloaktest.Realm, page string,
	form url.Values) (next, redirect string) {
	b.Helper()
	match := formActionPattern.FindStringSubmatch(page)
	if match == nil {
		b.Fatalf("page is %s, want one with a form", page)
	}
	base, err := url.Parse(realm.URL())
	must(b, err)
	address, err := base.Parse(html.UnescapeString(match[1]))
	must(b, err)
	return b.open(address.String(), form)
}

// After RevokeConsent, the client's refresh tokens are invalid and the user is asked for consent
// again.
func TestUser_RevokeConsent(t *testing.T) {
	_, realm := startShopWith(t, nil,
		map[string]any{"consentRequired": true, "redirectUris": []string{"http://app.test/*"}}, nil)
	alice := mustFindUser(t, realm, "alice")
	address := oidcURL(realm, "/auth") +
		"?response_type=code&client_id=shop-api&scope=openid&redirect_uri=" +
		url.QueryEscape("http://app.test/cb")
	const consentTitle = "Grant Access to shop-api"
	// signIn signs in with a new browser, which has no session yet, and grants consent if asked.
	// It returns the page that follows the login page, and the redirect to the client.
	signIn := func() (page, redirect string) {
		b := newBrowser(t)
		page, _ = b.open(address, nil)
		page, redirect = b.submit(realm, page,
			url.Values{"username": {"alice"}, "password": {"alice-password"}})
		if strings.Contains(page, consentTitle) {
			_, redirect = b.submit(realm, page, url.Values{"accept": {"Yes"}})
		}
		if !strings.HasPrefix(redirect, "http://app.test/cb?") ||
			!strings.Contains(redirect, "code=") {
			t.Fatalf("redirect is %q, want http://app.test/cb with a code; the page is %s",
				redirect, page)
		}
		return page, redirect
	}
	for _, wantConsentPage := range []bool{true, false} {
		if page, _ := signIn(); strings.Contains(page, consentTitle) != wantConsentPage {
			t.Errorf("sign-in shows the consent page: %t, want %t", !wantConsentPage,
				wantConsentPage)
		}
	}
	_, redirect := signIn()
	parsed, err := url.Parse(redirect)
	must(t, err)
	tokens := postToken(t, realm, "grant_type", "authorization_code", "code",
		parsed.Query().Get("code"), "redirect_uri", "http://app.test/cb").wantOK(t)

	const wantConsentPage = `keycloaktest: the realm has no client "another-client"`
	if err := alice.RevokeConsent("another-client"); err == nil || err.Error() != wantConsentPage {
		t.Errorf("RevokeConsent of an unknown client returns %v, want %s", err, wantConsentPage)
	}
	refresh(t, realm, tokens.field("refresh_token")).wantOK(t)
	must(t, alice.RevokeConsent("shop-api"))
	refresh(t, realm, tokens.field("refresh_token")).wantOAuthError(t, 400,
		"Session doesn't have required client")
	if page, _ := signIn(); !strings.Contains(page, consentTitle) {
		t.Error("sign-in after RevokeConsent shows no consent page, want one")
	}
}

// RevokeConsent ends the user's offline session with the client. The user's online session
// continues without the client.
func TestUser_RevokeConsent_offline(t *testing.T) {
	_, realm := startShop(t)
	onlineTokens := signIn(t, realm)
	offlineTokens := signIn(t, realm, "openid", "offline_access")
	must(t, mustFindUser(t, realm, "alice").RevokeConsent("shop-api"))
	wantSessions(t, realm, onlineTokens.SessionID)
	refresh(t, realm, offlineTokens.RefreshToken).wantOAuthError(t, 400,
		"Offline user session not found")
	refresh(t, realm, onlineTokens.RefreshToken).wantOAuthError(t, 400,
		"Session doesn't have required client")
}
