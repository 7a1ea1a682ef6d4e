// Package plugin adds CloakQL's API to somebody else's gqlgen schema: me, login, refresh and
// logout, their types, and the directives @public and @auth, all with their resolvers. Nothing is
// copied into the product's repository by hand, and the product's gqlgen.yml stays as it is.
//
//	cfg, err := config.LoadConfigFromDefaultLocations()
//	...
//	err = api.Generate(cfg, plugin.Use(plugin.Rename("me", "viewer")))
//
// Products that use no other plugin need no such program: cmd/cloakql-gqlgen is one. docs/plugin.md
// shows the whole way.
//
// The product writes one field of its resolver type:
//
//	type Resolver struct {
//		SignIn *signin.Service
//	}
//
// The plugin writes three files: cloakql_directives.generated.go beside gqlgen's generated code,
// which binds @public and @auth, so that they can't be forgotten; cloakql_resolvers.generated.go
// beside the product's resolvers; and the whole schema in one file, for editors and client
// generators (see SchemaFile). It also writes a file for the type Resolver where there is none. It
// overwrites no file that it or gqlgen didn't write.
//
// Generation fails when gqlgen.yml would change what the plugin adds, such as skip_runtime for
// @auth or another Go type for User, when a field would be left without its Go field or its guard,
// and when gqlgen would lose or replace the resolvers.
//
// To read the source, start with Use, then configure.go (before gqlgen reads anything), sources.go
// (what is added to the schema) and generate.go. The package relies on parts of gqlgen that are
// experimental; the tests generate whole products.
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

// Use returns the option that adds CloakQL's API to what api.Generate generates. It works beside
// other plugins; give it once. api.Generate fails when one of the options doesn't fit.
func Use(options ...Option) api.Option {
	return func(cfg *config.Config, plugins *[]gqlgen.Plugin) {
		p := &injector{own: load()}
		p.err = p.configure(cfg, options)
		// gqlgen's own resolver generator is in the middle.
		*plugins = slices.Concat([]gqlgen.Plugin{p}, *plugins, []gqlgen.Plugin{finisher{p}})
	}
}

// An Option changes what Use adds.
type Option func(*injector) error

// Rename gives one of the fields login, logout, me and refresh another name. Limits that know the
// field by its name must be told, such as limits.Limits.RootFieldMax.
func Rename(field, name string) Option {
	return func(p *injector) error {
		f, err := p.own.field(field)
		if err == nil {
			f.Name, err = checked(name)
		}
		return wrap("Rename", err)
	}
}

// RenameType gives one of CloakQL's types, such as User, another name: for schemas that have a type
// of that name.
func RenameType(typ, name string) Option {
	return func(p *injector) error {
		t, err := p.own.typeNamed(typ)
		if err == nil {
			t.Name, err = checked(name)
		}
		return wrap("RenameType", err)
	}
}

// Without leaves out some of the fields login, logout, me and refresh. The types stay: the
// product's own fields may use them.
func Without(fields ...string) Option {
	return func(p *injector) error {
		for _, field := range fields {
			f, err := p.own.field(field)
			if err != nil {
				return wrap("Without", err)
			}
			f.omitted = true
		}
		return nil
	}
}

// SchemaFile names the file that gets the whole schema, the product's and CloakQL's together,
// relative to the directory in which gqlgen runs. Without this option it is
// schema.generated.graphql beside gqlgen's generated code. The plugin keeps gqlgen from reading it
// back, even where it matches the schema patterns of gqlgen.yml.
func SchemaFile(filename string) Option {
	return func(p *injector) error {
		p.schemaFile = filename
		return nil
	}
}

var nameRE = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

func checked(name string) (string, error) {
	if !nameRE.MatchString(name) {
		return "", fmt.Errorf("%q is no name: expected a letter, then letters, digits and _", name)
	}
	return name, nil
}

func wrap(option string, err error) error {
	if err != nil {
		return fmt.Errorf("plugin.%s: %w", option, err)
	}
	return nil
}

// An injector is the part of the plugin that runs before gqlgen's own plugins. Its hooks follow in
// the order in which gqlgen calls them; the last, GenerateCode, is in generate.go.
type injector struct {
	own        *document
	schemaFile string
	err        error // of configure, since an api.Option can't fail

	hidden []*codegen.Field // root fields that gqlgen's resolver generator must not see
}

// Name returns the prefix of the plugin's errors.
func (*injector) Name() string { return "cloakql" }

// InjectSourcesEarly adds types and directives: the product's own schema may use them.
func (p *injector) InjectSourcesEarly() ([]*ast.Source, error) {
	if p.err != nil {
		return nil, p.err
	}
	return []*ast.Source{p.own.types()}, nil
}

// InjectSourcesLate adds the root fields: by now the names of the root types are known.
func (p *injector) InjectSourcesLate(schema *ast.Schema) ([]*ast.Source, error) {
	source, err := p.own.rootFields(schema)
	if source == nil {
		return nil, err
	}
	return []*ast.Source{source}, nil
}

// MutateSchema changes nothing. It fails when a root field got lost.
func (p *injector) MutateSchema(schema *ast.Schema) error {
	for _, field := range p.own.kept() {
		if rootOf(schema, field.operation).Fields.ForName(field.Name) == nil {
			return fmt.Errorf(
				"the schema has no %s field %s: expected a schema definition with a query type, "+
					"or none",
				field.operation, field.Name)
		}
	}
	return nil
}
