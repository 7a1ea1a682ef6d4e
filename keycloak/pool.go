package keycloak

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// networkShare is the part of a pool that one network may hold: a quarter.
const networkShare = 4

// shareRetry is when a network that holds its share is told to come back: most calls are answered
// within it.
const shareRetry = time.Second

// A pool bounds how many calls of one kind are under way, in all and for one network. So whoever
// opens many connections from one place leaves the rest of the pool to others. Where a caller's
// address isn't known, only the whole is bounded.
type pool struct {
	size, share int

	mu       sync.Mutex // guards the fields below
	taken    int
	networks map[netip.Prefix]int
}

func newPool(size int) *pool {
	return &pool{size: size, share: max(1, size/networkShare), networks: map[netip.Prefix]int{}}
}

// acquire takes a place. It doesn't wait: it fails with an *identity.RateLimitError when the
// caller's network holds its share, and with ErrBusy when no place is free.
func (p *pool) acquire(ctx context.Context) (*place, error) {
	network := networkOf(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case network.IsValid() && p.networks[network] >= p.share:
		return nil, &identity.RateLimitError{RetryAfter: shareRetry}
	case p.taken >= p.size:
		return nil, identity.ErrBusy
	}
	p.taken++
	p.networks[network]++
	return &place{pool: p, network: network}, nil
}

// A place in a pool is one call's, until it is released. Its methods may be called more than once.
type place struct {
	pool    *pool
	network netip.Prefix

	freed, released bool // guarded by pool.mu
}

// free gives the place to others. The call goes on counting to the share of its network.
func (s *place) free() {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if !s.freed {
		s.freed = true
		s.pool.taken--
	}
}

// release gives back the place and its part of the network's share.
func (s *place) release() {
	s.free()
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if s.released {
		return
	}
	s.released = true
	if s.pool.networks[s.network]--; s.pool.networks[s.network] == 0 {
		delete(s.pool.networks, s.network)
	}
}

// networkOf is the network that a call comes from. It isn't valid where the caller's address isn't
// known.
func networkOf(ctx context.Context) netip.Prefix {
	return identity.NetworkOf(identity.Address(ctx))
}
