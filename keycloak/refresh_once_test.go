package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const grace = 10 * time.Second

// ofSession is a refresh token that names a session, signed with a key that only Keycloak has.
func ofSession(sid, jti string) identity.Secret {
	header, payload := `{"alg":"HS512","typ" : "JWT","kid" : "0b1d"}`,
		toJSON(object{"sid": sid, "jti": jti, "typ": "Refresh"})
	return identity.NewSecret(base64url([]byte(header)) + "." + base64url([]byte(payload)) + "." +
		base64url([]byte("signature")))
}

// A counter exchanges tokens in two seconds each, and counts how often it was asked.
type counter struct {
	calls atomic.Int32
	fail  error
}

func (c *counter) exchange(ctx context.Context,
	token identity.Secret) (*identity.OpenIDToken, error) {
	n := c.calls.Add(1)
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if strings.HasSuffix(token.Reveal(), "forged") {
		return nil, identity.ErrRefreshInvalid
	}
	if c.fail != nil {
		return nil, c.fail
	}
	return &identity.OpenIDToken{
		AccessToken: identity.NewSecret(fmt.Sprint("access ", n)), ExpiresIn: 300,
		RefreshToken: new(identity.NewSecret(fmt.Sprint("next ", n))), RefreshExpiresIn: new(1800),
		Scope: []string{"openid"},
	}, nil
}

// held tells how many answers are remembered or under way, and their bytes.
func held(x *exchanges) (answers, bytes int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.cache), x.bytes
}

// check presents a token and compares which exchange's answer comes.
func check(t *testing.T, x *exchanges, token identity.Secret, want int) {
	t.Helper()
	got, err := x.do(t.Context(), token)
	if err != nil || got.AccessToken.Reveal() != fmt.Sprint("access ", want) {
		t.Errorf("got %v, %v; want the answer of exchange %d", got, err, want)
	}
}

func TestCallersShareOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		first, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := x.do(first, refreshToken()); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller who left got %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		for range 7 {
			callers.Go(func() { check(t, x, refreshToken(), 1) })
		}
		time.Sleep(time.Second)
		leave()
		callers.Wait()
		if n := counter.calls.Load(); n != 1 {
			t.Errorf("exchanged %d times, want once", n)
		}
	})
}

// Cut off halfway, an exchange would cost the session: Keycloak has spent the token, and nobody has
// the next.
func TestAnExchangeOutlivesItsOnlyCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"),
			time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := x.do(ctx, refreshToken()); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want %v after a second", err, time.Since(begin),
				context.DeadlineExceeded)
		}
		time.Sleep(5 * time.Second)
		check(t, x, refreshToken(), 1)
	})
}

func TestAnAnswerIsRepeatedWithinTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lives := identity.OpenIDToken{ExpiresIn: 5, RefreshExpiresIn: new(8),
			AccessToken: identity.NewSecret("a")}
		x := newExchanges(func(context.Context, identity.Secret) (*identity.OpenIDToken, error) {
			answer := lives
			return &answer, nil
		}, grace)
		for _, want := range []struct {
			after            time.Duration
			expires, refresh int
		}{
			{0, 5, 8},
			{900 * time.Millisecond, 5, 8},
			{3 * time.Second, 2, 5},
			{6 * time.Second, 0, 2},
			{9900 * time.Millisecond, 0, 0},
		} {
			if _, err := x.do(t.Context(), refreshToken()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(want.after)
			got, err := x.do(t.Context(), refreshToken())
			if err != nil || got.ExpiresIn != want.expires ||
				*got.RefreshExpiresIn != want.refresh {
				t.Errorf("after %v: %d and %d seconds are left, %v; want %d and %d", want.after,
					got.ExpiresIn, *got.RefreshExpiresIn, err, want.expires, want.refresh)
			}
			time.Sleep(grace + time.Second) // the next row starts anew
		}
		if lives.ExpiresIn != 5 || *lives.RefreshExpiresIn != 8 {
			t.Error("the remembered answer itself was changed")
		}
	})
}

func TestARepeatedAnswerKeepsATokenWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchanges(func(context.Context, identity.Secret) (*identity.OpenIDToken, error) {
			return &identity.OpenIDToken{ExpiresIn: 300}, nil
		}, grace)
		for range 2 {
			got, err := x.do(t.Context(), refreshToken())
			if err != nil || got.RefreshExpiresIn != nil {
				t.Errorf("got %+v, %v; want no end", got, err)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

func TestAfterTheGraceKeycloakIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		check(t, x, refreshToken(), 1)
		time.Sleep(grace - time.Millisecond)
		check(t, x, refreshToken(), 1)
		check(t, x, identity.NewSecret("another"), 2) // tokens are kept apart
		time.Sleep(time.Millisecond)
		synctest.Wait()
		check(t, x, refreshToken(), 3)
	})
}

func TestWithoutGraceExchangesAreStillShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, 0)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() { check(t, x, refreshToken(), 1) })
		}
		callers.Wait()
		check(t, x, refreshToken(), 2)
		if answers, bytes := held(x); answers != 0 || bytes != 0 {
			t.Errorf("%d answers and %d bytes are remembered, want none", answers, bytes)
		}
	})
}

func TestFailuresAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{fail: identity.ErrProviderUnavailable}
		x := newExchanges(counter.exchange, grace)
		var callers sync.WaitGroup
		for range 3 { // all who shared it hear of it
			callers.Go(func() {
				if _, err := x.do(t.Context(), refreshToken()); !errors.Is(err, counter.fail) {
					t.Errorf("got %v, want %v", err, counter.fail)
				}
			})
		}
		callers.Wait()
		counter.fail = nil
		check(t, x, refreshToken(), 2)
	})
}

func TestLogoutForgetsItsSession(t *testing.T) {
	for name, with := range map[string]identity.Secret{
		"by the token that was exchanged":      ofSession("s1", "1"),
		"by the token that the exchange gave":  ofSession("s1", "2"),
		"by another's token of the same login": ofSession("s1", "3"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				counter := &counter{}
				x := newExchanges(counter.exchange, grace)
				check(t, x, ofSession("s1", "1"), 1)
				check(t, x, ofSession("s2", "1"), 2)
				check(t, x, identity.NewSecret("opaque"), 3)
				x.endSession(with)
				check(t, x, ofSession("s2", "1"), 2)
				check(t, x, identity.NewSecret("opaque"), 3)
				check(t, x, ofSession("s1", "1"), 4)
				// The forgotten answer's timer must not take the new one along.
				time.Sleep(grace - 3*time.Second)
				check(t, x, ofSession("s1", "1"), 4)
				time.Sleep(grace)
				synctest.Wait()
				if answers, bytes := held(x); answers != 0 || bytes != 0 {
					t.Errorf("%d answers and %d bytes are left", answers, bytes)
				}
			})
		})
	}
}

// A token that names no session is forgotten itself, and takes no other along.
func TestLogoutByATokenThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		opaque := []identity.Secret{
			identity.NewSecret("a"), identity.NewSecret("b.b.b"),
			identity.NewSecret("c." + base64url([]byte("{}")) + ".c"),
			identity.NewSecret("d." + base64url([]byte(`{"sid":5}`)) + ".d"), ofSession("", "5"),
		}
		for i, token := range opaque {
			check(t, x, token, i+1)
		}
		x.endSession(opaque[4])
		for i, token := range opaque[:4] {
			check(t, x, token, i+1)
		}
		check(t, x, opaque[4], 6)
	})
}

// Signing out wins: the tokens of an exchange that it overtakes must not reach anyone.
func TestLogoutWinsOverTheExchangeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := x.do(t.Context(), ofSession("s1", "1")); !errors.Is(err,
				identity.ErrSessionEnded) {
				t.Errorf("got %v, want %v", err, identity.ErrSessionEnded)
			}
		})
		callers.Go(func() {
			if _, err := x.do(t.Context(), ofSession("s2", "1")); err != nil {
				t.Errorf("the exchange of another session got %v", err)
			}
		})
		time.Sleep(time.Second)
		x.endSession(ofSession("s1", "2"))
		callers.Wait()
		synctest.Wait()
		if answers, _ := held(x); answers != 1 {
			t.Errorf("%d answers are remembered, want that of the other session", answers)
		}
	})
}

