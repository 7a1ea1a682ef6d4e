package throttle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

func TestLimiter_Login_oneName(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		made, wait := try(t, l, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "at once", made, wait, 10, time.Minute)
		made, wait = try(t, l, from(t, home), login, "bob", identity.ErrBadCredentials, 5)
		wants(t, "another name", made, wait, 5, 0)
		time.Sleep(time.Minute - 1)
		made, wait = try(t, l, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "a moment early", made, wait, 0, 1)
		time.Sleep(time.Nanosecond)
		made, wait = try(t, l, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "after a minute", made, wait, 1, time.Minute)
		time.Sleep(time.Hour)
		made, wait = try(t, l, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "after an hour", made, wait, 10, time.Minute)
	})
}

// Where the password is known, each attempt is a guess at a one-time code. Over a day there are
// few, from one network and from all.
func TestLimiter_Login_guessesOfADay(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		day := func(networks int) (made int) {
			for range 24 * 60 {
				for i := range networks {
					n, _ := try(t, l, from(t, fmt.Sprintf("203.0.%d.1", i)), login, fmt.Sprint("alice ", networks), identity.ErrBadCredentials, 100)
					made += n
				}
				time.Sleep(time.Minute)
			}
			return made
		}
		if made := day(1); made < 90 || made > 20+96 {
			t.Errorf("one network made %d guesses in a day, want 20 and one each quarter of an hour", made)
		}
		if made := day(50); made > 100+480 {
			t.Errorf("fifty networks made %d guesses in a day, want 100 and one each 3 minutes", made)
		}
	})
}

// Everything that comes from one address counts there, successes too, and nothing is given back;
// another address has a budget of its own.
func TestLimiter_attemptsOfAnAddress(t *testing.T) {
	for name, what := range map[string]attempt{"login": login, "refresh": refresh, "logout": logout} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			total := 0
			for i := range 1500 {
				made, _ := try(t, l, from(t, home), what, fmt.Sprint("somebody ", i), nil, 1)
				total += made
			}
			made, wait := try(t, l, from(t, home), what, "somebody", nil, 1)
			wants(t, name+", one more", made, wait, 0, 200*time.Millisecond)
			made, wait = try(t, l, from(t, elsewhere), what, "somebody", nil, 1)
			wants(t, name+", from elsewhere", made, wait, 1, 0)
			if total != 1000 {
				t.Errorf("%s: %d attempts, want 1000", name, total)
			}
		})
	}
}

// Another spelling is the same account to Keycloak, so it is no fresh budget.
func TestLimiter_Login_spellings(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for i := range 10 {
			name := []string{"alice", "ALICE", "Alice", " alice", "aLICE "}[i%5]
			if made, _ := try(t, l, from(t, home), login, name, identity.ErrBadCredentials, 1); made != 1 {
				t.Fatalf("attempt %d was refused", i)
			}
		}
		for _, name := range []string{"alice", "ALICE", "alicE", "alice\u00a0"} {
			made, wait := try(t, l, from(t, home), login, name, identity.ErrBadCredentials, 1)
			wants(t, name, made, wait, 0, time.Minute)
		}
	})
}

// Four places can't lock a person out who is somewhere else. Five can; and no number of them has
// more than the account has.
func TestLimiter_Login_manyNetworks(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for range 60 { // an attacker with four networks who doesn't give up for an hour
			for i := range globalFactor - 1 {
				try(t, l, from(t, fmt.Sprintf("203.0.%d.1", i)), login, "alice", identity.ErrBadCredentials, 100)
			}
			time.Sleep(time.Minute)
		}
		made, wait := try(t, l, from(t, elsewhere), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "elsewhere", made, wait, 10, time.Minute)

		total, last := 0, time.Duration(0)
		for i := range 200 { // 200 networks at one moment
			made, wait := try(t, l, from(t, fmt.Sprintf("203.0.%d.1", i)), login, "bob", identity.ErrBadCredentials, 100)
			total, last = total+made, wait
		}
		wants(t, "200 networks together", total, last, 50, 12*time.Second)
		time.Sleep(time.Minute)
		total = 0
		for i := range 200 {
			made, _ := try(t, l, from(t, fmt.Sprintf("203.0.%d.1", i)), login, "bob", identity.ErrBadCredentials, 100)
			total += made
		}
		if total != 5 {
			t.Errorf("a minute later: %d attempts, want 5", total)
		}
	})
}

