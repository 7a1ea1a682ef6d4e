package contract

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// A browser stores cookies and follows redirects to the server. It doesn't follow redirects to a
// client, because no client is running: the scenario gets the redirect as the response.
type browser struct {
	scenario        *scenario
	client          *http.Client
	followRedirects bool // if false, follow no redirects at all
}

// newBrowser returns a browser without cookies.
func (s *scenario) newBrowser() *browser {
	jar, err := cookiejar.New(nil)
	s.must(err)
	b := &browser{scenario: s, followRedirects: true}
	b.client = &http.Client{Jar: jar, Transport: httpClient.Transport, Timeout: timeout,
		CheckRedirect: func(next *http.Request, _ []*http.Request) error {
			if b.followRedirects && strings.HasPrefix(next.URL.String(), s.kc.baseURL()+"/") {
				return nil
			}
			return http.ErrUseLastResponse
		}}
	return b
}

// browserAccept is the Accept header of a browser, which makes Keycloak respond with HTML.
const browserAccept = "text/html,application/xhtml+xml,*/*;q=0.8"

func (b *browser) open(address string) response {
	b.scenario.Helper()
	return b.scenario.sendWith(b.client, http.MethodGet, address, "", "Accept", browserAccept)
}

// submit sends the page's first form with its hidden fields and the given fields.
func (b *browser) submit(page response, fields ...string) response {
	b.scenario.Helper()
	return b.submitForm(page, "", fields...)
}

// submitForm is like submit, for the form with this ID.
func (b *browser) submitForm(page response, id string, fields ...string) response {
	b.scenario.Helper()
	for _, f := range page.forms() {
		if id != "" && f.id != id {
			continue
		}
		values := url.Values{}
		for _, field := range f.fields {
			if field.inputType == "hidden" {
				values.Set(field.name, field.value)
			}
		}
		address, err := url.Parse(page.url)
		b.scenario.must(err)
		address, err = address.Parse(f.action)
		b.scenario.must(err)
		return b.scenario.sendWith(b.client, http.MethodPost, address.String(),
			withParams(values, fields...).Encode(), "Accept", browserAccept, "Content-Type",
			"application/x-www-form-urlencoded")
	}
	b.scenario.Fatalf("no form %q at %s: %d %s", id, page.url, page.status, page.body)
	return response{}
}

// callback is the redirect URI of the tests' clients.
const callback = "http://localhost:8000/callback"

// authURL returns the URL of an authorization request by the client "api" with the scope openid.
// Pairs override parameters; a parameter with an empty value is removed.
func (r *realm) authURL(pairs ...string) string {
	values := withParams(form("client_id", "api", "response_type", "code", "redirect_uri", callback,
		"scope", "openid", "state", "st"), pairs...)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			values.Del(pairs[i])
		}
	}
	return r.endpoint("/auth?" + values.Encode())
}

// login opens the login page and signs the user in. It returns the redirect to the client, or the
// next page.
func (b *browser) login(u *user, pairs ...string) response {
	b.scenario.Helper()
	page := b.open(u.realm.authURL(pairs...))
	if page.status != http.StatusOK {
		return page // not a login page, because of single sign-on or an error
	}
	return b.submit(page, "username", u.username, "password", "secret")
}

// redirectQuery returns the parameters of a redirect to the client, from its query or its fragment.
func (r response) redirectQuery() url.Values {
	r.scenario.Helper()
	location, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusFound {
		r.scenario.Fatalf("got %d %s, want a redirect", r.status, r.body)
	}
	if location.Fragment != "" {
		values, _ := url.ParseQuery(location.Fragment)
		return values
	}
	return location.Query()
}

// code signs the user in with a new browser, and returns the authorization code.
func (s *scenario) code(u *user, pairs ...string) string {
	s.Helper()
	resp := s.newBrowser().login(u, pairs...)
	code := resp.redirectQuery().Get("code")
	if code == "" {
		s.Fatalf("got the redirect %s, want a code", resp.header.Get("Location"))
	}
	return code
}