func TestRememberedAnswersAreBounded(t *testing.T) {
	quick := func(answer *identity.OpenIDToken) func(context.Context,
		identity.Secret) (*identity.OpenIDToken, error) {
		return func(context.Context, identity.Secret) (*identity.OpenIDToken, error) {
			return answer, nil
		}
	}
	fill := func(t *testing.T, x *exchanges, count int) {
		for i := range count {
			if _, err := x.do(t.Context(), identity.NewSecret(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if answers, bytes := held(x); answers > maxCached+1 || bytes > maxCachedBytes {
				t.Fatalf("%d answers and %d bytes are held", answers, bytes)
			}
		}
	}
	afterwards := func(t *testing.T, x *exchanges) {
		time.Sleep(grace)
		synctest.Wait()
		if answers, bytes := held(x); answers != 0 || bytes != 0 {
			t.Errorf("after the grace %d answers and %d bytes are left", answers, bytes)
		}
	}
	t.Run("by count", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x := newExchanges(quick(&identity.OpenIDToken{}), grace)
			fill(t, x, maxCached+5)
			synctest.Wait()
			if answers, _ := held(x); answers != maxCached {
				t.Errorf("%d answers are remembered, want %d", answers, maxCached)
			}
			afterwards(t, x)
		})
	})
	t.Run("by bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			large := identity.NewSecret(strings.Repeat("x", 1<<20))
			x := newExchanges(
				quick(&identity.OpenIDToken{AccessToken: large, RefreshToken: &large,
					IDToken: &large}), grace)
			fill(t, x, 30)
			synctest.Wait()
			if answers, _ := held(x); answers != maxCachedBytes/(3<<20) {
				t.Errorf("%d answers of 3 MiB are remembered, want %d", answers,
					maxCachedBytes/(3<<20))
			}
			afterwards(t, x)
		})
	})
}

func TestTooManyExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		var callers sync.WaitGroup
		for i := range DefaultMaxCalls {
			callers.Go(func() {
				if _, err := x.do(t.Context(), identity.NewSecret(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := x.do(t.Context(), identity.NewSecret("one more")); !errors.Is(err,
			identity.ErrBusy) {
			t.Errorf("one more exchange: %v, want %v", err, identity.ErrBusy)
		}
		// no exchange of its own
		if _, err := x.do(t.Context(), identity.NewSecret("0")); err != nil {
			t.Errorf("one who shares: %v", err)
		}
		callers.Wait()
		if _, err := x.do(t.Context(), identity.NewSecret("one more")); err != nil {
			t.Errorf("after the burst: %v", err)
		}
	})
}

func TestCloseWaitsForExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchanges((&counter{}).exchange, grace)
		if err := x.wait(t.Context()); err != nil {
			t.Errorf("with nothing under way: %v", err)
		}
		ctx, leave := context.WithCancel(t.Context())
		begin := time.Now()
		go x.do(ctx, refreshToken())
		synctest.Wait()
		leave()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.wait(short); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want %v after a second", err, time.Since(begin),
				context.DeadlineExceeded)
		}
		if err := x.wait(t.Context()); err != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("got %v after %v, want nil after two seconds", err, time.Since(begin))
		}
	})
}

// Whoever learnt a session id can write it into a token of their own; it neither joins nor stops
// the victim's exchange.
func TestAForgedTokenStopsNoExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		victim := ofSession("s1", "1")
		var forger sync.WaitGroup
		forger.Go(func() {
			_, err := x.do(t.Context(), identity.NewSecret(victim.Reveal()+"isforged"))
			if !errors.Is(err,
				identity.ErrRefreshInvalid) {
				t.Errorf("the forged token got %v, want %v", err, identity.ErrRefreshInvalid)
			}
		})
		synctest.Wait()
		check(t, x, victim, 2)
		forger.Wait()
		check(t, x, victim, 2)
	})
}

func TestNoExchangeBeginsForOneWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counter counter
		x := newExchanges(counter.exchange, grace)
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if _, err := x.do(ctx, refreshToken()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		synctest.Wait()
		if n := counter.calls.Load(); n != 0 {
			t.Errorf("%d exchanges have begun", n)
		}
	})
}

func TestCloseWaitsForTheLastOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchanges((&counter{}).exchange, grace)
		begin := time.Now()
		for i := range 3 { // they end after 2, 3 and 4 s
			go func() {
				time.Sleep(time.Duration(i) * time.Second)
				x.do(t.Context(), identity.NewSecret(fmt.Sprint("token ", i)))
			}()
		}
		// the first has ended, the third has just begun
		time.Sleep(2*time.Second + time.Millisecond)
		if err := x.wait(t.Context()); err != nil || time.Since(begin) != 4*time.Second {
			t.Errorf("got %v after %v, want nil after four seconds", err, time.Since(begin))
		}
	})
}

// from is a context of a caller with an address.
func from(t *testing.T, address string) context.Context {
	return identity.WithAddress(t.Context(), netip.MustParseAddr(address))
}

// checkFrom presents a token from an address and compares which exchange's answer comes.
func checkFrom(t *testing.T, x *exchanges, address string, token identity.Secret, want int) {
	t.Helper()
	got, err := x.do(from(t, address), token)
	if err != nil || got.AccessToken.Reveal() != fmt.Sprint("access ", want) {
		t.Errorf("from %s: got %v, %v; want the answer of exchange %d", address, got, err, want)
	}
}

func TestExchanges_repeatWithinOneNetwork(t *testing.T) {
	for _, tt := range []struct {
		name, first, again string
		anyNetwork, repeat bool
	}{
		{"the same address", "192.0.2.1", "192.0.2.1", false, true},
		{"the same IPv4 /24", "192.0.2.1", "192.0.2.254", false, true},
		{"the next IPv4 /24", "192.0.2.255", "192.0.3.0", false, false},
		{"IPv4 within IPv6", "192.0.2.1", "::ffff:192.0.2.7", false, true},
		{"the same IPv6 /48", "2001:db8:1::1", "2001:db8:1:ffff::9", false, true},
		{"the next IPv6 /48", "2001:db8:1::1", "2001:db8:2::1", false, false},
		{"another protocol", "192.0.2.1", "2001:db8:1::1", false, false},
		{"elsewhere, where any network will do", "192.0.2.1", "2001:db8:1::1", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				counter := &counter{}
				x := newExchanges(counter.exchange, grace)
				x.anyNetwork = tt.anyNetwork
				want := 2
				if tt.repeat {
					want = 1
				}
				checkFrom(t, x, tt.first, refreshToken(), 1)
				checkFrom(t, x, tt.again, refreshToken(), want)
				checkFrom(t, x, tt.first, refreshToken(), 1) // whatever others did
				time.Sleep(grace)
				synctest.Wait()
				if answers, bytes := held(x); answers != 0 || bytes != 0 || x.cached != 0 ||
					len(x.successors) != 0 {
					t.Errorf(
						"after the grace %d answers, %d bytes, %d remembered and %d successors "+
							"are left", answers, bytes, x.cached, len(x.successors))
				}
			})
		})
	}
}

// Who has no address shares an answer with others who have none, and with nobody else.
func TestExchanges_repeatWithoutAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchanges((&counter{}).exchange, grace)
		check(t, x, refreshToken(), 1)
		check(t, x, refreshToken(), 1)
		checkFrom(t, x, "192.0.2.1", refreshToken(), 2)
	})
}