// An IPv4 /24 or an IPv6 /48 has one share of an account; an IPv6 /64 is one address.
func TestLimiter_Login_networkAndAddress(t *testing.T) {
	for _, tt := range []struct {
		name, a, b             string
		sameNetwork, samePlace bool
	}{
		{"itself", "192.0.2.7", "192.0.2.7", true, true},
		{"IPv4 in IPv6", "192.0.2.7", "::ffff:192.0.2.7", true, true},
		{"a neighbour", "192.0.2.7", "192.0.2.8", true, false},
		{"the next /24", "192.0.2.7", "192.0.3.7", false, false},
		{"one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::1", true, true},
		{"a zone", "fe80::1%eth0", "fe80::2", true, true},
		{"one /48", "2001:db8:1:2::1", "2001:db8:1:3::1", true, false},
		{"the next /48", "2001:db8:1:2::1", "2001:db8:2:2::1", false, false},
	} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			try(t, l, from(t, tt.a), login, "alice", identity.ErrBadCredentials, 100)
			want := 10
			if tt.sameNetwork {
				want = 0
			}
			made, _ := try(t, l, from(t, tt.b), login, "alice", identity.ErrBadCredentials, 100)
			if made != want {
				t.Errorf("%s: %d attempts under the name, want %d", tt.name, made, want)
			}
		})
		withLimiter(t, func(t *testing.T, l *Limiter) {
			for i := range 20 {
				try(t, l, from(t, tt.a), login, fmt.Sprint("name ", i), identity.ErrBadCredentials, 5)
			}
			made, wait := try(t, l, from(t, tt.b), login, "one more", identity.ErrBadCredentials, 1)
			if tt.samePlace {
				wants(t, tt.name+", of the address", made, wait, 0, 6*time.Second)
			} else {
				wants(t, tt.name+", of the address", made, wait, 1, 0)
			}
		})
	}
}

// Names are tried one after another: the address has a budget for all of them. And an office behind
// one address isn't locked out by what succeeds.
func TestLimiter_Login_onlyFailuresOfAnAddress(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for i := range 800 {
			if made, _ := try(t, l, from(t, home), login, fmt.Sprint("colleague ", i), nil, 1); made != 1 {
				t.Fatalf("colleague %d is locked out", i)
			}
		}
		total, last := 0, time.Duration(0)
		for i := range 200 {
			made, wait := try(t, l, from(t, home), login, fmt.Sprint("guess ", i), identity.ErrBadCredentials, 1)
			total, last = total+made, wait
		}
		wants(t, "guesses", total, last, 100, 6*time.Second)
		made, wait := try(t, l, from(t, home), login, "colleague 1", nil, 1)
		wants(t, "a colleague, while it lasts", made, wait, 0, 6*time.Second)
		made, wait = try(t, l, from(t, elsewhere), login, "colleague 1", nil, 1)
		wants(t, "from elsewhere", made, wait, 1, 0)
		if keys := l.local.Len(); keys > 4+4*100 { // the last colleague has an address of its own
			t.Errorf("%d keys are held, want none of what was refused", keys)
		}
	})
}

