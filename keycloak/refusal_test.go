package keycloak

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// An errorResponse is an error response that Keycloak 26.7.4 sends, and the error that a Client
// must make of it.
type errorResponse struct {
	status            int
	code, description string
	want              error
	detail            string // part of the error's detail: the wrong setting, if there is one
}

// anyCallErrors holds the error responses that every call may get.
var anyCallErrors = []errorResponse{
	{404, "Realm does not exist", "", identity.ErrProviderMisconfigured, "NewRealm's name"},
	{404, "HTTP 404 Not Found", "", identity.ErrProviderMisconfigured, "NewRealm's serverURL"},
	{404, "Unable to find matching target resource method", "", identity.ErrProviderMisconfigured,
		"path prefix in NewRealm's serverURL"},
	{405, "HTTP 405 Method Not Allowed", "", identity.ErrProviderMisconfigured, ""},
	{400, "missingNormalization", "Request path not normalized", identity.ErrProviderMisconfigured,
		""},
	{400, "invalidCharacter", "Request path contains invalid character ';'",
		identity.ErrProviderMisconfigured, ""},
	{403, "access_denied", "Realm not enabled", identity.ErrProviderMisconfigured,
		"enable the realm"},
	{403, "invalid_request", "HTTPS required", identity.ErrProviderMisconfigured,
		"NewRealm's serverURL to an https URL"},
	{403, "Invalid origin", "", identity.ErrProviderMisconfigured, ""},
	{400, "invalid_request", "Missing form parameter: grant_type",
		identity.ErrProviderMisconfigured, ""},
	{400, "unsupported_grant_type", "Unsupported grant_type", identity.ErrProviderMisconfigured,
		""},
	{400, "invalid_request", "duplicated parameter", identity.ErrProviderMisconfigured, ""},
	{401, "invalid_client", "Invalid client or Invalid client credentials",
		identity.ErrProviderMisconfigured, "ClientConfig.ClientID"},
	{401, "unauthorized_client", "Invalid client or Invalid client credentials",
		identity.ErrProviderMisconfigured, "ClientConfig.ClientSecret"},
	{401, "unauthorized_client",
		"Invalid method used to get client secret. Client requires method 'client_secret_basic' " +
			"to obtain client secret from the request",
		identity.ErrProviderMisconfigured,
		"set Allowed authentication method on the client's Credentials tab"},
	// Clients that authenticate with private_key_jwt or client_secret_jwt.
	{400, "invalid_client", "Parameter client_assertion_type is missing",
		identity.ErrProviderMisconfigured, "set Client Authenticator"},
	{400, "invalid_client", "Wrong client protocol.", identity.ErrProviderMisconfigured, "SAML"},
	{400, "invalid_request", "Configured client authentication method not allowed for client",
		identity.ErrProviderMisconfigured, "executor secure-client-authenticator"},
	{400, "invalid_request", "Client Certification missing for MTLS HoK Token Binding",
		identity.ErrProviderMisconfigured, "Mutual TLS Certificate Bound Access Tokens off"},
	{401, "not_allowed",
		"Client certificate missing, or its thumbprint and one in the token did NOT match",
		identity.ErrProviderMisconfigured, "executor holder-of-key-enforcer"},
	{400, "invalid_client", "Bearer-only not allowed", identity.ErrProviderMisconfigured,
		"ClientConfig.ClientID must name a confidential client"},
	{400, "invalid_request", "DPoP proof is missing", identity.ErrProviderMisconfigured,
		"Require DPoP bound tokens off"},
	{401, "never seen before", "", identity.ErrProviderMisconfigured, "admin console"},
	{403, "never seen before", "", identity.ErrProviderMisconfigured, "admin console"},
	{418, "never seen before", "", identity.ErrProviderMisconfigured, "admin console"},
}

