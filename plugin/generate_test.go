package plugin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
	"golang.org/x/tools/txtar"

	"github.com/cloakql/cloakql/plugin"
)

// The first run of the plugin writes the golden files, and the second run changes no file. When
// types move between gqlgen's files, because the application adds or removes mutations, the code
// still compiles.
func TestGenerate(t *testing.T) {
	goldenFile := absPath(t, "testdata/generated.golden")
	enterModule(t,
		map[string]string{"gqlgen.yml": configText, "api/schema/shop.graphqls": shopText})
	mustGenerate(t, false)
	firstFiles := readFiles(t)
	checkGolden(t, goldenFile, firstFiles, "api/gen/cloakql_directives.generated.go",
		"api/resolve/cloakql_resolvers.generated.go", "api/resolve/resolver.go")

	mustGenerate(t, false)
	checkSameFiles(t, firstFiles, readFiles(t))

	// Now the application has a mutation, so gqlgen writes the type Mutation to another file.
	// gqlgen doesn't remove the old file. If the plugin didn't remove it, MutationResolver would be
	// declared twice.
	writeFiles(t,
		map[string]string{"api/schema/shop.graphqls": shopText +
			`type Mutation { buy: Int! @auth }`,
			"api/schema/user.graphqls": `extend type User { orders: Int! }`})
	if _, err := generate(t, true, plugin.Use()); err != nil {
		t.Fatal(err)
	}
	if text := readFile(t, "api/resolve/cloakql_resolvers.generated.go"); strings.Contains(text,
		"Mutation()") {
		t.Errorf("gqlgen and the plugin both wrote Mutation():\n%s", text)
	}

	// An application that used gqlgen before it used the plugin may have a stub for me. The stub
	// must not conflict with the plugin's resolver.
	stub := "\nfunc (r *queryResolver) Me(ctx context.Context) (*identity.User, error) { " +
		"panic(\"a stub\") }\n"
	resolvers := readFile(t, "api/resolve/shop.resolvers.go") + stub
	writeFiles(t, map[string]string{"api/resolve/shop.resolvers.go": resolvers})
	if _, err := generate(t, true, plugin.Use()); err != nil {
		t.Fatal(err)
	}
	methods := declaredMethods(t, "api/resolve/shop.resolvers.go")
	if slices.Contains(methods, "queryResolver.Me") {
		t.Errorf("shop.resolvers.go has the methods %v, want them without the stub "+
			"queryResolver.Me", methods)
	}

	// When the application removes its mutation again, the plugin writes the same files as in the
	// first run.
	for _, name := range []string{"api/resolve/shop.resolvers.go", "api/resolve/user.resolvers.go",
		"api/schema/user.graphqls", "api/gen/user.generated.go"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, map[string]string{"api/schema/shop.graphqls": shopText})
	mustGenerate(t, false)
	checkSameFiles(t, firstFiles, readFiles(t))
}

