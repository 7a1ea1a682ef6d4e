package authz

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

const fromTokenName = "fromToken"

// IsFromToken reports whether a field carries @fromToken. The response to a query of only such
// fields may be cached as long as the caller's access token is valid.
func IsFromToken(field *ast.FieldDefinition) bool {
	return field != nil && field.Directives.ForName(fromTokenName) != nil
}

// AuditFromToken checks that the values of fields with @fromToken depend on nothing but the access
// token and the arguments, as far as the schema and the generated code show it. The error names
// each field that may depend on more. AuditFromToken returns nil if no field carries the directive.
//
// Only a field of the query type may carry @fromToken. No type that can be reached through the
// field may have its own resolvers. The field, its arguments, and these types and their fields may
// carry only the directives of GraphQL and of Apollo Federation, and directives of Schema that are
// bound to the functions of this package. @stepUp may not have maxAge, because it depends on the
// time. AuditFromToken can't see what the resolver of the field does, or the methods of Go types
// that gqlgen binds to fields. They must depend on nothing but the access token and the arguments.
//
// AuditFromToken also returns an error if executable isn't the schema that gqlgen generated, but a
// value that wraps it.
func AuditFromToken(executable graphql.ExecutableSchema) error {
	if executable == nil || executable.Schema() == nil {
		return errors.New("authz: there is no schema to audit")
	}
	schema := executable.Schema()
	var errs []error
	var fields []*ast.FieldDefinition
	for _, name := range slices.Sorted(maps.Keys(schema.Types)) {
		for _, field := range schema.Types[name].Fields {
			switch {
			case !IsFromToken(field):
			case schema.Types[name] != schema.Query:
				errs = append(errs, fmt.Errorf("authz: %s.%s carries @fromToken: "+
					"only fields of the query type may", name, field.Name))
			default:
				fields = append(fields, field)
			}
		}
	}
	if len(fields) == 0 {
		return errors.Join(errs...)
	}
	withResolvers := typesWithResolvers(executable)
	if !withResolvers[normalizeName(schema.Query.Name)] {
		return errors.Join(append(errs, fmt.Errorf("authz: @fromToken can't be checked: %T isn't "+
			"a schema that gqlgen generated", executable))...)
	}
	for _, field := range fields {
		a := fromTokenAudit{schema: schema, withResolvers: withResolvers,
			visited:    map[string]bool{},
			directives: reflect.Indirect(reflect.ValueOf(executable)).FieldByName("Directives")}
		a.checkDirectives(schema.Query.Name, schema.Query.Directives) // they guard the field
		a.checkInherited(schema.Query)
		a.visitField(schema.Query.Name+"."+field.Name, field)
		for _, problem := range a.problems {
			errs = append(errs, fmt.Errorf("authz: %s.%s carries @fromToken, but %s",
				schema.Query.Name, field.Name, problem))
		}
	}
	return errors.Join(errs...)
}

// typesWithResolvers returns the types that have their own resolvers, by normalizeName of their
// names. gqlgen generates an interface with a method for each of these types.
// The result is empty if executable isn't a generated schema.
func typesWithResolvers(executable graphql.ExecutableSchema) map[string]bool {
	types := map[string]bool{}
	structType := reflect.TypeOf(executable)
	if structType.Kind() == reflect.Pointer {
		structType = structType.Elem()
	}
	if structType.Kind() != reflect.Struct {
		return types
	}
	field, ok := structType.FieldByName("Resolvers")
	// A longer index means that the field is promoted from an embedded schema, whose methods
	// executable may override.
	if ok && len(field.Index) == 1 && field.Type.Kind() == reflect.Interface {
		for method := range field.Type.Methods() {
			types[normalizeName(method.Name)] = true
		}
	}
	return types
}

// normalizeName returns the same text for the name of a GraphQL type and for the name of the Go
// method that gqlgen generates for the type.
func normalizeName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}

// A fromTokenAudit collects the problems of a field with @fromToken.
type fromTokenAudit struct {
	schema        *ast.Schema
	withResolvers map[string]bool // from typesWithResolvers
	directives    reflect.Value   // gqlgen's DirectiveRoot, or the zero Value
	visited       map[string]bool // by the type's name
	problems      []string
}

