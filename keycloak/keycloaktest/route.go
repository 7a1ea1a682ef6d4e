package keycloaktest

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// oidc is the path of OpenID Connect endpoints below a realm.
const oidc = "/protocol/openid-connect"

// An endpoint describes an HTTP endpoint of a realm.
type endpoint struct {
	methods []string
	serve   func(*Realm, *request) response
	cors    cors
}

// A cors configures cross-origin requests to an endpoint.
type cors struct {
	preflightMethods string // methods in preflight responses; empty for endpoints without CORS
	anyOrigin        bool   // all origins may read the response
	allowHeader      string // the Allow header of OPTIONS responses, instead of preflightMethods
}

// endpoints returns the implemented endpoints by path below /realms/{realm}.
var endpoints = sync.OnceValue(func() map[string]endpoint {
	const get, post = http.MethodGet, http.MethodPost
	publicCORS := cors{preflightMethods: "GET", anyOrigin: true}
	postCORS := cors{preflightMethods: "POST, OPTIONS"}
	getCORS := cors{preflightMethods: "GET, HEAD, OPTIONS"}
	pageCORS := cors{allowHeader: "HEAD, POST, GET, OPTIONS"}
	return map[string]endpoint{
		"": {[]string{get}, (*Realm).info,
			cors{preflightMethods: "GET, HEAD, OPTIONS", anyOrigin: true}},
		"/.well-known/openid-configuration":       {[]string{get}, (*Realm).discovery, publicCORS},
		"/.well-known/oauth-authorization-server": {[]string{get}, (*Realm).discovery, publicCORS},
		oidc + "/certs": {[]string{get}, (*Realm).certs, publicCORS},
		oidc + "/token": {[]string{post}, (*Realm).token, postCORS},
		oidc + "/token/introspect": {[]string{post}, (*Realm).introspect,
			cors{allowHeader: "HEAD, POST, OPTIONS"}},
		oidc + "/revoke":                {[]string{post}, (*Realm).revoke, postCORS},
		oidc + "/userinfo":              {[]string{get, post}, (*Realm).userinfo, getCORS},
		oidc + "/logout":                {[]string{get, post}, (*Realm).logout, getCORS},
		oidc + "/logout/logout-confirm": {[]string{get, post}, (*Realm).logoutConfirm, cors{}},
		oidc + "/auth":                  {[]string{get, post}, (*Realm).authorize, pageCORS},
		oidc + "/auth/device": {[]string{get, post}, (*Realm).deviceAuthorization,
			postCORS},
		oidc + "/auth/device/status":     {[]string{get, post}, (*Realm).deviceStatus, cors{}},
		"/device":                        {[]string{get, post}, (*Realm).devicePage, postCORS},
		"/device/status":                 {[]string{get, post}, (*Realm).deviceStatus, cors{}},
		"/login-actions/authenticate":    {[]string{get, post}, (*Realm).authenticate, pageCORS},
		"/login-actions/consent":         {[]string{get, post}, (*Realm).consent, pageCORS},
		"/login-actions/restart":         {[]string{get}, (*Realm).restartLogin, cors{}},
		"/login-actions/required-action": {[]string{get, post}, (*Realm).requiredAction, pageCORS},
	}
})

// keycloakOnly lists paths and path prefixes below a realm that Keycloak has and the fake lacks.
// The fake returns 501 for them. 404 would wrongly mean that Keycloak doesn't have them either.
var keycloakOnly = []string{
	"/account", "/broker", "/authz", "/clients-registrations", "/clients-managements",
	"/login-actions", "/.well-known/uma2-configuration", "/clients",
	oidc + "/ext", oidc + "/registrations", oidc + "/forgot-credentials",
	oidc + "/login-status-iframe.html", oidc + "/3p-cookies", oidc + "/delegated", "/protocol/saml",
	"/protocol/docker-v2", "/protocol/oid4vc", "/.well-known/openid-credential-issuer",
	"/.well-known/webfinger",
}

// notImplemented is like unsupportedError, but returns a response.
func notImplemented(feature string) response {
	return unsupportedError(feature).plainResponse()
}

// unsupportedError returns the error for a request that needs a feature of Keycloak that the fake
// lacks.
func unsupportedError(feature string) *oauthError {
	return newOAuthError(http.StatusNotImplemented, codeUnsupported,
		"this is keycloaktest, a fake Keycloak for tests, and it has no "+feature)
}

