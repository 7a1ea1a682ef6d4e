package keycloaktest

import (
	"net/mail"
	"slices"
	"strings"
)

// actionOrder are Keycloak's required actions in the order in which a person meets them. Those that
// a realm has to switch on first are at the end.
var actionOrder = []string{
	"UPDATE_PROFILE", "VERIFY_EMAIL", "CONFIGURE_TOTP", "UPDATE_PASSWORD", "webauthn-register",
	"webauthn-register-passwordless", profileAction, "delete_credential", "idp_link",
	"CONFIGURE_RECOVERY_AUTHN_CODES", "update_user_locale", "TERMS_AND_CONDITIONS",
	"delete_account", "UPDATE_EMAIL",
}

// hasAction reports whether the realm lets people do an action.
func (r *Realm) hasAction(alias string) bool {
	for _, action := range r.settings.RequiredActions {
		if action.Alias == alias {
			return action.Enabled
		}
	}
	place := slices.Index(actionOrder, alias)
	return r.settings.RequiredActions == nil && place >= 0 &&
		place < slices.Index(actionOrder, "TERMS_AND_CONDITIONS")
}

// due is the next thing that a person must do before the client gets its answer; nothing is "".
func (v *pageRequest) due(t *authSession) string {
	pending := v.realm.pendingActions(t.user)
	for _, alias := range actionOrder {
		if slices.Contains(pending, alias) && v.realm.hasAction(alias) {
			return alias
		}
	}
	if asked := t.wish(); asked != "" && t.action == "" {
		// A complete profile leaves nothing to verify.
		if v.realm.hasAction(asked) && asked != profileAction {
			return asked
		}
		t.action = "error"
	}
	if v.consentDue(t) {
		return stepConsent
	}
	return ""
}

// wish is the action that the client asked for: its name, in front of a parameter.
func (t *authSession) wish() string {
	name, _, _ := strings.Cut(t.asked.value("kc_action"), ":")
	return name
}

// askedFor reports whether the tab's action is one that the client asked for: the person may
// decline it.
func (t *authSession) askedFor() bool {
	return t.wish() == t.step && !slices.Contains(t.user.RequiredActions, t.step)
}

// requiredAction is the pages of required actions, and of consent.
func (r *Realm) requiredAction(c *call) answer { return r.browse(c, (*pageRequest).requiredAction) }

func (v *pageRequest) requiredAction() answer {
	t, submitted, out := v.enterAuthSession(requiredActionPath)
	if t == nil {
		return out
	}
	if submitted && t.askedFor() && v.form.Has("cancel-aia") {
		t.action = "cancelled"
		return v.proceed(t)
	}
	t.seen = t.seen || t.step == t.wish() && t.step != "VERIFY_EMAIL"
	switch t.step {
	case stepConsent:
		return v.consentPage(t)
	case "UPDATE_PASSWORD":
		return v.updatePassword(t, submitted)
	case "UPDATE_PROFILE", profileAction:
		return v.updateProfile(t, submitted)
	case "VERIFY_EMAIL": // as without a mail server
		if t.user.EmailVerified {
			return v.acted(t)
		}
		if t.askedFor() {
			break // it asks before it sends
		}
		return v.failure(500, "Failed to send email, please try again later.")
	}
	return errorPage(501,
		"This is keycloaktest, a stand-in for Keycloak in tests, and it has no page for the "+
			"required action "+t.step+".")
}

// acted ends an action, and goes on.
func (v *pageRequest) acted(t *authSession) answer {
	if t.wish() == t.step {
		t.action = "success"
	}
	t.user.RequiredActions = slices.DeleteFunc(slices.Clone(t.user.RequiredActions),
		func(alias string) bool { return alias == t.step })
	return v.proceed(t)
}

