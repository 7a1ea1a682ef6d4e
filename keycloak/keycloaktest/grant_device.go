package keycloaktest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A device is a device authorization in progress (RFC 8628).
type device struct {
	code       string
	userCode   string // eight letters, without the dash
	parameters url.Values
	client     *client
	scope      []string
	expiresAt  time.Time
	interval   time.Duration
	nextPoll   time.Time // earlier polls get slow_down
	state      deviceState
	sessionID  string // the session of the user who approved the device
}

type deviceState int

const (
	devicePending deviceState = iota
	deviceApproved
	deviceDenied
)

// maxDevices is the maximum number of device authorizations of a realm.
const maxDevices = 1_000

// isForgotten reports whether the realm has forgotten a device. For a while after a device code
// expires, the realm remembers the device and returns expired_token.
func (d *device) isForgotten(now time.Time) bool {
	return !now.Before(d.expiresAt.Add(d.interval + 10*time.Second))
}

// newAuthRequest returns the authorization request that the user approves for the device.
func (d *device) newAuthRequest() *authRequest {
	parameters := maps.Clone(d.parameters)
	parameters.Set("client_id", d.client.ClientID)
	parameters.Set("device_user_code", d.userCode)
	return &authRequest{parameters: parameters, client: d.client, scope: d.scope, device: d}
}

// deviceByUserCode returns the device with this user code, or nil. It ignores case and dashes.
func (r *Realm) deviceByUserCode(userCode string) *device {
	userCode = strings.ToUpper(strings.ReplaceAll(userCode, "-", ""))
	for _, d := range r.devices {
		if d.userCode == userCode {
			return d
		}
	}
	return nil
}

// deviceAuthorization serves the device authorization endpoint. As in Keycloak, it does the same as
// devicePage.
func (r *Realm) deviceAuthorization(req *request) response { return r.devicePage(req) }

// devicePage serves the URL that devices show to users. Browsers get the page for the user code;
// any other client starts a device grant.
func (r *Realm) devicePage(req *request) response {
	if req.Method == http.MethodPost && !prefersHTML(req.Header.Get("Accept")) {
		r.mu.Lock()
		defer r.mu.Unlock()
		pageReq := &pageRequest{request: req}
		return pageReq.startDeviceGrant()
	}
	return r.servePage(req, (*pageRequest).enterUserCode)
}

// prefersHTML reports whether an Accept header prefers HTML to JSON. An empty header and "*/*" have
// no preference.
func prefersHTML(acceptHeader string) bool {
	bestQuality := func(mediaTypes ...string) float64 {
		highestQuality := 0.0
		for _, entry := range strings.Split(acceptHeader, ",") {
			mediaType, parameters, _ := strings.Cut(strings.TrimSpace(entry), ";")
			quality := 1.0
			if _, q, hasQuality := strings.Cut(parameters, "q="); hasQuality {
				quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
			}
			if slices.Contains(mediaTypes, strings.TrimSpace(mediaType)) {
				highestQuality = max(highestQuality, quality)
			}
		}
		return highestQuality
	}
	jsonQuality := bestQuality("application/json", "application/*", "*/*")
	htmlQuality := bestQuality("text/html", "text/*", "*/*")
	return acceptHeader != "" && (jsonQuality == 0 || jsonQuality < htmlQuality)
}

// startDeviceGrant issues the codes of a device (RFC 8628 3.2). It ignores scopes that the client
// may not request.
func (req *pageRequest) startDeviceGrant() response {
	r := req.realm
	if resp, unavailable := req.checkAvailable(); unavailable {
		return resp
	}
	caller, err := req.authenticateClient()
	if err != nil {
		return err.plainResponse()
	}
	if err := req.checkOrigin(caller); err != nil {
		return err.plainResponse()
	}
	if err := r.checkSupported(caller, realmfile.UseDevice|realmfile.UseLogin); err != nil {
		return err.plainResponse()
	}
	if !caller.attributeIsTrue("oauth2.device.authorization.grant.enabled") {
		req.corsAllowed = false
		return newOAuthError(400, "unauthorized_client",
			"Client is not allowed to initiate OAuth 2.0 Device Authorization Grant. The flow is "+
				"disabled for the client.").plainResponse()
	}
	if hasRepeatedParameter(req.form) {
		return invalidGrant("duplicated parameter").plainResponse()
	}
	if resp, invalid := req.checkParameters(req.form); invalid {
		return resp
	}
	if problem := caller.pkceProblem(req.form); problem != "" {
		return newOAuthError(400, "invalid_request", problem).plainResponse().
			withHeader("Cache-Control", neverCache)
	}
	settings := r.settings
	lifespan := realmfile.IntAttribute(caller.Attributes, "oauth2.device.code.lifespan",
		valueOr(settings.OAuth2DeviceCodeLifespan, 600))
	interval := realmfile.IntAttribute(caller.Attributes, "oauth2.device.polling.interval",
		valueOr(settings.OAuth2DevicePollingInterval, 5))
	d := &device{
		code: randomString(43), userCode: r.newUserCode(), client: caller,
		scope: r.allowedScopes(caller, req.rawParam("scope")),
		parameters: selectParameters(req.form,
			[]string{"nonce", "code_challenge", "code_challenge_method"}),
		expiresAt: req.now.Add(seconds(lifespan)), interval: seconds(interval),
	}
	evict(r.devices, maxDevices, func(d *device) time.Time {
		return d.expiresAt
	}, func(d *device) bool { return d.isForgotten(req.now) })
	r.devices[d.code] = d
	displayCode := d.userCode[:4] + "-" + d.userCode[4:]
	return jsonResponse(200, neverCache, map[string]any{
		"device_code": d.code, "user_code": displayCode, "verification_uri": r.Issuer() + "/device",
		"verification_uri_complete": r.Issuer() + "/device?user_code=" + displayCode,
		"expires_in":                lifespan, "interval": interval,
	})
}

