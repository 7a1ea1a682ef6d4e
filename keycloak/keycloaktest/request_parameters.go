package keycloaktest

import (
	"net/url"
	"slices"
)

// The fake returns an error for parameters that Keycloak uses and the fake doesn't. It ignores a
// parameter silently only if Keycloak ignores it too.

// keycloakParameters are the request parameters that Keycloak 26.7.4 knows at its OpenID Connect,
// UMA and CIBA endpoints. Keycloak ignores all others.
var keycloakParameters = []string{
	"access_token", "acr_values", "actor_token", "actor_token_type", "assertion", "audience",
	"auth_req_id", "authorization_details", "binding_message", "claim_token", "claim_token_format",
	"claims", "claims_locales", "client_assertion", "client_assertion_type", "client_id",
	"client_notification_token", "client_secret", "client_session_host", "client_session_state",
	"code", "code_challenge", "code_challenge_method", "code_verifier", "device_code",
	"device_user_code", "display", "dpop_jkt", "grant_type", "id_token_hint", "initiating_idp",
	"kc_action", "kc_action_parameter", "kc_idp_hint", "kc_locale", "login_hint",
	"login_hint_token", "logout_hint", "max_age", "nonce", "otp", "password", "permission",
	"permission_resource_format", "permission_resource_matching_uri", "post_logout_redirect_uri",
	"prompt", "redirect_uri", "refresh_token", "registration", "request", "request_uri",
	"requested_expiry", "requested_issuer", "requested_subject", "requested_token_type", "resource",
	"response_include_resource_name", "response_mode", "response_permissions_limit",
	"response_type", "rpt", "scope", "state", "subject_issuer", "subject_token",
	"subject_token_type", "submit_request", "ticket", "token", "token_type_hint", "totp",
	"ui_locales", "user_code", "username",
}

// endpointParameters lists how an endpoint handles parameters. A request with any other parameter
// in keycloakParameters gets an error. A test in the contract suite sends each ignored parameter to
// Keycloak.
type endpointParameters struct {
	supportedNames     []string // used by the fake
	ignoredNames       []string // ignored by the fake and by Keycloak
	unsupportedHeaders []string
}

// tokenParameters lists the parameters of the token endpoint.
var tokenParameters = endpointParameters{
	supportedNames: []string{
		"assertion", "client_assertion", "client_assertion_type", "client_id", "client_secret",
		"code", "code_verifier", "device_code", "grant_type", "otp", "password", "redirect_uri",
		"refresh_token", "scope", "totp", "username",
	},
	// Some of these parameters belong to grants that the fake lacks anyway.
	ignoredNames: []string{
		"access_token", "acr_values", "actor_token", "actor_token_type", "audience", "auth_req_id",
		"authorization_details", "binding_message", "claim_token", "claim_token_format", "claims",
		"claims_locales", "client_notification_token", "code_challenge", "code_challenge_method",
		"device_user_code", "display", "dpop_jkt", "id_token_hint", "initiating_idp", "kc_action",
		"kc_action_parameter", "kc_idp_hint", "kc_locale", "login_hint", "login_hint_token",
		"logout_hint", "max_age", "nonce", "permission", "permission_resource_format",
		"permission_resource_matching_uri", "post_logout_redirect_uri", "prompt", "registration",
		"request", "request_uri", "requested_expiry", "requested_issuer", "requested_subject",
		"requested_token_type", "resource", "response_include_resource_name", "response_mode",
		"response_permissions_limit", "response_type", "rpt", "state", "subject_issuer",
		"subject_token", "subject_token_type", "submit_request", "ticket", "token",
		"token_type_hint", "ui_locales", "user_code", "client_session_state", "client_session_host",
	},
	unsupportedHeaders: []string{"DPoP"},
}

// authorizationParameters lists the parameters of the authorization endpoint. parseAuthRequest
// returns an error for some values of the supported parameters.
var authorizationParameters = endpointParameters{
	supportedNames: []string{
		"acr_values", "claims", "client_id", "code_challenge", "code_challenge_method", "kc_action",
		"kc_action_parameter", "kc_idp_hint", "login_hint", "max_age", "nonce", "prompt",
		"redirect_uri", "request", "request_uri", "response_mode", "response_type", "scope",
		"state", "ui_locales", "kc_locale",
	},
	ignoredNames: []string{
		"access_token", "actor_token", "actor_token_type", "assertion", "audience", "auth_req_id",
		"binding_message", "claim_token", "claim_token_format", "claims_locales",
		"client_assertion", "client_assertion_type", "client_notification_token", "client_secret",
		"client_session_host", "client_session_state", "code", "code_verifier", "device_code",
		"device_user_code", "display", "grant_type", "id_token_hint", "initiating_idp",
		"login_hint_token", "logout_hint", "otp", "password", "permission",
		"permission_resource_format", "permission_resource_matching_uri",
		"post_logout_redirect_uri", "refresh_token", "registration", "requested_expiry",
		"requested_issuer", "requested_subject", "requested_token_type",
		"response_include_resource_name", "response_permissions_limit", "rpt", "subject_issuer",
		"subject_token", "subject_token_type", "submit_request", "ticket", "token",
		"token_type_hint", "totp", "user_code", "username",
	},
}

// unsupportedNames returns the form's parameters that Keycloak knows but p doesn't list.
func (p endpointParameters) unsupportedNames(form url.Values) []string {
	return slices.DeleteFunc(slices.Clone(keycloakParameters), func(name string) bool {
		return !form.Has(name) || slices.Contains(p.supportedNames, name) ||
			slices.Contains(p.ignoredNames, name)
	})
}

// checkParametersSupported returns an error if the request has an unsupported parameter or header.
func (req *request) checkParametersSupported(parameters endpointParameters) *oauthError {
	form := req.form
	if req.Method == "GET" {
		form = req.URL.Query()
	}
	for _, name := range parameters.unsupportedNames(form) {
		return unsupportedError("parameter " + name)
	}
	for _, name := range parameters.unsupportedHeaders {
		if len(req.Header.Values(name)) > 0 {
			return unsupportedError("header " + name)
		}
	}
	return nil
}
