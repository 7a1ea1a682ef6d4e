package keycloaktest

import (
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
	parameters    url.Values // see storedAuthParameters
	client        *client
	redirectURI   string // validated; the response goes to this URI
	responseMode  string // query, fragment or form_post
	scope         []string
	maxAgeSeconds *int64
	acr           acrRequest
	device        *device // the device that requests approval, or nil
}

func (authReq *authRequest) parameter(name string) string { return authReq.parameters.Get(name) }

// hasPrompt reports whether the prompt parameter contains a value.
func (authReq *authRequest) hasPrompt(value string) bool {
	return slices.Contains(strings.Fields(authReq.parameter("prompt")), value)
}

// authorize serves the authorization endpoint.
func (r *Realm) authorize(req *request) response {
	return r.servePage(req, (*pageRequest).authorize)
}

func (req *pageRequest) authorize() response {
	if req.Method == http.MethodGet && !isPrintable(req.URL.Query()) {
		return req.errorResponse(400, "An internal server error has occurred")
	}
	authReq, resp := req.parseAuthRequest(req.parameters())
	if authReq == nil {
		return resp
	}
	as := req.newAuthSession(authReq)
	req.setRestartCookie(as)
	return req.startLogin(as)
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

// storedAuthParameters lists the authorization request's parameters that an authSession stores.
var storedAuthParameters = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"prompt", "max_age", "login_hint", "acr_values", "claims", "code_challenge",
	"code_challenge_method", "kc_action", "kc_idp_hint", "ui_locales",
}

// selectParameters returns the parameters with the given names.
func selectParameters(parameters url.Values, names []string) url.Values {
	result := url.Values{}
	for _, name := range names {
		if parameters.Has(name) {
			result.Set(name, parameters.Get(name))
		}
	}
	return result
}

// maxParameterLength is the maximum length of a parameter. Keycloak silently ignores longer values.
const maxParameterLength = 4_000

