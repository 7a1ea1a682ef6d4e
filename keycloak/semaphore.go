package keycloak

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// networkShare is the inverse of a network's share of a semaphore: a network may hold a quarter of
// the slots.
const networkShare = 4

// shareRetry is the RetryAfter for a network that has used up its share. Most calls finish sooner.
const shareRetry = time.Second

// A semaphore limits the calls of one kind that are in flight, in total and per network, so that a
// client with many connections can't take every slot. Callers without a known address count only
// toward the total.
type semaphore struct {
	size, share int

	mu       sync.Mutex // guards the fields below
	inUse    int
	networks map[netip.Prefix]int
}

func newSemaphore(size int) *semaphore {
	return &semaphore{size: size, share: max(1, size/networkShare),
		networks: map[netip.Prefix]int{}}
}

// acquire takes a slot without waiting. It returns an *identity.RateLimitError if the caller's
// network has used up its share, and ErrBusy if no slot is free.
func (s *semaphore) acquire(ctx context.Context) (*slot, error) {
	network := networkOf(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case network.IsValid() && s.networks[network] >= s.share:
		return nil, &identity.RateLimitError{RetryAfter: shareRetry}
	case s.inUse >= s.size:
		return nil, identity.ErrBusy
	}
	s.inUse++
	s.networks[network]++
	return &slot{semaphore: s, network: network}, nil
}

// A slot of a semaphore belongs to one call until it is released. Its methods may be called more
// than once.
type slot struct {
	semaphore *semaphore
	network   netip.Prefix

	freed, released bool // guarded by semaphore.mu
}

// free lets another call use the slot. This call still counts toward its network's share.
func (s *slot) free() {
	s.semaphore.mu.Lock()
	defer s.semaphore.mu.Unlock()
	if !s.freed {
		s.freed = true
		s.semaphore.inUse--
	}
}

// release frees the slot and stops counting the call toward its network's share.
func (s *slot) release() {
	s.free()
	s.semaphore.mu.Lock()
	defer s.semaphore.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	if s.semaphore.networks[s.network]--; s.semaphore.networks[s.network] == 0 {
		delete(s.semaphore.networks, s.network)
	}
}

// networkOf returns the caller's network, or the zero Prefix if its address isn't known.
func networkOf(ctx context.Context) netip.Prefix {
	return identity.NetworkOf(identity.Address(ctx))
}
