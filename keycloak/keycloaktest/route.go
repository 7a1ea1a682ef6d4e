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

// oidcPath is the path of OpenID Connect endpoints below a realm.
const oidcPath = "/protocol/openid-connect"

// An endpoint describes an HTTP endpoint of a realm.
type endpoint struct {
	methods []string
	serve   func(*Realm, *request) response
	cors    cors
}

// A cors configures cross-origin requests to an endpoint.
type cors struct {
	preflightMethods string // methods in preflight responses; empty for endpoints without CORS
	allowAnyOrigin   bool
	allowHeader      string // the Allow header of OPTIONS responses, instead of preflightMethods
}

// endpoints returns the implemented endpoints by path below /realms/{realm}.
var endpoints = sync.OnceValue(func() map[string]endpoint {
	const get, post = http.MethodGet, http.MethodPost
	publicCORS := cors{preflightMethods: "GET", allowAnyOrigin: true}
	postCORS := cors{preflightMethods: "POST, OPTIONS"}
	getCORS := cors{preflightMethods: "GET, HEAD, OPTIONS"}
	pageCORS := cors{allowHeader: "HEAD, POST, GET, OPTIONS"}
	return map[string]endpoint{
		"": {[]string{get}, (*Realm).info,
			cors{preflightMethods: "GET, HEAD, OPTIONS", allowAnyOrigin: true}},
		"/.well-known/openid-configuration":       {[]string{get}, (*Realm).discovery, publicCORS},
		"/.well-known/oauth-authorization-server": {[]string{get}, (*Realm).discovery, publicCORS},
		oidcPath + "/certs":                       {[]string{get}, (*Realm).certs, publicCORS},
		oidcPath + "/token":                       {[]string{post}, (*Realm).token, postCORS},
		oidcPath + "/token/introspect": {[]string{post}, (*Realm).introspect,
			cors{allowHeader: "HEAD, POST, OPTIONS"}},
		oidcPath + "/revoke":                {[]string{post}, (*Realm).revoke, postCORS},
		oidcPath + "/userinfo":              {[]string{get, post}, (*Realm).userinfo, getCORS},
		oidcPath + "/logout":                {[]string{get, post}, (*Realm).logout, getCORS},
		oidcPath + "/logout/logout-confirm": {[]string{get, post}, (*Realm).logoutConfirm, cors{}},
		oidcPath + "/auth":                  {[]string{get, post}, (*Realm).authorize, pageCORS},
		oidcPath + "/auth/device": {[]string{get, post}, (*Realm).deviceAuthorization,
			postCORS},
		oidcPath + "/auth/device/status": {[]string{get, post}, (*Realm).deviceStatus, cors{}},
		"/device":                        {[]string{get, post}, (*Realm).devicePage, postCORS},
		"/device/status":                 {[]string{get, post}, (*Realm).deviceStatus, cors{}},
		"/login-actions/authenticate":    {[]string{get, post}, (*Realm).authenticate, pageCORS},
		"/login-actions/consent":         {[]string{get, post}, (*Realm).consent, pageCORS},
		"/login-actions/restart":         {[]string{get}, (*Realm).restartLogin, cors{}},
		"/login-actions/required-action": {[]string{get, post}, (*Realm).requiredAction, pageCORS},
	}
})

// keycloakOnlyPaths lists paths and path prefixes below a realm that Keycloak has and the fake
// lacks. The fake returns 501 for them; 404 would mean that Keycloak lacks them too.
var keycloakOnlyPaths = []string{
	"/account", "/broker", "/authz", "/clients-registrations", "/clients-managements",
	"/login-actions", "/.well-known/uma2-configuration", "/clients",
	oidcPath + "/ext", oidcPath + "/registrations", oidcPath + "/forgot-credentials",
	oidcPath + "/login-status-iframe.html", oidcPath + "/3p-cookies", oidcPath + "/delegated",
	"/protocol/saml", "/protocol/docker-v2", "/protocol/oid4vc",
	"/.well-known/openid-credential-issuer", "/.well-known/webfinger",
}

// unsupportedResponse is like unsupportedError, but returns a response.
func unsupportedResponse(feature string) response {
	return unsupportedError(feature).plainResponse()
}

// unsupportedError returns the error for a request that needs a feature that the fake lacks.
func unsupportedError(feature string) *oauthError {
	return newOAuthError(http.StatusNotImplemented, codeUnsupported,
		"this is keycloaktest, a fake Keycloak for tests, and it has no "+feature)
}

