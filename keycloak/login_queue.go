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
	// maxPerNetwork limits how many of an account's sign-ins, including the running one, come from
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
	free     chan struct{}        // holds one token while no sign-in runs
}

func newLoginQueue() *loginQueue { return &loginQueue{accounts: map[digest]*accountQueue{}} }

// enter waits until no other sign-in of the account runs, and returns a function that lets the next
// one run after a pause. It returns ErrBusy at once if the queue is full for the account or for the
// caller's network, and ctx.Err() if ctx ends first.
func (q *loginQueue) enter(ctx context.Context,
	account digest) (leave func(pause time.Duration), err error) {
	network := networkOf(ctx)
	q.mu.Lock()
	queue, ok := q.accounts[account]
	if !ok {
		queue = &accountQueue{free: make(chan struct{}, 1), networks: map[netip.Prefix]int{}}
		queue.free <- struct{}{}
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
	done := func() {
		queue.free <- struct{}{} // never blocks: the running sign-in took the token
		remove()
	}
	leave = func(pause time.Duration) {
		if pause <= 0 {
			done()
			return
		}
		time.AfterFunc(pause, done)
	}
	select {
	case <-queue.free: // the runtime wakes waiting goroutines in order
	case <-ctx.Done():
		remove()
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // if both cases were ready, select has chosen at random
		done()
		return nil, err
	}
	return leave, nil
}
