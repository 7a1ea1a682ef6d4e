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

// A device waits for a person's word (RFC 8628).
type device struct {
	code     string
	userCode string // eight letters, without the dash
	asked    url.Values
	client   *client
	scope    []string
	expires  time.Time
	interval time.Duration
	pollable time.Time // an earlier poll is too fast
	state    deviceState
	session  string // that the device gets into, once somebody agreed
}

type deviceState int

const (
	devicePending deviceState = iota
	deviceAgreed
	deviceDenied
)

// maxDevices is how many a realm keeps.
const maxDevices = 1_000

// forgotten reports whether nothing is known of a device any more; for a while after its end, it is
// said to have expired.
func (d *device) forgotten(now time.Time) bool {
	return !now.Before(d.expires.Add(d.interval + 10*time.Second))
}

// request is what the device asks a person for.
func (d *device) request() *authRequest {
	asked := maps.Clone(d.asked)
	asked.Set("client_id", d.client.ClientID)
	asked.Set("device_user_code", d.userCode)
	return &authRequest{parameters: asked, client: d.client, scope: d.scope, device: d}
}

// deviceByUserCode finds the device that shows a code, as a person types it.
func (r *Realm) deviceByUserCode(typed string) *device {
	typed = strings.ToUpper(strings.ReplaceAll(typed, "-", ""))
	for _, d := range r.devices {
		if d.userCode == typed {
			return d
		}
	}
	return nil
}

// deviceAuthorization is the device authorization endpoint, and devicePage the address that devices
// show. In Keycloak they are one: a browser gets the page for the code at either, and anybody else
// starts the grant.
func (r *Realm) deviceAuthorization(c *call) answer { return r.devicePage(c) }

func (r *Realm) devicePage(c *call) answer {
	if c.Method == http.MethodPost && !prefersPage(c.Header.Get("Accept")) {
		r.mu.Lock()
		defer r.mu.Unlock()
		v := &pageRequest{call: c}
		return v.startDevice()
	}
	return r.browse(c, (*pageRequest).userCode)
}

// prefersPage reports whether an Accept header prefers a page to JSON, which nothing and */* don't.
func prefersPage(accept string) bool {
	best := func(kinds ...string) float64 {
		highest := 0.0
		for _, entry := range strings.Split(accept, ",") {
			kind, parameters, _ := strings.Cut(strings.TrimSpace(entry), ";")
			quality := 1.0
			if _, q, found := strings.Cut(parameters, "q="); found {
				quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
			}
			if slices.Contains(kinds, strings.TrimSpace(kind)) {
				highest = max(highest, quality)
			}
		}
		return highest
	}
	json := best("application/json", "application/*", "*/*")
	return accept != "" && (json == 0 || json < best("text/html", "text/*", "*/*"))
}

// startDevice gives a device its codes (RFC 8628 3.2). A scope that can't be had is left out.
func (v *pageRequest) startDevice() answer {
	r := v.realm
	if refused, closed := v.shut(); closed {
		return refused
	}
	by, refused := v.authenticated()
	if refused != nil {
		return refused.plain()
	}
	if refused := v.allowed(by); refused != nil {
		return refused.plain()
	}
	if refused := r.supports(by, realmfile.UseDevice|realmfile.UseLogin); refused != nil {
		return refused.plain()
	}
	if !by.attribute("oauth2.device.authorization.grant.enabled") {
		v.echo = false
		return refuse(400, "unauthorized_client",
			"Client is not allowed to initiate OAuth 2.0 Device Authorization Grant. The flow is "+
				"disabled for the client.").plain()
	}
	if repeats(v.form) {
		return invalidGrant("duplicated parameter").plain()
	}
	if refused, bad := v.unreadable(v.form); bad {
		return refused
	}
	if problem := by.checkChallenge(v.form); problem != "" {
		return refuse(400, "invalid_request", problem).plain().with("Cache-Control", noBack)
	}
	settings := r.settings
	lifespan := realmfile.IntAttribute(by.Attributes, "oauth2.device.code.lifespan",
		or(settings.OAuth2DeviceCodeLifespan, 600))
	interval := realmfile.IntAttribute(by.Attributes, "oauth2.device.polling.interval",
		or(settings.OAuth2DevicePollingInterval, 5))
	d := &device{
		code: opaque(43), userCode: r.freeUserCode(), client: by,
		scope:   r.scopeAtMost(by, v.value("scope")),
		asked:   only(v.form, []string{"nonce", "code_challenge", "code_challenge_method"}),
		expires: v.now.Add(seconds(lifespan)), interval: seconds(interval),
	}
	forgetOld(r.devices, maxDevices, func(d *device) time.Time {
		return d.expires
	}, func(d *device) bool { return d.forgotten(v.now) })
	r.devices[d.code] = d
	shown := d.userCode[:4] + "-" + d.userCode[4:]
	return document(200, noBack, map[string]any{
		"device_code": d.code, "user_code": shown, "verification_uri": r.Issuer() + "/device",
		"verification_uri_complete": r.Issuer() + "/device?user_code=" + shown,
		"expires_in":                lifespan, "interval": interval,
	})
}

