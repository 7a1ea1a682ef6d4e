package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const testGracePeriod = 10 * time.Second

// A fakeRealm takes two seconds to exchange a refresh token, and counts the exchanges. It rejects
// tokens that end in "forged".
type fakeRealm struct {
	exchangeCount atomic.Int32
	err           error // returned for all other tokens, if set
}

func (r *fakeRealm) exchangeToken(ctx context.Context,
	token identity.Secret) (*identity.OpenIDToken, error) {
	n := r.exchangeCount.Add(1)
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if strings.HasSuffix(token.Reveal(), "forged") {
		return nil, identity.ErrRefreshInvalid
	}
	if r.err != nil {
		return nil, r.err
	}
	return &identity.OpenIDToken{
		AccessToken: identity.NewSecret(fmt.Sprint("access ", n)), ExpiresIn: 300,
		RefreshToken: new(identity.NewSecret(fmt.Sprint("next ", n))), RefreshExpiresIn: new(1800),
		Scope: []string{"openid"},
	}, nil
}

// cacheSize returns how many responses are cached or in flight, and their size in bytes.
func cacheSize(r *refresher) (responses, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.exchanges), r.cachedBytes
}

// checkRefresh refreshes a token and checks that it gets the response of exchange number want.
func checkRefresh(t *testing.T, r *refresher, token identity.Secret, want int) {
	t.Helper()
	got, err := r.refresh(t.Context(), token)
	if err != nil || got.AccessToken.Reveal() != fmt.Sprint("access ", want) {
		t.Errorf("refresh() = %v, %v; want the response of exchange %d", got, err, want)
	}
}

// Concurrent callers with the same token share an exchange, which continues if the first caller
// cancels.
func TestRefresher_sharesExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := r.refresh(ctx, refreshToken()); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that canceled got %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		for range 7 {
			callers.Go(func() { checkRefresh(t, r, refreshToken(), 1) })
		}
		time.Sleep(time.Second)
		cancel()
		callers.Wait()
		if n := realm.exchangeCount.Load(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

// An exchange continues if its only caller cancels. Otherwise the session would be lost: Keycloak
// no longer accepts the old refresh token, and no client has received the new one.
func TestRefresher_outliveCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		type key struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"),
			time.Second)
		defer cancel()
		start := time.Now()
		if _, err := r.refresh(ctx, refreshToken()); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want %v after a second", err, time.Since(start),
				context.DeadlineExceeded)
		}
		time.Sleep(5 * time.Second)
		checkRefresh(t, r, refreshToken(), 1)
	})
}

// In a repeated response, both lifetimes are reduced by the time since the exchange.
func TestRefresher_repeatWithinGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		response := identity.OpenIDToken{ExpiresIn: 5, RefreshExpiresIn: new(8),
			AccessToken: identity.NewSecret("a")}
		r := newRefresher(func(context.Context, identity.Secret) (*identity.OpenIDToken, error) {
			token := response
			return &token, nil
		}, testGracePeriod)
		for _, tt := range []struct {
			delay                               time.Duration
			wantExpiresIn, wantRefreshExpiresIn int
		}{
			{0, 5, 8},
			{900 * time.Millisecond, 5, 8},
			{3 * time.Second, 2, 5},
			{6 * time.Second, 0, 2},
			{9900 * time.Millisecond, 0, 0},
		} {
			if _, err := r.refresh(t.Context(), refreshToken()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tt.delay)
			got, err := r.refresh(t.Context(), refreshToken())
			if err != nil || got.ExpiresIn != tt.wantExpiresIn ||
				*got.RefreshExpiresIn != tt.wantRefreshExpiresIn {
				t.Errorf("after %v: ExpiresIn = %d, RefreshExpiresIn = %d, error %v; want %d and "+
					"%d",
					tt.delay, got.ExpiresIn, *got.RefreshExpiresIn, err, tt.wantExpiresIn,
					tt.wantRefreshExpiresIn)
			}
			time.Sleep(testGracePeriod + time.Second) // the next row starts with an empty cache
		}
		if response.ExpiresIn != 5 || *response.RefreshExpiresIn != 8 {
			t.Errorf("the cached response is now %+v, want it unchanged", response)
		}
	})
}

