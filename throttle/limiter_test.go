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

// An account may have ten failed sign-ins at once, and one more per minute.
func TestLimiter_Login_account(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		allowedCount, wait := guessPasswords(t, l, addressA, "alice", 100)
		wantAttempts(t, "first failures", allowedCount, wait, 10, time.Minute)
		allowedCount, wait = guessPasswords(t, l, addressA, "bob", 5)
		wantAttempts(t, "another account", allowedCount, wait, 5, 0)
		time.Sleep(time.Minute - 1)
		allowedCount, wait = guessPasswords(t, l, addressA, "alice", 100)
		wantAttempts(t, "a nanosecond early", allowedCount, wait, 0, 1)
		time.Sleep(time.Nanosecond)
		allowedCount, wait = guessPasswords(t, l, addressA, "alice", 100)
		wantAttempts(t, "after a minute", allowedCount, wait, 1, time.Minute)
		time.Sleep(time.Hour)
		allowedCount, wait = guessPasswords(t, l, addressA, "alice", 100)
		wantAttempts(t, "after an hour", allowedCount, wait, 10, time.Minute)
	})
}

// An attacker who knows the password can guess only a few one-time codes in a day, from one network
// or from many.
func TestLimiter_Login_accountSlow(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		guessForDay := func(networks int) (allowedCount int) {
			for range 24 * 60 {
				for i := range networks {
					address := fmt.Sprintf("203.0.%d.1", i)
					n, _ := guessPasswords(t, l, address, fmt.Sprint("alice ", networks), 100)
					allowedCount += n
				}
				time.Sleep(time.Minute)
			}
			return allowedCount
		}
		if allowedCount := guessForDay(1); allowedCount < 90 || allowedCount > 20+96 {
			t.Errorf("one network made %d guesses in a day, want 90 to 116 (20, and one per 15 "+
				"minutes)",
				allowedCount)
		}
		if allowedCount := guessForDay(50); allowedCount > 100+480 {
			t.Errorf("fifty networks made %d guesses in a day, want at most 580 (100, and one "+
				"per 3 minutes)",
				allowedCount)
		}
	})
}

// All attempts from one address count, even if they succeed. Another address has its own limit.
func TestLimiter_attempts(t *testing.T) {
	for name, reserve := range map[string]reserveFunc{"login": login, "refresh": refresh,
		"logout": logout} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			total := 0
			for i := range 1500 {
				subject := fmt.Sprint("user ", i)
				allowedCount, _ := makeAttempts(
					t, l, contextFrom(t, addressA), reserve, subject, nil, 1)
				total += allowedCount
			}
			allowedCount, wait := makeAttempts(
				t, l, contextFrom(t, addressA), reserve, "user", nil, 1)
			wantAttempts(t, name+", after the burst", allowedCount, wait, 0, 200*time.Millisecond)
			allowedCount, wait = makeAttempts(
				t, l, contextFrom(t, addressB), reserve, "user", nil, 1)
			wantAttempts(t, name+", another address", allowedCount, wait, 1, 0)
			if total != 1000 {
				t.Errorf("%s: %d attempts allowed, want 1000", name, total)
			}
		})
	}
}

// All spellings of a username that Keycloak considers equal share one limit.
func TestLimiter_Login_spellings(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for i := range 10 {
			name := []string{"alice", "ALICE", "Alice", " alice", "aLICE "}[i%5]
			if allowedCount, _ := guessPasswords(t, l, addressA, name, 1); allowedCount != 1 {
				t.Fatalf("attempt %d was refused, want it allowed", i)
			}
		}
		for _, name := range []string{"alice", "ALICE", "alicE", "alice\u00a0"} {
			allowedCount, wait := guessPasswords(t, l, addressA, name, 1)
			wantAttempts(t, name, allowedCount, wait, 0, time.Minute)
		}
	})
}

