// Package throttle is how often an account or an address may try: to sign in, to refresh, to sign
// out.
//
// Three parts:
//
//   - Budgets takes an attempt out of every budget that it touches before the realm is asked, and
//     gives it back unless it failed in a way that counts (budgets.go). Of one account there is a
//     budget for the network that the attempt comes from and one for the whole world, so that no
//     single place can use up an account's attempts; of one address there is one for all accounts,
//     and one for everything it tries.
//   - A Store keeps the counts (store.go). Memory is the one for a single process: it is bounded,
//     and drops no count that matters (memory.go).
//   - Addresses finds out which address a request comes from, and believes no proxy that isn't in
//     its list (addresses.go).
//
// In a server:
//
//	budgets, err := throttle.New(throttle.Config{Log: log})
//	trusted, err := throttle.ParseProxies([]string{"10.0.0.0/8"})
//	handler = throttle.Addresses(throttle.AddressConfig{Trusted: trusted, Log: log})(handler)
//
// and where somebody tries:
//
//	settle, err := budgets.Login(ctx, credentials)
//	if err != nil {
//		return err // an *identity.RateLimitError, which says when to come back
//	}
//	err = realm.Login(ctx, credentials)
//	settle(err)
//
// Why it counts as it does is docs/decisions/0009-login-under-attack.md and 0012. The package knows
// no Keycloak and no schema.
package throttle