// If the refresh token doesn't expire, RefreshExpiresIn is nil in the repeated response too.
func TestRefresher_repeatOfflineToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher(func(context.Context, identity.Secret) (*identity.OpenIDToken, error) {
			return &identity.OpenIDToken{ExpiresIn: 300}, nil
		}, testGracePeriod)
		for range 2 {
			got, err := r.refresh(t.Context(), refreshToken())
			if err != nil || got.RefreshExpiresIn != nil {
				t.Errorf("got %+v, %v; want no RefreshExpiresIn", got, err)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

// Once the grace period has passed, a token that is presented again causes another exchange.
func TestRefresher_afterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		checkRefresh(t, r, refreshToken(), 1)
		time.Sleep(testGracePeriod - time.Millisecond)
		checkRefresh(t, r, refreshToken(), 1)
		checkRefresh(t, r, identity.NewSecret("another"), 2) // another token has its own exchange
		time.Sleep(time.Millisecond)
		synctest.Wait()
		checkRefresh(t, r, refreshToken(), 3)
	})
}

// Without a grace period nothing is cached, but concurrent callers still share an exchange.
func TestRefresher_withoutGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, 0)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() { checkRefresh(t, r, refreshToken(), 1) })
		}
		callers.Wait()
		checkRefresh(t, r, refreshToken(), 2)
		if responses, bytes := cacheSize(r); responses != 0 || bytes != 0 {
			t.Errorf("the cache has %d responses and %d bytes, want none", responses, bytes)
		}
	})
}

// A failed exchange isn't cached: the next call with the same token tries again.
func TestRefresher_failuresNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{err: identity.ErrProviderUnavailable}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		var callers sync.WaitGroup
		for range 3 { // each of the callers that share the exchange gets its error
			callers.Go(func() {
				if _, err := r.refresh(t.Context(), refreshToken()); !errors.Is(err, realm.err) {
					t.Errorf("got %v, want %v", err, realm.err)
				}
			})
		}
		callers.Wait()
		realm.err = nil
		checkRefresh(t, r, refreshToken(), 2)
	})
}

// A logout removes only the cached responses of its own session.
func TestLogout_forgetsSession(t *testing.T) {
	for name, token := range map[string]identity.Secret{
		"logout with the token that was exchanged": sessionRefreshToken("s1", "1"),
		"logout with the token that was returned":  sessionRefreshToken("s1", "2"),
		"logout with another token of the session": sessionRefreshToken("s1", "3"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm := &fakeRealm{}
				r := newRefresher(realm.exchangeToken, testGracePeriod)
				checkRefresh(t, r, sessionRefreshToken("s1", "1"), 1)
				checkRefresh(t, r, sessionRefreshToken("s2", "1"), 2)
				checkRefresh(t, r, identity.NewSecret("opaque"), 3)
				r.endSession(token)
				checkRefresh(t, r, sessionRefreshToken("s2", "1"), 2)
				checkRefresh(t, r, identity.NewSecret("opaque"), 3)
				checkRefresh(t, r, sessionRefreshToken("s1", "1"), 4)
				// The timer of the removed response must not remove the new one.
				time.Sleep(testGracePeriod - 3*time.Second)
				checkRefresh(t, r, sessionRefreshToken("s1", "1"), 4)
				time.Sleep(testGracePeriod)
				synctest.Wait()
				if responses, bytes := cacheSize(r); responses != 0 || bytes != 0 {
					t.Errorf("the cache has %d responses and %d bytes, want none", responses, bytes)
				}
			})
		})
	}
}

// A logout with a token that has no session ID removes only this token's response.
func TestLogout_opaqueToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		opaqueTokens := []identity.Secret{
			identity.NewSecret("a"), identity.NewSecret("b.b.b"),
			identity.NewSecret("c." + base64url([]byte("{}")) + ".c"),
			identity.NewSecret("d." + base64url([]byte(`{"sid":5}`)) + ".d"),
			sessionRefreshToken("", "5"),
		}
		for i, token := range opaqueTokens {
			checkRefresh(t, r, token, i+1)
		}
		r.endSession(opaqueTokens[4])
		for i, token := range opaqueTokens[:4] {
			checkRefresh(t, r, token, i+1)
		}
		checkRefresh(t, r, opaqueTokens[4], 6)
	})
}

// If a session ends during an exchange, the caller gets ErrSessionEnded instead of the new tokens.
func TestLogout_duringExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := r.refresh(t.Context(), sessionRefreshToken("s1", "1")); !errors.Is(err,
				identity.ErrSessionEnded) {
				t.Errorf("got %v, want %v", err, identity.ErrSessionEnded)
			}
		})
		callers.Go(func() {
			if _, err := r.refresh(t.Context(), sessionRefreshToken("s2", "1")); err != nil {
				t.Errorf("the exchange of another session: got %v, want nil", err)
			}
		})
		time.Sleep(time.Second)
		r.endSession(sessionRefreshToken("s1", "2"))
		callers.Wait()
		synctest.Wait()
		if responses, _ := cacheSize(r); responses != 1 {
			t.Errorf("%d cached responses, want 1: the response of the other session", responses)
		}
	})
}

