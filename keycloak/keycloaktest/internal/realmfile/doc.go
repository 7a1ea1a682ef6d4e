// Package realmfile reads Keycloak's realm files as Keycloak 26.7.4's import does: it accepts and
// rejects the same files, and migrates files from older releases.
//
// Read decodes a file with the schemas in schema.go, migrates it (migrate.go) and validates it
// (checks.go and the files named after what they check). The result is a Realm: the fields that can
// affect an OpenID Connect response, and a list of the settings that the fake Keycloak doesn't
// support. Each setting in the list has the uses that it would affect (unsupported.go). Private
// keys and hashed passwords are dropped.
//
// Documents splits an export of kc.sh into realms. PatchRealm, PatchClient and PatchUser apply
// fragments of a realm file, as the admin API does.
package realmfile
