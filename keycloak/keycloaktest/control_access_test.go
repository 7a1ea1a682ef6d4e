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

func TestUser_SetPassword(t *testing.T) {
	_, realm := start(t)
	tokens := signIn(t, realm)
	must(t, user(t, realm, "alice").SetPassword("another"))
	login(t, realm, "alice", "alice-password").wantRefused(t, 400, "Invalid user credentials")
	login(t, realm, "alice", "another").wantOK(t)
	refresh(t, realm, tokens.RefreshToken).wantOK(t)
}

func TestUser_Logout(t *testing.T) {
	kc, realm := start(t)
	_, err := realm.AddUser([]byte(carol[:strings.Index(carol, `, "groups"`)] + "}"))
	must(t, err)
	others, err := realm.SignIn("shop-api", "carol")
	must(t, err)
	one, two, offline := signIn(t, realm), signIn(t, realm),
		signIn(t, realm, "openid", "offline_access")
	kc.Advance(time.Minute)
	must(t, user(t, realm, "alice").Logout())
	wantSessions(t, realm, others.SessionID, offline.SessionID)
	for _, tokens := range []keycloaktest.Tokens{one, two} {
		wantUserinfo(t, realm, tokens.AccessToken, "user_session_not_found")
		refresh(t, realm, tokens.RefreshToken).wantRefused(t, 400, "Session not active")
	}
	// An offline session goes on, but what was issued in it before is refused.
	wantUserinfo(t, realm, offline.AccessToken, "User not valid")
	wantUserinfo(t, realm, others.AccessToken, "")
	wantUserinfo(t, realm, signIn(t, realm).AccessToken, "")
}

func TestUser_roles(t *testing.T) {
	_, realm := start(t)
	alice := user(t, realm, "alice")
	tokens := signIn(t, realm)
	for _, role := range []keycloaktest.Role{{Name: "member"}, {Name: "auditor"},
		{Client: "shop-api", Name: "reader"}, {Client: "shop-api", Name: "writer"}, {Client: "account", Name: "delete-account"}} {
		has := func(when string, want bool) {
			t.Helper()
			old := parseClaims(t,
				refresh(t, realm, tokens.RefreshToken).wantOK(t).field("access_token"))
			if got := slices.Contains(rolesIn(old, role.Client), role.Name); got != want {
				t.Errorf("%v, %s: %t, want %t; all are %v", role, when, got, want, old)
			}
		}
		must(t, alice.GrantRole(role))
		has("granted", true)
		must(t, alice.GrantRole(role))
		must(t, alice.RevokeRole(role))
		has("granted twice and withdrawn once", false)
		must(t, alice.RevokeRole(role))
		has("withdrawn twice", false)
		// A role of one client, or of the realm, isn't that of another by the same name.
		another := keycloaktest.Role{Client: "broker", Name: role.Name}
		must(t, alice.GrantRole(another))
		has("granted at another client", false)
		must(t, alice.GrantRole(role))
		must(t, alice.RevokeRole(another))
		has("withdrawn at another client", true)
	}
	wantError(t, alice.GrantRole(keycloaktest.Role{Client: "none", Name: "r"}),
		`the realm has no client "none"`)
	if roles := rolesIn(claimsOf(t, realm), ""); !slices.Contains(roles, "default-roles-shop") {
		t.Errorf("the roles are %v, want those that nobody withdrew", roles)
	}
}

func TestUser_Lock(t *testing.T) {
	kc, realm := startWith(t, map[string]any{"bruteForceProtected": true, "failureFactor": 3}, nil,
		nil)
	alice := user(t, realm, "alice")
	want := func(failures int, locked bool) {
		t.Helper()
		count, err := alice.Failures()
		must(t, err)
		is, err := alice.Locked()
		must(t, err)
		if count != failures || is != locked {
			t.Errorf("there are %d failures, and locked is %t; want %d and %t", count, is, failures,
				locked)
		}
		if r := login(t, realm, "alice", "alice-password"); locked {
			r.wantRefused(t, 400, "Invalid user credentials")
		} else {
			r.wantOK(t) // and forgets the failures
		}
	}
	want(0, false)
	must(t, alice.Lock(time.Hour))
	want(0, true)
	kc.Advance(59 * time.Minute)
	want(0, true)
	kc.Advance(time.Minute)
	want(0, false)
	must(t, alice.Lock(time.Hour))
	must(t, alice.Unlock())
	want(0, false)

	fail := func() {
		kc.Advance(2 * time.Second) // two in a second are a reason to lock by themselves
		login(t, realm, "alice", "wrong").wantRefused(t, 400, "Invalid user credentials")
	}
	fail()
	fail()
	want(2, false)
	fail()
	fail()
	fail()
	want(3, true)
	must(t, alice.Unlock())
	want(0, false)

	_, careless := start(t)
	wantError(t, user(t, careless, "alice").Lock(time.Hour),
		"the realm has no brute-force protection")
}

func TestUser_Unlock_permanentLockout(t *testing.T) {
	kc, realm := startWith(t,
		map[string]any{"bruteForceProtected": true, "failureFactor": 2, "permanentLockout": true},
		nil, nil)
	alice := user(t, realm, "alice")
	for range 2 {
		kc.Advance(2 * time.Second)
		login(t, realm, "alice", "wrong")
	}
	// Unlocking forgets the failures; who may sign in again is for Update to say, as with Keycloak.
	must(t, alice.Unlock())
	login(t, realm, "alice", "alice-password").wantRefused(t, 400, "Invalid user credentials")
	must(t, alice.Update([]byte(`{"enabled": true}`)))
	login(t, realm, "alice", "alice-password").wantOK(t)
}

