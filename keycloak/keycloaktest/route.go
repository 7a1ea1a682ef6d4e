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

// oidc is where a realm's endpoints of OpenID Connect are.
const oidc = "/protocol/openid-connect"

// An endpoint is one path of a realm.
type endpoint struct {
	methods []string
	serve   func(*Realm, *call) answer
	cors    cors
}

// cors is how an endpoint treats pages of other origins.
type cors struct {
	preflight string // the methods that a preflight is told; empty for an endpoint without CORS
	public    bool   // everybody may read the answer
	allow     string // the Allow header of OPTIONS instead
}

// endpoints are what the stand-in has, by the path below /realms/{realm}.
var endpoints = sync.OnceValue(func() map[string]endpoint {
	const get, post = http.MethodGet, http.MethodPost
	public, posted, got := cors{preflight: "GET", public: true}, cors{preflight: "POST, OPTIONS"},
		cors{preflight: "GET, HEAD, OPTIONS"}
	paged := cors{allow: "HEAD, POST, GET, OPTIONS"}
	return map[string]endpoint{
		"": {[]string{get}, (*Realm).info,
			cors{preflight: "GET, HEAD, OPTIONS", public: true}},
		"/.well-known/openid-configuration":       {[]string{get}, (*Realm).discovery, public},
		"/.well-known/oauth-authorization-server": {[]string{get}, (*Realm).discovery, public},
		oidc + "/certs": {[]string{get}, (*Realm).certs, public},
		oidc + "/token": {[]string{post}, (*Realm).token, posted},
		oidc + "/token/introspect": {[]string{post}, (*Realm).introspect,
			cors{allow: "HEAD, POST, OPTIONS"}},
		oidc + "/revoke":                {[]string{post}, (*Realm).revoke, posted},
		oidc + "/userinfo":              {[]string{get, post}, (*Realm).userinfo, got},
		oidc + "/logout":                {[]string{get, post}, (*Realm).logout, got},
		oidc + "/logout/logout-confirm": {[]string{get, post}, (*Realm).logoutConfirm, cors{}},
		oidc + "/auth":                  {[]string{get, post}, (*Realm).authorize, paged},
		oidc + "/auth/device": {[]string{get, post}, (*Realm).deviceAuthorization,
			posted},
		oidc + "/auth/device/status":     {[]string{get, post}, (*Realm).deviceStatus, cors{}},
		"/device":                        {[]string{get, post}, (*Realm).devicePage, posted},
		"/device/status":                 {[]string{get, post}, (*Realm).deviceStatus, cors{}},
		"/login-actions/authenticate":    {[]string{get, post}, (*Realm).authenticate, paged},
		"/login-actions/consent":         {[]string{get, post}, (*Realm).consent, paged},
		"/login-actions/restart":         {[]string{get}, (*Realm).restartLogin, cors{}},
		"/login-actions/required-action": {[]string{get, post}, (*Realm).requiredAction, paged},
	}
})

// keycloakOnly are paths, or beginnings of paths, that a Keycloak has below a realm and the
// stand-in hasn't. They are answered with 501: a 404 would say something of Keycloak that isn't
// true.
var keycloakOnly = []string{
	"/account", "/broker", "/authz", "/clients-registrations", "/clients-managements",
	"/login-actions", "/.well-known/uma2-configuration", "/clients",
	oidc + "/ext", oidc + "/registrations", oidc + "/forgot-credentials",
	oidc + "/login-status-iframe.html", oidc + "/3p-cookies", oidc + "/delegated", "/protocol/saml",
	"/protocol/docker-v2", "/protocol/oid4vc", "/.well-known/openid-credential-issuer",
	"/.well-known/webfinger",
}

// notImplemented answers for an endpoint that Keycloak has and the stand-in doesn't.
func notImplemented(what string) answer {
	return lacks(what).plain()
}

