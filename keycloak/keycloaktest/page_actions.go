package keycloaktest

import (
	"net/mail"
	"slices"
	"strings"
)

// actionOrder lists Keycloak's required actions in the order in which users meet them. Those from
// TERMS_AND_CONDITIONS on are disabled by default.
var actionOrder = []string{
	"UPDATE_PROFILE", "VERIFY_EMAIL", "CONFIGURE_TOTP", "UPDATE_PASSWORD", "webauthn-register",
	"webauthn-register-passwordless", verifyProfile, "delete_credential", "idp_link",
	"CONFIGURE_RECOVERY_AUTHN_CODES", "update_user_locale", "TERMS_AND_CONDITIONS",
	"delete_account", "UPDATE_EMAIL",
}

// hasAction reports whether the realm has an action enabled.
func (r *Realm) hasAction(alias string) bool {
	for _, action := range r.settings.RequiredActions {
		if action.Alias == alias {
			return action.Enabled
		}
	}
	i := slices.Index(actionOrder, alias)
	return r.settings.RequiredActions == nil && i >= 0 &&
		i < slices.Index(actionOrder, "TERMS_AND_CONDITIONS")
}

// nextStep returns the next step that the user must complete before the response, or "".
func (req *pageRequest) nextStep(t *authSession) string {
	pending := req.realm.pendingActions(t.user)
	for _, alias := range actionOrder {
		if slices.Contains(pending, alias) && req.realm.hasAction(alias) {
			return alias
		}
	}
	if requested := t.requestedAction(); requested != "" && t.actionStatus == "" {
		// If the profile were incomplete, VERIFY_PROFILE would be pending.
		if req.realm.hasAction(requested) && requested != verifyProfile {
			return requested
		}
		t.actionStatus = "error"
	}
	if req.consentDue(t) {
		return stepConsent
	}
	return ""
}

// requestedAction returns the action that the client requests with kc_action, without its
// parameter.
func (t *authSession) requestedAction() string {
	name, _, _ := strings.Cut(t.request.value("kc_action"), ":")
	return name
}

// isRequestedAction reports whether the current step is the requested action and not also required
// of the user, who may then cancel it.
func (t *authSession) isRequestedAction() bool {
	return t.requestedAction() == t.step && !slices.Contains(t.user.RequiredActions, t.step)
}

// requiredAction serves the pages for required actions and for consent.
func (r *Realm) requiredAction(req *request) response {
	return r.servePage(req, (*pageRequest).requiredAction)
}

func (req *pageRequest) requiredAction() response {
	t, submitted, resp := req.enterAuthSession(requiredActionPath)
	if t == nil {
		return resp
	}
	if submitted && t.isRequestedAction() && req.form.Has("cancel-aia") {
		t.actionStatus = "cancelled"
		return req.proceed(t)
	}
	t.actionShown = t.actionShown || t.step == t.requestedAction() && t.step != "VERIFY_EMAIL"
	switch t.step {
	case stepConsent:
		return req.consentPage(t)
	case "UPDATE_PASSWORD":
		return req.updatePassword(t, submitted)
	case "UPDATE_PROFILE", verifyProfile:
		return req.updateProfile(t, submitted)
	case "VERIFY_EMAIL": // as in a realm without a mail server
		if t.user.EmailVerified {
			return req.completeAction(t)
		}
		if t.isRequestedAction() {
			break // Keycloak asks first whether to send the email
		}
		return req.failure(500, "Failed to send email, please try again later.")
	}
	return errorPage(501,
		"This is keycloaktest, a stand-in for Keycloak in tests, and it has no page for the "+
			"required action "+t.step+".")
}

// completeAction marks the current required action as done and continues.
func (req *pageRequest) completeAction(t *authSession) response {
	if t.requestedAction() == t.step {
		t.actionStatus = "success"
	}
	t.user.RequiredActions = slices.DeleteFunc(slices.Clone(t.user.RequiredActions),
		func(alias string) bool { return alias == t.step })
	return req.proceed(t)
}

