package keycloak

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloakql/cloakql/identity"
)

// A Refusal is an error answer of Keycloak's, RFC 6749 section 5.2. It unwraps to what it means, which is its text
// too. The fields are for operators: identity.Detail returns them in a sentence.
type Refusal struct {
	Status      int
	Code        string // the member error
	Description string // the member error_description; its texts change between releases
	Hint        string // which setting or switch to change, where the fault is ours
	meaning     error
}

// Error returns the text of what the refusal means, without anything that Keycloak said.
func (r *Refusal) Error() string {
	if r.meaning == nil {
		return "Keycloak refused"
	}
	return r.meaning.Error()
}

// LogValue returns the text with the detail: a log is for operators.
func (r *Refusal) LogValue() slog.Value {
	return slog.StringValue(r.Error() + ": " + r.OperatorDetail())
}

// OperatorDetail returns what Keycloak answered, and what to change where the fault is ours.
func (r *Refusal) OperatorDetail() string {
	text := fmt.Sprintf("Keycloak answered %d %q %q", r.Status, r.Code, r.Description)
	if r.Hint != "" {
		text += ": " + r.Hint
	}
	return text
}

// Unwrap returns one of identity's errors.
func (r *Refusal) Unwrap() error { return r.meaning }

// A meaning is one row of what Keycloak's refusals mean. Rows are tried in order. A zero status, an
// empty code and an empty text fit every answer; a text is compared as the beginning of the description.
type meaning struct {
	status     int
	code, text string
	err        error
	hint       string
}

// A wrong password, an unknown user, an empty name, a lock and a bad one-time code are one text, "Invalid
// user credentials". The two below come only after the password proved right. Releases before 26.6
// answer invalid_grant with 401.
var loginRefusals = []meaning{
	{0, "invalid_grant", "Account disabled", identity.ErrAccountDisabled, ""},
	{0, "invalid_grant", "Account is not fully set up", identity.ErrAccountNotReady, ""},
	{400, "invalid_grant", "", identity.ErrBadCredentials, ""},
	{401, "invalid_grant", "", identity.ErrBadCredentials, ""},
	{400, "unauthorized_client", "", identity.ErrLoginNotAllowed, "switch Direct access grants on in the client's Capability config"},
}

// Of refresh tokens, at the token and at the logout endpoint.
var refreshRefusals = []meaning{
	{0, "invalid_grant", "Token is not active", identity.ErrRefreshExpired, ""},
	{0, "invalid_grant", "Maximum allowed refresh token reuse exceeded", identity.ErrRefreshReused, ""},
	{0, "invalid_grant", "Session not active", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Client session not active", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Session doesn't have required client", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Offline user session not found", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "User disabled", identity.ErrSessionEnded, ""},
	{0, "invalid_grant", "Stale token", identity.ErrSessionEnded, ""},
	{400, "invalid_request", "No refresh token", identity.ErrRefreshInvalid, ""}, // it was longer than 4,000 characters
	{400, "invalid_grant", "", identity.ErrRefreshInvalid, ""},
	{401, "invalid_grant", "", identity.ErrRefreshInvalid, ""},
}

// What is wrong with us, whatever we asked for. The last row takes the rest.
var ourFaults = []meaning{
	{401, "unauthorized_client", "", identity.ErrRealmRefusesUs, "the client secret is wrong: set KEYCLOAK_CLIENT_SECRET_KEY to the one on the client's Credentials tab"},
	{401, "invalid_client", "", identity.ErrRealmRefusesUs, "the realm has no enabled client of this id: check KEYCLOAK_CLIENT_ID, and that the client is enabled"},
	{400, "invalid_client", "Bearer-only", identity.ErrRealmRefusesUs, "the client is bearer-only: KEYCLOAK_CLIENT_ID must name a confidential client"},
	{400, "invalid_client", "Client requires user consent", identity.ErrRealmRefusesUs, "switch Consent required off in the client's Login settings"},
	{0, "invalid_scope", "", identity.ErrRealmRefusesUs, "LOGIN_SCOPE names a scope that the client doesn't have: check the client's Client scopes tab"},
	{0, "not_allowed", "", identity.ErrRealmRefusesUs, "LOGIN_SCOPE asks for offline_access, which the user or the client may not have"},
	{403, "invalid_request", "HTTPS required", identity.ErrRealmRefusesUs, "set KEYCLOAK_SERVER_URL to an https URL, or change Require SSL in the realm's settings"},
	{403, "access_denied", "Realm not enabled", identity.ErrRealmRefusesUs, "enable the realm in its settings"},
	{400, "missingNormalization", "", identity.ErrRealmRefusesUs, "KEYCLOAK_SERVER_URL holds // or .. in its path"},
	{400, "invalidCharacter", "", identity.ErrRealmRefusesUs, "KEYCLOAK_SERVER_URL holds a character in its path that Keycloak refuses"},
	{404, "Realm does not exist", "", identity.ErrRealmRefusesUs, "check KEYCLOAK_REALM_NAME, whose case matters"},
	{404, "", "", identity.ErrRealmRefusesUs, "there is no Keycloak at this path: check the path prefix in KEYCLOAK_SERVER_URL"},
	{0, "", "", identity.ErrRealmRefusesUs, "check the client's settings in Keycloak's admin console"},
}

// refusal says what an error answer means. An answer that isn't Keycloak's (5xx, a proxy's 408 or 429, or
// no JSON object with an error) is ErrRealmUnavailable.
func refusal(got answer, refusals []meaning) error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	notKeycloak := got.status < 400 || got.status >= 500 || got.status == http.StatusRequestTimeout || got.status == http.StatusTooManyRequests
	if notKeycloak || json.Unmarshal(got.body, &body) != nil || body.Error == "" {
		return unavailable("answer %d is not one of Keycloak's", got.status)
	}
	for _, rows := range [][]meaning{refusals, ourFaults} {
		for _, row := range rows {
			if (row.status == 0 || row.status == got.status) && (row.code == "" || row.code == body.Error) &&
				strings.HasPrefix(body.Description, row.text) {
				return &Refusal{got.status, cut(withhold(body.Error, got.form)), cut(withhold(body.Description, got.form)), row.hint, row.err}
			}
		}
	}
	panic("keycloak: the last row of ourFaults fits every answer")
}

// unavailable is identity.ErrRealmUnavailable with a detail for operators.
func unavailable(format string, args ...any) error {
	return &identity.RealmError{Reason: identity.ErrRealmUnavailable, Detail: fmt.Sprintf(format, args...)}
}

// withhold replaces a text that repeats a secret out of the form. Keycloak's don't; what stands between it
// and us might quote a request that it dislikes.
func withhold(text string, form url.Values) string {
	for _, name := range []string{"password", "otp", "refresh_token", "client_secret"} {
		if secret := form.Get(name); secret != "" && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
			return "[withheld: it repeats the " + name + "]"
		}
	}
	return text
}

// cut bounds a stranger's text for a log.
func cut(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
