package keycloak

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Tokens with unknown keys cause at most one fetch per minFetchInterval. Until the next fetch is
// allowed, they are rejected at once.
func TestKeySet_unknownKeyFetchRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		k.checkStatus(false, false)
		start := time.Now()
		k.verify(edDSA(), nil)
		k.checkFetches(1)
		for i := range 20 { // within minFetchInterval
			k.verify(unknownSigningKey(i), identity.ErrKeyUnknown)
		}
		k.checkFetches(1)
		time.Sleep(minFetchInterval)
		k.verify(unknownSigningKey(0), identity.ErrKeyUnknown)
		k.verify(unknownSigningKey(0), identity.ErrKeyUnknown)
		k.verify(edDSA(), nil)
		k.checkFetches(2)
		if duration := time.Since(start); duration != minFetchInterval {
			t.Errorf("Verify() waited for %v, want no wait", duration-minFetchInterval)
		}
	})
}

// Keycloak signs with a new key as soon as the realm has one. A KeySet already accepts the first
// token signed with it.
func TestKeySet_acceptsNewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		k.verify(edDSA(), nil)
		k.endpoint.setResponse(serveKeys(edDSA(), es256()))
		time.Sleep(minFetchInterval)
		k.verify(es256(), nil)
		k.verify(edDSA(), nil)
		k.checkFetches(2)
	})
}

// A token that is rejected for its claims doesn't cause a fetch, since anyone can send tokens with
// made-up key IDs.
func TestKeySet_noFetchForRejectedToken(t *testing.T) {
	k := newKeyTest(t, serveKeys(edDSA()))
	for _, change := range []object{{"iss": "x"}, {"typ": "ID"}, {"aud": "x"}, {"sub": absent},
		{"iat": noonPlus(time.Hour)}, {"exp": noonPlus(-time.Hour)}} {
		_, err := k.verifier.Verify(
			t.Context(), unknownSigningKey(0).token(patch(t, aliceClaims(t), change)))
		if err == nil {
			t.Errorf("Verify() of a token with %v succeeded, want an error", change)
		}
	}
	k.checkFetches(0)
}

// If many tokens with unknown keys arrive at once, maxWaiters calls wait for the fetch, and the
// others fail at once.
func TestKeySet_maxWaiters(t *testing.T) {
	for _, tt := range []struct {
		name          string
		hasCachedKeys bool // whether keys have been fetched before
		fetchTime     time.Duration
		waitTime      time.Duration // how long its waiters wait
		want          error         // the waiters' error; a slow fetch must not sign users out
	}{
		{"with cached keys", true, time.Second / 2, time.Second / 2, identity.ErrKeyUnknown},
		{"before the first fetch", false, time.Second / 2, time.Second / 2, identity.ErrKeyUnknown},
		{"with a fetch that takes longer than maxWait", true, 2 * time.Second, maxWait,
			identity.ErrKeysUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyTest(t, serveKeys(edDSA()))
				fetches := 1
				if tt.hasCachedKeys {
					k.verify(edDSA(), nil)
					fetches = 2
				}
				k.endpoint.setResponse(delayResponse(tt.fetchTime, serveKeys(edDSA())))
				time.Sleep(minFetchInterval)
				payload := aliceClaims(t)
				var mu sync.Mutex
				callsByDuration := map[time.Duration]int{} // number of calls, by their duration
				start := time.Now()
				var callers sync.WaitGroup
				for i := range 1000 {
					callers.Go(func() {
						_, err := k.verifier.Verify(
							t.Context(), unknownSigningKey(i).token(payload))
						mu.Lock()
						defer mu.Unlock()
						duration := time.Since(start)
						callsByDuration[duration]++
						want := tt.want
						if duration == 0 {
							// The fetch in flight may return the key.
							want = identity.ErrKeysUnavailable
						}
						if !errors.Is(err, want) {
							t.Errorf("Verify() = %v after %v, want %v", err, duration, want)
						}
					})
				}
				synctest.Wait()
				if tt.hasCachedKeys { // cached keys still verify tokens meanwhile
					k.verify(edDSA(), nil)
				}
				callers.Wait()
				if callsByDuration[0] != 1000-maxWaiters ||
					callsByDuration[tt.waitTime] != maxWaiters {
					t.Errorf("calls by duration: %v; want all but %d to return at once",
						callsByDuration,
						maxWaiters)
				}
				time.Sleep(time.Second)
				k.checkFetches(fetches)
			})
		})
	}
}

