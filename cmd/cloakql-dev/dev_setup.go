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

// A devSetup has the environment from which the server reads its settings, and the fake Keycloak
// that these settings point to.
type devSetup struct {
	environ      []string                        // the environment, plus the fake's settings
	settingsNote string                          // added to errors about settings; may be empty
	users        []console.User                  // suggested in the console's sign-in form
	printHelp    func(out io.Writer, url string) // called once the server listens; may be nil
	stop         func()                          // stops the fake; nil if there is none
}

// newDevSetup starts a fake Keycloak with the realm local, and adds settings that point to it. If
// KEYCLOAK_SERVER_URL is already set, newDevSetup starts nothing. CloakQL doesn't know that its
// Keycloak is a fake, and verifies tokens as usual.
func newDevSetup(environ []string, dir string) (devSetup, error) {
	values, err := settings.Lookup(environ, dir)
	if err != nil {
		return devSetup{environ: environ}, nil // settings.Read reports the error
	}
	env, isSet := runtimeEnv(environ)
	isLocal := !isSet || env == "local"
	if address := values.Get("KEYCLOAK_SERVER_URL"); address != "" {
		if !isLocal { // print nothing, because the log is JSON
			return devSetup{environ: environ}, nil
		}
		source, remedy := "the environment", "unset KEYCLOAK_SERVER_URL"
		if values.InFile("KEYCLOAK_SERVER_URL") {
			source, remedy = values.File,
				"move "+values.File+" away, or remove its KEYCLOAK_ lines"
		}
		note := fmt.Sprintf(
			"This is not the fake Keycloak: %s sets KEYCLOAK_SERVER_URL, so the server uses the "+
				"Keycloak at %s. To use the fake, %s.", source, redactURL(address), remedy)
		printHelp := func(out io.Writer, _ string) { fmt.Fprintln(out, note) }
		return devSetup{environ: environ, settingsNote: note, printHelp: printHelp}, nil
	}
	if !isLocal {
		return devSetup{}, fmt.Errorf(
			"RUNTIME_ENV is %q: the fake Keycloak is for a developer's machine only. "+
				"Use cmd/cloakql, and set KEYCLOAK_SERVER_URL (docs/settings.md)",
			env)
	}
	if err := checkPartialSettings(values, environ, dir); err != nil {
		return devSetup{}, err
	}
	fakeKeycloak, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{localrealm.JSON}})
	if err != nil {
		return devSetup{}, err
	}
	fakeEnviron := fakeSettings(fakeKeycloak.URL)
	if values.Get("KEYCLOAK_AUDIENCE") == "" {
		fakeEnviron = append(fakeEnviron, "KEYCLOAK_AUDIENCE=local-api")
	}
	return devSetup{
		environ: slices.Concat(environ, fakeEnviron),
		users:   []console.User{{Username: "alice", Password: "alice-password"}},
		stop:    fakeKeycloak.Close,
		printHelp: func(out io.Writer, url string) {
			// The realm file has the URL for the default ADDR.
			fakeKeycloak.Realm("local").UpdateClient("local-api", []byte(
				`{"attributes": {"backchannel.logout.url": "`+
					strings.TrimSuffix(url, "graphql")+`backchannel-logout"}}`))
			const login = `{"query":"mutation { login(username: \"alice\", password: ` +
				`\"alice-password\") { accessToken refreshToken expiresIn } }"}`
			fmt.Fprint(out, strings.Join([]string{
				"Console   " + strings.TrimSuffix(url, "graphql") +
					" (in a browser: sign in there, and run operations)",
				"GraphQL   " + url + " (with a fake Keycloak in this process, at " +
					fakeKeycloak.URL +
					")",
				"Sign in   alice, with the password alice-password " +
					"(deploy/keycloak/local-realm.json has more users)",
				"Try       curl -s " + url + " -H 'Content-Type: application/json' -d '" + login +
					"'",
			}, "\n")+"\n")
		},
	}, nil
}

// checkPartialSettings returns an error if a realm or a client is set, and KEYCLOAK_SERVER_URL
// isn't. The error includes any other problems in the settings.
func checkPartialSettings(values settings.Values, environ []string, dir string) error {
	var names []string
	for _, name := range []string{
		"KEYCLOAK_REALM_NAME", "KEYCLOAK_CLIENT_ID", "KEYCLOAK_CLIENT_SECRET_KEY",
		"KEYCLOAK_CLIENT_SECRET_KEY_FILE", "KEYCLOAK_ISSUER",
	} {
		if values.Get(name) != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	err := fmt.Errorf("%s set, and KEYCLOAK_SERVER_URL isn't: set all of them to use your "+
		"Keycloak, or none of them to use the fake Keycloak (settings come from %s)",
		joinWithVerb(names), values.Source)
	for _, entry := range fakeSettings("http://127.0.0.1:8080") {
		if name, _, _ := strings.Cut(entry, "="); values.Get(name) == "" {
			environ = append(slices.Clone(environ), entry)
		}
	}
	_, readErr := settings.Read(environ, dir)
	return errors.Join(err, readErr)
}

// fakeSettings returns the settings for the realm local at a Keycloak, as environment entries.
// address is the Keycloak's URL.
func fakeSettings(address string) []string {
	return []string{
		"KEYCLOAK_SERVER_URL=" + address, "KEYCLOAK_REALM_NAME=local",
		"KEYCLOAK_CLIENT_ID=local-api", "KEYCLOAK_CLIENT_SECRET_KEY=local-api-secret",
	}
}

// joinWithVerb joins names and adds a verb: "A is", or "A, B and C are".
func joinWithVerb(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

// redactURL returns a URL without its password, if it has one.
func redactURL(text string) string {
	parsedURL, err := url.Parse(text)
	if err != nil {
		return "an address that can't be parsed"
	}
	return parsedURL.Redacted()
}

// runtimeEnv returns the value of RUNTIME_ENV. isSet is true even if the value is empty.
func runtimeEnv(environ []string) (value string, isSet bool) {
	for _, entry := range environ {
		if name, text, _ := strings.Cut(entry, "="); name == "RUNTIME_ENV" {
			value, isSet = text, true
		}
	}
	return value, isSet
}
