package keycloak

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A certsEndpoint is a realm's certs endpoint, whose answer may change.
type certsEndpoint struct {
	mu     sync.Mutex // guards the fields below
	asked  []time.Time
	answer roundTrip
}

func (e *certsEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.asked = append(e.asked, time.Now())
	answer := e.answer
	e.mu.Unlock()
	return answer(r)
}

func (e *certsEndpoint) set(answer roundTrip) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *certsEndpoint) times() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]time.Time{}, e.asked...)
}

func holding(signers ...signer) roundTrip {
	body := certsOf(signers...)
	return func(*http.Request) (*http.Response, error) { return respond(200, body) }
}

func down(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// slow gives an answer after d, and respects the deadline of the caller.
func slow(d time.Duration, answer roundTrip) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return answer(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// A keyTest is a verifier of the local realm, whose certs endpoint answers as the test says.
type keyTest struct {
	*testing.T
	endpoint *certsEndpoint
	keys     *KeySet
	verifier *Verifier
	log      *logBook
}

func newKeyTest(t *testing.T, answer roundTrip) *keyTest {
	endpoint, log := &certsEndpoint{answer: answer}, &logBook{}
	keys := NewKeySet(localRealm(t),
		KeySetConfig{Transport: roundTrip(endpoint.RoundTrip), Log: log.logger()})
	return &keyTest{t, endpoint, keys, newVerifier(t, keys, VerifierConfig{}), log}
}

// verify presents a token and compares why it is refused.
func (t *keyTest) verify(s signer, want error) {
	t.Helper()
	if _, err := t.verifier.Verify(t.Context(), s.token(alice(t))); !errors.Is(err, want) {
		t.Errorf("a token of %s: %v, want %v", s.kid, err, want)
	}
}

func (t *keyTest) fetched(want int) {
	t.Helper()
	if got := len(t.endpoint.times()); got != want {
		t.Errorf("keys were fetched %d times, want %d", got, want)
	}
}

// status compares what readiness would say.
func (t *keyTest) status(usable, failing bool) {
	t.Helper()
	if gotUsable, failure := t.keys.Status(); gotUsable != usable || (failure != nil) != failing {
		t.Errorf("Status() = %v, %v; want usable %v and failing %v", gotUsable, failure, usable,
			failing)
	}
}

func TestAnUnknownKeyIsFetchedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		k.status(false, false)
		begin := time.Now()
		k.verify(edDSA(), nil)
		k.fetched(1)
		for i := range 20 { // within the floor
			k.verify(stranger(i), identity.ErrKeyUnknown)
		}
		k.fetched(1)
		time.Sleep(minFetchInterval)
		k.verify(stranger(0), identity.ErrKeyUnknown)
		k.verify(stranger(0), identity.ErrKeyUnknown)
		k.verify(edDSA(), nil)
		k.fetched(2)
		if took := time.Since(begin); took != minFetchInterval {
			t.Errorf("somebody waited %v", took-minFetchInterval)
		}
	})
}

// Keycloak signs with a new key at once; nobody may need to restart for it.
func TestANewKeyIsFoundByItsFirstToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		k.verify(edDSA(), nil)
		k.endpoint.set(holding(edDSA(), es256()))
		time.Sleep(minFetchInterval)
		k.verify(es256(), nil)
		k.verify(edDSA(), nil)
		k.fetched(2)
	})
}

// Key ids are free to make up; what is refused without a key must not cause a fetch.
func TestARefusedTokenCausesNoFetch(t *testing.T) {
	k := newKeyTest(t, holding(edDSA()))
	for _, change := range []object{{"iss": "x"}, {"typ": "ID"}, {"aud": "x"}, {"sub": absent},
		{"iat": noonPlus(time.Hour)}, {"exp": noonPlus(-time.Hour)}} {
		_, err := k.verifier.Verify(t.Context(), stranger(0).token(with(t, alice(t), change)))
		if err == nil {
			t.Errorf("%v is accepted", change)
		}
	}
	k.fetched(0)
}

