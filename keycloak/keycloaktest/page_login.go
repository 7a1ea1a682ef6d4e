package keycloaktest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// Steps of a sign-in or sign-out. The other steps are required actions, named by their aliases.
const (
	stepStart        = "" // no page shown yet; single sign-on is possible
	stepPassword     = realmfile.UsernamePasswordForm
	stepPasswordOnly = realmfile.PasswordForm
	stepOTP          = realmfile.OTPForm
	stepConsent      = "OAUTH_GRANT"
	stepLogout       = "LOGOUT"
)

// Paths of the pages below the realm.
const (
	authenticatePath   = "/login-actions/authenticate"
	requiredActionPath = "/login-actions/required-action"
	consentPath        = "/login-actions/consent"
)

// path returns the path of the current step's page.
func (as *authSession) path() string {
	switch as.step {
	case stepStart, stepPassword, stepPasswordOnly, stepOTP:
		return authenticatePath
	}
	return requiredActionPath
}

// execution returns the current step's name in URLs: an ID, or the alias of a required action.
func (as *authSession) execution(r *Realm) string {
	if as.path() == authenticatePath {
		name := fmt.Sprint(r.name, "/", as.step, "/", as.levelIndex)
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String()
	}
	return as.step
}

// address returns the URL of the current step's page.
func (as *authSession) address(r *Realm) string {
	var pairs []string
	if as.step != stepStart {
		pairs = append(pairs, "execution", as.execution(r))
	}
	return withParameters(r.Issuer()+as.path(), false, append(pairs, as.parameters()...))
}

// parameters returns the query parameters that identify the authSession, as alternating names and
// values.
func (as *authSession) parameters() []string {
	return []string{"client_id", as.client.ClientID, "tab_id", as.id,
		"client_data", as.clientData()}
}

// formAction returns the URL for the current step's form. It has a new session_code, which
// invalidates the forms of earlier pages.
func (as *authSession) formAction(r *Realm) string {
	as.sessionCode = randomString(43)
	return withParameters(r.Issuer()+as.path(), false,
		append([]string{"session_code", as.sessionCode, "execution", as.execution(r)},
			as.parameters()...))
}

// startLogin signs the user in by single sign-on if possible, or else shows the first form.
func (req *pageRequest) startLogin(as *authSession) response {
	as.levelProgress = levelProgress{level: noLevel}
	if s := req.ssoSession(); s != nil {
		as.user, as.levelTimes = s.user, maps.Clone(s.levelTimes)
		previousLevel := req.realm.previousLevel(s, req.now)
		switch {
		case as.authReq.hasPrompt("login") ||
			as.authReq.maxAgeSeconds != nil && !s.authTime.IsZero() &&
				s.authTime.Unix()+*as.authReq.maxAgeSeconds < req.now.Unix():
			as.mustReauthenticate = true
			as.message = "Please re-authenticate to continue"
		case req.requestedLevel(as) > previousLevel:
			as.level = previousLevel
			if as.requestedAction() != "" {
				as.message = "Strong authentication required to continue"
			}
		default:
			as.level = previousLevel
			s.lastUsed = req.now
			as.ssoSession = s
			return req.proceed(as)
		}
	}
	return req.nextForm(as)
}

// hasIdentityProvider reports whether the realm has an enabled identity provider with this alias.
func (r *Realm) hasIdentityProvider(alias string) bool {
	return slices.ContainsFunc(r.settings.IdentityProviders,
		func(p realmfile.IdentityProvider) bool {
			return p.Alias == alias && valueOr(p.Enabled, true)
		})
}

// locale returns the language for pages: the first supported language among the client's
// ui_locales, the browser's Accept-Language and the realm's default.
func (req *pageRequest) locale(as *authSession) string {
	settings := req.realm.settings
	if !settings.InternationalizationEnabled {
		return "en"
	}
	preferredLanguages := strings.Fields(as.authReq.parameter("ui_locales"))
	for _, entry := range strings.Split(req.Header.Get("Accept-Language"), ",") {
		language, _, _ := strings.Cut(entry, ";")
		preferredLanguages = append(preferredLanguages, strings.TrimSpace(language))
	}
	for _, tag := range append(preferredLanguages, settings.DefaultLocale) {
		for ; tag != ""; tag = tag[:max(0, strings.LastIndex(tag, "-"))] {
			if slices.Contains(settings.SupportedLocales, tag) {
				return tag
			}
		}
	}
	return "en"
}

