package keycloak

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// A Refusal is an error response from Keycloak, RFC 6749 section 5.2. It wraps the error of package
// identity that the response means, and has the same text. The fields are for operators:
// identity.Detail returns them in a sentence.
type Refusal struct {
	Status int
	// Code and Description are the response's error and error_description. A text that Keycloak
	// isn't known to send may repeat a request, so only its length is given.
	Code, Description string
	Hint              string // what to change, if a setting is wrong
	err               error
}

// Error returns the text of the error that the refusal means, without any text from Keycloak.
func (r *Refusal) Error() string {
	if r.err == nil {
		return "Keycloak refused"
	}
	return r.err.Error()
}

// LogValue returns the text and the detail: logs are for operators.
func (r *Refusal) LogValue() slog.Value {
	return slog.StringValue(r.Error() + ": " + r.OperatorDetail())
}

// OperatorDetail returns Keycloak's response, and what to change if a setting is wrong.
func (r *Refusal) OperatorDetail() string {
	text := fmt.Sprintf("Keycloak responded %d %q %q", r.Status, r.Code, r.Description)
	if r.Hint != "" {
		text += ": " + r.Hint
	}
	return text
}

// Unwrap returns one of identity's errors.
func (r *Refusal) Unwrap() error { return r.err }

// A refusalRule maps error responses from Keycloak to an error. The first rule that matches
// applies. A zero status, an empty code and an empty description match every response; description
// matches as a prefix.
type refusalRule struct {
	status            int
	code, description string
	err               error
	hint              string
}

// loginRefusalRules are the rules for sign-ins. A wrong password, an unknown user, an empty
// username, a locked account and a wrong one-time code all have the description "Invalid user
// credentials". Keycloak sends the first two descriptions below only if the password was right. The
// third comes from a client policy, which Keycloak applies before it looks at the username.
// Releases before 26.6 send invalid_grant with 401.
var loginRefusalRules = []refusalRule{
	{0, "invalid_grant", "Account disabled", identity.ErrAccountDisabled, ""},
	{0, "invalid_grant", "Account is not fully set up", identity.ErrAccountNotReady, ""},
	{0, "invalid_grant", "resource owner password credentials grant is prohibited",
		identity.ErrLoginNotAllowed,
		"a client policy of the realm forbids it for this client (executor reject-ropc-grant): " +
			"see Realm settings, Client policies"},
	{400, "invalid_grant", "", identity.ErrBadCredentials, ""},
	{401, "invalid_grant", "", identity.ErrBadCredentials, ""},
	{400, "unauthorized_client", "", identity.ErrLoginNotAllowed,
		"switch Direct access grants on in the client's Capability config"},
}