func TestAThousandStrangers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		held  bool          // keys are, before the strangers come
		slow  time.Duration // the fetch that they cause
		after time.Duration // that the waiters are answered
		want  error         // for the waiters; an outage, or a crowd, must sign nobody out
	}{
		{"with keys", true, time.Second / 2, time.Second / 2, identity.ErrKeyUnknown},
		{"before the first fetch", false, time.Second / 2, time.Second / 2, identity.ErrKeyUnknown},
		{"when the fetch takes too long", true, 2 * time.Second, maxWait, identity.ErrKeysUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyTest(t, holding(edDSA()))
				fetches := 1
				if tt.held {
					k.verify(edDSA(), nil)
					fetches = 2
				}
				k.endpoint.set(slow(tt.slow, holding(edDSA())))
				time.Sleep(minFetchInterval)
				payload := alice(t)
				var mu sync.Mutex
				answered := map[time.Duration]int{}
				begin := time.Now()
				var strangers sync.WaitGroup
				for i := range 1000 {
					strangers.Go(func() {
						_, err := k.verifier.Verify(t.Context(), stranger(i).token(payload))
						mu.Lock()
						defer mu.Unlock()
						took := time.Since(begin)
						answered[took]++
						want := tt.want
						if took == 0 {
							// the key may be in what is being fetched
							want = identity.ErrKeysUnavailable
						}
						if !errors.Is(err, want) {
							t.Errorf("after %v: %v, want %v", took, err, want)
						}
					})
				}
				synctest.Wait()
				if tt.held { // nobody else is hindered meanwhile
					k.verify(edDSA(), nil)
				}
				strangers.Wait()
				if answered[0] != 1000-maxWaiters || answered[tt.after] != maxWaiters {
					t.Errorf("answered %v; want all but %d at once", answered, maxWaiters)
				}
				time.Sleep(time.Second)
				k.fetched(fetches)
			})
		})
	}
}

func TestAWaiterLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, slow(1200*time.Millisecond, holding(edDSA())))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		var others sync.WaitGroup
		begin := time.Now()
		_, err := k.verifier.Verify(ctx, edDSA().token(alice(t)))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second/2 {
			t.Errorf("got %v after %v, want %v after half a second", err, time.Since(begin),
				context.DeadlineExceeded)
		}
		if refused, ok := errors.AsType[*identity.Error](err); ok {
			t.Errorf("the token is blamed: %v", refused)
		}
		// It had begun the fetch, which others wait for.
		others.Go(func() { k.verify(edDSA(), nil) })
		others.Wait()
		if took := time.Since(begin); took != 1200*time.Millisecond {
			t.Errorf("the fetch took %v, want 1.2 s", took)
		}
		k.fetched(1)
	})
}

// A caller that leaves gives its place on the fetch back: strangers who hang up at once must not
// hold them all.
func TestPlacesAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		k.verify(edDSA(), nil)
		k.endpoint.set(slow(time.Second/2, holding(edDSA(), es256())))
		time.Sleep(minFetchInterval)
		hangUp, cancel := context.WithCancel(t.Context())
		var strangers sync.WaitGroup
		payload := alice(t)
		for i := range maxWaiters {
			strangers.Go(func() { k.verifier.Verify(hangUp, stranger(i).token(payload)) })
		}
		synctest.Wait()
		k.verify(es256(), identity.ErrKeysUnavailable)
		cancel()
		strangers.Wait()
		k.verify(es256(), nil)
		k.fetched(2)
	})
}

// A fetch is everybody's: what the context of the one who caused it holds is not for the others.
func TestAFetchTakesNothingFromItsCaller(t *testing.T) {
	type secret struct{}
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, func(r *http.Request) (*http.Response, error) {
			if r.Context().Value(secret{}) != nil {
				t.Error("the fetch has the context of a caller")
			}
			return holding(edDSA())(r)
		})
		_, err := k.verifier.Verify(context.WithValue(t.Context(), secret{}, "a caller's"),
			edDSA().token(alice(t)))
		checkRefusal(t, err, nil)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Hour)
		if err := k.keys.Run(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want %v", err, context.Canceled)
		}
		k.fetched(1)
	})
}

func TestAnOutageSignsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		go k.keys.Run(t.Context())
		synctest.Wait()
		k.status(true, false)
		k.endpoint.set(down)
		time.Sleep(refreshInterval + time.Second)
		k.status(true, true)
		k.verify(edDSA(), nil)
		k.verify(stranger(0), identity.ErrKeysUnavailable)

		time.Sleep(24*time.Hour - refreshInterval - 2*time.Second)
		k.verify(edDSA(), nil)
		time.Sleep(2 * time.Second)
		k.status(false, true)
		k.verify(edDSA(), identity.ErrKeysUnavailable)
		k.verify(stranger(0), identity.ErrKeysUnavailable)

		k.endpoint.set(holding(edDSA()))
		time.Sleep(10 * time.Second)
		k.status(true, false)
		k.verify(edDSA(), nil)
		k.verify(stranger(0), identity.ErrKeyUnknown)
	})
}

// Even a Keycloak that hangs, so that each try takes its whole time, is found to be back within 10
// s.
func TestRecoveryFromAKeycloakThatHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, slow(time.Hour, holding(edDSA())))
		go k.keys.Run(t.Context())
		time.Sleep(time.Hour)
		k.status(false, true)
		k.endpoint.set(holding(edDSA()))
		time.Sleep(10 * time.Second)
		k.status(true, false)
	})
}

func TestKeysAreFetchedAnewInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		ended := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- k.keys.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		checkGaps(t, k.endpoint.times(), refreshInterval*4/5, refreshInterval)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want %v", err, context.Canceled)
		}
		count := len(k.endpoint.times())
		time.Sleep(time.Hour)
		k.fetched(count)
	})
}

func TestBackoffIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, down)
		go k.keys.Run(t.Context())
		time.Sleep(time.Hour)
		times := k.endpoint.times()
		for i, most := range []time.Duration{firstRetry, 2 * firstRetry} {
			checkGaps(t, times[i:i+2], most*4/5, most)
		}
		checkGaps(t, times[2:], maxRetry*4/5, maxRetry)
	})
}

func checkGaps(t *testing.T, times []time.Time, least, most time.Duration) {
	t.Helper()
	if len(times) < 2 {
		t.Fatalf("fetched %d times", len(times))
	}
	for i := range times[1:] {
		if gap := times[i+1].Sub(times[i]); gap < least || gap > most {
			t.Errorf("fetch %d came %v after the one before; want %v to %v", i+1, gap, least, most)
		}
	}
}

func TestAVanishedKeyStopsVerifying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA(), es256()))
		go k.keys.Run(t.Context())
		synctest.Wait()
		k.verify(edDSA(), nil)
		k.endpoint.set(holding(es256()))
		time.Sleep(refreshInterval + time.Second)
		k.verify(edDSA(), identity.ErrKeyUnknown)
		k.verify(es256(), nil)
	})
}

func TestOneLogLineForEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, down)
		go k.keys.Run(t.Context())
		var want []string
		expect := func(level, says string) {
			t.Helper()
			want = append(want, says)
			lines := strings.Split(strings.TrimSpace(k.log.String()), "\n")
			if len(lines) != len(want) {
				t.Fatalf("logged %d lines, want %d:\n%s", len(lines), len(want), k.log)
			}
			if last := lines[len(lines)-1]; !strings.Contains(last, level) ||
				!strings.Contains(last, says) || !strings.Contains(last, "/certs") {
				t.Errorf("logged %q, want %s %q and the URL", last, level, says)
			}
		}
		time.Sleep(time.Hour)
		expect("level=WARN", "connection refused")
		k.endpoint.set(holding(edDSA()))
		time.Sleep(time.Hour)
		expect("level=INFO", "keys fetched")
		k.endpoint.set(func(*http.Request) (*http.Response, error) { return respond(503, "") })
		time.Sleep(time.Hour)
		expect("level=WARN", "answer 503")
		k.endpoint.set(holding(edDSA()))
		time.Sleep(time.Hour)
		expect("level=INFO", "held=1")
	})
}

