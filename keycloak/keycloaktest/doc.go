// Package keycloaktest is a fake Keycloak for tests. It runs in the test's process, reads the realm
// files that Keycloak imports, and responds to OpenID Connect requests as Keycloak 26.7.4 does. It
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
// The fake has the endpoints for discovery and keys, authorization (with PKCE and a plain login
// page), tokens, device authorization, userinfo, introspection, revocation, and logout with a
// refresh token or in the browser. The token endpoint supports the grants password (with one-time
// codes), refresh_token, authorization_code, client_credentials and device_code. The fake
// sends back-channel logouts to the clients that configure them. The browser flow may have levels
// of authentication for step-up by acr_values: see [LevelSpec]. Users may be members of
// organizations, which the scope organization adds to tokens: see [OrganizationSpec]. For tokens
// with the claim act, see [Realm.Impersonate].
//
// Sessions and their lifespans, single-use refresh tokens and the penalty for reusing one, required
// actions, brute-force protection, client scopes and protocol mappers work as in Keycloak, down to
// the error messages. The test suite in the directory contract sends the same requests to the fake
// and to a real Keycloak.
//
// # What it doesn't implement
//
// The fake imports realm files even if they use features that it lacks. A request that depends on
// such a feature gets status 501 and the error code not_in_keycloaktest, with a description that
// names the feature; other requests work. Requests to Keycloak's other endpoints, such as the admin
// API, get 501 too: use the methods of [Server], [Realm] and [User] instead. If Keycloak's import
// rejects a file, the fake rejects it too, and gives the reason. It ignores private keys in a realm
// file: each realm generates its own keys.
//
// # Outgoing requests
//
// Back-channel logout calls the logout URLs of the realm file's clients, without a proxy and
// without following redirects. The fake sends no other requests.
//
// # Time
//
// Lifespans follow the server's clock. [Server.Advance] moves it, so a test needn't sleep until a
// token expires. Code that verifies tokens must use the same clock, [Server.Now].
//
// # Differences from Keycloak
//
// The fake isn't for production: it speaks plain HTTP, stores passwords in plain text, and keeps
// all its state in memory. It differs from Keycloak on purpose in two ways. Parallel sign-ins of
// one user all succeed, while Keycloak's brute-force protection rejects all but one. And a
// brute-force lock takes effect immediately, while Keycloak needs a moment.
//
// Generating an RSA key takes longer than most tests, so the servers of a process share their
// realms' initial keys. For keys that no other server has, set OwnKeys in [Config] or call
// [Realm.RotateKeys].
package keycloaktest