// refreshRefusalRules are the rules for refresh tokens, at the token endpoint and at the logout
// endpoint.
var refreshRefusalRules = []refusalRule{
	{0, "invalid_grant", "Token is not active", identity.ErrRefreshExpired, ""},
	{0, "invalid_grant", "Maximum allowed refresh token reuse exceeded", identity.ErrRefreshReused,
		""},
	{0, "invalid_grant", "Session not active", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Client session not active", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Session doesn't have required client", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Offline user session not found", identity.ErrSessionEnded, ""},
	// This prefix matches two descriptions: the offline session isn't active, or offline
	// access was revoked.
	{0, "invalid_grant", "Offline session", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "User disabled", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Stale token", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Client certificate missing", identity.ErrProviderMisconfigured,
		hintCertificate},
	// Keycloak sends this if the refresh token is longer than 4,000 characters.
	{400, "invalid_request", "No refresh token", identity.ErrRefreshInvalid, ""},
	{400, "invalid_grant", "", identity.ErrRefreshInvalid, ""},
	{401, "invalid_grant", "", identity.ErrRefreshInvalid, ""},
}

// Hints that several rules share.
const (
	hintSecretInForm = "this server sends the client's secret in the form: "
	hintCertificate  = "the client wants a certificate, and this server has none: switch OAuth " +
		"2.0 Mutual TLS Certificate Bound Access Tokens off in the " +
		"client's Advanced settings, and look for a client policy (executor holder-of-key-enforcer)"
	hintNoKeycloak = "there is no Keycloak at this path: check the path prefix in NewRealm's " +
		"serverURL"
	hintCheckClient = "check the client's settings in Keycloak's admin console"
)

// clientErrorRules are the rules for wrong settings of the client or the realm: any request may get
// these errors. A rule has a description if status and code aren't specific enough. The last rule
// matches everything.
var clientErrorRules = []refusalRule{
	{401, "unauthorized_client", "Invalid method used to get client secret",
		identity.ErrProviderMisconfigured,
		hintSecretInForm +
			"set Allowed authentication method on the client's Credentials tab to " +
			"client_secret_post, or leave it empty"},
	{401, "unauthorized_client", "", identity.ErrProviderMisconfigured,
		"the client secret is wrong, or it has expired: set ClientConfig.ClientSecret to the one " +
			"on the client's Credentials tab"},
	{401, "invalid_client", "", identity.ErrProviderMisconfigured,
		"the realm has no enabled client of this id, or one that doesn't sign in with a secret: " +
			"check ClientConfig.ClientID, that the client is enabled, and that its Client " +
			"Authenticator is Client Id and Secret"},
	{400, "invalid_client", "Parameter client_assertion_type is missing",
		identity.ErrProviderMisconfigured,
		hintSecretInForm +
			"set Client Authenticator on the client's Credentials tab to Client Id and Secret"},
	{400, "invalid_client", "Bearer-only", identity.ErrProviderMisconfigured,
		"the client is bearer-only: ClientConfig.ClientID must name a confidential client"},
	{400, "invalid_client", "Wrong client protocol", identity.ErrProviderMisconfigured,
		"the client is one for SAML: ClientConfig.ClientID must name a client for OpenID Connect"},
	{400, "invalid_client", "Client requires user consent", identity.ErrProviderMisconfigured,
		"switch Consent required off in the client's Login settings"},
	{400, "invalid_request", "Configured client authentication method not allowed",
		identity.ErrProviderMisconfigured,
		hintSecretInForm +
			"a client policy of the realm wants another way (executor " +
			"secure-client-authenticator): see Realm settings, Client policies"},
	{400, "invalid_request", "DPoP proof is missing", identity.ErrProviderMisconfigured,
		"the client wants DPoP, and this server gives bearer tokens: switch Require DPoP bound " +
			"tokens off in the client's Capability config"},
	{400, "invalid_request", "Client Certification missing", identity.ErrProviderMisconfigured,
		hintCertificate},
	{0, "not_allowed", "Client certificate missing", identity.ErrProviderMisconfigured,
		hintCertificate},
	{0, "invalid_scope", "", identity.ErrProviderMisconfigured,
		"ClientConfig.LoginScope names a scope that the client doesn't have: check the client's " +
			"Client scopes tab"},
	{0, "not_allowed", "Offline tokens not allowed", identity.ErrProviderMisconfigured,
		"ClientConfig.LoginScope asks for offline_access, which the user or the client may not " +
			"have"},
	{403, "invalid_request", "HTTPS required", identity.ErrProviderMisconfigured,
		"set NewRealm's serverURL to an https URL, or change Require SSL in the realm's settings"},
	{403, "access_denied", "Realm not enabled", identity.ErrProviderMisconfigured,
		"enable the realm in its settings"},
	{400, "missingNormalization", "", identity.ErrProviderMisconfigured,
		"NewRealm's serverURL holds // or .. in its path"},
	{400, "invalidCharacter", "", identity.ErrProviderMisconfigured,
		"NewRealm's serverURL holds a character in its path that Keycloak refuses"},
	{404, "Realm does not exist", "", identity.ErrProviderMisconfigured,
		"check NewRealm's name, whose case matters"},
	{404, "", "", identity.ErrProviderMisconfigured, hintNoKeycloak},
	{405, "", "", identity.ErrProviderMisconfigured, hintNoKeycloak}, // as for paths below /admin
	{0, "", "", identity.ErrProviderMisconfigured, hintCheckClient},
}

// refusalError returns the error that an error response means: a *Refusal if the response is
// Keycloak's own, and otherwise ErrProviderUnavailable. Keycloak's own error responses have a
// status of 4xx other than 408 and 429, and a JSON object with an error.
func refusalError(resp response, rules []refusalRule) error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	isUnavailable := resp.status < 400 || resp.status >= 500 ||
		resp.status == http.StatusRequestTimeout || resp.status == http.StatusTooManyRequests
	if isUnavailable || json.Unmarshal(resp.body, &body) != nil || body.Error == "" {
		return unavailableError("response %d is not one of Keycloak's%s", resp.status, resp.note)
	}
	for _, table := range [][]refusalRule{rules, clientErrorRules} {
		for _, rule := range table {
			if (rule.status == 0 || rule.status == resp.status) &&
				(rule.code == "" || rule.code == body.Error) &&
				strings.HasPrefix(body.Description, rule.description) {
				return &Refusal{resp.status, redactUnknown(body.Error, "error"),
					redactUnknown(body.Description, "description"), rule.hint, rule.err}
			}
		}
	}
	panic("keycloak: the last rule of clientErrorRules matches every response")
}

