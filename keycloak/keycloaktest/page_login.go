package keycloaktest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// Steps of a sign-in or sign-out. The other steps are required actions, named by their aliases.
const (
	stepStart    = "" // nothing shown yet; single sign-on is possible
	stepPassword = "auth-username-password-form"
	stepOTP      = "auth-otp-form"
	stepConsent  = "OAUTH_GRANT"
	stepLogout   = "LOGOUT"
)

// Paths of the pages.
const (
	authenticatePath   = "/login-actions/authenticate"
	requiredActionPath = "/login-actions/required-action"
	consentPath        = "/login-actions/consent"
)

// path returns the path of the current step's page.
func (t *authSession) path() string {
	switch t.step {
	case stepStart, stepPassword, stepOTP:
		return authenticatePath
	}
	return requiredActionPath
}

// execution returns Keycloak's name for the current step in URLs: an ID, or the alias of a required
// action.
func (t *authSession) execution(r *Realm) string {
	if t.path() == authenticatePath {
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(r.name+"/"+t.step)).String()
	}
	return t.step
}

// address returns the URL of the current step's page.
func (t *authSession) address(r *Realm) string {
	var pairs []string
	if t.step != stepStart {
		pairs = append(pairs, "execution", t.execution(r))
	}
	return withParameters(r.Issuer()+t.path(), false, append(pairs, t.parameters()...))
}

func (t *authSession) parameters() []string {
	return []string{"client_id", t.client.ClientID, "tab_id", t.id, "client_data", t.clientData()}
}

// formAction returns the URL for the current step's form. It has a new session_code, which
// invalidates the forms of earlier pages.
func (t *authSession) formAction(r *Realm) string {
	t.code = opaque(43)
	return withParameters(r.Issuer()+t.path(), false,
		append([]string{"session_code", t.code, "execution", t.execution(r)}, t.parameters()...))
}

// start uses single sign-on if possible, or shows the login page.
func (req *pageRequest) start(t *authSession) response {
	t.step = stepPassword
	if s := req.ssoSession(); s != nil {
		again := t.request.hasPrompt("login") ||
			t.request.maxAge != nil && !s.authTime.IsZero() &&
				s.authTime.Unix()+*t.request.maxAge < req.now.Unix()
		if !again && !t.request.level {
			s.lastUsed = req.now
			t.sso, t.user = s, s.user
			return req.proceed(t)
		}
		t.user = s.user
		if again {
			t.message = "Please re-authenticate to continue"
		}
	}
	if t.request.hasPrompt("none") {
		return req.refuse(t, "login_required")
	}
	if alias := t.request.value("kc_idp_hint"); req.realm.hasProvider(alias) {
		return notImplemented("identity providers, and kc_idp_hint names " + alias)
	}
	return req.passwordPage(t)
}

// hasProvider reports whether the realm has an enabled identity provider with this alias.
func (r *Realm) hasProvider(alias string) bool {
	return slices.ContainsFunc(r.settings.IdentityProviders,
		func(p realmfile.IdentityProvider) bool {
			return p.Alias == alias && valueOr(p.Enabled, true)
		})
}

// locale returns the language for pages: the first supported one among the client's ui_locales, the
// browser's Accept-Language and the realm's default.
func (req *pageRequest) locale(t *authSession) string {
	settings := req.realm.settings
	if !settings.InternationalizationEnabled {
		return "en"
	}
	preferred := strings.Fields(t.request.value("ui_locales"))
	for _, entry := range strings.Split(req.Header.Get("Accept-Language"), ",") {
		language, _, _ := strings.Cut(entry, ";")
		preferred = append(preferred, strings.TrimSpace(language))
	}
	for _, tag := range append(preferred, settings.DefaultLocale) {
		for ; tag != ""; tag = tag[:max(0, strings.LastIndex(tag, "-"))] {
			if slices.Contains(settings.SupportedLocales, tag) {
				return tag
			}
		}
	}
	return "en"
}