// parseAuthRequest validates a request in the same order as Keycloak (AuthorizationEndpoint,
// 26.7.4). An error before the redirect URI is validated is shown on a page; a later error is sent
// to the client.
func (req *pageRequest) parseAuthRequest(parameters url.Values) (*authRequest, response) {
	caller, resp := req.requestedClient(parameters)
	if caller == nil {
		return nil, resp
	}
	if err := req.checkParametersSupported(authorizationParameters); err != nil {
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
	authReq.maxAgeSeconds, _ = parseMaxAge(parameters)
	for _, name := range []string{"state", "nonce"} {
		if len(authReq.parameter(name)) > maxParameterLength {
			parameters.Del(name)
		}
	}
	if resp, invalid := req.checkParameters(parameters); invalid {
		return nil, resp
	}
	isOpenID := slices.Contains(strings.Fields(authReq.parameter("scope")), "openid")
	var ok bool
	authReq.redirectURI, ok = req.realm.validateRedirectURI(caller, caller.RedirectURIs,
		authReq.parameter("redirect_uri"), parameters.Has("redirect_uri"), isOpenID)
	if !ok {
		return nil, req.errorResponse(400, "Invalid parameter: redirect_uri")
	}
	if err := authReq.checkResponseType(); err != nil {
		if err.status == http.StatusNotImplemented {
			return nil, unsupportedResponse(err.description)
		}
		return nil, req.authErrorResponse(authReq, err)
	}
	var err *oauthError
	switch problem := caller.pkceProblem(parameters); {
	case hasRepeatedParameter(parameters):
		err = newOAuthError(302, "invalid_request", "duplicated parameter")
	default:
		authReq.scope, err = req.realm.resolveScopes(caller, authReq.parameter("scope"),
			parameters.Has("scope"))
		if err == nil && problem != "" {
			err = newOAuthError(302, "invalid_request", problem)
		}
	}
	if err != nil {
		return nil, req.authErrorResponse(authReq, err)
	}
	if !authReq.readACR(req.realm) {
		req.setSessionHashCookie(req.newAuthSession(authReq)) // Keycloak has started the sign-in
		return nil, req.errorResponse(400, "Invalid parameter: claims")
	}
	if authReq.hasPrompt("create") && req.realm.settings.RegistrationAllowed {
		return nil, unsupportedResponse("page where users register")
	}
	if authReq.hasPrompt("create") {
		return nil, req.errorResponse(400, "Registration not allowed")
	}
	authReq.parameters = selectParameters(parameters, storedAuthParameters)
	return authReq, response{}
}

// checkParameters returns an error response, and true, if a parameter is malformed or unsupported.
func (req *pageRequest) checkParameters(parameters url.Values) (response, bool) {
	_, maxAgeErr := parseMaxAge(parameters)
	switch {
	case maxAgeErr != nil:
		return req.errorResponse(400, "Invalid Request"), true
	case strings.Count(parameters.Get("request"), ".") > 1:
		return unsupportedResponse("request objects"), true
	case parameters.Has("request"), parameters.Has("request_uri"):
		return req.errorResponse(400, "Invalid Request"), true
	}
	return response{}, false
}

// parseMaxAge returns max_age, in seconds. It returns nil if the parameter is missing.
func parseMaxAge(parameters url.Values) (*int64, error) {
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
		return nil, req.errorResponse(400, "Invalid Request")
	}
	if resp, unavailable := req.checkAvailable(); unavailable {
		return nil, resp
	}
	caller := req.realm.clients[parameters.Get("client_id")]
	switch {
	case caller == nil:
		return nil, req.errorResponse(400, "Client not found.")
	case !caller.enabled:
		return nil, req.errorResponse(400, "Client disabled.")
	case caller.BearerOnly:
		return nil, req.errorResponse(403,
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
		return req.errorResponse(400, err.description), true
	}
	if !req.realm.settings.Enabled {
		return req.errorResponse(400, "Realm not enabled"), true
	}
	return response{}, false
}

// authErrorResponse returns the response that sends an error to the client.
func (req *pageRequest) authErrorResponse(authReq *authRequest, err *oauthError) response {
	pairs := []string{"error", err.code}
	if err.description != "" {
		pairs = append(pairs, "error_description", err.description)
	}
	return req.authResponse(authReq, pairs...)
}

const flowDisabledMessage = "Client is not allowed to initiate browser login with given " +
	"response_type. "

// checkResponseType validates response_type and response_mode.
func (authReq *authRequest) checkResponseType() *oauthError {
	responseTypes := strings.Fields(authReq.parameter("response_type"))
	// isImplicit reports whether the request starts the implicit or hybrid flow.
	isImplicit := slices.Contains(responseTypes, "token") ||
		slices.Contains(responseTypes, "id_token")
	mode, hasMode := authReq.parameter("response_mode"), authReq.parameters.Has("response_mode")
	isKnownMode := !hasMode || slices.Contains([]string{"query", "fragment", "form_post"}, mode)
	switch {
	case hasMode && isKnownMode:
		authReq.responseMode = mode
	case isImplicit && !hasMode:
		authReq.responseMode = "fragment"
	}
	hasUnknownType := slices.ContainsFunc(responseTypes, func(name string) bool {
		return !slices.Contains([]string{"code", "token", "id_token", "none"}, name)
	})
	switch {
	case !authReq.parameters.Has("response_type"):
		return newOAuthError(302, "invalid_request", "Missing parameter: response_type")
	case len(responseTypes) == 0 || hasUnknownType ||
		len(responseTypes) > 1 && slices.Contains(responseTypes, "none"):
		return newOAuthError(302, "unsupported_response_type", "")
	case slices.Contains([]string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}, mode):
		return newOAuthError(http.StatusNotImplemented, codeUnsupported, "response_mode "+mode)
	case !isKnownMode:
		return newOAuthError(302, "invalid_request", "Invalid parameter: response_mode")
	case isImplicit && authReq.responseMode == "query":
		return newOAuthError(302, "invalid_request",
			"Response_mode 'query' not allowed for implicit or hybrid flow")
	case (slices.Contains(responseTypes, "code") || slices.Contains(responseTypes, "none")) &&
		!authReq.client.allowsStandardFlow:
		return newOAuthError(302, "unauthorized_client",
			flowDisabledMessage+"Standard flow is disabled for the client.")
	case isImplicit && !authReq.client.ImplicitFlowEnabled:
		return newOAuthError(302, "unauthorized_client",
			flowDisabledMessage+"Implicit flow is disabled for the client.")
	case isImplicit:
		return newOAuthError(http.StatusNotImplemented, codeUnsupported,
			"response_type "+authReq.parameter("response_type"))
	}
	return nil
}

// pkcePattern matches valid code verifiers and challenges (RFC 7636 4.1).
var pkcePattern = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// pkceProblem returns the error description for a request's code challenge (RFC 7636 4.3), or
// "" if the code challenge is valid or not needed.
func (c *client) pkceProblem(parameters url.Values) string {
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

// hasRepeatedParameter reports whether any parameter that isn't in repeatableNames was sent more
// than once.
func hasRepeatedParameter(parameters url.Values, repeatableNames ...string) bool {
	for name, values := range parameters {
		if len(values) > 1 && !slices.Contains(repeatableNames, name) {
			return true
		}
	}
	return false
}
