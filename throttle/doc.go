// Package throttle limits how often an account or an address may try to sign in, refresh and sign
// out.
//
// It has two parts:
//
//   - A Limiter reserves an attempt before the realm is called, and refunds it unless it failed in
//     a way that counts (limiter.go). An account has one limit for each network and one for the
//     whole world, so that no single network can use up an account's attempts. An address has one
//     limit for failures under all accounts, and one for all its attempts. The counts are in a
//     store.Buckets: in memory, unless Config.Store is set.
//   - Addresses finds the client's address of a request. It trusts only the proxies in its list
//     (addresses.go).
//
// In a server:
//
//	limiter, err := throttle.New(throttle.Config{Log: log})
//	trusted, err := throttle.ParseProxies([]string{"10.0.0.0/8"})
//	handler = throttle.Addresses(throttle.AddressConfig{Trusted: trusted, Log: log})(handler)
//
// and around each attempt, unless signin.Service does it:
//
//	settle, err := limiter.Login(ctx, credentials)
//	if err != nil {
//		return err // an *identity.RateLimitError, which says how long to wait
//	}
//	_, err = realm.Login(ctx, credentials)
//	settle(err)
//
// docs/decisions/0009-login-under-attack.md and 0012 explain what counts and why. The package
// doesn't depend on Keycloak or on the schema.
package throttle
