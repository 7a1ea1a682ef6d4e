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
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A request is an HTTP request to an endpoint of a realm.
type request struct {
	*http.Request
	realm *Realm
	form  url.Values // of a POST; as in Keycloak, empty unless Content-Type says that it is a form
	now   time.Time

	// sanitize makes param drop control characters and ignore values that are too long, except in
	// credentialParameters. The token endpoint sets sanitize.
	sanitize bool

	// corsAllowed lets the request's origin read the response. Until the client is authenticated,
	// Keycloak allows all origins; afterwards, it allows the client's web origins.
	corsAllowed    bool
	exposedHeaders string
}

// maxFormBytes is the maximum length of a form, in bytes.
const maxFormBytes = 256 << 10

// newRequest returns a request with its form parsed.
func newRequest(w http.ResponseWriter, httpRequest *http.Request, r *Realm,
	now time.Time) (*request, *oauthError) {
	req := &request{Request: httpRequest, realm: r, form: url.Values{}, now: now,
		exposedHeaders: "Access-Control-Allow-Methods"}
	contentType, _, _ := strings.Cut(httpRequest.Header.Get("Content-Type"), ";")
	if httpRequest.Method != http.MethodPost ||
		strings.TrimSpace(contentType) != "application/x-www-form-urlencoded" {
		return req, nil
	}
	// http.Request.ParseForm would read the query parameters too.
	body, err := io.ReadAll(http.MaxBytesReader(w, httpRequest.Body, maxFormBytes))
	if err != nil {
		return nil, newOAuthError(400, "invalid_request", "the form can't be read")
	}
	if req.form, err = parseForm(string(body)); err != nil {
		return nil, newOAuthError(500, "unknown_error",
			"For more on this error consult the server log.")
	}
	return req, nil
}

// parseForm parses a form as Keycloak does: a semicolon has no special meaning, and an empty pair,
// as in "a=1&&b=2", is a parameter with an empty name.
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

// param returns a parameter of the form, sanitized if sanitize is set. ok is false if the parameter
// is missing or ignored.
func (req *request) param(name string) (value string, ok bool) {
	values := req.form[name]
	if len(values) == 0 {
		return "", false
	}
	if req.sanitize && !slices.Contains(credentialParameters, name) {
		value = strings.Map(dropControl, values[0])
		if utf8.RuneCountInString(value) > maxParameterLength && name != "grant_type" {
			return "", false
		}
		return value, true
	}
	return values[0], true
}

// dropControl is a strings.Map function that drops control characters.
func dropControl(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// decodeBasicCredentials decodes credentials in base64 or base64url, with or without padding.
func decodeBasicCredentials(encoded string) ([]byte, error) {
	encoded = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(encoded, "="))
	return base64.RawStdEncoding.DecodeString(encoded)
}

// credentialParameters are the parameters that the token endpoint doesn't sanitize.
var credentialParameters = []string{"client_id", "client_secret", "client_assertion", "username",
	"password", "otp", "totp"}

// rawParam returns a parameter of the form without sanitizing it, or "".
func (req *request) rawParam(name string) string { return req.form.Get(name) }

const invalidClientMessage = "Invalid client or Invalid client credentials"