// From the moment on that the new token is presented, its owner has it.
func TestExchanges_repeatUntilTheSuccessorIsPresented(t *testing.T) {
	present := map[string]func(*testing.T, *exchanges, identity.Secret){
		"for an exchange": func(t *testing.T, x *exchanges, next identity.Secret) {
			checkFrom(t, x, "192.0.2.1", next, 2)
		},
		"for an exchange, from elsewhere": func(t *testing.T, x *exchanges, next identity.Secret) {
			checkFrom(t, x, "198.51.100.1", next, 2)
		},
		"for a sign-out": func(t *testing.T, x *exchanges, next identity.Secret) {
			x.markUsed(next)
			x.exchange(t.Context(), next) // keeps count with the others
		},
	}
	for name, present := range present {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExchanges((&counter{}).exchange, time.Minute)
				checkFrom(t, x, "192.0.2.1", refreshToken(), 1)
				present(t, x, identity.NewSecret("next 1"))
				checkFrom(t, x, "192.0.2.1", refreshToken(), 3)
				// Where Keycloak lets a token be used again, that answer is repeated in its turn.
				checkFrom(t, x, "192.0.2.1", refreshToken(), 3)
				time.Sleep(time.Minute)
				synctest.Wait()
				if answers, bytes := held(x); answers != 0 || bytes != 0 || x.cached != 0 ||
					len(x.successors) != 0 {
					t.Errorf(
						"after the grace %d answers, %d bytes, %d remembered and %d successors "+
							"are left", answers, bytes, x.cached, len(x.successors))
				}
			})
		})
	}
}

// A caller who joined while the exchange was under way gets its answer, however late it is woken
// up.
func TestExchanges_theSuccessorTakesNoAnswerFromThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExchanges((&counter{}).exchange, grace)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				checkFrom(t, x, "192.0.2.1", refreshToken(), 1)
				x.markUsed(identity.NewSecret("next 1"))
			})
		}
		callers.Wait()
	})
}

// Keycloak is the judge of one token from two places, also when both come at the same moment: it
// ends such a session, and which of the two is the thief nobody knows.
func TestExchanges_twoNetworksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counter := &counter{}
		x := newExchanges(counter.exchange, grace)
		var callers sync.WaitGroup
		for _, address := range []string{"192.0.2.1", "198.51.100.1", "192.0.2.2", "198.51.100.2",
			"192.0.2.3"} {
			callers.Go(func() {
				if _, err := x.do(from(t, address), refreshToken()); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := counter.calls.Load(); n != 2 {
			t.Errorf("exchanged %d times, want once for each network", n)
		}
	})
}

// What an operator reads of tokens that are presented again.
func TestExchanges_log(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		x := newExchanges((&counter{}).exchange, grace)
		x.log = slog.New(slog.NewTextHandler(&out,
			&slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}))
		logs := func(want string) {
			t.Helper()
			if got := out.String(); got != want {
				t.Errorf("logged\n%swant\n%s", got, want)
			}
			out.Reset()
		}
		token := ofSession("q1c9HhvZ3rXxkUe7a0uWZJ2b", canary)
		checkFrom(t, x, "192.0.2.1", token, 1)
		logs("")
		checkFrom(t, x, "192.0.2.9", token, 1)
		logs(
			`level=INFO msg="a refresh token was presented again from its network: its answer is ` +
				`repeated" session=q1c9HhvZ3rXxkUe7a0uWZJ2b network=192.0.2.0/24` + "\n")
		const refused = `level=WARN msg="a refresh token was presented again and its answer ` +
			`isn't repeated: Keycloak is asked, and may end the session" reason=`
		checkFrom(t, x, "2001:db8::1", token, 2)
		logs(refused +
			`"it comes from another network (ClientConfig.RefreshGraceAnyNetwork)" session=q1c9HhvZ3rXxkUe7a0uWZJ2b network=2001:db8::/48 firstNetwork=192.0.2.0/24` + "\n")
		checkFrom(t, x, "192.0.2.1", identity.NewSecret("next 1"), 3)
		logs("")
		checkFrom(t, x, "192.0.2.1", token, 4)
		logs(refused +
			`"its successor was used" session=q1c9HhvZ3rXxkUe7a0uWZJ2b network=192.0.2.0/24 firstNetwork=192.0.2.0/24` + "\n")

		// What a token says of itself isn't Keycloak's word.
		forged := ofSession("a b\nlevel=ERROR", "1")
		check(t, x, forged, 5)
		check(t, x, forged, 5)
		logs(
			`level=INFO msg="a refresh token was presented again from its network: its answer is ` +
				`repeated" session="" network=unknown` + "\n")
	})
}
