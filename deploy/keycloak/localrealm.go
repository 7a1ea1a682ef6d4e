// Package localrealm embeds the realm file for development: the realm local, with users such as
// alice.
package localrealm

import _ "embed"

// JSON is the content of the realm file, which Keycloak can import.
//
//go:embed local-realm.json
var JSON []byte