// Attackers in four networks can't lock out a user in a fifth network. An account also has a limit
// for all networks together.
func TestLimiter_Login_manyNetworks(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for range 60 { // one hour
			for i := range globalFactor - 1 {
				guessPasswords(t, l, fmt.Sprintf("203.0.%d.1", i), "alice", 100)
			}
			time.Sleep(time.Minute)
		}
		allowedCount, wait := guessPasswords(t, l, addressB, "alice", 100)
		wantAttempts(t, "the fifth network", allowedCount, wait, 10, time.Minute)

		total, lastWait := 0, time.Duration(0)
		for i := range 200 { // 200 networks at once
			allowedCount, wait := guessPasswords(t, l, fmt.Sprintf("203.0.%d.1", i), "bob", 100)
			total, lastWait = total+allowedCount, wait
		}
		wantAttempts(t, "200 networks together", total, lastWait, 50, 12*time.Second)
		time.Sleep(time.Minute)
		total = 0
		for i := range 200 {
			allowedCount, _ := guessPasswords(t, l, fmt.Sprintf("203.0.%d.1", i), "bob", 100)
			total += allowedCount
		}
		if total != 5 {
			t.Errorf("a minute later: %d attempts allowed, want 5", total)
		}
	})
}

// An IPv4 /24 and an IPv6 /48 count as one network. An IPv6 /64 counts as one address.
func TestLimiter_Login_networkAndAddress(t *testing.T) {
	for _, tt := range []struct {
		name, first, second      string
		sameNetwork, sameAddress bool
	}{
		{"same address", "192.0.2.7", "192.0.2.7", true, true},
		{"IPv4-mapped IPv6", "192.0.2.7", "::ffff:192.0.2.7", true, true},
		{"same /24", "192.0.2.7", "192.0.2.8", true, false},
		{"next /24", "192.0.2.7", "192.0.3.7", false, false},
		{"same /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::1", true, true},
		{"zone and no zone", "fe80::1%eth0", "fe80::2", true, true},
		{"same /48", "2001:db8:1:2::1", "2001:db8:1:3::1", true, false},
		{"next /48", "2001:db8:1:2::1", "2001:db8:2:2::1", false, false},
	} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			guessPasswords(t, l, tt.first, "alice", 100)
			want := 10
			if tt.sameNetwork {
				want = 0
			}
			allowedCount, _ := guessPasswords(t, l, tt.second, "alice", 100)
			if allowedCount != want {
				t.Errorf("%s: %d attempts allowed for the account, want %d", tt.name, allowedCount,
					want)
			}
		})
		withLimiter(t, func(t *testing.T, l *Limiter) {
			for i := range 20 {
				guessPasswords(t, l, tt.first, fmt.Sprint("name ", i), 5)
			}
			allowedCount, wait := guessPasswords(t, l, tt.second, "another name", 1)
			if tt.sameAddress {
				wantAttempts(t, tt.name+", another account", allowedCount, wait, 0, 6*time.Second)
			} else {
				wantAttempts(t, tt.name+", another account", allowedCount, wait, 1, 0)
			}
		})
	}
}

// An address has one limit for failed sign-ins to all accounts together. Successful sign-ins don't
// count, so an office with one address isn't locked out.
func TestLimiter_Login_address(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for i := range 800 {
			name := fmt.Sprint("colleague ", i)
			allowedCount, _ := makeAttempts(t, l, contextFrom(t, addressA), login, name, nil, 1)
			if allowedCount != 1 {
				t.Fatalf("colleague %d: %d attempts allowed, want 1", i, allowedCount)
			}
		}
		total, lastWait := 0, time.Duration(0)
		for i := range 200 {
			allowedCount, wait := guessPasswords(t, l, addressA, fmt.Sprint("guess ", i), 1)
			total, lastWait = total+allowedCount, wait
		}
		wantAttempts(t, "guesses", total, lastWait, 100, 6*time.Second)
		allowedCount, wait := makeAttempts(
			t, l, contextFrom(t, addressA), login, "colleague 1", nil, 1)
		wantAttempts(t, "a colleague, after the guesses", allowedCount, wait, 0, 6*time.Second)
		allowedCount, wait = makeAttempts(
			t, l, contextFrom(t, addressB), login, "colleague 1", nil, 1)
		wantAttempts(t, "another address", allowedCount, wait, 1, 0)
		const maxKeys = 4 + 4*100 // 4 for the two addresses, and 4 for each guessed name
		if keys := l.localStore.Len(); keys > maxKeys {
			t.Errorf(
				"%d keys are stored, want at most %d: refused attempts store none", keys, maxKeys)
		}
	})
}

