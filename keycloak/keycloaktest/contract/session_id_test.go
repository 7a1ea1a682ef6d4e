package contract

import (
	"net/http"
	"testing"
	"time"
)

// TestSessionID records whether a session gets the ID of an earlier one: a user has two tabs with
// the login page, signs in on the first, the session ends, and the user signs in on the second.
func TestSessionID(t *testing.T) {
	run(t, "session-id", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil,
			clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}})))
		creds := clientParams("server")
		exchange := func(s *scenario, redirect response) response {
			return s.token(r, codeGrant(redirect.redirectQuery().Get("code"), creds...)).mustOK()
		}
		end := map[string]func(s *scenario, u *user, tokens response){
			"by an administrator": func(s *scenario, u *user, tokens response) {
				s.must(s.kc.endSession(sessionRef{realm: r.name,
					sid: tokens.field("session_state")}))
			},
			"with its refresh token": func(s *scenario, u *user, tokens response) {
				s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token"), creds...))
			},
		}
		for _, name := range []string{"by an administrator", "with its refresh token"} {
			for _, prompt := range []string{"", "login"} {
				title := "login page opened before the first sign-in"
				if prompt == "login" {
					title = "login page opened with prompt=login after the first sign-in"
				}
				suite.add(title+", session ended "+name, func(s *scenario) {
					u := s.addUser(r, nil)
					b := s.newBrowser()
					var secondTab response
					if prompt == "" {
						secondTab = b.open(r.authURL("client_id", "server"))
					}
					first := exchange(s, b.login(u, "client_id", "server"))
					if prompt == "login" {
						secondTab = b.open(r.authURL("client_id", "server", "prompt", "login"))
					}
					s.wait(2100 * time.Millisecond)
					end[name](s, u, first)
					s.wait(2100 * time.Millisecond)
					redirect := b.submit(secondTab, "username", u.username, "password", "secret")
					s.recordPageOrRedirect(redirect)
					if redirect.status == http.StatusOK { // another login page
						redirect = b.submit(redirect, "username", u.username, "password", "secret")
						s.recordPageOrRedirect(redirect)
					}
					second := exchange(s, redirect)
					s.note("same session ID: %t",
						first.field("session_state") == second.field("session_state"))
					s.recordActiveState("token of the ended session",
						s.introspect(r, "server", first.field("access_token")))
					s.recordOutcome("userinfo", s.userinfo(r, first))
					s.recordActiveState("new token",
						s.introspect(r, "server", second.field("access_token")))
					s.recordOutcome("refresh in the ended session", s.refresh(r, first, creds...))
					s.recordOutcome("refresh in the new session", s.refresh(r, second, creds...))
				})
			}
		}
		suite.add("single sign-on", func(s *scenario) {
			b := s.newBrowser()
			first := exchange(s, b.login(s.addUser(r, nil), "client_id", "server"))
			s.wait(2100 * time.Millisecond)
			second := exchange(s, b.open(r.authURL("client_id", "server")))
			s.note("same session ID: %t",
				first.field("session_state") == second.field("session_state"))
			s.recordActiveState("first token",
				s.introspect(r, "server", first.field("access_token")))
			s.recordOutcome("userinfo", s.userinfo(r, first))
			s.recordOutcome("refresh with the first token", s.refresh(r, first, creds...))
			s.recordOutcome("refresh with the second token", s.refresh(r, second, creds...))
		})
	})
}