// statusDetail returns a detail for operators about an unexpected response to a request without
// credentials: the status and, for some of Keycloak's errors, what to change.
func statusDetail(resp response) string {
	text := fmt.Sprintf("response %d; expected 200", resp.status)
	if err, ok := errors.AsType[*Refusal](refusalError(resp, nil)); ok &&
		err.Hint != hintCheckClient {
		text += ": " + err.Hint
	}
	return text + resp.note
}

// unavailableError returns identity.ErrProviderUnavailable with a detail for operators.
func unavailableError(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrProviderUnavailable,
		Detail: fmt.Sprintf(format, args...)}
}

// redactUnknown returns text if Keycloak is known to send it, and otherwise only its length.
// Keycloak's fixed texts hold no secrets, but Keycloak's other texts and the texts of a proxy may
// repeat the request.
func redactUnknown(text, kind string) string {
	if text == "" || slices.Contains(knownTexts, text) {
		return text
	}
	for _, prefix := range knownPrefixes {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			return fmt.Sprintf("%s[%d bytes]", prefix, len(rest))
		}
	}
	return fmt.Sprintf("[an unknown %s of %d bytes]", kind, len(text))
}

// knownPrefixes are the starts of Keycloak's texts that end with a part of the request or the
// realm's settings.
var knownPrefixes = []string{"Invalid scopes: ", "Invalid token issuer. Expected '",
	"Request path contains invalid character "}

// knownTexts are the errors and descriptions that Keycloak 26.7.4 sends in response to this
// package's requests to the token, logout and introspection endpoints.
var knownTexts = []string{
	"access_denied", "invalidCharacter", "invalid_client", "invalid_grant", "invalid_request",
	"invalid_scope", "invalid_token", "missingNormalization", "not_allowed", "server_error",
	"temporarily_unavailable", "unauthorized_client", "unknown_error", "unsupported_grant_type",
	"HTTP 400 Bad Request", "HTTP 401 Unauthorized", "HTTP 403 Forbidden", "HTTP 404 Not Found",
	"HTTP 405 Method Not Allowed", "HTTP 415 Unsupported Media Type", "Invalid origin",
	"Realm does not exist", "Unable to find matching target resource method",

	"Account disabled",
	"Account is not fully set up",
	"Bearer-only not allowed",
	"Client authentication failed.",
	"Client Certification missing for MTLS HoK Token Binding",
	"Client certificate missing, or its thumbprint and one in the token did NOT match",
	"Client not allowed for direct access grants",
	"Client not allowed.",
	"Client requires user consent",
	"Client session not active",
	"Configured client authentication method not allowed for client",
	"DPoP proof is missing",
	"HTTPS required",
	"Invalid client or Invalid client credentials",
	"Invalid method used to get client secret. Client requires method 'client_secret_basic' to " +
		"obtain client secret from the request",
	"Invalid method used to get client secret. Client requires method 'client_secret_post' to " +
		"obtain client secret from the request",
	"Invalid refresh token",
	"Invalid refresh token. Client attestation must be used with this refresh token",
	"Invalid refresh token. Token client and authorized client don't match",
	"Invalid user credentials",
	"Maximum allowed refresh token reuse exceeded",
	"Missing form parameter: grant_type",
	"Missing parameter: username",
	"No refresh token",
	"Offline session invalid because offline access not granted anymore",
	"Offline session not active",
	"Offline tokens not allowed for the user or client",
	"Offline user session not found",
	"Parameter client_assertion_type is missing",
	"Realm not enabled",
	"Refresh token issued before the user session started",
	"Request path not normalized",
	"Session doesn't have required client",
	"Session not active",
	"Stale token",
	"Token is not active",
	"Unsupported grant_type",
	"User disabled",
	"Wrong client protocol.",
	"duplicated parameter",
	"resource owner password credentials grant is prohibited.",
}

// truncateText shortens untrusted text for a log.
func truncateText(text string) string {
	const maxBytes = 200
	if len(text) > maxBytes {
		return strings.ToValidUTF8(text[:maxBytes], "") + "…"
	}
	return text
}
