package keycloaktest

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What the contract suite doesn't play: time at the login page, several tabs, actions that a client
// asks for, logout by frames, and bounds.

const browserRealm = `{"realm": "r", "enabled": true, "clients": [
	{"clientId": "app", "publicClient": true, "redirectUris": ["http://app.test/a/*"]},
	{"clientId": "framed", "publicClient": true, "redirectUris": ["http://framed.test/cb"], "rootUrl": "http://framed.test", "frontchannelLogout": true,
		"attributes": {"frontchannel.logout.url": "/bye"}},
	{"clientId": "tv", "publicClient": true, "attributes": {"oauth2.device.authorization.grant.enabled": "true"}}
], "users": [
	{"username": "ann", "enabled": true, "email": "ann@x.test", "firstName": "A", "lastName": "N", "credentials": [{"type": "password", "value": "a"}]},
	{"username": "bob", "enabled": true, "email": "bob@x.test", "firstName": "B", "lastName": "O", "credentials": [{"type": "password", "value": "b"}]}
]}`

// A testBrowser follows the server's redirects and stops at the client's.
type testBrowser struct {
	*testing.T
	server *Server
	client http.Client
	status int
	body   string
	to     *url.URL // of the redirect to the client, or nil
}

func newBrowser(t *testing.T, s *Server) *testBrowser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &testBrowser{T: t, server: s,
		client: http.Client{Jar: jar,
			CheckRedirect: func(next *http.Request, _ []*http.Request) error {
				if strings.HasPrefix(next.URL.String(), s.URL+"/") {
					return nil
				}
				return http.ErrUseLastResponse
			}}}
}

func (b *testBrowser) took(response *http.Response, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	b.status, b.body, b.to = response.StatusCode, string(body), nil
	if to := response.Header.Get("Location"); to != "" {
		if b.to, err = url.Parse(to); err != nil {
			b.Fatal(err)
		}
	}
}

