package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A sessionEnd is a way to end sessions.
type sessionEnd struct {
	name string
	// local means that the server itself does it. announced means that Keycloak announces it, if
	// the server's URL for back-channel logout is registered.
	local, announced bool
	// continues means that Keycloak itself continues the session, so no process refuses its tokens.
	continues bool
	// realmWide means that it ends the sessions of all users.
	realmWide bool
	end       func(t *testing.T, e endedSession)
}

// An endedSession is a session that a test ends.
type endedSession struct {
	realm      realm
	first      *server // of the two processes
	tokens     tokens
	userID, id string
}

// sessionEnds lists all ways to end a session that the tests know.
func sessionEnds() []sessionEnd {
	const openID = "/protocol/openid-connect"
	postToken := func(path, parameter string) func(t *testing.T, e endedSession) {
		return func(t *testing.T, e endedSession) {
			status, body := e.realm.k.post(t, "/realms/"+e.realm.name+openID+path,
				"client_id", "local-api", "client_secret", "local-api-secret",
				parameter, e.tokens.RefreshToken)
			if status >= 300 {
				t.Fatalf("%s at Keycloak: got %d %s, want success", path, status, body)
			}
		}
	}
	return []sessionEnd{
		{name: "`logout` through CloakQL", local: true,
			end: func(t *testing.T, e endedSession) {
				wantCode(t, "logout", e.first.logout(t, e.tokens.RefreshToken), "")
			}},
		{name: "log-out at Keycloak", announced: true, end: postToken("/logout", "refresh_token")},
		{name: "an administrator ends the session", announced: true,
			end: func(t *testing.T, e endedSession) { e.realm.endSession(t, e.id) }},
		{name: "an administrator ends all sessions of the user", announced: true,
			end: func(t *testing.T, e endedSession) { e.realm.logoutUser(t, e.userID) }},
		{name: "the user is disabled", end: func(t *testing.T, e endedSession) {
			e.realm.updateUser(t, e.userID, object{"enabled": false})
		}},
		{name: "the user is deleted", end: func(t *testing.T, e endedSession) {
			e.realm.deleteUser(t, e.userID)
		}},
		{name: "the refresh token is revoked (`/revoke`)", end: postToken("/revoke", "token")},
		{name: "the password is changed", continues: true,
			end: func(t *testing.T, e endedSession) {
				e.realm.setPassword(t, e.userID, "changed")
			}},
		{name: "not-before of the client", realmWide: true,
			end: func(t *testing.T, e endedSession) { e.realm.setClientNotBefore(t) }},
		{name: "not-before of the realm", realmWide: true,
			end: func(t *testing.T, e endedSession) { e.realm.setNotBefore(t) }},
		{name: "all sessions of the realm are ended", realmWide: true,
			end: func(t *testing.T, e endedSession) { e.realm.logoutAll(t) }},
	}
}

// deleteUser deletes a user.
func (r realm) deleteUser(t *testing.T, id string) {
	t.Helper()
	if !r.withFakeUser(t, id, (*keycloaktest.User).Delete) {
		r.k.callAdmin(t, http.MethodDelete, "/"+r.name+"/users/"+id, nil)
	}
}

// setPassword sets a user's password.
func (r realm) setPassword(t *testing.T, id, password string) {
	t.Helper()
	if !r.withFakeUser(t, id, func(u *keycloaktest.User) error { return u.SetPassword(password) }) {
		r.k.callAdmin(t, http.MethodPut, "/"+r.name+"/users/"+id+"/reset-password",
			object{"type": "password", "value": password, "temporary": false})
	}
}

// setNotBefore revokes all tokens of the realm that are older than this second, as the button
// "Set to now" of Keycloak's admin console does.
func (r realm) setNotBefore(t *testing.T) {
	t.Helper()
	r.update(t, object{"notBefore": time.Now().Unix()})
}

// setClientNotBefore is like setNotBefore, but for the client local-api.
func (r realm) setClientNotBefore(t *testing.T) {
	t.Helper()
	r.updateClient(t, apiClient(object{"notBefore": time.Now().Unix()}))
}

// logoutAll ends all sessions of the realm.
func (r realm) logoutAll(t *testing.T) {
	t.Helper()
	if r.k.fake == nil {
		r.k.callAdmin(t, http.MethodPost, "/"+r.name+"/logout-all", nil)
		return
	}
	for _, session := range r.k.fake.Realm(r.name).Sessions() {
		r.k.fake.Realm(r.name).EndSession(session)
	}
}

// registerBackChannel registers the server's URL for back-channel logout.
func (r realm) registerBackChannel(t *testing.T, s *server) {
	t.Helper()
	serverURL, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	r.updateClient(t, apiClient(object{"attributes": object{
		"backchannel.logout.url": "http://127.0.0.1:" + serverURL.Port() +
			"/backchannel-logout",
		"backchannel.logout.session.required": "true",
	}}))
}

