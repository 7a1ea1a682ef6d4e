// Package realmfile reads Keycloak's realm files, in the sense of Keycloak 26.7.4's import: what it
// takes is taken, what it refuses is refused, and files of older releases are migrated.
//
// Read decodes a file by the tables of schema.go, migrates it (migrate.go), and checks it beyond
// its types (checks.go and the files named after what they check). The result is a Realm: the
// members that can change an answer of OpenID Connect, and what of them the stand-in can't do, by
// the use that it would change (unsupported.go). Private keys and hashed passwords aren't kept.
//
// Documents splits what kc.sh export writes into realms, and PatchRealm, PatchClient and PatchUser
// apply pieces of realm files, as the admin API does.
package realmfile
