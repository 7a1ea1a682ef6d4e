// Package keycloak knows Keycloak's endpoints, wire formats and claims.
//
// It has four parts, each usable by itself:
//
//   - Verifier verifies access tokens (verifier.go) with the keys of a KeySet, which fetches and
//     caches them (key_set.go), or with StaticKeys (keys.go). Protect verifies each request's
//     bearer token and lets only requests with a valid one pass. Middleware lets all requests pass,
//     and stores the user, or the reason why there is none, in the context. It is for GraphQL,
//     where each field has its own rule. KeySet.Keyfunc is for programs that parse tokens with
//     golang-jwt.
//   - Client signs people in and out: Login, Refresh, Logout (client.go). The tables in refusal.go
//     map Keycloak's error responses to errors. refresh_once.go explains why a refresh token must
//     never be exchanged twice, and how two tabs share one exchange.
//   - BackchannelLogout is the handler of a client's back-channel logout URL. It verifies the
//     logout tokens that Keycloak sends when a session ends (backchannel_logout.go,
//     logout_token.go). Issuer.CheckRevoked rejects the access tokens of such a session. Package
//     revocation remembers which sessions ended.
//   - WarnIssuer compares Keycloak's issuer with the issuers that a Verifier accepts. Of all
//     settings, people get this one wrong most often.
//
// # Verifying tokens in a server of your own
//
// This example leaves out the error checks:
//
//	realm, err := keycloak.NewRealm("https://sso.example.com", "shop")
//	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{})
//	go keys.Run(ctx) // fetches the keys before a token needs them
//	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
//		Issuers:  []keycloak.Issuer{{Keys: keys}},
//		Audience: []string{"shop-api"},
//	})
//	server := &http.Server{Addr: addr, Handler: keycloak.Protect(verifier, nil)(handler), ReadHeaderTimeout: 5 * time.Second}
//	err = server.ListenAndServe()
//
// The handler gets the user from identity.Require(r.Context()). If some requests need no user, use
// Middleware instead of Protect. It rejects no request, so code that needs a user must check:
//
//	user, err := identity.Require(r.Context())
//	if err != nil {
//		http.Error(w, "sign in first", http.StatusUnauthorized)
//		return
//	}
//
// Keycloak need not be up when the process starts, and the process need not be restarted after an
// outage or a key rotation. The keys stay fresh without Run, too: then each use checks their age,
// and the first token, or the first one after a long idle time, waits for a fetch.
//
// # What a valid token is
//
// A token is valid if it passes all of these checks. They run in this order, and the first failed
// check determines the error's reason:
//
//   - It has at most 16 KiB and three parts in base64url without padding. Its header and payload
//     are JSON that no two parsers can read differently: UTF-8, no duplicate member at any depth,
//     at most 32 levels, and numbers that fit a float64.
//   - Its header has a kid and an asymmetric alg, but neither crit nor cty. The header's typ is
//     JWT, at+jwt or absent. Keys and key URLs in the header are ignored.
//   - iss is exactly one of the accepted issuers. typ is Bearer: ID, refresh and logout tokens have
//     the same issuer, and ID tokens are signed with the same keys. cnf is absent. aud holds one of
//     the accepted audiences, and azp is one of AuthorizedParties, if any. sub isn't empty.
//   - nbf and iat, if any, are in the past, and exp is in the future, with a leeway of 30 s.
//   - Its kid names one of the issuer's signing keys: RSA of 2048 to 8192 bits, P-256, P-384, P-521
//     or Ed25519. The token's alg is the one algorithm that the key is for.
//   - The signature is correct; a PSS salt is as long as the hash.
//   - Issuer.CheckRevoked, if set, says that the token wasn't revoked, and so does
//     Issuer.CheckSession. A SessionChecker asks Keycloak now and then.
//
// The zero value of every setting is safe. These fields of VerifierConfig relax a check:
// AnyAudienceFor (for a realm without an audience mapper), AllowBound (for cnf), a longer Leeway
// and a larger MaxBytes. No other check can be relaxed. Algorithms and AuthorizedParties can only
// restrict.
//
// A Verifier's errors are identity.Errors: Reason is for errors.Is, and Detail says what was found
// and what is accepted. The text of these errors, and of a Client's errors, is safe for clients, so
// a resolver may return it unchanged. The Detail is for operators: Middleware logs it for
// rejected tokens, but a server that calls a Client must log identity.Detail(err) itself.
//
// In a gqlgen server, package apierror adds the code and the reason that clients branch on to each
// of these errors, logs the details that operators need, and hides all other errors:
//
//	presenter := &apierror.Presenter{}
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// # What an attacker can do
//
// Anyone can send tokens with any content. A token that is rejected before its key is looked up
// costs a fraction of a signature check and has no side effects. A token that gets further with a
// made-up kid causes a fetch of the realm's keys, but a KeySet fetches at most once a second: at
// most 16 callers wait for a fetch, each for at most a second, and the others don't wait. So the
// first token signed with a new key passes after one fetch; during an attack, that can take a
// second longer. Use one KeySet per realm and process.
//
// Statements about Keycloak hold for version 26.7.4. Endpoint URLs consist of the server URL and
// Keycloak's fixed paths. URLs in Keycloak's responses are never used: they name its public host,
// which this process may be unable to reach. If a Detail asks operators to change a setting of this
// package, it names a field, such as VerifierConfig.Audience, or a parameter of NewRealm.
package keycloak
