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

// goTypes maps each of CloakQL's object types to its Go type.
var goTypes = map[string]string{
	"User":         identityPackage + ".User",
	"ClientRoles":  identityPackage + ".ClientRoles",
	"Organization": identityPackage + ".Organization",
	"TokenInfo":    identityPackage + ".TokenInfo",
	"Session":      identityPackage + ".Session",
	"OpenIdToken":  identityPackage + ".OpenIDToken",
}

// scalars lists, for each scalar, the Go types that CloakQL's types and arguments use.
var scalars = []struct {
	name   string
	models []string
	// addIfMissing is set if gqlgen's default models of the scalar lack one of models. Then
	// bindScalars adds an entry even if gqlgen.yml has none.
	addIfMissing bool
}{
	{"Boolean", []string{graphqlPackage + ".Boolean"}, false},
	{"Claims", []string{identityPackage + ".Claims"}, true},
	{"ID", []string{graphqlPackage + ".ID"}, false},
	{"Int", []string{graphqlPackage + ".Int"}, false},
	{"String", []string{graphqlPackage + ".String", identityPackage + ".Secret"}, true},
	{"Time", []string{graphqlPackage + ".Time"}, true},
}

// configure applies the options to p and adds CloakQL's bindings to gqlgen's configuration. It runs
// before gqlgen loads Go packages or the schema.
func (p *injector) configure(cfg *config.Config, options []Option) error {
	var errs []error
	for _, option := range options {
		errs = append(errs, option(p))
	}
	if !p.keepFromToken {
		p.cloakql.removeDirective("fromToken")
	}
	p.cloakql.renameReferences()
	dropSchemaFile(cfg)
	errs = append(errs, p.checkConflicts(cfg), p.addGuards(cfg), p.bindDirectives(cfg),
		p.bindTypes(cfg), checkResolvers(cfg))
	p.bindScalars(cfg)
	return errors.Join(errs...)
}

// dropSchemaFile removes from the sources the file that writeSchema wrote in an earlier run.
// Otherwise, gqlgen would read the file as a part of the application's schema.
func dropSchemaFile(cfg *config.Config) {
	cfg.Sources = slices.DeleteFunc(cfg.Sources, func(source *ast.Source) bool {
		return strings.HasPrefix(source.Input, schemaHeader)
	})
}

// checkConflicts returns an error if the application's schema has a type or a directive with the
// same name as a type or directive of CloakQL. Scalars, such as Time, are an exception: if both
// declare a scalar of the same name, checkConflicts omits CloakQL's declaration.
func (p *injector) checkConflicts(cfg *config.Config) error {
	appSchema, err := parser.ParseSchemas(cfg.Sources...)
	if err != nil {
		return nil // gqlgen reports it
	}
	var errs []error
	for _, def := range p.cloakql.definitions {
		switch appDef := appSchema.Definitions.ForName(def.Name); {
		case appDef == nil:
		case appDef.Kind == ast.Scalar && def.Kind == ast.Scalar:
			def.omitted = true
		default:
			errs = append(errs,
				fmt.Errorf("the application's schema has a type %s: give CloakQL's type another "+
					"name (RenameType, -rename-type)", def.Name))
		}
	}
	for _, directive := range p.cloakql.directives {
		if appSchema.Directives.ForName(directive.Name) != nil {
			errs = append(errs,
				fmt.Errorf(
					"the application's schema has a directive %s: remove it, or give it another "+
						"name",
					directive.Name))
		}
	}
	return errors.Join(errs...)
}

// bindDirectives binds @public, @auth and the guards to the functions that GenerateCode writes.
// gqlgen then can't skip the directives, and the application doesn't have to bind them. @fromToken
// needs no function.
func (p *injector) bindDirectives(cfg *config.Config) error {
	var errs []error
	for _, directive := range p.bindings {
		if _, ok := cfg.Directives[directive.name]; ok {
			errs = append(errs, fmt.Errorf("gqlgen.yml configures the directive %s: "+
				"remove its entry, since CloakQL binds it", directive.name))
		}
		cfg.Directives[directive.name] = config.DirectiveConfig{Implementation: &directive.function}
	}
	errs = append(errs, skipDirective(cfg, "fromToken"))
	return errors.Join(errs...)
}

// bindTypes binds CloakQL's object types to their Go types. Without an entry in Models, gqlgen's
// autobind would bind User to a Go type User in one of the application's packages.
func (p *injector) bindTypes(cfg *config.Config) error {
	var errs []error
	for _, def := range p.cloakql.definitions {
		if def.Kind != ast.Object {
			continue
		}
		entry := cfg.Models[def.Name]
		conflict := len(entry.Model) > 0 || entry.ForceGenerate
		for field := range entry.Fields { // the application may configure fields that it adds
			conflict = conflict || def.Fields.ForName(field) != nil
		}
		if conflict {
			errs = append(errs,
				fmt.Errorf("gqlgen.yml configures the type %s (models: %[1]s): remove its entry, "+
					"or give CloakQL's type another name (RenameType, -rename-type)", def.Name))
		}
		entry.Model = config.StringList{goTypes[def.originalName]}
		cfg.Models[def.Name] = entry
	}
	return errors.Join(errs...)
}

// bindScalars appends the Go types that CloakQL needs for each scalar to the scalar's models.
// gqlgen uses the first model for the application's own fields, so their Go types don't change.
func (p *injector) bindScalars(cfg *config.Config) {
	for _, scalar := range scalars {
		name := scalar.name
		if def, err := p.cloakql.typeNamed(name); err == nil {
			name = def.Name
		}
		entry, ok := cfg.Models[name]
		if !ok && !scalar.addIfMissing {
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

// checkResolvers returns an error if gqlgen isn't configured to write resolvers, or if it would
// overwrite the type Resolver and its field SignIn.
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
			"gqlgen.yml sets resolver.layout to single-file, so gqlgen would overwrite the type " +
				"Resolver: use follow-schema, or set preserve_resolver to true with an existing " +
				"file")
	}
	return nil
}