// enterAuthSession returns the authSession that a request continues, and whether the request
// submits a form. If there is no such authSession, t is nil and resp is the response.
func (req *pageRequest) enterAuthSession(
	path string) (t *authSession, submitted bool, resp response) {
	if refused, closed := req.checkAvailable(); closed {
		return nil, false, refused
	}
	query := req.URL.Query()
	known := req.cookie(loginCookie) != "" || req.cookie(restartCookie) != ""
	if known && req.realm.clients[query.Get("client_id")] == nil {
		return nil, false, req.failure(400,
			"An error occurred, please login again through your application.")
	}
	t = req.authSessionOf(query)
	if t == nil || t.step == stepLogout {
		return nil, false, req.restart(query)
	}
	if refused, unusable := req.checkUsable(t); unusable {
		return nil, false, refused
	}
	code, execution := query.Get("session_code"), query.Get("execution")
	if t.path() != path || execution != t.execution(req.realm) && (execution != "" || code != "") {
		return nil, false, req.expiredPage(t)
	}
	if code != "" && code != t.code {
		t.message = "Action expired. Please continue with login now."
		return nil, false, req.redirect(t.address(req.realm))
	}
	return t, code != "", response{}
}

// checkUsable returns the error page if the client was disabled or the user deleted meanwhile.
func (req *pageRequest) checkUsable(t *authSession) (response, bool) {
	switch {
	case !t.client.enabled:
		req.closeAuthSession(t)
		return req.failure(400, "Login requester not enabled"), true
	case t.user != nil && req.realm.users[t.user.ID] != t.user:
		return req.failure(500, "An internal server error has occurred"), true
	}
	return response{}, false
}

// restart restarts an expired sign-in from the restart cookie.
func (req *pageRequest) restart(query url.Values) response {
	decoded, err := base64.RawURLEncoding.DecodeString(req.cookie(restartCookie))
	parameters, badQuery := url.ParseQuery(string(decoded))
	if err == nil && badQuery == nil && parameters.Get("client_id") == query.Get("client_id") {
		if q := req.restoredRequest(parameters); q != nil {
			t := req.newAuthSession(q)
			req.setRestartCookie(t)
			t.message = "Your login attempt timed out. Login will start from the beginning."
			return req.redirect(t.address(req.realm))
		}
	}
	if req.ssoSession() != nil { // signed in already, in another tab
		return req.alreadySignedIn(query)
	}
	return req.failure(400,
		"Restart login cookie not found. It may have expired; it may have been deleted or "+
			"cookies are disabled in your browser. If cookies are disabled then enable them. "+
			"Click Back to Application to login again.")
}

// restoredRequest returns the request in the restart cookie, or nil.
func (req *pageRequest) restoredRequest(parameters url.Values) *authRequest {
	if code := parameters.Get("device_user_code"); code != "" {
		d := req.realm.deviceByUserCode(code)
		if d == nil {
			return nil
		}
		return d.request()
	}
	q, _ := req.readRequest(parameters)
	return q
}

// alreadySignedIn responds to the form of a sign-in that is already complete. It redirects to the
// client if possible.
func (req *pageRequest) alreadySignedIn(query url.Values) response {
	caller := req.realm.clients[query.Get("client_id")]
	if caller == nil {
		caller = &client{}
	}
	decoded, err := base64.RawURLEncoding.DecodeString(query.Get("client_data"))
	var data clientData
	if err == nil && json.Unmarshal(decoded, &data) == nil {
		redirect, ok := req.realm.redirectURI(caller, caller.RedirectURIs, data.Redirect, true, true)
		if ok {
			q := &authRequest{client: caller, redirect: redirect, mode: data.ResponseMode,
				parameters: url.Values{}}
			if data.State != "" {
				q.parameters.Set("state", data.State)
			}
			return req.respond(q, "error", "temporarily_unavailable", "error_description",
				"authentication_expired")
		}
	}
	return page{ID: "login-info", Title: "You are already logged in.",
		Text: "You are already logged in."}.response(200, neverCache)
}

// reset returns to the first step.
func (t *authSession) reset() {
	t.step, t.user, t.sso, t.consented = stepStart, nil, nil, false
	t.actionStatus, t.actionShown, t.message = "", false, ""
}

// restartLogin handles the restart link on the page for an expired form.
func (r *Realm) restartLogin(req *request) response {
	return r.servePage(req, func(req *pageRequest) response {
		if refused, closed := req.checkAvailable(); closed {
			return refused
		}
		query := req.URL.Query()
		t := req.authSessionOf(query)
		if t == nil || t.step == stepLogout {
			return req.restart(query)
		}
		t.reset()
		if refused, unusable := req.checkUsable(t); unusable {
			return refused
		}
		return req.redirect(t.address(r))
	})
}