// checkGolden checks that the files with these names have the same texts in got and in the txtar
// file goldenFile. With -update, it first writes goldenFile.
func checkGolden(t *testing.T, goldenFile string, got map[string]string, names ...string) {
	t.Helper()
	if *update {
		var goldenArchive txtar.Archive
		for _, name := range names {
			goldenArchive.Files = append(goldenArchive.Files,
				txtar.File{Name: name, Data: []byte(got[name])})
		}
		if err := os.WriteFile(goldenFile, txtar.Format(&goldenArchive), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want := readArchive(t, goldenFile)
	for _, name := range names {
		if got[name] != want[name] {
			t.Errorf("%s is\n%s\nwant\n%s\n(go test ./plugin -update writes %s)", name, got[name],
				want[name], goldenFile)
		}
	}
}

// checkSameFiles checks that the files in got have the same names and texts as the files in want.
func checkSameFiles(t *testing.T, want, got map[string]string) {
	t.Helper()
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names,
		slices.Sorted(maps.Keys(want))) {
		t.Errorf("files: %v\nwant: %v", names, slices.Sorted(maps.Keys(want)))
	}
	for name, text := range got {
		if text != want[name] {
			t.Errorf("%s is\n%s\nwant it unchanged:\n%s", name, text, want[name])
		}
	}
}

// declaredMethods returns the methods that a Go file declares, as Type.Method.
func declaredMethods(t *testing.T, filename string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filename, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, decl := range file.Decls {
		if function, ok := decl.(*ast.FuncDecl); ok && function.Recv != nil {
			if pointer, ok := function.Recv.List[0].Type.(*ast.StarExpr); ok {
				methods = append(methods, pointer.X.(*ast.Ident).Name+"."+function.Name.Name)
			}
		}
	}
	return methods
}

// Bindings in the application's gqlgen.yml and schema don't change the Go types of CloakQL's types,
// and don't make gqlgen write stubs for their fields.
func TestGenerate_boundTypes(t *testing.T) {
	enterModule(t, map[string]string{
		"gqlgen.yml": configText + `
autobind: [example.com/shop/catalog]
models:
  Time: {model: example.com/shop/catalog.Instant}
  ID: {model: github.com/99designs/gqlgen/graphql.IntID}
  Int: {model: github.com/99designs/gqlgen/graphql.Int64}
`,
		"api/schema/shop.graphqls": `scalar Time type Query { products: [Product!]! @public } type Product { id: ID! price: Int! since: Time! }
			extend type User @goModel(model: "example.com/shop/catalog.User") { cart: [Product!]! }
			directive @goModel(model: String) on OBJECT`,
		"catalog/catalog.go": `package catalog

import "io"

type (
	Product struct { ID int; Price int64; Since Instant }
	User    struct{ ID string }
	Session struct{ ID string }
	Claims  string
	Instant struct{}
)

func (Instant) MarshalGQL(io.Writer) {}
func (*Instant) UnmarshalGQL(any) error { return nil }
`,
	})
	logText, err := generate(t, false, plugin.Use())
	if err != nil {
		t.Fatal(err)
	}
	// gqlgen logs this line for User.cart, the field that the application adds.
	if lines := strings.Split(strings.TrimSpace(logText), "\n"); len(lines) != 1 ||
		!strings.HasSuffix(lines[0], "adding resolver method for User.cart, nothing matched") {
		t.Errorf("gqlgen logged:\n%s\nwant only one line, about User.cart", logText)
	}
	want := []string{"queryResolver.Products", "userResolver.Cart", "Resolver.Query",
		"Resolver.User"}
	if got := declaredMethods(t, "api/resolve/shop.resolvers.go"); !slices.Equal(got, want) {
		t.Errorf("resolver stubs: %v, want %v", got, want)
	}
	for name := range readFiles(t) {
		if strings.HasPrefix(name, "api/resolve/") && strings.Contains(name, "cloakql") &&
			name != "api/resolve/cloakql_resolvers.generated.go" {
			t.Errorf("gqlgen wrote %s, want no such file", name)
		}
	}
}

// Generation fails if gqlgen.yml, the schema or another plugin changes one of the plugin's
// bindings, or if the plugin would overwrite an application's file. It fails before the plugin
// writes a file.
func TestGenerate_fails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		files   map[string]string
		options []plugin.Option
		mutate  func(*config.Config)
		want    string
	}{
		{"another Go type for Session", nil, nil, func(cfg *config.Config) {
			cfg.Models["Session"] = config.TypeMapEntry{
				Model: config.StringList{"github.com/cloakql/cloakql/identity.ClientRoles"},
			}
		},
			"cloakql: TokenInfo.session isn't bound to a field of " +
				"github.com/cloakql/cloakql/identity.TokenInfo: models: Session is " +
				"[github.com/cloakql/cloakql/identity.ClientRoles]\n" +
				"the type Session is bound to github.com/cloakql/cloakql/identity.ClientRoles " +
				"instead of github.com/cloakql/cloakql/identity.Session"},
		{"another Go type for Int", nil, nil, func(cfg *config.Config) {
			cfg.Models["Int"] = config.TypeMapEntry{
				Model: config.StringList{"github.com/99designs/gqlgen/graphql.Int64"},
			}
		},
			"cloakql: OpenIdToken.expiresIn isn't bound to a field of " +
				"github.com/cloakql/cloakql/identity.OpenIDToken: models: Int is " +
				"[github.com/99designs/gqlgen/graphql.Int64]\n" +
				"OpenIdToken.refreshExpiresIn isn't bound to a field of " +
				"github.com/cloakql/cloakql/identity.OpenIDToken: models: Int is " +
				"[github.com/99designs/gqlgen/graphql.Int64]"},
		{"skip_runtime for auth", nil, nil, func(cfg *config.Config) {
			cfg.Directives["auth"] = config.DirectiveConfig{SkipRuntime: true}
		}, "cloakql: the directive auth isn't bound to CloakQL's function"},
		{"auth without an entry", nil, nil,
			func(cfg *config.Config) { delete(cfg.Directives, "auth") },
			"cloakql: the directive auth isn't bound to CloakQL's function"},
		{"skip_runtime for a guard",
			map[string]string{
				"api/schema/shop.graphqls": `type Query { a: Int @hasRole(anyOf: ["x"]) }`}, nil,
			func(cfg *config.Config) {
				cfg.Directives["hasRole"] = config.DirectiveConfig{SkipRuntime: true}
			}, "cloakql: the directive hasRole isn't bound to CloakQL's function"},
		{"Resolver without SignIn",
			map[string]string{"api/resolve/root.go": "package resolve\n\ntype Resolver struct{ " +
				"Stock int }\n"}, nil, nil,
			"cloakql: the type Resolver in root.go has no field SignIn: add `SignIn " +
				"*signin.Service`, from github.com/cloakql/cloakql/signin"},
		{"another Go type for String", map[string]string{
			"gqlgen.yml": configText +
				"models: {String: {model: example.com/shop/catalog.Text}}",
			"catalog/catalog.go": "package catalog\n\nimport \"io\"\n\ntype Text string\n\nfunc " +
				"(Text) MarshalGQL(io.Writer) {}\nfunc (*Text) UnmarshalGQL(any) error { return " +
				"nil }\n"}, nil, nil,
			"cloakql: the argument username of login is of type example.com/shop/catalog.Text " +
				"instead of string: models: String is [example.com/shop/catalog.Text " +
				"github.com/99designs/gqlgen/graphql.String " +
				"github.com/cloakql/cloakql/identity.Secret]"},
		{"existing file for the directives",
			map[string]string{"api/gen/cloakql_directives.generated.go": "package gen\n"}, nil, nil,
			"cloakql: DIR/api/gen/cloakql_directives.generated.go exists and isn't generated: " +
				"move it away"},
		{"existing file for the types",
			map[string]string{"api/gen/cloakql_types.generated.go": "package gen\n"}, nil, nil,
			"cloakql: DIR/api/gen/cloakql_types.generated.go exists and isn't generated: move it " +
				"away"},
		{"existing file for the resolvers",
			map[string]string{"api/resolve/cloakql_resolvers.generated.go": "package resolve\n"},
			nil, nil,
			"cloakql: DIR/api/resolve/cloakql_resolvers.generated.go exists and isn't generated: " +
				"move it away"},
		{"existing file for the schema",
			map[string]string{"api/whole.graphql": "type Query { me: String }\n"},
			[]plugin.Option{plugin.SchemaFile("api/whole.graphql")}, nil,
			"cloakql: api/whole.graphql exists and isn't generated: move it away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			enterModule(t,
				map[string]string{"gqlgen.yml": configText, "api/schema/shop.graphqls": shopText})
			writeFiles(t, tt.files)
			filesBefore := readFiles(t)
			_, err := generate(t, false, plugin.Use(tt.options...),
				api.AddPlugin(mutator{tt.mutate}))
			dir, wdErr := os.Getwd()
			if wdErr != nil {
				t.Fatal(wdErr)
			}
			checkError(t, err, strings.ReplaceAll(tt.want, "DIR", dir))
			filesAfter := readFiles(t)
			// gqlgen's model generator runs before the plugin.
			delete(filesAfter, "api/gen/models.go")
			checkSameFiles(t, filesBefore, filesAfter)
		})
	}
}

// A mutator is another gqlgen plugin. It changes the configuration after CloakQL's plugin.
type mutator struct{ mutate func(*config.Config) }

func (mutator) Name() string { return "mutator" }

func (m mutator) MutateConfig(cfg *config.Config) error {
	if m.mutate != nil {
		m.mutate(cfg)
	}
	return nil
}
