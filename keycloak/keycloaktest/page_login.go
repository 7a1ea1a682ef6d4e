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

// What a person is to do next. Other steps are required actions, by their alias.
const (
	stepBegin    = "" // nothing shown yet: single sign-on may do
	stepPassword = "auth-username-password-form"
	stepOTP      = "auth-otp-form"
	stepConsent  = "OAUTH_GRANT"
	stepLogout   = "LOGOUT"
)

// The paths of the pages that people go through.
const (
	authenticatePath   = "/login-actions/authenticate"
	requiredActionPath = "/login-actions/required-action"
	consentPath        = "/login-actions/consent"
)

// path is where the tab's step is.
func (t *authSession) path() string {
	switch t.step {
	case stepBegin, stepPassword, stepOTP:
		return authenticatePath
	}
	return requiredActionPath
}

// execution is Keycloak's name of the tab's step in addresses: an id, or the alias of a required
// action.
func (t *authSession) execution(r *Realm) string {
	if t.path() == authenticatePath {
		return uuid.NewSHA1(uuid.NameSpaceURL, []byte(r.name+"/"+t.step)).String()
	}
	return t.step
}

// address is where the tab goes on: the page of its step.
func (t *authSession) address(r *Realm) string {
	var pairs []string
	if t.step != stepBegin {
		pairs = append(pairs, "execution", t.execution(r))
	}
	return withPairs(r.Issuer()+t.path(), false, append(pairs, t.pairs()...))
}

func (t *authSession) pairs() []string {
	return []string{"client_id", t.client.ClientID, "tab_id", t.id, "client_data", t.clientData()}
}

// formAction is where the form of the tab's step goes, with a new code: an older page's form counts
// no more.
func (t *authSession) formAction(r *Realm) string {
	t.code = opaque(43)
	return withPairs(r.Issuer()+t.path(), false,
		append([]string{"session_code", t.code, "execution", t.execution(r)}, t.pairs()...))
}

// begin lets single sign-on do, or asks for a password.
func (v *pageRequest) begin(t *authSession) answer {
	t.step = stepPassword
	if s := v.identity(); s != nil {
		again := t.asked.prompts("login") ||
			t.asked.maxAge != nil && !s.authTime.IsZero() &&
				s.authTime.Unix()+*t.asked.maxAge < v.now.Unix()
		if !again && !t.asked.level {
			s.used = v.now
			t.by, t.user = s, s.user
			return v.proceed(t)
		}
		t.user = s.user
		if again {
			t.note = "Please re-authenticate to continue"
		}
	}
	if t.asked.prompts("none") {
		return v.refuse(t, "login_required")
	}
	if alias := t.asked.value("kc_idp_hint"); v.realm.hasProvider(alias) {
		return notImplemented("identity providers, and kc_idp_hint names " + alias)
	}
	return v.passwordPage(t)
}

// hasProvider reports whether people may sign in elsewhere, under this name.
func (r *Realm) hasProvider(alias string) bool {
	return slices.ContainsFunc(r.settings.IdentityProviders,
		func(p realmfile.IdentityProvider) bool {
			return p.Alias == alias && or(p.Enabled, true)
		})
}

// locale is the language of the pages: the first of those that the client, the browser and the
// realm wish for that the realm has.
func (v *pageRequest) locale(t *authSession) string {
	settings := v.realm.settings
	if !settings.InternationalizationEnabled {
		return "en"
	}
	wishes := strings.Fields(t.asked.value("ui_locales"))
	for _, entry := range strings.Split(v.Header.Get("Accept-Language"), ",") {
		language, _, _ := strings.Cut(entry, ";")
		wishes = append(wishes, strings.TrimSpace(language))
	}
	for _, wish := range append(wishes, settings.DefaultLocale) {
		for ; wish != ""; wish = wish[:max(0, strings.LastIndex(wish, "-"))] {
			if slices.Contains(settings.SupportedLocales, wish) {
				return wish
			}
		}
	}
	return "en"
}

