// Package keycloaktest is a stand-in for Keycloak in tests: an in-process fake Keycloak that reads
// the realm files Keycloak imports and answers OpenID Connect requests as Keycloak 26.7.4 does. It
// needs no Java, no container and no network. It starts in a few milliseconds, except for the first
// server of a process, which generates two RSA keys (0.1 to 0.3 seconds).
//
//	realm, _ := os.ReadFile("testdata/shop-realm.json")
//	kc := keycloaktest.New(t, realm)              // closed when the test ends
//	verifier := newVerifier(kc.Realm("shop").Issuer())
//	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice", "openid")
//
// # What it implements
//
// The stand-in has the endpoints for discovery and keys, authorization (with PKCE, behind a plain
// login page), tokens, device authorization, userinfo, introspection, revocation, and logout by
// refresh token and by browser. The token endpoint supports the grants password (with one-time
// codes), refresh_token, authorization_code, client_credentials and device_code. Clients that
// configure back-channel logout get it.
//
// Sessions and their lifespans, single-use refresh tokens and the penalty for reusing one, required
// actions, brute-force protection, client scopes and protocol mappers work as in Keycloak, down to
// the error messages. The test suite in the directory contract runs the same requests against the
// stand-in and a real Keycloak.
//
// # What it doesn't implement
//
// The stand-in loads realm files that use features it lacks. A request that depends on such a
// feature gets status 501 and the error code not_in_keycloaktest, with a description that names the
// feature; other requests work. Keycloak's other endpoints, such as the admin API, get 501 too: use
// the methods of [Server], [Realm] and [User] instead. A file that Keycloak's import rejects is
// rejected here as well, with the reason. Private keys in a realm file are ignored; each realm
// generates its own.
//
// # Outgoing requests
//
// Back-channel logout calls the logout URLs of the realm file's clients, without a proxy and
// without following redirects. The stand-in makes no other requests.
//
// # Time
//
// Lifespans follow the server's clock, which [Server.Advance] moves: a test needn't sleep until a
// token expires. The code that verifies the tokens must use the same clock, [Server.Now].
//
// # Differences from Keycloak
//
// The stand-in isn't for production: it speaks plain HTTP, compares passwords in the clear, and
// keeps all its state in memory. It differs from Keycloak on purpose in two ways. Parallel sign-ins
// of one user all succeed, while Keycloak's brute-force protection rejects all but one. And a
// brute-force lock takes effect immediately, while Keycloak needs a moment.
//
// Generating an RSA key takes longer than most tests, so the servers of a process share their
// realms' initial keys. Set OwnKeys in [Config], or call [Realm.RotateKeys], for keys that no other
// server has.
package keycloaktest
