package authz

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/schema"
)

// Schema returns the definitions of @public and @auth in GraphQL's schema language, for servers
// with a schema of their own. Write them to one of gqlgen's schema files, or add them in the
// program that generates; gqlgen embeds no file whose name begins with "../":
//
//	cfg.Sources = append(cfg.Sources, &ast.Source{Name: "../authz.graphqls", Input: authz.Schema()})
//
// Package plugin does this, and binds both directives, by itself.
func Schema() string { return schema.Directives() }

// Bind returns root, which is gqlgen's generated DirectiveRoot, with Public and Auth set where they
// are nil. It fails, naming every such directive, when another one is nil: gqlgen notices that only
// when somebody asks for a field that carries it. It fails as well when root has no field Public or
// Auth: the schema doesn't define the directive, or skip_runtime in gqlgen.yml keeps gqlgen from
// calling it, so that the fields that carry it have no guard.
//
//	directives, err := authz.Bind(generated.DirectiveRoot{HasTenant: hasTenant})
func Bind[D any](root D) (D, error) {
	var none D
	value := reflect.ValueOf(&root).Elem()
	if value.Kind() != reflect.Struct {
		return none, fmt.Errorf("authz: Bind takes gqlgen's generated DirectiveRoot, not %T", root)
	}
	type rule = func(ctx context.Context, obj any, next graphql.Resolver) (any, error)
	var errs []error
	for _, own := range []struct {
		name string
		rule rule
	}{{"Public", Public}, {"Auth", Auth}} {
		field := value.FieldByName(own.name)
		switch {
		case !field.IsValid():
			errs = append(errs,
				fmt.Errorf("authz: %T has no field %s: expected a schema with the directives "+
					"of authz.Schema, and no skip_runtime for them in gqlgen.yml", root, own.name))
		case field.Type() != reflect.TypeFor[rule]():
			errs = append(errs,
				fmt.Errorf("authz: the schema's directive %s isn't that of authz.Schema: "+
					"bound functions have the type %v", own.name, field.Type()))
		case field.IsNil():
			field.Set(reflect.ValueOf(rule(own.rule)))
		}
	}
	for directive, bound := range value.Fields() {
		if bound.Kind() == reflect.Func && bound.IsNil() && directive.Name != "Public" &&
			directive.Name != "Auth" {
			errs = append(errs,
				fmt.Errorf("authz: directive %s is bound to no function", directive.Name))
		}
	}
	if len(errs) > 0 {
		return none, errors.Join(errs...)
	}
	return root, nil
}
