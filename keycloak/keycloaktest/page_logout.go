package keycloaktest

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// browserLogout serves RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). If the browser
// has a session, the user must confirm the logout unless the request has the session's ID token. If
// the browser has no session, the user must confirm only a request that has neither an ID token nor
// a redirect URI.
func (r *Realm) browserLogout(req *request) response {
	return r.servePage(req, (*pageRequest).logout)
}

func (req *pageRequest) logout() response {
	parameters := req.parameters()
	if err := req.realm.checkTLS(req.request); err != nil {
		return req.errorResponse(400, err.description)
	}
	idTokenHint := parameters.Get("id_token_hint")
	redirectURI := parameters.Get("post_logout_redirect_uri")
	if redirectURI != "" && idTokenHint == "" && !parameters.Has("client_id") {
		return req.logoutErrorResponse("Missing parameters: id_token_hint")
	}
	caller := req.realm.clients[parameters.Get("client_id")]
	hintedSessionID := ""
	if idTokenHint != "" {
		payload, err := req.realm.verifyToken(idTokenHint)
		clientID := stringClaim(payload, "azp")
		if err != nil || stringClaim(payload, "typ") != "ID" ||
			parameters.Has("client_id") && parameters.Get("client_id") != clientID {
			return req.logoutErrorResponse("Invalid parameter: id_token_hint")
		}
		caller, hintedSessionID = req.realm.clients[clientID], stringClaim(payload, "sid")
	}
	if caller != nil {
		if err := req.realm.checkSupported(caller, realmfile.UseLogout); err != nil {
			return err.response()
		}
	}
	if redirectURI != "" {
		if caller == nil {
			return req.logoutErrorResponse("Invalid redirect uri")
		}
		var ok bool
		redirectURI, ok = req.realm.validateRedirectURI(caller, caller.postLogoutRedirectURIs(),
			redirectURI, true, true)
		if !ok {
			return req.logoutErrorResponse("Invalid redirect uri")
		}
	}
	logoutClient := caller
	if logoutClient == nil {
		logoutClient = req.realm.clients["account"]
	}
	as := req.newAuthSession(
		&authRequest{client: logoutClient, redirectURI: redirectURI, parameters: url.Values{}})
	as.step, as.hintedSessionID = stepLogout, hintedSessionID
	as.logoutState = parameters.Get("state")
	s := req.ssoSession()
	if s != nil && hintedSessionID != s.id || s == nil && idTokenHint == "" && redirectURI == "" {
		return req.confirmPage(as)
	}
	return req.finishLogout(as, s)
}

// postLogoutRedirectURIs returns the allowed post-logout redirect URIs of a client. In its
// settings, "+" stands for its redirect URIs, and "-" for none.
func (c *client) postLogoutRedirectURIs() []string {
	var uris []string
	for _, uri := range strings.Split(c.Attributes["post.logout.redirect.uris"], "##") {
		switch uri {
		case "", "-":
		case "+":
			uris = append(uris, c.RedirectURIs...)
		default:
			uris = append(uris, uri)
		}
	}
	return uris
}

func (req *pageRequest) logoutErrorResponse(message string) response {
	return req.errorResponse(400, message).withHeader("Cache-Control", noCache)
}

func (req *pageRequest) confirmPage(as *authSession) response {
	as.sessionCode = randomString(43)
	action := withParameters(req.realm.basePath()+oidcPath+"/logout/logout-confirm", false,
		[]string{"client_id", as.client.ClientID, "tab_id", as.id})
	return page{ID: "login-logout-confirm", Title: "Logging out", Text: "Do you want to log out?",
		Form: &form{Action: action, Fields: []field{
			{Name: "session_code", Kind: "hidden", Value: as.sessionCode},
			{Name: "confirmLogout", Kind: "submit", Label: "Logout", Value: "Logout"},
		}}}.response(200, noCache)
}

// logoutConfirm serves the confirmation page again and handles its form.
func (r *Realm) logoutConfirm(req *request) response {
	return r.servePage(req, (*pageRequest).confirmLogout)
}

func (req *pageRequest) confirmLogout() response {
	as := req.findAuthSession(req.URL.Query())
	switch {
	case (as == nil || as.step != stepLogout) && req.Method != http.MethodPost:
		return loggedOutPage(400)
	case as == nil || as.step != stepLogout:
		return req.logoutErrorResponse("Logout failed")
	case req.Method != http.MethodPost:
		return req.confirmPage(as)
	case req.rawParam("session_code") != as.sessionCode:
		return req.errorResponse(500, "An internal server error has occurred").
			withHeader("Cache-Control", noCache)
	}
	return req.finishLogout(as, req.ssoSession())
}

// finishLogout ends the session that the ID token names or, if that session has already ended, the
// browser's session.
func (req *pageRequest) finishLogout(as *authSession, browserSession *session) response {
	req.closeAuthSession(as)
	target := req.realm.sessions[as.hintedSessionID]
	if target == nil {
		target = browserSession
	}
	if target != nil {
		delete(req.realm.rootAuthSessions, as.root.id) // including the browser's other tabs
	}
	if browserSession != nil {
		req.deleteCookies(identityCookie, sessionCookie)
	}
	redirectURI := as.authReq.redirectURI
	if redirectURI != "" && as.logoutState != "" {
		redirectURI = withParameters(redirectURI, false, []string{"state", as.logoutState})
	}
	if target != nil {
		frames := req.realm.frontChannelFrames(target)
		req.notices = append(req.notices, req.realm.endSession(target, req.now)...)
		if browserSession != nil && len(frames) > 0 {
			return page{ID: "login-frontchannel-logout", Title: "Logging out", Frames: frames,
				Next: template.URL(redirectURI)}.response(200, noCache)
		}
	}
	if redirectURI == "" {
		return loggedOutPage(200)
	}
	return req.redirect(redirectURI).withHeader("Cache-Control", noCache)
}

func loggedOutPage(status int) response {
	return page{ID: "login-info", Title: "You are logged out",
		Text: "You are logged out"}.response(status, noCache)
}

// frontChannelFrames returns the iframes that log out the session's clients (OpenID Connect
// Front-Channel Logout 1.0).
func (r *Realm) frontChannelFrames(s *session) []frame {
	var frames []frame
	for _, cs := range s.clients {
		address := cs.client.Attributes["frontchannel.logout.url"]
		if !cs.client.FrontchannelLogout || address == "" {
			continue
		}
		address = r.resolveRedirectURIs(cs.client, []string{address})[0]
		if !cs.client.attributeIsFalse("frontchannel.logout.session.required") {
			address = withParameters(address, false, []string{"sid", s.id, "iss", r.Issuer()})
		}
		frames = append(frames, frame{cs.client.ClientID, address})
	}
	slices.SortFunc(frames, func(a, b frame) int { return strings.Compare(a.Client, b.Client) })
	return frames
}
