package keycloaktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// An authRequest is a client's authorization request (OpenID Connect Core 3.1.2.1), or a device's
// request for the user's approval.
type authRequest struct {
	parameters url.Values // see requestParameters
	client     *client
	redirect   string // the redirect URI of the response
	mode       string // response mode: query, fragment, form_post
	scope      []string
	maxAge     *int64
	level      bool    // an authentication level is requested, so single sign-on doesn't suffice
	device     *device // the device that requests approval, or nil
}

func (auth *authRequest) value(name string) string { return auth.parameters.Get(name) }

// hasPrompt reports whether the prompt parameter contains a value.
func (auth *authRequest) hasPrompt(value string) bool {
	return slices.Contains(strings.Fields(auth.value("prompt")), value)
}

// authorize serves the authorization endpoint.
func (r *Realm) authorize(req *request) response {
	return r.servePage(req, (*pageRequest).authorize)
}

func (req *pageRequest) authorize() response {
	if req.Method == http.MethodGet && !isPrintable(req.URL.Query()) {
		return req.failure(400, "An internal server error has occurred")
	}
	auth, resp := req.readRequest(req.parameters())
	if auth == nil {
		return resp
	}
	as := req.newAuthSession(auth)
	req.setRestartCookie(as)
	return req.start(as)
}

// isPrintable reports whether a query has no control characters except tabs and line breaks.
// Keycloak rejects URLs with other control characters.
func isPrintable(query url.Values) bool {
	for _, values := range query {
		if strings.ContainsFunc(strings.Join(values, ""), func(r rune) bool {
			return r < ' ' && r != '\t' && r != '\r' && r != '\n'
		}) {
			return false
		}
	}
	return true
}

// requestParameters lists the parameters that are stored while a request is in progress.
var requestParameters = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"prompt", "max_age", "login_hint", "acr_values", "claims", "code_challenge",
	"code_challenge_method", "kc_action", "kc_idp_hint", "ui_locales",
}

// selectParameters returns the parameters with the given names.
func selectParameters(parameters url.Values, names []string) url.Values {
	selected := url.Values{}
	for _, name := range names {
		if parameters.Has(name) {
			selected.Set(name, parameters.Get(name))
		}
	}
	return selected
}

// maxParameter is the maximum length of state and nonce. Keycloak silently ignores longer values.
const maxParameter = 4_000

// readRequest validates a request in the same order as Keycloak (AuthorizationEndpoint, 26.7.4). An
// error before the redirect URI has been validated is shown on a page; a later error is sent to the
// client.
func (req *pageRequest) readRequest(parameters url.Values) (*authRequest, response) {
	caller, resp := req.knownClient(parameters)
	if caller == nil {
		return nil, resp
	}
	if err := req.unsupportedParameters(authParameters); err != nil {
		return nil, err.plain()
	}
	for name, values := range parameters {
		if !slices.Contains(credentialParameters, name) && name != "max_age" &&
			name != "login_hint" {
			for i := range values {
				values[i] = strings.Map(withoutControls, values[i])
			}
		}
	}
	auth := &authRequest{parameters: parameters, client: caller, mode: "query"}
	auth.maxAge, _ = maxAge(parameters)
	for _, name := range []string{"state", "nonce"} {
		if len(auth.value(name)) > maxParameter {
			parameters.Del(name)
		}
	}
	if resp, err := req.checkParameters(parameters); err {
		return nil, resp
	}
	openID := slices.Contains(strings.Fields(auth.value("scope")), "openid")
	var ok bool
	auth.redirect, ok = req.realm.redirectURI(caller, caller.RedirectURIs,
		auth.value("redirect_uri"), parameters.Has("redirect_uri"), openID)
	if !ok {
		return nil, req.failure(400, "Invalid parameter: redirect_uri")
	}
	if err := auth.checkType(); err != nil {
		if err.status == http.StatusNotImplemented {
			return nil, notImplemented(err.description)
		}
		return nil, req.respondError(auth, err)
	}
	var err *oauthError
	switch problem := caller.checkChallenge(parameters); {
	case hasRepeated(parameters):
		err = newOAuthError(302, "invalid_request", "duplicated parameter")
	default:
		auth.scope, err = req.realm.resolveScopes(caller, auth.value("scope"),
			parameters.Has("scope"))
		if err == nil && problem != "" {
			err = newOAuthError(302, "invalid_request", problem)
		}
	}
	if err != nil {
		return nil, req.respondError(auth, err)
	}
	if !auth.readLevel(req.realm) {
		return nil, req.failure(400, "Invalid parameter: claims")
	}
	if auth.hasPrompt("create") && req.realm.settings.RegistrationAllowed {
		return nil, notImplemented("page where users register")
	}
	if auth.hasPrompt("create") {
		return nil, req.failure(400, "Registration not allowed")
	}
	auth.parameters = selectParameters(parameters, requestParameters)
	return auth, response{}
}