// needlessEscapePattern matches an escaped character that needs no escaping in a path.
var needlessEscapePattern = regexp.MustCompile(
	`(?i)%(2d|2e|3\d|4[1-9a-f]|5[0-9a]|5f|6[1-9a-f]|7[0-9a]|7e)`)

// route dispatches a request to its realm, or returns Keycloak's response to a path outside all
// realms.
func (s *Server) route(w http.ResponseWriter, httpRequest *http.Request) response {
	fullPath := httpRequest.URL.EscapedPath()
	if strings.Contains(fullPath, ";") {
		return badPathResponse("invalidCharacter", "Request path contains invalid character ';'")
	}
	segments := strings.Split(httpRequest.URL.Path, "/")
	if needlessEscapePattern.MatchString(fullPath) || strings.Contains(fullPath, "//") ||
		slices.Contains(segments, "..") || slices.Contains(segments, ".") {
		return badPathResponse("missingNormalization", "Request path not normalized")
	}
	if fullPath == "/" || fullPath == s.prefix+"/" {
		return unsupportedResponse("page at /")
	}
	notFoundResponse := frameworkErrorResponse(httpRequest, 404,
		"Unable to find matching target resource method").withOnlyContentType()
	subpath, ok := strings.CutPrefix(fullPath, s.prefix)
	if !ok || !strings.HasPrefix(subpath, "/") {
		return notFoundResponse
	}
	if strings.HasPrefix(subpath, "/admin/") || subpath == "/admin" ||
		strings.HasPrefix(subpath, "/resources/") || strings.HasPrefix(subpath, "/js/") {
		return unsupportedResponse(path.Join("/", strings.Split(subpath, "/")[1]) +
			" endpoints; its Go methods change a realm")
	}
	if strings.HasPrefix(subpath, "/.well-known/") &&
		!strings.HasPrefix(subpath, rootMetadataPrefix) {
		return frameworkErrorResponse(httpRequest, 404, "HTTP 404 Not Found")
	}
	realmName, endpointPath, inRealm := s.splitURL(httpRequest.URL)
	if !inRealm || subpath == "/realms/" {
		return notFoundResponse
	}
	r := s.findRealm(realmName)
	if r == nil {
		return frameworkErrorResponse(httpRequest, 404, "Realm does not exist")
	}
	resp := r.route(w, httpRequest, endpointPath)
	if endpointPath == loginActionsPath || strings.HasPrefix(endpointPath, loginActionsPath+"/") {
		resp = resp.withHeader("Cache-Control", neverCache)
	}
	return resp
}

// loginActionsPath is the path of the login page and its forms.
const loginActionsPath = "/login-actions"

// rootMetadataPrefix is the prefix of the path at which RFC 8414 3.1 puts a realm's metadata.
const rootMetadataPrefix = "/.well-known/oauth-authorization-server/realms/"

// splitURL splits a URL into a realm's name and an endpoint's path below the realm. inRealm reports
// whether the URL is below /realms/.
func (s *Server) splitURL(address *url.URL) (realmName, endpointPath string, inRealm bool) {
	subpath, ok := strings.CutPrefix(address.EscapedPath(), s.prefix)
	if name, isMetadata := strings.CutPrefix(subpath, rootMetadataPrefix); isMetadata {
		subpath = "/realms/" + name + "/.well-known/oauth-authorization-server"
	}
	subpath, inRealm = strings.CutPrefix(subpath, "/realms/")
	escapedName, endpointPath, hasEndpointPath := strings.Cut(subpath, "/")
	if hasEndpointPath {
		endpointPath = "/" + endpointPath
	}
	realmName, err := url.PathUnescape(escapedName)
	if err != nil {
		realmName = "" // no realm has this name
	}
	return realmName, strings.TrimSuffix(endpointPath, "/"), ok && inRealm
}

// badPathResponse returns Keycloak's response to a malformed path.
func badPathResponse(code, description string) response {
	return jsonResponse(400, "", errorBody{code, description}).withHeader("Content-Type",
		"application/json; charset=UTF-8").withOnlyContentType()
}

// withOnlyContentType returns a copy of resp whose only header is Content-Type. Keycloak sets the
// security headers only on responses of a realm.
func (resp response) withOnlyContentType() response {
	contentType := resp.header.Get("Content-Type")
	resp = response{status: resp.status, body: resp.body}
	return resp.withHeader("Content-Type", contentType)
}

