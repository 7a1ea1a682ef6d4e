package throttle

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// held is how many keys a Memory has budgets of their own for.
func held(m *Memory) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.counts)
}

// What an attacker wants: to flood the store until the count against a victim's account is gone.
func TestAFloodOfNamesTakesNothingFromALiveCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		m, rate := NewMemory(most), Rate{10, time.Minute}
		before, during := keyN(-1), keyN(-2)
		takes(t, m, before, rate, 10)
		for n := range 20 * most {
			if n == 10*most { // a count that begins in the flood holds no less
				if took, _ := takes(t, m, during, rate, 100); took > 10 {
					t.Fatalf("took %d, want 10 at most", took)
				}
			}
			if _, err := m.Take(t.Context(), keyN(n), rate); err != nil {
				t.Fatal(err)
			}
			if held(m) > most {
				t.Fatalf("%d keys are held, want %d at most", held(m), most)
			}
		}
		for name, key := range map[string]Key{"a count from before": before, "a count from the flood": during} {
			if took, wait := takes(t, m, key, rate, 100); took != 0 || wait > time.Minute {
				t.Errorf("%s: took %d, wait %v; want nothing within a minute", name, took, wait)
			}
		}
		time.Sleep(30 * time.Second) // the flood goes on, while the count is live
		for n := range 20 * most {
			m.Take(t.Context(), keyN(1<<30+n), rate)
		}
		if took, wait := takes(t, m, before, rate, 100); took != 0 || wait != 30*time.Second {
			t.Errorf("took %d, wait %v; want 0 and 30s", took, wait)
		}
		time.Sleep(30 * time.Second)
		if took, _ := takes(t, m, before, rate, 100); took != 1 {
			t.Errorf("after a minute: took %d, want 1, flood or not", took)
		}
	})
}

// Room is made from budgets that are full, and only from those.
func TestFullBudgetsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		m, rate := NewMemory(most), Rate{10, time.Minute}
		for n := range most / 2 {
			takes(t, m, keyN(n), rate, 1) // full again in a minute
		}
		for n := range most / 2 {
			takes(t, m, keyN(1000+n), rate, 2) // in two
		}
		time.Sleep(90 * time.Second)
		for n := range most / 2 {
			if taken, err := m.Take(t.Context(), keyN(2000+n), rate); err != nil || taken.Shared {
				t.Fatalf("key %d: %+v, %v; want a budget of its own", n, taken, err)
			}
		}
		if taken, _ := m.Take(t.Context(), keyN(3000), rate); !taken.Shared {
			t.Error("there was room for one more: a live count was dropped")
		}
		if held(m) != most {
			t.Errorf("%d keys are held, want %d", held(m), most)
		}
		for n := range most / 2 {
			if took, _ := takes(t, m, keyN(1000+n), rate, 100); took != 9 {
				t.Errorf("key %d: took %d, want 9", n, took)
			}
		}
	})
}

// Whoever succeeds leaves nothing behind.
func TestWhatIsGivenBackTakesNoRoom(t *testing.T) {
	m, rate := NewMemory(10), Rate{10, time.Minute}
	for n := range 1000 {
		taken, err := m.Take(t.Context(), keyN(n), rate)
		if err != nil || taken.Shared {
			t.Fatalf("key %d: %+v, %v", n, taken, err)
		}
		m.Give(t.Context(), keyN(n), rate, taken)
	}
	if held(m) != 0 {
		t.Errorf("%d keys are held, want none", held(m))
	}
}

// A key that had to share gets its count along when there is room for it again: else the flood would have
// been good for a fresh budget.
func TestASharedCountIsNotForgottenWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, long, short := NewMemory(1), Rate{10, time.Hour}, Rate{1, time.Second}
		takes(t, m, keyN(1), short, 1)
		if taken, _ := m.Take(t.Context(), keyN(2), long); !taken.Shared {
			t.Fatal("there was room")
		}
		takes(t, m, keyN(2), long, 4)
		time.Sleep(2 * time.Second)
		taken, err := m.Take(t.Context(), keyN(2), long)
		if err != nil || taken.Shared {
			t.Fatalf("%+v, %v: want a budget of its own", taken, err)
		}
		if took, _ := takes(t, m, keyN(2), long, 100); took != 4 {
			t.Errorf("took %d, want the 4 that are left of 10", took)
		}
		// And what was taken from the shared one goes back there, not into the key's own.
		m.Give(t.Context(), keyN(2), long, Taken{Shared: true})
		if took, _ := takes(t, m, keyN(2), long, 100); took != 0 {
			t.Errorf("took %d, want none", took)
		}
	})
}

// Keys that share a budget are held back together, and by no more than what was taken.
func TestKeysThatShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, rate := NewMemory(1), Rate{10, time.Minute}
		takes(t, m, keyN(0), rate, 10)
		takes(t, m, keyN(1), rate, 1) // makes the shared ones
		one := keyN(2)
		other := one
		for n := 3; other == one || m.cell(other, rate) != m.cell(one, rate); n++ {
			other = keyN(n)
		}
		if a, _ := takes(t, m, one, rate, 6); a != 6 {
			t.Errorf("took %d, want 6", a)
		}
		if b, wait := takes(t, m, other, rate, 100); b != 4 || wait != time.Minute {
			t.Errorf("the other took %d, wait %v; want the 4 that are left, and a minute", b, wait)
		}
		m.Give(t.Context(), other, rate, Taken{Shared: true})
		if a, _ := takes(t, m, one, rate, 100); a != 1 {
			t.Errorf("took %d, want the one that was given back", a)
		}
	})
}

// No order of taking, giving and waiting gets more out of a budget than its Rate says.
func TestNoOrderOfCallsGetsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 1))
			m, rate := NewMemory(0), Rate{1 + random.IntN(5), time.Second}
			type call struct {
				taken Taken
				at    time.Time
			}
			var open []call
			var kept []time.Time // when an attempt that was not given back was taken
			longest := time.Duration(0)
			for range 300 {
				switch random.IntN(4) {
				case 0, 1:
					if taken, _ := m.Take(t.Context(), keyN(1), rate); taken.Wait == 0 {
						open = append(open, call{taken, time.Now()})
					}
				case 2:
					if len(open) > 0 {
						i := random.IntN(len(open))
						longest = max(longest, time.Since(open[i].at))
						if random.IntN(2) == 0 {
							m.Give(t.Context(), keyN(1), rate, open[i].taken)
						} else {
							kept = append(kept, open[i].at)
						}
						open = append(open[:i], open[i+1:]...)
					}
				case 3:
					time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
				}
			}
			for _, c := range open {
				kept = append(kept, c.at)
				longest = max(longest, time.Since(c.at))
			}
			for _, from := range kept {
				for _, to := range kept {
					n := 0
					for _, at := range kept {
						if !at.Before(from) && !at.After(to) {
							n++
						}
					}
					most := rate.Burst + int((to.Sub(from)+longest)/rate.Every)
					if to.After(from) && n > most {
						t.Fatalf("seed %d: %d attempts in %v, want %d at most of %+v", seed, n, to.Sub(from), most, rate)
					}
				}
			}
		}
	})
}
