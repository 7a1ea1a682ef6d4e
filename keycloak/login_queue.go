package keycloak

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

const (
	// maxQueuedLogins limits how many sign-ins of one account wait for the running one. A person
	// has a few tabs; a program that keeps signing in to one account should cache its tokens.
	maxQueuedLogins = 4
	// maxLoginsPerNetwork limits how many sign-ins of one account, including the running one, come
	// from one network: an attacker who knows a username must not keep its owner out of the queue.
	maxLoginsPerNetwork = 2
)

// A loginQueue runs the sign-ins of each account one after another, first come, first served.
// Accounts don't wait for each other, and an account without sign-ins in flight takes no memory.
//
// With a shared store, a sign-in also waits for those of other processes. Processes learn accounts
// from their own sign-ins, so they agree on a name but not always on its account. So a sign-in
// takes the turn of its name, and then that of the account if this process knows it. A sign-in that
// has an account's turn doesn't wait for a name's, so there is no deadlock.
type loginQueue struct {
	own    store.MemoryTurns // by account
	shared store.Turns       // nil if sign-ins wait only for those of this process
	keys   storeKeys
	health storeHealth // of shared
	stats  *clientStats
}

func newLoginQueue(config ClientConfig, stats *clientStats) *loginQueue {
	return &loginQueue{shared: config.Turns, keys: newStoreKeys(config), stats: stats,
		health: storeHealth{log: config.Log, message: "the shared store fails: sign-ins of an " +
			"account wait only for those of this process"}}
}

// enter waits until no other sign-in of the name or the account runs. account is the name if the
// account isn't known. The caller must then call leave, which lets the next sign-in run after a
// pause. enter returns ErrBusy at once if the queue of the name or the account, or the caller's
// network's share of it, is full. It returns ctx.Err() if ctx ends first. While the shared store is
// unavailable, sign-ins wait only for those of this process.
func (q *loginQueue) enter(ctx context.Context, name,
	account digest) (leave func(pause time.Duration), err error) {
	request := store.TurnRequest{
		Key: q.keys.account(account), Group: q.keys.network(networkOf(ctx)),
		MaxQueue: 1 + maxQueuedLogins, MaxGroup: maxLoginsPerNetwork,
	}
	var leaveShared func(pause time.Duration)
	leaveOwn, err := q.own.TakeAfter(ctx, request, func() (err error) {
		leaveShared, err = q.takeShared(ctx, request, q.keys.account(name))
		return err
	})
	if err != nil {
		if leaveShared != nil { // ctx ended during the wait for the turn in this process
			leaveShared(0)
		}
		if errors.Is(err, store.ErrQueueFull) {
			return nil, identity.ErrBusy
		}
		return nil, err
	}
	return func(pause time.Duration) {
		leaveOwn(pause)
		leaveShared(pause)
	}, nil
}

// takeShared takes the shared turn of a name and then, with another key, that of the account which
// request names. It succeeds without the turns that the store fails to give, or if there is no
// store.
func (q *loginQueue) takeShared(ctx context.Context, request store.TurnRequest,
	name store.Key) (leave func(pause time.Duration), err error) {
	if q.shared == nil {
		return func(time.Duration) {}, nil
	}
	requests := []store.TurnRequest{request}
	requests[0].Key = name
	if request.Key != name {
		// Only one sign-in of each name gets here, so the limits of the name's queue are enough.
		request.MaxQueue, request.MaxGroup = store.MaxTurnQueue, store.MaxTurnQueue
		requests = append(requests, request)
	}
	var turns []func(time.Duration)
	leave = func(pause time.Duration) {
		for _, leaveTurn := range slices.Backward(turns) {
			leaveTurn(pause)
		}
	}
	for _, request := range requests {
		leaveTurn, err := q.shared.Take(ctx, request)
		if ctx.Err() == nil || err == nil {
			q.health.record(ctx, err)
		}
		switch {
		case err == nil:
			turns = append(turns, leaveTurn)
		case ctx.Err() == nil && isStoreFailure(err):
			q.stats.storeFallbacks.Add(1)
			return leave, nil
		default:
			leave(0)
			return nil, err
		}
	}
	return leave, nil
}