// freeUserCode is a user code that no device shows.
func (r *Realm) freeUserCode() string {
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

// scopeAtMost is scopesFor without the names that the client can't ask for.
func (r *Realm) scopeAtMost(c *client, parameter string) []string {
	words := slices.DeleteFunc(strings.Fields(parameter), func(word string) bool {
		_, refused := r.scopesFor(c, word, true)
		return refused != nil
	})
	scope, _ := r.scopesFor(c, strings.Join(words, " "), len(words) > 0)
	return scope
}

// userCode is the page for the code that a device shows, and what is typed there.
func (v *pageRequest) userCode() answer {
	if refused, closed := v.shut(); closed {
		return refused
	}
	typed := v.URL.Query().Get("user_code")
	if v.Method == http.MethodPost {
		typed = v.value("device_user_code")
	}
	if typed == "" {
		return v.userCodePage("")
	}
	d := v.realm.deviceByUserCode(typed)
	switch {
	case d == nil || d.state != devicePending || d.forgotten(v.now):
		return v.userCodePage("Invalid code, please try again.")
	case !v.now.Before(d.expires):
		return v.userCodePage(
			"The code has expired. Please go back to your device and try connecting again.")
	}
	t := v.open(d.request())
	v.remember(t)
	return v.redirect(t.address(v.realm))
}

func (v *pageRequest) userCodePage(problem string) answer {
	p := page{ID: "login-login-oauth2-device-verify-user-code", Title: "Device Login", Form: &form{
		ID: "kc-user-verify-device-user-code-form", Action: v.realm.basePath() + "/device",
		Submit: "Submit",
		Fields: []field{{Name: "device_user_code", Kind: "text",
			Label: "Enter the code provided by your device"}},
	}}
	if problem != "" {
		p.Errors = []string{problem}
	}
	return p.answer(200, noBack)
}

// deviceStatus tells the person how it went.
func (r *Realm) deviceStatus(c *call) answer {
	if c.Method == http.MethodPost {
		return failure(c.Request, 404, "HTTP 404 Not Found")
	}
	const closing = "You may close this browser window and go back to your device"
	p := page{ID: "login-info", Title: "Device Login Failed"}
	switch c.URL.Query().Get("error") {
	case "":
		p.Title, p.Text = "Device Login Successful", closing+"."
	case "access_denied":
		p.Text = "Consent denied for connecting the device."
	case "expired_token":
		p.Text = "The code has expired. Please go back to your device and try connecting again."
	default:
		p.Text = closing + " and try connecting again."
	}
	return p.answer(200, "")
}

// deviceGrant is what a device polls (RFC 8628 3.4). A wrong verifier leaves the code usable.
func (c *call) deviceGrant(by *client) (*issue, *refusal) {
	r := c.realm
	if !by.attribute("oauth2.device.authorization.grant.enabled") {
		return nil, invalidGrant("Client not allowed OAuth 2.0 Device Authorization Grant")
	}
	code, sent := c.param("device_code")
	if !sent {
		return nil, refuse(400, "invalid_request", "Missing parameter: device_code")
	}
	d := r.devices[code]
	switch {
	case d == nil || d.forgotten(c.now):
		return nil, invalidGrant("Device code not valid")
	case d.client != by:
		return nil, invalidGrant("unauthorized client")
	case !c.now.Before(d.expires):
		return nil, refuse(400, "expired_token", "Device code is expired")
	case c.now.Before(d.pollable):
		return nil, refuse(400, "slow_down", "Slow down")
	}
	d.pollable = c.now.Add(d.interval)
	switch d.state {
	case devicePending:
		return nil, refuse(400, "authorization_pending",
			"The authorization request is still pending")
	case deviceDenied:
		return nil, refuse(400, "access_denied", "The end user denied the authorization request")
	}
	q := d.request()
	verifier, given := c.param("code_verifier")
	if refused := q.checkVerifier(verifier, given); refused != nil {
		return nil, refused
	}
	s := r.sessions[d.session]
	if s == nil || !r.alive(s, c.now) || r.users[s.user.ID] == nil ||
		s.clients[by.ClientID] == nil {
		return nil, refuse(400, "authorization_pending",
			"The authorization request is verified but can not lookup the user session yet")
	}
	delete(r.devices, d.code)
	if !s.user.Enabled {
		return nil, invalidGrant("User disabled")
	}
	g := &grant{
		realm: r, client: by, user: s.user, session: s, part: s.clients[by.ClientID],
		scope: d.scope, kind: "dg", nonce: q.value("nonce"), now: c.now,
	}
	return g.issueOnline()
}