// enterAuthSession returns the authSession that a request continues, and whether the request
// submits a form. If the request can't continue an authSession, enterAuthSession returns nil and
// the response to send.
func (req *pageRequest) enterAuthSession(
	path string) (as *authSession, submitted bool, resp response) {
	if resp, unavailable := req.checkAvailable(); unavailable {
		return nil, false, resp
	}
	query := req.URL.Query()
	hasCookie := req.cookie(authSessionCookie) != "" || req.cookie(restartCookie) != ""
	if hasCookie && req.realm.clients[query.Get("client_id")] == nil {
		return nil, false, req.errorResponse(400,
			"An error occurred, please login again through your application.")
	}
	as = req.findAuthSession(query)
	if as == nil || as.step == stepLogout {
		return nil, false, req.restartLogin(query)
	}
	if resp, unusable := req.checkUsable(as); unusable {
		return nil, false, resp
	}
	code, execution := query.Get("session_code"), query.Get("execution")
	if as.path() != path ||
		execution != as.execution(req.realm) && (execution != "" || code != "") {
		return nil, false, req.expiredPage(as)
	}
	if code != "" && code != as.sessionCode {
		as.message = "Action expired. Please continue with login now."
		return nil, false, req.redirect(as.address(req.realm))
	}
	return as, code != "", response{}
}

// checkUsable returns an error page, and true, if the client was disabled or the user was deleted
// after the sign-in started.
func (req *pageRequest) checkUsable(as *authSession) (response, bool) {
	switch {
	case !as.client.enabled:
		req.closeAuthSession(as)
		return req.errorResponse(400, "Login requester not enabled"), true
	case as.user != nil && req.realm.users[as.user.ID] != as.user:
		return req.errorResponse(500, "An internal server error has occurred"), true
	}
	return response{}, false
}

// restartLogin restarts an expired sign-in with the authorization request in the restart cookie.
func (req *pageRequest) restartLogin(query url.Values) response {
	decodedCookie, err := base64.RawURLEncoding.DecodeString(req.cookie(restartCookie))
	parameters, queryErr := url.ParseQuery(string(decodedCookie))
	if err == nil && queryErr == nil && parameters.Get("client_id") == query.Get("client_id") {
		if authReq := req.restoreAuthRequest(parameters); authReq != nil {
			as := req.newAuthSession(authReq)
			req.setRestartCookie(as)
			as.message = "Your login attempt timed out. Login will start from the beginning."
			return req.redirect(as.address(req.realm))
		}
	}
	if req.ssoSession() != nil { // signed in with another tab
		return req.alreadySignedInResponse(query)
	}
	return req.errorResponse(400,
		"Restart login cookie not found. It may have expired; it may have been deleted or "+
			"cookies are disabled in your browser. If cookies are disabled then enable them. "+
			"Click Back to Application to login again.")
}

// restoreAuthRequest returns the request in the restart cookie, or nil.
func (req *pageRequest) restoreAuthRequest(parameters url.Values) *authRequest {
	if code := parameters.Get("device_user_code"); code != "" {
		d := req.realm.deviceByUserCode(code)
		if d == nil {
			return nil
		}
		return d.newAuthRequest()
	}
	authReq, _ := req.parseAuthRequest(parameters)
	return authReq
}

// alreadySignedInResponse returns the response to the form of a sign-in that is already complete: a
// redirect to the client if possible, or else a page.
func (req *pageRequest) alreadySignedInResponse(query url.Values) response {
	caller := req.realm.clients[query.Get("client_id")]
	if caller == nil {
		caller = &client{}
	}
	decodedData, err := base64.RawURLEncoding.DecodeString(query.Get("client_data"))
	var data clientData
	if err == nil && json.Unmarshal(decodedData, &data) == nil {
		redirectURI, ok := req.realm.validateRedirectURI(caller, caller.RedirectURIs,
			data.Redirect, true, true)
		if ok {
			authReq := &authRequest{client: caller, redirectURI: redirectURI,
				responseMode: data.ResponseMode, parameters: url.Values{}}
			if data.State != "" {
				authReq.parameters.Set("state", data.State)
			}
			return req.authResponse(authReq, "error", "temporarily_unavailable",
				"error_description", "authentication_expired")
		}
	}
	return page{ID: "login-info", Title: "You are already logged in.",
		Text: "You are already logged in."}.response(200, neverCache)
}

// reset takes the authSession back to the first step.
func (as *authSession) reset() {
	as.step, as.user, as.ssoSession, as.consentGiven = stepStart, nil, nil, false
	as.actionStatus, as.actionShown, as.message = "", false, ""
	as.levelProgress = levelProgress{level: noLevel}
}

// restartLogin handles the restart link on expiredPage.
func (r *Realm) restartLogin(req *request) response {
	return r.servePage(req, func(req *pageRequest) response {
		if resp, unavailable := req.checkAvailable(); unavailable {
			return resp
		}
		query := req.URL.Query()
		as := req.findAuthSession(query)
		if as == nil || as.step == stepLogout {
			return req.restartLogin(query)
		}
		as.reset()
		if resp, unusable := req.checkUsable(as); unusable {
			return resp
		}
		return req.redirect(as.address(r))
	})
}

