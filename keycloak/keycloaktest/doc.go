// Package keycloaktest is a stand-in for Keycloak in tests: an HTTP server in the test's own
// process that answers as Keycloak 26.7.4 does at the endpoints of OpenID Connect, from the same
// realm file that Keycloak imports. It needs no Java, no container and no network, and starts in a
// few milliseconds; the first of a process makes two RSA keys, which takes some 0.1 to 0.3 seconds.
//
//	realm, _ := os.ReadFile("testdata/shop-realm.json")
//	kc := keycloaktest.New(t, realm)              // closed when the test ends
//	verifier := newVerifier(kc.Realm("shop").Issuer())
//	tokens, err := kc.Realm("shop").SignIn("shop-api", "alice", "openid")
//
// # What it answers
//
// Discovery and certs; the token endpoint with the grants password (one-time codes too),
// refresh_token, authorization_code with PKCE behind a plain login page, client_credentials and
// device_code; device authorization; logout by refresh token and by browser, with back-channel
// logout to the clients that ask for it; revocation, introspection and userinfo. Sessions and their
// lifespans, single-use refresh tokens and what a second use costs, required actions, brute-force
// locks, client scopes and protocol mappers work as they do in Keycloak, down to the texts of
// errors. One suite of exchanges, in the directory contract, holds it to what a real Keycloak
// answered.
//
// The same realm file makes the same realm. What the stand-in doesn't have it refuses by name,
// where it is used: the requests that it would answer wrongly get status 501 and the code
// not_in_keycloaktest, and all others are answered. So are Keycloak's other endpoints refused, the
// admin API first of all: the methods of [Server], [Realm] and [User] take its place. A file that
// Keycloak's import refuses doesn't load here either, and the error says why. Private keys in a
// realm file are ignored: a stand-in makes its own.
//
// # What leaves the process
//
// Back-channel logout calls the URLs that the clients of the realm file name for it, without a
// proxy and without following redirects. Nothing else leaves the process.
//
// # Time
//
// Everything that has a lifespan follows the server's clock. [Server.Advance] moves it, so that a
// test needn't sleep for a token to expire; what verifies the tokens must follow the same clock,
// [Server.Now], or its own tests will wait.
//
// # What it isn't
//
// It isn't for production: it speaks plain HTTP, compares passwords in the clear, and forgets
// everything at its end. Two differences from Keycloak are deliberate. Parallel sign-ins of one
// user all succeed, where Keycloak's brute-force protection refuses all but one; and a lock holds
// from the failure that caused it, where Keycloak needs a moment. The signing keys of a realm are
// shared with other servers of the same process, until it rotates them, because making one takes
// longer than most tests: OwnKeys of [Config] and [Realm.RotateKeys] make keys of a test's own.
package keycloaktest
