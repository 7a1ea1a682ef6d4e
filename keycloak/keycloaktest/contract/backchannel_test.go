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

// Logout tokens: what clients are told when a session ends (OpenID Connect Back-Channel Logout
// 1.0).
func TestBackchannel(t *testing.T) {
	run(t, "backchannel", func(g *group) {
		l := newListener(g)
		told := func(id, path string, attributes object) object {
			return clientFile(id,
				object{"attributes": merge(object{"backchannel.logout.url": path}, attributes)})
		}
		r := g.realm(realmFile(nil,
			told("told", l.url+"/told", object{"backchannel.logout.session.required": "true"}),
			told("sidless", l.url+"/sidless",
				object{"backchannel.logout.session.required": "false"}),
			told("plain", l.url+"/plain", nil),
			told("offline", l.url+"/offline",
				object{"backchannel.logout.session.required": "true",
					"backchannel.logout.revoke.offline.tokens": "true"}),
			merge(told("relative", "/relative", nil), object{"rootUrl": l.url}),
			merge(told("front", l.url+"/front", nil), object{"frontchannelLogout": true}),
			told("failing", l.url+"/failing", nil),
			told("absent", "http://127.0.0.1:1/", nil),
			clientFile("untold", nil),
		))
		login := func(x *exchange, u *user, client string, pairs ...string) answer {
			return x.login(u,
				append(pairs, "client_id", client, "client_secret", client+"-secret")...)
		}
		logout := func(x *exchange, client string, login answer) answer {
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
			for _, n := range l.take(x, u) {
				opened, _ := openToken(n.form.Get("logout_token"))
				x.note("%s: %t", n.path, opened.claims["sid"] == tokens.field("session_state"))
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
			for _, client := range []string{"told", "sidless"} { // whose codes nobody exchanges
				b.open(r.authURL("client_id", client))
			}
			x.outcome("logout", logout(x, "untold", tokens))
			l.paths(x, u)
		})
		g.exchange("session deleted by an administrator", func(x *exchange) {
			u := x.user(r, nil)
			tokens := login(x, u, "told")
			login(x, u, "plain")
			x.must(x.side.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
			l.paths(x, u)
		})
		g.exchange("user logged out by an administrator", func(x *exchange) {
			u := x.user(r, nil)
			for _, client := range []string{"told", "told", "sidless"} {
				login(x, u, client)
			}
			x.must(x.side.logoutUser(u.userRef))
			l.paths(x, u)
		})
		g.exchange("offline session", func(x *exchange) {
			u := x.user(r, nil)
			x.outcome("logout",
				logout(x, "offline", login(x, u, "offline", "scope", "openid offline_access")))
			l.show(x, u)
		})
		silent := func(name string, end func(x *exchange, u *user, tokens answer)) {
			g.exchange("not told: "+name, func(x *exchange) {
				u := x.user(r, nil)
				end(x, u, login(x, u, "told"))
				l.paths(x, u)
			})
		}
		silent("revoked", func(x *exchange, u *user, tokens answer) {
			x.outcome("revoke",
				x.post(r.oidc("/revoke"),
					with(secretOf("told"), "token", tokens.field("refresh_token"))))
		})
		silent("user disabled", func(x *exchange, u *user, tokens answer) {
			x.must(x.side.patchUser(u.userRef, object{"enabled": false}))
		})
		silent("user deleted", func(x *exchange, u *user, tokens answer) {
			x.must(x.side.deleteUser(u.userRef))
		})
		silent("password reset", func(x *exchange, u *user, tokens answer) {
			x.must(x.side.resetPassword(u.userRef, "another"))
		})
	})
}

// A listener stands for the clients of a group: it hears their logout tokens.
type listener struct {
	url string

	mu    sync.Mutex // guards the field below
	heard map[string][]notice
}

// A notice is what one client was told.
type notice struct {
	method, path, contentType string
	form                      url.Values
}

func newListener(g *group) *listener {
	l := &listener{heard: map[string][]notice{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		values, _ := url.ParseQuery(string(body))
		opened, _ := openToken(values.Get("logout_token"))
		l.mu.Lock()
		defer l.mu.Unlock()
		subject := fmt.Sprint(opened.claims["sub"])
		l.heard[subject] = append(l.heard[subject],
			notice{r.Method, r.URL.Path, r.Header.Get("Content-Type"), values})
		if r.URL.Path == "/failing" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	g.t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// take returns what was told of a user since the last time, after a moment for what might come
// late.
func (l *listener) take(x *exchange, u *user) []notice {
	x.pass(200 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := l.heard[u.id]
	delete(l.heard, u.id)
	slices.SortFunc(heard, func(a, b notice) int { return strings.Compare(a.path, b.path) })
	return heard
}

// show records what was told.
func (l *listener) show(x *exchange, u *user) {
	x.Helper()
	w := x.sinceBegin()
	heard := l.take(x, u)
	w.received = x.side.now()
	if len(heard) == 0 {
		x.note("nobody is told")
	}
	for _, n := range heard {
		x.note("told: %s %s %s, with %s", n.method, n.path, n.contentType,
			strings.Join(slices.Sorted(maps.Keys(n.form)), ", "))
		x.out.WriteString(x.opened("logout_token", n.form.Get("logout_token"), w))
	}
}

// paths records who was told.
func (l *listener) paths(x *exchange, u *user) {
	x.Helper()
	heard := l.take(x, u)
	if len(heard) == 0 {
		x.note("nobody is told")
	}
	for _, n := range heard {
		x.note("told: %s", n.path)
	}
}
