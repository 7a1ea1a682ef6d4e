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

func TestLimiter_Login_account(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		allowed, wait := guess(t, l, home, "alice", 100)
		wantTry(t, "at once", allowed, wait, 10, time.Minute)
		allowed, wait = guess(t, l, home, "bob", 5)
		wantTry(t, "another name", allowed, wait, 5, 0)
		time.Sleep(time.Minute - 1)
		allowed, wait = guess(t, l, home, "alice", 100)
		wantTry(t, "a nanosecond early", allowed, wait, 0, 1)
		time.Sleep(time.Nanosecond)
		allowed, wait = guess(t, l, home, "alice", 100)
		wantTry(t, "after a minute", allowed, wait, 1, time.Minute)
		time.Sleep(time.Hour)
		allowed, wait = guess(t, l, home, "alice", 100)
		wantTry(t, "after an hour", allowed, wait, 10, time.Minute)
	})
}

// An attacker who knows the password gets few guesses at a one-time code in a day, from one network
// or from many.
func TestLimiter_Login_accountSlow(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		day := func(networks int) (allowed int) {
			for range 24 * 60 {
				for i := range networks {
					address := fmt.Sprintf("203.0.%d.1", i)
					n, _ := guess(t, l, address, fmt.Sprint("alice ", networks), 100)
					allowed += n
				}
				time.Sleep(time.Minute)
			}
			return allowed
		}
		if allowed := day(1); allowed < 90 || allowed > 20+96 {
			t.Errorf("one network made %d guesses in a day, want 20 and one per 15 minutes",
				allowed)
		}
		if allowed := day(50); allowed > 100+480 {
			t.Errorf("fifty networks made %d guesses in a day, want 100 and one per 3 minutes",
				allowed)
		}
	})
}

// All attempts from one address count, even successful ones. Another address has its own limit.
func TestLimiter_attempts(t *testing.T) {
	for name, reserve := range map[string]attempt{"login": login, "refresh": refresh,
		"logout": logout} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			total := 0
			for i := range 1500 {
				allowed, _ := try(t, l, from(t, home), reserve, fmt.Sprint("user ", i), nil, 1)
				total += allowed
			}
			allowed, wait := try(t, l, from(t, home), reserve, "user", nil, 1)
			wantTry(t, name+", one more", allowed, wait, 0, 200*time.Millisecond)
			allowed, wait = try(t, l, from(t, elsewhere), reserve, "user", nil, 1)
			wantTry(t, name+", from elsewhere", allowed, wait, 1, 0)
			if total != 1000 {
				t.Errorf("%s: %d attempts, want 1000", name, total)
			}
		})
	}
}

// All spellings of a name that Keycloak considers equal share a limit.
func TestLimiter_Login_spellings(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for i := range 10 {
			name := []string{"alice", "ALICE", "Alice", " alice", "aLICE "}[i%5]
			if allowed, _ := guess(t, l, home, name, 1); allowed != 1 {
				t.Fatalf("attempt %d was refused, want it allowed", i)
			}
		}
		for _, name := range []string{"alice", "ALICE", "alicE", "alice\u00a0"} {
			allowed, wait := guess(t, l, home, name, 1)
			wantTry(t, name, allowed, wait, 0, time.Minute)
		}
	})
}

// Attackers in four networks can't lock out a user in a fifth. In five networks they can. Any
// number of networks together are limited by the account.
func TestLimiter_Login_manyNetworks(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for range 60 { // an attacker in four networks, for an hour
			for i := range globalFactor - 1 {
				guess(t, l, fmt.Sprintf("203.0.%d.1", i), "alice", 100)
			}
			time.Sleep(time.Minute)
		}
		allowed, wait := guess(t, l, elsewhere, "alice", 100)
		wantTry(t, "elsewhere", allowed, wait, 10, time.Minute)

		total, last := 0, time.Duration(0)
		for i := range 200 { // 200 networks at once
			allowed, wait := guess(t, l, fmt.Sprintf("203.0.%d.1", i), "bob", 100)
			total, last = total+allowed, wait
		}
		wantTry(t, "200 networks together", total, last, 50, 12*time.Second)
		time.Sleep(time.Minute)
		total = 0
		for i := range 200 {
			allowed, _ := guess(t, l, fmt.Sprintf("203.0.%d.1", i), "bob", 100)
			total += allowed
		}
		if total != 5 {
			t.Errorf("a minute later: %d attempts, want 5", total)
		}
	})
}

