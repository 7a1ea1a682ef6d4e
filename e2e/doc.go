// Package e2e drives the built server beside a Keycloak, from the outside: it speaks HTTP to both. The
// Keycloak is the stand-in of keycloak/keycloaktest, in this process; where TEST_KEYCLOAK_URL names a real
// one, whose administrator must be admin with the password admin, it is that:
//
//	scripts/keycloak with go test -count=1 ./e2e
//
// starts one for as long as the command takes. The tests are the same for both. What an administrator does to
// a realm has two sides, in admin_test.go, and so have starting, stopping and waiting, in main_test.go.
package e2e