// The cache is bounded both by the number of responses and by their size in bytes.
func TestRefresher_cacheBounds(t *testing.T) {
	exchangeReturning := func(response *identity.OpenIDToken) func(context.Context,
		identity.Secret) (*identity.OpenIDToken, error) {
		return func(context.Context, identity.Secret) (*identity.OpenIDToken, error) {
			return response, nil
		}
	}
	fill := func(t *testing.T, r *refresher, count int) {
		for i := range count {
			if _, err := r.refresh(t.Context(), identity.NewSecret(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if responses, bytes := cacheSize(r); responses > maxCachedResponses+1 ||
				bytes > maxCachedBytes {
				t.Fatalf("the cache has %d responses and %d bytes, want at most %d and %d",
					responses,
					bytes, maxCachedResponses+1, maxCachedBytes)
			}
		}
	}
	checkExpiry := func(t *testing.T, r *refresher) {
		time.Sleep(testGracePeriod)
		synctest.Wait()
		if responses, bytes := cacheSize(r); responses != 0 || bytes != 0 {
			t.Errorf("after the grace period, the cache has %d responses and %d bytes, want none",
				responses, bytes)
		}
	}
	t.Run("by count", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRefresher(exchangeReturning(&identity.OpenIDToken{}), testGracePeriod)
			fill(t, r, maxCachedResponses+5)
			synctest.Wait()
			if responses, _ := cacheSize(r); responses != maxCachedResponses {
				t.Errorf("%d cached responses, want %d", responses, maxCachedResponses)
			}
			checkExpiry(t, r)
		})
	})
	t.Run("by bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			megabyte := identity.NewSecret(strings.Repeat("x", 1<<20))
			r := newRefresher(
				exchangeReturning(&identity.OpenIDToken{AccessToken: megabyte,
					RefreshToken: &megabyte, IDToken: &megabyte}), testGracePeriod)
			fill(t, r, 30)
			synctest.Wait()
			if responses, _ := cacheSize(r); responses != maxCachedBytes/(3<<20) {
				t.Errorf("%d cached responses of 3 MiB, want %d", responses,
					maxCachedBytes/(3<<20))
			}
			checkExpiry(t, r)
		})
	})
}

// With DefaultMaxCalls exchanges in flight, one more fails. A caller whose token is already being
// exchanged can still share that exchange.
func TestRefresher_maxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		var callers sync.WaitGroup
		for i := range DefaultMaxCalls {
			callers.Go(func() {
				if _, err := r.refresh(t.Context(), identity.NewSecret(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := r.refresh(t.Context(), identity.NewSecret("one more")); !errors.Is(err,
			identity.ErrBusy) {
			t.Errorf("one more exchange: got %v, want %v", err, identity.ErrBusy)
		}
		if _, err := r.refresh(t.Context(), identity.NewSecret("0")); err != nil {
			t.Errorf("sharing an exchange in flight: got %v, want nil", err)
		}
		callers.Wait()
		if _, err := r.refresh(t.Context(), identity.NewSecret("one more")); err != nil {
			t.Errorf("after the burst: got %v, want nil", err)
		}
	})
}

// waitIdle, which Close calls, returns when no exchange is in flight or when its context is done.
func TestClose_waitsForExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher((&fakeRealm{}).exchangeToken, testGracePeriod)
		if err := r.waitIdle(t.Context()); err != nil {
			t.Errorf("waitIdle() without an exchange = %v, want nil", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		go r.refresh(ctx, refreshToken())
		synctest.Wait()
		cancel()
		waitCtx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.waitIdle(waitCtx); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want %v after a second", err, time.Since(start),
				context.DeadlineExceeded)
		}
		if err := r.waitIdle(t.Context()); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("got %v after %v, want nil after two seconds", err, time.Since(start))
		}
	})
}

// An attacker who knows a session ID can forge a token with it. The forged token gets an exchange
// of its own, and doesn't stop the exchange of the session's owner.
func TestRefresher_forgedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		validToken := sessionRefreshToken("s1", "1")
		var attackerCall sync.WaitGroup
		attackerCall.Go(func() {
			_, err := r.refresh(t.Context(), identity.NewSecret(validToken.Reveal()+"isforged"))
			if !errors.Is(err,
				identity.ErrRefreshInvalid) {
				t.Errorf("the forged token got %v, want %v", err, identity.ErrRefreshInvalid)
			}
		})
		synctest.Wait()
		checkRefresh(t, r, validToken, 2)
		attackerCall.Wait()
		checkRefresh(t, r, validToken, 2)
	})
}