// lacks refuses what Keycloak has and the stand-in doesn't.
func lacks(what string) *refusal {
	return refuse(http.StatusNotImplemented, notInStandIn,
		"this is keycloaktest, a stand-in for Keycloak in tests, and it has no "+what)
}

// escapesLetters finds what a path needn't escape.
var escapesLetters = regexp.MustCompile(
	`(?i)%(2d|2e|3\d|4[1-9a-f]|5[0-9a]|5f|6[1-9a-f]|7[0-9a]|7e)`)

func (s *Server) answer(w http.ResponseWriter, request *http.Request) answer {
	full := request.URL.EscapedPath()
	if strings.Contains(full, ";") {
		return badPath("invalidCharacter", "Request path contains invalid character ';'")
	}
	segments := strings.Split(request.URL.Path, "/")
	if escapesLetters.MatchString(full) || strings.Contains(full, "//") ||
		slices.Contains(segments, "..") || slices.Contains(segments, ".") {
		return badPath("missingNormalization", "Request path not normalized")
	}
	if full == "/" || full == s.prefix+"/" {
		return notImplemented("page at /")
	}
	outside := failure(request, 404, "Unable to find matching target resource method").bare()
	below, ok := strings.CutPrefix(full, s.prefix)
	if !ok || !strings.HasPrefix(below, "/") {
		return outside
	}
	if strings.HasPrefix(below, "/admin/") || below == "/admin" ||
		strings.HasPrefix(below, "/resources/") || strings.HasPrefix(below, "/js/") {
		return notImplemented(path.Join("/", strings.Split(below, "/")[1]) +
			" endpoints; its Go methods change a realm")
	}
	if strings.HasPrefix(below, "/.well-known/") && !strings.HasPrefix(below, rootMetadata) {
		return failure(request, 404, "HTTP 404 Not Found")
	}
	name, rest, inside := s.locate(request.URL)
	if !inside || below == "/realms/" {
		return outside
	}
	r := s.find(name)
	if r == nil {
		return failure(request, 404, "Realm does not exist")
	}
	out := r.answer(w, request, rest)
	if rest == loginActions || strings.HasPrefix(rest, loginActions+"/") {
		out = out.with("Cache-Control", noBack) // whatever it says
	}
	return out
}

// loginActions is what the login page and its forms are below.
const loginActions = "/login-actions"

// rootMetadata is where a realm's metadata is besides (RFC 8414 3.1).
const rootMetadata = "/.well-known/oauth-authorization-server/realms/"

// locate is the realm that an address names, if it names one, and the path below it.
func (s *Server) locate(address *url.URL) (realm, rest string, inside bool) {
	below, ok := strings.CutPrefix(address.EscapedPath(), s.prefix)
	if name, found := strings.CutPrefix(below, rootMetadata); found {
		below = "/realms/" + name + "/.well-known/oauth-authorization-server"
	}
	below, inside = strings.CutPrefix(below, "/realms/")
	escaped, rest, cut := strings.Cut(below, "/")
	if cut {
		rest = "/" + rest
	}
	realm, err := url.PathUnescape(escaped)
	if err != nil {
		realm = "" // no realm's name
	}
	return realm, strings.TrimSuffix(rest, "/"), ok && inside
}

// badPath refuses a path before it is looked up.
func badPath(code, description string) answer {
	return document(400, "", oauthError{code, description}).with("Content-Type",
		"application/json; charset=UTF-8").bare()
}

// bare drops the headers that Keycloak sets only on answers of a realm.
func (a answer) bare() answer {
	return answer{status: a.status, body: a.body}.with("Content-Type", a.header.Get("Content-Type"))
}