// Traffic keeps the set fresh where nobody called Run: a withdrawn key verifies until the set is
// old, and one fetch longer. Nobody waits for that fetch, and a hundred requests at once cause one.
func TestKeySet_without_Run_drops_a_withdrawn_key(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA(), es256()))
		k.verify(es256(), nil)
		k.endpoint.set(slow(2*time.Second, holding(edDSA())))
		time.Sleep(refreshInterval*4/5 - time.Second) // it is fresh as yet
		k.verify(es256(), nil)
		synctest.Wait()
		k.fetched(1)
		time.Sleep(refreshInterval/5 + time.Second)
		k.verify(es256(), nil) // and begins the fetch
		synctest.Wait()
		k.fetched(2)
		asked := time.Now()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { k.verify(edDSA(), nil) })
		}
		all.Wait()
		if waited := time.Since(asked); waited != 0 {
			t.Errorf("requests with a good key waited %v for the refresh", waited)
		}
		k.fetched(2)
		k.endpoint.set(holding(edDSA()))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		k.verify(es256(), identity.ErrKeyUnknown)
		k.verify(edDSA(), nil)
	})
}

// After a long silence the first token waits for fresh keys: a withdrawn one doesn't pass even
// once.
func TestKeySet_without_Run_is_fetched_anew_after_silence(t *testing.T) {
	for _, silence := range []time.Duration{11 * time.Minute, 23 * time.Hour, 25 * time.Hour,
		1000 * time.Hour} {
		t.Run(silence.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyTest(t, holding(edDSA(), es256()))
				k.verify(es256(), nil)
				k.endpoint.set(slow(500*time.Millisecond, holding(edDSA())))
				time.Sleep(silence)
				k.verify(es256(), identity.ErrKeyUnknown)
				k.verify(edDSA(), nil)
				k.fetched(2)
			})
		})
	}
}

// Where no answer comes after a silence, keys are good for as long as Run would keep them, and few
// wait for it.
func TestKeySet_without_Run_outlives_an_outage(t *testing.T) {
	for name, outage := range map[string]roundTrip{"down": down, "hangs": slow(time.Hour, down)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyTest(t, holding(edDSA()))
				k.verify(edDSA(), nil)
				k.endpoint.set(outage)
				time.Sleep(23 * time.Hour)
				begin := time.Now()
				k.verify(edDSA(), nil)
				if waited := time.Since(begin); waited > maxWait {
					t.Errorf("the first token waited %v", waited)
				}
				time.Sleep(fetchTimeout)
				// the outage is known now: no caller waits, and fetches are as rare as with Run
				for range 60 {
					begin = time.Now()
					k.verify(edDSA(), nil)
					if waited := time.Since(begin); waited != 0 {
						t.Errorf("a token waited %v in a known outage", waited)
					}
					time.Sleep(time.Second)
				}
				if tries := len(k.endpoint.times()); tries > 30 {
					t.Errorf("%d fetches in a minute of outage", tries)
				}
				k.endpoint.set(holding(es256()))
				time.Sleep(2 * maxRetry)
				k.verify(edDSA(), nil) // begins the fetch that drops it
				synctest.Wait()
				k.verify(edDSA(), identity.ErrKeyUnknown)
				// A failure isn't an excuse for ever.
				k.endpoint.set(down)
				time.Sleep(refreshInterval)
				k.verify(es256(), nil)
				synctest.Wait()
				k.status(true, true)
				k.endpoint.set(holding(edDSA()))
				time.Sleep(time.Hour)
				k.verify(es256(), identity.ErrKeyUnknown)
			})
		})
	}
}

// A readiness probe is a use: a server that gets no traffic before it is ready would never become
// ready.
func TestKeySet_Status_keeps_the_set_fresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		k.status(false, false)
		synctest.Wait()
		k.status(true, false)
		for range 48 * 60 {
			time.Sleep(time.Minute)
			k.status(true, false)
		}
		if times := k.endpoint.times(); len(times) < 48*60/6 || len(times) > 48*60/4 {
			t.Errorf("%d fetches in 48 hours, want one in about five minutes", len(times))
		}
	})
}

// With Run and traffic there are as many fetches as with Run.
func TestKeySet_with_Run_and_traffic_fetches_no_more(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeyTest(t, holding(edDSA()))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- k.keys.Run(ctx) }()
		for range 3600 {
			time.Sleep(time.Second)
			k.verify(edDSA(), nil)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want the error of its context", err)
		}
		checkGaps(t, k.endpoint.times(), refreshInterval*4/5, refreshInterval+time.Second)
	})
}