func (v *pageRequest) updatePassword(t *authSession, submitted bool) answer {
	p := page{ID: "login-login-update-password", Title: "Update password"}
	switch fresh := v.value("password-new"); {
	case !submitted && !t.askedFor():
		p.Note = "You need to change your password to activate your account."
	case !submitted:
	case fresh == "":
		p.Errors = []string{"Please specify password."}
	case fresh != v.value("password-confirm"):
		p.Errors = []string{"Passwords don't match."}
	case v.realm.badPassword(t.user.User, fresh) != "":
		p.Errors = []string{v.realm.badPassword(t.user.User, fresh)}
	default:
		t.user.setPassword(fresh, v.now)
		if v.value("logout-sessions") == "on" {
			v.endOthers(t)
		}
		return v.acted(t)
	}
	fields := []field{
		{Name: "password-new", Kind: "password", Label: "New Password"},
		{Name: "password-confirm", Kind: "password", Label: "Confirm password"},
		{Name: "logout-sessions", Kind: "checkbox", Label: "Sign out from other devices", Value: "on"},
		{Name: "login", Kind: "submit", Label: "Submit"},
	}
	p.Form = &form{ID: "kc-passwd-update-form", Action: t.formAction(v.realm),
		Fields: t.declinable(fields)}
	return p.answer(200, noBack)
}

// declinable adds the button that declines an action.
func (t *authSession) declinable(fields []field) []field {
	if t.askedFor() {
		fields = append(fields,
			field{Name: "cancel-aia", Kind: "submit", Label: "Cancel", Value: "true"})
	}
	return fields
}

// endOthers ends the sessions that the user has in other browsers.
func (v *pageRequest) endOthers(t *authSession) {
	for _, kept := range []map[string]*session{v.realm.sessions, v.realm.offline} {
		for _, s := range kept {
			if s.user == t.user && s != t.by && s.id != t.login.id {
				v.notices = append(v.notices, v.realm.end(s, v.now)...)
			}
		}
	}
}

func (v *pageRequest) updateProfile(t *authSession, submitted bool) answer {
	u := t.user
	email, first, last := u.Email, u.FirstName, u.LastName
	p := page{ID: "login-login-update-profile", Title: "Update Account Information"}
	if submitted {
		email, first, last = strings.TrimSpace(v.value("email")), v.value("firstName"),
			v.value("lastName")
	} else if t.step != profileAction && !t.askedFor() {
		p.Note = "You need to update your user profile to activate your account."
	}
	if submitted || t.step == profileAction {
		p.Errors = v.profileErrors(u, email, first, last)
	}
	if submitted && len(p.Errors) == 0 {
		if email = strings.ToLower(email); email != u.Email {
			u.EmailVerified = false
		}
		v.realm.unindex(u)
		u.Email, u.FirstName, u.LastName = email, first, last
		v.realm.index(u)
		return v.acted(t)
	}
	p.Form = &form{ID: "kc-update-profile-form", Action: t.formAction(v.realm), Submit: "Submit",
		Fields: t.declinable([]field{
			{Name: "email", Kind: "text", Label: "Email", Value: email},
			{Name: "firstName", Kind: "text", Label: "First name", Value: first},
			{Name: "lastName", Kind: "text", Label: "Last name", Value: last},
		})}
	return p.answer(200, noBack)
}

// profileErrors says what is wrong with a profile, field by field.
func (v *pageRequest) profileErrors(u *user, email, first, last string) []string {
	const missing = "Please specify this field."
	var problems []string
	_, err := mail.ParseAddress(email)
	switch {
	case email == "" && v.form.Has("email"):
		problems = append(problems, "Please specify email. "+missing)
	case email == "":
		problems = append(problems, missing)
	case err != nil:
		problems = append(problems, "Invalid email address.")
	case !v.realm.settings.DuplicateEmailsAllowed &&
		v.realm.emailTaken(strings.ToLower(email), u.ID):
		problems = append(problems, "Email already exists.")
	}
	for _, name := range []string{first, last} {
		if strings.TrimSpace(name) == "" {
			problems = append(problems, missing)
		}
	}
	return problems
}