func (r *Realm) answer(w http.ResponseWriter, request *http.Request, rest string) answer {
	found, ok := endpoints()[rest]
	if !ok {
		for _, prefix := range keycloakOnly {
			if rest == prefix || strings.HasPrefix(rest, prefix+"/") {
				return notImplemented("endpoint " + rest)
			}
		}
		if strings.HasPrefix(rest, "/protocol/") && !strings.HasPrefix(rest, oidc+"/") &&
			rest != oidc {
			return failure(request, 404, "Protocol not found")
		}
		return failure(request, 404, "HTTP 404 Not Found")
	}
	origin := request.Header.Get("Origin")
	if request.Method == http.MethodOptions &&
		(found.cors.preflight != "" || found.cors.allow != "") {
		return found.cors.answer(origin)
	}
	if !slices.Contains(found.methods, request.Method) &&
		!(request.Method == http.MethodHead && slices.Contains(found.methods, http.MethodGet)) {
		if strings.HasPrefix(rest, "/.well-known/") {
			return failure(request, 404, "HTTP 404 Not Found")
		}
		return failure(request, 405, "HTTP 405 Method Not Allowed")
	}
	if found.cors.public && !strings.HasPrefix(rest, oidc) && !acceptsJSON(request, rest) {
		return notAcceptable(request, rest)
	}
	c, refused := newCall(w, request, r, r.server.Now())
	if refused != nil {
		return refused.plain()
	}
	out := found.serve(r, c)
	if origin == "" || !c.echo && !found.cors.public {
		return out
	}
	out = out.with("Access-Control-Allow-Origin", origin).with("Access-Control-Allow-Credentials",
		"true")
	if !found.cors.public {
		out = out.with("Access-Control-Expose-Headers", c.exposed)
	}
	return out
}

// answer tells a browser what it may ask from a page of another origin: Keycloak lets every origin
// in, and refuses the request itself.
func (c cors) answer(origin string) answer {
	out := secured(answer{status: 200}).without("X-Frame-Options")
	if c.allow != "" {
		return out.with("Allow", c.allow)
	}
	if origin == "" {
		return out
	}
	return out.with("Access-Control-Allow-Origin", origin).with("Access-Control-Allow-Credentials",
		"true").
		with("Access-Control-Max-Age", "3600").with("Access-Control-Allow-Methods", c.preflight).
		with("Access-Control-Allow-Headers",
			"Origin, Accept, X-Requested-With, Access-Control-Request-Method, "+
				"Access-Control-Request-Headers, DPoP, Content-Type, Authorization")
}

// failure is an answer of Keycloak's framework, for an unknown path or a wrong method: a page,
// where a browser asks.
func failure(request *http.Request, status int, text string) answer {
	if !wantsPage(request) {
		return document(status, "", oauthError{Error: text})
	}
	message := "An internal server error has occurred"
	if status == http.StatusNotFound {
		message = "Page not found"
	}
	return errorPage(status, message)
}

// wantsPage reports whether a request prefers HTML to JSON.
func wantsPage(request *http.Request) bool {
	accept := request.Header.Get("Accept")
	return (strings.Contains(accept, "text/html") || strings.Contains(accept, "text/*")) &&
		!strings.Contains(accept, "application/json")
}

// acceptsJSON reports whether JSON is an answer to a request. Where metadata is asked for, Keycloak
// knows more names for it.
func acceptsJSON(request *http.Request, rest string) bool {
	accept := strings.ToLower(request.Header.Get("Accept"))
	kinds := []string{"application/json", "*/*", "application/*"}
	if strings.HasPrefix(rest, "/.well-known/") {
		kinds = append(kinds, "application/jwt", "*/json")
	}
	return accept == "" || slices.ContainsFunc(strings.Split(accept, ","), func(entry string) bool {
		kind, _, _ := strings.Cut(entry, ";")
		kind = strings.TrimSpace(kind)
		return slices.Contains(kinds, kind) || kind == "*" && len(kinds) > 3
	})
}

// notAcceptable refuses to give metadata in another form than JSON.
func notAcceptable(request *http.Request, rest string) answer {
	if strings.HasPrefix(rest, "/.well-known/") {
		return failure(request, http.StatusNotAcceptable,
			"The accept header value did not match the value in @Produces").bare()
	}
	return failure(request, http.StatusNotAcceptable, "HTTP 406 Not Acceptable")
}
