// Package settings reads the server's settings from the environment and a file.
//
// Each setting is defined in definitions.go: its name, default, range and documentation, and the
// field of cloakql.Config that it sets. docs/settings.md, .local.env.example and the output of
// cloakql settings are generated from these definitions.
package settings

//go:generate go test -run TestLimitDocs -update .
//go:generate go test -run TestReference_files -update .

import (
	"fmt"
	"slices"

	"github.com/cloakql/cloakql"
)

// Settings are parsed and checked settings. Read returns them.
type Settings struct {
	Server   cloakql.Config
	Addr     string   // the address to listen on
	Source   string   // says where the settings come from
	Warnings []string // for the log
}

// rawSettings holds the parsed values of the settings. Settings that need more than an assignment
// have fields of their own here, which finish turns into fields of Settings.
type rawSettings struct {
	Settings

	runtimeEnv           string
	serverURL, realmName string
	secretFile           string
	issuers              []string
	refreshGraceNetwork  string
	console              string
	getQueries           *bool
	trustedDocuments     string
	trustedDocumentsMode string
}

// Read reads the settings from environ, whose entries are NAME=value, and from a file in dir:
// .local.env if RUNTIME_ENV is local or unset, .env otherwise. The environment wins over the file;
// the file may be missing. An empty value counts as unset, except that an empty RUNTIME_ENV is not
// local. The error lists every problem, with the name of the setting and what is expected. It shows
// no secret.
func Read(environ []string, dir string) (Settings, error) {
	var raw rawSettings
	var p problems
	values := readValues(environ, dir, &p)
	parse(raw.settings(), values.merged, &p)
	raw.finish(&p)
	// A setting that seems to be missing may be misspelt.
	if err := p.err(values.unknown...); err != nil {
		return Settings{}, fmt.Errorf(
			"CloakQL can't start with these settings, from %s (docs/settings.md):\n%w",
			values.Source, err)
	}
	raw.Source = values.Source
	raw.Warnings = slices.Concat(raw.Warnings, values.unknown, values.suspicious)
	return raw.Settings, nil
}
