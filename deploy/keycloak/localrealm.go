// Package localrealm holds the realm for development: local, with users such as alice.
package localrealm

import _ "embed"

// JSON is the realm file, as Keycloak imports it.
//
//go:embed local-realm.json
var JSON []byte
