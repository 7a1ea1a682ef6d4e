// Package e2e drives the built server beside a Keycloak, from the outside: it speaks HTTP to both.
// The Keycloak is the stand-in of keycloak/keycloaktest, in this process; where TEST_KEYCLOAK_URL
// names a real one, whose administrator must be admin with the password admin, it is that:
//
//	scripts/keycloak with go test -count=1 ./e2e
//
// starts one for as long as the command takes. The tests are the same for both. What an
// administrator does to a realm has two sides, in admin_test.go, and so have starting, stopping and
// waiting, in main_test.go.
//
// More is run where a variable asks for it, and says so where none does:
//
//	npm ci --ignore-scripts --prefix e2e/node && TEST_NODE=1 go test ./e2e # other people's clients and audits; Node.js 20 or later
//	TEST_NODE=1 TEST_BROWSER=chromium go test ./e2e # the console and the examples in it; their modules, too
//	TEST_IDLE=1 go test -run TestManyConnections ./e2e      # waits two minutes, for the end of idle connections
//	TEST_FIGURES=1 go test -v -run TestHostile ./e2e        # what hostile requests cost, beside an accepted one
//	make soak                                               # ten minutes at full load
package e2e