// checkParameters returns an error response, and true, if a parameter is malformed or unsupported.
func (req *pageRequest) checkParameters(parameters url.Values) (response, bool) {
	_, ageErr := maxAge(parameters)
	switch {
	case ageErr != nil:
		return req.failure(400, "Invalid Request"), true
	case strings.Count(parameters.Get("request"), ".") > 1:
		return notImplemented("request objects"), true
	case parameters.Has("request"), parameters.Has("request_uri"):
		return req.failure(400, "Invalid Request"), true
	}
	return response{}, false
}

// maxAge parses max_age, in seconds. It returns nil if the parameter is missing.
func maxAge(parameters url.Values) (*int64, error) {
	if !parameters.Has("max_age") {
		return nil, nil
	}
	n, err := strconv.ParseInt(parameters.Get("max_age"), 10, 32)
	return &n, err
}

// knownClient returns the client that a request names. If the client is unknown or may not use
// browser flows, it returns nil and the error response.
func (req *pageRequest) knownClient(parameters url.Values) (*client, response) {
	if len(parameters["client_id"]) != 1 {
		return nil, req.failure(400, "Invalid Request")
	}
	if resp, unavailable := req.checkAvailable(); unavailable {
		return nil, resp
	}
	caller := req.realm.clients[parameters.Get("client_id")]
	switch {
	case caller == nil:
		return nil, req.failure(400, "Client not found.")
	case !caller.enabled:
		return nil, req.failure(400, "Client disabled.")
	case caller.BearerOnly:
		return nil, req.failure(403,
			"Bearer-only applications are not allowed to initiate browser login")
	}
	if err := req.realm.checkSupported(caller, realmfile.UseLogin); err != nil {
		return nil, err.response()
	}
	return caller, response{}
}

// checkAvailable returns an error page, and true, if the realm is disabled or requires TLS.
func (req *pageRequest) checkAvailable() (response, bool) {
	if err := req.realm.checkTLS(req.request); err != nil {
		return req.failure(400, err.description), true
	}
	if !req.realm.settings.Enabled {
		return req.failure(400, "Realm not enabled"), true
	}
	return response{}, false
}

// respondError returns the response that sends an error to the client.
func (req *pageRequest) respondError(auth *authRequest, err *oauthError) response {
	pairs := []string{"error", err.code}
	if err.description != "" {
		pairs = append(pairs, "error_description", err.description)
	}
	return req.respond(auth, pairs...)
}

const flowDisabled = "Client is not allowed to initiate browser login with given response_type. "

