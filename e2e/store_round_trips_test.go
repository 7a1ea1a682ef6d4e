package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/internal/redistest"
)

// A login makes one round trip to the store for its budget, and me makes none.
func TestStore_roundTrips(t *testing.T) {
	t.Parallel()
	local := realm{sharedKeycloak, "local"}
	redis := redistest.Start(t)
	s := local.serve(t, "STORE="+redis.URL(), "STORE_TIMEOUT=1s")
	user, _ := local.newUser(t, nil)
	first := s.mustLogin(t, user, "secret") // and connect, and load the scripts
	s.me(t, first.AccessToken)
	monitor := redis.Monitor()
	defer monitor.Stop()
	// commands returns the names of the kinds of keys that f's commands used.
	commands := func(f func()) (kinds map[string]int) {
		monitor.Commands()
		f()
		time.Sleep(300 * time.Millisecond) // for what is done after the response
		kinds = map[string]int{}
		for _, command := range monitor.Commands() {
			kinds[keyKind(command)]++
		}
		return kinds
	}
	idle := commands(func() {})
	t.Logf("while nothing is requested, for 0.3 s: %v", idle)
	login := commands(func() { first = s.mustLogin(t, user, "secret") })
	t.Logf("login: %v", login)
	me := commands(func() {
		for range 100 {
			s.me(t, first.AccessToken)
		}
	})
	t.Logf("100 me: %v", me)
	refresh := commands(func() { first, _ = s.refresh(t, first.RefreshToken) })
	t.Logf("refresh: %v", refresh)
	logout := commands(func() { s.logout(t, first.RefreshToken) })
	t.Logf("logout: %v", logout)
	for kind, n := range me {
		if idle[kind] == 0 {
			t.Errorf("100 me made %d calls to the store for %s, want none", n, kind)
		}
	}
}

// keyKind returns what a command uses of the store: the part after the hash tag of its first key,
// such as "b" of {cloakql}:b:..., or else the command's name.
func keyKind(command string) string {
	if _, rest, ok := strings.Cut(command, "}:"); ok {
		kind, _, _ := strings.Cut(strings.TrimRight(rest, `"`), ":")
		kind, _, _ = strings.Cut(kind, `"`)
		return kind
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(command, `"`), `"`)
	return name
}
