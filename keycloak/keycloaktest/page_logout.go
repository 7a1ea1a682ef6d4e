package keycloaktest

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// browserLogout serves RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). The user isn't
// asked for confirmation if the ID token names the browser's session or the browser has no session.
func (r *Realm) browserLogout(c *call) response { return r.servePage(c, (*pageRequest).logout) }

func (v *pageRequest) logout() response {
	parameters := v.parameters()
	if refused := v.realm.checkTLS(v.call); refused != nil {
		return v.failure(400, refused.description)
	}
	hint, redirect := parameters.Get("id_token_hint"), parameters.Get("post_logout_redirect_uri")
	if redirect != "" && hint == "" && !parameters.Has("client_id") {
		return v.logoutFailure("Missing parameters: id_token_hint")
	}
	caller := v.realm.clients[parameters.Get("client_id")]
	sid := ""
	if hint != "" {
		payload, err := v.realm.verified(hint)
		named := stringClaim(payload, "azp")
		if err != nil || stringClaim(payload, "typ") != "ID" ||
			parameters.Has("client_id") && parameters.Get("client_id") != named {
			return v.logoutFailure("Invalid parameter: id_token_hint")
		}
		caller, sid = v.realm.clients[named], stringClaim(payload, "sid")
	}
	if caller != nil {
		if refused := v.realm.checkSupported(caller, realmfile.UseLogout); refused != nil {
			return refused.response()
		}
	}
	if redirect != "" {
		if caller == nil {
			return v.logoutFailure("Invalid redirect uri")
		}
		var ok bool
		redirect, ok = v.realm.redirectURI(caller, caller.logoutURIs(), redirect, true, true)
		if !ok {
			return v.logoutFailure("Invalid redirect uri")
		}
	}
	logoutClient := caller
	if logoutClient == nil {
		logoutClient = v.realm.clients["account"]
	}
	t := v.newAuthSession(
		&authRequest{client: logoutClient, redirect: redirect, parameters: url.Values{}})
	t.step, t.hintedSession, t.state = stepLogout, sid, parameters.Get("state")
	s := v.ssoSession()
	if s != nil && sid != s.id || s == nil && hint == "" && redirect == "" {
		return v.confirmPage(t)
	}
	return v.endSignedIn(t, s)
}

// logoutURIs returns the allowed post-logout redirect URIs of a client. "+" stands for its redirect
// URIs, and "-" for none.
func (c *client) logoutURIs() []string {
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

func (v *pageRequest) logoutFailure(message string) response {
	return v.failure(400, message).with("Cache-Control", noCache)
}

func (v *pageRequest) confirmPage(t *authSession) response {
	t.code = opaque(43)
	action := withParameters(v.realm.basePath()+oidc+"/logout/logout-confirm", false,
		[]string{"client_id", t.client.ClientID, "tab_id", t.id})
	return page{ID: "login-logout-confirm", Title: "Logging out", Text: "Do you want to log out?",
		Form: &form{Action: action, Fields: []field{
			{Name: "session_code", Kind: "hidden", Value: t.code},
			{Name: "confirmLogout", Kind: "submit", Label: "Logout", Value: "Logout"},
		}}}.response(200, noCache)
}

// logoutConfirm handles the form of the confirmation page.
func (r *Realm) logoutConfirm(c *call) response { return r.servePage(c, (*pageRequest).confirm) }

func (v *pageRequest) confirm() response {
	t := v.authSessionOf(v.URL.Query())
	switch {
	case (t == nil || t.step != stepLogout) && v.Method != http.MethodPost:
		return loggedOutPage(400)
	case t == nil || t.step != stepLogout:
		return v.logoutFailure("Logout failed")
	case v.Method != http.MethodPost:
		return v.confirmPage(t)
	case v.value("session_code") != t.code:
		return v.failure(500, "An internal server error has occurred").with("Cache-Control",
			noCache)
	}
	return v.endSignedIn(t, v.ssoSession())
}

// endSignedIn ends the session that the ID token names or, if that has ended, the browser's
// session.
func (v *pageRequest) endSignedIn(t *authSession, browserSession *session) response {
	v.closeAuthSession(t)
	ended := v.realm.sessions[t.hintedSession]
	if ended == nil {
		ended = browserSession
	}
	if ended != nil {
		delete(v.realm.rootAuthSessions, t.root.id) // including its other tabs
	}
	if browserSession != nil {
		v.deleteCookies(identityCookie, sessionCookie)
	}
	redirect := t.request.redirect
	if redirect != "" && t.state != "" {
		redirect = withParameters(redirect, false, []string{"state", t.state})
	}
	if ended != nil {
		frames := v.realm.frontChannel(ended)
		v.notices = append(v.notices, v.realm.end(ended, v.now)...)
		if browserSession != nil && len(frames) > 0 {
			return page{ID: "login-frontchannel-logout", Title: "Logging out", Frames: frames,
				Next: template.URL(redirect)}.response(200, noCache)
		}
	}
	if redirect == "" {
		return loggedOutPage(200)
	}
	return v.redirect(redirect).with("Cache-Control", noCache)
}

func loggedOutPage(status int) response {
	return page{ID: "login-info", Title: "You are logged out",
		Text: "You are logged out"}.response(status, noCache)
}

// frontChannel returns the frames that log out the session's clients (OpenID Connect Front-Channel
// Logout 1.0).
func (r *Realm) frontChannel(s *session) []frame {
	var frames []frame
	for _, cs := range s.clients {
		address := cs.client.Attributes["frontchannel.logout.url"]
		if !cs.client.FrontchannelLogout || address == "" {
			continue
		}
		address = r.redirectURIs(cs.client, []string{address})[0]
		if !cs.client.isFalse("frontchannel.logout.session.required") {
			address = withParameters(address, false, []string{"sid", s.id, "iss", r.Issuer()})
		}
		frames = append(frames, frame{cs.client.ClientID, address})
	}
	slices.SortFunc(frames, func(a, b frame) int { return strings.Compare(a.Client, b.Client) })
	return frames
}
