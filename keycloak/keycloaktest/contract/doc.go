// Package contract tests that the fake Keycloak of package keycloaktest responds like a real one.
// Its scenarios run on the fake and, if TEST_KEYCLOAK_URL is set, also on a real Keycloak, whose
// administrator must be admin with the password admin.
//
// A scenario sets something up, sends requests, and records the responses. The record is
// normalized: opaque values become their shapes, times become offsets, tokens are decoded. It is
// compared with testdata/<group>.txtar, which was recorded from a real Keycloak. So go test without
// TEST_KEYCLOAK_URL compares the fake with the recording; with it, the recording is compared with a
// real Keycloak, too. If the fake and the recording differ, the fake is wrong.
//
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract -update
//
// The second command updates the recording. A diff in testdata means that Keycloak or a scenario
// has changed: review it. With -v, or when run in this directory, go test prints how many scenarios
// passed on each server.
//
// Start with server_test.go for the setup that works on both servers, group_test.go for how
// scenarios run, and response_test.go for how responses are recorded. Then read any group:
// discovery_test.go is a short one.
package contract
