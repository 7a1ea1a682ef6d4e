package keycloaktest

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The tests in this file cover what the contract suite doesn't: timeouts of the login page, several
// tabs, kc_action, front-channel logout, and limits.

const browserRealmFile = `{"realm": "r", "enabled": true, "clients": [
	{"clientId": "app", "publicClient": true, "redirectUris": ["http://app.test/a/*"]},
	{"clientId": "framed", "publicClient": true, "redirectUris": ["http://framed.test/cb"], "rootUrl": "http://framed.test", "frontchannelLogout": true,
		"attributes": {"frontchannel.logout.url": "/bye"}},
	{"clientId": "tv", "publicClient": true, "attributes": {"oauth2.device.authorization.grant.enabled": "true"}}
], "users": [
	{"username": "ann", "enabled": true, "email": "ann@x.test", "firstName": "A", "lastName": "N", "credentials": [{"type": "password", "value": "a"}]},
	{"username": "bob", "enabled": true, "email": "bob@x.test", "firstName": "B", "lastName": "O", "credentials": [{"type": "password", "value": "b"}]}
]}`

// If a sign-in times out, the server shows the login page again. After the second sign-in, the
// redirect to the client has the state of the original request.
func TestLogin_timeout(t *testing.T) {
	s := New(t, []byte(browserRealmFile))
	b := newBrowser(t, s)
	b.authorize("state", "st")
	s.Advance(31 * time.Minute)
	b.post(b.formAction(), "username", "ann", "password", "a")
	b.wantPageText("Your login attempt timed out. Login will start from the beginning.")
	b.post(b.formAction(), "username", "ann", "password", "a")
	b.wantParameter("state", "st")
}

// A sign-in with "Remember me" returns 501, because Keycloak would give such a session a longer
// lifespan and the fake doesn't.
func TestLogin_rememberMe(t *testing.T) {
	b := newBrowser(t,
		New(t,
			[]byte(strings.Replace(browserRealmFile, `"enabled": true,`,
				`"enabled": true, "rememberMe": true,`, 1))))
	b.authorize("state", "st")
	formURL := b.formAction()
	b.post(formURL, "username", "ann", "password", "a", "rememberMe", "on")
	if b.status != 501 || !strings.Contains(b.body, `"not_in_keycloaktest"`) ||
		!strings.Contains(b.body, "rememberMe") {
		t.Errorf("login with rememberMe returns %d %s, want 501 and an error about rememberMe",
			b.status, b.body)
	}
	b.post(formURL, "username", "ann", "password", "a")
	b.wantParameter("state", "st")
}

// The server accepts each form only once.
func TestLogin_formReuse(t *testing.T) {
	b := newBrowser(t, New(t, []byte(browserRealmFile)))
	b.authorize("state", "st")
	formURL := b.formAction()
	b.post(formURL, "username", "ann", "password", "wrong")
	b.post(formURL, "username", "ann", "password", "a")
	b.wantPageText("Action expired. Please continue with login now.")
	formURL = b.formAction()
	b.post(formURL, "username", "ann", "password", "a")
	b.post(formURL, "username", "ann", "password", "a")
	b.wantParameter("error_description", "authentication_expired")
	b.wantParameter("state", "st")
}

// While ann is signed in, bob can't sign in with another tab of the same browser.
func TestLogin_otherUserInSecondTab(t *testing.T) {
	b := newBrowser(t, New(t, []byte(browserRealmFile)))
	b.authorize()
	firstTabFormURL := b.formAction() // the form in the first tab
	b.authorize()
	b.post(b.formAction(), "username", "ann", "password", "a")
	b.post(firstTabFormURL, "username", "bob", "password", "b")
	b.wantPageText(
		"You are already authenticated as different user 'ann' in this session. Please sign out " +
			"first.")
}

// A client can request a required action with kc_action. The redirect to the client then has the
// status of the action.
func TestLogin_requestedAction(t *testing.T) {
	s := New(t, []byte(browserRealmFile))
	b := newBrowser(t, s)
	b.authorize("kc_action", "UPDATE_PASSWORD")
	b.post(b.formAction(), "username", "ann", "password", "a")
	b.post(b.formAction(), "password-new", "c", "password-confirm", "c")
	b.wantParameter("kc_action", "UPDATE_PASSWORD")
	b.wantParameter("kc_action_status", "success")
	b.authorize("kc_action", "UPDATE_PASSWORD")
	b.post(b.formAction(), "cancel-aia", "true")
	b.wantParameter("kc_action_status", "cancelled")
	b.authorize("kc_action", "bogus")
	b.wantParameter("kc_action_status", "error")
	b = newBrowser(t, s)
	b.authorize()
	b.post(b.formAction(), "username", "ann", "password", "c")
	b.wantParameter("iss", s.Realm("r").Issuer())
}