// An IPv4 /24 or an IPv6 /48 is one network; an IPv6 /64 is one address.
func TestLimiter_Login_networkAndAddress(t *testing.T) {
	for _, tt := range []struct {
		name, a, b               string
		sameNetwork, sameAddress bool
	}{
		{"same address", "192.0.2.7", "192.0.2.7", true, true},
		{"IPv4 in IPv6", "192.0.2.7", "::ffff:192.0.2.7", true, true},
		{"same /24", "192.0.2.7", "192.0.2.8", true, false},
		{"next /24", "192.0.2.7", "192.0.3.7", false, false},
		{"same /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::1", true, true},
		{"zone", "fe80::1%eth0", "fe80::2", true, true},
		{"same /48", "2001:db8:1:2::1", "2001:db8:1:3::1", true, false},
		{"next /48", "2001:db8:1:2::1", "2001:db8:2:2::1", false, false},
	} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			guess(t, l, tt.a, "alice", 100)
			want := 10
			if tt.sameNetwork {
				want = 0
			}
			allowed, _ := guess(t, l, tt.b, "alice", 100)
			if allowed != want {
				t.Errorf("%s: %d attempts under the name, want %d", tt.name, allowed, want)
			}
		})
		withLimiter(t, func(t *testing.T, l *Limiter) {
			for i := range 20 {
				guess(t, l, tt.a, fmt.Sprint("name ", i), 5)
			}
			allowed, wait := guess(t, l, tt.b, "one more", 1)
			if tt.sameAddress {
				wantTry(t, tt.name+", of the address", allowed, wait, 0, 6*time.Second)
			} else {
				wantTry(t, tt.name+", of the address", allowed, wait, 1, 0)
			}
		})
	}
}

// An address has one limit for failures under all names. Successes don't count, so an office with
// one address isn't locked out.
func TestLimiter_Login_address(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		for i := range 800 {
			allowed, _ := try(t, l, from(t, home), login, fmt.Sprint("colleague ", i), nil, 1)
			if allowed != 1 {
				t.Fatalf("colleague %d was refused", i)
			}
		}
		total, last := 0, time.Duration(0)
		for i := range 200 {
			allowed, wait := guess(t, l, home, fmt.Sprint("guess ", i), 1)
			total, last = total+allowed, wait
		}
		wantTry(t, "guesses", total, last, 100, 6*time.Second)
		allowed, wait := try(t, l, from(t, home), login, "colleague 1", nil, 1)
		wantTry(t, "a colleague, after the guesses", allowed, wait, 0, 6*time.Second)
		allowed, wait = try(t, l, from(t, elsewhere), login, "colleague 1", nil, 1)
		wantTry(t, "from elsewhere", allowed, wait, 1, 0)
		if keys := l.local.Len(); keys > 4+4*100 { // the last colleague has another address
			t.Errorf("%d keys are stored, want none for refused attempts", keys)
		}
	})
}

// Guesses count, and so do outcomes that may have been guesses.
func TestLimiter_settle_outcomes(t *testing.T) {
	for _, tt := range []struct {
		outcome        error
		login, refresh bool // counts for the name, or for the token
		// address: whether it counts for the address in Refresh and Logout, and in Login even if it
		// doesn't count for the name.
		address bool
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
		outcome := tt.outcome
		if outcome != nil {
			outcome = fmt.Errorf("call the realm: %w", outcome)
		}
		count := func(reserve attempt, subject func(i int) string, max int) (allowed int) {
			withLimiter(t, func(t *testing.T, l *Limiter) {
				for i := range max {
					n, _ := try(t, l, from(t, home), reserve, subject(i), outcome, 1)
					allowed += n
				}
			})
			return allowed
		}
		same := func(int) string { return "same" }
		other := func(i int) string { return fmt.Sprint("other ", i) }
		for _, check := range []struct {
			name                     string
			allowed, limit, attempts int
			counts                   bool
		}{
			{"login of a name", count(login, same, 60), 10, 60, tt.login},
			{"login of an address", count(login, other, 120), 100, 120, tt.login || tt.address},
			{"refresh of a token", count(refresh, same, 60), 30, 60, tt.refresh},
			{"logout of a token", count(logout, same, 60), 30, 60, tt.refresh},
			{"refresh of an address", count(refresh, other, 120), 100, 120, tt.address},
			{"logout of an address", count(logout, other, 120), 100, 120, tt.address},
		} {
			want := check.limit
			if !check.counts {
				want = check.attempts
			}
			if check.allowed != want {
				t.Errorf("%v, %s: %d allowed, want %d", tt.outcome, check.name, check.allowed, want)
			}
		}
	}
}

// An attacker can't use up the limit of someone else's token: not with the same token, because the
// limit is per address, and not with another token of the session, because claims don't count.
func TestLimiter_Refresh_separateTokens(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		allowed, wait := try(t, l, from(t, home), refresh, "a.b.c", identity.ErrRefreshExpired, 100)
		wantTry(t, "one token", allowed, wait, 30, 10*time.Second)
		for name, tt := range map[string]struct {
			address, token string
			reserve        attempt
		}{
			"another address":                  {elsewhere, "a.b.c", refresh},
			"same claims, other signature":     {home, "a.b.d", refresh},
			"other case":                       {home, "A.b.c", refresh},
			"logout with the same token":       {home, "a.b.c", logout},
			"login with the token as the name": {home, "a.b.c", login},
		} {
			allowed, wait := try(t, l, from(t, tt.address), tt.reserve, tt.token,
				identity.ErrRefreshExpired, 5)
			if allowed != 5 {
				t.Errorf("%s: %d attempts, wait %v; want a limit of its own", name, allowed, wait)
			}
		}
	})
}

