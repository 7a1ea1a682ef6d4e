package keycloak

import "sync/atomic"

// ClientStats has what a Client counted since it was created.
type ClientStats struct {
	Exchanges uint64 // refresh tokens that this Client sent to Keycloak

	// Repeats are refreshes that got the response to another one, from this process or another.
	// RefusedRepeats are refreshes with a token that was presented before, whose response wasn't
	// repeated.
	Repeats, RefusedRepeats uint64

	// StoreRefusals are refreshes that failed with identity.ErrStoreUnavailable. StoreFallbacks
	// are exchanges and sign-ins that this process made without the shared store, because it was
	// unavailable.
	StoreRefusals, StoreFallbacks uint64

	// Interrupted are refreshes that failed with identity.ErrRefreshInterrupted.
	Interrupted uint64
}

// Stats returns what the Client has counted. It is safe for concurrent use.
func (c *Client) Stats() ClientStats {
	if c.stats == nil {
		return ClientStats{}
	}
	return ClientStats{
		Exchanges: c.stats.exchanges.Load(), Repeats: c.stats.repeats.Load(),
		RefusedRepeats: c.stats.refusedRepeats.Load(),
		StoreRefusals:  c.stats.storeRefusals.Load(),
		StoreFallbacks: c.stats.storeFallbacks.Load(), Interrupted: c.stats.interrupted.Load(),
	}
}

// clientStats counts what ClientStats has.
type clientStats struct {
	exchanges, repeats, refusedRepeats         atomic.Uint64
	storeRefusals, storeFallbacks, interrupted atomic.Uint64
}