// needlessEscapePattern matches an escaped character that needs no escaping in a path.
var needlessEscapePattern = regexp.MustCompile(
	`(?i)%(2d|2e|3\d|4[1-9a-f]|5[0-9a]|5f|6[1-9a-f]|7[0-9a]|7e)`)

// route dispatches a request to its realm, or returns Keycloak's response to a path outside all
// realms.
func (s *Server) route(w http.ResponseWriter, request *http.Request) response {
	fullPath := request.URL.EscapedPath()
	if strings.Contains(fullPath, ";") {
		return badPath("invalidCharacter", "Request path contains invalid character ';'")
	}
	segments := strings.Split(request.URL.Path, "/")
	if needlessEscapePattern.MatchString(fullPath) || strings.Contains(fullPath, "//") ||
		slices.Contains(segments, "..") || slices.Contains(segments, ".") {
		return badPath("missingNormalization", "Request path not normalized")
	}
	if fullPath == "/" || fullPath == s.prefix+"/" {
		return notImplemented("page at /")
	}
	notFound := frameworkError(request, 404, "Unable to find matching target resource method").
		withOnlyContentType()
	subpath, ok := strings.CutPrefix(fullPath, s.prefix)
	if !ok || !strings.HasPrefix(subpath, "/") {
		return notFound
	}
	if strings.HasPrefix(subpath, "/admin/") || subpath == "/admin" ||
		strings.HasPrefix(subpath, "/resources/") || strings.HasPrefix(subpath, "/js/") {
		return notImplemented(path.Join("/", strings.Split(subpath, "/")[1]) +
			" endpoints; its Go methods change a realm")
	}
	if strings.HasPrefix(subpath, "/.well-known/") && !strings.HasPrefix(subpath, rootMetadata) {
		return frameworkError(request, 404, "HTTP 404 Not Found")
	}
	name, rest, inRealm := s.splitURL(request.URL)
	if !inRealm || subpath == "/realms/" {
		return notFound
	}
	r := s.findRealm(name)
	if r == nil {
		return frameworkError(request, 404, "Realm does not exist")
	}
	resp := r.route(w, request, rest)
	if rest == loginActions || strings.HasPrefix(rest, loginActions+"/") {
		resp = resp.withHeader("Cache-Control", neverCache)
	}
	return resp
}

// loginActions is the path of the login page and its forms.
const loginActions = "/login-actions"

// rootMetadata is the prefix of the path at which RFC 8414 3.1 puts a realm's metadata.
const rootMetadata = "/.well-known/oauth-authorization-server/realms/"

// splitURL splits a URL into a realm's name and the path below the realm. inRealm is false if the
// URL isn't below /realms/.
func (s *Server) splitURL(address *url.URL) (realm, rest string, inRealm bool) {
	subpath, ok := strings.CutPrefix(address.EscapedPath(), s.prefix)
	if name, found := strings.CutPrefix(subpath, rootMetadata); found {
		subpath = "/realms/" + name + "/.well-known/oauth-authorization-server"
	}
	subpath, inRealm = strings.CutPrefix(subpath, "/realms/")
	escaped, rest, hasRest := strings.Cut(subpath, "/")
	if hasRest {
		rest = "/" + rest
	}
	realm, err := url.PathUnescape(escaped)
	if err != nil {
		realm = "" // no realm has this name
	}
	return realm, strings.TrimSuffix(rest, "/"), ok && inRealm
}

// badPath returns Keycloak's response to a malformed path.
func badPath(code, description string) response {
	return jsonResponse(400, "", errorBody{code, description}).withHeader("Content-Type",
		"application/json; charset=UTF-8").withOnlyContentType()
}

// withOnlyContentType returns a copy of resp in which Content-Type is the only header. Keycloak
// sets the security headers only on responses of a realm.
func (resp response) withOnlyContentType() response {
	stripped := response{status: resp.status, body: resp.body}
	return stripped.withHeader("Content-Type", resp.header.Get("Content-Type"))
}

