package storetest

import (
	"errors"
	"time"

	"github.com/cloakql/cloakql/store"
)

func (c *callsTest) testLeaseEnds() {
	id := newCallID()
	c.begin(c.a, callKey(1), id, shortTime, longTime, store.CallStarted)
	time.Sleep(restTime)
	// The lease is extended once, so that its owner can still store the result.
	for _, calls := range []store.Calls{c.a, c.b} {
		call := c.begin(calls, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
		if call.ID != id {
			c.Errorf("Begin() = %s, want the ID %x", format(call), id)
		}
	}
	c.sleepLeaseGrace()
	c.start(c.b, callKey(1))
}

// sleepLeaseGrace sleeps until a lease that was extended has ended.
func (c *callsTest) sleepLeaseGrace() { time.Sleep(store.LeaseGrace + shortTime) }

// endLease begins a call with a short lease, and returns when no caller waits for it any more.
func (c *callsTest) endLease(key store.CallKey) store.CallID {
	c.Helper()
	id := newCallID()
	c.begin(c.a, key, id, shortTime, longTime, store.CallStarted)
	call, err := c.a.Wait(c.Context(), key, id)
	if err != nil || call.State != store.CallAbandoned {
		c.Fatalf("Wait() = %s, %v; want the state %d", format(call), err, store.CallAbandoned)
	}
	return id
}

// A Begin that arrives after its caller has called Finish starts nothing.
func (c *callsTest) testBeginFinished() {
	id := newCallID()
	c.finish(c.a, callKey(1), id, "interrupted", store.Key{}, 0)
	call := c.begin(c.a, callKey(1), id, longTime, longTime, store.CallDone)
	if call.Result != nil || call.ID != id {
		c.Errorf("Begin() = %s, want call %x without a result", format(call), id)
	}
	c.start(c.b, callKey(1))
}

func (c *callsTest) testRenew() {
	id := newCallID()
	c.begin(c.a, callKey(1), id, time.Second, longTime, store.CallStarted)
	if err := c.a.Renew(c.Context(), callKey(1), id, longTime); err != nil {
		c.Fatal(err)
	}
	time.Sleep(1200 * time.Millisecond)
	c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
	if err := c.b.Renew(c.Context(), callKey(1), id, shortTime); err != nil {
		c.Fatal(err)
	}
	time.Sleep(restTime) // the last Renew decides
	c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
	c.sleepLeaseGrace()
	c.start(c.b, callKey(1))
}

func (c *callsTest) testRenewLeaseLost() {
	check := func(what string, key store.CallKey, id store.CallID) {
		c.Helper()
		err := c.a.Renew(c.Context(), key, id, longTime)
		if !errors.Is(err, store.ErrLeaseLost) {
			c.Errorf("Renew() of %s = %v, want %v", what, err, store.ErrLeaseLost)
		}
	}
	id := c.start(c.a, callKey(1))
	check("another call", callKey(1), newCallID())
	c.finish(c.a, callKey(1), id, "result", store.Key{}, longTime)
	check("a call that is done", callKey(1), id)
	check("another call that is done", callKey(1), newCallID())
	id = c.start(c.a, callKey(2))
	c.finish(c.a, callKey(2), id, "failure", store.Key{}, 0)
	check("a call whose result isn't kept", callKey(2), id)
}

// A call that was lost, or whose lease has ended, has a lease again.
func (c *callsTest) testRenewStartsAgain() {
	failed := newCallID()
	c.finish(c.a, callKey(2), failed, "failure", store.Key{}, 0)
	for n, id := range []store.CallID{newCallID(), newCallID(), c.endLease(callKey(3))} {
		key := callKey(byte(n + 1)) // unknown, another one is over, its lease has ended
		if err := c.a.Renew(c.Context(), key, id, longTime); err != nil {
			c.Fatal(err)
		}
		call := c.begin(c.b, key, newCallID(), longTime, longTime, store.CallInFlight)
		if call.ID != id {
			c.Errorf("Begin() = %s, want the ID %x", format(call), id)
		}
		c.finish(c.a, key, id, "result", store.Key{}, longTime)
		c.checkWait(c.b, key, id, "result")
	}
}

func (c *callsTest) testFinishAfterLease() {
	id := newCallID()
	c.begin(c.a, callKey(1), id, shortTime, longTime, store.CallStarted)
	time.Sleep(restTime)
	c.finish(c.a, callKey(1), id, "late", store.Key{}, longTime)
	c.checkWait(c.b, callKey(1), id, "late")
	call := c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallDone)
	if string(call.Result) != "late" {
		c.Errorf("Begin() = %s, want the result %q", format(call), "late")
	}
}

