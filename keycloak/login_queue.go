package keycloak

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const (
	// maxQueued limits how many sign-ins of one account wait for the running one. A person has a
	// few tabs; a program that keeps signing in to one account should cache its tokens.
	maxQueued = 4
	// maxPerNetwork limits how many sign-ins of one account, including the running one, come from
	// one network: an attacker who knows a username must not keep its owner out of the queue.
	maxPerNetwork = 2
)

// A loginQueue runs the sign-ins of each account one after another, first come, first served.
// Accounts don't wait for each other, and an account without sign-ins in flight takes no memory.
type loginQueue struct {
	mu       sync.Mutex // guards accounts, and the counts of each accountQueue
	accounts map[digest]*accountQueue
}

// An accountQueue is the queue of one account.
type accountQueue struct {
	size     int                  // running and waiting sign-ins
	networks map[netip.Prefix]int // running and waiting sign-ins, by network
	turn     chan struct{}        // holds one value while no sign-in runs
}

func newLoginQueue() *loginQueue { return &loginQueue{accounts: map[digest]*accountQueue{}} }

// enter waits until no other sign-in of the account runs. The caller must then call leave, which
// lets the account's next sign-in run after a pause. enter returns ErrBusy at once if the account's
// queue, or the caller's network's share of it, is full. It returns ctx.Err() if ctx ends first.
func (q *loginQueue) enter(ctx context.Context,
	account digest) (leave func(pause time.Duration), err error) {
	network := networkOf(ctx)
	q.mu.Lock()
	queue, ok := q.accounts[account]
	if !ok {
		queue = &accountQueue{turn: make(chan struct{}, 1), networks: map[netip.Prefix]int{}}
		queue.turn <- struct{}{}
		q.accounts[account] = queue
	}
	if queue.size > maxQueued || network.IsValid() && queue.networks[network] >= maxPerNetwork {
		q.mu.Unlock()
		return nil, identity.ErrBusy
	}
	queue.size++
	queue.networks[network]++
	q.mu.Unlock()

	remove := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if queue.networks[network]--; queue.networks[network] == 0 {
			delete(queue.networks, network)
		}
		if queue.size--; queue.size == 0 {
			delete(q.accounts, account)
		}
	}
	finish := func() {
		queue.turn <- struct{}{} // never blocks: the running sign-in took the value
		remove()
	}
	leave = func(pause time.Duration) {
		if pause <= 0 {
			finish()
			return
		}
		time.AfterFunc(pause, finish)
	}
	select {
	case <-queue.turn: // the runtime wakes waiting goroutines in order
	case <-ctx.Done():
		remove()
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // if both cases were ready, select chose one at random
		finish()
		return nil, err
	}
	return leave, nil
}