// done refunds an attempt for each limit that the outcome doesn't count against.
func TestLimiter_done_outcomes(t *testing.T) {
	for _, tt := range []struct {
		outcome          error
		countsForAccount bool // in Login: for the account, and also for the address
		countsForToken   bool // in Refresh and Logout
		countsForAddress bool
	}{
		{nil, false, false, false},
		{identity.ErrBadCredentials, true, true, true},
		{identity.ErrAccountDisabled, false, false, false},
		{identity.ErrAccountNotReady, false, false, false},
		{identity.ErrProviderUnavailable, false, false, false},
		{identity.ErrProviderMisconfigured, false, false, false},
		{identity.ErrLoginNotAllowed, false, false, false},
		{identity.ErrStoreUnavailable, false, false, false},
		{identity.ErrRefreshInterrupted, false, false, false},
		{identity.ErrRateLimited, false, false, false},
		{&identity.Error{Reason: identity.ErrProviderUnavailable, TimedOut: true}, false, false,
			true},
		{identity.ErrBusy, false, false, true},
		{identity.ErrBadInput, false, false, false},
		{context.DeadlineExceeded, true, true, true},
		{context.Canceled, true, true, true},
		{errors.New("unknown error"), true, true, true},
		{identity.ErrRefreshInvalid, true, true, true},
		{identity.ErrRefreshExpired, true, true, false},
		{identity.ErrSessionEnded, true, true, false},
		{identity.ErrRefreshReused, true, true, false},
	} {
		outcome := tt.outcome
		if outcome != nil {
			outcome = fmt.Errorf("call the realm: %w", outcome)
		}
		countAllowed := func(
			reserve reserveFunc, subject func(i int) string, attempts int,
		) (allowedCount int) {
			withLimiter(t, func(t *testing.T, l *Limiter) {
				for i := range attempts {
					n, _ := makeAttempts(
						t, l, contextFrom(t, addressA), reserve, subject(i), outcome, 1)
					allowedCount += n
				}
			})
			return allowedCount
		}
		sameSubject := func(int) string { return "same" }
		newSubject := func(i int) string { return fmt.Sprint("new ", i) }
		for _, check := range []struct {
			name                          string
			allowedCount, limit, attempts int
			counts                        bool
		}{
			{"login to one account", countAllowed(login, sameSubject, 60), 10, 60,
				tt.countsForAccount},
			{"login from one address", countAllowed(login, newSubject, 120), 100, 120,
				tt.countsForAccount || tt.countsForAddress},
			{"refresh with one token", countAllowed(refresh, sameSubject, 60), 30, 60,
				tt.countsForToken},
			{"logout with one token", countAllowed(logout, sameSubject, 60), 30, 60,
				tt.countsForToken},
			{"refresh from one address", countAllowed(refresh, newSubject, 120), 100, 120,
				tt.countsForAddress},
			{"logout from one address", countAllowed(logout, newSubject, 120), 100, 120,
				tt.countsForAddress},
		} {
			want := check.limit
			if !check.counts {
				want = check.attempts
			}
			if check.allowedCount != want {
				t.Errorf("%v, %s: %d attempts allowed, want %d", tt.outcome, check.name,
					check.allowedCount, want)
			}
		}
	}
}

