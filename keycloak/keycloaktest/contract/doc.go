// Package contract tests that the fake Keycloak of package keycloaktest responds like a real
// Keycloak. Its scenarios run on the fake. If TEST_KEYCLOAK_URL is set, they also run on the real
// Keycloak at that URL, whose administrator must be admin with the password admin.
//
// A scenario sets up realms and users, sends requests, and records the responses. Its record is
// normalized: an opaque value is replaced by its shape, a time by its offset, and a token by its
// claims. go test compares the record with testdata/<suite>.txtar, which was recorded on a real
// Keycloak. If the record of the fake differs from that recording, the fake is wrong. If the record
// of a real Keycloak differs, Keycloak or a scenario has changed.
//
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract -update
//
// The second command updates the recordings: review the diff in testdata. With -v, or when
// run in this directory, go test prints how many scenarios passed on each server.
//
// Start with server_test.go for the setup that works on both servers, suite_test.go for how
// scenarios run, and response_test.go for how responses are recorded. Then read the
// scenarios in any other file, such as discovery_test.go.
package contract
