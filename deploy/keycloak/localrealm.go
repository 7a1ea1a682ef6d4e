// Package localrealm embeds the realm file for development. The file defines the realm local, with
// users such as alice.
package localrealm

import _ "embed"

// JSON is the content of the realm file. Keycloak can import it.
//
//go:embed local-realm.json
var JSON []byte
