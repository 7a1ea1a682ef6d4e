package keycloaktest

import (
	"net/http"
	"slices"
)

// consentDue reports whether the user must be asked for consent: always for a device, and for a
// client that requires consent if the user hasn't consented to all scopes.
func (req *pageRequest) consentDue(t *authSession) bool {
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
	return slices.ContainsFunc(req.realm.shownScopes(t.request.scope), func(name string) bool {
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

func (req *pageRequest) consentPage(t *authSession) response {
	name := t.client.Name
	if name == "" {
		name = t.client.ClientID
	}
	// As in Keycloak, the URL has neither a host nor a session_code.
	action := withParameters(req.realm.basePath()+consentPath, false, t.parameters())
	t.code = opaque(43)
	return page{ID: "login-login-oauth-grant", Title: "Grant Access to " + name,
		List: req.realm.shownScopes(t.request.scope), Form: &form{
			Action: action, Fields: []field{
				{Name: "code", Kind: "hidden", Value: t.code},
				{Name: "accept", Kind: "submit", Label: "Yes"},
				{Name: "cancel", Kind: "submit", Label: "No"},
			},
		}}.response(200, neverCache)
}

// consent handles the form of the consent page. Like Keycloak it doesn't check the form's code.
func (r *Realm) consent(req *request) response {
	if req.Method != http.MethodPost {
		return frameworkError(req.Request, 404, "HTTP 404 Not Found")
	}
	return r.servePage(req, (*pageRequest).consent)
}

func (req *pageRequest) consent() response {
	t, _, resp := req.enterAuthSession(requiredActionPath)
	switch {
	case t == nil:
		return resp
	case t.step != stepConsent:
		return req.expiredPage(t)
	case req.form.Has("cancel"):
		return req.refuse(t, "access_denied")
	}
	t.consented = true
	if t.client.ConsentRequired {
		consents := t.user.consents
		for _, name := range req.realm.shownScopes(t.request.scope) {
			if !slices.Contains(consents[t.client.ClientID], name) {
				consents[t.client.ClientID] = append(consents[t.client.ClientID], name)
			}
		}
	}
	return req.proceed(t)
}