// ask begins a request for a code. Pairs come on top.
func (b *testBrowser) ask(pairs ...string) {
	b.Helper()
	query := url.Values{
		"client_id": {"app"}, "redirect_uri": {"http://app.test/a/cb"}, "response_type": {"code"},
		"scope": {"openid"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	b.took(b.client.Get(b.server.URL + "/realms/r/protocol/openid-connect/auth?" + query.Encode()))
}

var actionAttribute = regexp.MustCompile(`action="([^"]*)"`)

// form is where the page's form goes.
func (b *testBrowser) form() string {
	b.Helper()
	found := actionAttribute.FindStringSubmatch(b.body)
	if found == nil {
		b.Fatalf("no form: %s", b.body)
	}
	return html.UnescapeString(found[1])
}

func (b *testBrowser) post(form string, pairs ...string) {
	b.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	b.took(b.client.PostForm(form, values))
}

func (b *testBrowser) wantPage(words string) {
	b.Helper()
	if !strings.Contains(html.UnescapeString(b.body), words) {
		b.Errorf("the page doesn't say %q: %s (%v)", words, b.body, b.to)
	}
}

func (b *testBrowser) wantParameter(name, value string) {
	b.Helper()
	if b.to == nil {
		b.Fatalf("no redirect: %s", b.body)
	}
	if got := b.to.Query().Get(name); got != value {
		b.Errorf("%s is %q, want %q: %s", name, got, value, b.to)
	}
}

func TestLoginTimesOut(t *testing.T) {
	s := New(t, []byte(browserRealm))
	b := newBrowser(t, s)
	b.ask("state", "st")
	s.Advance(31 * time.Minute)
	b.post(b.form(), "username", "ann", "password", "a")
	b.wantPage("Your login attempt timed out. Login will start from the beginning.")
	b.post(b.form(), "username", "ann", "password", "a")
	b.wantParameter("state", "st")
}

// Keycloak would keep a session that is remembered for longer, and its cookie, too.
func TestLogin_rememberMe(t *testing.T) {
	b := newBrowser(t,
		New(t,
			[]byte(strings.Replace(browserRealm, `"enabled": true,`,
				`"enabled": true, "rememberMe": true,`, 1))))
	b.ask("state", "st")
	form := b.form()
	b.post(form, "username", "ann", "password", "a", "rememberMe", "on")
	if b.status != 501 || !strings.Contains(b.body, `"not_in_keycloaktest"`) ||
		!strings.Contains(b.body, "rememberMe") {
		t.Errorf("a sign-in that is to be remembered: %d %s, want 501 that names rememberMe",
			b.status, b.body)
	}
	b.post(form, "username", "ann", "password", "a")
	b.wantParameter("state", "st")
}

func TestFormIsGoodOnce(t *testing.T) {
	b := newBrowser(t, New(t, []byte(browserRealm)))
	b.ask("state", "st")
	form := b.form()
	b.post(form, "username", "ann", "password", "wrong")
	b.post(form, "username", "ann", "password", "a")
	b.wantPage("Action expired. Please continue with login now.")
	form = b.form()
	b.post(form, "username", "ann", "password", "a")
	b.post(form, "username", "ann", "password", "a")
	b.wantParameter("error_description", "authentication_expired")
	b.wantParameter("state", "st")
}

func TestSecondTabIsOfTheSamePerson(t *testing.T) {
	b := newBrowser(t, New(t, []byte(browserRealm)))
	b.ask()
	second := b.form()
	b.ask()
	b.post(b.form(), "username", "ann", "password", "a")
	b.post(second, "username", "bob", "password", "b")
	b.wantPage(
		"You are already authenticated as different user 'ann' in this session. Please sign out " +
			"first.")
}

func TestClientAsksForAnAction(t *testing.T) {
	s := New(t, []byte(browserRealm))
	b := newBrowser(t, s)
	b.ask("kc_action", "UPDATE_PASSWORD")
	b.post(b.form(), "username", "ann", "password", "a")
	b.post(b.form(), "password-new", "c", "password-confirm", "c")
	b.wantParameter("kc_action", "UPDATE_PASSWORD")
	b.wantParameter("kc_action_status", "success")
	b.ask("kc_action", "UPDATE_PASSWORD")
	b.post(b.form(), "cancel-aia", "true")
	b.wantParameter("kc_action_status", "cancelled")
	b.ask("kc_action", "bogus")
	b.wantParameter("kc_action_status", "error")
	b = newBrowser(t, s)
	b.ask()
	b.post(b.form(), "username", "ann", "password", "c")
	b.wantParameter("iss", s.Realm("r").Issuer())
}

func TestLogoutByFrames(t *testing.T) {
	s := New(t, []byte(browserRealm))
	b := newBrowser(t, s)
	b.ask("client_id", "framed", "redirect_uri", "http://framed.test/cb")
	b.post(b.form(), "username", "ann", "password", "a")
	sid := b.to.Query().Get("session_state")
	b.took(b.client.Get(s.URL +
		"/realms/r/protocol/openid-connect/logout?client_id=framed&post_logout_redirect_uri=http://framed.test/cb"))
	code := regexp.MustCompile(`name="session_code" value="([^"]*)"`).FindStringSubmatch(b.body)
	if code == nil {
		t.Fatalf("nothing to confirm: %s", b.body)
	}
	b.post(s.URL+b.form(), "session_code", code[1], "confirmLogout", "Logout")
	b.wantPage(`src="http://framed.test/bye?sid=` + sid)
	b.wantPage(`href="http://framed.test/cb"`)
}

func TestBrowsersAreBounded(t *testing.T) {
	s := New(t, []byte(browserRealm))
	r := s.Realm("r")
	for range maxLogins + 10 {
		newBrowser(t, s).ask()
	}
	b := newBrowser(t, s)
	for range maxAuthSessions + 10 {
		b.ask()
	}
	for range maxDevices + 10 {
		b.post(s.URL+"/realms/r/protocol/openid-connect/auth/device", "client_id", "tv")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.logins) > maxLogins || len(r.devices) > maxDevices {
		t.Errorf("%d logins and %d devices are kept, want %d and %d at most", len(r.logins),
			len(r.devices), maxLogins, maxDevices)
	}
	for _, l := range r.logins {
		if len(l.authSessions) > maxAuthSessions {
			t.Errorf("%d tabs are kept, want %d at most", len(l.authSessions), maxAuthSessions)
		}
	}
}

// A browser is never sent where the client's patterns don't lead.
func FuzzRedirectURI(f *testing.F) {
	for _, seed := range []string{
		"http://app.test/a/b", "http://app.test/a", "http://app.test/a/../b",
		"http://app.test/a/%2e%2e/b", "http://app.test@evil.test/a/",
		"http://app.test/a/x?y#z", "//app.test/a/", "http:\\\\app.test/a/", "http://app.test:1/a/",
		"javascript:alert(1)", "/a/b", "http://app.test/a/%",
	} {
		f.Add(seed)
	}
	s, err := Start(Config{Realms: [][]byte{[]byte(browserRealm)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	r := s.Realm("r")
	f.Fuzz(func(t *testing.T, asked string) {
		to, ok := r.redirectURI(r.clients["app"], r.clients["app"].RedirectURIs, asked, true, true)
		if !ok {
			return
		}
		parsed, err := url.Parse(to)
		if err != nil || parsed.Scheme != "http" || parsed.Host != "app.test" ||
			parsed.User != nil || !strings.HasPrefix(parsed.Path+"/", "/a/") {
			t.Errorf("%q leads to %q (%v)", asked, to, err)
		}
		if at := fmt.Sprint(parsed.ResolveReference(&url.URL{})); !strings.HasPrefix(at,
			"http://app.test/a") {
			t.Errorf("%q leads to %q", asked, at)
		}
	})
}
