package keycloak

import (
	"context"
	"errors"
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
type loginQueue struct {
	own    store.MemoryTurns
	shared store.Turns // nil if sign-ins wait only for those of this process
	keys   storeKeys
	health storeHealth // of shared
	stats  *clientStats
}

func newLoginQueue(config ClientConfig, stats *clientStats) *loginQueue {
	return &loginQueue{shared: config.Turns, keys: newStoreKeys(config), stats: stats,
		health: storeHealth{log: config.Log, message: "the shared store fails: sign-ins of an " +
			"account wait only for those of this process"}}
}

// enter waits until no other sign-in of the account runs. The caller must then call leave, which
// lets the account's next sign-in run after a pause. enter returns ErrBusy at once if the account's
// queue, or the caller's network's share of it, is full. It returns ctx.Err() if ctx ends first.
// While the shared store is unavailable, sign-ins wait only for those of this process.
func (q *loginQueue) enter(ctx context.Context,
	account digest) (leave func(pause time.Duration), err error) {
	request := store.TurnRequest{
		Key: q.keys.account(account), Group: q.keys.network(networkOf(ctx)),
		MaxQueue: 1 + maxQueuedLogins, MaxGroup: maxLoginsPerNetwork,
	}
	if q.shared != nil {
		leave, err = q.shared.Take(ctx, request)
		if ctx.Err() == nil || err == nil {
			q.health.record(ctx, err)
		}
		if ctx.Err() == nil && isStoreFailure(err) {
			q.stats.storeFallbacks.Add(1)
			leave, err = q.own.Take(ctx, request)
		}
	} else {
		leave, err = q.own.Take(ctx, request)
	}
	if errors.Is(err, store.ErrQueueFull) {
		return nil, identity.ErrBusy
	}
	return leave, err
}