// authenticate serves the login page and handles its form.
func (r *Realm) authenticate(req *request) response {
	return r.servePage(req, (*pageRequest).authenticate)
}

func (req *pageRequest) authenticate() response {
	as, submitted, resp := req.enterAuthSession(authenticatePath)
	switch {
	case as == nil:
		return resp
	case as.step == stepStart:
		return req.startLogin(as)
	case !submitted:
		return req.formPage(as)
	case as.step == stepOTP: // unlike the other forms, it can't be cancelled
		return req.handleOTPForm(as)
	case req.form.Has("cancel"):
		return req.endWithError(as, "access_denied")
	}
	return req.handleLoginForm(as)
}

// formPage returns the page with the form of the current step.
func (req *pageRequest) formPage(as *authSession) response {
	if as.step == stepOTP {
		return req.otpPage(as)
	}
	return req.passwordPage(as)
}

const invalidLoginMessage = "Invalid username or password."

// handleLoginForm handles the form of the login page.
func (req *pageRequest) handleLoginForm(as *authSession) response {
	if req.realm.settings.RememberMe && req.rawParam("rememberMe") == "on" {
		return unsupportedResponse("remembered sessions: rememberMe")
	}
	u := as.user
	if u == nil {
		u = req.realm.userByLogin(strings.TrimSpace(req.rawParam("username")))
	}
	if u == nil {
		err := req.realm.checkSupported(as.client, realmfile.UseUnknownUser)
		if err != nil {
			return err.response()
		}
		as.message = invalidLoginMessage
		return req.passwordPage(as)
	}
	if err := req.realm.checkPassword(u, req.rawParam("password"), req.now); err != nil {
		if err.status == 501 {
			return err.response()
		}
		as.message = invalidLoginMessage
		if as.step == stepPasswordOnly {
			as.message = "Invalid password."
		}
		if err.description == "Account disabled" {
			as.message = "Account is disabled, contact your administrator."
		}
		return req.passwordPage(as)
	}
	as.user = u
	return req.completeForm(as)
}

// handleOTPForm handles the form of the one-time code page.
func (req *pageRequest) handleOTPForm(as *authSession) response {
	otp, hasOTP := req.param("otp")
	r, u := req.realm, as.user
	if !hasOTP {
		return req.otpPage(as)
	}
	if r.isLocked(u, req.now) || u.otp == nil || !u.otp.accept(otp, req.now, r.settings) {
		if !r.isLocked(u, req.now) {
			r.recordFailure(u, req.now)
		}
		as.message = "Invalid authenticator code."
		return req.otpPage(as)
	}
	return req.completeForm(as)
}

// proceed redirects an authenticated user to the next step, or finishes the sign-in.
func (req *pageRequest) proceed(as *authSession) response {
	if step := req.nextStep(as); step != "" {
		if as.authReq.hasPrompt("none") {
			return req.endWithError(as, "interaction_required")
		}
		as.step = step
		return req.redirect(as.address(req.realm))
	}
	return req.finishLogin(as)
}

// finishLogin adds the client to the session, creates the session if necessary, and responds to the
// client.
func (req *pageRequest) finishLogin(as *authSession) response {
	if as.ssoSession != nil &&
		(req.realm.sessions[as.ssoSession.id] != as.ssoSession ||
			!req.realm.sessionActive(as.ssoSession, req.now)) {
		as.reset() // the session has ended since the sign-in started
		return req.startLogin(as)
	}
	if d := as.authReq.device; d != nil && d.state != devicePending {
		return req.endWithError(as, "expired_token")
	}
	s, isNew := req.ensureSession(as)
	if s == nil {
		return req.errorResponse(400,
			"You are already authenticated as different user '"+
				req.realm.sessions[as.root.id].user.Username+
				"' in this session. Please sign out first.")
	}
	cs := req.realm.ensureClientSession(s, as.authReq, req.now)
	cs.createdForOffline = isNew && slices.Contains(as.authReq.scope, "offline_access")
	cs.acr, cs.loa = as.authReq.acr, as.level
	switch {
	case as.level >= minLevel:
	case as.ssoSession != nil:
		cs.loa = 0
	default:
		cs.loa = 1
	}
	req.closeAuthSession(as)
	req.setIdentityCookies(s)
	if d := as.authReq.device; d != nil {
		d.state, d.sessionID = deviceApproved, s.id
		return req.redirect(req.realm.Issuer() + "/device/status")
	}
	pairs := []string{"session_state", s.id}
	if as.actionStatus != "" {
		name := as.requestedAction()
		if !as.actionShown { // Keycloak then returns the name of the sign-in step
			name = (&authSession{step: stepPassword}).execution(req.realm)
		}
		pairs = append(pairs, "kc_action", name, "kc_action_status", as.actionStatus)
	}
	if as.authReq.parameter("response_type") != "none" {
		pairs = append(pairs, "code", req.realm.newAuthCode(as.authReq, s, req.now))
	}
	return req.authResponse(as.authReq, pairs...)
}

