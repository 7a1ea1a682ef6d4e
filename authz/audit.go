package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// Audit checks the access rules of a schema. Every field of Query, Mutation and Subscription needs
// either @public or a rule: a guard on the field, on the same field of an interface, or on the type
// that has the field or that the field returns. Audit returns an error that names each field with
// neither, because a missing rule is probably a mistake. The error also names each rule that is
// wrong: a rule that asks for nothing, that no token can satisfy, or that names a role, scope or
// group that the schema doesn't declare. Fields whose names begin with __ belong to GraphQL itself
// and are exempt.
//
// The query type's fields _entities and _service are exempt too if gqlgen's federation plugin added
// them, because they can't carry a directive. A field of the same name in the schema's own files
// needs a rule. Through _entities, a caller can read every entity, a type with @key, even if all
// root fields that return the type are guarded. So the type needs a guard, or each of its fields
// needs @public or a guard.
//
// The guards are those of Schema, such as @auth and @hasRole, and the directives of the application
// that the argument guards lists, without the @. The application's guards must reject
// unauthenticated callers.
//
//	authz.Audit(schema, "hasTenant")
//
// Audit can't see what a directive does, so it trusts guards. But it returns an error if a name
// isn't a directive of the schema, if the directive can't be on fields, or if it lets every caller
// pass, such as public or deprecated. Install runs the same audit.
func Audit(schema *ast.Schema, guards ...string) error {
	_, err := compile(schema, Config{Guards: guards})
	return err
}

// checkGuards checks Config.Guards and Config.Default.
func (c *compiler) checkGuards() {
	for _, guard := range c.config.Guards {
		if problem := c.guardProblem(guard); problem != "" {
			c.failf("the guard %q %s", guard, problem)
		}
	}
	if c.config.Default != "" && c.config.Default != DefaultAuth {
		c.failf("Config.Default is %q: expected %q or nothing", c.config.Default, DefaultAuth)
	}
}

// audit checks that each root field has @public or a rule.
func (c *compiler) audit() {
	for _, root := range []*ast.Definition{c.schema.Query, c.schema.Mutation,
		c.schema.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") ||
				root == c.schema.Query && isFederationField(field) {
				continue
			}
			rules := c.result.objectFields[root.Name][field.Name]
			if problem := c.fieldProblem(field, rules); problem != "" {
				c.failf("%s.%s %s", root.Name, field.Name, problem)
			}
		}
	}
	if c.config.Default == "" {
		for _, name := range c.unguardedEntityFields() {
			c.failf("%s has no access rule, and its type has @key, so that everyone can read it "+
				"through _entities: put @public or a guard on the field, or a guard such as "+
				"@auth on the type", name)
		}
	}
}

// guardProblem returns why the directive name can't be a guard, or "" if it can.
func (c *compiler) guardProblem(name string) string {
	definition := c.schema.Directives[name]
	switch {
	case strings.HasPrefix(name, "@"):
		return "must be listed without the @"
	case name == "public" || c.names[name] == "public" || c.names[name] == fromTokenName:
		return "lets everyone pass"
	case definition == nil:
		return "is no directive of the schema"
	case isBuiltIn(definition.Position):
		return "is GraphQL's own, and guards nothing"
	case !slices.Contains(definition.Locations, ast.LocationFieldDefinition):
		return "can't be on a field: its definition lacks FIELD_DEFINITION"
	}
	return ""
}

// hasNoRule reports whether a root field has neither @public nor a guard.
func (c *compiler) hasNoRule(field *ast.FieldDefinition, rules []*rule) bool {
	return strings.HasPrefix(c.fieldProblem(field, rules), noRule)
}

const noRule = "has no access rule"

// fieldProblem returns what is wrong with the access rules of a root field, or "" if they are fine.
// rules are the rules of Schema's guards that guard the field.
func (c *compiler) fieldProblem(field *ast.FieldDefinition, rules []*rule) string {
	public, guarded := false, false
	rules = slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return r.isInputRule })
	var unlisted []string
	for _, directive := range field.Directives {
		name := c.names[directive.Name]
		public = public || name == "public"
		guarded = guarded || builders[name] != nil ||
			slices.Contains(c.config.Guards, directive.Name)
		if directive.Name != "deprecated" && name == "" {
			unlisted = append(unlisted, directive.Name)
		}
	}
	switch {
	case public && guarded:
		return "is @public and guarded at once: keep one of the two"
	case public && len(rules) > 0:
		return fmt.Sprintf("is @public, but %s of %s guards it: keep one of the two", rules[0].text,
			rules[0].from)
	case public || guarded || len(rules) > 0:
		return ""
	case len(unlisted) == 0:
		return noRule + ": give it @public, or a guard such as @auth or @hasRole"
	}
	guards := append([]string{"auth"}, c.config.Guards...)
	return fmt.Sprintf(noRule+": it carries @%s, and the registered guards are @%s; "+
		"if @%s is a guard, register its name, as in authz.Audit(schema, %[3]q) or "+
		"cloakql.Config.Authz.Guards; otherwise, give the field @public, or a guard such as @auth",
		strings.Join(unlisted, " and @"), strings.Join(guards, ", @"), unlisted[0])
}
