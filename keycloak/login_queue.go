package keycloak

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
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
	mu     sync.Mutex // guards queues, and the counts of each accountQueue
	queues map[digest]*accountQueue
}

// An accountQueue is the queue of one account.
type accountQueue struct {
	size            int                  // running and waiting sign-ins
	loginsByNetwork map[netip.Prefix]int // running and waiting sign-ins, by network
	permit          chan struct{}        // holds one value while no sign-in runs
}

func newLoginQueue() *loginQueue { return &loginQueue{queues: map[digest]*accountQueue{}} }

// enter waits until no other sign-in of the account runs. The caller must then call leave, which
// lets the account's next sign-in run after a pause. enter returns ErrBusy at once if the account's
// queue, or the caller's network's share of it, is full. It returns ctx.Err() if ctx ends first.
func (q *loginQueue) enter(ctx context.Context,
	account digest) (leave func(pause time.Duration), err error) {
	network := networkOf(ctx)
	q.mu.Lock()
	queue, ok := q.queues[account]
	if !ok {
		queue = &accountQueue{permit: make(chan struct{}, 1),
			loginsByNetwork: map[netip.Prefix]int{}}
		queue.permit <- struct{}{}
		q.queues[account] = queue
	}
	if queue.size > maxQueuedLogins || network.IsValid() &&
		queue.loginsByNetwork[network] >= maxLoginsPerNetwork {
		q.mu.Unlock()
		return nil, identity.ErrBusy
	}
	queue.size++
	queue.loginsByNetwork[network]++
	q.mu.Unlock()

	remove := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if queue.loginsByNetwork[network]--; queue.loginsByNetwork[network] == 0 {
			delete(queue.loginsByNetwork, network)
		}
		if queue.size--; queue.size == 0 {
			delete(q.queues, account)
		}
	}
	finish := func() {
		queue.permit <- struct{}{} // never blocks: the running sign-in took the value
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
	case <-queue.permit: // the runtime wakes waiting goroutines in order
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