// route dispatches a request to the endpoint at path rest and adds the CORS headers.
func (r *Realm) route(w http.ResponseWriter, request *http.Request, rest string) response {
	ep, ok := endpoints()[rest]
	if !ok {
		for _, prefix := range keycloakOnly {
			if rest == prefix || strings.HasPrefix(rest, prefix+"/") {
				return notImplemented("endpoint " + rest)
			}
		}
		if strings.HasPrefix(rest, "/protocol/") && !strings.HasPrefix(rest, oidc+"/") &&
			rest != oidc {
			return frameworkError(request, 404, "Protocol not found")
		}
		return frameworkError(request, 404, "HTTP 404 Not Found")
	}
	origin := request.Header.Get("Origin")
	if request.Method == http.MethodOptions &&
		(ep.cors.preflightMethods != "" || ep.cors.allowHeader != "") {
		return ep.cors.preflightResponse(origin)
	}
	if !slices.Contains(ep.methods, request.Method) &&
		!(request.Method == http.MethodHead && slices.Contains(ep.methods, http.MethodGet)) {
		if strings.HasPrefix(rest, "/.well-known/") {
			return frameworkError(request, 404, "HTTP 404 Not Found")
		}
		return frameworkError(request, 405, "HTTP 405 Method Not Allowed")
	}
	if ep.cors.anyOrigin && !strings.HasPrefix(rest, oidc) && !acceptsJSON(request, rest) {
		return notAcceptable(request, rest)
	}
	req, err := newRequest(w, request, r, r.server.Now())
	if err != nil {
		return err.plainResponse()
	}
	resp := ep.serve(r, req)
	if origin == "" || !req.corsAllowed && !ep.cors.anyOrigin {
		return resp
	}
	resp = resp.withHeader("Access-Control-Allow-Origin", origin).
		withHeader("Access-Control-Allow-Credentials", "true")
	if !ep.cors.anyOrigin {
		resp = resp.withHeader("Access-Control-Expose-Headers", req.exposedHeaders)
	}
	return resp
}

// preflightResponse returns the response to a preflight request. Like Keycloak, it allows all
// origins; only the actual request's origin is checked.
func (c cors) preflightResponse(origin string) response {
	resp := withSecurityHeaders(response{status: 200}).withoutHeaders("X-Frame-Options")
	if c.allowHeader != "" {
		return resp.withHeader("Allow", c.allowHeader)
	}
	if origin == "" {
		return resp
	}
	return resp.withHeader("Access-Control-Allow-Origin", origin).
		withHeader("Access-Control-Allow-Credentials", "true").
		withHeader("Access-Control-Max-Age", "3600").
		withHeader("Access-Control-Allow-Methods", c.preflightMethods).
		withHeader("Access-Control-Allow-Headers",
			"Origin, Accept, X-Requested-With, Access-Control-Request-Method, "+
				"Access-Control-Request-Headers, DPoP, Content-Type, Authorization")
}

// frameworkError returns the response of Keycloak's web framework to an unknown path or wrong
// method: a page if the client prefers HTML, or else JSON.
func frameworkError(request *http.Request, status int, text string) response {
	if !wantsPage(request) {
		return jsonResponse(status, "", errorBody{Error: text})
	}
	message := "An internal server error has occurred"
	if status == http.StatusNotFound {
		message = "Page not found"
	}
	return errorPage(status, message)
}

// wantsPage reports whether the request accepts HTML and not JSON.
func wantsPage(request *http.Request) bool {
	accept := request.Header.Get("Accept")
	return (strings.Contains(accept, "text/html") || strings.Contains(accept, "text/*")) &&
		!strings.Contains(accept, "application/json")
}

// acceptsJSON reports whether the request accepts JSON. For metadata, Keycloak recognizes more
// media types as JSON.
func acceptsJSON(request *http.Request, rest string) bool {
	accept := strings.ToLower(request.Header.Get("Accept"))
	types := []string{"application/json", "*/*", "application/*"}
	if strings.HasPrefix(rest, "/.well-known/") {
		types = append(types, "application/jwt", "*/json")
	}
	return accept == "" || slices.ContainsFunc(strings.Split(accept, ","), func(entry string) bool {
		mediaType, _, _ := strings.Cut(entry, ";")
		mediaType = strings.TrimSpace(mediaType)
		return slices.Contains(types, mediaType) || mediaType == "*" && len(types) > 3
	})
}

// notAcceptable returns the response to a request that doesn't accept JSON.
func notAcceptable(request *http.Request, rest string) response {
	if strings.HasPrefix(rest, "/.well-known/") {
		return frameworkError(request, http.StatusNotAcceptable,
			"The accept header value did not match the value in @Produces").withOnlyContentType()
	}
	return frameworkError(request, http.StatusNotAcceptable, "HTTP 406 Not Acceptable")
}
