// Package keycloak is everything that knows Keycloak: its endpoints, its wire formats, its claims.
//
// Three parts, each of use by itself:
//
//   - Verifier decides whether an access token is good (verifier.go), with the keys that a KeySet
//     fetches and keeps (keys.go). Middleware runs it on each request's Authorization header and leaves
//     the verified user, or the reason why there is none, in the context.
//   - Client signs people in and out: Login, Refresh, Logout (client.go). What Keycloak's refusals mean
//     is one table (refusal.go); why a refresh token must never be exchanged twice, and how two tabs
//     are kept from it, is in exchanges.go.
//   - WarnIssuer compares the issuer that Keycloak says it is with the issuers that a Verifier accepts,
//     the setting that people get wrong most often.
//
// A server of your own, without the error checks:
//
//	realm, err := keycloak.NewRealm("https://sso.example.com", "shop")
//	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{})
//	go keys.Run(ctx)
//	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
//		Issuers:  []keycloak.Issuer{{Names: []string{realm.Issuer()}, Keys: keys}},
//		Audience: []string{"shop-api"},
//	})
//	http.ListenAndServe(addr, keycloak.Middleware(verifier, nil)(handler))
//
// The middleware refuses nobody: it tells the handler who calls. What needs a caller asks for one:
//
//	user, err := identity.Require(r.Context())
//	if err != nil {
//		http.Error(w, "sign in first", http.StatusUnauthorized)
//		return
//	}
//
// Facts about Keycloak were observed on version 26.7.4. Endpoints are built from the server's URL by
// Keycloak's fixed paths: no URL that Keycloak hands out is ever called, since those name its public
// host, which may be out of reach from inside. Where a message names a setting in capitals
// (KEYCLOAK_ISSUER), that is the name which the CloakQL server gives to the field of the same purpose.
package keycloak
