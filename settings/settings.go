// Package settings reads the server's settings from the environment and a file.
//
// The file definitions.go defines each setting: its name, its default, its range, its
// documentation, and the field of cloakql.Config that it sets. docs/settings.md, .local.env.example
// and the output of the command cloakql settings are generated from these definitions.
package settings

//go:generate go test -run TestLimitDocs -update .
//go:generate go test -run TestReference_files -update .

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store/redisstore"
)

// Settings are parsed and checked settings. Read returns them.
type Settings struct {
	Server   cloakql.Config
	Addr     string   // the address to listen on
	Source   string   // where the settings come from, such as "the environment and .env"
	Warnings []string // for the log

	// Redis is the configuration of the shared store, without Log. Its URL is empty if there is
	// none.
	Redis redisstore.Config
}

// rawSettings has the parsed values of all settings. Most values are stored in fields of Settings.
// The other fields hold values that must be converted first: finish converts them, and stores the
// results in fields of Settings.
type rawSettings struct {
	Settings

	runtimeEnv           string
	serverURL, realmName string
	secretFile           string
	storeURL, storeKeys  identity.Secret
	issuers              []string
	refreshGraceNetwork  string
	answerCache          string
	backchannelLogout    string
	revocationCheck      string
	revocationInterval   time.Duration
	console              string
	getQueries           *bool
	trustedDocuments     string
	trustedDocumentsMode string
	introspection        string
	authzQueries         string
}

// Read reads the settings from environ, whose entries are NAME=value, and from a file in dir. The
// file is .local.env if RUNTIME_ENV is local or unset, and .env otherwise; it may be missing. If a
// setting is in both, environ takes precedence. An empty value counts as unset, except that an
// empty RUNTIME_ENV means production. The error lists every problem, with the name of the setting
// and what is expected. It shows no secret.
func Read(environ []string, dir string) (Settings, error) {
	var raw rawSettings
	var p problems
	values := readValues(environ, dir, &p)
	parse(raw.settings(), values.texts, &p)
	raw.finish(&p)
	// The error includes the unknown names, because a missing setting may be misspelt.
	if err := p.err(values.nameWarnings...); err != nil {
		return Settings{}, fmt.Errorf(
			"CloakQL can't start with these settings, from %s (docs/settings.md):\n%w",
			values.Source, err)
	}
	raw.Source = values.Source
	raw.Warnings = slices.Concat(raw.Warnings, values.nameWarnings, values.valueWarnings)
	return raw.Settings, nil
}
