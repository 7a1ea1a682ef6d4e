package store

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// callN returns a key and an ID that differ for each n.
func callN(n int) (CallKey, CallID) {
	key := bucketN(n, 1, 1).Key
	return CallKey{Subject: key}, CallID(key)
}

// complete begins and finishes call n.
func complete(t *testing.T, m *MemoryCalls, n int, result []byte, keep time.Duration) {
	t.Helper()
	key, id := callN(n)
	call, err := m.Begin(t.Context(), key, id, time.Second, time.Minute)
	if err != nil || call.State != CallStarted {
		t.Fatalf("Begin() = %+v, %v; want it started", call, err)
	}
	if err := m.Finish(t.Context(), key, id, result, Key{}, keep); err != nil {
		t.Fatal(err)
	}
}

// checkStored checks how many calls, results and bytes of results are stored.
func checkStored(t *testing.T, m *MemoryCalls, wantCalls, wantResults, wantBytes int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.calls) != wantCalls || len(m.results) != wantResults || m.resultsSize != wantBytes {
		t.Errorf("%d calls, %d results and %d bytes are stored, want %d, %d and %d", len(m.calls),
			len(m.results), m.resultsSize, wantCalls, wantResults, wantBytes)
	}
}

// MemoryCalls keeps a bounded number of results with a bounded size. A result beyond that goes to
// those who wait for it.
func TestMemoryCalls_bounds(t *testing.T) {
	for _, m := range []*MemoryCalls{{MaxResults: 3}, {MaxResultsSize: 35}} {
		synctest.Test(t, func(t *testing.T) {
			result := bytes.Repeat([]byte("x"), 10)
			for n := range 3 {
				complete(t, m, n, result, time.Minute)
			}
			key, id := callN(4)
			if _, err := m.Begin(t.Context(), key, id, time.Second, time.Minute); err != nil {
				t.Fatal(err)
			}
			waited := make(chan Call, 1)
			go func() {
				call, _ := m.Wait(t.Context(), key, id)
				waited <- call
			}()
			synctest.Wait()
			if err := m.Finish(t.Context(), key, id, result, Key{}, time.Minute); err != nil {
				t.Fatal(err)
			}
			if call := <-waited; call.State != CallDone || len(call.Result) != 10 {
				t.Errorf("Wait() = %+v, want the result", call)
			}
			checkStored(t, m, 3, 3, 30)
			time.Sleep(time.Minute)
			synctest.Wait()
			checkStored(t, m, 0, 0, 0)
			complete(t, m, 5, result, time.Minute)
		})
	}
}

// MemoryCalls forgets a call whose lease ends, and a result that was replaced.
func TestMemoryCalls_forgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &MemoryCalls{}
		key, id := callN(1)
		m.Begin(t.Context(), key, id, time.Second, time.Minute)
		time.Sleep(time.Second + LeaseMemory)
		synctest.Wait()
		checkStored(t, m, 0, 0, 0)
		m.Begin(t.Context(), key, id, time.Second, time.Minute)
		m.Renew(t.Context(), key, id, 2*time.Second)
		time.Sleep(2*time.Second + LeaseMemory)
		synctest.Wait()
		checkStored(t, m, 0, 0, 0)
		m.Begin(t.Context(), key, id, time.Second, time.Minute)
		m.Wait(t.Context(), key, id) // extends the lease
		time.Sleep(LeaseMemory)
		synctest.Wait()
		checkStored(t, m, 0, 0, 0)
		for n := range 3 { // a call is replaced, but not by its own Begin
			id[15] = byte(n + 1)
			call, err := m.Begin(t.Context(), key, id, time.Second, time.Minute)
			if err != nil || call.State != CallStarted {
				t.Fatalf("Begin() = %+v, %v; want it started", call, err)
			}
			if err := m.Finish(t.Context(), key, id, []byte("failure"), Key{}, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Finish(t.Context(), key, id, []byte("failure"), Key{}, 0); err != nil {
			t.Error(err)
		}
		time.Sleep(MinWaitTime)
		synctest.Wait()
		checkStored(t, m, 0, 0, 0)
	})
}

// If there are more used Subjects than MemoryCalls remembers, it treats every Subject as used for a
// while.
func TestMemoryCalls_maxUsedSubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &MemoryCalls{}
		for n := range maxUsedSubjects {
			m.MarkUsed(t.Context(), bucketN(n, 1, 1).Key, time.Minute)
		}
		other := bucketN(-2, 1, 1).Key
		checkUsed := func(want bool) {
			t.Helper()
			if used, _ := m.IsUsed(t.Context(), other); used != want {
				t.Errorf("IsUsed() = %v, want %v", used, want)
			}
		}
		checkUsed(false)
		m.MarkUsed(t.Context(), bucketN(-1, 1, 1).Key, 10*time.Second)
		checkUsed(true)
		if len(m.used) != maxUsedSubjects {
			t.Errorf("%d Subjects are stored, want %d", len(m.used), maxUsedSubjects)
		}
		time.Sleep(10 * time.Second)
		checkUsed(false)
		time.Sleep(time.Minute)
		m.MarkUsed(t.Context(), other, time.Minute)
		checkUsed(true)
		if len(m.used) != 1 {
			t.Errorf("%d Subjects are stored, want 1", len(m.used))
		}
	})
}
