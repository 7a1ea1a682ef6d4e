// Package e2e tests the built server together with a Keycloak, over HTTP. By default, that is the
// fake Keycloak of keycloak/keycloaktest, in this process. Set TEST_KEYCLOAK_URL to use a real
// Keycloak, whose administrator must be admin with the password admin. The following command starts
// a real Keycloak for the tests and stops it afterwards:
//
//	scripts/keycloak with go test -count=1 ./e2e
//
// The same tests run with the fake and with a real Keycloak. Most of the code that distinguishes
// the two is in admin_test.go, which administers Keycloak, and in main_test.go, which starts it,
// stops it and lets time pass.
//
// Some tests run only if a variable is set, and otherwise log that they didn't run:
//
//	npm ci --ignore-scripts --prefix e2e/node && TEST_NODE=1 go test ./e2e # third-party clients and audits; needs Node.js 20 or later
//	TEST_NODE=1 TEST_BROWSER=chromium go test ./e2e # the console and the examples in Chromium; also needs the examples' modules
//	TEST_IDLE=1 go test -run TestManyConnections ./e2e      # waits two minutes until idle connections are closed
//	TEST_FIGURES=1 go test -v -run TestHostile ./e2e        # measures the cost of hostile requests
//	TEST_THROUGHPUT=1 go test -v -run TestThroughput ./e2e  # two processes on two cores; needs wrk
//	make soak                                               # ten minutes at full load
//
// Tests with several processes of the server need redis-server. Other variables make them longer:
// TEST_REFRESH_ROUNDS, TEST_KILLS, TEST_REVOCATION_INTERVAL, TEST_ATTEMPTS, TEST_STORE_FAULTS.
package e2e
