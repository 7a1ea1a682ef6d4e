// Package plugin adds CloakQL's API to an application's gqlgen schema: me, login, refresh and
// logout, their types, and the directives @public, @auth and @fromToken, with all resolvers. The
// application's schema may use the guards of package authz too, such as @hasRole. Nothing needs to
// be copied into the application's repository, and its gqlgen.yml stays as it is.
//
//	cfg, err := config.LoadConfigFromDefaultLocations()
//	...
//	err = api.Generate(cfg, plugin.Use(plugin.Rename("me", "viewer")))
//
// An application without other plugins can use the program cmd/cloakql-gqlgen instead of a program
// of its own. docs/plugin.md is a complete guide.
//
// The application's resolver type needs one field:
//
//	type Resolver struct {
//		SignIn *signin.Service
//	}
//
// The plugin writes three files:
//
//   - cloakql_directives.generated.go, next to gqlgen's generated code, binds @public, @auth and
//     the other guards that the schema uses, so that the application can't forget to bind them
//   - cloakql_resolvers.generated.go, next to the application's resolvers, has CloakQL's resolvers
//   - schema.generated.graphql has the whole schema, for editors and client generators; SchemaFile
//     sets another name
//
// If there is no file with the type Resolver, the plugin writes one. It overwrites only files that
// it or gqlgen has written.
//
// Generation fails if gqlgen.yml would change the API, for example with skip_runtime for @auth or
// with another Go type for User. It also fails if a field of CloakQL's types would have no Go
// field, if the generated code would skip the check of @auth, or if gqlgen would remove or replace
// CloakQL's resolvers.
//
// To read the source, start with Use. Then read configure.go (before gqlgen reads the schema),
// sources.go and guards.go (additions to the schema) and generate.go (generated files). The package
// relies on experimental parts of gqlgen. To notice changes of these parts, its tests generate
// whole applications.
package plugin

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen"
	"github.com/99designs/gqlgen/codegen/config"
	gqlgen "github.com/99designs/gqlgen/plugin"
	"github.com/vektah/gqlparser/v2/ast"
)

// Use returns an option for api.Generate that adds CloakQL's API to the generated code. Pass only
// one such option to api.Generate; other plugins don't interfere. api.Generate returns an error if
// one of options is invalid.
func Use(options ...Option) api.Option {
	return func(cfg *config.Config, plugins *[]gqlgen.Plugin) {
		p := &injector{cloakql: loadSchema(),
			bindings: []binding{{"public", "cloakqlPublic"}, {"auth", "cloakqlAuth"}}}
		p.err = p.configure(cfg, options)
		// gqlgen's resolver generator runs between injector and postGenerator.
		*plugins = slices.Concat([]gqlgen.Plugin{p}, *plugins, []gqlgen.Plugin{postGenerator{p}})
	}
}

// An Option changes what Use adds.
type Option func(*injector) error

// Rename gives one of the fields login, logout, me and refresh another name. If limits refer to the
// field by name, as limits.Limits.RootFieldMax does, change the name there too.
func Rename(field, name string) Option {
	return func(p *injector) error {
		f, err := p.cloakql.field(field)
		if err == nil {
			f.Name, err = checkName(name)
		}
		return optionError("Rename", err)
	}
}

// RenameType gives one of CloakQL's types, such as User, another name. It is for applications whose
// schema already has a type with the original name.
func RenameType(typ, name string) Option {
	return func(p *injector) error {
		t, err := p.cloakql.typeNamed(typ)
		if err == nil {
			t.Name, err = checkName(name)
		}
		return optionError("RenameType", err)
	}
}

// Without omits some of the fields login, logout, me and refresh. The types of omitted fields stay
// in the schema, because the application's own fields may use them.
func Without(fields ...string) Option {
	return func(p *injector) error {
		for _, field := range fields {
			f, err := p.cloakql.field(field)
			if err != nil {
				return optionError("Without", err)
			}
			f.omitted = true
		}
		return nil
	}
}

// KeepAnswers makes the field me carry @fromToken. The server then caches the responses to me, and
// sends them again while the caller's token is valid. The application must not add fields with
// resolvers to User or the types below it; otherwise its server doesn't start
// (authz.AuditFromToken).
func KeepAnswers() Option {
	return func(p *injector) error {
		p.keepFromToken = true
		return nil
	}
}

// SchemaFile sets the name of the file for the whole schema, which is the application's and
// CloakQL's together. The name is relative to the directory in which gqlgen runs. The default is
// schema.generated.graphql next to gqlgen's generated code. gqlgen doesn't read the file as a part
// of the application's schema, even if it matches the schema patterns in gqlgen.yml.
func SchemaFile(filename string) Option {
	return func(p *injector) error {
		p.schemaFile = filename
		return nil
	}
}

var namePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// checkName returns name, or an error if it isn't a valid GraphQL name for a type or a field.
func checkName(name string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("%q isn't a name: expected a letter, then letters, digits and _",
			name)
	}
	return name, nil
}

// optionError adds the option's name to err. It returns nil if err is nil.
func optionError(option string, err error) error {
	if err != nil {
		return fmt.Errorf("plugin.%s: %w", option, err)
	}
	return nil
}

// An injector is the part of the plugin that runs before gqlgen's own plugins. gqlgen calls its
// hooks in the order of the methods below. The last hook, GenerateCode, is in generate.go.
type injector struct {
	cloakql       *document // CloakQL's schema
	bindings      []binding
	keepFromToken bool   // me carries @fromToken
	schemaFile    string // empty for the default
	err           error  // from configure, because an api.Option can't return an error

	hiddenFields []*codegen.Field // CloakQL's root fields, hidden from gqlgen's resolver generator
}

// Name returns the prefix of the plugin's errors.
func (*injector) Name() string { return "cloakql" }

// InjectSourcesEarly returns CloakQL's types and directives. gqlgen adds them before it loads the
// application's schema, which may use them.
func (p *injector) InjectSourcesEarly() ([]*ast.Source, error) {
	if p.err != nil {
		return nil, p.err
	}
	return []*ast.Source{p.cloakql.typesSource()}, nil
}

// InjectSourcesLate returns CloakQL's root fields. gqlgen adds them after it has loaded the
// application's schema, which names the root types.
func (p *injector) InjectSourcesLate(schema *ast.Schema) ([]*ast.Source, error) {
	source, err := p.cloakql.rootFieldsSource(schema)
	if source == nil {
		return nil, err
	}
	return []*ast.Source{source}, nil
}

// MutateSchema returns an error if one of CloakQL's root fields is missing in the schema. It
// doesn't change the schema.
func (p *injector) MutateSchema(schema *ast.Schema) error {
	for _, field := range p.cloakql.includedFields() {
		if rootType(schema, field.operation).Fields.ForName(field.Name) == nil {
			return fmt.Errorf(
				"the schema has no %s field %s: expected a schema definition with a query type, "+
					"or no schema definition",
				field.operation, field.Name)
		}
	}
	return nil
}