// An attacker can't use up the limit of someone else's token, because each address has its own
// limit for a token, and a token with the same claims but another signature counts as another
// token.
func TestLimiter_Refresh_separateTokens(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		allowedCount, wait := makeAttempts(t, l, contextFrom(t, addressA), refresh, "a.b.c",
			identity.ErrRefreshExpired, 100)
		wantAttempts(t, "one token", allowedCount, wait, 30, 10*time.Second)
		for name, tt := range map[string]struct {
			address, token string
			reserve        reserveFunc
		}{
			"another address":                  {addressB, "a.b.c", refresh},
			"same claims, other signature":     {addressA, "a.b.d", refresh},
			"token in another case":            {addressA, "A.b.c", refresh},
			"logout with the same token":       {addressA, "a.b.c", logout},
			"login with the token as the name": {addressA, "a.b.c", login},
		} {
			allowedCount, wait := makeAttempts(
				t, l, contextFrom(t, tt.address), tt.reserve, tt.token,
				identity.ErrRefreshExpired, 5)
			if allowedCount != 5 {
				t.Errorf("%s: %d attempts allowed, then a wait of %v; want 5", name, allowedCount,
					wait)
			}
		}
	})
}

// Concurrent attempts don't exceed the limit, because each attempt is reserved before the realm is
// called.
func TestLimiter_concurrent(t *testing.T) {
	for name, tt := range map[string]struct {
		reserve reserveFunc
		outcome error
		want    int32
	}{
		"login":   {login, identity.ErrBadCredentials, 10},
		"refresh": {refresh, identity.ErrRefreshInvalid, 30},
		"logout":  {logout, identity.ErrRefreshInvalid, 30},
	} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			var calls atomic.Int32
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					done, err := tt.reserve(contextFrom(t, addressA), l, "alice")
					if err != nil {
						if !errors.Is(err, identity.ErrRateLimited) {
							t.Errorf("%s: %v, want %v", name, err, identity.ErrRateLimited)
						}
						return
					}
					calls.Add(1)
					time.Sleep(time.Second) // the realm is slow
					done(tt.outcome)
				})
			}
			wg.Wait()
			if calls.Load() != tt.want {
				t.Errorf("%s: the realm was called %d times, want %d", name, calls.Load(), tt.want)
			}
		})
	}
}

// An IPv6 /48 contains 65,536 /64s, each of which counts as an address. All of them together have
// only five times the limit of one address. Attempts over this limit don't count for the accounts.
func TestLimiter_Login_network(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		total := 0
		for i := range 1000 {
			address, name := fmt.Sprintf("2001:db8:1:%x::1", i), fmt.Sprint("name ", i)
			allowedCount, _ := guessPasswords(t, l, address, name, 1)
			total += allowedCount
		}
		if total != 500 {
			t.Errorf("%d attempts allowed, want 500", total)
		}
		allowedCount, wait := guessPasswords(t, l, "2001:db8:2::1", "name 999", 1)
		wantAttempts(t, "another network", allowedCount, wait, 1, 0)
	})
}

// Refused attempts don't count against any limit.
func TestLimiter_Login_refused(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		guessPasswords(t, l, addressA, "alice", 100)
		for range 1000 {
			_, err := l.Login(contextFrom(t, addressA), credentialsFor("alice"))
			if !errors.Is(err, identity.ErrRateLimited) {
				t.Fatalf("Login() = %v, want %v", err, identity.ErrRateLimited)
			}
		}
		keysBefore := l.localStore.Len()
		allowedCount, _ := guessPasswords(t, l, addressA, "bob", 1)
		if allowedCount != 1 {
			t.Errorf("another account: %d attempts allowed, want 1", allowedCount)
		}
		for i := range 4 { // addressA has used 10 of the account's 50 attempts from all networks
			allowedCount, wait := guessPasswords(t, l, fmt.Sprintf("203.0.%d.1", i), "alice", 100)
			if allowedCount != 10 {
				t.Errorf("network %d: %d attempts allowed, then a wait of %v; want 10",
					i, allowedCount, wait)
			}
		}
		if keysBefore != loginKeyCount {
			t.Errorf("%d keys were stored, want %d", keysBefore, loginKeyCount)
		}
	})
}