// No exchange starts if the caller's context is already done.
func TestRefresher_contextAlreadyDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var realm fakeRealm
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.refresh(ctx, refreshToken()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		synctest.Wait()
		if n := realm.exchangeCount.Load(); n != 0 {
			t.Errorf("%d exchanges, want none", n)
		}
	})
}

// waitIdle also waits for an exchange that starts after another one has ended.
func TestClose_waitsForLastExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher((&fakeRealm{}).exchangeToken, testGracePeriod)
		start := time.Now()
		for i := range 3 { // these exchanges end after 2, 3 and 4 s
			go func() {
				time.Sleep(time.Duration(i) * time.Second)
				r.refresh(t.Context(), identity.NewSecret(fmt.Sprint("token ", i)))
			}()
		}
		// The first exchange has ended, and the third has just started.
		time.Sleep(2*time.Second + time.Millisecond)
		if err := r.waitIdle(t.Context()); err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("got %v after %v, want nil after four seconds", err, time.Since(start))
		}
	})
}

// checkRefreshFrom does the same as checkRefresh, for a caller with this address.
func checkRefreshFrom(t *testing.T, r *refresher, address string, token identity.Secret, want int) {
	t.Helper()
	got, err := r.refresh(contextWithAddress(t, address), token)
	if err != nil || got.AccessToken.Reveal() != fmt.Sprint("access ", want) {
		t.Errorf("refresh() from %s = %v, %v; want the response of exchange %d", address, got, err,
			want)
	}
}

// A response is repeated only to callers in the first caller's network.
func TestRefresher_repeatWithinNetwork(t *testing.T) {
	for _, tt := range []struct {
		name, firstAddress, secondAddress string
		anyNetwork, wantRepeated          bool
	}{
		{"the same address", "192.0.2.1", "192.0.2.1", false, true},
		{"the same IPv4 /24", "192.0.2.1", "192.0.2.254", false, true},
		{"the next IPv4 /24", "192.0.2.255", "192.0.3.0", false, false},
		{"the same IPv4 /24, one address mapped to IPv6", "192.0.2.1", "::ffff:192.0.2.7", false,
			true},
		{"the same IPv6 /48", "2001:db8:1::1", "2001:db8:1:ffff::9", false, true},
		{"the next IPv6 /48", "2001:db8:1::1", "2001:db8:2::1", false, false},
		{"IPv4, then IPv6", "192.0.2.1", "2001:db8:1::1", false, false},
		{"IPv4, then IPv6, with anyNetwork", "192.0.2.1", "2001:db8:1::1", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm := &fakeRealm{}
				r := newRefresher(realm.exchangeToken, testGracePeriod)
				r.anyNetwork = tt.anyNetwork
				want := 2
				if tt.wantRepeated {
					want = 1
				}
				checkRefreshFrom(t, r, tt.firstAddress, refreshToken(), 1)
				checkRefreshFrom(t, r, tt.secondAddress, refreshToken(), want)
				// The first caller isn't affected by the second.
				checkRefreshFrom(t, r, tt.firstAddress, refreshToken(), 1)
				time.Sleep(testGracePeriod)
				synctest.Wait()
				if responses, bytes := cacheSize(r); responses != 0 || bytes != 0 ||
					r.cachedCount != 0 ||
					len(r.successors) != 0 {
					t.Errorf("after the grace period: %d responses, %d bytes, %d cached, "+
						"%d successors; want none", responses, bytes, r.cachedCount,
						len(r.successors))
				}
			})
		})
	}
}

// A response to a caller without an address is repeated only to callers without an address.
func TestRefresher_repeatWithoutAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher((&fakeRealm{}).exchangeToken, testGracePeriod)
		checkRefresh(t, r, refreshToken(), 1)
		checkRefresh(t, r, refreshToken(), 1)
		checkRefreshFrom(t, r, "192.0.2.1", refreshToken(), 2)
	})
}