// visitField visits a field, its arguments, and the types of both. name is the name of the field in
// error messages, such as Query.me.
func (a *fromTokenAudit) visitField(name string, field *ast.FieldDefinition) {
	a.checkDirectives(name, field.Directives)
	for _, argument := range field.Arguments {
		a.checkDirectives(name+"("+argument.Name+":)", argument.Directives)
		a.visitType(argument.Type.Name())
	}
	a.visitType(field.Type.Name())
}

// visitType visits a type, and every type that can be reached through it.
func (a *fromTokenAudit) visitType(name string) {
	definition := a.schema.Types[name]
	if definition == nil || a.visited[name] {
		return
	}
	a.visited[name] = true
	if a.withResolvers[normalizeName(name)] {
		a.problems = append(a.problems, fmt.Sprintf("the type %s has resolvers of its own", name))
	}
	a.checkDirectives(name, definition.Directives) // they guard the type's fields
	a.checkInherited(definition)
	for _, field := range definition.Fields {
		a.visitField(name+"."+field.Name, field)
	}
	for _, possible := range a.schema.PossibleTypes[name] { // of an interface or a union
		a.visitType(possible.Name)
	}
}

// checkInherited reports the rules that a type gets from its interfaces if they depend on the time.
// It needn't check other directives of interfaces, because gqlgen doesn't call their functions for
// the fields of the type.
func (a *fromTokenAudit) checkInherited(definition *ast.Definition) {
	for _, name := range definition.Interfaces {
		super := a.schema.Types[name]
		if super == nil {
			continue
		}
		a.checkTime(name, super.Directives)
		for _, field := range super.Fields {
			a.checkTime(name+"."+field.Name, field.Directives)
		}
	}
}

// checkTime reports each @stepUp with maxAge among directives, because its result depends on the
// time. The directive may have another name.
func (a *fromTokenAudit) checkTime(name string, directives ast.DirectiveList) {
	for _, directive := range directives {
		found := a.schema.Directives[directive.Name]
		if found != nil && signature(found) == signature(definitions["stepUp"]) &&
			directive.Arguments.ForName("maxAge") != nil {
			a.problems = append(a.problems, fmt.Sprintf("%s carries @%s, which depends on the time",
				name, directive.Name))
		}
	}
}

// checkDirectives checks the directives of a field, an argument or a type.
func (a *fromTokenAudit) checkDirectives(name string, directives ast.DirectiveList) {
	for _, directive := range directives {
		ok := false
		switch directive.Name {
		case "public":
			ok = !a.isReplaced("Public", Public)
		case "auth":
			ok = !a.isReplaced("Auth", Auth)
		case fromTokenName, "deprecated", "specifiedBy", "oneOf": // they don't affect the value
			ok = true
		case "stepUp": // maxAge depends on the time
			ok = directive.Arguments.ForName("maxAge") == nil && a.isGuard(directive.Name)
		default:
			ok = a.isGuard(directive.Name) || a.isFederationDirective(directive.Name)
		}
		if !ok {
			a.problems = append(a.problems, fmt.Sprintf("%s carries @%s, which may depend on more "+
				"than the access token", name, directive.Name))
		}
	}
}

// isFederationDirective reports whether gqlgen's federation plugin added a directive, such as @key.
// gqlgen calls no functions for these directives.
func (a *fromTokenAudit) isFederationDirective(name string) bool {
	definition := a.schema.Directives[name]
	return definition != nil && isBuiltIn(definition.Position)
}

// isGuard reports whether a directive is a guard of Schema, under its own name, that isn't bound to
// a function of the application.
func (a *fromTokenAudit) isGuard(name string) bool {
	definition := a.schema.Directives[name]
	if builders[name] == nil || definition == nil ||
		signature(definition) != signature(definitions[name]) {
		return false
	}
	if a.directives.Kind() != reflect.Struct {
		return true
	}
	bound := a.directives.FieldByName(upperFirst(name))
	return !bound.IsValid() || isBoundGuard(bound)
}

// isReplaced reports whether DirectiveRoot has a field with this name, which isn't set to function.
// In code that package plugin generates, DirectiveRoot has no field for the directives of Schema.
func (a *fromTokenAudit) isReplaced(fieldName string, function any) bool {
	if a.directives.Kind() != reflect.Struct {
		return false
	}
	bound := a.directives.FieldByName(fieldName)
	return bound.IsValid() && bound.Pointer() != reflect.ValueOf(function).Pointer()
}
