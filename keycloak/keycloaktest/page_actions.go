package keycloaktest

import (
	"net/mail"
	"slices"
	"strings"
)

// actionOrder lists Keycloak's required actions in the order in which users complete them. By
// default, TERMS_AND_CONDITIONS and the actions after it are disabled.
var actionOrder = []string{
	"UPDATE_PROFILE", "VERIFY_EMAIL", "CONFIGURE_TOTP", "UPDATE_PASSWORD", "webauthn-register",
	"webauthn-register-passwordless", verifyProfile, "delete_credential", "idp_link",
	"CONFIGURE_RECOVERY_AUTHN_CODES", "update_user_locale", "TERMS_AND_CONDITIONS",
	"delete_account", "UPDATE_EMAIL",
}

// actionEnabled reports whether a required action is enabled in the realm.
func (r *Realm) actionEnabled(alias string) bool {
	for _, action := range r.settings.RequiredActions {
		if action.Alias == alias {
			return action.Enabled
		}
	}
	i := slices.Index(actionOrder, alias)
	return r.settings.RequiredActions == nil && i >= 0 &&
		i < slices.Index(actionOrder, "TERMS_AND_CONDITIONS")
}

// nextStep returns the next step of the sign-in, or "" if only the redirect to the client is left.
func (req *pageRequest) nextStep(as *authSession) string {
	pendingActions := req.realm.pendingActions(as.user)
	if as.mustConfigureOTP {
		pendingActions = append(slices.Clone(pendingActions), configureOTP)
	}
	for _, alias := range actionOrder {
		if slices.Contains(pendingActions, alias) && req.realm.actionEnabled(alias) {
			return alias
		}
	}
	if requestedAction := as.requestedAction(); requestedAction != "" && as.actionStatus == "" {
		// If the profile were incomplete, VERIFY_PROFILE would be pending.
		if req.realm.actionEnabled(requestedAction) && requestedAction != verifyProfile {
			return requestedAction
		}
		as.actionStatus = "error"
	}
	if req.needsConsent(as) {
		return stepConsent
	}
	return ""
}

// requestedAction returns the action that the client requests with kc_action, without its
// parameter.
func (as *authSession) requestedAction() string {
	name, _, _ := strings.Cut(as.authReq.parameter("kc_action"), ":")
	return name
}

// isRequestedAction reports whether the current step is an action that the client requested and
// that the user isn't required to complete. The user may cancel such an action.
func (as *authSession) isRequestedAction() bool {
	return as.requestedAction() == as.step && !slices.Contains(as.user.RequiredActions, as.step)
}

// requiredAction serves the pages for required actions and for consent.
func (r *Realm) requiredAction(req *request) response {
	return r.servePage(req, (*pageRequest).requiredAction)
}

func (req *pageRequest) requiredAction() response {
	as, submitted, resp := req.enterAuthSession(requiredActionPath)
	if as == nil {
		return resp
	}
	if submitted && as.isRequestedAction() && req.form.Has("cancel-aia") {
		as.actionStatus = "cancelled"
		return req.proceed(as)
	}
	as.actionShown = as.actionShown || as.step == as.requestedAction() && as.step != "VERIFY_EMAIL"
	switch as.step {
	case stepConsent:
		return req.consentPage(as)
	case "UPDATE_PASSWORD":
		return req.updatePassword(as, submitted)
	case "UPDATE_PROFILE", verifyProfile:
		return req.updateProfile(as, submitted)
	case "VERIFY_EMAIL": // like a Keycloak without a mail server
		if as.user.EmailVerified {
			return req.completeAction(as)
		}
		if as.isRequestedAction() {
			break // Keycloak first shows a page that asks whether to send the email
		}
		return req.errorResponse(500, "Failed to send email, please try again later.")
	}
	return errorPage(501,
		"This is keycloaktest, a fake Keycloak for tests, and it has no page for the required "+
			"action "+as.step+".")
}

// completeAction marks the current required action as done and goes to the next step.
func (req *pageRequest) completeAction(as *authSession) response {
	if as.requestedAction() == as.step {
		as.actionStatus = "success"
	}
	as.user.RequiredActions = slices.DeleteFunc(slices.Clone(as.user.RequiredActions),
		func(alias string) bool { return alias == as.step })
	return req.proceed(as)
}

