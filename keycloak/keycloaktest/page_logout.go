package keycloaktest

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// browserLogout is RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0). An ID token that
// names the browser's session, or a browser without one, needs no question.
func (r *Realm) browserLogout(c *call) answer { return r.browse(c, (*pageRequest).logout) }

func (v *pageRequest) logout() answer {
	parameters := v.parameters()
	if refused := v.realm.insecure(v.call); refused != nil {
		return v.failure(400, refused.description)
	}
	hint, back := parameters.Get("id_token_hint"), parameters.Get("post_logout_redirect_uri")
	if back != "" && hint == "" && !parameters.Has("client_id") {
		return v.logoutFailure("Missing parameters: id_token_hint")
	}
	by := v.realm.clients[parameters.Get("client_id")]
	sid := ""
	if hint != "" {
		held, err := v.realm.verified(hint)
		named := text(held, "azp")
		if err != nil || text(held, "typ") != "ID" ||
			parameters.Has("client_id") && parameters.Get("client_id") != named {
			return v.logoutFailure("Invalid parameter: id_token_hint")
		}
		by, sid = v.realm.clients[named], text(held, "sid")
	}
	if by != nil {
		if refused := v.realm.supports(by, realmfile.UseLogout); refused != nil {
			return refused.answer()
		}
	}
	if back != "" {
		if by == nil {
			return v.logoutFailure("Invalid redirect uri")
		}
		var ok bool
		if back, ok = v.realm.redirectURI(by, by.logoutURIs(), back, true, true); !ok {
			return v.logoutFailure("Invalid redirect uri")
		}
	}
	asked := by
	if asked == nil {
		asked = v.realm.clients["account"]
	}
	t := v.open(&authRequest{client: asked, redirect: back, parameters: url.Values{}})
	t.step, t.hint, t.state = stepLogout, sid, parameters.Get("state")
	s := v.identity()
	if s != nil && sid != s.id || s == nil && hint == "" && back == "" {
		return v.confirmPage(t)
	}
	return v.endSignedIn(t, s)
}

// logoutURIs are where a client may have browsers sent after a logout; "+" stands for its redirect
// URIs, and "-" for nowhere.
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

func (v *pageRequest) logoutFailure(message string) answer {
	return v.failure(400, message).with("Cache-Control", noCache)
}

func (v *pageRequest) confirmPage(t *authSession) answer {
	t.code = opaque(43)
	action := withPairs(v.realm.basePath()+oidc+"/logout/logout-confirm", false,
		[]string{"client_id", t.client.ClientID, "tab_id", t.id})
	return page{ID: "login-logout-confirm", Title: "Logging out", Text: "Do you want to log out?",
		Form: &form{Action: action, Fields: []field{
			{Name: "session_code", Kind: "hidden", Value: t.code},
			{Name: "confirmLogout", Kind: "submit", Label: "Logout", Value: "Logout"},
		}}}.answer(200, noCache)
}

// logoutConfirm takes the person's word.
func (r *Realm) logoutConfirm(c *call) answer { return r.browse(c, (*pageRequest).confirm) }

func (v *pageRequest) confirm() answer {
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
	return v.endSignedIn(t, v.identity())
}

// endSignedIn ends a session: the one that the ID token names, if it goes on, or else the
// browser's.
func (v *pageRequest) endSignedIn(t *authSession, browsers *session) answer {
	v.close(t)
	ended := v.realm.sessions[t.hint]
	if ended == nil {
		ended = browsers
	}
	if ended != nil {
		delete(v.realm.logins, t.login.id) // with what else the browser was about to do
	}
	if browsers != nil {
		v.drop(identityCookie, sessionCookie)
	}
	back := t.asked.redirect
	if back != "" && t.state != "" {
		back = withPairs(back, false, []string{"state", t.state})
	}
	if ended != nil {
		frames := v.realm.frontChannel(ended)
		v.notices = append(v.notices, v.realm.end(ended, v.now)...)
		if browsers != nil && len(frames) > 0 {
			return page{ID: "login-frontchannel-logout", Title: "Logging out", Frames: frames,
				Next: template.URL(back)}.answer(200, noCache)
		}
	}
	if back == "" {
		return loggedOutPage(200)
	}
	return v.redirect(back).with("Cache-Control", noCache)
}

func loggedOutPage(status int) answer {
	return page{ID: "login-info", Title: "You are logged out",
		Text: "You are logged out"}.answer(status, noCache)
}

// frontChannel are the addresses that the browser loads to tell the session's clients (OpenID
// Connect Front-Channel Logout 1.0).
func (r *Realm) frontChannel(s *session) []frame {
	var frames []frame
	for _, part := range s.clients {
		to := part.client.Attributes["frontchannel.logout.url"]
		if !part.client.FrontchannelLogout || to == "" {
			continue
		}
		to = r.redirectURIs(part.client, []string{to})[0]
		if !part.client.isFalse("frontchannel.logout.session.required") {
			to = withPairs(to, false, []string{"sid", s.id, "iss", r.Issuer()})
		}
		frames = append(frames, frame{part.client.ClientID, to})
	}
	slices.SortFunc(frames, func(a, b frame) int { return strings.Compare(a.Client, b.Client) })
	return frames
}
