package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/store"
)

// RunCalls tests an implementation of store.Calls. For each test, it calls run, which must call
// test with a new, empty store. a and b are the same store as two processes see it; they may be the
// same value.
//
// The tests sleep for short times. Run them in a testing/synctest bubble if the store's clock is
// this process's.
func RunCalls(t *testing.T, run func(t *testing.T, test func(t *testing.T, a, b store.Calls))) {
	for _, tt := range []struct {
		name string
		test func(*callsTest)
	}{
		{"Begin", (*callsTest).testBegin},
		{"Begin/concurrent", (*callsTest).testBeginConcurrent},
		{"Begin/other group", (*callsTest).testOtherGroup},
		{"Begin/marks its subject", (*callsTest).testBeginMarksSubject},
		{"Begin/out of bounds", (*callsTest).testOutOfBounds},
		{"Begin/lease has ended", (*callsTest).testLeaseEnds},
		{"Begin/finished before", (*callsTest).testBeginFinished},
		{"Renew", (*callsTest).testRenew},
		{"Renew/lease lost", (*callsTest).testRenewLeaseLost},
		{"Renew/no other attempt has the call", (*callsTest).testRenewStartsAgain},
		{"Finish", (*callsTest).testFinish},
		{"Finish/result not kept", (*callsTest).testFinishNotKept},
		{"Finish/keep ends", (*callsTest).testKeepEnds},
		{"Finish/lease has ended", (*callsTest).testFinishAfterLease},
		{"Finish/unknown call", (*callsTest).testFinishUnknown},
		{"Finish/lease lost", (*callsTest).testFinishLeaseLost},
		{"Finish/another attempt is over", (*callsTest).testFinishAfterAnother},
		{"Finish/another lease has ended", (*callsTest).testFinishNotKeptAfterAnother},
		{"Finish/repeated", (*callsTest).testFinishRepeated},
		{"Finish/size", (*callsTest).testFinishSize},
		{"Finish/successor used", (*callsTest).testSuccessorUsed},
		{"Wait", (*callsTest).testWait},
		{"Wait/after Finish", (*callsTest).testWaitAfterFinish},
		{"Wait/abandoned", (*callsTest).testWaitAbandoned},
		{"Wait/context ends", (*callsTest).testWaitContextEnds},
		{"MarkUsed", (*callsTest).testMarkUsed},
		{"done context", (*callsTest).testDoneContext},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, a, b store.Calls) {
				tt.test(&callsTest{T: t, a: a, b: b})
			})
		})
	}
}

// A callsTest is a running test and the store that it tests, as two processes see it.
type callsTest struct {
	*testing.T
	a, b store.Calls
}

// Times of the tests. longTime doesn't end during a test. shortTime ends while a test sleeps for
// restTime.
const (
	longTime  = time.Minute
	shortTime = 200 * time.Millisecond
	restTime  = 400 * time.Millisecond
)

// callKey returns a key with a different subject for each n.
func callKey(n byte) store.CallKey {
	return store.CallKey{Subject: store.Key{n}, Group: store.Key{0xaa}}
}

// newCallID returns a random ID.
func newCallID() (id store.CallID) {
	rand.Read(id[:])
	return id
}

// begin calls Begin, which must return a call in the state want.
func (c *callsTest) begin(calls store.Calls, key store.CallKey, id store.CallID,
	lease, keep time.Duration, want store.CallState) store.Call {
	c.Helper()
	call, err := calls.Begin(c.Context(), key, id, lease, keep)
	if err != nil || call.State != want {
		c.Fatalf("Begin() = %s, %v; want the state %d", format(call), err, want)
	}
	return call
}

// start calls Begin, which must start a call with a long lease. It returns the call's ID.
func (c *callsTest) start(calls store.Calls, key store.CallKey) store.CallID {
	c.Helper()
	id := newCallID()
	if call := c.begin(calls, key, id, longTime, longTime, store.CallStarted); call.ID != id {
		c.Errorf("Begin() returned the ID %x, want %x", call.ID, id)
	}
	return id
}

// finish calls Finish, which must succeed.
func (c *callsTest) finish(calls store.Calls, key store.CallKey, id store.CallID, result string,
	successor store.Key, keep time.Duration) {
	c.Helper()
	err := calls.Finish(c.Context(), key, id, []byte(result), successor, keep)
	if err != nil {
		c.Fatal(err)
	}
}

