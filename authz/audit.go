package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Audit checks that every field of Query, Mutation and Subscription carries either @public or at
// least one guard. It returns an error that names each field without a rule, because a field
// without a guard isn't public but a mistake. Fields whose names begin with __ belong to GraphQL
// itself and are exempt.
//
// The query type's fields _entities and _service are exempt too if gqlgen's federation plugin added
// them, because they can't carry a directive. A field of the same name in the schema's own files
// needs a rule. Through _entities, anyone can read the fields of every type with @key, even if all
// root fields that return the type are guarded. Audit doesn't check the fields of these types, so
// put guards on them yourself.
//
// The guards are @auth and the directives that the argument guards names, without the @. These
// directives must reject unauthenticated callers.
//
//	authz.Audit(schema, "hasRealmRole")
//
// Audit can't see what a directive does, so it trusts guards. But it returns an error if a name
// isn't a directive of the schema, if the directive can't be on fields, or if it lets every caller
// pass, such as public or deprecated.
func Audit(schema *ast.Schema, guards ...string) error {
	if schema == nil {
		return errors.New("authz: there is no schema to audit")
	}
	var errs []error
	for _, guard := range guards {
		if problem := guardProblem(schema, guard); problem != "" {
			errs = append(errs, fmt.Errorf("authz: the guard %q %s", guard, problem))
		}
	}
	guards = append([]string{"auth"}, guards...)
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") ||
				root == schema.Query && isFederationField(field) {
				continue
			}
			if problem := fieldProblem(field, guards); problem != "" {
				errs = append(errs, fmt.Errorf("authz: %s.%s %s", root.Name, field.Name, problem))
			}
		}
	}
	return errors.Join(errs...)
}

// isFederationField reports whether gqlgen's federation plugin added a field. The plugin's sources
// are marked as built in; the schema's own files never are.
func isFederationField(field *ast.FieldDefinition) bool {
	return (field.Name == "_entities" || field.Name == "_service") &&
		field.Position != nil && field.Position.Src != nil && field.Position.Src.BuiltIn
}

// guardProblem returns why the directive name can't be a guard, or "" if it can.
func guardProblem(schema *ast.Schema, name string) string {
	definition := schema.Directives[name]
	switch {
	case strings.HasPrefix(name, "@"):
		return "is named without the @"
	case name == "public":
		return "lets everyone pass"
	case definition == nil:
		return "is no directive of the schema"
	case definition.Position != nil && definition.Position.Src != nil &&
		definition.Position.Src.BuiltIn:
		return "is GraphQL's own, and guards nothing"
	case !slices.Contains(definition.Locations, ast.LocationFieldDefinition):
		return "can't be on a field: its definition lacks FIELD_DEFINITION"
	}
	return ""
}

// fieldProblem returns what is wrong with the access rules of a root field, or "" if they are fine.
func fieldProblem(field *ast.FieldDefinition, guards []string) string {
	guardCount := 0
	for _, guard := range guards {
		guardCount += len(field.Directives.ForNames(guard))
	}
	publicCount := len(field.Directives.ForNames("public"))
	var otherDirectives []string
	for _, directive := range field.Directives {
		if directive.Name != "deprecated" {
			otherDirectives = append(otherDirectives, directive.Name)
		}
	}
	switch {
	case publicCount > 0 && guardCount > 0:
		return "is @public and guarded at once: keep one of the two"
	case publicCount > 0 || guardCount > 0:
		return ""
	case len(otherDirectives) == 0:
		return "has no access rule: give it @public, or a guard such as @auth"
	}
	return fmt.Sprintf("has no access rule: it carries @%s, and the registered guards are @%s; "+
		"if @%s is a guard, register its name, as in authz.Audit(schema, %[3]q) or "+
		"cloakql.Config.Guards; otherwise, give the field @public, or a guard such as @auth",
		strings.Join(otherDirectives, " and @"), strings.Join(guards, ", @"), otherDirectives[0])
}