// enterAuthSession is the authSession that a request goes on with, and whether the request brings a
// form. Without a tab, the answer is what there is to say.
func (v *pageRequest) enterAuthSession(path string) (t *authSession, submitted bool, out answer) {
	if refused, shut := v.shut(); shut {
		return nil, false, refused
	}
	query := v.URL.Query()
	known := v.cookie(loginCookie) != "" || v.cookie(restartCookie) != ""
	if known && v.realm.clients[query.Get("client_id")] == nil {
		return nil, false, v.failure(400,
			"An error occurred, please login again through your application.")
	}
	t = v.authSessionOf(query)
	if t == nil || t.step == stepLogout {
		return nil, false, v.restart(query)
	}
	if refused, ended := v.unusable(t); ended {
		return nil, false, refused
	}
	code, execution := query.Get("session_code"), query.Get("execution")
	if t.path() != path || execution != t.execution(v.realm) && (execution != "" || code != "") {
		return nil, false, v.expiredPage(t)
	}
	if code != "" && code != t.code {
		t.note = "Action expired. Please continue with login now."
		return nil, false, v.redirect(t.address(v.realm))
	}
	return t, code != "", answer{}
}

// unusable answers for an authSession whose client was disabled meanwhile, or whose user was
// deleted.
func (v *pageRequest) unusable(t *authSession) (answer, bool) {
	switch {
	case !t.client.enabled:
		v.close(t)
		return v.failure(400, "Login requester not enabled"), true
	case t.user != nil && v.realm.users[t.user.ID] != t.user:
		return v.failure(500, "An internal server error has occurred"), true
	}
	return answer{}, false
}

// restart begins again what was forgotten, with what the browser still knows of it.
func (v *pageRequest) restart(query url.Values) answer {
	decoded, err := base64.RawURLEncoding.DecodeString(v.cookie(restartCookie))
	parameters, badQuery := url.ParseQuery(string(decoded))
	if err == nil && badQuery == nil && parameters.Get("client_id") == query.Get("client_id") {
		if q := v.readAgain(parameters); q != nil {
			t := v.open(q)
			v.remember(t)
			t.note = "Your login attempt timed out. Login will start from the beginning."
			return v.redirect(t.address(v.realm))
		}
	}
	if v.identity() != nil { // the sign-in is done, in another tab
		return v.signedInAlready(query)
	}
	return v.failure(400,
		"Restart login cookie not found. It may have expired; it may have been deleted or "+
			"cookies are disabled in your browser. If cookies are disabled then enable them. "+
			"Click Back to Application to login again.")
}

// readAgain is a request out of a cookie.
func (v *pageRequest) readAgain(parameters url.Values) *authRequest {
	if code := parameters.Get("device_user_code"); code != "" {
		d := v.realm.deviceByUserCode(code)
		if d == nil {
			return nil
		}
		return d.request()
	}
	q, _ := v.readRequest(parameters)
	return q
}

// signedInAlready sends a browser back that posts a form which was done with.
func (v *pageRequest) signedInAlready(query url.Values) answer {
	by := v.realm.clients[query.Get("client_id")]
	if by == nil {
		by = &client{}
	}
	decoded, err := base64.RawURLEncoding.DecodeString(query.Get("client_data"))
	var data clientData
	if err == nil && json.Unmarshal(decoded, &data) == nil {
		if redirect, ok := v.realm.redirectURI(by, by.RedirectURIs, data.Redirect, true, true); ok {
			q := &authRequest{client: by, redirect: redirect, mode: data.ResponseMode,
				parameters: url.Values{}}
			if data.State != "" {
				q.parameters.Set("state", data.State)
			}
			return v.respond(q, "error", "temporarily_unavailable", "error_description",
				"authentication_expired")
		}
	}
	return page{ID: "login-info", Title: "You are already logged in.",
		Text: "You are already logged in."}.answer(200, noBack)
}

// startOver forgets who was signing in.
func (t *authSession) startOver() {
	t.step, t.user, t.by, t.agreed, t.action, t.seen, t.note = stepBegin, nil, nil, false, "",
		false, ""
}