// What stays taken: guesses, and what nobody can tell from a guess.
func TestLimiter_settle_outcomes(t *testing.T) {
	for _, tt := range []struct {
		end                       error
		login, refresh, ofAddress bool // the last: against the address, of refresh and logout; of login, if it isn't a guess
	}{
		{nil, false, false, false},
		{identity.ErrBadCredentials, true, true, true},
		{identity.ErrAccountDisabled, false, false, false},
		{identity.ErrAccountNotReady, false, false, false},
		{identity.ErrProviderUnavailable, false, false, false},
		{identity.ErrProviderMisconfigured, false, false, false},
		{identity.ErrLoginNotAllowed, false, false, false},
		{identity.ErrRateLimited, false, false, false},
		{&identity.Error{Reason: identity.ErrProviderUnavailable, TimedOut: true}, false, false, true},
		{identity.ErrBusy, false, false, true},
		{identity.ErrBadInput, false, false, false},
		{context.DeadlineExceeded, true, true, true},
		{context.Canceled, true, true, true},
		{errors.New("never seen before"), true, true, true},
		{identity.ErrRefreshInvalid, true, true, true},
		{identity.ErrRefreshExpired, true, true, false},
		{identity.ErrSessionEnded, true, true, false},
		{identity.ErrRefreshReused, true, true, false},
	} {
		end := tt.end
		if end != nil {
			end = fmt.Errorf("ask the realm: %w", end)
		}
		count := func(what attempt, of func(i int) string, most int) (made int) {
			withLimiter(t, func(t *testing.T, l *Limiter) {
				for i := range most {
					n, _ := try(t, l, from(t, home), what, of(i), end, 1)
					made += n
				}
			})
			return made
		}
		same := func(int) string { return "same" }
		other := func(i int) string { return fmt.Sprint("other ", i) }
		for _, check := range []struct {
			name       string
			made, most int
			counts     bool
		}{
			{"login of a name", count(login, same, 60), 10, tt.login},
			{"login of an address", count(login, other, 120), 100, tt.login || tt.ofAddress},
			{"refresh of a token", count(refresh, same, 60), 30, tt.refresh},
			{"logout of a token", count(logout, same, 60), 30, tt.refresh},
			{"refresh of an address", count(refresh, other, 120), 100, tt.ofAddress},
			{"logout of an address", count(logout, other, 120), 100, tt.ofAddress},
		} {
			if (check.made == check.most) != check.counts {
				t.Errorf("%v, %s: %d were made; counts: want %t", tt.end, check.name, check.made, check.counts)
			}
		}
	}
}

// A stranger can't spend the budget of somebody's token, since it is counted with the address; nor
// by a token that names the same session, since nothing that a token says is believed.
func TestLimiter_Refresh_separateTokens(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		made, wait := try(t, l, from(t, home), refresh, "a.b.c", identity.ErrRefreshExpired, 100)
		wants(t, "one token", made, wait, 30, 10*time.Second)
		for name, tt := range map[string]struct {
			address, token string
			what           attempt
		}{
			"from elsewhere":                 {elsewhere, "a.b.c", refresh},
			"of the same claims":             {home, "a.b.d", refresh},
			"in capitals":                    {home, "A.b.c", refresh},
			"of the same token, signing out": {home, "a.b.c", logout},
			"of a name that looks like one":  {home, "a.b.c", login},
		} {
			if made, wait := try(t, l, from(t, tt.address), tt.what, tt.token, identity.ErrRefreshExpired, 5); made != 5 {
				t.Errorf("%s: %d attempts, wait %v; want a budget of its own", name, made, wait)
			}
		}
	})
}

// Attempts at the same moment can't pass the budget together: each is taken before the realm is
// asked.
func TestLimiter_concurrent(t *testing.T) {
	for name, tt := range map[string]struct {
		what attempt
		end  error
		want int32
	}{
		"login": {login, identity.ErrBadCredentials, 10}, "refresh": {refresh, identity.ErrRefreshInvalid, 30}, "logout": {logout, identity.ErrRefreshInvalid, 30},
	} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			var asked atomic.Int32
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					settle, err := tt.what(from(t, home), l, "alice")
					if err != nil {
						if !errors.Is(err, identity.ErrRateLimited) {
							t.Errorf("%s: %v, want %v", name, err, identity.ErrRateLimited)
						}
						return
					}
					asked.Add(1)
					time.Sleep(time.Second) // the realm takes its time
					settle(tt.end)
				})
			}
			callers.Wait()
			if asked.Load() != tt.want {
				t.Errorf("%s: the realm was asked %d times, want %d", name, asked.Load(), tt.want)
			}
		})
	}
}

// While one place is refused, it takes nothing from the rest of the world, and makes no keys.
// Whoever has an IPv6 /48 has 65,536 addresses, and no more attempts for it than five of them.
func TestLimiter_Login_sprayFromOneNetwork(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		total := 0
		for i := range 1000 {
			made, _ := try(t, l, from(t, fmt.Sprintf("2001:db8:1:%x::1", i)), login, fmt.Sprint("name ", i), identity.ErrBadCredentials, 1)
			total += made
		}
		if total != 500 {
			t.Errorf("%d attempts, want 500", total)
		}
		made, wait := try(t, l, from(t, "2001:db8:2::1"), login, "name 999", identity.ErrBadCredentials, 1)
		wants(t, "another network", made, wait, 1, 0)
	})
}

