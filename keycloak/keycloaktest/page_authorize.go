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

// An authRequest is what a client asks for in a browser: a code (OpenID Connect Core 3.1.2.1), or,
// for a device, a person's word.
type authRequest struct {
	parameters url.Values // as they came: those that matter
	client     *client
	redirect   string // where the answer goes
	mode       string // of the answer: query, fragment, form_post
	scope      []string
	maxAge     *int64
	level      bool    // a level of authentication is asked for, which single sign-on doesn't prove
	device     *device // that asks; nil for a code
}

func (q *authRequest) value(name string) string { return q.parameters.Get(name) }

func (q *authRequest) prompts(word string) bool {
	return slices.Contains(strings.Fields(q.value("prompt")), word)
}

// authorize is the authorization endpoint.
func (r *Realm) authorize(c *call) answer { return r.browse(c, (*pageRequest).authorize) }

func (v *pageRequest) authorize() answer {
	if v.Method == http.MethodGet && !printable(v.URL.Query()) {
		return v.failure(400, "An internal server error has occurred")
	}
	q, refused := v.readRequest(v.parameters())
	if q == nil {
		return refused
	}
	t := v.open(q)
	v.remember(t)
	return v.begin(t)
}

// printable reports whether the values of a query are free of control characters, but for tabs and
// line breaks: Keycloak doesn't read an address with others.
func printable(query url.Values) bool {
	for _, values := range query {
		if strings.ContainsFunc(strings.Join(values, ""), func(r rune) bool {
			return r < ' ' && r != '\t' && r != '\r' && r != '\n'
		}) {
			return false
		}
	}
	return true
}

// requestParameters are what is kept of a request while it is under way.
var requestParameters = []string{
	"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"prompt", "max_age", "login_hint", "acr_values", "claims", "code_challenge",
	"code_challenge_method", "kc_action", "kc_idp_hint", "ui_locales",
}

// only are the parameters of these names.
func only(parameters url.Values, names []string) url.Values {
	kept := url.Values{}
	for _, name := range names {
		if parameters.Has(name) {
			kept.Set(name, parameters.Get(name))
		}
	}
	return kept
}

// maxParameter is the longest value of state and nonce. Longer ones are dropped without a word.
const maxParameter = 4_000

// readRequest checks a request in Keycloak's order (AuthorizationEndpoint, 26.7.4). Until the
// redirect URI is known to be the client's, a refusal is a page; afterwards the client gets it.
func (v *pageRequest) readRequest(parameters url.Values) (*authRequest, answer) {
	by, refused := v.knownClient(parameters)
	if by == nil {
		return nil, refused
	}
	if refused := v.unsupportedParameters(authParameters); refused != nil {
		return nil, refused.plain()
	}
	for name, values := range parameters {
		if !slices.Contains(credentialParameters, name) && name != "max_age" &&
			name != "login_hint" {
			for i := range values {
				values[i] = strings.Map(withoutControls, values[i])
			}
		}
	}
	q := &authRequest{parameters: parameters, client: by, mode: "query"}
	q.maxAge, _ = maxAge(parameters)
	for _, name := range []string{"state", "nonce"} {
		if len(q.value(name)) > maxParameter {
			parameters.Del(name)
		}
	}
	if refused, bad := v.unreadable(parameters); bad {
		return nil, refused
	}
	openID := slices.Contains(strings.Fields(q.value("scope")), "openid")
	var ok bool
	q.redirect, ok = v.realm.redirectURI(by, by.RedirectURIs, q.value("redirect_uri"),
		parameters.Has("redirect_uri"), openID)
	if !ok {
		return nil, v.failure(400, "Invalid parameter: redirect_uri")
	}
	if refused := q.checkType(); refused != nil {
		if refused.status == http.StatusNotImplemented {
			return nil, notImplemented(refused.description)
		}
		return nil, v.refuseRequest(q, refused)
	}
	var bad *refusal
	switch problem := by.checkChallenge(parameters); {
	case repeats(parameters):
		bad = refuse(302, "invalid_request", "duplicated parameter")
	default:
		q.scope, bad = v.realm.scopesFor(by, q.value("scope"), parameters.Has("scope"))
		if bad == nil && problem != "" {
			bad = refuse(302, "invalid_request", problem)
		}
	}
	if bad != nil {
		return nil, v.refuseRequest(q, bad)
	}
	if !q.readLevel(v.realm) {
		return nil, v.failure(400, "Invalid parameter: claims")
	}
	if q.prompts("create") && v.realm.settings.RegistrationAllowed {
		return nil, notImplemented("page to register at")
	}
	if q.prompts("create") {
		return nil, v.failure(400, "Registration not allowed")
	}
	q.parameters = only(parameters, requestParameters)
	return q, answer{}
}

// unreadable answers for parameters that can't be read, and for those that the stand-in doesn't
// know.
func (v *pageRequest) unreadable(parameters url.Values) (answer, bool) {
	_, badAge := maxAge(parameters)
	switch {
	case badAge != nil:
		return v.failure(400, "Invalid Request"), true
	case strings.Count(parameters.Get("request"), ".") > 1:
		return notImplemented("request objects"), true
	case parameters.Has("request"), parameters.Has("request_uri"):
		return v.failure(400, "Invalid Request"), true
	}
	return answer{}, false
}

// maxAge reads max_age, in seconds; nil where there is none.
func maxAge(parameters url.Values) (*int64, error) {
	if !parameters.Has("max_age") {
		return nil, nil
	}
	n, err := strconv.ParseInt(parameters.Get("max_age"), 10, 32)
	return &n, err
}