// A response isn't repeated once the new refresh token in it has been used, because then the owner
// has received the response.
func TestRefresher_repeatUntilSuccessorUsed(t *testing.T) {
	uses := map[string]func(*testing.T, *refresher, identity.Secret){
		"refresh with the new token": func(t *testing.T, r *refresher, newToken identity.Secret) {
			checkRefreshFrom(t, r, "192.0.2.1", newToken, 2)
		},
		"refresh with the new token, from another network": func(t *testing.T, r *refresher,
			newToken identity.Secret) {
			checkRefreshFrom(t, r, "198.51.100.1", newToken, 2)
		},
		"logout with the new token": func(t *testing.T, r *refresher, newToken identity.Secret) {
			r.markUsed(t.Context(), newToken)
			r.exchangeToken(
				t.Context(), newToken) // so that the next exchange is number 3 in this row too
		},
	}
	for name, useToken := range uses {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRefresher((&fakeRealm{}).exchangeToken, time.Minute)
				checkRefreshFrom(t, r, "192.0.2.1", refreshToken(), 1)
				useToken(t, r, identity.NewSecret("next 1"))
				checkRefreshFrom(t, r, "192.0.2.1", refreshToken(), 3)
				// If Keycloak accepts the old token again, the new response is repeated too.
				checkRefreshFrom(t, r, "192.0.2.1", refreshToken(), 3)
				time.Sleep(time.Minute)
				synctest.Wait()
				if responses, bytes := cacheSize(r); responses != 0 || bytes != 0 ||
					r.cachedCount != 0 ||
					len(r.successors) != 0 {
					t.Errorf("after the grace period: %d responses, %d bytes, %d cached, "+
						"%d successors; want none", responses, bytes, r.cachedCount,
						len(r.successors))
				}
			})
		})
	}
}

// A caller that shares an exchange gets its response, even if the new refresh token is used before
// the caller's goroutine runs.
func TestRefresher_successorUsedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefresher((&fakeRealm{}).exchangeToken, testGracePeriod)
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				checkRefreshFrom(t, r, "192.0.2.1", refreshToken(), 1)
				r.markUsed(t.Context(), identity.NewSecret("next 1"))
			})
		}
		callers.Wait()
	})
}

// If the same token comes from two networks at once, there is one exchange for each network. Either
// caller may be a thief, so Keycloak must notice the second use and end the session.
func TestRefresher_exchangePerNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		realm := &fakeRealm{}
		r := newRefresher(realm.exchangeToken, testGracePeriod)
		var callers sync.WaitGroup
		for _, address := range []string{"192.0.2.1", "198.51.100.1", "192.0.2.2", "198.51.100.2",
			"192.0.2.3"} {
			callers.Go(func() {
				if _, err := r.refresh(contextWithAddress(t, address), refreshToken()); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := realm.exchangeCount.Load(); n != 2 {
			t.Errorf("%d exchanges, want one for each network", n)
		}
	})
}

// Each use of a token that was already exchanged is logged.
func TestRefresher_logsReusedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newRefresher((&fakeRealm{}).exchangeToken, testGracePeriod)
		r.log = slog.New(slog.NewTextHandler(&out,
			&slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}))
		checkLog := func(want string) {
			t.Helper()
			if got := out.String(); got != want {
				t.Errorf("logged\n%swant\n%s", got, want)
			}
			out.Reset()
		}
		token := sessionRefreshToken("q1c9HhvZ3rXxkUe7a0uWZJ2b", canary)
		checkRefreshFrom(t, r, "192.0.2.1", token, 1)
		checkLog("")
		checkRefreshFrom(t, r, "192.0.2.9", token, 1)
		checkLog(
			`level=INFO msg="a refresh token was presented again from its network: the response ` +
				`is repeated" session=q1c9HhvZ3rXxkUe7a0uWZJ2b network=192.0.2.0/24` + "\n")
		const notRepeated = `level=WARN msg="a refresh token was presented again and the ` +
			`response ` +
			`isn't repeated: Keycloak is called, and may end the session" reason=`
		checkRefreshFrom(t, r, "2001:db8::1", token, 2)
		checkLog(notRepeated +
			`"it comes from another network (ClientConfig.RefreshGraceAnyNetwork)" ` +
			`session=q1c9HhvZ3rXxkUe7a0uWZJ2b network=2001:db8::/48 firstNetwork=192.0.2.0/24` +
			"\n")
		checkRefreshFrom(t, r, "192.0.2.1", identity.NewSecret("next 1"), 3)
		checkLog("")
		checkRefreshFrom(t, r, "192.0.2.1", token, 4)
		checkLog(notRepeated +
			`"the new refresh token was used" session=q1c9HhvZ3rXxkUe7a0uWZJ2b ` +
			`network=192.0.2.0/24 firstNetwork=192.0.2.0/24` + "\n")

		// A forged session ID isn't logged.
		forgedToken := sessionRefreshToken("a b\nlevel=ERROR", "1")
		checkRefresh(t, r, forgedToken, 5)
		checkRefresh(t, r, forgedToken, 5)
		checkLog(
			`level=INFO msg="a refresh token was presented again from its network: the response ` +
				`is repeated" session="" network=unknown` + "\n")
	})
}