// checkWait calls Wait, which must return this result.
func (c *callsTest) checkWait(calls store.Calls, key store.CallKey, id store.CallID, want string) {
	c.Helper()
	call, err := calls.Wait(c.Context(), key, id)
	if err != nil || call.State != store.CallDone || call.ID != id || string(call.Result) != want {
		c.Errorf("Wait() = %s, %v; want the result %q of call %x", format(call), err, want, id)
	}
}

// checkUsed checks the result of IsUsed.
func (c *callsTest) checkUsed(calls store.Calls, subject store.Key, want bool) {
	c.Helper()
	if used, err := calls.IsUsed(c.Context(), subject); err != nil || used != want {
		c.Errorf("IsUsed() = %v, %v; want %v", used, err, want)
	}
}

func (c *callsTest) testBegin() {
	id := c.start(c.a, callKey(1))
	for _, calls := range []store.Calls{c.a, c.b} {
		call := c.begin(calls, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
		if call.ID != id || call.OtherGroup {
			c.Errorf("Begin() = %s, want the ID %x and no other group", format(call), id)
		}
	}
	c.start(c.b, callKey(2)) // another subject
}

func (c *callsTest) testBeginConcurrent() {
	var mu sync.Mutex
	var started []store.CallID
	var inFlight []store.CallID
	var callers sync.WaitGroup
	for n := range 40 {
		callers.Go(func() {
			calls := c.a
			if n%2 == 0 {
				calls = c.b
			}
			call, err := calls.Begin(c.Context(), callKey(1), newCallID(), longTime, longTime)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				c.Error(err)
			case call.State == store.CallStarted:
				started = append(started, call.ID)
			case call.State == store.CallInFlight:
				inFlight = append(inFlight, call.ID)
			}
		})
	}
	callers.Wait()
	if len(started) != 1 || len(inFlight) != 39 {
		c.Fatalf("%d callers started a call and %d found it in flight, want 1 and 39",
			len(started), len(inFlight))
	}
	for _, id := range inFlight {
		if id != started[0] {
			c.Errorf("a caller found call %x in flight, want %x", id, started[0])
		}
	}
}

func (c *callsTest) testOtherGroup() {
	first, second := callKey(1), callKey(1)
	second.Group = store.Key{0xbb}
	if err := c.a.MarkUsed(c.Context(), first.Subject, longTime); err != nil {
		c.Fatal(err)
	}
	for _, step := range []struct {
		key       store.CallKey
		state     store.CallState
		wantOther bool
	}{
		{first, store.CallStarted, false},
		{second, store.CallStarted, true},
		{first, store.CallInFlight, false},
		{second, store.CallInFlight, true},
	} {
		call := c.begin(c.b, step.key, newCallID(), longTime, longTime, step.state)
		if call.OtherGroup != step.wantOther {
			c.Errorf("Begin(%v) = %s, want OtherGroup %v", step.key, format(call), step.wantOther)
		}
	}
}

func (c *callsTest) testBeginMarksSubject() {
	c.checkUsed(c.a, callKey(1).Subject, false)
	c.begin(c.a, callKey(1), newCallID(), longTime, 0, store.CallStarted)
	c.checkUsed(c.b, callKey(1).Subject, false)
	c.begin(c.a, callKey(1), newCallID(), longTime, shortTime, store.CallInFlight)
	c.checkUsed(c.b, callKey(1).Subject, true)
	c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
	c.begin(c.b, callKey(1), newCallID(), longTime, time.Millisecond, store.CallInFlight)
	time.Sleep(restTime)
	c.checkUsed(c.a, callKey(1).Subject, true)
	c.checkUsed(c.a, callKey(2).Subject, false)
}

func (c *callsTest) testOutOfBounds() {
	for _, times := range [][2]time.Duration{{0, 1}, {-1, 1}, {store.MaxCallTime + 1, 1},
		{longTime, -1}, {longTime, store.MaxCallTime + 1}} {
		call, err := c.a.Begin(c.Context(), callKey(1), newCallID(), times[0], times[1])
		if err == nil || errors.Is(err, store.ErrUnavailable) || call.State != 0 {
			c.Errorf("Begin() with lease %v and keep %v = %s, %v; want another error", times[0],
				times[1], format(call), err)
		}
	}
	c.begin(c.b, callKey(1), newCallID(), store.MaxCallTime, store.MaxCallTime, store.CallStarted)
}

