package authz

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/cloakql/cloakql/schema"
)

//go:embed directives.graphqls
var directives string

// definitions are the directives that Schema returns, by name.
var definitions = func() map[string]*ast.DirectiveDefinition {
	source := &ast.Source{Name: "authz", Input: schema.Directives() + directives}
	doc, err := parser.ParseSchema(source)
	if err != nil {
		panic(err) // the files are a part of the program
	}
	byName := map[string]*ast.DirectiveDefinition{}
	for _, definition := range doc.Directives {
		byName[definition.Name] = definition
	}
	return byName
}()

// findDirectives finds the directives of Schema in the application's schema, under their own names
// or those in Config.Names.
func (c *compiler) findDirectives() {
	for _, name := range slices.Sorted(maps.Keys(c.config.Names)) {
		if definitions[name] == nil {
			c.failf("Config.Names has the directive %q: expected one of authz.Schema", name)
		} else if c.schema.Directives[c.config.Names[name]] == nil {
			c.failf("Config.Names gives @%s the name %q, which is no directive of the schema", name,
				c.config.Names[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(definitions)) {
		definition := definitions[name]
		schemaName := name
		if renamed, ok := c.config.Names[name]; ok {
			schemaName = renamed
		}
		found := c.schema.Directives[schemaName]
		if found == nil {
			continue
		}
		if other := c.names[schemaName]; other != "" {
			c.failf("@%s would be both %q and %q of authz.Schema: give one of them another name "+
				"in "+
				"Config.Names", schemaName, other, name)
			continue
		}
		if signature(found) != signature(definition) {
			if slices.Contains(c.config.Guards, schemaName) {
				continue // the application's own guard
			}
			c.failf("the schema's directive @%s(%s) isn't that of authz.Schema, @%s(%s): give "+
				"yours "+
				"another name, or list it in Config.Guards", schemaName, signature(found), name,
				signature(definition))
			continue
		}
		c.names[schemaName] = name
	}
	c.checkUnlistedGuards()
}

// checkUnlistedGuards records an error for each directive of the schema that has the arguments of a
// guard of Schema under another name, and is listed neither in Config.Names nor in Config.Guards.
// Install wouldn't enforce such a directive.
func (c *compiler) checkUnlistedGuards() {
	for _, schemaName := range slices.Sorted(maps.Keys(c.schema.Directives)) {
		found := c.schema.Directives[schemaName]
		if c.names[schemaName] != "" || slices.Contains(c.config.Guards, schemaName) ||
			len(found.Arguments) == 0 {
			continue
		}
		for name := range builders {
			if signature(found) == signature(definitions[name]) {
				c.failf("the schema's directive @%s(%s) has the arguments of @%s: name it in "+
					"Config.Names or, if it is your own, in Config.Guards", schemaName,
					signature(found), name)
			}
		}
	}
}

// signature returns the arguments of a directive with their types.
func signature(definition *ast.DirectiveDefinition) string {
	var args []string
	for _, arg := range definition.Arguments {
		args = append(args, arg.Name+": "+arg.Type.String())
	}
	return strings.Join(args, ", ")
}

// directiveArguments returns the arguments of a directive, including defaults. It returns an error
// if a value doesn't fit its type, which gqlparser doesn't check in schemas.
func directiveArguments(directive *ast.Directive, definition *ast.DirectiveDefinition) (
	map[string]any, error) {
	args := map[string]any{}
	for _, arg := range definition.Arguments {
		value := arg.DefaultValue
		if explicit := directive.Arguments.ForName(arg.Name); explicit != nil {
			value = explicit.Value
		}
		if value == nil {
			if arg.Type.NonNull {
				return nil, fmt.Errorf("lacks the argument %s", arg.Name)
			}
			continue
		}
		if !fits(value, arg.Type) {
			return nil, fmt.Errorf("has the argument %s: %s, which isn't of the type %s", arg.Name,
				value, arg.Type)
		}
		decoded, err := value.Value(nil)
		if err != nil {
			return nil, fmt.Errorf("has the argument %s: %w", arg.Name, err)
		}
		if decoded != nil {
			args[arg.Name] = decoded
		}
	}
	return args, nil
}

// fits reports whether a literal has a type: String, Int, Boolean, or a list of one of these.
func fits(value *ast.Value, typ *ast.Type) bool {
	if value.Kind == ast.NullValue {
		return !typ.NonNull
	}
	if typ.Elem != nil {
		if value.Kind != ast.ListValue {
			return fits(value, typ.Elem)
		}
		return !slices.ContainsFunc(value.Children, func(child *ast.ChildValue) bool {
			return !fits(child.Value, typ.Elem)
		})
	}
	switch typ.NamedType {
	case "String":
		return value.Kind == ast.StringValue || value.Kind == ast.BlockValue
	case "Int":
		return value.Kind == ast.IntValue
	}
	return value.Kind == ast.BooleanValue
}

// directiveText returns a directive as it is written in a schema.
func directiveText(directive *ast.Directive) string {
	var args []string
	for _, arg := range directive.Arguments {
		args = append(args, arg.Name+": "+arg.Value.String())
	}
	if len(args) == 0 {
		return "@" + directive.Name
	}
	return "@" + directive.Name + "(" + strings.Join(args, ", ") + ")"
}

// Schema returns the definitions of CloakQL's directives in GraphQL's schema language, for servers
// with their own schema: @public and the guards, @fromToken, and @roles, @scopes and @groups, which
// declare names. With names, Schema returns only the directives with these names. It panics if a
// name is unknown. Write the definitions to a schema file, or add them as a source in the program
// that runs gqlgen. The name of the source must begin with "../", so that gqlgen doesn't try to
// embed a file:
//
//	cfg.Sources = append(cfg.Sources, &ast.Source{Name: "../authz.graphqls", Input: authz.Schema()})
//
// Package plugin adds and binds the directives for you.
func Schema(names ...string) string {
	if len(names) == 0 {
		return schema.Directives() + "\n" + directives
	}
	doc := &ast.SchemaDocument{}
	for _, name := range names {
		definition := definitions[name]
		if definition == nil {
			panic(fmt.Sprintf("authz: there is no directive %q", name))
		}
		doc.Directives = append(doc.Directives, definition)
	}
	var text strings.Builder
	formatter.NewFormatter(&text, formatter.WithIndent("  ")).FormatSchemaDocument(doc)
	return text.String()
}
