// Package settings reads the server's settings from the environment and a file.
//
// Each setting is a row of rows.go: its name, default, range, documentation, and where it goes in a
// cloakql.Config. docs/settings.md, .local.env.example and the command cloakql settings are made
// from the rows.
package settings

//go:generate go test -run TestLimitDocs -update .
//go:generate go test -run TestReference_files -update .

import (
	"fmt"
	"slices"

	"github.com/cloakql/cloakql"
)

// Settings are the settings, checked. Make them with Read.
type Settings struct {
	Server   cloakql.Config
	Addr     string   // where the program listens, as net.Listen takes it
	Source   string   // where the settings come from, for people
	Warnings []string // for the log
}

// A draft is what the rows write to: the settings, and what needs more than an assignment.
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
	// A setting that is missing may be there under another name.
	if err := p.err(values.unknown...); err != nil {
		return Settings{}, fmt.Errorf(
			"CloakQL can't start with these settings, from %s (docs/settings.md):\n%w",
			values.Source, err)
	}
	d.Source = values.Source
	d.Warnings = slices.Concat(d.Warnings, values.unknown, values.doubtful)
	return d.Settings, nil
}