func (c *callsTest) testFinish() {
	id, successor := c.start(c.a, callKey(1)), store.Key{1, 2}
	c.finish(c.a, callKey(1), id, "the result", successor, longTime)
	time.Sleep(shortTime)
	call := c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallDone)
	if string(call.Result) != "the result" || call.Successor != successor || call.ID != id ||
		call.Age < shortTime/2 || call.Age > longTime {
		c.Errorf("Begin() = %s, want the result %q, the successor %x and the age %v", format(call),
			"the result", successor, shortTime)
	}
	// Another group has no right to the result.
	other := callKey(1)
	other.Group = store.Key{0xbb}
	c.start(c.b, other)
}

func (c *callsTest) testFinishNotKept() {
	id := c.start(c.a, callKey(1))
	var waiters sync.WaitGroup
	for range 3 {
		waiters.Go(func() { c.checkWait(c.b, callKey(1), id, "a failure") })
	}
	time.Sleep(shortTime)
	c.finish(c.a, callKey(1), id, "a failure", store.Key{}, 0)
	next := c.start(c.a, callKey(1))
	waiters.Wait()
	c.checkWait(c.b, callKey(1), id, "a failure") // another call has begun since
	c.finish(c.a, callKey(1), next, "a success", store.Key{}, longTime)
	c.checkWait(c.b, callKey(1), next, "a success")
	c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallDone)
}

func (c *callsTest) testKeepEnds() {
	id := c.start(c.a, callKey(1))
	c.finish(c.a, callKey(1), id, "result", store.Key{}, shortTime)
	time.Sleep(restTime)
	c.start(c.b, callKey(1))
}

func (c *callsTest) testFinishUnknown() {
	id := newCallID()
	c.finish(c.a, callKey(1), id, "unknown", store.Key{}, longTime)
	call := c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallDone)
	if string(call.Result) != "unknown" {
		c.Errorf("Begin() = %s, want the result %q", format(call), "unknown")
	}
}

func (c *callsTest) testFinishRepeated() {
	id := c.start(c.a, callKey(1))
	for range 3 {
		c.finish(c.a, callKey(1), id, "result", store.Key{}, longTime)
	}
	c.checkWait(c.b, callKey(1), id, "result")
}

func (c *callsTest) testFinishSize() {
	id := c.start(c.a, callKey(1))
	result := bytes.Repeat([]byte{0, 1, 0xff, '"'}, store.MaxResultBytes/4)
	err := c.a.Finish(c.Context(), callKey(1), id, append(result, 1), store.Key{}, longTime)
	if !errors.Is(err, store.ErrTooLarge) {
		c.Errorf("Finish() with a byte too many = %v, want %v", err, store.ErrTooLarge)
	}
	c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
	c.finish(c.a, callKey(1), id, string(result), store.Key{}, longTime)
	c.checkWait(c.b, callKey(1), id, string(result))
}

func (c *callsTest) testSuccessorUsed() {
	uses := []func(successor store.Key){
		func(successor store.Key) {
			if err := c.a.MarkUsed(c.Context(), successor, longTime); err != nil {
				c.Error(err)
			}
		},
		func(successor store.Key) {
			key := store.CallKey{Subject: successor, Group: store.Key{0xcc}}
			c.begin(c.a, key, newCallID(), longTime, longTime, store.CallStarted)
		},
	}
	for n, use := range uses {
		key, successor := callKey(byte(n)), store.Key{0xff, byte(n)}
		id := c.start(c.a, key)
		c.finish(c.a, key, id, "result", successor, longTime)
		c.begin(c.b, key, newCallID(), longTime, longTime, store.CallDone)
		use(successor)
		call := c.begin(c.b, key, newCallID(), longTime, longTime, store.CallDone)
		if call.Result != nil || call.ID != id {
			c.Errorf("Begin() = %s, want call %x without a result", format(call), id)
		}
		c.checkWait(c.b, key, id, "result") // a caller that found the call in flight
	}

	// The zero Key is no successor.
	if err := c.a.MarkUsed(c.Context(), store.Key{}, longTime); err != nil {
		c.Fatal(err)
	}
	c.finish(c.a, callKey(9), c.start(c.a, callKey(9)), "result", store.Key{}, longTime)
	call := c.begin(c.b, callKey(9), newCallID(), longTime, longTime, store.CallDone)
	if string(call.Result) != "result" {
		c.Errorf("Begin() = %s, want the result of a call without a successor", format(call))
	}
}