func (req *pageRequest) updatePassword(t *authSession, submitted bool) response {
	p := page{ID: "login-login-update-password", Title: "Update password"}
	switch password := req.rawParam("password-new"); {
	case !submitted && !t.isRequestedAction():
		p.Note = "You need to change your password to activate your account."
	case !submitted:
	case password == "":
		p.Errors = []string{"Please specify password."}
	case password != req.rawParam("password-confirm"):
		p.Errors = []string{"Passwords don't match."}
	case req.realm.passwordProblem(t.user.User, password) != "":
		p.Errors = []string{req.realm.passwordProblem(t.user.User, password)}
	default:
		t.user.setPassword(password, req.now)
		if req.rawParam("logout-sessions") == "on" {
			req.endOtherSessions(t)
		}
		return req.completeAction(t)
	}
	fields := []field{
		{Name: "password-new", Kind: "password", Label: "New Password"},
		{Name: "password-confirm", Kind: "password", Label: "Confirm password"},
		{Name: "logout-sessions", Kind: "checkbox", Label: "Sign out from other devices", Value: "on"},
		{Name: "login", Kind: "submit", Label: "Submit"},
	}
	p.Form = &form{ID: "kc-passwd-update-form", Action: t.formAction(req.realm),
		Fields: t.withCancelButton(fields)}
	return p.response(200, neverCache)
}

// withCancelButton adds a button to cancel the action if the user may.
func (t *authSession) withCancelButton(fields []field) []field {
	if t.isRequestedAction() {
		fields = append(fields,
			field{Name: "cancel-aia", Kind: "submit", Label: "Cancel", Value: "true"})
	}
	return fields
}

// endOtherSessions ends the user's sessions in other browsers.
func (req *pageRequest) endOtherSessions(t *authSession) {
	for _, sessions := range []map[string]*session{req.realm.sessions, req.realm.offline} {
		for _, s := range sessions {
			if s.user == t.user && s != t.sso && s.id != t.root.id {
				req.notices = append(req.notices, req.realm.end(s, req.now)...)
			}
		}
	}
}

func (req *pageRequest) updateProfile(t *authSession, submitted bool) response {
	u := t.user
	email, first, last := u.Email, u.FirstName, u.LastName
	p := page{ID: "login-login-update-profile", Title: "Update Account Information"}
	if submitted {
		email, first, last = strings.TrimSpace(req.rawParam("email")), req.rawParam("firstName"),
			req.rawParam("lastName")
	} else if t.step != verifyProfile && !t.isRequestedAction() {
		p.Note = "You need to update your user profile to activate your account."
	}
	if submitted || t.step == verifyProfile {
		p.Errors = req.profileErrors(u, email, first, last)
	}
	if submitted && len(p.Errors) == 0 {
		if email = strings.ToLower(email); email != u.Email {
			u.EmailVerified = false
		}
		req.realm.unindex(u)
		u.Email, u.FirstName, u.LastName = email, first, last
		req.realm.index(u)
		return req.completeAction(t)
	}
	p.Form = &form{ID: "kc-update-profile-form", Action: t.formAction(req.realm), Submit: "Submit",
		Fields: t.withCancelButton([]field{
			{Name: "email", Kind: "text", Label: "Email", Value: email},
			{Name: "firstName", Kind: "text", Label: "First name", Value: first},
			{Name: "lastName", Kind: "text", Label: "Last name", Value: last},
		})}
	return p.response(200, neverCache)
}

// profileErrors returns the problems of a profile, in the order of its fields.
func (req *pageRequest) profileErrors(u *user, email, first, last string) []string {
	const missing = "Please specify this field."
	var problems []string
	_, err := mail.ParseAddress(email)
	switch {
	case email == "" && req.form.Has("email"):
		problems = append(problems, "Please specify email. "+missing)
	case email == "":
		problems = append(problems, missing)
	case err != nil:
		problems = append(problems, "Invalid email address.")
	case !req.realm.settings.DuplicateEmailsAllowed &&
		req.realm.emailTaken(strings.ToLower(email), u.ID):
		problems = append(problems, "Email already exists.")
	}
	for _, name := range []string{first, last} {
		if strings.TrimSpace(name) == "" {
			problems = append(problems, missing)
		}
	}
	return problems
}
