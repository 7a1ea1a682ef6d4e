// Package contract holds the stand-in of keycloaktest to what Keycloak answers. It is one suite of
// exchanges, written once and played on two sides: always on the stand-in, and on a real Keycloak
// as well when TEST_KEYCLOAK_URL names one (its administrator is admin/admin).
//
// An exchange sets something up, asks, and shows the answers. What it shows is normalised: ids
// become their shapes, times become offsets, tokens are opened. The text is compared with
// testdata/<group>.txtar, which was recorded from the real Keycloak; so plain "go test" proves the
// stand-in against recorded truth, and with TEST_KEYCLOAK_URL the record is proved too. When they
// differ, the stand-in is the one that is wrong.
//
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract
//	TEST_KEYCLOAK_URL=http://localhost:8080 go test -count=1 ./keycloak/keycloaktest/contract -update
//
// The second line records anew; a diff of the record is a change of Keycloak, or of an exchange,
// and is reviewed. With -v, or when run in this directory, go test shows how many exchanges held on
// which side.
//
// Read side_test.go for what setup can do on either side, group_test.go for how exchanges are
// played, answer_test.go for what is contract in an answer, and then any group: discovery_test.go
// is a short one.
package contract
