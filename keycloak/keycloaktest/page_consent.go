package keycloaktest

import (
	"net/http"
	"slices"
)

// consentDue reports whether the person must be asked: at a client that wants it, for scopes that
// weren't agreed to, and for a device every time.
func (v *pageRequest) consentDue(t *authSession) bool {
	switch {
	case t.agreed:
		return false
	case t.asked.device != nil:
		return true
	case !t.client.ConsentRequired:
		return false
	}
	before := t.user.consents[t.client.ClientID]
	if t.asked.prompts("consent") {
		before = nil
	}
	return slices.ContainsFunc(v.realm.shownScopes(t.asked.scope), func(name string) bool {
		return !slices.Contains(before, name)
	})
}

// shownScopes are the scopes that a person is asked about.
func (r *Realm) shownScopes(scope []string) []string {
	var shown []string
	for _, name := range scope {
		if s := r.scopes[name]; s != nil && s.Attributes["display.on.consent.screen"] != "false" {
			shown = append(shown, name)
		}
	}
	return shown
}

func (v *pageRequest) consentPage(t *authSession) answer {
	name := t.client.Name
	if name == "" {
		name = t.client.ClientID
	}
	// The address has neither host nor session_code: so has Keycloak's.
	action := withPairs(v.realm.basePath()+consentPath, false, t.pairs())
	t.code = opaque(43)
	return page{ID: "login-login-oauth-grant", Title: "Grant Access to " + name,
		List: v.realm.shownScopes(t.asked.scope), Form: &form{
			Action: action, Fields: []field{
				{Name: "code", Kind: "hidden", Value: t.code},
				{Name: "accept", Kind: "submit", Label: "Yes"},
				{Name: "cancel", Kind: "submit", Label: "No"},
			},
		}}.answer(200, noBack)
}

// consent takes the person's word. Like Keycloak's, it doesn't look at the form's code.
func (r *Realm) consent(c *call) answer {
	if c.Method != http.MethodPost {
		return failure(c.Request, 404, "HTTP 404 Not Found")
	}
	return r.browse(c, (*pageRequest).consent)
}

func (v *pageRequest) consent() answer {
	t, _, out := v.enterAuthSession(requiredActionPath)
	switch {
	case t == nil:
		return out
	case t.step != stepConsent:
		return v.expiredPage(t)
	case v.form.Has("cancel"):
		return v.refuse(t, "access_denied")
	}
	t.agreed = true
	if t.client.ConsentRequired {
		consents := t.user.consents
		for _, name := range v.realm.shownScopes(t.asked.scope) {
			if !slices.Contains(consents[t.client.ClientID], name) {
				consents[t.client.ClientID] = append(consents[t.client.ClientID], name)
			}
		}
	}
	return v.proceed(t)
}
