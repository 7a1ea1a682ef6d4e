package keycloaktest

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// oidc is where a realm's endpoints of OpenID Connect are.
const oidc = "/protocol/openid-connect"

// An endpoint is one path of a realm.
type endpoint struct {
	methods []string
	serve   func(*Realm, *call) answer
	browser bool // a page for people
	public  bool // any Origin may read it
}

// endpoints are what the stand-in has, by the path below /realms/{realm}.
func endpoints() map[string]endpoint {
	const get, post = http.MethodGet, http.MethodPost
	return map[string]endpoint{
		"":                                  {methods: []string{get}, serve: (*Realm).info, public: true},
		"/.well-known/openid-configuration": {methods: []string{get}, serve: (*Realm).discovery, public: true},
		"/.well-known/oauth-authorization-server": {methods: []string{get}, serve: (*Realm).discovery, public: true},
		oidc + "/certs":                  {methods: []string{get}, serve: (*Realm).certs, public: true},
		oidc + "/token":                  {methods: []string{post}, serve: (*Realm).token},
		oidc + "/token/introspect":       {methods: []string{post}, serve: (*Realm).introspect},
		oidc + "/revoke":                 {methods: []string{post}, serve: (*Realm).revoke},
		oidc + "/userinfo":               {methods: []string{get, post}, serve: (*Realm).userinfo},
		oidc + "/logout":                 {methods: []string{get, post}, serve: (*Realm).logout, browser: true},
		oidc + "/logout/logout-confirm":  {methods: []string{get, post}, serve: (*Realm).logoutConfirm, browser: true},
		oidc + "/auth":                   {methods: []string{get, post}, serve: (*Realm).authorize, browser: true},
		oidc + "/auth/device":            {methods: []string{get, post}, serve: (*Realm).deviceAuthorization},
		"/device":                        {methods: []string{get, post}, serve: (*Realm).devicePage, browser: true},
		"/device/status":                 {methods: []string{get}, serve: (*Realm).deviceStatus, browser: true},
		"/login-actions/authenticate":    {methods: []string{get, post}, serve: (*Realm).authenticate, browser: true},
		"/login-actions/consent":         {methods: []string{post}, serve: (*Realm).consent, browser: true},
		"/login-actions/required-action": {methods: []string{get, post}, serve: (*Realm).requiredAction, browser: true},
	}
}

// keycloakHas are paths, or beginnings of paths, that a Keycloak has below a realm and the stand-in hasn't.
// They are answered with 501: a 404 would say something of Keycloak that isn't true.
var keycloakHas = []string{
	"/account", "/broker", "/authz", "/clients-registrations", "/clients-managements", "/login-actions", "/.well-known/uma2-configuration",
	oidc + "/ext", oidc + "/registrations", oidc + "/forgot-credentials", oidc + "/login-status-iframe.html", oidc + "/3p-cookies", oidc + "/delegated",
	"/protocol/saml", "/protocol/docker-v2", "/protocol/oid4vc", "/.well-known/openid-credential-issuer", "/.well-known/webfinger",
}

// notHere answers for an endpoint that Keycloak has and the stand-in doesn't.
func notHere(what string) answer {
	return document(http.StatusNotImplemented, "", oauthError{
		"not_in_keycloaktest", "this is keycloaktest, a stand-in for Keycloak in tests, and it has no " + what,
	})
}

func (s *Server) answer(w http.ResponseWriter, request *http.Request) answer {
	full := request.URL.EscapedPath()
	if strings.Contains(full, "//") || slices.Contains(strings.Split(request.URL.Path, "/"), "..") {
		return document(400, "", oauthError{"missingNormalization", "Request path not normalized"}).bare()
	}
	if strings.Contains(full, ";") {
		return document(400, "", oauthError{"invalidCharacter", "Request path contains invalid character ';'"}).bare()
	}
	outside := document(404, "", oauthError{Error: "Unable to find matching target resource method"}).bare()
	below, ok := strings.CutPrefix(request.URL.EscapedPath(), s.prefix)
	if !ok || !strings.HasPrefix(below, "/") {
		return outside
	}
	if strings.HasPrefix(below, "/admin/") || below == "/admin" || strings.HasPrefix(below, "/resources/") || strings.HasPrefix(below, "/js/") {
		return notHere(path.Join("/", strings.Split(below, "/")[1]) + " endpoints; its Go methods change a realm")
	}
	const metadata = "/.well-known/oauth-authorization-server/realms/"
	if name, ok := strings.CutPrefix(below, metadata); ok {
		below = "/realms/" + name + "/.well-known/oauth-authorization-server"
	}
	below, ok = strings.CutPrefix(below, "/realms/")
	if !ok {
		return outside
	}
	escaped, rest, _ := strings.Cut(below, "/")
	name, err := url.PathUnescape(escaped)
	r := s.Realm(name)
	if err != nil || r == nil {
		return failure(404, "Realm does not exist")
	}
	if rest != "" {
		rest = "/" + rest
	}
	return r.answer(w, request, strings.TrimSuffix(rest, "/"))
}

// bare drops the headers that Keycloak sets only on answers of a realm.
func (a answer) bare() answer {
	a.header = map[string]string{"Content-Type": a.header["Content-Type"]}
	return a
}

func (r *Realm) answer(w http.ResponseWriter, request *http.Request, rest string) answer {
	found, ok := endpoints()[rest]
	if !ok {
		for _, prefix := range keycloakHas {
			if rest == prefix || strings.HasPrefix(rest, prefix+"/") {
				return notHere("endpoint " + rest)
			}
		}
		return failure(404, "HTTP 404 Not Found")
	}
	origin := request.Header.Get("Origin")
	if request.Method == http.MethodOptions && !found.browser {
		return preflight(origin)
	}
	if !slices.Contains(found.methods, request.Method) && !(request.Method == http.MethodHead && slices.Contains(found.methods, http.MethodGet)) {
		if strings.HasPrefix(rest, "/.well-known/") {
			return failure(404, "HTTP 404 Not Found")
		}
		return failure(405, "HTTP 405 Method Not Allowed")
	}
	c, refused := newCall(w, request, r, r.server.Now())
	if refused != nil {
		return refused.answer()
	}
	out := found.serve(r, c)
	if origin != "" && !found.browser && (found.public || c.anyOK || out.status != 403) {
		out = out.with("Access-Control-Allow-Origin", origin).with("Access-Control-Allow-Credentials", "true").
			with("Access-Control-Expose-Headers", "Access-Control-Allow-Methods")
	}
	return out
}

// preflight answers what a browser asks before a request to another origin: Keycloak lets every one in, and
// refuses the request itself.
func preflight(origin string) answer {
	out := secured(answer{status: 200})
	if origin == "" {
		return out
	}
	return out.with("Access-Control-Allow-Origin", origin).with("Access-Control-Allow-Credentials", "true").
		with("Access-Control-Max-Age", "3600").with("Access-Control-Allow-Methods", "DELETE, POST, GET, PUT").
		with("Access-Control-Allow-Headers", "Origin, Accept, X-Requested-With, Access-Control-Request-Method, Access-Control-Request-Headers, DPoP, Content-Type, Authorization")
}
