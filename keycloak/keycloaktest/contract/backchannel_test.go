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

// The logout tokens that clients get when a session ends (OpenID Connect Back-Channel Logout 1.0).
func TestLogout_backchannel(t *testing.T) {
	run(t, "backchannel", func(g *group) {
		l := newLogoutListener(g)
		listening := func(id, path string, attributes object) object {
			return clientFile(id,
				object{"attributes": merge(object{"backchannel.logout.url": path}, attributes)})
		}
		r := g.realm(realmFile(nil,
			listening("told", l.url+"/told",
				object{"backchannel.logout.session.required": "true"}),
			listening("sidless", l.url+"/sidless",
				object{"backchannel.logout.session.required": "false"}),
			listening("plain", l.url+"/plain", nil),
			listening("offline", l.url+"/offline",
				object{"backchannel.logout.session.required": "true",
					"backchannel.logout.revoke.offline.tokens": "true"}),
			merge(listening("relative", "/relative", nil), object{"rootUrl": l.url}),
			merge(listening("front", l.url+"/front", nil), object{"frontchannelLogout": true}),
			listening("failing", l.url+"/failing", nil),
			listening("absent", "http://127.0.0.1:1/", nil),
			clientFile("untold", nil),
		))
		login := func(x *exchange, u *user, client string, pairs ...string) response {
			return x.login(u,
				append(pairs, "client_id", client, "client_secret", client+"-secret")...)
		}
		logout := func(x *exchange, client string, login response) response {
			return x.logout(r, login.field("refresh_token"), "client_id", client, "client_secret",
				client+"-secret")
		}
		for _, client := range []string{"told", "sidless", "plain", "offline", "relative",
			"failing"} {
			g.exchange("logout of "+client, func(x *exchange) {
				u := x.user(r, nil)
				tokens := login(x, u, client)
				x.outcome("logout", logout(x, client, tokens))
				l.show(x, u)
				x.outcome("logout again", logout(x, client, tokens))
				l.show(x, u)
			})
		}
		for _, client := range []string{"front", "absent"} {
			g.exchange("logout of "+client, func(x *exchange) {
				u := x.user(r, nil)
				x.outcome("logout", logout(x, client, login(x, u, client)))
				l.show(x, u)
			})
		}
		g.exchange("the token's sid is the session", func(x *exchange) {
			u := x.user(r, nil)
			tokens := login(x, u, "told")
			logout(x, "told", tokens)
			for _, n := range l.receive(x, u) {
				decoded, _ := decodeToken(n.form.Get("logout_token"))
				x.note("%s: %t", n.path, decoded.claims["sid"] == tokens.field("session_state"))
			}
		})
		g.exchange("logout in a browser", func(x *exchange) {
			u := x.user(r, nil)
			x.showEnd(
				x.browser().open(r.logoutURL("id_token_hint",
					login(x, u, "told").field("id_token"))))
			l.show(x, u)
		})
		g.exchange("all clients of a session that another client ends", func(x *exchange) {
			u := x.user(r, nil)
			b := x.browser()
			redirect := b.login(u, "client_id", "untold")
			tokens := x.token(r,
				codeGrant(redirect.redirected().Get("code"), "client_id", "untold", "client_secret",
					"untold-secret")).ok()
			for _, client := range []string{"told", "sidless"} { // they don't exchange their codes
				b.open(r.authURL("client_id", client))
			}
			x.outcome("logout", logout(x, "untold", tokens))
			l.paths(x, u)
		})
		g.exchange("session deleted by an administrator", func(x *exchange) {
			u := x.user(r, nil)
			tokens := login(x, u, "told")
			login(x, u, "plain")
			x.must(x.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			l.paths(x, u)
		})
		g.exchange("user logged out by an administrator", func(x *exchange) {
			u := x.user(r, nil)
			for _, client := range []string{"told", "told", "sidless"} {
				login(x, u, client)
			}
			x.must(x.kc.logoutUser(u.userRef))
			l.paths(x, u)
		})
		g.exchange("offline session", func(x *exchange) {
			u := x.user(r, nil)
			x.outcome("logout",
				logout(x, "offline", login(x, u, "offline", "scope", "openid offline_access")))
			l.show(x, u)
		})
		notTold := func(name string, end func(x *exchange, u *user, tokens response)) {
			g.exchange("not told: "+name, func(x *exchange) {
				u := x.user(r, nil)
				end(x, u, login(x, u, "told"))
				l.paths(x, u)
			})
		}
		notTold("revoked", func(x *exchange, u *user, tokens response) {
			x.outcome("revoke",
				x.post(r.oidc("/revoke"),
					with(secretOf("told"), "token", tokens.field("refresh_token"))))
		})
		notTold("user disabled", func(x *exchange, u *user, tokens response) {
			x.must(x.kc.patchUser(u.userRef, object{"enabled": false}))
		})
		notTold("user deleted", func(x *exchange, u *user, tokens response) {
			x.must(x.kc.deleteUser(u.userRef))
		})
		notTold("password reset", func(x *exchange, u *user, tokens response) {
			x.must(x.kc.resetPassword(u.userRef, "another"))
		})
	})
}

// A logoutListener receives the logout tokens of a group's clients.
type logoutListener struct {
	url string

	mu       sync.Mutex // guards the field below
	received map[string][]logoutRequest
}

// A logoutRequest is a request to a client's back-channel logout URL.
type logoutRequest struct {
	method, path, contentType string
	form                      url.Values
}

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

// receive waits a moment, and returns the requests about a user since the last call.
func (l *logoutListener) receive(x *exchange, u *user) []logoutRequest {
	x.wait(200 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	received := l.received[u.id]
	delete(l.received, u.id)
	slices.SortFunc(received, func(a, b logoutRequest) int {
		return strings.Compare(a.path, b.path)
	})
	return received
}

// show records the requests about a user and their tokens.
func (l *logoutListener) show(x *exchange, u *user) {
	x.Helper()
	w := x.sinceStart()
	received := l.receive(x, u)
	w.received = x.kc.now()
	if len(received) == 0 {
		x.note("nobody is told")
	}
	for _, n := range received {
		x.note("told: %s %s %s, with %s", n.method, n.path, n.contentType,
			strings.Join(slices.Sorted(maps.Keys(n.form)), ", "))
		x.out.WriteString(x.decoded("logout_token", n.form.Get("logout_token"), w))
	}
}

// paths records the paths of the requests about a user.
func (l *logoutListener) paths(x *exchange, u *user) {
	x.Helper()
	received := l.receive(x, u)
	if len(received) == 0 {
		x.note("nobody is told")
	}
	for _, n := range received {
		x.note("told: %s", n.path)
	}
}
