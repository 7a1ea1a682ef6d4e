package keycloaktest

import (
	"net/url"
	"slices"
)

// What Keycloak reads of a request and the stand-in doesn't is refused by its name, and never
// ignored in silence. What Keycloak ignores is ignored.

// keycloakParameters are the request parameters that Keycloak 26.7.4 knows at its endpoints of
// OpenID Connect, UMA and CIBA. Whatever else a request has, Keycloak ignores.
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

// endpointParameters says what an endpoint does with the parameters and headers that Keycloak
// knows. What isn't in it is refused, so that none is forgotten. An exchange of the contract sends
// each of ignored to Keycloak.
type endpointParameters struct {
	read    []string // by the stand-in
	ignored []string // by Keycloak, too
	headers []string // that are refused, whatever they say
}

var tokenParameters = endpointParameters{
	read: []string{
		"assertion", "client_assertion", "client_assertion_type", "client_id", "client_secret",
		"code", "code_verifier", "device_code", "grant_type", "otp", "password", "redirect_uri",
		"refresh_token", "scope", "totp", "username",
	},
	// Some of them are of grants that are refused as a whole.
	ignored: []string{
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
	headers: []string{"DPoP"},
}

// authParameters are of the authorization endpoint. A parameter that a realm's settings give a
// meaning is judged with them: see readRequest.
var authParameters = endpointParameters{
	read: []string{
		"acr_values", "claims", "client_id", "code_challenge", "code_challenge_method", "kc_action",
		"kc_action_parameter", "kc_idp_hint", "login_hint", "max_age", "nonce", "prompt",
		"redirect_uri", "request", "request_uri", "response_mode", "response_type", "scope",
		"state", "ui_locales", "kc_locale",
	},
	ignored: []string{
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

// refusedParameters are of the endpoint that the request came to: those that Keycloak knows and the
// table doesn't.
func (t endpointParameters) refused(sent url.Values) []string {
	return slices.DeleteFunc(slices.Clone(keycloakParameters), func(name string) bool {
		return !sent.Has(name) || slices.Contains(t.read, name) || slices.Contains(t.ignored, name)
	})
}

// unsupportedParameters refuses, by name, the first parameter or header that would be answered
// wrongly.
func (c *call) unsupportedParameters(t endpointParameters) *refusal {
	sent := c.form
	if c.Method == "GET" {
		sent = c.URL.Query()
	}
	for _, name := range t.refused(sent) {
		return lacks("parameter " + name)
	}
	for _, name := range t.headers {
		if len(c.Header.Values(name)) > 0 {
			return lacks("header " + name)
		}
	}
	return nil
}
