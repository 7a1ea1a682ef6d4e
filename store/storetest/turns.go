package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/store"
)

// RunTurns tests an implementation of store.Turns. For each test, it calls run, which must call
// test with a new, empty store. a and b are the same store as two processes see it; they may be the
// same value.
//
// The tests sleep for short times. Run them in a testing/synctest bubble if the store's clock is
// this process's.
func RunTurns(t *testing.T, run func(t *testing.T, test func(t *testing.T, a, b store.Turns))) {
	for _, tt := range []struct {
		name string
		test func(*turnsTest)
	}{
		{"one at a time", (*turnsTest).testOneAtATime},
		{"first come, first served", (*turnsTest).testOrder},
		{"separate keys", (*turnsTest).testSeparateKeys},
		{"MaxQueue", (*turnsTest).testMaxQueue},
		{"MaxGroup", (*turnsTest).testMaxGroup},
		{"no group", (*turnsTest).testNoGroup},
		{"pause", (*turnsTest).testPause},
		{"context ends", (*turnsTest).testContextEnds},
		{"done context", (*turnsTest).testDoneTurnContext},
		{"out of bounds", (*turnsTest).testTurnOutOfBounds},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, a, b store.Turns) {
				tt.test(&turnsTest{T: t, a: a, b: b})
			})
		})
	}
}

// A turnsTest is a running test and the store that it tests, as two processes see it.
type turnsTest struct {
	*testing.T
	a, b store.Turns
}

// turn returns a request with a different key for each n, and a long queue.
func turn(n byte) store.TurnRequest {
	return store.TurnRequest{Key: store.Key{n}, MaxQueue: store.MaxTurnQueue,
		MaxGroup: store.MaxTurnQueue}
}

// groupTurn returns a request of a group.
func groupTurn(n, group byte) store.TurnRequest {
	request := turn(n)
	request.Group = store.Key{group}
	return request
}

// take calls Take, which must give the caller the turn.
func (tt *turnsTest) take(turns store.Turns,
	request store.TurnRequest) (leave func(time.Duration)) {
	tt.Helper()
	leave, err := turns.Take(tt.Context(), request)
	if err != nil {
		tt.Fatalf("Take(%+v) = %v, want nil", request, err)
	}
	return leave
}

// checkFull checks that Take returns ErrQueueFull.
func (tt *turnsTest) checkFull(turns store.Turns, request store.TurnRequest) {
	tt.Helper()
	leave, err := turns.Take(tt.Context(), request)
	if !errors.Is(err, store.ErrQueueFull) || leave != nil {
		tt.Errorf("Take(%+v) = %v, want %v", request, err, store.ErrQueueFull)
	}
	if leave != nil {
		leave(0)
	}
}

// waitForQueue waits until size callers have the turn of key n or wait for it.
func (tt *turnsTest) waitForQueue(n byte, size int) {
	tt.Helper()
	request := turn(n)
	request.MaxQueue = size
	for start := time.Now(); time.Since(start) < longTime; {
		ctx, cancel := context.WithTimeout(tt.Context(), 10*time.Millisecond)
		leave, err := tt.b.Take(ctx, request)
		cancel()
		switch {
		case errors.Is(err, store.ErrQueueFull):
			return
		case err == nil:
			leave(0)
			tt.Fatalf("no caller has the turn, want %d callers in the queue", size)
		case !errors.Is(err, context.DeadlineExceeded):
			tt.Fatal(err)
		}
	}
	tt.Fatalf("after %v, there are less than %d callers in the queue", longTime, size)
}

func (tt *turnsTest) testOneAtATime() {
	var mu sync.Mutex
	inTurn, count := 0, 0
	var callers sync.WaitGroup
	for n := range 20 {
		callers.Go(func() {
			turns := tt.a
			if n%2 == 0 {
				turns = tt.b
			}
			leave, err := turns.Take(tt.Context(), turn(1))
			if err != nil {
				tt.Error(err)
				return
			}
			mu.Lock()
			if inTurn++; inTurn > 1 {
				tt.Errorf("%d callers have the turn, want 1", inTurn)
			}
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			mu.Lock()
			inTurn--
			count++
			mu.Unlock()
			leave(0)
		})
	}
	callers.Wait()
	if count != 20 {
		tt.Errorf("%d callers had the turn, want 20", count)
	}
}

func (tt *turnsTest) testOrder() {
	leave := tt.take(tt.a, turn(1))
	var mu sync.Mutex
	var order []int
	var callers sync.WaitGroup
	for n := range 6 {
		turns := tt.a
		if n%2 == 0 {
			turns = tt.b
		}
		callers.Go(func() {
			leave, err := turns.Take(tt.Context(), turn(1))
			if err != nil {
				tt.Error(err)
				return
			}
			mu.Lock()
			order = append(order, n)
			mu.Unlock()
			leave(0)
		})
		tt.waitForQueue(1, n+2)
	}
	leave(0)
	callers.Wait()
	if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5}) {
		tt.Errorf("the turns came in the order %v, want the order of the calls", order)
	}
}

