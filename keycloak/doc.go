// Package keycloak is everything that knows Keycloak: its endpoints, its wire formats, its claims.
//
// Three parts, each of use by itself:
//
//   - Verifier decides whether an access token is good (verifier.go), with the keys that a KeySet
//     fetches and keeps (key_set.go), or with StaticKeys (keys.go). Protect runs it on each
//     request's Authorization header and lets only requests with a good token pass. Middleware
//     lets all pass, and leaves the verified user, or the reason why there is none, in the context:
//     for GraphQL, where each field has its own rule. KeySet.Keyfunc is for programs that parse
//     tokens with golang-jwt.
//   - Client signs people in and out: Login, Refresh, Logout (client.go). What Keycloak's refusals
//     mean is one table (refusal.go); why a refresh token must never be exchanged twice, and how
//     two tabs are kept from it, is in refresh_once.go.
//   - WarnIssuer compares the issuer that Keycloak says it is with the issuers that a Verifier
//     accepts, the setting that people get wrong most often.
//
// # Verifying tokens in a server of your own
//
// Without the error checks:
//
//	realm, err := keycloak.NewRealm("https://sso.example.com", "shop")
//	keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{})
//	go keys.Run(ctx) // fetches keys before a token needs them
//	verifier, err := keycloak.NewVerifier(keycloak.VerifierConfig{
//		Issuers:  []keycloak.Issuer{{Keys: keys}},
//		Audience: []string{"shop-api"},
//	})
//	server := &http.Server{Addr: addr, Handler: keycloak.Protect(verifier, nil)(handler), ReadHeaderTimeout: 5 * time.Second}
//	err = server.ListenAndServe()
//
// The handler finds the user with identity.Require(r.Context()). Where some requests need no
// caller, use Middleware instead of Protect: it refuses no request, so whatever needs a caller must
// ask for one:
//
//	user, err := identity.Require(r.Context())
//	if err != nil {
//		http.Error(w, "sign in first", http.StatusUnauthorized)
//		return
//	}
//
// Nothing has to be up when the process starts, and nothing to be restarted when Keycloak was down
// or rotated its keys. The keys stay fresh without Run too: then each use of the set sees to it,
// and the first token, or the first one after a long silence, waits for a fetch.
//
// # What a good token is
//
// A token passes when all of this is true, checked in this order; the first that isn't is the
// reason:
//
//   - It has at most 16 KiB, three parts in base64url without padding, and a header and a payload
//     that two readers can't read differently: UTF-8, no member twice at any depth, at most 32
//     levels, numbers that a float64 holds.
//   - Its header has no crit and no cty, a kid, an asymmetric alg, and a typ of JWT or at+jwt, if
//     any. Keys in a header, or URLs of keys, are never looked at.
//   - iss is one of the accepted, exactly. typ is Bearer: ID, refresh and logout tokens come with
//     the same issuer, and ID tokens with the same keys. There is no cnf. aud has one of the
//     accepted, and where AuthorizedParties says so, azp is one of those. sub is there.
//   - nbf and iat, if any, have passed, and exp hasn't, give or take 30 s.
//   - Its kid is that of a key of this issuer for signatures: RSA of 2048 to 8192 bits, P-256,
//     P-384, P-521 or Ed25519, whose one algorithm is the token's.
//   - The signature is right; a PSS salt is as long as the hash.
//
// The zero value of every setting is a safe one. What loosens a check is a field of VerifierConfig
// that says so: AuthorizedParty (for a realm without an audience mapper), AllowBound (for cnf), and
// a longer Leeway or larger MaxBytes. No other check can be relaxed. Algorithms and
// AuthorizedParties can only restrict.
//
// Errors are an identity.Error, whose Reason is for errors.Is, and whose Detail tells people
// what was found and what is accepted. An error's text is fit for clients, so a resolver may return
// it as it is, and so is that of the errors of Client. The Detail is for operators: Middleware logs
// that of a token, and a server that calls a Client logs identity.Detail(err) itself.
//
// In a gqlgen server, package apierror gives each of these errors the code and the reason that
// clients branch on, logs the detail of those that operators must know, and hides every other
// error:
//
//	presenter := &apierror.Presenter{}
//	server.SetErrorPresenter(presenter.Present)
//	server.SetRecoverFunc(presenter.Recover)
//
// # What strangers can do
//
// They can send tokens, of any content. What is refused before the key costs a fraction of a
// signature check, and causes nothing. A token that gets further, with a made-up kid, causes a
// fetch of the realm's keys, once a second at most for the whole KeySet: at most 16 callers wait
// for it, for a second at most, and everyone else is answered at once. So a new key's first token
// passes after one fetch, or, while strangers cause fetches, after a second and one fetch. A KeySet
// is one for each realm and process: share it.
//
// Facts about Keycloak were observed on version 26.7.4. Endpoints are built from the server's URL
// by Keycloak's fixed paths: no URL that Keycloak hands out is ever called, since those name its
// public host, which may be out of reach from inside. Where a text for operators names what to
// change here, it is a field of this package (VerifierConfig.Audience), or a parameter of NewRealm.
package keycloak
