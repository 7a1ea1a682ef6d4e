package authz

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
)

// Bind takes gqlgen's generated DirectiveRoot. It sets the fields for the directives of Schema if
// they are nil, and returns the result. If another field is nil, Bind returns an error that names
// it, because gqlgen itself reports a nil directive only when a client requests a field that
// carries it.
//
// Bind also returns an error if root has no field Public or Auth. In this case, either the schema
// doesn't define the directive, or skip_runtime in gqlgen.yml keeps gqlgen from calling it. The
// functions of the other directives may be missing, because Install doesn't need them.
//
//	directives, err := authz.Bind(generated.DirectiveRoot{HasTenant: hasTenant})
func Bind[D any](root D) (D, error) { return BindNames(root, nil) }

// BindNames is like Bind, for a schema that gives directives other names. names is Config.Names.
func BindNames[D any](root D, names map[string]string) (D, error) {
	var zero D
	rootValue := reflect.ValueOf(&root).Elem()
	if rootValue.Kind() != reflect.Struct {
		return zero, fmt.Errorf("authz: Bind takes gqlgen's generated DirectiveRoot, not %T", root)
	}
	var errs []error
	bound := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		fieldName := name
		if renamed, ok := names[name]; ok {
			fieldName = renamed
		}
		fieldName = upperFirst(fieldName)
		bound[fieldName] = true
		field := rootValue.FieldByName(fieldName)
		switch {
		case !field.IsValid() && (name == "public" || name == "auth"):
			errs = append(errs,
				fmt.Errorf("authz: %T has no field %s: expected a schema with the directives "+
					"of authz.Schema, and no skip_runtime for them in gqlgen.yml", root, fieldName))
		case !field.IsValid():
		default:
			if err := bindField(field, name, fieldName); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for field, fieldValue := range rootValue.Fields() {
		if fieldValue.Kind() == reflect.Func && fieldValue.IsNil() && !bound[field.Name] {
			errs = append(errs,
				fmt.Errorf("authz: directive %s is bound to no function", field.Name))
		}
	}
	if len(errs) > 0 {
		return zero, errors.Join(errs...)
	}
	return root, nil
}

// upperFirst returns name with a capital first letter: the name of a directive's field in
// DirectiveRoot.
func upperFirst(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// bindField sets a field of DirectiveRoot, if it is nil, to the function of a directive.
func bindField(field reflect.Value, name, fieldName string) error {
	type withoutArguments = func(ctx context.Context, obj any, next graphql.Resolver) (any, error)
	count := len(definitions[name].Arguments)
	if count == 0 && field.Type() != reflect.TypeFor[withoutArguments]() ||
		!isDirectiveFunc(field.Type(), count) {
		return fmt.Errorf("authz: the schema's directive %s isn't that of authz.Schema: "+
			"its function has the type %v", fieldName, field.Type())
	}
	if !field.IsNil() {
		return nil
	}
	switch {
	case name == "public" || name == "fromToken":
		field.Set(reflect.ValueOf(Public))
	case name == "auth":
		field.Set(reflect.ValueOf(Auth))
	case count == 0:
		field.Set(reflect.ValueOf(guardWithoutArguments))
	default:
		field.Set(guardOfType(field.Type()))
	}
	return nil
}

// guardOfType returns a function that does what Guard does. typ is the type of a directive's
// function.
func guardOfType(typ reflect.Type) reflect.Value {
	return reflect.MakeFunc(typ, func(in []reflect.Value) []reflect.Value {
		ctx, next := in[0].Interface().(context.Context), in[2].Interface().(graphql.Resolver)
		value, err := Guard(ctx, nil, next)
		return []reflect.Value{valueOf(&value), valueOf(&err)}
	})
}

// isBoundGuard reports whether a field of DirectiveRoot has a function that Bind sets for guards
// other than @auth. All functions that reflect.MakeFunc returns have the same pointer.
func isBoundGuard(field reflect.Value) bool {
	return field.Pointer() == reflect.ValueOf(guardWithoutArguments).Pointer() ||
		field.Pointer() == guardOfType(field.Type()).Pointer()
}

// valueOf returns the variable that pointer points to. Unlike the result of reflect.ValueOf, it is
// valid even if the variable is a nil interface.
func valueOf(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }

func guardWithoutArguments(ctx context.Context, obj any, next graphql.Resolver) (any, error) {
	return Guard(ctx, obj, next)
}

// isDirectiveFunc reports whether typ is the type of the function of a directive with n arguments.
func isDirectiveFunc(typ reflect.Type, n int) bool {
	return typ.Kind() == reflect.Func && typ.NumIn() == 3+n && !typ.IsVariadic() &&
		typ.In(0) == reflect.TypeFor[context.Context]() &&
		typ.In(2) == reflect.TypeFor[graphql.Resolver]() && typ.NumOut() == 2 &&
		typ.Out(0) == reflect.TypeFor[any]() && typ.Out(1) == reflect.TypeFor[error]()
}