// The page for a front-channel logout has an iframe that loads the client's logout URL, and a link
// back to the client.
func TestLogout_frontchannel(t *testing.T) {
	s := New(t, []byte(browserRealmFile))
	b := newBrowser(t, s)
	b.authorize("client_id", "framed", "redirect_uri", "http://framed.test/cb")
	b.post(b.formAction(), "username", "ann", "password", "a")
	sid := b.redirect.Query().Get("session_state")
	b.readResponse(b.client.Get(s.URL +
		"/realms/r/protocol/openid-connect/logout?client_id=framed&post_logout_redirect_uri=http://framed.test/cb"))
	codePattern := regexp.MustCompile(`name="session_code" value="([^"]*)"`)
	sessionCode := codePattern.FindStringSubmatch(b.body)
	if sessionCode == nil {
		t.Fatalf("page is %s, want the confirmation page", b.body)
	}
	b.post(s.URL+b.formAction(), "session_code", sessionCode[1], "confirmLogout", "Logout")
	b.wantPageText(`src="http://framed.test/bye?sid=` + sid)
	b.wantPageText(`href="http://framed.test/cb"`)
}

// A realm limits the number of sign-ins in progress, of tabs in each browser, and of device codes.
func TestLogin_limits(t *testing.T) {
	s := New(t, []byte(browserRealmFile))
	r := s.Realm("r")
	for range maxRootAuthSessions + 10 {
		newBrowser(t, s).authorize()
	}
	b := newBrowser(t, s)
	for range maxAuthSessions + 10 {
		b.authorize()
	}
	for range maxDevices + 10 {
		b.post(s.URL+"/realms/r/protocol/openid-connect/auth/device", "client_id", "tv")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rootAuthSessions) > maxRootAuthSessions || len(r.devices) > maxDevices {
		t.Errorf("realm has %d root authentication sessions and %d devices, want at most %d and %d",
			len(r.rootAuthSessions),
			len(r.devices), maxRootAuthSessions, maxDevices)
	}
	for _, root := range r.rootAuthSessions {
		if len(root.authSessions) > maxAuthSessions {
			t.Errorf("browser has %d authentication sessions, want at most %d",
				len(root.authSessions), maxAuthSessions)
		}
	}
}

// FuzzRedirectURI checks that validateRedirectURI returns only URIs that match a pattern.
func FuzzRedirectURI(f *testing.F) {
	for _, seed := range []string{
		"http://app.test/a/b", "http://app.test/a", "http://app.test/a/../b",
		"http://app.test/a/%2e%2e/b", "http://app.test@evil.test/a/",
		"http://app.test/a/x?y#z", "//app.test/a/", "http:\\\\app.test/a/", "http://app.test:1/a/",
		"javascript:alert(1)", "/a/b", "http://app.test/a/%",
	} {
		f.Add(seed)
	}
	s, err := Start(Config{Realms: [][]byte{[]byte(browserRealmFile)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	r := s.Realm("r")
	f.Fuzz(func(t *testing.T, uri string) {
		app := r.clients["app"]
		redirectURI, ok := r.validateRedirectURI(app, app.RedirectURIs, uri, true, true)
		if !ok {
			return
		}
		parsed, err := url.Parse(redirectURI)
		if err != nil || parsed.Scheme != "http" || parsed.Host != "app.test" ||
			parsed.User != nil || !strings.HasPrefix(parsed.Path+"/", "/a/") {
			t.Errorf("validateRedirectURI(%q) = %q (%v), want a URI below http://app.test/a/", uri,
				redirectURI, err)
		}
		if resolved := fmt.Sprint(parsed.ResolveReference(&url.URL{})); !strings.HasPrefix(resolved,
			"http://app.test/a") {
			t.Errorf("validateRedirectURI(%q) returns a URI that resolves to %q, want a URI below "+
				"http://app.test/a", uri, resolved)
		}
	})
}
