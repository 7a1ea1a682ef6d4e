package contract

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLogout_backchannel records the logout tokens that clients receive when a session ends (OpenID
// Connect Back-Channel Logout 1.0).
func TestLogout_backchannel(t *testing.T) {
	run(t, "backchannel", func(g *group) {
		l := newLogoutListener(g)
		clientWithURL := func(id, path string, attributes object) object {
			return clientFile(id,
				object{"attributes": merge(object{"backchannel.logout.url": path}, attributes)})
		}
		r := g.realm(realmFile(nil,
			clientWithURL("sid-required", l.url+"/sid-required",
				object{"backchannel.logout.session.required": "true"}),
			clientWithURL("sid-optional", l.url+"/sid-optional",
				object{"backchannel.logout.session.required": "false"}),
			clientWithURL("plain", l.url+"/plain", nil),
			clientWithURL("offline", l.url+"/offline",
				object{"backchannel.logout.session.required": "true",
					"backchannel.logout.revoke.offline.tokens": "true"}),
			merge(clientWithURL("relative", "/relative", nil), object{"rootUrl": l.url}),
			merge(clientWithURL("front", l.url+"/front", nil), object{"frontchannelLogout": true}),
			clientWithURL("failing", l.url+"/failing", nil),
			clientWithURL("absent", "http://127.0.0.1:1/", nil),
			clientFile("no-logout-url", nil),
		))
		login := func(s *scenario, u *user, client string, pairs ...string) response {
			return s.login(u,
				append(pairs, credsOf(client)...)...)
		}
		logout := func(s *scenario, client string, login response) response {
			return s.logout(r, login.field("refresh_token"), credsOf(client)...)
		}
		for _, client := range []string{"sid-required", "sid-optional", "plain", "offline",
			"relative", "failing"} {
			g.scenario("logout of "+client, func(s *scenario) {
				u := s.user(r, nil)
				tokens := login(s, u, client)
				s.outcome("logout", logout(s, client, tokens))
				l.show(s, u)
				s.outcome("logout again", logout(s, client, tokens))
				l.show(s, u)
			})
		}
		for _, client := range []string{"front", "absent"} {
			g.scenario("logout of "+client, func(s *scenario) {
				u := s.user(r, nil)
				s.outcome("logout", logout(s, client, login(s, u, client)))
				l.show(s, u)
			})
		}
		g.scenario("the token's sid is the session", func(s *scenario) {
			u := s.user(r, nil)
			tokens := login(s, u, "sid-required")
			logout(s, "sid-required", tokens)
			for _, req := range l.receive(s, u) {
				decoded, _ := decodeToken(req.form.Get("logout_token"))
				s.note("%s: %t", req.path, decoded.claims["sid"] == tokens.field("session_state"))
			}
		})
		g.scenario("logout in a browser", func(s *scenario) {
			u := s.user(r, nil)
			s.showFinal(
				s.browser().open(r.logoutURL("id_token_hint",
					login(s, u, "sid-required").field("id_token"))))
			l.show(s, u)
		})
		g.scenario("all clients of a session that another client ends", func(s *scenario) {
			u := s.user(r, nil)
			b := s.browser()
			redirect := b.login(u, "client_id", "no-logout-url")
			tokens := s.token(r,
				codeGrant(redirect.redirectQuery().Get("code"), credsOf("no-logout-url")...)).ok()
			// These clients don't exchange their codes.
			for _, client := range []string{"sid-required", "sid-optional"} {
				b.open(r.authURL("client_id", client))
			}
			s.outcome("logout", logout(s, "no-logout-url", tokens))
			l.showPaths(s, u)
		})
		g.scenario("session deleted by an administrator", func(s *scenario) {
			u := s.user(r, nil)
			tokens := login(s, u, "sid-required")
			login(s, u, "plain")
			s.must(s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			l.showPaths(s, u)
		})
		g.scenario("user logged out by an administrator", func(s *scenario) {
			u := s.user(r, nil)
			for _, client := range []string{"sid-required", "sid-required", "sid-optional"} {
				login(s, u, client)
			}
			s.must(s.kc.logoutUser(u.userRef))
			l.showPaths(s, u)
		})
		g.scenario("offline session", func(s *scenario) {
			u := s.user(r, nil)
			s.outcome("logout",
				logout(s, "offline", login(s, u, "offline", "scope", "openid offline_access")))
			l.show(s, u)
		})
		noLogoutToken := func(name string, end func(s *scenario, u *user, tokens response)) {
			g.scenario("no logout token: "+name, func(s *scenario) {
				u := s.user(r, nil)
				end(s, u, login(s, u, "sid-required"))
				l.showPaths(s, u)
			})
		}
		noLogoutToken("revoked", func(s *scenario, u *user, tokens response) {
			s.outcome("revoke",
				s.post(r.oidc("/revoke"),
					with(secretOf("sid-required"), "token", tokens.field("refresh_token"))))
		})
		noLogoutToken("user disabled", func(s *scenario, u *user, tokens response) {
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		})
		noLogoutToken("user deleted", func(s *scenario, u *user, tokens response) {
			s.must(s.kc.deleteUser(u.userRef))
		})
		noLogoutToken("password reset", func(s *scenario, u *user, tokens response) {
			s.must(s.kc.resetPassword(u.userRef, "another"))
		})
	})
}

// A logoutListener receives the logout tokens that are sent to a group's clients.
type logoutListener struct {
	url string

	mu       sync.Mutex                 // guards the field below
	received map[string][]logoutRequest // by the token's subject
}

// A logoutRequest is a request to a client's back-channel logout URL.
type logoutRequest struct {
	method, path, contentType string
	form                      url.Values
}

// newLogoutListener starts a listener that runs until the test ends.
func newLogoutListener(g *group) *logoutListener {
	l := &logoutListener{received: map[string][]logoutRequest{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		values, _ := url.ParseQuery(string(body))
		decoded, _ := decodeToken(values.Get("logout_token"))
		l.mu.Lock()
		defer l.mu.Unlock()
		subject := fmt.Sprint(decoded.claims["sub"])
		l.received[subject] = append(l.received[subject],
			logoutRequest{r.Method, r.URL.Path, r.Header.Get("Content-Type"), values})
		if r.URL.Path == "/failing" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	g.t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// receive waits a moment, and returns the requests for a user that arrived since the last call.
func (l *logoutListener) receive(s *scenario, u *user) []logoutRequest {
	s.wait(200 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	received := l.received[u.id]
	delete(l.received, u.id)
	slices.SortFunc(received, func(a, b logoutRequest) int {
		return strings.Compare(a.path, b.path)
	})
	return received
}

// show records the requests for a user, with their logout tokens.
func (l *logoutListener) show(s *scenario, u *user) {
	s.Helper()
	w := s.sinceStart()
	received := l.receive(s, u)
	w.received = s.kc.now()
	if len(received) == 0 {
		s.note("no logout token")
	}
	for _, req := range received {
		s.note("logout token: %s %s %s, with %s", req.method, req.path, req.contentType,
			strings.Join(slices.Sorted(maps.Keys(req.form)), ", "))
		s.out.WriteString(s.formatToken("logout_token", req.form.Get("logout_token"), w))
	}
}

// showPaths records only the paths of the requests for a user.
func (l *logoutListener) showPaths(s *scenario, u *user) {
	s.Helper()
	received := l.receive(s, u)
	if len(received) == 0 {
		s.note("no logout token")
	}
	for _, req := range received {
		s.note("logout token: %s", req.path)
	}
}
