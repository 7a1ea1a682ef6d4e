package keycloaktest

import (
	"net/http"
	"slices"
)

// consentDue reports whether the user must be asked for consent: always for a device, and for a
// client that requires consent if the user hasn't consented to all scopes.
func (v *pageRequest) consentDue(t *authSession) bool {
	switch {
	case t.consented:
		return false
	case t.request.device != nil:
		return true
	case !t.client.ConsentRequired:
		return false
	}
	before := t.user.consents[t.client.ClientID]
	if t.request.hasPrompt("consent") {
		before = nil
	}
	return slices.ContainsFunc(v.realm.shownScopes(t.request.scope), func(name string) bool {
		return !slices.Contains(before, name)
	})
}

// shownScopes returns the scopes shown on the consent page.
func (r *Realm) shownScopes(scope []string) []string {
	var shown []string
	for _, name := range scope {
		if s := r.scopes[name]; s != nil && s.Attributes["display.on.consent.screen"] != "false" {
			shown = append(shown, name)
		}
	}
	return shown
}

func (v *pageRequest) consentPage(t *authSession) response {
	name := t.client.Name
	if name == "" {
		name = t.client.ClientID
	}
	// As in Keycloak, the URL has neither a host nor a session_code.
	action := withParameters(v.realm.basePath()+consentPath, false, t.parameters())
	t.code = opaque(43)
	return page{ID: "login-login-oauth-grant", Title: "Grant Access to " + name,
		List: v.realm.shownScopes(t.request.scope), Form: &form{
			Action: action, Fields: []field{
				{Name: "code", Kind: "hidden", Value: t.code},
				{Name: "accept", Kind: "submit", Label: "Yes"},
				{Name: "cancel", Kind: "submit", Label: "No"},
			},
		}}.response(200, neverCache)
}

// consent handles the form of the consent page. Like Keycloak it doesn't check the form's code.
func (r *Realm) consent(c *call) response {
	if c.Method != http.MethodPost {
		return frameworkError(c.Request, 404, "HTTP 404 Not Found")
	}
	return r.servePage(c, (*pageRequest).consent)
}

func (v *pageRequest) consent() response {
	t, _, resp := v.enterAuthSession(requiredActionPath)
	switch {
	case t == nil:
		return resp
	case t.step != stepConsent:
		return v.expiredPage(t)
	case v.form.Has("cancel"):
		return v.refuse(t, "access_denied")
	}
	t.consented = true
	if t.client.ConsentRequired {
		consents := t.user.consents
		for _, name := range v.realm.shownScopes(t.request.scope) {
			if !slices.Contains(consents[t.client.ClientID], name) {
				consents[t.client.ClientID] = append(consents[t.client.ClientID], name)
			}
		}
	}
	return v.proceed(t)
}