func (c *callsTest) testFinishLeaseLost() {
	lost := c.endLease(callKey(1))
	id := c.start(c.b, callKey(1))
	check := func() {
		c.Helper()
		err := c.a.Finish(c.Context(), callKey(1), lost, []byte("lost"), store.Key{}, longTime)
		if !errors.Is(err, store.ErrLeaseLost) {
			c.Errorf("Finish() = %v, want %v", err, store.ErrLeaseLost)
		}
	}
	check()
	c.finish(c.b, callKey(1), id, "result", store.Key{}, longTime)
	check()
	c.checkWait(c.a, callKey(1), id, "result")
}

// Attempts that are over don't keep a result from being stored.
func (c *callsTest) testFinishAfterAnother() {
	failed, id := newCallID(), newCallID()
	c.finish(c.a, callKey(1), failed, "interrupted", store.Key{}, 0)
	c.finish(c.b, callKey(1), id, "result", store.Key{}, longTime)
	call := c.begin(c.a, callKey(1), newCallID(), longTime, longTime, store.CallDone)
	if string(call.Result) != "result" || call.ID != id {
		c.Errorf("Begin() = %s, want the result of call %x", format(call), id)
	}
	c.finish(c.a, callKey(2), newCallID(), "old", store.Key{}, shortTime)
	time.Sleep(restTime)
	c.finish(c.b, callKey(2), id, "result", store.Key{}, longTime)
	c.checkWait(c.a, callKey(2), id, "result")
}

// A failure of one attempt doesn't replace another one whose lease may be extended.
func (c *callsTest) testFinishNotKeptAfterAnother() {
	id, failed := newCallID(), newCallID()
	c.begin(c.a, callKey(1), id, shortTime, longTime, store.CallStarted)
	time.Sleep(restTime)
	c.finish(c.b, callKey(1), failed, "interrupted", store.Key{}, 0)
	c.checkWait(c.a, callKey(1), failed, "interrupted")
	c.begin(c.b, callKey(1), newCallID(), longTime, longTime, store.CallInFlight)
	c.finish(c.a, callKey(1), id, "result", store.Key{}, longTime)
	c.checkWait(c.b, callKey(1), id, "result")
}

func (c *callsTest) testWaitAbandoned() {
	check := func(what string, id store.CallID) {
		c.Helper()
		call, err := c.b.Wait(c.Context(), callKey(1), id)
		if err != nil || call.State != store.CallAbandoned {
			c.Errorf("Wait() for %s = %s, %v; want the state %d", what, format(call), err,
				store.CallAbandoned)
		}
	}
	check("an unknown call", newCallID())
	id, start := newCallID(), time.Now()
	c.begin(c.a, callKey(1), id, shortTime, longTime, store.CallStarted)
	check("a call whose lease ends", id)
	want := shortTime + store.LeaseGrace
	if waited := time.Since(start); waited < want-want/8 || waited > longTime/2 {
		c.Errorf("Wait() returned after %v, want it after the lease and its extension, %v", waited,
			want)
	}
	next := c.start(c.a, callKey(1))
	check("a call that another one replaced", id)
	c.finish(c.a, callKey(1), next, "result", store.Key{}, longTime)
	check("a call that another one replaced", id)
}