// ensureSession returns the session for a sign-in, and whether the session is new. After single
// sign-on, it is the session that signed the user in. Otherwise, it is the browser's session, which
// is created if necessary, or nil if the browser's session belongs to another user.
func (req *pageRequest) ensureSession(as *authSession) (s *session, isNew bool) {
	if as.ssoSession != nil {
		return as.ssoSession, false
	}
	s = req.realm.sessions[as.root.id]
	switch {
	case s == nil || !req.realm.sessionActive(s, req.now):
		s, isNew = req.realm.addSession(&session{id: as.root.id, user: as.user}, req.now), true
	case s.user != as.user:
		return nil, false
	}
	s.authTime, s.lastUsed, s.levelTimes = req.now, req.now, as.levelTimes
	return s, isNew
}

// endWithError ends an authSession and returns an error response to the client.
func (req *pageRequest) endWithError(as *authSession, code string) response {
	if d := as.authReq.device; d != nil {
		// As in Keycloak, the authSession remains, but the user can no longer complete it.
		if code == "access_denied" && d.state == devicePending {
			d.state = deviceDenied
		}
		return req.redirect(withParameters(req.realm.Issuer()+"/device/status", false,
			[]string{"error", code}))
	}
	req.closeAuthSession(as)
	return req.authResponse(as.authReq, "error", code)
}

// errorResponse returns an error page, or the error as JSON if the request accepts JSON.
func (req *pageRequest) errorResponse(status int, message string) response {
	if strings.Contains(req.Header.Get("Accept"), "application/json") {
		return jsonResponse(status, "", errorBody{Error: message})
	}
	return errorPage(status, message)
}

// passwordPage returns the page with a form for the password, and for the username unless the user
// is known.
func (req *pageRequest) passwordPage(as *authSession) response {
	if locale := req.locale(as); locale != "en" {
		return unsupportedResponse("pages in the language " + locale)
	}
	p := page{ID: "login-login", Title: "Sign in to your account", Note: as.takeMessage()}
	f := form{ID: "kc-form-login", Action: as.formAction(req.realm)}
	if as.user == nil {
		name := as.authReq.parameter("login_hint")
		if username, ok := req.param("username"); ok && req.Method == http.MethodPost {
			name = username
		}
		f.Fields = append(f.Fields,
			field{Name: "username", Kind: "text", Label: "Username or email", Value: name})
	} else {
		p.Username = as.user.Username
	}
	f.Fields = append(f.Fields, field{Name: "password", Kind: "password", Label: "Password"})
	if as.step == stepPasswordOnly {
		p.ID, p.Title = "login-login-password", "Sign In"
	} else {
		f.Fields = append(f.Fields, field{Name: "credentialId", Kind: "hidden"})
	}
	f.Fields = append(f.Fields, field{Name: "login", Kind: "submit", Label: "Sign In"})
	p.Form = &f
	return p.response(200, neverCache)
}

func (req *pageRequest) otpPage(as *authSession) response {
	credential := uuid.NewSHA1(uuid.NameSpaceURL, []byte(as.user.ID+"/otp")).String()
	return page{ID: "login-login-otp", Title: "Sign In", Note: as.takeMessage(), Form: &form{
		ID: "kc-otp-login-form", Action: as.formAction(req.realm), Fields: []field{
			{Name: "selectedCredentialId", Kind: "hidden", Value: credential},
			{Name: "otp", Kind: "text", Label: "One-time code"},
			{Name: "login", Kind: "submit", Label: "Sign In"},
		},
	}}.response(200, neverCache)
}

// expiredPage returns the response to a form that doesn't belong to the current step.
func (req *pageRequest) expiredPage(as *authSession) response {
	return page{ID: "login-login-page-expired", Title: "Page has expired", Links: []link{
		{"To restart the login process", withParameters(
			req.realm.Issuer()+loginActionsPath+"/restart", false, as.parameters())},
		{"To continue the login process", as.address(req.realm)},
	}}.response(200, neverCache)
}

// takeMessage returns the message for the next page, and clears it.
func (as *authSession) takeMessage() string {
	message := as.message
	as.message = ""
	return message
}