// authenticate serves the login page and handles its form.
func (r *Realm) authenticate(req *request) response {
	return r.servePage(req, (*pageRequest).authenticate)
}

func (req *pageRequest) authenticate() response {
	t, submitted, resp := req.enterAuthSession(authenticatePath)
	switch {
	case t == nil:
		return resp
	case t.step == stepStart:
		return req.start(t)
	case submitted && req.form.Has("cancel"):
		return req.refuse(t, "access_denied")
	case submitted && t.step == stepPassword:
		return req.checkLogin(t)
	case submitted:
		return req.checkOTP(t)
	case t.step == stepOTP:
		return req.otpPage(t)
	}
	return req.passwordPage(t)
}

const wrongLogin = "Invalid username or password."

// checkLogin handles the form of the login page.
func (req *pageRequest) checkLogin(t *authSession) response {
	if req.realm.settings.RememberMe && req.rawParam("rememberMe") == "on" {
		return notImplemented("sessions that are remembered: rememberMe")
	}
	u := t.user
	if u == nil {
		u = req.realm.userByLogin(strings.TrimSpace(req.rawParam("username")))
	}
	if u == nil {
		err := req.realm.checkSupported(t.client, realmfile.UseUnknownUser)
		if err != nil {
			return err.response()
		}
		t.message = wrongLogin
		return req.passwordPage(t)
	}
	if err := req.realm.checkPassword(u, req.rawParam("password"), req.now); err != nil {
		if err.status == 501 {
			return err.response()
		}
		t.message = wrongLogin
		if err.description == "Account disabled" {
			t.message = "Account is disabled, contact your administrator."
		}
		return req.passwordPage(t)
	}
	t.user = u
	if u.otp != nil {
		if err := req.realm.checkSupported(t.client, realmfile.UseOTP); err != nil {
			return err.response()
		}
		t.step = stepOTP
		return req.otpPage(t)
	}
	req.realm.resetFailures(u)
	return req.proceed(t)
}

// checkOTP handles the form of the one-time code page.
func (req *pageRequest) checkOTP(t *authSession) response {
	otp, sent := req.param("otp")
	r, u := req.realm, t.user
	if !sent {
		return req.otpPage(t)
	}
	if r.locked(u, req.now) || u.otp == nil || !u.otp.accepts(otp, req.now, r.settings) {
		if !r.locked(u, req.now) {
			r.recordFailure(u, req.now)
		}
		t.message = "Invalid authenticator code."
		return req.otpPage(t)
	}
	r.resetFailures(u)
	return req.proceed(t)
}

// proceed goes to the next step of an authenticated user, or finishes the sign-in.
func (req *pageRequest) proceed(t *authSession) response {
	if step := req.nextStep(t); step != "" {
		if t.request.hasPrompt("none") {
			return req.refuse(t, "interaction_required")
		}
		t.step = step
		return req.redirect(t.address(req.realm))
	}
	return req.finish(t)
}

// finish creates or joins the session and responds to the client.
func (req *pageRequest) finish(t *authSession) response {
	if t.sso != nil && (req.realm.sessions[t.sso.id] != t.sso || !req.realm.alive(t.sso, req.now)) {
		t.reset() // the session ended meanwhile
		return req.start(t)
	}
	if d := t.request.device; d != nil && d.state != devicePending {
		return req.refuse(t, "expired_token")
	}
	s, isNew := req.sessionFor(t)
	if s == nil {
		return req.failure(400,
			"You are already authenticated as different user '"+
				req.realm.sessions[t.root.id].user.Username+
				"' in this session. Please sign out first.")
	}
	cs := req.realm.join(s, t.request, req.now)
	cs.startedSession = isNew && slices.Contains(t.request.scope, "offline_access")
	cs.level = "1"
	if t.sso != nil {
		cs.level = "0"
	}
	req.closeAuthSession(t)
	req.setIdentityCookies(s)
	if d := t.request.device; d != nil {
		d.state, d.sessionID = deviceApproved, s.id
		return req.redirect(req.realm.Issuer() + "/device/status")
	}
	pairs := []string{"session_state", s.id}
	if t.actionStatus != "" {
		name := t.requestedAction()
		if !t.actionShown { // Keycloak names the current step, which is still the sign-in
			name = (&authSession{step: stepPassword}).execution(req.realm)
		}
		pairs = append(pairs, "kc_action", name, "kc_action_status", t.actionStatus)
	}
	if t.request.value("response_type") != "none" {
		pairs = append(pairs, "code", req.realm.newCode(t.request, s, req.now))
	}
	return req.respond(t.request, pairs...)
}

