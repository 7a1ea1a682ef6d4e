// Package schema contains CloakQL's GraphQL schema: one file per subject, with a description of
// every type and field. Package plugin adds this schema to those of applications.
package schema

import (
	"embed"
	"io/fs"
)

//go:generate go test -run TestReference -update .

//go:embed *.graphqls
var files embed.FS

//go:embed directives.graphqls
var directives string

// Files returns the files of the schema: directives.graphqls, scalars.graphqls, session.graphqls
// and user.graphqls.
func Files() fs.FS { return files }

// Directives returns the text of directives.graphqls, which defines @public, @auth and @fromToken.
func Directives() string { return directives }
