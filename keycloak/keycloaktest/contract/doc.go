// Package contract tests that the stand-in of keycloaktest responds as Keycloak does. It is one
// suite of exchanges that runs on the stand-in and, if TEST_KEYCLOAK_URL is set, on a real Keycloak
// as well (whose administrator must be admin/admin).
//
// An exchange sets something up, sends requests, and records the responses. The record is
// normalized: IDs become their shapes, times become offsets, tokens are decoded. It is compared
// with testdata/<group>.txtar, which was recorded from a real Keycloak. So "go test" alone checks
// the stand-in against the recording, and with TEST_KEYCLOAK_URL the recording is checked, too. If
// they differ, the stand-in is wrong.
//
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract -update
//
// The second command updates the recording. A diff in testdata means that Keycloak or an exchange
// has changed: review it. With -v, or when run in this directory, go test prints how many exchanges
// passed on each server.
//
// Start with server_test.go for the setup that works on either server, group_test.go for how
// exchanges run, response_test.go for what is recorded of a response, and then any group:
// discovery_test.go is a short one.
package contract