// route dispatches a request to an endpoint and adds the CORS headers.
func (r *Realm) route(w http.ResponseWriter, httpRequest *http.Request,
	endpointPath string) response {
	ep, ok := endpoints()[endpointPath]
	if !ok {
		for _, prefix := range keycloakOnlyPaths {
			if endpointPath == prefix || strings.HasPrefix(endpointPath, prefix+"/") {
				return unsupportedResponse("endpoint " + endpointPath)
			}
		}
		if strings.HasPrefix(endpointPath, "/protocol/") && endpointPath != oidcPath &&
			!strings.HasPrefix(endpointPath, oidcPath+"/") {
			return frameworkErrorResponse(httpRequest, 404, "Protocol not found")
		}
		return frameworkErrorResponse(httpRequest, 404, "HTTP 404 Not Found")
	}
	origin := httpRequest.Header.Get("Origin")
	if httpRequest.Method == http.MethodOptions &&
		(ep.cors.preflightMethods != "" || ep.cors.allowHeader != "") {
		return ep.cors.preflightResponse(origin)
	}
	if !slices.Contains(ep.methods, httpRequest.Method) &&
		!(httpRequest.Method == http.MethodHead && slices.Contains(ep.methods, http.MethodGet)) {
		if strings.HasPrefix(endpointPath, "/.well-known/") {
			return frameworkErrorResponse(httpRequest, 404, "HTTP 404 Not Found")
		}
		return frameworkErrorResponse(httpRequest, 405, "HTTP 405 Method Not Allowed")
	}
	if ep.cors.allowAnyOrigin && !strings.HasPrefix(endpointPath, oidcPath) &&
		!acceptsJSON(httpRequest, endpointPath) {
		return notAcceptableResponse(httpRequest, endpointPath)
	}
	req, err := newRequest(w, httpRequest, r, r.server.Now())
	if err != nil {
		return err.plainResponse()
	}
	resp := ep.serve(r, req)
	if origin == "" || !req.corsAllowed && !ep.cors.allowAnyOrigin {
		return resp
	}
	resp = resp.withHeader("Access-Control-Allow-Origin", origin).
		withHeader("Access-Control-Allow-Credentials", "true")
	if !ep.cors.allowAnyOrigin {
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

// frameworkErrorResponse returns the response of Keycloak's web framework to an unknown path or
// wrong method: a page if the client accepts only HTML, or else JSON.
func frameworkErrorResponse(httpRequest *http.Request, status int, text string) response {
	if !wantsHTML(httpRequest) {
		return jsonResponse(status, "", errorBody{Error: text})
	}
	message := "An internal server error has occurred"
	if status == http.StatusNotFound {
		message = "Page not found"
	}
	return errorPage(status, message)
}

// wantsHTML reports whether the request accepts HTML and not JSON.
func wantsHTML(httpRequest *http.Request) bool {
	acceptHeader := httpRequest.Header.Get("Accept")
	acceptsHTML := strings.Contains(acceptHeader, "text/html") ||
		strings.Contains(acceptHeader, "text/*")
	return acceptsHTML && !strings.Contains(acceptHeader, "application/json")
}

// acceptsJSON reports whether the request accepts JSON. For metadata, Keycloak counts more media
// types as JSON.
func acceptsJSON(httpRequest *http.Request, endpointPath string) bool {
	acceptHeader := strings.ToLower(httpRequest.Header.Get("Accept"))
	jsonTypes := []string{"application/json", "*/*", "application/*"}
	if strings.HasPrefix(endpointPath, "/.well-known/") {
		jsonTypes = append(jsonTypes, "application/jwt", "*/json", "*")
	}
	entries := strings.Split(acceptHeader, ",")
	return acceptHeader == "" || slices.ContainsFunc(entries, func(entry string) bool {
		mediaType, _, _ := strings.Cut(entry, ";")
		return slices.Contains(jsonTypes, strings.TrimSpace(mediaType))
	})
}

// notAcceptableResponse returns the response to a request that doesn't accept JSON.
func notAcceptableResponse(httpRequest *http.Request, endpointPath string) response {
	if strings.HasPrefix(endpointPath, "/.well-known/") {
		return frameworkErrorResponse(httpRequest, http.StatusNotAcceptable,
			"The accept header value did not match the value in @Produces").withOnlyContentType()
	}
	return frameworkErrorResponse(httpRequest, http.StatusNotAcceptable, "HTTP 406 Not Acceptable")
}
