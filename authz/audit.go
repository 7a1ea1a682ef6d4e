package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Audit checks that every field of Query, Mutation and Subscription carries only @public, or one
// or more guards, and fails naming each field that doesn't: a field without a guard is a
// mistake, not a public field. Fields whose names begin with __ belong to GraphQL itself and are
// excepted.
//
// So are _entities and _service of the query type where gqlgen's federation plugin added them:
// those can't carry a directive. A field of the same name in the schema's own files needs a
// rule. Through _entities, anyone reaches the fields of every type with @key, whatever guards the
// root fields that return it: guard the fields of these types themselves, since Audit doesn't look
// at them.
//
// The guards are @auth and the directives whose names, without the @, are given: those of the
// caller's own schema that refuse unknown callers.
//
//	authz.Audit(schema, "hasRealmRole")
//
// Naming a guard is a promise: Audit can't see what a directive does. It refuses names that the
// schema has no directive of, that directive can't be on fields, and those that are no guards, such
// as deprecated.
func Audit(schema *ast.Schema, guards ...string) error {
	if schema == nil {
		return errors.New("authz: there is no schema to audit")
	}
	var faults []error
	for _, guard := range guards {
		if fault := auditGuard(schema, guard); fault != "" {
			faults = append(faults, fmt.Errorf("authz: the guard %q %s", guard, fault))
		}
	}
	guards = append([]string{"auth"}, guards...)
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") || root == schema.Query && isFederations(field) {
				continue
			}
			if fault := auditField(field, guards); fault != "" {
				faults = append(faults, fmt.Errorf("authz: %s.%s %s", root.Name, field.Name, fault))
			}
		}
	}
	return errors.Join(faults...)
}

// isFederations reports whether gqlgen's federation plugin added a field. What the plugin adds is
// marked as built in; the schema's own files never are.
func isFederations(field *ast.FieldDefinition) bool {
	return (field.Name == "_entities" || field.Name == "_service") &&
		field.Position != nil && field.Position.Src != nil && field.Position.Src.BuiltIn
}

// auditGuard says why a name can't be that of a guard, or "".
func auditGuard(schema *ast.Schema, name string) string {
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

func auditField(field *ast.FieldDefinition, guards []string) string {
	guarded := 0
	for _, guard := range guards {
		guarded += len(field.Directives.ForNames(guard))
	}
	open := len(field.Directives.ForNames("public"))
	var others []string
	for _, directive := range field.Directives {
		if directive.Name != "deprecated" {
			others = append(others, directive.Name)
		}
	}
	switch {
	case open > 0 && guarded > 0:
		return "is @public and guarded at once: keep one of the two"
	case open > 0 || guarded > 0:
		return ""
	case len(others) == 0:
		return "has no access rule: give it @public, or a guard such as @auth"
	}
	return fmt.Sprintf("has no access rule: it carries @%s, and the registered guards are @%s; "+
		"register a directive that guards by its name, "+
		"as in authz.Audit(schema, %q) or cloakql.Config.Guards, or give the field @public, or a "+
		"guard such as @auth",
		strings.Join(others, " and @"), strings.Join(guards, ", @"), others[0])
}
