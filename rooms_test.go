package cloakql_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module  = "github.com/cloakql/cloakql"
	standIn = module + "/keycloak/keycloaktest"
)

// doors lists, for each room, the rooms that it may import. What isn't listed is forbidden, for
// tests too, but that every room's tests may have the stand-in. The map of the house is
// CONTRIBUTING.md; a new room gets a line here and there.
var doors = map[string][]string{
	"identity":    {},
	"apierror":    {"identity"},
	"graphqlhttp": {"apierror", "internal/language", "internal/strictjson"},
	"limits":      {"apierror", "internal/language"},
	"throttle":    {"identity", "store"},
	"console":     {},
	// Drives the built server from the outside, and compares the language of documents with
	// graphql-js's.
	"e2e": {"keycloak/keycloaktest", "apierror", "graphqlhttp", "limits"},

	"store":           {"store/storetest"}, // in tests
	"store/storetest": {"store"},           // implementations of a store use it

	"internal/language":   {},
	"internal/librarylog": {},
	"internal/middleware": {},
	"internal/program":    {"", "identity", "internal/librarylog", "settings"},
	"settings": {"", "graphqlhttp", "identity",
		"internal/middleware", "keycloak", "limits", "throttle"},
	"cmd/cloakql": {"internal/program", "settings"},
	"cmd/cloakql-dev": {"console", "deploy/keycloak", "internal/program",
		"keycloak/keycloaktest", "settings"},
	"deploy/keycloak":     {},
	"internal/strictjson": {},
	"internal/jose":       {"internal/strictjson"},
	// other people's projects use it
	"keycloak/keycloaktest":                    {"keycloak/keycloaktest/internal/realmfile"},
	"keycloak/keycloaktest/internal/realmfile": {},
	"keycloak/keycloaktest/contract":           {"keycloak/keycloaktest"},
	"schema":                                   {}, // the files, for those who embed them
	"authz":                                    {"identity", "schema"},
	"plugin":                                   {"schema"},
	"cmd/cloakql-gqlgen":                       {"plugin"},
	"keycloak": {"identity", "internal/jose",
		"internal/strictjson"},
	"keycloak/drill":  {"identity", "keycloak", "keycloak/keycloaktest"},
	"graph/generated": {"identity"},
	// apierror in tests
	"graph":  {"graph/generated", "authz", "identity", "signin", "apierror"},
	"signin": {"identity"},
}

// Rooms meet in identity and in package cloakql (here ""), and nowhere else.
func TestDoors(t *testing.T) {
	for file, imports := range importsOf(t) {
		room, test := path.Dir(file), strings.HasSuffix(file, "_test.go")
		if slices.Contains(imports, standIn) && !test &&
			!slices.Contains([]string{"cmd/cloakql-dev", "e2e", "keycloak/drill"}, room) {
			t.Errorf("%s imports the stand-in; only cmd/cloakql-dev may", file)
		}
		if room == "." { // it connects the rooms
			for _, imported := range imports {
				target, _ := strings.CutPrefix(imported, module+"/")
				if !test &&
					(target == "settings" || target == "internal/program" ||
						strings.HasPrefix(target, "cmd/")) {
					t.Errorf(
						"%s imports %s, which imports this package's configuration from outside",
						file, target)
				}
			}
			continue
		}
		allowed, known := doors[room]
		if !known {
			t.Errorf(
				"%s: %s is no room of the house: put the file into one, or give the room its "+
					"doors here", file, room)
		}
		for _, imported := range imports {
			target, ours := strings.CutPrefix(imported+"/", module+"/")
			target = strings.TrimSuffix(target, "/")
			if ours && target != room && !slices.Contains(allowed, target) &&
				!(test && imported == standIn) {
				t.Errorf("%s imports %s; %s may import %v", file, target, room, allowed)
			}
		}
	}
}

// The domain is the standard library's alone: every room imports it, so what it imports, all do.
func TestDomainIsPure(t *testing.T) {
	for file, imports := range importsOf(t) {
		if path.Dir(file) != "identity" {
			continue
		}
		for _, imported := range imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") &&
				imported != module+"/identity" {
				t.Errorf("%s imports %s", file, imported)
			}
		}
	}
}

// Rooms that answer requests before any field runs take from apierror its codes, in the shape that
// clients see, and nothing else: the table and the presenter are for errors of fields.
func TestDoors_apierror_codesOnly(t *testing.T) {
	allowed := regexp.MustCompile(`^(Code|Reason)|^New$`)
	found := 0
	for _, room := range []string{"graphqlhttp", "limits"} {
		eachDeclaration(t, room, func(_ *ast.File, declaration ast.Decl) {
			ast.Inspect(declaration, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if from, ok := selector.X.(*ast.Ident); ok && from.Name == "apierror" {
					found++
					if !allowed.MatchString(selector.Sel.Name) {
						t.Errorf("%s uses apierror.%s; it may use codes, reasons and New", room,
							selector.Sel.Name)
					}
				}
				return true
			})
		})
	}
	if found < 20 {
		t.Errorf("%d uses of apierror found, want more", found)
	}
}

// importsOf reads the imports of every Go file of this module, whatever its build tags.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." &&
			(strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" ||
				entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); entry.IsDir() && name != "." &&
			err == nil {
			return filepath.SkipDir // another module: an example
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		found[name] = nil
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[name] = append(found[name], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("only %d Go files found", len(found))
	}
	return found
}
