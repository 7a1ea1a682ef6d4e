package authz

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Audit checks that every field of Query, Mutation and Subscription carries @public alone, or one or
// more guards, and fails naming each field that doesn't: a field that nobody guarded is a mistake, not
// a public field. The guards are @auth and the directives, without the @, that the caller names: those of
// its own schema. Fields whose names begin with __ belong to GraphQL itself and are excepted.
func Audit(schema *ast.Schema, guards ...string) error {
	guards = append([]string{"auth"}, guards...)
	var faults []error
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			if fault := auditField(field, guards); fault != "" {
				faults = append(faults, fmt.Errorf("authz: %s.%s %s", root.Name, field.Name, fault))
			}
		}
	}
	return errors.Join(faults...)
}

func auditField(field *ast.FieldDefinition, guards []string) string {
	guarded := 0
	for _, guard := range guards {
		guarded += len(field.Directives.ForNames(guard))
	}
	open := len(field.Directives.ForNames("public"))
	switch {
	case open == 0 && guarded == 0:
		return "has no access rule: give it @public, or a guard such as @auth"
	case open > 0 && guarded > 0:
		return "is @public and guarded at once: keep one of the two"
	}
	return ""
}
