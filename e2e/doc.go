// Package e2e drives the built server against a real Keycloak, from the outside: it imports nothing of
// ours and speaks HTTP to both. Its tests have the build tag e2e:
//
//	go test -tags e2e -count=1 ./e2e
//
// They start a Keycloak on free ports with scripts/keycloak and end it again; where one can't be had they
// fail. TEST_KEYCLOAK_URL names one that runs already, such as that of `make keycloak`, and is quicker
// while writing tests: its administrator must be admin with the password admin.
package e2e