func (tt *turnsTest) testSeparateKeys() {
	leaveFirst := tt.take(tt.a, turn(1))
	leaveSecond := tt.take(tt.b, turn(2))
	leaveFirst(0)
	tt.take(tt.b, turn(1))(0)
	leaveSecond(0)
}

func (tt *turnsTest) testMaxQueue() {
	leave := tt.take(tt.a, turn(1))
	var callers sync.WaitGroup
	for n := range 2 {
		callers.Go(func() { tt.take(tt.b, turn(1))(0) })
		tt.waitForQueue(1, n+2)
	}
	request := turn(1)
	request.MaxQueue = 3
	tt.checkFull(tt.a, request)
	tt.checkFull(tt.b, request)
	leave(0)
	callers.Wait()
	tt.take(tt.a, request)(0)
}

func (tt *turnsTest) testMaxGroup() {
	limited := func(group byte) store.TurnRequest {
		request := groupTurn(1, group)
		request.MaxGroup = 2
		return request
	}
	leave := tt.take(tt.a, limited(1))
	var callers sync.WaitGroup
	callers.Go(func() { tt.take(tt.b, limited(1))(0) })
	tt.waitForQueue(1, 2)
	tt.checkFull(tt.a, limited(1))
	tt.checkFull(tt.b, limited(1))
	callers.Go(func() { tt.take(tt.a, limited(2))(0) }) // another group
	tt.waitForQueue(1, 3)
	leave(0)
	callers.Wait()
	tt.take(tt.b, limited(1))(0)
}

func (tt *turnsTest) testNoGroup() {
	request := turn(1)
	request.MaxGroup = 1
	leave := tt.take(tt.a, request)
	var callers sync.WaitGroup
	callers.Go(func() { tt.take(tt.b, request)(0) })
	tt.waitForQueue(1, 2)
	leave(0)
	callers.Wait()
}

func (tt *turnsTest) testPause() {
	const pause = 300 * time.Millisecond
	leave, start := tt.take(tt.a, turn(1)), time.Now()
	leave(pause)
	request := turn(1)
	request.MaxQueue = 1
	_, err := tt.b.Take(tt.Context(), request)
	if elapsed := time.Since(start); elapsed < pause && !errors.Is(err, store.ErrQueueFull) {
		tt.Fatalf("Take() during the pause = %v, want %v", err, store.ErrQueueFull)
	} else if err == nil {
		tt.Skip("the machine is too slow")
	}
	tt.take(tt.b, turn(1))(0)
	if elapsed := time.Since(start); elapsed < pause-pause/8 {
		tt.Errorf("the next turn began after %v, want %v", elapsed, pause)
	}
}

func (tt *turnsTest) testContextEnds() {
	leave := tt.take(tt.a, turn(1))
	ctx, cancel := context.WithCancel(tt.Context())
	var callers sync.WaitGroup
	callers.Go(func() {
		if _, err := tt.b.Take(ctx, turn(1)); !errors.Is(err, context.Canceled) {
			tt.Errorf("Take() = %v, want %v", err, context.Canceled)
		}
	})
	tt.waitForQueue(1, 2)
	var next sync.WaitGroup
	next.Go(func() { tt.take(tt.a, turn(1))(0) })
	tt.waitForQueue(1, 3)
	cancel()
	callers.Wait()
	// The caller's place is free again.
	request := turn(1)
	request.MaxQueue = 3
	shortCtx, cancel := context.WithTimeout(tt.Context(), shortTime)
	defer cancel()
	if _, err := tt.b.Take(shortCtx, request); !errors.Is(err, context.DeadlineExceeded) {
		tt.Errorf("Take() = %v, want %v", err, context.DeadlineExceeded)
	}
	leave(0)
	next.Wait()
}

func (tt *turnsTest) testDoneTurnContext() {
	ctx, cancel := context.WithCancel(tt.Context())
	cancel()
	if leave, err := tt.a.Take(ctx, turn(1)); !errors.Is(err, context.Canceled) || leave != nil {
		tt.Errorf("Take() = %v, want %v", err, context.Canceled)
	}
	request := turn(1)
	request.MaxQueue = 1
	tt.take(tt.b, request)(0) // the failed call has no place
}

func (tt *turnsTest) testTurnOutOfBounds() {
	for _, limits := range [][2]int{{0, 1}, {1, 0}, {-1, 1}, {store.MaxTurnQueue + 1, 1},
		{1, store.MaxTurnQueue + 1}} {
		request := store.TurnRequest{Key: store.Key{1}, MaxQueue: limits[0], MaxGroup: limits[1]}
		leave, err := tt.a.Take(tt.Context(), request)
		if err == nil || errors.Is(err, store.ErrUnavailable) || leave != nil {
			tt.Errorf("Take(%+v) = %v, want another error", request, err)
		}
	}
	request := store.TurnRequest{Key: store.Key{1}, MaxQueue: 1, MaxGroup: 1}
	tt.take(tt.a, request)(0)
}