func TestUser_OneTimeCode(t *testing.T) {
	kc, realm := startWith(t, nil, nil, map[string]any{"credentials": []map[string]any{
		{"type": "password", "value": "alice-password"},
		{"type": "otp", "secretData": `{"value": "alice-otp-secret"}`, "credentialData": `{"subType": "totp", "digits": 6, "period": 30, "algorithm": "HmacSHA1"}`},
	}})
	alice := user(t, realm, "alice")
	login(t, realm, "alice", "alice-password").wantRefused(t, 400, "Invalid user credentials")
	seen := map[string]bool{}
	for range 3 {
		code, err := alice.OneTimeCode()
		must(t, err)
		if len(code) != 6 || seen[code] {
			t.Errorf("the code is %q, want six digits that weren't there before", code)
		}
		seen[code] = true
		login(t, realm, "alice", "wrong", "totp", code).wantRefused(t, 400,
			"Invalid user credentials")
		login(t, realm, "alice", "alice-password", "totp", code).wantOK(t)
		// each is good once
		login(t, realm, "alice", "alice-password", "totp", code).wantRefused(t, 400,
			"Invalid user credentials")
		kc.Advance(30 * time.Second)
	}
	old, err := alice.OneTimeCode()
	must(t, err)
	kc.Advance(5 * time.Minute)
	login(t, realm, "alice", "alice-password", "totp", old).wantRefused(t, 400,
		"Invalid user credentials")

	_, without := start(t)
	_, err = user(t, without, "alice").OneTimeCode()
	wantError(t, err, "the user has no one-time codes")
}

// A visitor is a person with a browser, who goes where pages send him and stops at the client.
type browser struct {
	*testing.T
	client http.Client
}

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

// visit sends a form, or fetches a page where there is none, and returns the page or the address
// that the client gets.
func (v *browser) open(address string, form url.Values) (page, redirect string) {
	v.Helper()
	var response *http.Response
	var err error
	if form == nil {
		response, err = v.client.Get(address)
	} else {
		response, err = v.client.PostForm(address, form)
	}
	must(v, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(v, err)
	return string(body), response.Header.Get("Location")
}

var formAction = regexp.MustCompile(`action="([^"]*)"`)

// submit sends the form of a page.
func (v *browser) submit(realm *keycloaktest.Realm, page string,
	form url.Values) (next, redirect string) {
	v.Helper()
	found := formAction.FindStringSubmatch(page)
	if found == nil {
		v.Fatalf("the page has no form: %s", page)
	}
	base, err := url.Parse(realm.URL())
	must(v, err)
	address, err := base.Parse(html.UnescapeString(found[1]))
	must(v, err)
	return v.open(address.String(), form)
}

func TestUser_RevokeConsent(t *testing.T) {
	_, realm := startWith(t, nil,
		map[string]any{"consentRequired": true, "redirectUris": []string{"http://app.test/*"}}, nil)
	alice := user(t, realm, "alice")
	address := oidcURL(realm, "/auth") +
		"?response_type=code&client_id=shop-api&scope=openid&redirect_uri=" +
		url.QueryEscape("http://app.test/cb")
	const asks = "Grant Access to shop-api"
	signIn := func() (page, to string) { // with a new browser each time: nobody is signed in
		v := newBrowser(t)
		page, _ = v.open(address, nil)
		page, to = v.submit(realm, page,
			url.Values{"username": {"alice"}, "password": {"alice-password"}})
		if strings.Contains(page, asks) {
			_, to = v.submit(realm, page, url.Values{"accept": {"Yes"}})
		}
		if !strings.HasPrefix(to, "http://app.test/cb?") || !strings.Contains(to, "code=") {
			t.Fatalf("the browser ends at %q, want the client with a code; the page is %s", to,
				page)
		}
		return page, to
	}
	for _, asked := range []bool{true, false} {
		if page, _ := signIn(); strings.Contains(page, asks) != asked {
			t.Errorf("she is asked: %t, want %t", !asked, asked)
		}
	}
	_, to := signIn()
	parsed, err := url.Parse(to)
	must(t, err)
	tokens := token(t, realm, "grant_type", "authorization_code", "code",
		parsed.Query().Get("code"), "redirect_uri", "http://app.test/cb").wantOK(t)

	if err := alice.RevokeConsent("another-client"); err == nil ||
		err.Error() != `keycloaktest: the realm has no client "another-client"` {
		t.Errorf("RevokeConsent of a client that isn't there: %v", err)
	}
	refresh(t, realm, tokens.field("refresh_token")).wantOK(t)
	must(t, alice.RevokeConsent("shop-api"))
	refresh(t, realm, tokens.field("refresh_token")).wantRefused(t, 400,
		"Session doesn't have required client")
	if page, _ := signIn(); !strings.Contains(page, asks) {
		t.Error("she isn't asked again, though she took her word back")
	}
}

func TestUser_RevokeConsent_offline(t *testing.T) {
	_, realm := start(t)
	online, offline := signIn(t, realm), signIn(t, realm, "openid", "offline_access")
	must(t, user(t, realm, "alice").RevokeConsent("shop-api"))
	wantSessions(t, realm, online.SessionID)
	refresh(t, realm, offline.RefreshToken).wantRefused(t, 400, "Offline user session not found")
	refresh(t, realm, online.RefreshToken).wantRefused(t, 400,
		"Session doesn't have required client")
}