// authenticateClient returns the client that the request authenticates, with credentials in the
// form or else in a Basic Authorization header (RFC 6749 2.3.1). The caller holds the realm's lock.
func (req *request) authenticateClient() (*client, *oauthError) {
	req.corsAllowed = true
	id, hasID := req.param("client_id")
	secret, hasSecret := req.param("client_secret")
	if header := req.Header.Get("Authorization"); header != "" {
		scheme, encoded, _ := strings.Cut(header, " ")
		credentials, err := decodeBasicCredentials(strings.TrimSpace(encoded))
		name, password, hasColon := strings.Cut(string(credentials), ":")
		isBasic := strings.EqualFold(scheme, "Basic")
		if isBasic && (err != nil || !hasColon) && !hasID {
			return nil, newOAuthError(401, "invalid_client", invalidClientMessage)
		}
		if isBasic && err == nil && hasColon {
			// Both parts are form-encoded (RFC 6749 2.3.1).
			name, nameErr := url.QueryUnescape(name)
			password, passwordErr := url.QueryUnescape(password)
			if nameErr != nil || passwordErr != nil {
				return nil, newOAuthError(400, "unauthorized_client",
					"Unexpected error when authenticating client")
			}
			if !hasID {
				id, hasID = name, true
			}
			if !hasSecret && id == name {
				secret, hasSecret = password, true
			}
		}
	}
	if !hasID {
		id, hasID = req.clientIDFromAssertion()
	}
	c := req.realm.clients[id]
	if !hasID || c == nil || !c.enabled {
		return nil, newOAuthError(401, "invalid_client", invalidClientMessage)
	}
	if !c.PublicClient {
		// The client may be configured for an authentication method that the fake lacks.
		if err := req.realm.checkSupported(c, realmfile.UseSecret); err != nil {
			return nil, err
		}
	}
	if err := c.checkSecretKnown(); err != nil {
		return nil, err
	}
	if !c.PublicClient && !c.BearerOnly || c.BearerOnly && c.Secret != "" {
		if subtle.ConstantTimeCompare([]byte(secret), []byte(c.Secret)) != 1 {
			return nil, newOAuthError(401, "unauthorized_client", invalidClientMessage)
		}
	}
	if c.secretExpired(req.now) {
		return nil, newOAuthError(401, "unauthorized_client", invalidClientMessage)
	}
	return c, nil
}

// secretExpired reports whether the client's secret has expired.
func (c *client) secretExpired(now time.Time) bool {
	expiresAt, err := strconv.ParseInt(c.Attributes["client.secret.expiration.time"], 10, 64)
	return err == nil && expiresAt > 0 && expiresAt <= now.Unix() && !c.PublicClient &&
		!c.BearerOnly
}

// clientIDFromAssertion returns the client ID in a client assertion (RFC 7523 3). ok is false if
// there is no assertion or the client authenticates with a secret.
func (req *request) clientIDFromAssertion() (id string, ok bool) {
	assertion, _ := req.param("client_assertion")
	assertionType, _ := req.param("client_assertion_type")
	if assertionType != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "", false
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return "", false
	}
	c := req.realm.clients[claims.Subject]
	return claims.Subject, c != nil && c.authenticatesWithoutSecret()
}

// checkOrigin returns an error if the request's Origin header isn't one of the client's web
// origins.
func (req *request) checkOrigin(caller *client) *oauthError {
	origin := req.Header.Get("Origin")
	req.corsAllowed = origin == "" || req.realm.allowsOrigin(caller, origin)
	if req.corsAllowed {
		return nil
	}
	return newOAuthError(403, "Invalid origin", "")
}

// webOrigins returns the allowed origins of a client. "+" stands for the origins of its redirect
// URIs.
func (r *Realm) webOrigins(c *client) []string {
	var origins []string
	add := func(origin string) {
		if origin != "" && !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	for _, origin := range c.WebOrigins {
		if origin != "+" {
			add(origin)
			continue
		}
		for _, uri := range r.resolveRedirectURIs(c, c.RedirectURIs) {
			add(originOf(uri))
		}
	}
	return origins
}

// originOf returns the origin of a redirect URI, or "". Like Keycloak, it doesn't parse the
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

// resolveRedirectURIs resolves relative patterns against the client's root URL.
func (r *Realm) resolveRedirectURIs(c *client, patterns []string) []string {
	rootURL := c.RootURL
	if rootURL == "" || rootURL == "${authBaseUrl}" || rootURL == "${authAdminUrl}" {
		rootURL = r.server.publicURL
	}
	var resolvedURIs []string
	for _, pattern := range patterns {
		if strings.HasPrefix(pattern, "/") {
			pattern = strings.TrimSuffix(rootURL, "/") + pattern
		}
		resolvedURIs = append(resolvedURIs, pattern)
	}
	return resolvedURIs
}
