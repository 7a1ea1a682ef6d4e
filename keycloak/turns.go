package keycloak

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/cloakql/cloakql/identity"
)

// maxWaiting bounds how many sign-ins of one account wait for the one that is under way. A person has a few
// tabs; a program that signs in as one account all the time should keep its tokens.
const maxWaiting = 4

// turns lets the sign-ins of one account through one after another, first come, first served. Accounts don't
// wait for each other, and an account that nobody signs in to takes no memory.
type turns struct {
	mu       sync.Mutex // guards accounts, and present of each
	accounts map[digest]*turn
}

// A turn is an account's.
type turn struct {
	present int           // who has the turn, and who waits for it
	free    chan struct{} // holds one while nobody has it
}

func newTurns() *turns { return &turns{accounts: map[digest]*turn{}} }

// take waits for an account's turn, and returns what ends it. It fails with ErrTooManyConcurrent at once when
// maxWaiting wait, and with ctx's error when ctx ends first.
func (t *turns) take(ctx context.Context, account string) (done func(), err error) {
	key := digest(sha256.Sum256([]byte(account)))
	t.mu.Lock()
	own, ok := t.accounts[key]
	if !ok {
		own = &turn{free: make(chan struct{}, 1)}
		own.free <- struct{}{}
		t.accounts[key] = own
	}
	if own.present > maxWaiting {
		t.mu.Unlock()
		return nil, identity.ErrTooManyConcurrent
	}
	own.present++
	t.mu.Unlock()

	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.present--; own.present == 0 {
			delete(t.accounts, key)
		}
	}
	done = func() {
		own.free <- struct{}{} // never blocks: whoever has the turn took the one it holds
		leave()
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
	return done, nil
}
