package plugin

import (
	"errors"
	"fmt"
	"slices"

	"github.com/99designs/gqlgen/codegen/config"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/cloakql/cloakql/authz"
)

// guardFunction is the name of the function in directives.gotpl for the guards of package authz.
const guardFunction = "cloakqlGuard"

// loadGuards returns the definitions of the guards in package authz, such as @hasRole, and of
// @roles, @scopes and @groups. @public, @auth and @fromToken are in CloakQL's schema.
func (d *document) loadGuards() ast.DirectiveDefinitionList {
	parsed, err := parser.ParseSchema(&ast.Source{Input: authz.Schema()})
	if err != nil {
		panic(err) // impossible: authz parses the same text
	}
	return slices.DeleteFunc(parsed.Directives, func(directive *ast.DirectiveDefinition) bool {
		return d.directives.ForName(directive.Name) != nil
	})
}

// addGuards adds the definitions of the guards that the application's schema uses and doesn't
// define, and binds them. It also binds a guard that the application defines with the same
// arguments. A directive of the same name with other arguments is the application's own.
func (p *injector) addGuards(cfg *config.Config) error {
	appSchema, err := parser.ParseSchemas(cfg.Sources...)
	if err != nil {
		return nil // gqlgen reports it
	}
	used := usedDirectives(appSchema)
	var errs []error
	for _, guard := range p.cloakql.loadGuards() {
		appDef := appSchema.Directives.ForName(guard.Name)
		switch {
		case appDef == nil && !used[guard.Name],
			appDef != nil && !sameArguments(appDef, guard):
			continue
		case appDef == nil:
			p.cloakql.guards = append(p.cloakql.guards, guard)
		}
		if slices.Contains(guard.Locations, ast.LocationSchema) {
			errs = append(errs, skipDirective(cfg, guard.Name))
			continue
		}
		p.bindings = append(p.bindings, binding{guard.Name, guardFunction})
	}
	return errors.Join(errs...)
}

// skipDirective configures a directive that needs no function.
func skipDirective(cfg *config.Config, name string) error {
	_, ok := cfg.Directives[name]
	cfg.Directives[name] = config.DirectiveConfig{SkipRuntime: true}
	if ok {
		return fmt.Errorf("gqlgen.yml configures the directive %s: remove its entry, since "+
			"CloakQL configures it", name)
	}
	return nil
}

// sameArguments reports whether two directives have the same arguments, in the same order. Package
// authz compares them in the same way.
func sameArguments(a, b *ast.DirectiveDefinition) bool {
	return slices.EqualFunc(a.Arguments, b.Arguments, func(a, b *ast.ArgumentDefinition) bool {
		return a.Name == b.Name && a.Type.String() == b.Type.String()
	})
}

// usedDirectives returns the names of the directives that a schema applies. It includes directives
// in places where they aren't allowed: gqlgen then has their definitions, and its error names the
// place.
func usedDirectives(doc *ast.SchemaDocument) map[string]bool {
	used := map[string]bool{}
	add := func(directives ast.DirectiveList) {
		for _, directive := range directives {
			used[directive.Name] = true
		}
	}
	for _, schema := range slices.Concat(doc.Schema, doc.SchemaExtension) {
		add(schema.Directives)
	}
	for _, def := range slices.Concat(doc.Definitions, doc.Extensions) {
		add(def.Directives)
		for _, field := range def.Fields {
			add(field.Directives)
			for _, arg := range field.Arguments {
				add(arg.Directives)
			}
		}
		for _, value := range def.EnumValues {
			add(value.Directives)
		}
	}
	return used
}
