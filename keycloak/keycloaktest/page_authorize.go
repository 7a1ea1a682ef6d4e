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
	parameters   url.Values // see requestParameters
	client       *client
	redirectURI  string // validated; the response goes to this URI
	responseMode string // query, fragment or form_post
	scope        []string
	maxAge       *int64
	loaRequested bool    // a level of authentication is requested, so single sign-on isn't enough
	device       *device // the device that requests approval, or nil
}

func (authReq *authRequest) value(name string) string { return authReq.parameters.Get(name) }

// hasPrompt reports whether the prompt parameter contains a value.
func (authReq *authRequest) hasPrompt(value string) bool {
	return slices.Contains(strings.Fields(authReq.value("prompt")), value)
}

// authorize serves the authorization endpoint.
func (r *Realm) authorize(req *request) response {
	return r.servePage(req, (*pageRequest).authorize)
}

func (req *pageRequest) authorize() response {
	if req.Method == http.MethodGet && !isPrintable(req.URL.Query()) {
		return req.showError(400, "An internal server error has occurred")
	}
	authReq, resp := req.readRequest(req.parameters())
	if authReq == nil {
		return resp
	}
	as := req.newAuthSession(authReq)
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

// requestParameters lists the parameters that an authSession stores from an authorization request.
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

// readRequest validates a request in the same order as Keycloak (AuthorizationEndpoint, 26.7.4).
// Until it has validated the redirect URI, errors are shown on a page. Later errors are sent to the
// client.
func (req *pageRequest) readRequest(parameters url.Values) (*authRequest, response) {
	caller, resp := req.requestedClient(parameters)
	if caller == nil {
		return nil, resp
	}
	if err := req.checkParametersSupported(authParameters); err != nil {
		return nil, err.plainResponse()
	}
	for name, values := range parameters {
		if !slices.Contains(credentialParameters, name) && name != "max_age" &&
			name != "login_hint" {
			for i := range values {
				values[i] = strings.Map(dropControl, values[i])
			}
		}
	}
	authReq := &authRequest{parameters: parameters, client: caller, responseMode: "query"}
	authReq.maxAge, _ = maxAge(parameters)
	for _, name := range []string{"state", "nonce"} {
		if len(authReq.value(name)) > maxParameter {
			parameters.Del(name)
		}
	}
	if resp, invalid := req.checkParameters(parameters); invalid {
		return nil, resp
	}
	isOpenID := slices.Contains(strings.Fields(authReq.value("scope")), "openid")
	var ok bool
	authReq.redirectURI, ok = req.realm.validateRedirectURI(caller, caller.RedirectURIs,
		authReq.value("redirect_uri"), parameters.Has("redirect_uri"), isOpenID)
	if !ok {
		return nil, req.showError(400, "Invalid parameter: redirect_uri")
	}
	if err := authReq.checkResponseType(); err != nil {
		if err.status == http.StatusNotImplemented {
			return nil, notImplemented(err.description)
		}
		return nil, req.respondError(authReq, err)
	}
	var err *oauthError
	switch problem := caller.challengeProblem(parameters); {
	case hasRepeatedParameter(parameters):
		err = newOAuthError(302, "invalid_request", "duplicated parameter")
	default:
		authReq.scope, err = req.realm.resolveScopes(caller, authReq.value("scope"),
			parameters.Has("scope"))
		if err == nil && problem != "" {
			err = newOAuthError(302, "invalid_request", problem)
		}
	}
	if err != nil {
		return nil, req.respondError(authReq, err)
	}
	if !authReq.readACR(req.realm) {
		return nil, req.showError(400, "Invalid parameter: claims")
	}
	if authReq.hasPrompt("create") && req.realm.settings.RegistrationAllowed {
		return nil, notImplemented("page where users register")
	}
	if authReq.hasPrompt("create") {
		return nil, req.showError(400, "Registration not allowed")
	}
	authReq.parameters = selectParameters(parameters, requestParameters)
	return authReq, response{}
}

// checkParameters returns an error response, and true, if a parameter is malformed or unsupported.
func (req *pageRequest) checkParameters(parameters url.Values) (response, bool) {
	_, ageErr := maxAge(parameters)
	switch {
	case ageErr != nil:
		return req.showError(400, "Invalid Request"), true
	case strings.Count(parameters.Get("request"), ".") > 1:
		return notImplemented("request objects"), true
	case parameters.Has("request"), parameters.Has("request_uri"):
		return req.showError(400, "Invalid Request"), true
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

// requestedClient returns the client that a request names. If the client is unknown or may not use
// browser flows, it returns nil and the error response.
func (req *pageRequest) requestedClient(parameters url.Values) (*client, response) {
	if len(parameters["client_id"]) != 1 {
		return nil, req.showError(400, "Invalid Request")
	}
	if resp, unavailable := req.checkAvailable(); unavailable {
		return nil, resp
	}
	caller := req.realm.clients[parameters.Get("client_id")]
	switch {
	case caller == nil:
		return nil, req.showError(400, "Client not found.")
	case !caller.enabled:
		return nil, req.showError(400, "Client disabled.")
	case caller.BearerOnly:
		return nil, req.showError(403,
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
		return req.showError(400, err.description), true
	}
	if !req.realm.settings.Enabled {
		return req.showError(400, "Realm not enabled"), true
	}
	return response{}, false
}

// respondError returns the response that sends an error to the client.
func (req *pageRequest) respondError(authReq *authRequest, err *oauthError) response {
	pairs := []string{"error", err.code}
	if err.description != "" {
		pairs = append(pairs, "error_description", err.description)
	}
	return req.respond(authReq, pairs...)
}

const flowDisabled = "Client is not allowed to initiate browser login with given response_type. "

// checkResponseType validates response_type and response_mode.
func (authReq *authRequest) checkResponseType() *oauthError {
	types := strings.Fields(authReq.value("response_type"))
	// In the implicit and hybrid flows, the response contains tokens.
	implicit := slices.Contains(types, "token") || slices.Contains(types, "id_token")
	mode, hasMode := authReq.value("response_mode"), authReq.parameters.Has("response_mode")
	modeKnown := !hasMode || slices.Contains([]string{"query", "fragment", "form_post"}, mode)
	switch {
	case hasMode && modeKnown:
		authReq.responseMode = mode
	case implicit && !hasMode:
		authReq.responseMode = "fragment"
	}
	hasUnknownType := slices.ContainsFunc(types, func(word string) bool {
		return !slices.Contains([]string{"code", "token", "id_token", "none"}, word)
	})
	switch {
	case !authReq.parameters.Has("response_type"):
		return newOAuthError(302, "invalid_request", "Missing parameter: response_type")
	case len(types) == 0 || hasUnknownType || len(types) > 1 && slices.Contains(types, "none"):
		return newOAuthError(302, "unsupported_response_type", "")
	case slices.Contains([]string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}, mode):
		return newOAuthError(http.StatusNotImplemented, codeUnsupported, "response_mode "+mode)
	case !modeKnown:
		return newOAuthError(302, "invalid_request", "Invalid parameter: response_mode")
	case implicit && authReq.responseMode == "query":
		return newOAuthError(302, "invalid_request",
			"Response_mode 'query' not allowed for implicit or hybrid flow")
	case (slices.Contains(types, "code") || slices.Contains(types, "none")) &&
		!authReq.client.standardFlow:
		return newOAuthError(302, "unauthorized_client",
			flowDisabled+"Standard flow is disabled for the client.")
	case implicit && !authReq.client.ImplicitFlowEnabled:
		return newOAuthError(302, "unauthorized_client",
			flowDisabled+"Implicit flow is disabled for the client.")
	case implicit:
		return newOAuthError(http.StatusNotImplemented, codeUnsupported,
			"response_type "+authReq.value("response_type"))
	}
	return nil
}

// pkcePattern matches valid code verifiers and challenges (RFC 7636 4.1).
var pkcePattern = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// challengeProblem returns the error description for a request's code challenge (RFC 7636 4.3), or
// "" if the code challenge is valid or not needed.
func (c *client) challengeProblem(parameters url.Values) string {
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

// hasRepeatedParameter reports whether any parameter, except those in repeatable, was sent more
// than once.
func hasRepeatedParameter(parameters url.Values, repeatable ...string) bool {
	for name, values := range parameters {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return true
		}
	}
	return false
}

// readACR sets loaRequested if the request names a level of authentication. The login flow has only
// one level, so a request for any level just means that the user must enter the password. readACR
// returns false if a level that the request marks as essential is unknown.
func (authReq *authRequest) readACR(r *Realm) bool {
	var parsed struct {
		IDToken struct {
			ACR struct {
				Essential bool     `json:"essential"`
				Value     string   `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	json.Unmarshal([]byte(authReq.value("claims")), &parsed) // ignore invalid claims
	acr := parsed.IDToken.ACR
	levels := acr.Values
	if acr.Value != "" {
		levels = append(levels, acr.Value)
	}
	authReq.loaRequested = len(levels) > 0 || authReq.parameters.Has("acr_values")
	levelNames := realmfile.ACRLevels(authReq.client.Attributes)
	if len(levelNames) == 0 {
		levelNames = realmfile.ACRLevels(r.settings.Attributes)
	}
	return !acr.Essential || !slices.ContainsFunc(levels, func(level string) bool {
		_, err := strconv.Atoi(level)
		return levelNames[level] == "" && err != nil
	})
}
