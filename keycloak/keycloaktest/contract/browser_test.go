package contract

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// A browser is a person's browser: it keeps cookies and follows the server's own redirects, but
// stops at one that leaves for the client. Nothing listens there: the redirect's address is what
// the client would get.
type browser struct {
	x      *exchange
	client *http.Client
	follow bool // off: every redirect is an answer
}

func (x *exchange) browser() *browser {
	jar, err := cookiejar.New(nil)
	x.must(err)
	b := &browser{x: x, follow: true}
	b.client = &http.Client{Jar: jar, Transport: direct.Transport, Timeout: patience,
		CheckRedirect: func(next *http.Request, _ []*http.Request) error {
			if b.follow && strings.HasPrefix(next.URL.String(), x.side.base()+"/") {
				return nil
			}
			return http.ErrUseLastResponse
		}}
	return b
}

// Keycloak shows pages to browsers, and JSON to others.
const browserAccept = "text/html,application/xhtml+xml,*/*;q=0.8"

func (b *browser) open(address string) answer {
	b.x.Helper()
	return b.x.sendBy(b.client, http.MethodGet, address, "", "Accept", browserAccept)
}

// submit fills in the page's first form and sends it: hidden fields as they are, fields over them.
func (b *browser) submit(page answer, fields ...string) answer {
	b.x.Helper()
	return b.submitForm(page, "", fields...)
}

// submitForm is submit for the form with an id.
func (b *browser) submitForm(page answer, id string, fields ...string) answer {
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
	return answer{}
}

// callback is where the tests' clients are sent back to.
const callback = "http://localhost:8000/callback"

// authURL asks for a code for the client "api", with the scope openid. Pairs override; an empty
// value removes.
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

// login opens the login page and signs the user in; the answer is the redirect back to the client,
// or the next page.
func (b *browser) login(u *user, pairs ...string) answer {
	b.x.Helper()
	page := b.open(u.in.authURL(pairs...))
	if page.status != http.StatusOK {
		return page // single sign-on
	}
	return b.submit(page, "username", u.username, "password", "secret")
}

// redirected are the parameters of a redirect back to the client, in the query or the fragment.
func (a answer) redirected() url.Values {
	a.x.Helper()
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound {
		a.x.Fatalf("no redirect: %d %s", a.status, a.body)
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