// restartLogin is what the link of an expired page leads to.
func (r *Realm) restartLogin(c *call) answer {
	return r.browse(c, func(v *pageRequest) answer {
		if refused, shut := v.shut(); shut {
			return refused
		}
		query := v.URL.Query()
		t := v.authSessionOf(query)
		if t == nil || t.step == stepLogout {
			return v.restart(query)
		}
		t.startOver()
		if refused, ended := v.unusable(t); ended {
			return refused
		}
		return v.redirect(t.address(r))
	})
}

// authenticate is the login page, and what is posted there.
func (r *Realm) authenticate(c *call) answer { return r.browse(c, (*pageRequest).authenticate) }

func (v *pageRequest) authenticate() answer {
	t, submitted, out := v.enterAuthSession(authenticatePath)
	switch {
	case t == nil:
		return out
	case t.step == stepBegin:
		return v.begin(t)
	case submitted && v.form.Has("cancel"):
		return v.refuse(t, "access_denied")
	case submitted && t.step == stepPassword:
		return v.checkLogin(t)
	case submitted:
		return v.checkOTP(t)
	case t.step == stepOTP:
		return v.otpPage(t)
	}
	return v.passwordPage(t)
}

const wrongLogin = "Invalid username or password."

// checkLogin reads the form of the login page.
func (v *pageRequest) checkLogin(t *authSession) answer {
	if v.realm.settings.RememberMe && v.value("rememberMe") == "on" {
		return notImplemented("sessions that are remembered: rememberMe")
	}
	u := t.user
	if u == nil {
		if u = v.realm.byName(strings.TrimSpace(v.value("username"))); u == nil {
			if refused := v.realm.supports(t.client, realmfile.UseUnknownUser); refused != nil {
				return refused.answer()
			}
		}
	}
	if u == nil {
		t.note = wrongLogin
		return v.passwordPage(t)
	}
	if refused := v.realm.checkPassword(u, v.value("password"), v.now); refused != nil {
		if refused.status == 501 {
			return refused.answer()
		}
		t.note = wrongLogin
		if refused.description == "Account disabled" {
			t.note = "Account is disabled, contact your administrator."
		}
		return v.passwordPage(t)
	}
	t.user = u
	if u.otp != nil {
		if refused := v.realm.supports(t.client, realmfile.UseOTP); refused != nil {
			return refused.answer()
		}
		t.step = stepOTP
		return v.otpPage(t)
	}
	v.realm.succeeded(u)
	return v.proceed(t)
}

// checkOTP reads the form of the one-time code's page.
func (v *pageRequest) checkOTP(t *authSession) answer {
	code, sent := v.param("otp")
	r, u := v.realm, t.user
	if !sent {
		return v.otpPage(t)
	}
	if r.locked(u, v.now) || u.otp == nil || !u.otp.accepts(code, v.now, r.settings) {
		if !r.locked(u, v.now) {
			r.failed(u, v.now)
		}
		t.note = "Invalid authenticator code."
		return v.otpPage(t)
	}
	r.succeeded(u)
	return v.proceed(t)
}

// proceed goes on once it is known who is there: with what is due, or to the end.
func (v *pageRequest) proceed(t *authSession) answer {
	if due := v.due(t); due != "" {
		if t.asked.prompts("none") {
			return v.refuse(t, "interaction_required")
		}
		t.step = due
		return v.redirect(t.address(v.realm))
	}
	return v.finish(t)
}

// finish gives the client what it asked for.
func (v *pageRequest) finish(t *authSession) answer {
	if t.by != nil && (v.realm.sessions[t.by.id] != t.by || !v.realm.alive(t.by, v.now)) {
		t.startOver() // the session ended meanwhile
		return v.begin(t)
	}
	if d := t.asked.device; d != nil && d.state != devicePending {
		return v.refuse(t, "expired_token")
	}
	s, first := v.sessionFor(t)
	if s == nil {
		return v.failure(400,
			"You are already authenticated as different user '"+
				v.realm.sessions[t.login.id].user.Username+
				"' in this session. Please sign out first.")
	}
	part := v.realm.join(s, t.asked, v.now)
	part.first = first && slices.Contains(t.asked.scope, "offline_access")
	part.level = "1"
	if t.by != nil {
		part.level = "0"
	}
	v.close(t)
	v.identify(s)
	if d := t.asked.device; d != nil {
		d.state, d.session = deviceAgreed, s.id
		return v.redirect(v.realm.Issuer() + "/device/status")
	}
	pairs := []string{"session_state", s.id}
	if t.action != "" {
		name := t.wish()
		if !t.seen { // Keycloak names the step that it is at, which is still the sign-in
			name = (&authSession{step: stepPassword}).execution(v.realm)
		}
		pairs = append(pairs, "kc_action", name, "kc_action_status", t.action)
	}
	if t.asked.value("response_type") != "none" {
		pairs = append(pairs, "code", v.realm.newCode(t.asked, s, v.now))
	}
	return v.respond(t.asked, pairs...)
}

