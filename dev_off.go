//go:build !dev

package main

// develop brings no companion: Keycloak's stand-in isn't in this binary.
func develop(environ []string, _ string) (companion, error) { return companion{environ: environ}, nil }
