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
	run(t, "backchannel", func(suite *testSuite) {
		l := newLogoutListener(suite)
		clientWithURL := func(id, logoutURL string, attributes object) object {
			return clientJSON(id,
				object{"attributes": merge(object{"backchannel.logout.url": logoutURL},
					attributes)})
		}
		r := suite.addRealm(realmJSON(nil,
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
			clientJSON("no-logout-url", nil),
		))
		login := func(s *scenario, u *user, client string, pairs ...string) response {
			return s.login(u, append(pairs, clientParams(client)...)...)
		}
		logout := func(s *scenario, client string, tokens response) response {
			return s.logout(r, tokens.field("refresh_token"), clientParams(client)...)
		}
		for _, client := range []string{"sid-required", "sid-optional", "plain", "offline",
			"relative", "failing"} {
			suite.add("logout of "+client, func(s *scenario) {
				u := s.addUser(r, nil)
				tokens := login(s, u, client)
				s.recordOutcome("logout", logout(s, client, tokens))
				l.record(s, u)
				s.recordOutcome("logout again", logout(s, client, tokens))
				l.record(s, u)
			})
		}
		for _, client := range []string{"front", "absent"} {
			suite.add("logout of "+client, func(s *scenario) {
				u := s.addUser(r, nil)
				s.recordOutcome("logout", logout(s, client, login(s, u, client)))
				l.record(s, u)
			})
		}
		suite.add("the token's sid is the session", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := login(s, u, "sid-required")
			logout(s, "sid-required", tokens)
			for _, req := range l.takeRequests(s, u) {
				decoded, _ := decodeToken(req.form.Get("logout_token"))
				s.note("%s: %t", req.path, decoded.claims["sid"] == tokens.field("session_state"))
			}
		})
		suite.add("logout in a browser", func(s *scenario) {
			u := s.addUser(r, nil)
			s.recordPageOrRedirect(
				s.newBrowser().open(r.logoutURL("id_token_hint",
					login(s, u, "sid-required").field("id_token"))))
			l.record(s, u)
		})
		suite.add("all clients of a session that another client ends", func(s *scenario) {
			u := s.addUser(r, nil)
			b := s.newBrowser()
			redirect := b.login(u, "client_id", "no-logout-url")
			tokens := s.token(r,
				codeGrant(redirect.redirectQuery().Get("code"),
					clientParams("no-logout-url")...)).mustOK()
			// These clients join the session, but don't exchange their codes.
			for _, client := range []string{"sid-required", "sid-optional"} {
				b.open(r.authURL("client_id", client))
			}
			s.recordOutcome("logout", logout(s, "no-logout-url", tokens))
			l.recordPaths(s, u)
		})
		suite.add("session deleted by an administrator", func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := login(s, u, "sid-required")
			login(s, u, "plain")
			s.must(s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			l.recordPaths(s, u)
		})
		suite.add("user logged out by an administrator", func(s *scenario) {
			u := s.addUser(r, nil)
			for _, client := range []string{"sid-required", "sid-required", "sid-optional"} {
				login(s, u, client)
			}
			s.must(s.kc.logoutUser(u.userRef))
			l.recordPaths(s, u)
		})
		suite.add("password changed, sign out from other devices", func(s *scenario) {
			u := s.addUser(r, nil)
			login(s, u, "sid-required")
			b := s.newBrowser()
			b.login(u, "client_id", "sid-required")
			page := b.open(r.authURL("client_id", "sid-required", "kc_action", "UPDATE_PASSWORD"))
			s.recordPageOrRedirect(b.submit(page, "password-new", "another", "password-confirm",
				"another", "logout-sessions", "on"))
			l.recordPaths(s, u)
		})
		suite.add("offline session", func(s *scenario) {
			u := s.addUser(r, nil)
			s.recordOutcome("logout",
				logout(s, "offline", login(s, u, "offline", "scope", "openid offline_access")))
			l.record(s, u)
		})
		addWithoutLogoutToken := func(name string,
			invalidate func(s *scenario, u *user, tokens response)) {
			suite.add("no logout token: "+name, func(s *scenario) {
				u := s.addUser(r, nil)
				invalidate(s, u, login(s, u, "sid-required"))
				l.recordPaths(s, u)
			})
		}
		addWithoutLogoutToken("revoked", func(s *scenario, u *user, tokens response) {
			s.recordOutcome("revoke",
				s.post(r.endpoint("/revoke"),
					withParams(clientForm("sid-required"), "token", tokens.field("refresh_token"))))
		})
		addWithoutLogoutToken("user disabled", func(s *scenario, u *user, tokens response) {
			s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		})
		addWithoutLogoutToken("user deleted", func(s *scenario, u *user, tokens response) {
			s.must(s.kc.deleteUser(u.userRef))
		})
		addWithoutLogoutToken("password reset", func(s *scenario, u *user, tokens response) {
			s.must(s.kc.resetPassword(u.userRef, "another"))
		})
	})
}

// A logoutListener receives the logout tokens that are sent to a suite's clients.
type logoutListener struct {
	url string

	mu       sync.Mutex                 // guards the field below
	requests map[string][]logoutRequest // by the subject of the logout token
}

// A logoutRequest is a request to a client's back-channel logout URL.
type logoutRequest struct {
	method, path, contentType string
	form                      url.Values
}

// newLogoutListener starts a listener that runs until the test ends.
func newLogoutListener(suite *testSuite) *logoutListener {
	l := &logoutListener{requests: map[string][]logoutRequest{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		values, _ := url.ParseQuery(string(body))
		decoded, _ := decodeToken(values.Get("logout_token"))
		l.mu.Lock()
		defer l.mu.Unlock()
		subject := fmt.Sprint(decoded.claims["sub"])
		l.requests[subject] = append(l.requests[subject],
			logoutRequest{r.Method, r.URL.Path, r.Header.Get("Content-Type"), values})
		if r.URL.Path == "/failing" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	suite.t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// takeRequests waits a moment for logout requests. It returns the requests about a user that have
// arrived since the last call.
func (l *logoutListener) takeRequests(s *scenario, u *user) []logoutRequest {
	s.wait(200 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	requests := l.requests[u.id]
	delete(l.requests, u.id)
	slices.SortFunc(requests, func(a, b logoutRequest) int {
		return strings.Compare(a.path, b.path)
	})
	return requests
}

// record records the requests about a user, with their logout tokens.
func (l *logoutListener) record(s *scenario, u *user) {
	s.Helper()
	w := s.windowSinceStart()
	requests := l.takeRequests(s, u)
	w.receivedAt = s.kc.now()
	if len(requests) == 0 {
		s.note("no logout token")
	}
	for _, req := range requests {
		s.note("logout token: %s %s %s, with %s", req.method, req.path, req.contentType,
			strings.Join(slices.Sorted(maps.Keys(req.form)), ", "))
		s.out.WriteString(s.formatToken("logout_token", req.form.Get("logout_token"), w))
	}
}

// recordPaths records only the paths of the requests about a user.
func (l *logoutListener) recordPaths(s *scenario, u *user) {
	s.Helper()
	requests := l.takeRequests(s, u)
	if len(requests) == 0 {
		s.note("no logout token")
	}
	for _, req := range requests {
		s.note("logout token: %s", req.path)
	}
}
