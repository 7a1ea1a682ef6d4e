package contract

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// A browser stores cookies and follows redirects within the server, but not a redirect to a client,
// which isn't running: the redirect is the response.
type browser struct {
	x      *exchange
	client *http.Client
	follow bool // if false, every redirect is a response
}

func (x *exchange) browser() *browser {
	jar, err := cookiejar.New(nil)
	x.must(err)
	b := &browser{x: x, follow: true}
	b.client = &http.Client{Jar: jar, Transport: direct.Transport, Timeout: patience,
		CheckRedirect: func(next *http.Request, _ []*http.Request) error {
			if b.follow && strings.HasPrefix(next.URL.String(), x.kc.base()+"/") {
				return nil
			}
			return http.ErrUseLastResponse
		}}
	return b
}

// browserAccept is the Accept header of a browser, which makes Keycloak respond with HTML.
const browserAccept = "text/html,application/xhtml+xml,*/*;q=0.8"

func (b *browser) open(address string) response {
	b.x.Helper()
	return b.x.sendBy(b.client, http.MethodGet, address, "", "Accept", browserAccept)
}

// submit sends the page's first form with its hidden fields and these fields.
func (b *browser) submit(page response, fields ...string) response {
	b.x.Helper()
	return b.submitForm(page, "", fields...)
}

// submitForm is submit for the form with this ID.
func (b *browser) submitForm(page response, id string, fields ...string) response {
	b.x.Helper()
	for _, f := range page.forms() {
		if id != "" && f.id != id {
			continue
		}
		values := url.Values{}
		for _, field := range f.fields {
			if field.kind == "hidden" {
				values.Set(field.name, field.value)
			}
		}
		address, err := url.Parse(page.url)
		b.x.must(err)
		address, err = address.Parse(f.action)
		b.x.must(err)
		return b.x.sendBy(b.client, http.MethodPost, address.String(),
			with(values, fields...).Encode(), "Accept", browserAccept, "Content-Type",
			"application/x-www-form-urlencoded")
	}
	b.x.Fatalf("no form %q at %s: %d %s", id, page.url, page.status, page.body)
	return response{}
}

// callback is the redirect URI of the tests' clients.
const callback = "http://localhost:8000/callback"

// authURL returns the URL of an authorization request of the client "api" with the scope openid.
// Pairs override its parameters, and an empty value removes one.
func (r *realm) authURL(pairs ...string) string {
	values := with(form("client_id", "api", "response_type", "code", "redirect_uri", callback,
		"scope", "openid", "state", "st"), pairs...)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			values.Del(pairs[i])
		}
	}
	return r.oidc("/auth?" + values.Encode())
}

// login opens the login page and signs the user in. The response is the redirect to the client, or
// the next page.
func (b *browser) login(u *user, pairs ...string) response {
	b.x.Helper()
	page := b.open(u.realm.authURL(pairs...))
	if page.status != http.StatusOK {
		return page // single sign-on
	}
	return b.submit(page, "username", u.username, "password", "secret")
}

// redirected returns the parameters of a redirect to the client, from the query or the fragment.
func (a response) redirected() url.Values {
	a.x.Helper()
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound {
		a.x.Fatalf("got %d %s, want a redirect", a.status, a.body)
	}
	if location.Fragment != "" {
		values, _ := url.ParseQuery(location.Fragment)
		return values
	}
	return location.Query()
}

// code signs the user in with a new browser and returns the code.
func (x *exchange) code(u *user, pairs ...string) string {
	x.Helper()
	a := x.browser().login(u, pairs...)
	code := a.redirected().Get("code")
	if code == "" {
		x.Fatalf("no code: %s", a.header.Get("Location"))
	}
	return code
}
