package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// updateClient changes the client local-api. settings has all fields of the client, as apiClient
// returns them: Keycloak resets the fields that settings lacks.
func (r realm) updateClient(t *testing.T, settings object) {
	t.Helper()
	if r.k.fake != nil {
		fakeRealm := r.k.fake.Realm(r.name)
		if err := fakeRealm.UpdateClient("local-api", encode(t, settings)); err != nil {
			t.Fatal(err)
		}
		return
	}
	body, _ := r.k.callAdmin(t, http.MethodGet, "/"+r.name+"/clients?clientId=local-api", nil)
	var clients []struct{ ID string }
	if err := json.Unmarshal(body, &clients); err != nil || len(clients) != 1 {
		t.Fatalf("the clients named local-api are %s, want one", body)
	}
	r.k.callAdmin(t, http.MethodPut, "/"+r.name+"/clients/"+clients[0].ID, settings)
}

// endSession ends a session.
func (r realm) endSession(t *testing.T, id string) {
	t.Helper()
	if r.k.fake == nil {
		r.k.callAdmin(t, http.MethodDelete, "/"+r.name+"/sessions/"+id, nil)
	} else if !r.k.fake.Realm(r.name).EndSession(keycloaktest.Session{ID: id}) {
		t.Fatalf("there is no session %s", id)
	}
}

// sessionOf returns the ID of a token's session.
func (s *server) sessionOf(t *testing.T, accessToken string) string {
	t.Helper()
	response := s.query(t, accessToken, `{ me { token { session { id } } } }`, nil)
	var me struct {
		Token struct{ Session struct{ ID string } }
	}
	if err := json.Unmarshal(response.Data["me"], &me); err != nil || me.Token.Session.ID == "" {
		t.Fatalf("the token has no session: %s", response.body)
	}
	return me.Token.Session.ID
}

// When a session ends, by a sign-out of any client or by an administrator, its access tokens are
// refused at once. Other sessions of the user continue.
func TestRevocation(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, nil)
	s := r.serve(t)
	serverURL, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	logoutURL := "http://127.0.0.1:" + serverURL.Port() + "/backchannel-logout"
	r.updateClient(t, apiClient(object{"attributes": object{
		"backchannel.logout.url":              logoutURL,
		"backchannel.logout.session.required": "true",
	}}))
	for name, end := range map[string]func(t *testing.T, session tokens, userID string){
		"logout through the server": func(t *testing.T, session tokens, _ string) {
			wantCode(t, "logout", s.logout(t, session.RefreshToken), "")
		},
		"logout at Keycloak": func(t *testing.T, session tokens, _ string) {
			status, body := r.k.post(t, "/realms/"+r.name+"/protocol/openid-connect/logout",
				"client_id", "local-api", "client_secret", "local-api-secret",
				"refresh_token", session.RefreshToken)
			if status != http.StatusNoContent {
				t.Fatalf("logout at Keycloak: got %d %s, want 204", status, body)
			}
		},
		"an administrator ends the session": func(t *testing.T, session tokens, _ string) {
			r.endSession(t, s.sessionOf(t, session.AccessToken))
		},
		"an administrator signs the user out": func(t *testing.T, _ tokens, userID string) {
			r.logoutUser(t, userID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			user, userID := r.newUser(t, nil)
			otherUser, _ := r.newUser(t, nil)
			session, other := s.mustLogin(t, user, "secret"), s.mustLogin(t, otherUser, "secret")
			var secondSession tokens
			if name != "an administrator signs the user out" {
				secondSession = s.mustLogin(t, user, "secret")
			}
			_, response := s.me(t, session.AccessToken)
			wantCode(t, "me", response, "")
			start := time.Now()
			end(t, session, userID)
			_, response = s.me(t, session.AccessToken)
			wantCode(t, "me after the end", response, "UNAUTHENTICATED/TOKEN_REVOKED")
			t.Logf("refused %v after the call that ended it began", time.Since(start))
			_, response = s.me(t, other.AccessToken)
			wantCode(t, "me of another user", response, "")
			if secondSession.AccessToken != "" {
				_, response = s.me(t, secondSession.AccessToken)
				wantCode(t, "me in the user's other session", response, "")
			}
		})
	}
}
