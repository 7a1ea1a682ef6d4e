//go:build dev

package main

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

//go:embed deploy/keycloak/local-realm.json
var localRealm []byte

// develop starts a stand-in for Keycloak with the realm local, and settings that point at it. Where the settings
// name a Keycloak, that one is used and nothing is started. The server verifies the stand-in's tokens like any
// other's: it knows nothing of it.
func develop(environ []string, dir string) (companion, error) {
	var f faults
	set := readValues(environ, dir, &f).all
	if len(f.list) > 0 {
		return companion{environ: environ}, nil // readConfig says what is wrong
	}
	runtime, there := runtimeEnv(environ)
	local := !there || runtime == "local"
	if url := set["KEYCLOAK_SERVER_URL"]; url != "" {
		if !local { // the log is JSON
			return companion{environ: environ}, nil
		}
		return companion{environ: environ, announce: func(out io.Writer, _ string) {
			fmt.Fprintf(out, "KEYCLOAK_SERVER_URL is set: this server uses the Keycloak at %s, and no stand-in.\n", url)
		}}, nil
	}
	if !local {
		return companion{}, fmt.Errorf("RUNTIME_ENV is %q: the stand-in for Keycloak is for a developer's machine alone. "+
			"Build without -tags dev, and set KEYCLOAK_SERVER_URL (README, Settings)", runtime)
	}
	for _, name := range []string{
		"KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID", "KEYCLOAK_CLIENT_SECRET_KEY", "KEYCLOAK_CLIENT_SECRET_KEY_FILE", "KEYCLOAK_ISSUER",
	} {
		if set[name] != "" {
			return companion{}, fmt.Errorf("%s is set, and KEYCLOAK_SERVER_URL isn't: set that too to use your Keycloak, "+
				"or neither to use the stand-in", name)
		}
	}
	standIn, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{localRealm}})
	if err != nil {
		return companion{}, err
	}
	settings := []string{
		"KEYCLOAK_SERVER_URL=" + standIn.URL, "KEYCLOAK_REALM_NAME=local", "KEYCLOAK_CLIENT_ID=local-api", "KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret",
	}
	if set["KEYCLOAK_AUDIENCE"] == "" {
		settings = append(settings, "KEYCLOAK_AUDIENCE=local-api")
	}
	return companion{environ: append(append([]string{}, environ...), settings...), stop: standIn.Close, announce: func(out io.Writer, url string) {
		const login = `{"query":"mutation { login(username: \"alice\", password: \"alice-password\") { accessToken refreshToken expiresIn } }"}`
		fmt.Fprint(out, strings.Join([]string{
			"Console   " + strings.TrimSuffix(url, "graphql") + " (in a browser: sign in there, and run operations)",
			"GraphQL   " + url + " (Keycloak is a stand-in in this process, at " + standIn.URL + ")",
			"Sign in   alice, with the password alice-password (deploy/keycloak/local-realm.json has more users)",
			"Try       curl -s " + url + " -H 'Content-Type: application/json' -d '" + login + "'",
		}, "\n")+"\n")
	}}, nil
}

// runtimeEnv is RUNTIME_ENV as it was set: readValues has another word for an empty one.
func runtimeEnv(environ []string) (value string, set bool) {
	for _, entry := range environ {
		if name, text, _ := strings.Cut(entry, "="); name == "RUNTIME_ENV" {
			value, set = text, true
		}
	}
	return value, set
}