// knownClient is the client that a request names, if it may send browsers here.
func (v *pageRequest) knownClient(parameters url.Values) (*client, answer) {
	if len(parameters["client_id"]) != 1 {
		return nil, v.failure(400, "Invalid Request")
	}
	if refused, closed := v.shut(); closed {
		return nil, refused
	}
	by := v.realm.clients[parameters.Get("client_id")]
	switch {
	case by == nil:
		return nil, v.failure(400, "Client not found.")
	case !by.enabled:
		return nil, v.failure(400, "Client disabled.")
	case by.BearerOnly:
		return nil, v.failure(403,
			"Bearer-only applications are not allowed to initiate browser login")
	}
	if refused := v.realm.supports(by, realmfile.UseLogin); refused != nil {
		return nil, refused.answer()
	}
	return by, answer{}
}

// shut answers for a realm that is disabled or wants TLS.
func (v *pageRequest) shut() (answer, bool) {
	if refused := v.realm.insecure(v.call); refused != nil {
		return v.failure(400, refused.description), true
	}
	if !v.realm.settings.Enabled {
		return v.failure(400, "Realm not enabled"), true
	}
	return answer{}, false
}

// refuseRequest tells the client what is wrong with its request.
func (v *pageRequest) refuseRequest(q *authRequest, refused *refusal) answer {
	pairs := []string{"error", refused.code}
	if refused.description != "" {
		pairs = append(pairs, "error_description", refused.description)
	}
	return v.respond(q, pairs...)
}

const wrongFlow = "Client is not allowed to initiate browser login with given response_type. "

// checkType reads response_type and response_mode.
func (q *authRequest) checkType() *refusal {
	words := strings.Fields(q.value("response_type"))
	// the answer is tokens: implicit or hybrid
	front := slices.Contains(words, "token") || slices.Contains(words, "id_token")
	mode, given := q.value("response_mode"), q.parameters.Has("response_mode")
	known := !given || slices.Contains([]string{"query", "fragment", "form_post"}, mode)
	switch {
	case given && known:
		q.mode = mode
	case front && !given:
		q.mode = "fragment"
	}
	unknown := slices.ContainsFunc(words, func(word string) bool {
		return !slices.Contains([]string{"code", "token", "id_token", "none"}, word)
	})
	switch {
	case !q.parameters.Has("response_type"):
		return refuse(302, "invalid_request", "Missing parameter: response_type")
	case len(words) == 0 || unknown || len(words) > 1 && slices.Contains(words, "none"):
		return refuse(302, "unsupported_response_type", "")
	case slices.Contains([]string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}, mode):
		return refuse(http.StatusNotImplemented, "not_in_keycloaktest", "response_mode "+mode)
	case !known:
		return refuse(302, "invalid_request", "Invalid parameter: response_mode")
	case front && q.mode == "query":
		return refuse(302, "invalid_request",
			"Response_mode 'query' not allowed for implicit or hybrid flow")
	case (slices.Contains(words, "code") || slices.Contains(words, "none")) &&
		!q.client.standardFlow:
		return refuse(302, "unauthorized_client",
			wrongFlow+"Standard flow is disabled for the client.")
	case front && !q.client.ImplicitFlowEnabled:
		return refuse(302, "unauthorized_client",
			wrongFlow+"Implicit flow is disabled for the client.")
	case front:
		return refuse(http.StatusNotImplemented, "not_in_keycloaktest",
			"response_type "+q.value("response_type"))
	}
	return nil
}

// unreserved is what a challenge and a verifier are made of (RFC 7636 4.1).
var unreserved = regexp.MustCompile(`^[0-9A-Za-z._~-]{43,128}$`)

// checkChallenge says what is wrong with the proof key that a request announces (RFC 7636 4.3).
func (c *client) checkChallenge(parameters url.Values) string {
	challenge, method := parameters.Get("code_challenge"), parameters.Get("code_challenge_method")
	forced := c.Attributes["pkce.code.challenge.method"]
	switch {
	case forced != "" && !parameters.Has("code_challenge_method"):
		return "Missing parameter: code_challenge_method"
	case forced != "" && method != forced:
		return "Invalid parameter: code challenge method is not matching the configured one"
	case !parameters.Has("code_challenge") &&
		(forced != "" || parameters.Has("code_challenge_method")):
		return "Missing parameter: code_challenge"
	case !parameters.Has("code_challenge"):
		return ""
	case parameters.Has("code_challenge_method") && method != "S256" && method != "plain":
		return "Invalid parameter: code_challenge_method"
	case !unreserved.MatchString(challenge):
		return "Invalid parameter: code_challenge"
	}
	return ""
}

// repeats reports whether a parameter was sent twice, other than those that may be.
func repeats(parameters url.Values, repeatable ...string) bool {
	for name, values := range parameters {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return true
		}
	}
	return false
}

// readLevel reads which level of authentication is asked for. The flow here has one level only, so
// that it comes to nothing but a password; but a level that must be reached and that nobody knows
// is refused.
func (q *authRequest) readLevel(r *Realm) bool {
	var asked struct {
		IDToken struct {
			ACR struct {
				Essential bool     `json:"essential"`
				Value     string   `json:"value"`
				Values    []string `json:"values"`
			} `json:"acr"`
		} `json:"id_token"`
	}
	json.Unmarshal([]byte(q.value("claims")), &asked) // what can't be read is ignored
	acr := asked.IDToken.ACR
	levels := acr.Values
	if acr.Value != "" {
		levels = append(levels, acr.Value)
	}
	q.level = len(levels) > 0 || q.parameters.Has("acr_values")
	known := realmfile.Levels(q.client.Attributes)
	if len(known) == 0 {
		known = realmfile.Levels(r.settings.Attributes)
	}
	return !acr.Essential || !slices.ContainsFunc(levels, func(level string) bool {
		_, err := strconv.Atoi(level)
		return known[level] == "" && err != nil
	})
}