func TestLimiter_Login_refusedTakesNothing(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		try(t, l, from(t, home), login, "alice", identity.ErrBadCredentials, 100)
		for range 1000 {
			if _, err := l.Login(from(t, home), named("alice")); !errors.Is(err, identity.ErrRateLimited) {
				t.Fatalf("got %v, want %v", err, identity.ErrRateLimited)
			}
		}
		before := l.local.Len()
		made, _ := try(t, l, from(t, home), login, "bob", identity.ErrBadCredentials, 1)
		if made != 1 {
			t.Error("refused attempts were counted against the address")
		}
		for i := range 4 { // 10 of the 50 are home's
			made, wait := try(t, l, from(t, fmt.Sprintf("203.0.%d.1", i)), login, "alice", identity.ErrBadCredentials, 100)
			if made != 10 {
				t.Errorf("network %d: %d attempts, wait %v; want 10", i, made, wait)
			}
		}
		if before != 7 {
			t.Errorf("%d keys were held, want 7", before)
		}
	})
}

func TestLimiter_Login_withoutAddress(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		made, wait := try(t, l, t.Context(), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "nobody's address", made, wait, 10, time.Minute)
		made, _ = try(t, l, from(t, "::"), login, "alice", identity.ErrBadCredentials, 100)
		wants(t, "the address of zeros", made, 0, 10, 0)
	})
}

func TestLimiter_Login_doneContext(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		gone, leave := context.WithCancel(from(t, home))
		leave()
		if _, err := l.Login(gone, named("alice")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if keys := l.local.Len(); keys != 0 {
			t.Errorf("%d keys are held, want none", keys)
		}
		// One who leaves later gets back what a success gives.
		staying, leave := context.WithCancel(from(t, home))
		settle, err := l.Login(staying, named("alice"))
		leave()
		if err != nil {
			t.Fatal(err)
		}
		settle(nil)
		if keys := l.local.Len(); keys != 1 {
			t.Errorf("%d keys are held, want that of all attempts", keys)
		}
	})
}

// What is refused says nothing of the name, of the password, or of the store.
func TestLimiter_Login_refusalTellsNothing(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		var texts []string
		for _, name := range []string{"alice", "nobody"} {
			try(t, l, from(t, home), login, name, identity.ErrBadCredentials, 100)
			_, err := l.Login(from(t, home), named(name))
			texts = append(texts, fmt.Sprintf("%v %#v", err, *err.(*identity.RateLimitError)))
		}
		if texts[0] != texts[1] || strings.Contains(texts[0], "alice") {
			t.Errorf("%q, want the same for both", texts)
		}
	})
}

func TestNew_invalidRates(t *testing.T) {
	for name, config := range map[string]Config{
		"Account":      {Account: Rate{0, time.Minute}},
		"AccountSlow":  {AccountSlow: Rate{1, time.Microsecond}},
		"Attempts":     {Attempts: Rate{0, time.Minute}},
		"Address":      {Address: Rate{-1, time.Minute}},
		"Token":        {Token: Rate{10_001, time.Minute}},
		"TokenAddress": {TokenAddress: Rate{1, 25 * time.Hour}},
	} {
		if _, err := New(config); err == nil || !strings.HasPrefix(err.Error(), "throttle: "+name+" is ") {
			t.Errorf("New() = %v, want that it names %s", err, name)
		}
	}
	if _, err := New(Config{Account: Rate{10_000, 24 * time.Hour}}); err != nil {
		t.Errorf("the largest: %v", err)
	}
}

func TestNew_defaults(t *testing.T) {
	want := Config{
		Account: Rate{10, time.Minute}, AccountSlow: Rate{20, 15 * time.Minute}, Address: Rate{100, 6 * time.Second},
		Token: Rate{30, 10 * time.Second}, TokenAddress: Rate{100, time.Second}, Attempts: Rate{1000, 200 * time.Millisecond},
	}
	got := must(New(Config{})).config
	got.Log = nil
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
