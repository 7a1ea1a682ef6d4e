package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/cloakql/cloakql/console"
	localrealm "github.com/cloakql/cloakql/deploy/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/settings"
)

// An environment is what settings are read from, and what stands behind it.
type environment struct {
	environ  []string                        // the process environment, with the stand-in's settings
	note     string                          // shown with an error of the settings; may be empty
	users    []console.User                  // offered in the console's form
	announce func(out io.Writer, url string) // called once the server listens; nil for nothing
	stop     func()                          // nil if there is nothing to stop
}

// develop starts a stand-in for Keycloak with the realm local, and settings that point at it. Where the settings
// name a Keycloak, that one is used and nothing is started. The server verifies the stand-in's tokens like any
// other's: it knows nothing of it.
func develop(environ []string, dir string) (environment, error) {
	values, err := settings.Lookup(environ, dir)
	if err != nil {
		return environment{environ: environ}, nil // settings.Read says what is wrong
	}
	runtime, there := runtimeEnv(environ)
	local := !there || runtime == "local"
	if address := values.Get("KEYCLOAK_SERVER_URL"); address != "" {
		if !local { // the log is JSON
			return environment{environ: environ}, nil
		}
		where, remedy := "the environment", "unset KEYCLOAK_SERVER_URL"
		if values.InFile("KEYCLOAK_SERVER_URL") {
			where, remedy = values.File, "move "+values.File+
				" away, or take its KEYCLOAK_ lines out"
		}
		note := fmt.Sprintf("This is not the stand-in: %s sets KEYCLOAK_SERVER_URL, so the "+
			"server uses the Keycloak at %s. "+
			"For the stand-in, %s.", where, withoutUser(address), remedy)
		announce := func(out io.Writer, _ string) { fmt.Fprintln(out, note) }
		return environment{environ: environ, note: note, announce: announce}, nil
	}
	if !local {
		return environment{}, fmt.Errorf("RUNTIME_ENV is %q: the stand-in for Keycloak is for a developer's machine only. "+
			"Use cmd/cloakql, and set KEYCLOAK_SERVER_URL (docs/settings.md)", runtime)
	}
	var halves []string
	for _, name := range []string{
		"KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID", "KEYCLOAK_CLIENT_SECRET_KEY", "KEYCLOAK_CLIENT_SECRET_KEY_FILE", "KEYCLOAK_ISSUER",
	} {
		if values.Get(name) != "" {
			halves = append(halves, name)
		}
	}
	if len(halves) > 0 {
		err := fmt.Errorf("%s set, and KEYCLOAK_SERVER_URL isn't: set that too to use your Keycloak, "+
			"or none of them to use the stand-in (settings come from %s)", list(halves), values.Source)
		for _, one := range standInSettings("http://127.0.0.1:8080") {
			if name, _, _ := strings.Cut(one, "="); values.Get(name) == "" {
				environ = append(slices.Clone(environ), one)
			}
		}
		_, others := settings.Read(environ, dir)
		return environment{}, errors.Join(err, others)
	}
	standIn, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{localrealm.JSON}})
	if err != nil {
		return environment{}, err
	}
	own := standInSettings(standIn.URL)
	if values.Get("KEYCLOAK_AUDIENCE") == "" {
		own = append(own, "KEYCLOAK_AUDIENCE=local-api")
	}
	alice := console.User{Username: "alice", Password: "alice-password"}
	return environment{environ: slices.Concat(environ, own), stop: standIn.Close, users: []console.User{alice}, announce: func(out io.Writer, url string) {
		const login = `{"query":"mutation { login(username: \"alice\", password: \"alice-password\") { accessToken refreshToken expiresIn } }"}`
		fmt.Fprint(out, strings.Join([]string{
			"Console   " + strings.TrimSuffix(url, "graphql") + " (in a browser: sign in there, and run operations)",
			"GraphQL   " + url + " (Keycloak is a stand-in in this process, at " + standIn.URL + ")",
			"Sign in   alice, with the password alice-password (deploy/keycloak/local-realm.json has more users)",
			"Try       curl -s " + url + " -H 'Content-Type: application/json' -d '" + login + "'",
		}, "\n")+"\n")
	}}, nil
}

// standInSettings are those of the realm local, at an address.
func standInSettings(address string) []string {
	return []string{
		"KEYCLOAK_SERVER_URL=" + address, "KEYCLOAK_REALM_NAME=local",
		"KEYCLOAK_CLIENT_ID=local-api", "KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret",
	}
}

// list is names with their verb.
func list(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

// withoutUser is a URL as it may be shown: a mistaken one can hold a password.
func withoutUser(text string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return "an address that can't be parsed"
	}
	return parsed.Redacted()
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
