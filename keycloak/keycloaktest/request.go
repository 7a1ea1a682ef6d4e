package keycloaktest

import (
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A call is one request to an endpoint of a realm.
type call struct {
	*http.Request
	realm *Realm
	form  url.Values // of a POST body; empty for another content type, as for Keycloak
	now   time.Time

	// The token endpoint drops control characters from what it reads, and what is too long, but for
	// what says who asks.
	cleans bool

	// What a page of another origin may see of the answer: nothing, unless echo is set. Keycloak
	// lets every origin see a refusal until the client is known, and then those of the client.
	echo    bool
	exposed string
}

// maxForm is the longest body that is read, in bytes.
const maxForm = 256 << 10

// newCall reads a request's form.
func newCall(w http.ResponseWriter, request *http.Request, r *Realm,
	now time.Time) (*call, *refusal) {
	c := &call{Request: request, realm: r, form: url.Values{}, now: now,
		exposed: "Access-Control-Allow-Methods"}
	kind, _, _ := strings.Cut(request.Header.Get("Content-Type"), ";")
	// in this case only
	if request.Method != http.MethodPost ||
		strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return c, nil
	}
	// The query string is no part of the form: http.Request.ParseForm would read it too.
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxForm))
	if err != nil {
		return nil, refuse(400, "invalid_request", "the form can't be read")
	}
	if c.form, err = parseForm(string(body)); err != nil {
		return nil, refuse(500, "unknown_error", "For more on this error consult the server log.")
	}
	return c, nil
}

// parseForm reads a form as Keycloak does: a semicolon is a character like others, and where
// nothing stands between two ampersands, there is a parameter without a name.
func parseForm(body string) (url.Values, error) {
	form := url.Values{}
	if body == "" {
		return form, nil
	}
	for _, pair := range strings.Split(strings.TrimSuffix(body, "&"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, err
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, err
		}
		form.Add(name, value)
	}
	return form, nil
}

// param is a parameter of the form, and whether it was sent at all.
func (c *call) param(name string) (string, bool) {
	values := c.form[name]
	if len(values) == 0 {
		return "", false
	}
	if c.cleans && !slices.Contains(credentialParameters, name) {
		value := strings.Map(withoutControls, values[0])
		if utf8.RuneCountInString(value) > maxParameter && name != "grant_type" {
			return "", false // as if it weren't there
		}
		return value, true
	}
	return values[0], true
}

// decodeBasic reads credentials in either alphabet of base64, with padding or without.
func decodeBasic(encoded string) ([]byte, error) {
	encoded = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(encoded, "="))
	return base64.RawStdEncoding.DecodeString(encoded)
}

// credentialParameters are read as they are, by what authenticates clients and users.
var credentialParameters = []string{"client_id", "client_secret", "client_assertion", "username",
	"password", "otp", "totp"}

func (c *call) value(name string) string { return c.form.Get(name) }

const badClient = "Invalid client or Invalid client credentials"

// authenticated is the client that a request comes from: by the form, which wins, or by basic
// authentication (RFC 6749 2.3.1). The caller holds the realm's lock.
func (c *call) authenticated() (*client, *refusal) {
	c.echo = true
	id, inForm := c.param("client_id")
	secret, withSecret := c.param("client_secret")
	if header := c.Header.Get("Authorization"); header != "" {
		scheme, encoded, _ := strings.Cut(header, " ")
		decoded, err := decodeBasic(strings.TrimSpace(encoded))
		name, password, pair := strings.Cut(string(decoded), ":")
		basic := strings.EqualFold(scheme, "Basic")
		if basic && (err != nil || !pair) && !inForm {
			return nil, refuse(401, "invalid_client", badClient)
		}
		if basic && err == nil && pair {
			// Both parts are form-encoded (RFC 6749 2.3.1).
			name, nameErr := url.QueryUnescape(name)
			password, passwordErr := url.QueryUnescape(password)
			if nameErr != nil || passwordErr != nil {
				return nil, refuse(400, "unauthorized_client",
					"Unexpected error when authenticating client")
			}
			if !inForm {
				id, inForm = name, true
			}
			if !withSecret && id == name {
				secret, withSecret = password, true
			}
		}
	}
	if !inForm {
		id, inForm = c.asserted()
	}
	found := c.realm.clients[id]
	if !inForm || found == nil || !found.enabled {
		return nil, refuse(401, "invalid_client", badClient)
	}
	if !found.PublicClient {
		// it may have another way to say who it is
		if refused := c.realm.supports(found, realmfile.UseSecret); refused != nil {
			return nil, refused
		}
	}
	if refused := found.knownSecret(); refused != nil {
		return nil, refused
	}
	if !found.PublicClient && !found.BearerOnly || found.BearerOnly && found.Secret != "" {
		if subtle.ConstantTimeCompare([]byte(secret), []byte(found.Secret)) != 1 {
			return nil, refuse(401, "unauthorized_client", badClient)
		}
	}
	if found.secretExpired(c.now) {
		return nil, refuse(401, "unauthorized_client", badClient)
	}
	return found, nil
}

// secretExpired reports whether a client's secret was good until a time that is over.
func (c *client) secretExpired(now time.Time) bool {
	until, err := strconv.ParseInt(c.Attributes["client.secret.expiration.time"], 10, 64)
	return err == nil && until > 0 && until <= now.Unix() && !c.PublicClient && !c.BearerOnly
}

// asserted is the client that a signed assertion names (RFC 7523 3), if that client has no secret:
// one that has isn't known by an assertion.
func (c *call) asserted() (id string, ok bool) {
	assertion, _ := c.param("client_assertion")
	if kind, _ := c.param("client_assertion_type"); kind !=
		"urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "", false
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return "", false
	}
	found := c.realm.clients[claims.Subject]
	return claims.Subject, found != nil && found.hasNoSecret()
}

// allowed checks the Origin of a request that a known client made.
func (c *call) allowed(by *client) *refusal {
	origin := c.Header.Get("Origin")
	c.echo = origin == "" || c.realm.allowsOrigin(by, origin)
	if c.echo {
		return nil
	}
	return refuse(403, "Invalid origin", "")
}

// webOrigins are the origins of a client; "+" stands for those of its redirect URIs.
func (r *Realm) webOrigins(c *client) []string {
	var out []string
	add := func(origin string) {
		if origin != "" && !slices.Contains(out, origin) {
			out = append(out, origin)
		}
	}
	for _, origin := range c.WebOrigins {
		if origin != "+" {
			add(origin)
			continue
		}
		for _, uri := range r.redirectURIs(c, c.RedirectURIs) {
			add(originOf(uri))
		}
	}
	return out
}

// originOf is the origin of a redirect URI, or nothing. Keycloak cuts the text behind its
// authority, whatever that is: a redirect URI may have a star in it.
func originOf(uri string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	if scheme != "http" && scheme != "https" {
		return ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + authority
}

func (r *Realm) allowsOrigin(c *client, origin string) bool {
	origins := r.webOrigins(c)
	return slices.Contains(origins, origin) || slices.Contains(origins, "*")
}

// redirectURIs are a client's, with relative ones resolved against its root URL.
func (r *Realm) redirectURIs(c *client, patterns []string) []string {
	root := c.RootURL
	if root == "" || root == "${authBaseUrl}" || root == "${authAdminUrl}" {
		root = r.server.publicURL
	}
	var out []string
	for _, pattern := range patterns {
		if strings.HasPrefix(pattern, "/") {
			pattern = strings.TrimSuffix(root, "/") + pattern
		}
		out = append(out, pattern)
	}
	return out
}