// checkType validates response_type and response_mode.
func (auth *authRequest) checkType() *oauthError {
	types := strings.Fields(auth.value("response_type"))
	// In the implicit and hybrid flows, the response contains tokens.
	implicit := slices.Contains(types, "token") || slices.Contains(types, "id_token")
	mode, sent := auth.value("response_mode"), auth.parameters.Has("response_mode")
	modeKnown := !sent || slices.Contains([]string{"query", "fragment", "form_post"}, mode)
	switch {
	case sent && modeKnown:
		auth.mode = mode
	case implicit && !sent:
		auth.mode = "fragment"
	}
	hasUnknownType := slices.ContainsFunc(types, func(word string) bool {
		return !slices.Contains([]string{"code", "token", "id_token", "none"}, word)
	})
	switch {
	case !auth.parameters.Has("response_type"):
		return newOAuthError(302, "invalid_request", "Missing parameter: response_type")
	case len(types) == 0 || hasUnknownType || len(types) > 1 && slices.Contains(types, "none"):
		return newOAuthError(302, "unsupported_response_type", "")
	case slices.Contains([]string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}, mode):
		return newOAuthError(http.StatusNotImplemented, codeUnsupported, "response_mode "+mode)
	case !modeKnown:
		return newOAuthError(302, "invalid_request", "Invalid parameter: response_mode")
	case implicit && auth.mode == "query":
		return newOAuthError(302, "invalid_request",
			"Response_mode 'query' not allowed for implicit or hybrid flow")
	case (slices.Contains(types, "code") || slices.Contains(types, "none")) &&
		!auth.client.standardFlow:
		return newOAuthError(302, "unauthorized_client",
			flowDisabled+"Standard flow is disabled for the client.")
	case implicit && !auth.client.ImplicitFlowEnabled:
		return newOAuthError(302, "unauthorized_client",
			flowDisabled+"Implicit flow is disabled for the client.")
	case implicit:
		return newOAuthError(http.StatusNotImplemented, codeUnsupported,
			"response_type "+auth.value("response_type"))
	}
	return nil
}

// pkcePattern matches valid code verifiers and challenges (RFC 7636 4.1).
var pkcePattern = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// checkChallenge returns what is wrong with a request's code challenge (RFC 7636 4.3), or "".
func (c *client) checkChallenge(parameters url.Values) string {
	challenge, method := parameters.Get("code_challenge"), parameters.Get("code_challenge_method")
	requiredMethod := c.Attributes["pkce.code.challenge.method"]
	switch {
	case requiredMethod != "" && !parameters.Has("code_challenge_method"):
		return "Missing parameter: code_challenge_method"
	case requiredMethod != "" && method != requiredMethod:
		return "Invalid parameter: code challenge method is not matching the configured one"
	case !parameters.Has("code_challenge") &&
		(requiredMethod != "" || parameters.Has("code_challenge_method")):
		return "Missing parameter: code_challenge"
	case !parameters.Has("code_challenge"):
		return ""
	case parameters.Has("code_challenge_method") && method != "S256" && method != "plain":
		return "Invalid parameter: code_challenge_method"
	case !pkcePattern.MatchString(challenge):
		return "Invalid parameter: code_challenge"
	}
	return ""
}

// hasRepeated reports whether any parameter, except those in repeatable, was sent more than once.
func hasRepeated(parameters url.Values, repeatable ...string) bool {
	for name, values := range parameters {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return true
		}
	}
	return false
}

// readLevel sets auth.level if the request names an authentication level. The login flow has only
// one level, so any named level just requires a password. readLevel returns false if an essential
// level is unknown.
func (auth *authRequest) readLevel(r *Realm) bool {
	var parsed struct {
		IDToken struct {
			ACR struct {
				Essential bool     `json:"essential"`
				Value     string   `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	json.Unmarshal([]byte(auth.value("claims")), &parsed) // ignore invalid claims
	acr := parsed.IDToken.ACR
	levels := acr.Values
	if acr.Value != "" {
		levels = append(levels, acr.Value)
	}
	auth.level = len(levels) > 0 || auth.parameters.Has("acr_values")
	levelNames := realmfile.Levels(auth.client.Attributes)
	if len(levelNames) == 0 {
		levelNames = realmfile.Levels(r.settings.Attributes)
	}
	return !acr.Essential || !slices.ContainsFunc(levels, func(level string) bool {
		_, err := strconv.Atoi(level)
		return levelNames[level] == "" && err != nil
	})
}
