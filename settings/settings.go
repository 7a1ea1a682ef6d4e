// Package settings reads the server's settings from the environment and a file.
//
// Each setting is a row in rows.go: its name, default, range and documentation, and the field of
// cloakql.Config that it sets. docs/settings.md, .local.env.example and the output of cloakql
// settings are generated from the rows.
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

// A draft is what the rows write to. Settings that need more than an assignment have fields of
// their own here, which finish turns into fields of Settings.
type draft struct {
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
// local. The error reports every problem, by the name of the setting and with what is expected; it
// shows no secret.
func Read(environ []string, dir string) (Settings, error) {
	var d draft
	var p problems
	values := readValues(environ, dir, &p)
	parse(d.rows(), values.all, &p)
	d.finish(&p)
	// A setting that seems to be missing may be misspelt.
	if err := p.err(values.unknown...); err != nil {
		return Settings{}, fmt.Errorf(
			"CloakQL can't start with these settings, from %s (docs/settings.md):\n%w",
			values.Source, err)
	}
	d.Source = values.Source
	d.Warnings = slices.Concat(d.Warnings, values.unknown, values.doubtful)
	return d.Settings, nil
}
