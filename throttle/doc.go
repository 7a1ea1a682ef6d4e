// Package throttle limits how often an account or an address may try to sign in, refresh and sign
// out.
//
// It has two parts:
//
//   - A Limiter reserves an attempt before the realm is called. Afterwards it refunds the attempt,
//     unless the outcome counts (limiter.go). An account has a limit for each network and a limit
//     for all networks together, so that no single network can use up an account's attempts. An
//     address has a limit for failures with all accounts together, and a limit for all its
//     attempts. A store.Buckets stores the counts: in memory, unless Config.Store is set.
//   - Addresses is a middleware that finds the client's address. It trusts X-Forwarded-For only
//     from the proxies in its configuration (addresses.go).
//
// In a server:
//
//	limiter, err := throttle.New(throttle.Config{Log: log})
//	trusted, err := throttle.ParseProxies([]string{"10.0.0.0/8"})
//	handler = throttle.Addresses(throttle.AddressConfig{Trusted: trusted, Log: log})(handler)
//
// and around each attempt, unless signin.Service does it:
//
//	done, err := limiter.Login(ctx, credentials)
//	if err != nil {
//		return err // an *identity.RateLimitError, which says how long to wait
//	}
//	_, err = realm.Login(ctx, credentials)
//	done(err)
//
// docs/decisions/0009-login-under-attack.md and 0012 explain which attempts count and why. The
// package doesn't depend on Keycloak or on the schema.
package throttle
