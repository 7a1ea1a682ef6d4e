package keycloak

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A network may hold 1/networkShareDivisor of a semaphore's slots.
const networkShareDivisor = 4

// networkRetryAfter is the RetryAfter for a network that has used up its share. Most calls finish
// sooner.
const networkRetryAfter = time.Second

// A semaphore limits the calls of one kind that are in flight, in total and per network, so that a
// client with many connections can't take every slot. Callers without a known address count only
// toward the total.
type semaphore struct {
	size, networkLimit int

	mu             sync.Mutex // guards the fields below
	inUse          int
	callsByNetwork map[netip.Prefix]int
}

func newSemaphore(size int) *semaphore {
	return &semaphore{size: size, networkLimit: max(1, size/networkShareDivisor),
		callsByNetwork: map[netip.Prefix]int{}}
}

// acquire takes a slot without waiting. It returns an *identity.RateLimitError if the caller's
// network has used up its share, and ErrBusy if no slot is free.
func (s *semaphore) acquire(ctx context.Context) (*slot, error) {
	network := networkOf(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case network.IsValid() && s.callsByNetwork[network] >= s.networkLimit:
		return nil, &identity.RateLimitError{RetryAfter: networkRetryAfter}
	case s.inUse >= s.size:
		return nil, identity.ErrBusy
	}
	s.inUse++
	s.callsByNetwork[network]++
	return &slot{semaphore: s, network: network}, nil
}

// A slot of a semaphore belongs to one call until it is released. Its methods may be called more
// than once.
type slot struct {
	semaphore *semaphore
	network   netip.Prefix

	isReleased, isShareReleased bool // guarded by semaphore.mu
}

// releaseKeepingShare lets another call use the slot. This call still counts toward its network's
// share.
func (s *slot) releaseKeepingShare() {
	s.semaphore.mu.Lock()
	defer s.semaphore.mu.Unlock()
	if !s.isReleased {
		s.isReleased = true
		s.semaphore.inUse--
	}
}

// release lets another call use the slot, and stops counting this call toward its network's share.
func (s *slot) release() {
	s.releaseKeepingShare()
	s.semaphore.mu.Lock()
	defer s.semaphore.mu.Unlock()
	if s.isShareReleased {
		return
	}
	s.isShareReleased = true
	if s.semaphore.callsByNetwork[s.network]--; s.semaphore.callsByNetwork[s.network] == 0 {
		delete(s.semaphore.callsByNetwork, s.network)
	}
}

// networkOf returns the caller's network, or the zero Prefix if its address isn't known.
func networkOf(ctx context.Context) netip.Prefix {
	return identity.NetworkOf(identity.Address(ctx))
}