// A caller waits for a fetch until the caller's context is done. The fetch continues.
func TestKeySet_waiterCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, delayResponse(1200*time.Millisecond, serveKeys(edDSA())))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var callers sync.WaitGroup
		start := time.Now()
		_, err := k.verifier.Verify(ctx, edDSA().token(aliceClaims(t)))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second/2 {
			t.Errorf("Verify() = %v after %v, want %v after half a second", err, time.Since(start),
				context.DeadlineExceeded)
		}
		if identityErr, ok := errors.AsType[*identity.Error](err); ok {
			t.Errorf("Verify() = %v, want no identity.Error", identityErr)
		}
		// Other callers wait for the fetch that the first one started.
		callers.Go(func() { k.verify(edDSA(), nil) })
		callers.Wait()
		if duration := time.Since(start); duration != 1200*time.Millisecond {
			t.Errorf("the fetch took %v, want 1.2 s", duration)
		}
		k.checkFetches(1)
	})
}

// A waiter whose context is done leaves its place to another caller. Otherwise, clients that
// disconnect at once could occupy all places.
func TestKeySet_cancelFreesWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		k.verify(edDSA(), nil)
		k.endpoint.setResponse(delayResponse(time.Second/2, serveKeys(edDSA(), es256())))
		time.Sleep(minFetchInterval)
		ctx, cancel := context.WithCancel(t.Context())
		var waiters sync.WaitGroup
		payload := aliceClaims(t)
		for i := range maxWaiters {
			waiters.Go(func() { k.verifier.Verify(ctx, unknownSigningKey(i).token(payload)) })
		}
		synctest.Wait()
		k.verify(es256(), identity.ErrKeysUnavailable)
		cancel()
		waiters.Wait()
		k.verify(es256(), nil)
		k.checkFetches(2)
	})
}

// A fetch is shared by all callers, so it uses neither the values nor the cancellation of the
// context of the caller that started it.
func TestKeySet_fetchIgnoresCallerContext(t *testing.T) {
	type contextKey struct{}
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, func(r *http.Request) (*http.Response, error) {
			if r.Context().Value(contextKey{}) != nil {
				t.Error("the fetch's context has a value of a caller's context, want none")
			}
			return serveKeys(edDSA())(r)
		})
		_, err := k.verifier.Verify(context.WithValue(t.Context(), contextKey{}, "a caller's"),
			edDSA().token(aliceClaims(t)))
		checkVerifyError(t, err, nil)
		canceledCtx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Hour)
		if err := k.keys.Run(canceledCtx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want %v", err, context.Canceled)
		}
		k.checkFetches(1)
	})
}

// During an outage, cached keys stay valid for MaxAge.
func TestKeySet_cachedKeysInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		go k.keys.Run(t.Context())
		synctest.Wait()
		k.checkStatus(true, false)
		k.endpoint.setResponse(refuseConnection)
		time.Sleep(refreshInterval + time.Second)
		k.checkStatus(true, true)
		k.verify(edDSA(), nil)
		k.verify(unknownSigningKey(0), identity.ErrKeysUnavailable)

		time.Sleep(24*time.Hour - refreshInterval - 2*time.Second)
		k.verify(edDSA(), nil)
		time.Sleep(2 * time.Second)
		k.checkStatus(false, true)
		k.verify(edDSA(), identity.ErrKeysUnavailable)
		k.verify(unknownSigningKey(0), identity.ErrKeysUnavailable)

		k.endpoint.setResponse(serveKeys(edDSA()))
		time.Sleep(10 * time.Second)
		k.checkStatus(true, false)
		k.verify(edDSA(), nil)
		k.verify(unknownSigningKey(0), identity.ErrKeyUnknown)
	})
}

// If each fetch has timed out because Keycloak hangs, a KeySet still notices within ten seconds
// when Keycloak recovers.
func TestKeySet_recoveryAfterHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, delayResponse(time.Hour, serveKeys(edDSA())))
		go k.keys.Run(t.Context())
		time.Sleep(time.Hour)
		k.checkStatus(false, true)
		k.endpoint.setResponse(serveKeys(edDSA()))
		time.Sleep(10 * time.Second)
		k.checkStatus(true, false)
	})
}

// Run fetches the keys once per refresh interval, minus jitter, until its context is done.
func TestKeySet_Run_refreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		result := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { result <- k.keys.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		checkGaps(t, k.endpoint.requestTimes(), refreshInterval*4/5, refreshInterval)
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want %v", err, context.Canceled)
		}
		count := len(k.endpoint.requestTimes())
		time.Sleep(time.Hour)
		k.checkFetches(count)
	})
}