// sessionFor returns the session for a sign-in and whether it is new. It is the session of single
// sign-on or else the browser's. It is nil if the browser has a session of another user.
func (req *pageRequest) sessionFor(t *authSession) (s *session, isNew bool) {
	if t.sso != nil {
		return t.sso, false
	}
	s = req.realm.sessions[t.root.id]
	switch {
	case s == nil || !req.realm.alive(s, req.now):
		s, isNew = req.realm.addSession(&session{id: t.root.id, user: t.user}, req.now), true
	case s.user != t.user:
		return nil, false
	}
	s.authTime, s.lastUsed = req.now, req.now
	return s, isNew
}

// refuse ends an authSession with an error response to the client.
func (req *pageRequest) refuse(t *authSession, code string) response {
	if d := t.request.device; d != nil {
		// As in Keycloak the authSession remains, but it can't be completed any more.
		if code == "access_denied" && d.state == devicePending {
			d.state = deviceDenied
		}
		return req.redirect(withParameters(req.realm.Issuer()+"/device/status", false,
			[]string{"error", code}))
	}
	req.closeAuthSession(t)
	return req.respond(t.request, "error", code)
}

// failure returns an error page, or the error as JSON if the request accepts JSON.
func (req *pageRequest) failure(status int, message string) response {
	if strings.Contains(req.Header.Get("Accept"), "application/json") {
		return jsonResponse(status, "", errorBody{Error: message})
	}
	return errorPage(status, message)
}

func (req *pageRequest) passwordPage(t *authSession) response {
	if locale := req.locale(t); locale != "en" {
		return notImplemented("pages in the language " + locale)
	}
	p := page{ID: "login-login", Title: "Sign in to your account", Note: t.takeMessage()}
	f := form{ID: "kc-form-login", Action: t.formAction(req.realm)}
	if t.user == nil {
		name := t.request.value("login_hint")
		if typed, sent := req.param("username"); sent && req.Method == http.MethodPost {
			name = typed
		}
		f.Fields = append(f.Fields,
			field{Name: "username", Kind: "text", Label: "Username or email", Value: name})
	} else {
		p.Username = t.user.Username
	}
	f.Fields = append(f.Fields, field{Name: "password", Kind: "password", Label: "Password"},
		field{Name: "credentialId", Kind: "hidden"},
		field{Name: "login", Kind: "submit", Label: "Sign In"})
	p.Form = &f
	return p.response(200, neverCache)
}

func (req *pageRequest) otpPage(t *authSession) response {
	credential := uuid.NewSHA1(uuid.NameSpaceURL, []byte(t.user.ID+"/otp")).String()
	return page{ID: "login-login-otp", Title: "Sign In", Note: t.takeMessage(), Form: &form{
		ID: "kc-otp-login-form", Action: t.formAction(req.realm), Fields: []field{
			{Name: "selectedCredentialId", Kind: "hidden", Value: credential},
			{Name: "otp", Kind: "text", Label: "One-time code"},
			{Name: "login", Kind: "submit", Label: "Sign In"},
		},
	}}.response(200, neverCache)
}

// expiredPage is the response to a form that doesn't belong to the current step.
func (req *pageRequest) expiredPage(t *authSession) response {
	return page{ID: "login-login-page-expired", Title: "Page has expired", Links: []link{
		{"To restart the login process", withParameters(req.realm.Issuer()+"/login-actions/restart", false, t.parameters())},
		{"To continue the login process", t.address(req.realm)},
	}}.response(200, neverCache)
}

// takeMessage returns the message for the next page and clears it.
func (t *authSession) takeMessage() string {
	message := t.message
	t.message = ""
	return message
}