// sessionFor is the session that a sign-in leads to, and whether it is new: the one of single
// sign-on, or the browser's. It is nil where the browser's is somebody else's.
func (v *pageRequest) sessionFor(t *authSession) (s *session, first bool) {
	if t.by != nil {
		return t.by, false
	}
	s = v.realm.sessions[t.login.id]
	switch {
	case s == nil || !v.realm.alive(s, v.now):
		s, first = v.realm.keepSession(&session{id: t.login.id, user: t.user}, v.now), true
	case s.user != t.user:
		return nil, false
	}
	s.authTime, s.used = v.now, v.now
	return s, first
}

// refuse ends a tab with an error for the client.
func (v *pageRequest) refuse(t *authSession, code string) answer {
	if d := t.asked.device; d != nil {
		// The tab stays, as in Keycloak; nothing can come of it any more.
		if code == "access_denied" && d.state == devicePending {
			d.state = deviceDenied
		}
		return v.redirect(withPairs(v.realm.Issuer()+"/device/status", false,
			[]string{"error", code}))
	}
	v.close(t)
	return v.respond(t.asked, "error", code)
}

// failure is an error page, or the same in JSON for who wants that.
func (v *pageRequest) failure(status int, message string) answer {
	if strings.Contains(v.Header.Get("Accept"), "application/json") {
		return document(status, "", oauthError{Error: message})
	}
	return errorPage(status, message)
}

func (v *pageRequest) passwordPage(t *authSession) answer {
	if locale := v.locale(t); locale != "en" {
		return notImplemented("pages in the language " + locale)
	}
	p := page{ID: "login-login", Title: "Sign in to your account", Note: t.take()}
	f := form{ID: "kc-form-login", Action: t.formAction(v.realm)}
	if t.user == nil {
		name := t.asked.value("login_hint")
		if typed, sent := v.param("username"); sent && v.Method == http.MethodPost {
			name = typed
		}
		f.Fields = append(f.Fields,
			field{Name: "username", Kind: "text", Label: "Username or email", Value: name})
	} else {
		p.Who = t.user.Username
	}
	f.Fields = append(f.Fields, field{Name: "password", Kind: "password", Label: "Password"},
		field{Name: "credentialId", Kind: "hidden"},
		field{Name: "login", Kind: "submit", Label: "Sign In"})
	p.Form = &f
	return p.answer(200, noBack)
}

func (v *pageRequest) otpPage(t *authSession) answer {
	credential := uuid.NewSHA1(uuid.NameSpaceURL, []byte(t.user.ID+"/otp")).String()
	return page{ID: "login-login-otp", Title: "Sign In", Note: t.take(), Form: &form{
		ID: "kc-otp-login-form", Action: t.formAction(v.realm), Fields: []field{
			{Name: "selectedCredentialId", Kind: "hidden", Value: credential},
			{Name: "otp", Kind: "text", Label: "One-time code"},
			{Name: "login", Kind: "submit", Label: "Sign In"},
		},
	}}.answer(200, noBack)
}

// expiredPage is for a form that doesn't belong to the tab's step.
func (v *pageRequest) expiredPage(t *authSession) answer {
	return page{ID: "login-login-page-expired", Title: "Page has expired", Links: []link{
		{"To restart the login process", withPairs(v.realm.Issuer()+"/login-actions/restart", false, t.pairs())},
		{"To continue the login process", t.address(v.realm)},
	}}.answer(200, noBack)
}

// take is the tab's note, once.
func (t *authSession) take() string {
	note := t.note
	t.note = ""
	return note
}