func (c *callsTest) testWait() {
	id, successor := c.start(c.a, callKey(1)), store.Key{3}
	var waiters sync.WaitGroup
	for _, calls := range []store.Calls{c.a, c.b, c.b} {
		waiters.Go(func() {
			call, err := calls.Wait(c.Context(), callKey(1), id)
			if err != nil || call.State != store.CallDone || string(call.Result) != "result" ||
				call.Successor != successor || call.Age < 0 || call.Age > longTime {
				c.Errorf("Wait() = %s, %v; want a new result", format(call), err)
			}
		})
	}
	time.Sleep(shortTime)
	c.finish(c.a, callKey(1), id, "result", successor, longTime)
	waiters.Wait()
}

func (c *callsTest) testWaitAfterFinish() {
	id := c.start(c.a, callKey(1))
	c.finish(c.a, callKey(1), id, "result", store.Key{}, 0)
	c.checkWait(c.a, callKey(1), id, "result")
	c.checkWait(c.b, callKey(1), id, "result")
}

func (c *callsTest) testWaitContextEnds() {
	id := c.start(c.a, callKey(1))
	ctx, cancel := context.WithTimeout(c.Context(), shortTime)
	defer cancel()
	start := time.Now()
	call, err := c.b.Wait(ctx, callKey(1), id)
	if !errors.Is(err, context.DeadlineExceeded) || call.State != 0 ||
		time.Since(start) > longTime/2 {
		c.Errorf("Wait() = %s, %v after %v, want %v after %v", format(call), err, time.Since(start),
			context.DeadlineExceeded, shortTime)
	}
	c.finish(c.a, callKey(1), id, "result", store.Key{}, longTime) // the call wasn't affected
}

func (c *callsTest) testMarkUsed() {
	mark := func(n byte, keep time.Duration) {
		c.Helper()
		if err := c.a.MarkUsed(c.Context(), store.Key{n}, keep); err != nil {
			c.Fatal(err)
		}
	}
	mark(1, shortTime)
	mark(2, longTime)
	mark(2, time.Millisecond) // doesn't shorten the time
	mark(3, time.Millisecond)
	mark(3, longTime)
	time.Sleep(restTime)
	c.checkUsed(c.b, store.Key{1}, false)
	c.checkUsed(c.b, store.Key{2}, true)
	c.checkUsed(c.b, store.Key{3}, true)
	c.checkUsed(c.b, store.Key{4}, false)
	for _, keep := range []time.Duration{-1, store.MaxCallTime + 1} {
		if err := c.a.MarkUsed(c.Context(), store.Key{4}, keep); err == nil {
			c.Errorf("MarkUsed() for %v = nil, want an error", keep)
		}
	}
}

func (c *callsTest) testDoneContext() {
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	id := newCallID()
	_, beginErr := c.a.Begin(ctx, callKey(1), id, longTime, longTime)
	_, waitErr := c.a.Wait(ctx, callKey(1), id)
	_, isUsedErr := c.a.IsUsed(ctx, store.Key{1})
	for name, err := range map[string]error{
		"Begin": beginErr, "Wait": waitErr, "IsUsed": isUsedErr,
		"Renew":    c.a.Renew(ctx, callKey(1), id, longTime),
		"Finish":   c.a.Finish(ctx, callKey(1), id, []byte("result"), store.Key{}, longTime),
		"MarkUsed": c.a.MarkUsed(ctx, callKey(1).Subject, longTime),
	} {
		if !errors.Is(err, context.Canceled) {
			c.Errorf("%s() = %v, want %v", name, err, context.Canceled)
		}
	}
	c.checkUsed(c.b, callKey(1).Subject, false)
	c.start(c.b, callKey(1)) // the failed calls had no effect
}

// format formats a call for messages, without the whole of a large result.
func format(call store.Call) string {
	if len(call.Result) > 100 {
		call.Result = call.Result[:100]
	}
	return fmt.Sprintf("%+v", call)
}
