package e2e

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// stepUpRedirectURI is the address to which Keycloak's login page redirects the browser. No server
// needs to listen there.
const stepUpRedirectURI = "http://app.invalid/callback"

// stepUpRealm returns a realm whose browser flow has two levels of authentication: silver, a
// password, and gold, a password and a one-time code.
func stepUpRealm(users ...object) object {
	level := func(alias, form string) object {
		return object{"alias": alias, "providerId": "basic-flow", "topLevel": false,
			"authenticationExecutions": []object{
				{"authenticator": "conditional-level-of-authentication", "requirement": "REQUIRED",
					"authenticatorConfig": alias, "priority": 10},
				{"authenticator": form, "requirement": "REQUIRED", "priority": 20},
			}}
	}
	return object{
		"browserFlow": "step-up",
		"authenticationFlows": []object{
			{"alias": "step-up", "providerId": "basic-flow", "topLevel": true,
				"authenticationExecutions": []object{
					{"authenticator": "auth-cookie", "requirement": "ALTERNATIVE", "priority": 10},
					{"flowAlias": "forms", "authenticatorFlow": true, "requirement": "ALTERNATIVE",
						"priority": 20},
				}},
			{"alias": "forms", "providerId": "basic-flow", "topLevel": false,
				"authenticationExecutions": []object{
					{"flowAlias": "level 1", "authenticatorFlow": true,
						"requirement": "CONDITIONAL", "priority": 10},
					{"flowAlias": "level 2", "authenticatorFlow": true,
						"requirement": "CONDITIONAL", "priority": 20},
				}},
			level("level 1", "auth-username-password-form"),
			level("level 2", "auth-otp-form"),
		},
		"authenticatorConfig": []object{
			{"alias": "level 1", "config": object{
				"loa-condition-level": "1", "loa-max-age": "36000"}},
			{"alias": "level 2", "config": object{
				"loa-condition-level": "2", "loa-max-age": "0"}},
		},
		"attributes": object{"acr.loa.map": `{"silver":"1","gold":"2"}`},
		"clients": []object{apiClient(object{
			"standardFlowEnabled": true, "redirectUris": []string{stepUpRedirectURI}})},
		"users": users,
	}
}

// A loginPage uses Keycloak's login page as a browser without JavaScript does.
type loginPage struct {
	t       *testing.T
	realm   realm
	cookies map[string]string
}

var formActionPattern = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// open requests an authorization code with this acr value. It returns the address of the login form
// or, if Keycloak shows no form, the code.
func (p *loginPage) open(acr string) (action, code string) {
	p.t.Helper()
	query := url.Values{"client_id": {"local-api"}, "response_type": {"code"},
		"scope": {"openid"}, "redirect_uri": {stepUpRedirectURI}}
	if acr != "" {
		query.Set("acr_values", acr)
	}
	return p.send(http.MethodGet, p.realm.k.url+"/realms/"+p.realm.name+
		"/protocol/openid-connect/auth?"+query.Encode(), "")
}

// submit submits a login form. It returns the address of the next form or, after the last form, the
// code.
func (p *loginPage) submit(action string, form url.Values) (next, code string) {
	p.t.Helper()
	if action == "" {
		p.t.Fatal("the login page has no form")
	}
	return p.send(http.MethodPost, action, form.Encode())
}

// send sends a request and follows Keycloak's redirects. It returns the address of the login form
// or, if Keycloak redirects to stepUpRedirectURI, the code.
func (p *loginPage) send(method, address, body string) (action, code string) {
	p.t.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range p.cookies { // a cookie jar would send Keycloak's cookies only over TLS
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	response, err := http.DefaultTransport.RoundTrip(request) // a client would follow redirects
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	for _, cookie := range response.Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(p.cookies, cookie.Name)
		} else {
			p.cookies[cookie.Name] = cookie.Value
		}
	}
	if location := response.Header.Get("Location"); location != "" {
		target, err := url.Parse(location)
		if err != nil {
			p.t.Fatal(err)
		}
		if !strings.HasPrefix(location, stepUpRedirectURI) { // another step of the login
			return p.send(http.MethodGet, location, "")
		}
		return "", target.Query().Get("code")
	}
	page, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	match := formActionPattern.FindSubmatch(page)
	if response.StatusCode != http.StatusOK || match == nil {
		p.t.Fatalf("%s %s: %s without a form\n%s", method, address, response.Status, page)
	}
	return html.UnescapeString(string(match[1])), ""
}

// accessToken exchanges a code for an access token.
func (p *loginPage) accessToken(code string) string {
	p.t.Helper()
	_, body := p.realm.k.token(p.t, p.realm.name, "grant_type", "authorization_code",
		"client_id", "local-api", "client_secret", "local-api-secret", "code", code,
		"redirect_uri", stepUpRedirectURI)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(body), &token); token.AccessToken == "" {
		p.t.Fatalf("code %q: %s, want an access token", code, body)
	}
	return token.AccessToken
}

// The error of @stepUp names the level to request from Keycloak. If the user signs in with this
// level, the new token satisfies the rule. After a sign-in on the login page, the token also
// contains the time of the sign-in, for @stepUp(maxAge:).
func TestRules_stepUp(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-of-20-bytes"
	user := ruleUser("alice", object{"credentials": otpCredentials("secret", secret)})
	r := newRealm(t, sharedKeycloak, stepUpRealm(user))
	s := r.serveRules(t)
	page := &loginPage{t: t, realm: r, cookies: map[string]string{}}

	form, _ := page.open("")
	_, code := page.submit(form, url.Values{"username": {"alice"}, "password": {"secret"}})
	token := page.accessToken(code)
	wantCode(t, "silver, recent", s.query(t, token, "{ recent }", nil), "")
	denied := s.query(t, token, "{ strong }", nil)
	wantCode(t, "silver, strong", denied, "UNAUTHENTICATED/STEP_UP_REQUIRED")
	levels := denied.Errors[0].Extensions.ACRValues
	if !slices.Equal(levels, []string{"gold"}) {
		t.Fatalf("the error has the levels %q, want gold", levels)
	}

	form, code = page.open(levels[0]) // the same browser: Keycloak asks only for the code
	if code != "" {
		t.Fatal("Keycloak asks for no one-time code")
	}
	_, code = page.submit(form, url.Values{"otp": {totp(secret, time.Now())}})
	wantCode(t, "gold, strong", s.query(t, page.accessToken(code), "{ strong }", nil), "")
	wantCode(t, "silver, strong again", s.query(t, token, "{ strong }", nil),
		"UNAUTHENTICATED/STEP_UP_REQUIRED")
}
