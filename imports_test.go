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
	module           = "github.com/cloakql/cloakql"
	keycloaktestPath = module + "/keycloak/keycloaktest"
)

// allowedImports lists, for each package of this module, the packages of this module that it and
// its tests may import. In addition, all tests may import keycloaktest. Add new packages to this
// table and to CONTRIBUTING.md, which says what each package is for.
var allowedImports = map[string][]string{
	"identity":    {},
	"apierror":    {"identity"},
	"graphqlhttp": {"apierror", "internal/language", "internal/strictjson"},
	"limits":      {"apierror", "internal/language"},
	"throttle":    {"identity", "store"},
	"console":     {},
	// e2e tests the built server from outside, and compares its GraphQL parser with graphql-js.
	"e2e": {"keycloak/keycloaktest", "apierror", "graphqlhttp", "internal/redistest", "limits"},

	"store":           {"store/storetest"}, // only the tests
	"store/storetest": {"store"},           // for any implementation of store's interfaces
	// Only the tests import redistest and storetest.
	"store/redisstore": {"store", "store/storetest", "internal/redistest"},

	"internal/language":   {},
	"internal/librarylog": {},
	"internal/middleware": {},
	"internal/redistest":  {}, // for tests
	"internal/program": {"", "identity", "internal/librarylog", "settings",
		"store/redisstore"},
	"settings": {"", "graphqlhttp", "identity",
		"internal/middleware", "keycloak", "limits", "store/redisstore", "throttle"},
	"cmd/cloakql": {"internal/program", "settings"},
	"cmd/cloakql-dev": {"console", "deploy/keycloak", "internal/program",
		"keycloak/keycloaktest", "settings"},
	"deploy/keycloak":     {},
	"internal/strictjson": {},
	"internal/jose":       {"internal/strictjson"},
	// Other projects use keycloaktest without CloakQL, so it imports no other package of CloakQL.
	"keycloak/keycloaktest":                    {"keycloak/keycloaktest/internal/realmfile"},
	"keycloak/keycloaktest/internal/realmfile": {},
	"keycloak/keycloaktest/contract":           {"keycloak/keycloaktest"},
	"schema":                                   {}, // embeds the schema files
	"authz":                                    {"identity", "schema", "internal/testapi"},
	"internal/testapi":                         {"identity"}, // for tests
	"internal/testapi/testserver":              {"internal/program", "internal/testapi", "settings", "signin"},
	"plugin":                                   {"authz", "schema"},
	"cmd/cloakql-gqlgen":                       {"plugin"},
	"keycloak": {"identity", "internal/jose",
		"internal/strictjson", "store"},
	"e2e/bench":       {"internal/program", "keycloak/keycloaktest", "settings"},
	"keycloak/drill":  {"identity", "keycloak", "keycloak/keycloaktest"},
	"graph/generated": {"identity"},
	// Only the tests import apierror.
	"graph":      {"graph/generated", "authz", "identity", "schema", "signin", "apierror"},
	"signin":     {"identity"},
	"revocation": {"identity", "store"},
}

// Each package imports only the packages that allowedImports lists for it. Packages share types
// through identity, and only package cloakql ("" in allowedImports) connects them.
func TestImports(t *testing.T) {
	for file, imports := range importsOf(t) {
		dir, isTest := path.Dir(file), strings.HasSuffix(file, "_test.go")
		if slices.Contains(imports, keycloaktestPath) && !isTest &&
			!slices.Contains([]string{"cmd/cloakql-dev", "e2e", "e2e/bench", "keycloak/drill"},
				dir) {
			t.Errorf("%s imports keycloaktest; in a server, only cmd/cloakql-dev and tests may",
				file)
		}
		if dir == "." { // package cloakql, which connects the others
			for _, importPath := range imports {
				target, _ := strings.CutPrefix(importPath, module+"/")
				if !isTest &&
					(target == "settings" || target == "internal/program" ||
						strings.HasPrefix(target, "cmd/")) {
					t.Errorf("%s imports %s, which configures this package from outside", file,
						target)
				}
			}
			continue
		}
		allowedDirs, ok := allowedImports[dir]
		if !ok {
			t.Errorf("%s: allowedImports lacks the package %s: add it, or move the file", file, dir)
		}
		for _, importPath := range imports {
			target, inModule := strings.CutPrefix(importPath+"/", module+"/")
			target = strings.TrimSuffix(target, "/")
			if inModule && target != dir && !slices.Contains(allowedDirs, target) &&
				!(isTest && importPath == keycloaktestPath) {
				t.Errorf("%s imports %s; %s may import only %v", file, target, dir, allowedDirs)
			}
		}
	}
}

// Package identity imports only the standard library, because nearly every other package imports
// it.
func TestImports_identity(t *testing.T) {
	for file, imports := range importsOf(t) {
		if path.Dir(file) != "identity" {
			continue
		}
		for _, importPath := range imports {
			firstElement, _, _ := strings.Cut(importPath, "/")
			if strings.Contains(firstElement, ".") && importPath != module+"/identity" {
				t.Errorf("%s imports %s, which isn't in the standard library", file, importPath)
			}
		}
	}
}

// Packages graphqlhttp and limits, which refuse requests before any field runs, use only New, the
// codes and the reasons of apierror. The table and the presenter are for errors of fields.
func TestImports_apierrorCodesOnly(t *testing.T) {
	allowedPattern := regexp.MustCompile(`^(Code|Reason)|^New$`)
	useCount := 0
	for _, dir := range []string{"graphqlhttp", "limits"} {
		eachDeclaration(t, dir, func(_ *ast.File, declaration ast.Decl) {
			ast.Inspect(declaration, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "apierror" {
					useCount++
					if !allowedPattern.MatchString(selector.Sel.Name) {
						t.Errorf("%s uses apierror.%s; it may use only codes, reasons and New", dir,
							selector.Sel.Name)
					}
				}
				return true
			})
		})
	}
	if useCount < 20 {
		t.Errorf("found %d uses of apierror, want at least 20", useCount)
	}
}

// importsOf returns the imports of every Go file of this module, by file name. It ignores build
// tags.
func importsOf(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
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
		imports[name] = nil
		for _, spec := range file.Imports {
			importPath, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[name] = append(imports[name], importPath)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) < 20 {
		t.Fatalf("found %d Go files, want at least 20", len(imports))
	}
	return imports
}