// Run retries a failed fetch after increasing delays, up to maxRetryDelay.
func TestKeySet_Run_backoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, refuseConnection)
		go k.keys.Run(t.Context())
		time.Sleep(time.Hour)
		times := k.endpoint.requestTimes()
		for i, retryDelay := range []time.Duration{initialRetryDelay, 2 * initialRetryDelay} {
			checkGaps(t, times[i:i+2], retryDelay*4/5, retryDelay)
		}
		checkGaps(t, times[2:], maxRetryDelay*4/5, maxRetryDelay)
	})
}

// checkGaps checks that successive times are at least minGap and at most maxGap apart.
func checkGaps(t *testing.T, times []time.Time, minGap, maxGap time.Duration) {
	t.Helper()
	if len(times) < 2 {
		t.Fatalf("%d fetches, want at least 2", len(times))
	}
	for i := range times[1:] {
		if gap := times[i+1].Sub(times[i]); gap < minGap || gap > maxGap {
			t.Errorf("fetch %d came %v after the previous one, want %v to %v", i+1, gap, minGap,
				maxGap)
		}
	}
}

// The next refresh drops a key that Keycloak no longer publishes.
func TestKeySet_dropsRemovedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA(), es256()))
		go k.keys.Run(t.Context())
		synctest.Wait()
		k.verify(edDSA(), nil)
		k.endpoint.setResponse(serveKeys(es256()))
		time.Sleep(refreshInterval + time.Second)
		k.verify(edDSA(), identity.ErrKeyUnknown)
		k.verify(es256(), nil)
	})
}

// A KeySet logs only the first failed fetch of an outage and the first successful one after it.
func TestKeySet_logsChangesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, refuseConnection)
		go k.keys.Run(t.Context())
		var want []string
		checkNewLine := func(level, msg string) {
			t.Helper()
			want = append(want, msg)
			lines := strings.Split(strings.TrimSpace(k.log.String()), "\n")
			if len(lines) != len(want) {
				t.Fatalf("logged %d lines, want %d:\n%s", len(lines), len(want), k.log)
			}
			if last := lines[len(lines)-1]; !strings.Contains(last, level) ||
				!strings.Contains(last, msg) || !strings.Contains(last, "/certs") {
				t.Errorf("logged %q, want it to contain %s, %q and the URL", last, level, msg)
			}
		}
		time.Sleep(time.Hour)
		checkNewLine("level=WARN", "connection refused")
		k.endpoint.setResponse(serveKeys(edDSA()))
		time.Sleep(time.Hour)
		checkNewLine("level=INFO", "keys fetched")
		k.endpoint.setResponse(
			func(*http.Request) (*http.Response, error) { return newResponse(503, "") })
		time.Sleep(time.Hour)
		checkNewLine("level=WARN", "response 503")
		k.endpoint.setResponse(serveKeys(edDSA()))
		time.Sleep(time.Hour)
		checkNewLine("level=INFO", "keys=1")
	})
}

// Without Run, the first token that is verified after the refresh interval starts a fetch. Calls
// share the fetch and don't wait for it. Until it is done, a removed key still verifies tokens.
func TestKeySet_withoutRun_removedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA(), es256()))
		k.verify(es256(), nil)
		k.endpoint.setResponse(delayResponse(2*time.Second, serveKeys(edDSA())))
		time.Sleep(refreshInterval*4/5 - time.Second) // still fresh
		k.verify(es256(), nil)
		synctest.Wait()
		k.checkFetches(1)
		time.Sleep(refreshInterval/5 + time.Second)
		k.verify(es256(), nil) // starts the fetch
		synctest.Wait()
		k.checkFetches(2)
		start := time.Now()
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() { k.verify(edDSA(), nil) })
		}
		callers.Wait()
		if duration := time.Since(start); duration != 0 {
			t.Errorf("calls with a known key waited %v for the fetch, want no wait", duration)
		}
		k.checkFetches(2)
		k.endpoint.setResponse(serveKeys(edDSA()))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		k.verify(es256(), identity.ErrKeyUnknown)
		k.verify(edDSA(), nil)
	})
}

