package authz

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/schema"
)

// Schema returns the definitions of @public, @auth and @fromToken in GraphQL's schema language, for
// servers with their own schema. Write them to a schema file, or add them as a source in the
// program that runs gqlgen. The name of the source must begin with "../", so that gqlgen doesn't
// try to embed a file:
//
//	cfg.Sources = append(cfg.Sources, &ast.Source{Name: "../authz.graphqls", Input: authz.Schema()})
//
// Package plugin adds and binds the directives for you.
func Schema() string { return schema.Directives() }

// Bind takes gqlgen's generated DirectiveRoot. If its fields Public and Auth are nil, Bind sets
// them, and returns the result. It returns an error that names every other directive that is nil,
// because gqlgen itself reports a nil directive only when a client requests a field that carries
// it.
//
// If root has a field FromToken that is nil, Bind sets it to a function that lets every caller
// pass, because the directive only informs AuditFromToken and IsFromToken. The field is missing if
// gqlgen.yml sets skip_runtime for the directive, which saves the call.
//
// Bind also returns an error if root has no field Public or Auth. In this case, either the schema
// doesn't define the directive, or skip_runtime in gqlgen.yml keeps gqlgen from calling it.
//
//	directives, err := authz.Bind(generated.DirectiveRoot{HasTenant: hasTenant})
func Bind[D any](root D) (D, error) {
	var zero D
	rootValue := reflect.ValueOf(&root).Elem()
	if rootValue.Kind() != reflect.Struct {
		return zero, fmt.Errorf("authz: Bind takes gqlgen's generated DirectiveRoot, not %T", root)
	}
	type rule = func(ctx context.Context, obj any, next graphql.Resolver) (any, error)
	var errs []error
	for _, directive := range []struct {
		name string
		rule rule
	}{{"Public", Public}, {"Auth", Auth}, {"FromToken", Public}} {
		field := rootValue.FieldByName(directive.name)
		switch {
		case !field.IsValid() && directive.name == "FromToken":
		case !field.IsValid():
			errs = append(errs,
				fmt.Errorf("authz: %T has no field %s: expected a schema with the directives "+
					"of authz.Schema, and no skip_runtime for them in gqlgen.yml", root,
					directive.name))
		case field.Type() != reflect.TypeFor[rule]():
			errs = append(errs,
				fmt.Errorf("authz: the schema's directive %s isn't that of authz.Schema: "+
					"bound functions have the type %v", directive.name, field.Type()))
		case field.IsNil():
			field.Set(reflect.ValueOf(directive.rule))
		}
	}
	for field, fieldValue := range rootValue.Fields() {
		if fieldValue.Kind() == reflect.Func && fieldValue.IsNil() &&
			!slices.Contains([]string{"Public", "Auth", "FromToken"}, field.Name) {
			errs = append(errs,
				fmt.Errorf("authz: directive %s is bound to no function", field.Name))
		}
	}
	if len(errs) > 0 {
		return zero, errors.Join(errs...)
	}
	return root, nil
}
