package keycloak

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const (
	// maxWaiting bounds how many sign-ins of one account wait for the one that is under way. A
	// person has a few tabs; a program that signs in as one account all the time should keep its
	// tokens.
	maxWaiting = 4
	// maxOfNetwork bounds how many of those, the one under way included, come from one network: who
	// knows a name must not be able to keep its owner out of the queue.
	maxOfNetwork = 2
)

// turns lets the sign-ins of one account through one after another, first come, first served.
// Accounts don't wait for each other, and one that nobody signs in to takes no memory.
type turns struct {
	mu       sync.Mutex // guards accounts, and the counts of each turn
	accounts map[digest]*turn
}

// A turn is an account's.
type turn struct {
	present  int                  // sign-ins that have the turn or wait for it
	networks map[netip.Prefix]int // how many of them come from where
	free     chan struct{}        // holds one while nobody has it
}

func newTurns() *turns { return &turns{accounts: map[digest]*turn{}} }

// take waits for an account's turn, and returns what ends it, now or after a pause. It fails with
// ErrBusy at once when maxWaiting wait or when maxOfNetwork of the caller's network
// are there, and with ctx's error when ctx ends first.
func (t *turns) take(ctx context.Context, account digest) (end func(pause time.Duration), err error) {
	network := networkOf(ctx)
	t.mu.Lock()
	own, ok := t.accounts[account]
	if !ok {
		own = &turn{free: make(chan struct{}, 1), networks: map[netip.Prefix]int{}}
		own.free <- struct{}{}
		t.accounts[account] = own
	}
	if own.present > maxWaiting || network.IsValid() && own.networks[network] >= maxOfNetwork {
		t.mu.Unlock()
		return nil, identity.ErrBusy
	}
	own.present++
	own.networks[network]++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.networks[network]--; own.networks[network] == 0 {
			delete(own.networks, network)
		}
		if own.present--; own.present == 0 {
			delete(t.accounts, account)
		}
	}
	done := func() {
		own.free <- struct{}{} // never blocks: whoever has the turn took the one it holds
		leave()
	}
	end = func(pause time.Duration) {
		if pause <= 0 {
			done()
			return
		}
		time.AfterFunc(pause, done)
	}
	select {
	case <-own.free: // the runtime wakes up those who wait in their order
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil { // select chooses by chance where both are true
		done()
		return nil, err
	}
	return end, nil
}