// Concurrent attempts together don't exceed the limit: each is reserved before the realm is called.
func TestLimiter_concurrent(t *testing.T) {
	for name, tt := range map[string]struct {
		reserve attempt
		outcome error
		want    int32
	}{
		"login":   {login, identity.ErrBadCredentials, 10},
		"refresh": {refresh, identity.ErrRefreshInvalid, 30},
		"logout":  {logout, identity.ErrRefreshInvalid, 30},
	} {
		withLimiter(t, func(t *testing.T, l *Limiter) {
			var calls atomic.Int32
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					settle, err := tt.reserve(from(t, home), l, "alice")
					if err != nil {
						if !errors.Is(err, identity.ErrRateLimited) {
							t.Errorf("%s: %v, want %v", name, err, identity.ErrRateLimited)
						}
						return
					}
					calls.Add(1)
					time.Sleep(time.Second) // the realm is slow
					settle(tt.outcome)
				})
			}
			callers.Wait()
			if calls.Load() != tt.want {
				t.Errorf("%s: the realm was called %d times, want %d", name, calls.Load(), tt.want)
			}
		})
	}
}

// An IPv6 /48 has 65,536 addresses, but only five times the attempts of one. Its refused attempts
// don't count against the names.
func TestLimiter_Login_network(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		total := 0
		for i := range 1000 {
			allowed, _ := guess(t, l, fmt.Sprintf("2001:db8:1:%x::1", i), fmt.Sprint("name ", i), 1)
			total += allowed
		}
		if total != 500 {
			t.Errorf("%d attempts, want 500", total)
		}
		allowed, wait := guess(t, l, "2001:db8:2::1", "name 999", 1)
		wantTry(t, "another network", allowed, wait, 1, 0)
	})
}

// Refused attempts don't count against any limit.
func TestLimiter_Login_refused(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		guess(t, l, home, "alice", 100)
		for range 1000 {
			if _, err := l.Login(from(t, home), named("alice")); !errors.Is(err,
				identity.ErrRateLimited) {
				t.Fatalf("got %v, want %v", err, identity.ErrRateLimited)
			}
		}
		before := l.local.Len()
		allowed, _ := guess(t, l, home, "bob", 1)
		if allowed != 1 {
			t.Error("another name was refused: refused attempts count against the address")
		}
		for i := range 4 { // home has used 10 of the 50
			allowed, wait := guess(t, l, fmt.Sprintf("203.0.%d.1", i), "alice", 100)
			if allowed != 10 {
				t.Errorf("network %d: %d attempts, wait %v; want 10", i, allowed, wait)
			}
		}
		if before != 7 {
			t.Errorf("%d keys were stored, want 7", before)
		}
	})
}

func TestLimiter_Login_withoutAddress(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		allowed, wait := try(t, l, t.Context(), login, "alice", identity.ErrBadCredentials, 100)
		wantTry(t, "no address", allowed, wait, 10, time.Minute)
		allowed, _ = guess(t, l, "::", "alice", 100)
		wantTry(t, "the zero IPv6 address", allowed, 0, 10, 0)
	})
}

func TestLimiter_Login_doneContext(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		ctx, cancel := context.WithCancel(from(t, home))
		cancel()
		if _, err := l.Login(ctx, named("alice")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if keys := l.local.Len(); keys != 0 {
			t.Errorf("%d keys are stored, want none", keys)
		}
		// A success is refunded even if ctx is canceled in the meantime.
		ctx, cancel = context.WithCancel(from(t, home))
		settle, err := l.Login(ctx, named("alice"))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		settle(nil)
		if keys := l.local.Len(); keys != 1 {
			t.Errorf("%d keys are stored, want only that of Attempts", keys)
		}
	})
}

// A refusal doesn't reveal whether the name exists.
func TestLimiter_Login_sameRefusal(t *testing.T) {
	withLimiter(t, func(t *testing.T, l *Limiter) {
		var texts []string
		for _, name := range []string{"alice", "nobody"} {
			guess(t, l, home, name, 100)
			_, err := l.Login(from(t, home), named(name))
			texts = append(texts, fmt.Sprintf("%v %#v", err, *err.(*identity.RateLimitError)))
		}
		if texts[0] != texts[1] || strings.Contains(texts[0], "alice") {
			t.Errorf("got %q, want the same error for both", texts)
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
		_, err := New(config)
		if err == nil || !strings.HasPrefix(err.Error(), "throttle: "+name+" is ") {
			t.Errorf("New() = %v, want an error that names %s", err, name)
		}
	}
	if _, err := New(Config{Account: Rate{10_000, 24 * time.Hour}}); err != nil {
		t.Errorf("New() with the largest rate = %v, want no error", err)
	}
}

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
		t.Errorf("got %+v, want %+v", got, want)
	}
}