// newUserCode returns a user code that no other device has.
func (r *Realm) newUserCode() string {
	for {
		letters := make([]byte, 8)
		rand.Read(letters) // never fails (crypto/rand)
		for i := range letters {
			letters[i] = 'A' + letters[i]%26
		}
		if code := string(letters); r.deviceByUserCode(code) == nil {
			return code
		}
	}
}

// allowedScopes is like resolveScopes, but drops the scopes that the client may not request.
func (r *Realm) allowedScopes(c *client, parameter string) []string {
	names := slices.DeleteFunc(strings.Fields(parameter), func(name string) bool {
		_, err := r.resolveScopes(c, name, true)
		return err != nil
	})
	scope, _ := r.resolveScopes(c, strings.Join(names, " "), len(names) > 0)
	return scope
}

// enterUserCode serves the page on which users type the code that a device shows, and handles its
// form.
func (req *pageRequest) enterUserCode() response {
	if resp, unavailable := req.checkAvailable(); unavailable {
		return resp
	}
	userCode := req.URL.Query().Get("user_code")
	if req.Method == http.MethodPost {
		userCode = req.rawParam("device_user_code")
	}
	if userCode == "" {
		return req.userCodePage("")
	}
	d := req.realm.deviceByUserCode(userCode)
	switch {
	case d == nil || d.state != devicePending || d.isForgotten(req.now):
		return req.userCodePage("Invalid code, please try again.")
	case !req.now.Before(d.expiresAt):
		return req.userCodePage(
			"The code has expired. Please go back to your device and try connecting again.")
	}
	as := req.newAuthSession(d.newAuthRequest())
	req.setRestartCookie(as)
	return req.redirect(as.address(req.realm))
}

func (req *pageRequest) userCodePage(problem string) response {
	p := page{ID: "login-login-oauth2-device-verify-user-code", Title: "Device Login", Form: &form{
		ID: "kc-user-verify-device-user-code-form", Action: req.realm.basePath() + "/device",
		Submit: "Submit",
		Fields: []field{{Name: "device_user_code", Kind: "text",
			Label: "Enter the code provided by your device"}},
	}}
	if problem != "" {
		p.Errors = []string{problem}
	}
	return p.response(200, neverCache)
}

// deviceStatus serves the page that tells the user whether the device was approved.
func (r *Realm) deviceStatus(req *request) response {
	if req.Method == http.MethodPost {
		return frameworkErrorResponse(req.Request, 404, "HTTP 404 Not Found")
	}
	const closeWindowText = "You may close this browser window and go back to your device"
	p := page{ID: "login-info", Title: "Device Login Failed"}
	switch req.URL.Query().Get("error") {
	case "":
		p.Title, p.Text = "Device Login Successful", closeWindowText+"."
	case "access_denied":
		p.Text = "Consent denied for connecting the device."
	case "expired_token":
		p.Text = "The code has expired. Please go back to your device and try connecting again."
	default:
		p.Text = closeWindowText + " and try connecting again."
	}
	return p.response(200, "")
}

// deviceGrant handles a device's token request, which the device repeats until the user approves or
// denies it (RFC 8628 3.4). A wrong code verifier doesn't use up the device code.
func (req *request) deviceGrant(caller *client) (*unsignedResponse, *oauthError) {
	r := req.realm
	if !caller.attributeIsTrue("oauth2.device.authorization.grant.enabled") {
		return nil, invalidGrant("Client not allowed OAuth 2.0 Device Authorization Grant")
	}
	code, hasCode := req.param("device_code")
	if !hasCode {
		return nil, newOAuthError(400, "invalid_request", "Missing parameter: device_code")
	}
	d := r.devices[code]
	switch {
	case d == nil || d.isForgotten(req.now):
		return nil, invalidGrant("Device code not valid")
	case d.client != caller:
		return nil, invalidGrant("unauthorized client")
	case !req.now.Before(d.expiresAt):
		return nil, newOAuthError(400, "expired_token", "Device code is expired")
	case req.now.Before(d.nextPoll):
		return nil, newOAuthError(400, "slow_down", "Slow down")
	}
	d.nextPoll = req.now.Add(d.interval)
	switch d.state {
	case devicePending:
		return nil, newOAuthError(400, "authorization_pending",
			"The authorization request is still pending")
	case deviceDenied:
		return nil, newOAuthError(400, "access_denied",
			"The end user denied the authorization request")
	}
	authReq := d.newAuthRequest()
	verifier, hasVerifier := req.param("code_verifier")
	if err := authReq.checkVerifier(verifier, hasVerifier); err != nil {
		return nil, err
	}
	s := r.sessions[d.sessionID]
	if s == nil || !r.sessionActive(s, req.now) || r.users[s.user.ID] == nil ||
		s.clients[caller.ClientID] == nil {
		return nil, newOAuthError(400, "authorization_pending",
			"The authorization request is verified but can not lookup the user session yet")
	}
	delete(r.devices, d.code)
	if !s.user.Enabled {
		return nil, invalidGrant("User disabled")
	}
	g := &grant{
		realm: r, client: caller, user: s.user,
		session: s, clientSession: s.clients[caller.ClientID],
		scope: d.scope, nonce: authReq.parameter("nonce"), grantTypeShortcut: "dg", now: req.now,
	}
	return g.issueForBrowserSession()
}