// Requests without an address share one limit. It isn't the limit of the zero IPv6 address.
func TestLimiter_Login_withoutAddress(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		allowedCount, wait := makeAttempts(t, l, t.Context(), login, "alice",
			identity.ErrBadCredentials, 100)
		wantAttempts(t, "no address", allowedCount, wait, 10, time.Minute)
		allowedCount, _ = guessPasswords(t, l, "::", "alice", 100)
		wantAttempts(t, "the zero IPv6 address", allowedCount, 0, 10, 0)
	})
}

// If the context is done, Login reserves nothing. If it is canceled later, done still refunds.
func TestLimiter_Login_doneContext(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		ctx, cancel := context.WithCancel(contextFrom(t, addressA))
		cancel()
		if _, err := l.Login(ctx, credentialsFor("alice")); !errors.Is(err, context.Canceled) {
			t.Errorf("Login() = %v, want %v", err, context.Canceled)
		}
		if keys := l.localStore.Len(); keys != 0 {
			t.Errorf("%d keys are stored, want none", keys)
		}
		ctx, cancel = context.WithCancel(contextFrom(t, addressA))
		done, err := l.Login(ctx, credentialsFor("alice"))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		done(nil)
		if keys := l.localStore.Len(); keys != 1 {
			t.Errorf("%d keys are stored, want only the key for Config.Attempts", keys)
		}
	})
}

// The error for a refused attempt contains only the time to wait, so it doesn't reveal whether the
// account exists.
func TestLimiter_Login_sameError(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		var texts []string
		for _, name := range []string{"alice", "nobody"} {
			guessPasswords(t, l, addressA, name, 100)
			_, err := l.Login(contextFrom(t, addressA), credentialsFor(name))
			texts = append(texts, fmt.Sprintf("%v %#v", err, *err.(*identity.RateLimitError)))
		}
		if texts[0] != texts[1] || strings.Contains(texts[0], "alice") {
			t.Errorf("got the errors %q, want them equal and without the name", texts)
		}
	})
}

// If a rate is invalid, New returns an error that names its field.
func TestNew_invalidRates(t *testing.T) {
	for name, config := range map[string]Config{
		"Account":      {Account: Rate{0, time.Minute}},
		"AccountSlow":  {AccountSlow: Rate{1, time.Microsecond}},
		"Attempts":     {Attempts: Rate{0, time.Minute}},
		"Address":      {Address: Rate{-1, time.Minute}},
		"Token":        {Token: Rate{10_001, time.Minute}},
		"TokenAddress": {TokenAddress: Rate{1, 25 * time.Hour}},
	} {
		_, err := New(config)
		if err == nil || !strings.HasPrefix(err.Error(), "throttle: "+name+" is ") {
			t.Errorf("New() = %v, want an error that names %s", err, name)
		}
	}
	if _, err := New(Config{Account: Rate{10_000, 24 * time.Hour}}); err != nil {
		t.Errorf("New() with the largest rate = %v, want nil", err)
	}
}

// New uses the default for each rate that isn't set.
func TestNew_defaults(t *testing.T) {
	want := Config{
		Account:      Rate{10, time.Minute},
		AccountSlow:  Rate{20, 15 * time.Minute},
		Address:      Rate{100, 6 * time.Second},
		Token:        Rate{30, 10 * time.Second},
		TokenAddress: Rate{100, time.Second},
		Attempts:     Rate{1000, 200 * time.Millisecond},
	}
	got := must(New(Config{})).config
	got.Log = nil
	if got != want {
		t.Errorf("New() has the config %+v, want %+v", got, want)
	}
}