// Without Run, the first token after a long idle time waits for fresh keys, so that a removed key
// isn't accepted even once.
func TestKeySet_withoutRun_idle(t *testing.T) {
	for _, idleTime := range []time.Duration{11 * time.Minute, 23 * time.Hour, 25 * time.Hour,
		1000 * time.Hour} {
		t.Run(idleTime.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyTest(t, serveKeys(edDSA(), es256()))
				k.verify(es256(), nil)
				k.endpoint.setResponse(delayResponse(500*time.Millisecond, serveKeys(edDSA())))
				time.Sleep(idleTime)
				k.verify(es256(), identity.ErrKeyUnknown)
				k.verify(edDSA(), nil)
				k.checkFetches(2)
			})
		})
	}
}

// Without Run, keys stay valid in an outage for as long as with Run. Once a fetch has failed, no
// caller waits for the next fetch.
func TestKeySet_withoutRun_outage(t *testing.T) {
	for name, outage := range map[string]roundTripFunc{"down": refuseConnection,
		"hangs": delayResponse(time.Hour, refuseConnection)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyTest(t, serveKeys(edDSA()))
				k.verify(edDSA(), nil)
				k.endpoint.setResponse(outage)
				time.Sleep(23 * time.Hour)
				start := time.Now()
				k.verify(edDSA(), nil)
				if duration := time.Since(start); duration > maxWait {
					t.Errorf("the first Verify() took %v, want at most %v", duration, maxWait)
				}
				time.Sleep(fetchTimeout)
				// A fetch has failed: now no caller waits, and fetches are as rare as with Run.
				for range 60 {
					start = time.Now()
					k.verify(edDSA(), nil)
					if duration := time.Since(start); duration != 0 {
						t.Errorf("Verify() took %v after a failed fetch, want no wait", duration)
					}
					time.Sleep(time.Second)
				}
				if fetches := len(k.endpoint.requestTimes()); fetches > 30 {
					t.Errorf("%d fetches in a minute of outage, want at most 30", fetches)
				}
				k.endpoint.setResponse(serveKeys(es256()))
				time.Sleep(2 * maxRetryDelay)
				k.verify(edDSA(), nil) // starts the fetch that drops this key
				synctest.Wait()
				k.verify(edDSA(), identity.ErrKeyUnknown)
				// After a later outage and a long idle time, a token waits for fresh keys again.
				k.endpoint.setResponse(refuseConnection)
				time.Sleep(refreshInterval)
				k.verify(es256(), nil)
				synctest.Wait()
				k.checkStatus(true, true)
				k.endpoint.setResponse(serveKeys(edDSA()))
				time.Sleep(time.Hour)
				k.verify(es256(), identity.ErrKeyUnknown)
			})
		})
	}
}

// Status also starts a fetch. Otherwise a server that gets no traffic before it reports that it is
// ready would never become ready.
func TestKeySet_Status_refreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		k.checkStatus(false, false)
		synctest.Wait()
		k.checkStatus(true, false)
		for range 48 * 60 {
			time.Sleep(time.Minute)
			k.checkStatus(true, false)
		}
		if times := k.endpoint.requestTimes(); len(times) < 48*60/6 || len(times) > 48*60/4 {
			t.Errorf("%d fetches in 48 hours, want one about every five minutes", len(times))
		}
	})
}

// After a fetch, Key returns the same pointer for an unchanged key, and the new key for a changed
// key, so that the token cache can compare pointers.
func TestKeySet_keepsUnchangedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(rs256(), es256()))
		keyOf := func(key signingKey) any { return must(k.keys.Key(t.Context(), key.kid)).Public }
		rsaBefore, ecBefore := keyOf(rs256()), keyOf(es256())
		changed := es256()
		changed.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		k.endpoint.setResponse(serveKeys(rs256(), changed))
		time.Sleep(time.Hour)
		k.verify(unknownSigningKey(0), identity.ErrKeyUnknown)
		if keyOf(rs256()) != rsaBefore {
			t.Error("Key() returns another pointer for an unchanged key, want the same")
		}
		if after := keyOf(es256()); after == ecBefore ||
			!changed.key.Public().(*ecdsa.PublicKey).Equal(after) {
			t.Error("Key() returns the old key for a changed key, want the new one")
		}
	})
}

// With Run, traffic causes no additional fetches.
func TestKeySet_Run_withTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, serveKeys(edDSA()))
		ctx, stop := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- k.keys.Run(ctx) }()
		for range 3600 {
			time.Sleep(time.Second)
			k.verify(edDSA(), nil)
		}
		stop()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want %v", err, context.Canceled)
		}
		checkGaps(t, k.endpoint.requestTimes(), refreshInterval*4/5, refreshInterval+time.Second)
	})
}