// When a session ends, both processes refuse its access tokens: at once if Keycloak announces the
// end, and otherwise with the next check of REVOCATION_CHECK. TEST_REVOCATION_INTERVAL is its
// interval in seconds.
func TestRevocation_twoProcesses(t *testing.T) {
	t.Parallel()
	interval := time.Duration(number("TEST_REVOCATION_INTERVAL", 1)) * time.Second
	columns := []revocationColumn{
		{name: "`off`", check: "off", backChannel: true},
		{name: "`sample`", check: "sample", backChannel: true},
		{name: "`always`", check: "always", backChannel: true},
		{name: "`sample`, no back-channel URL", check: "sample"},
	}
	var results sync.Map // of map[string][2]time.Duration by column
	runTogether(t, columns, func(c revocationColumn) string { return c.name },
		func(t *testing.T, c revocationColumn) { results.Store(c.name, c.measure(t, interval)) })
	var table strings.Builder
	for _, column := range columns {
		fmt.Fprintf(&table, " | %s", column.name)
	}
	table.WriteString(" |\n|---|---|---|---|---|\n")
	for _, way := range sessionEnds() {
		fmt.Fprintf(&table, "| %s", way.name)
		for _, column := range columns {
			measured, ok := results.Load(column.name)
			if !ok {
				table.WriteString(" | not measured")
				continue
			}
			for i, took := range measured.(map[string][2]time.Duration)[way.name] {
				separator := [2]string{" | ", ", "}[i]
				if took == 0 {
					table.WriteString(separator + "–")
				} else {
					fmt.Fprintf(&table, "%s%.2f", separator, took.Seconds())
				}
			}
		}
		table.WriteString(" |\n")
	}
	t.Logf("seconds until the first TOKEN_REVOKED at the first process and at the second, with "+
		"REVOCATION_CHECK and an interval of %v:\n\n| what ends the session%s", interval,
		table.String())
}

// A revocationColumn is a configuration for which TestRevocation_twoProcesses measures.
type revocationColumn struct {
	name, check string // check is REVOCATION_CHECK
	backChannel bool   // the URL for back-channel logout is registered
}

// measure ends a session in each way, and returns how long each of two processes took to refuse
// its access token, by the name of the way.
func (c revocationColumn) measure(t *testing.T,
	interval time.Duration) map[string][2]time.Duration {
	r := newRealm(t, sharedKeycloak, nil)
	servers := r.serveTwo(t, redistest.Start(t).URL(), "REVOCATION_CHECK="+c.check,
		"REVOCATION_CHECK_INTERVAL="+interval.String())
	if c.backChannel {
		r.registerBackChannel(t, servers[0])
	}
	results := map[string][2]time.Duration{}
	var mu sync.Mutex // guards results
	measure := func(way sessionEnd) {
		mustEnd := !way.continues && (way.local || way.announced && c.backChannel ||
			c.check != "off")
		limit := time.Minute
		if !mustEnd {
			limit = 2*interval + 2*time.Second
		}
		took := measureRefusal(t, r, servers, way, interval, limit)
		for i := range servers {
			if mustEnd && took[i] == 0 {
				t.Errorf("%s: process %d didn't refuse the token in %v", way.name, i+1, limit)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		results[way.name] = took
	}
	var running sync.WaitGroup
	for _, way := range sessionEnds() {
		if !way.realmWide {
			running.Go(func() { measure(way) })
		}
	}
	running.Wait()
	for _, way := range sessionEnds() {
		if way.realmWide { // one after another, since they end each other's sessions
			measure(way)
		}
	}
	return results
}

// measureRefusal ends a session in use, and returns how long each of the processes took to refuse
// its access token, or zero if it didn't within limit.
func measureRefusal(t *testing.T, r realm, servers [2]*server, way sessionEnd,
	interval, limit time.Duration) (took [2]time.Duration) {
	user, userID := r.newUser(t, nil)
	session, response := servers[0].login(t, user, "secret")
	if response.code() != "" {
		t.Errorf("%s: login: got %s", way.name, response.body)
		return took
	}
	ended := endedSession{realm: r, first: servers[0], tokens: session, userID: userID,
		id: servers[0].sessionOf(t, session.AccessToken)}
	// Use the session for a second, because not-before has a resolution of a second, and then
	// until a random moment between two checks.
	inUse := 1100*time.Millisecond + rand.N(interval)
	for start := time.Now(); time.Since(start) < inUse; time.Sleep(20 * time.Millisecond) {
		for _, s := range servers {
			if _, response := s.me(t, session.AccessToken); response.code() != "" {
				t.Errorf("%s: me before the end: got %s", way.name, response.body)
				return took
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	way.end(t, ended)
	var running sync.WaitGroup
	for i, s := range servers {
		running.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
				response, err := s.sendQuery(ctx, session.AccessToken, usernameQuery, nil)
				if err == nil && response.code() == "UNAUTHENTICATED/TOKEN_REVOKED" {
					took[i] = time.Since(start)
					return
				}
			}
		})
	}
	running.Wait()
	for i := range servers {
		if way.continues && took[i] > 0 {
			t.Errorf("%s: process %d refused the token, although the session continues", way.name,
				i+1)
		}
	}
	return took
}
