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

// A call is a request to an endpoint of a realm.
type call struct {
	*http.Request
	realm *Realm
	form  url.Values // the POST parameters; empty for other content types, as in Keycloak
	now   time.Time

	// sanitize drops control characters from parameters, and ignores parameters that are too long,
	// except for credentials. The token endpoint does this.
	sanitize bool

	// corsAllowed lets pages of other origins read the response. Keycloak allows all origins until
	// the client is known, and afterwards the origins of the client.
	corsAllowed    bool
	exposedHeaders string
}

// maxForm is the maximum length of a form, in bytes.
const maxForm = 256 << 10

// newCall parses the form of a request.
func newCall(w http.ResponseWriter, request *http.Request, r *Realm,
	now time.Time) (*call, *refusal) {
	c := &call{Request: request, realm: r, form: url.Values{}, now: now,
		exposedHeaders: "Access-Control-Allow-Methods"}
	contentType, _, _ := strings.Cut(request.Header.Get("Content-Type"), ";")
	if request.Method != http.MethodPost ||
		strings.TrimSpace(contentType) != "application/x-www-form-urlencoded" {
		return c, nil
	}
	// http.Request.ParseForm would read the query parameters too.
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxForm))
	if err != nil {
		return nil, refuse(400, "invalid_request", "the form can't be read")
	}
	if c.form, err = parseForm(string(body)); err != nil {
		return nil, refuse(500, "unknown_error", "For more on this error consult the server log.")
	}
	return c, nil
}

// parseForm parses a form as Keycloak does: a semicolon has no special meaning, and "&&" contains a
// parameter with an empty name.
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

// param returns a parameter of the form and whether it was sent.
func (c *call) param(name string) (string, bool) {
	values := c.form[name]
	if len(values) == 0 {
		return "", false
	}
	if c.sanitize && !slices.Contains(credentialParameters, name) {
		value := strings.Map(withoutControls, values[0])
		if utf8.RuneCountInString(value) > maxParameter && name != "grant_type" {
			return "", false
		}
		return value, true
	}
	return values[0], true
}

// decodeBasic decodes credentials in base64 or base64url, with or without padding.
func decodeBasic(encoded string) ([]byte, error) {
	encoded = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(encoded, "="))
	return base64.RawStdEncoding.DecodeString(encoded)
}

// credentialParameters are the parameters that the token endpoint doesn't sanitize.
var credentialParameters = []string{"client_id", "client_secret", "client_assertion", "username",
	"password", "otp", "totp"}

func (c *call) value(name string) string { return c.form.Get(name) }

const badClient = "Invalid client or Invalid client credentials"

// authenticateClient returns the client that the request authenticates as, by the form or else by
// basic authentication (RFC 6749 2.3.1). The caller holds the realm's lock.
func (c *call) authenticateClient() (*client, *refusal) {
	c.corsAllowed = true
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
		id, inForm = c.clientFromAssertion()
	}
	found := c.realm.clients[id]
	if !inForm || found == nil || !found.enabled {
		return nil, refuse(401, "invalid_client", badClient)
	}
	if !found.PublicClient {
		// The client may be configured to authenticate in another way.
		if refused := c.realm.checkSupported(found, realmfile.UseSecret); refused != nil {
			return nil, refused
		}
	}
	if refused := found.checkSecretKnown(); refused != nil {
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

// secretExpired reports whether the client's secret has expired.
func (c *client) secretExpired(now time.Time) bool {
	until, err := strconv.ParseInt(c.Attributes["client.secret.expiration.time"], 10, 64)
	return err == nil && until > 0 && until <= now.Unix() && !c.PublicClient && !c.BearerOnly
}

// clientFromAssertion returns the client ID in a signed assertion (RFC 7523 3). ok is false if
// there is no assertion or the client authenticates by its secret.
func (c *call) clientFromAssertion() (id string, ok bool) {
	assertion, _ := c.param("client_assertion")
	assertionType, _ := c.param("client_assertion_type")
	if assertionType != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "", false
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return "", false
	}
	found := c.realm.clients[claims.Subject]
	return claims.Subject, found != nil && found.hasNoSecret()
}

// checkOrigin checks the request's Origin header against the web origins of the client.
func (c *call) checkOrigin(caller *client) *refusal {
	origin := c.Header.Get("Origin")
	c.corsAllowed = origin == "" || c.realm.allowsOrigin(caller, origin)
	if c.corsAllowed {
		return nil
	}
	return refuse(403, "Invalid origin", "")
}

// webOrigins returns the allowed origins of a client. "+" stands for those of its redirect URIs.
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

// originOf returns the origin of a redirect URI, or "". Like Keycloak it doesn't parse the
// authority, which may contain a "*".
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

// redirectURIs resolves relative patterns against the client's root URL.
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