func (req *pageRequest) updatePassword(as *authSession, submitted bool) response {
	p := page{ID: "login-login-update-password", Title: "Update password"}
	switch password := req.rawParam("password-new"); {
	case !submitted && !as.isRequestedAction():
		p.Note = "You need to change your password to activate your account."
	case !submitted:
	case password == "":
		p.Errors = []string{"Please specify password."}
	case password != req.rawParam("password-confirm"):
		p.Errors = []string{"Passwords don't match."}
	case req.realm.passwordProblem(as.user.User, password) != "":
		p.Errors = []string{req.realm.passwordProblem(as.user.User, password)}
	default:
		as.user.setPassword(password, req.now)
		if req.rawParam("logout-sessions") == "on" {
			req.endOtherSessions(as)
		}
		return req.completeAction(as)
	}
	fields := []field{
		{Name: "password-new", Kind: "password", Label: "New Password"},
		{Name: "password-confirm", Kind: "password", Label: "Confirm password"},
		{Name: "logout-sessions", Kind: "checkbox", Label: "Sign out from other devices",
			Value: "on"},
		{Name: "login", Kind: "submit", Label: "Submit"},
	}
	p.Form = &form{ID: "kc-passwd-update-form", Action: as.formAction(req.realm),
		Fields: as.withCancelButton(fields)}
	return p.response(200, neverCache)
}

// withCancelButton adds a Cancel button if the user may cancel the current action.
func (as *authSession) withCancelButton(fields []field) []field {
	if as.isRequestedAction() {
		fields = append(fields,
			field{Name: "cancel-aia", Kind: "submit", Label: "Cancel", Value: "true"})
	}
	return fields
}

// endOtherSessions ends the user's sessions in other browsers.
func (req *pageRequest) endOtherSessions(as *authSession) {
	for _, sessions := range []map[string]*session{req.realm.sessions, req.realm.offlineSessions} {
		for _, s := range sessions {
			if s.user == as.user && s != as.ssoSession && s.id != as.root.id {
				req.notices = append(req.notices, req.realm.endSession(s, req.now)...)
			}
		}
	}
}

func (req *pageRequest) updateProfile(as *authSession, submitted bool) response {
	u := as.user
	email, firstName, lastName := u.Email, u.FirstName, u.LastName
	p := page{ID: "login-login-update-profile", Title: "Update Account Information"}
	if submitted {
		email = strings.TrimSpace(req.rawParam("email"))
		firstName, lastName = req.rawParam("firstName"), req.rawParam("lastName")
	} else if as.step != verifyProfile && !as.isRequestedAction() {
		p.Note = "You need to update your user profile to activate your account."
	}
	if submitted || as.step == verifyProfile {
		p.Errors = req.profileErrors(u, email, firstName, lastName)
	}
	if submitted && len(p.Errors) == 0 {
		if email = strings.ToLower(email); email != u.Email {
			u.EmailVerified = false
		}
		req.realm.unindexUser(u)
		u.Email, u.FirstName, u.LastName = email, firstName, lastName
		req.realm.indexUser(u)
		return req.completeAction(as)
	}
	p.Form = &form{ID: "kc-update-profile-form", Action: as.formAction(req.realm), Submit: "Submit",
		Fields: as.withCancelButton([]field{
			{Name: "email", Kind: "text", Label: "Email", Value: email},
			{Name: "firstName", Kind: "text", Label: "First name", Value: firstName},
			{Name: "lastName", Kind: "text", Label: "Last name", Value: lastName},
		})}
	return p.response(200, neverCache)
}

// profileErrors returns the error messages for a submitted profile, in the order of its fields.
func (req *pageRequest) profileErrors(u *user, email, firstName, lastName string) []string {
	const missingMessage = "Please specify this field."
	var problems []string
	_, err := mail.ParseAddress(email)
	switch {
	case email == "" && req.form.Has("email"):
		problems = append(problems, "Please specify email. "+missingMessage)
	case email == "":
		problems = append(problems, missingMessage)
	case err != nil:
		problems = append(problems, "Invalid email address.")
	case !req.realm.settings.DuplicateEmailsAllowed &&
		req.realm.emailTaken(strings.ToLower(email), u.ID):
		problems = append(problems, "Email already exists.")
	}
	for _, name := range []string{firstName, lastName} {
		if strings.TrimSpace(name) == "" {
			problems = append(problems, missingMessage)
		}
	}
	return problems
}
