package keycloaktest

import (
	"net/http"
	"slices"
)

// needsConsent reports whether the user must consent: always for a device, and for a client that
// requires consent unless the user has already consented to all scopes.
func (req *pageRequest) needsConsent(as *authSession) bool {
	switch {
	case as.consentGiven:
		return false
	case as.authReq.device != nil:
		return true
	case !as.client.ConsentRequired:
		return false
	}
	consentedScopes := as.user.consents[as.client.ClientID]
	if as.authReq.hasPrompt("consent") {
		consentedScopes = nil
	}
	return slices.ContainsFunc(req.realm.consentScopes(as.authReq.scope), func(name string) bool {
		return !slices.Contains(consentedScopes, name)
	})
}

// consentScopes returns the scopes to show on the consent page.
func (r *Realm) consentScopes(scope []string) []string {
	var names []string
	for _, name := range scope {
		s := r.scopeNamed(name)
		if s != nil && s.Attributes["display.on.consent.screen"] != "false" {
			names = append(names, name)
		}
	}
	return names
}

func (req *pageRequest) consentPage(as *authSession) response {
	name := as.client.Name
	if name == "" {
		name = as.client.ClientID
	}
	// As in Keycloak, the URL has neither a host nor a session_code.
	action := withParameters(req.realm.basePath()+consentPath, false, as.parameters())
	as.sessionCode = randomString(43)
	return page{ID: "login-login-oauth-grant", Title: "Grant Access to " + name,
		List: req.realm.consentScopes(as.authReq.scope), Form: &form{
			Action: action, Fields: []field{
				{Name: "code", Kind: "hidden", Value: as.sessionCode},
				{Name: "accept", Kind: "submit", Label: "Yes"},
				{Name: "cancel", Kind: "submit", Label: "No"},
			},
		}}.response(200, neverCache)
}

// consent handles the form of the consent page. Like Keycloak, it doesn't check the form's code.
func (r *Realm) consent(req *request) response {
	if req.Method != http.MethodPost {
		return frameworkErrorResponse(req.Request, 404, "HTTP 404 Not Found")
	}
	return r.servePage(req, (*pageRequest).consent)
}

func (req *pageRequest) consent() response {
	as, _, resp := req.enterAuthSession(requiredActionPath)
	switch {
	case as == nil:
		return resp
	case as.step != stepConsent:
		return req.expiredPage(as)
	case req.form.Has("cancel"):
		return req.endWithError(as, "access_denied")
	}
	as.consentGiven = true
	if as.client.ConsentRequired {
		consents := as.user.consents
		for _, name := range req.realm.consentScopes(as.authReq.scope) {
			if !slices.Contains(consents[as.client.ClientID], name) {
				consents[as.client.ClientID] = append(consents[as.client.ClientID], name)
			}
		}
	}
	return req.proceed(as)
}