// callErrors holds the error responses that only one call gets, by the name of the call in
// clientCalls.
var callErrors = map[string][]errorResponse{
	"login": {
		{400, "invalid_grant", "Invalid user credentials", identity.ErrBadCredentials, ""},
		// Before 26.6.
		{401, "invalid_grant", "Invalid user credentials", identity.ErrBadCredentials, ""},
		{400, "invalid_grant", "A text that a later release has", identity.ErrBadCredentials, ""},
		{400, "invalid_grant", "", identity.ErrBadCredentials, ""},
		{400, "invalid_grant", "Account disabled", identity.ErrAccountDisabled, ""},
		{401, "invalid_grant", "Account disabled", identity.ErrAccountDisabled, ""}, // before 26.6
		{400, "invalid_grant", "Account is not fully set up", identity.ErrAccountNotReady, ""},
		// The login rules ignore a text that only refreshes get.
		{400, "invalid_grant", "Session not active", identity.ErrBadCredentials, ""},
		{400, "unauthorized_client", "Client not allowed for direct access grants",
			identity.ErrLoginNotAllowed, "Direct access grants"},
		{400, "invalid_grant", "resource owner password credentials grant is prohibited.",
			identity.ErrLoginNotAllowed, "executor reject-ropc-grant"},
		{400, "invalid_client", "Client requires user consent", identity.ErrProviderMisconfigured,
			"Consent required"},
		{400, "invalid_scope", "Invalid scopes: openid profile email",
			identity.ErrProviderMisconfigured, "ClientConfig.LoginScope"},
		{400, "not_allowed", "Offline tokens not allowed for the user or client",
			identity.ErrProviderMisconfigured, "ClientConfig.LoginScope asks for offline_access"},
		{401, "invalid_request", "Missing parameter: username", identity.ErrProviderMisconfigured,
			""},
	},
	"refresh": {
		{400, "invalid_request", "No refresh token", identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant", "Invalid refresh token", identity.ErrRefreshInvalid, ""},
		// Before 26.6.
		{401, "invalid_grant", "Invalid refresh token", identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant", "A text that a later release has", identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant", "Token is not active", identity.ErrRefreshExpired, ""},
		{400, "invalid_grant", "Session not active", identity.ErrSessionEnded, ""},
		{400, "invalid_grant", "Client session not active", identity.ErrSessionEnded, ""},
		{400, "invalid_grant", "Session doesn't have required client", identity.ErrSessionEnded,
			""},
		{400, "invalid_grant",
			"Invalid refresh token. Token client and authorized client don't match",
			identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant", "Stale token", identity.ErrSessionEnded, ""},
		{400, "invalid_grant",
			"Invalid token issuer. Expected 'https://sso.example.com/realms/local'",
			identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant", "User disabled", identity.ErrSessionEnded, ""},
		{400, "invalid_grant", "Offline user session not found", identity.ErrSessionEnded, ""},
		{400, "invalid_grant", "Offline session invalid because offline access not granted anymore",
			identity.ErrSessionEnded, ""},
		{400, "invalid_grant",
			"Client certificate missing, or its thumbprint and one in the token did NOT match",
			identity.ErrProviderMisconfigured, "Mutual TLS"},
		{400, "invalid_grant", "Maximum allowed refresh token reuse exceeded",
			identity.ErrRefreshReused, ""},
		// The refresh rules ignore a text that only logins get.
		{400, "invalid_grant", "Account disabled", identity.ErrRefreshInvalid, ""},
		{400, "invalid_scope", "Invalid scopes: nope", identity.ErrProviderMisconfigured,
			"ClientConfig.LoginScope"},
		{400, "unauthorized_client", "Client not allowed for direct access grants",
			identity.ErrProviderMisconfigured, ""},
	},
	"logout": {
		{400, "invalid_grant", "Invalid refresh token", identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant",
			"Invalid refresh token. Token client and authorized client don't match",
			identity.ErrRefreshInvalid, ""},
		{400, "invalid_grant",
			"Invalid token issuer. Expected 'https://sso.example.com/realms/local'",
			identity.ErrRefreshInvalid, ""},
	},
}

// Each error response becomes the right error. The error's detail quotes the response, and names
// the setting to change if one is wrong.
func TestRefusal_eachResponse(t *testing.T) {
	for call, responses := range callErrors {
		for _, tt := range append(append([]errorResponse{}, responses...), anyCallErrors...) {
			t.Run(fmt.Sprintf("%s %d %s %s", call, tt.status, tt.code, tt.description),
				func(t *testing.T) {
					body := object{"error": tt.code}
					if tt.description != "" {
						body["error_description"] = tt.description
					}
					err := clientCalls[call](t.Context(),
						newClient(t, jsonHandler(tt.status, toJSON(body))))
					if !errors.Is(err, tt.want) {
						t.Fatalf("got %v, want %v", err, tt.want)
					}
					checkOneReason(t, err)
					refusal, ok := errors.AsType[*Refusal](err)
					if !ok {
						t.Fatalf("got %#v, want a Refusal", err)
					}
					description := redactUnknown(tt.description, "description")
					if refusal.Status != tt.status ||
						refusal.Code != redactUnknown(tt.code, "error") ||
						refusal.Description != description {
						t.Errorf("got %+v, want the status, error and description of the response",
							refusal)
					}
					if want := "keycloak: " + call + ": " + tt.want.Error(); err.Error() != want {
						t.Errorf("the error is %q, want %q", err, want)
					}
					for _, text := range []string{fmt.Sprint(tt.status),
						fmt.Sprintf("%q", description),
						tt.detail} {
						if !strings.Contains(identity.Detail(err), text) {
							t.Errorf("the detail %q doesn't contain %q", identity.Detail(err),
								text)
						}
					}
					checkNoLeak(t, err)
				})
		}
	}
}

// A long text from the server neither fills the log nor forges a line in it.
func TestRefusal_longText(t *testing.T) {
	longText := strings.Repeat("ü", 10_000)
	err := clientCalls["login"](t.Context(),
		newClient(t,
			jsonHandler(400, toJSON(object{"error": longText,
				"error_description": "a\nb" + longText}))))
	if !errors.Is(err, identity.ErrProviderMisconfigured) || len(identity.Detail(err)) > 1000 ||
		strings.Contains(identity.Detail(err), "\n") {
		t.Errorf("got %v with a detail of %d bytes, want %v with one line of at most 1000: %s", err,
			len(identity.Detail(err)), identity.ErrProviderMisconfigured, identity.Detail(err))
	}
}

// If Keycloak rejects the path of the URL, the error's detail names the parameter serverURL of
// NewRealm.
func TestRefusal_pathErrors(t *testing.T) {
	for _, body := range []string{
		`{"error":"missingNormalization","error_description":"Request path not normalized"}`,
		`{"error":"invalidCharacter","error_description":"Request path contains invalid ` +
			`character ';'"}`,
		`{"error":"Unable to find matching target resource method"}`,
	} {
		status := 400
		if strings.Contains(body, "Unable") {
			status = 404
		}
		err := refusalError(response{status: status, body: []byte(body)}, loginRefusalRules)
		if !errors.Is(err, identity.ErrProviderMisconfigured) ||
			!strings.Contains(identity.Detail(err), "NewRealm's serverURL") {
			t.Errorf("%s: got %v with the detail %q, want %v with %q", body, err,
				identity.Detail(err), identity.ErrProviderMisconfigured, "NewRealm's serverURL")
		}
	}
}

// redactUnknown keeps only texts that Keycloak is known to send, because other texts may quote the
// request.
func TestRedactUnknown(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"invalid_grant":                  "invalid_grant",
		"Invalid user credentials":       "Invalid user credentials",
		"Invalid user credentials.":      "[an unknown description of 25 bytes]",
		"Invalid scopes: openid hunter2": "Invalid scopes: [14 bytes]",
		"Invalid token issuer. Expected 'https://sso.example.com/realms/local'": "Invalid token " +
			"issuer. Expected '[37 bytes]",
		"Request path contains invalid character ';'": "Request path " +
			"contains invalid character [3 bytes]",
		"you sent hunter2, I believe": "[an unknown " +
			"description of 27 bytes]",
		"hunter2": "[an unknown " +
			"description of 7 bytes]",
		"ü": "[an unknown " +
			"description of 2 bytes]",
	} {
		if got := redactUnknown(text, "description"); got != want {
			t.Errorf("redactUnknown(%q) = %q, want %q", text, got, want)
		}
	}
}

// The texts that refusal rules match are known texts. Otherwise the operator would see a hint
// without the response that caused it.
func TestRedactUnknown_textsOfRules(t *testing.T) {
	for _, rule := range slices.Concat(loginRefusalRules, refreshRefusalRules, clientErrorRules) {
		for _, text := range []string{rule.code, rule.description} {
			hasPrefix := func(knownStart string) bool { return strings.HasPrefix(knownStart, text) }
			if text != "" && !slices.ContainsFunc(knownTexts, hasPrefix) &&
				!slices.ContainsFunc(knownPrefixes, hasPrefix) {
				t.Errorf("%q is neither in knownTexts nor in knownPrefixes, want it in one", text)
			}
		}
	}
	sortedTexts := slices.Sorted(slices.Values(knownTexts))
	if n := len(slices.Compact(sortedTexts)); n != len(knownTexts) {
		t.Errorf("knownTexts has %d different texts, want %d", n, len(knownTexts))
	}
}

// A known text is shown even if it contains the caller's secrets: a secret of one letter occurs in
// most texts.
func TestRefusal_shortSecrets(t *testing.T) {
	client := newClient(t,
		jsonHandler(401,
			`{"error":"unauthorized_client","error_description":"Invalid client or Invalid `+
				`client credentials"}`),
		func(c *ClientConfig) { c.ClientSecret = identity.NewSecret("i") })
	_, err := client.Login(t.Context(),
		identity.Credentials{Username: "alice", Password: identity.NewSecret("e"),
			OTP: identity.NewSecret("n")})
	if detail := identity.Detail(err); !strings.Contains(detail,
		`"Invalid client or Invalid client credentials": the client secret is wrong`) {
		t.Errorf("the detail is %q, want it to contain Keycloak's description", detail)
	}
}

// statusDetail names the setting to change. The first request of a server fetches keys, so this is
// the first error that an operator with a wrong setting sees.
func TestStatusDetail(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   string
	}{
		{404, `{"error":"Realm does not exist"}`,
			"response 404; expected 200: check NewRealm's name, whose case matters"},
		{404, `{"error":"Unable to find matching target resource method"}`,
			"response 404; expected 200: " + hintNoKeycloak},
		{405, `{"error":"HTTP 405 Method Not Allowed"}`, "response 405; expected 200: " +
			hintNoKeycloak},
		{403, `{"error":"invalid_request","error_description":"HTTPS required"}`,
			"response 403; expected 200: set NewRealm's serverURL to an https URL, or change " +
				"Require SSL in the realm's settings"},
		{403, `{"error":"access_denied","error_description":"Realm not enabled"}`,
			"response 403; expected 200: enable the realm in its settings"},
		// For unknown errors and for responses of a proxy, there is no advice.
		{400, `{"error":"unknown"}`, "response 400; expected 200"},
		{404, `<html>canary</html>`, "response 404; expected 200"},
		{502, `{"error":"canary"}`, "response 502; expected 200"},
	} {
		if got := statusDetail(response{status: tt.status, body: []byte(tt.body)}); got != tt.want {
			t.Errorf("statusDetail(%d %s) = %q, want %q", tt.status, tt.body, got, tt.want)
		}
	}
}
