package plugin

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/codegen/config"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

const (
	identityPackage = "github.com/cloakql/cloakql/identity"
	graphqlPackage  = "github.com/99designs/gqlgen/graphql"
)

// goTypes are the Go types of CloakQL's object types.
var goTypes = map[string]string{
	"User":        identityPackage + ".User",
	"ClientRoles": identityPackage + ".ClientRoles",
	"TokenInfo":   identityPackage + ".TokenInfo",
	"Session":     identityPackage + ".Session",
	"OpenIdToken": identityPackage + ".OpenIDToken",
}

// scalars are the Go types that the fields of CloakQL's types need for each scalar. required means
// that gqlgen's defaults don't include them.
var scalars = []struct {
	name     string
	models   []string
	required bool
}{
	{"Boolean", []string{graphqlPackage + ".Boolean"}, false},
	{"Claims", []string{identityPackage + ".Claims"}, true},
	{"ID", []string{graphqlPackage + ".ID"}, false},
	{"Int", []string{graphqlPackage + ".Int"}, false},
	{"String", []string{graphqlPackage + ".String", identityPackage + ".Secret"}, true},
	{"Time", []string{graphqlPackage + ".Time"}, true},
}

// configure applies the options and completes gqlgen's configuration, before gqlgen loads Go
// packages or the schema.
func (p *injector) configure(cfg *config.Config, options []Option) error {
	var errs []error
	for _, option := range options {
		errs = append(errs, option(p))
	}
	p.own.renameReferences()
	dropSchemaFile(cfg)
	errs = append(errs, p.compare(cfg), bindDirectives(cfg), p.bindTypes(cfg), checkResolvers(cfg))
	p.bindScalars(cfg)
	return errors.Join(errs...)
}

// dropSchemaFile keeps gqlgen from reading back the file with the whole schema.
func dropSchemaFile(cfg *config.Config) {
	cfg.Sources = slices.DeleteFunc(cfg.Sources, func(source *ast.Source) bool {
		return strings.HasPrefix(source.Input, schemaHeader)
	})
}

// compare looks for CloakQL's names in the product's schema. It omits scalars that the product
// declares too, such as Time, and returns an error for other types and for directives.
func (p *injector) compare(cfg *config.Config) error {
	product, err := parser.ParseSchemas(cfg.Sources...)
	if err != nil {
		return nil // gqlgen reports it
	}
	var errs []error
	for _, def := range p.own.definitions {
		switch existing := product.Definitions.ForName(def.Name); {
		case existing == nil:
		case existing.Kind == ast.Scalar && def.Kind == ast.Scalar:
			def.omitted = true
		default:
			errs = append(errs,
				fmt.Errorf("the schema has a type %s of its own: give CloakQL's another name "+
					"(RenameType, -rename-type)", def.Name))
		}
	}
	for _, directive := range p.own.directives {
		if product.Directives.ForName(directive.Name) != nil {
			errs = append(errs,
				fmt.Errorf(
					"the schema has a directive %s of its own: remove it, or give it another name",
					directive.Name))
		}
	}
	return errors.Join(errs...)
}

// bindDirectives binds @public and @auth to functions that GenerateCode writes. So gqlgen can't
// skip them, and the product needn't bind them.
func bindDirectives(cfg *config.Config) error {
	var errs []error
	for _, directive := range directives {
		if _, set := cfg.Directives[directive.name]; set {
			errs = append(errs, fmt.Errorf("gqlgen.yml configures the directive %s: "+
				"remove its entry, since CloakQL binds it", directive.name))
		}
		cfg.Directives[directive.name] = config.DirectiveConfig{Implementation: &directive.function}
	}
	return errors.Join(errs...)
}

// bindTypes binds CloakQL's object types. gqlgen's autobind would prefer a type of the same name in
// one of the product's packages.
func (p *injector) bindTypes(cfg *config.Config) error {
	var errs []error
	for _, def := range p.own.definitions {
		if def.Kind != ast.Object {
			continue
		}
		entry := cfg.Models[def.Name]
		conflict := len(entry.Model) > 0 || entry.ForceGenerate
		for field := range entry.Fields { // fields that the product adds may have an entry
			conflict = conflict || def.Fields.ForName(field) != nil
		}
		if conflict {
			errs = append(errs,
				fmt.Errorf("gqlgen.yml configures the type %s (models: %[1]s): remove its entry, "+
					"or give CloakQL's type another name (RenameType, -rename-type)", def.Name))
		}
		entry.Model = config.StringList{goTypes[def.original]}
		cfg.Models[def.Name] = entry
	}
	return errors.Join(errs...)
}

// bindScalars adds the Go types that CloakQL's fields need to the scalars' models. Those of
// gqlgen.yml stay first, so nothing changes for the product's own fields.
func (p *injector) bindScalars(cfg *config.Config) {
	for _, scalar := range scalars {
		name := scalar.name
		if def, err := p.own.typeNamed(name); err == nil {
			name = def.Name
		}
		entry, set := cfg.Models[name]
		if !set && !scalar.required {
			continue
		}
		for _, model := range scalar.models {
			if !slices.Contains(entry.Model, model) {
				entry.Model = append(entry.Model, model)
			}
		}
		cfg.Models[name] = entry
	}
}

// checkResolvers rejects configurations with which gqlgen would replace the type Resolver and so
// lose its field SignIn.
func checkResolvers(cfg *config.Config) error {
	resolver := cfg.Resolver
	switch {
	case !resolver.IsDefined():
		return errors.New(
			"gqlgen.yml has no section resolver: expected one, for the file with CloakQL's " +
				"resolvers")
	case resolver.Layout == config.LayoutFollowSchema:
		return nil
	}
	if _, err := os.Stat(resolver.Filename); err != nil || !resolver.PreserveResolver {
		return errors.New(
			"gqlgen.yml has resolver: layout: single-file, with which gqlgen replaces the type " +
				"Resolver and its fields: expected follow-schema, or preserve_resolver: true for " +
				"a file that exists")
	}
	return nil
}
