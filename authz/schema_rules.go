package authz

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
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

// schemaRules are the access rules of a schema. They are immutable.
type schemaRules struct {
	rules  []*rule
	fields map[*ast.FieldDefinition][][]*rule // what guards a selected field; see fieldRules
	object map[string]map[string][]*rule      // what guards a field of an object type
	table  []PolicyField                      // for Policy
}

// A compiler makes the rules of a schema.
type compiler struct {
	schema   *ast.Schema
	types    map[string]*ast.Definition // of the schema
	config   Config
	names    map[string]string // from a directive's name in the schema to its name in definitions
	declared declarations
	compiled map[*ast.Directive]*rule
	result   *schemaRules
	errs     []error
}

// compile returns the access rules of a schema, or an error that names everything that is wrong
// with them.
func compile(schema *ast.Schema, config Config) (*schemaRules, error) {
	if schema == nil {
		return nil, errors.New("authz: there is no schema to audit")
	}
	c := &compiler{schema: schema, types: typesOf(schema), config: config,
		names:    map[string]string{},
		compiled: map[*ast.Directive]*rule{},
		result: &schemaRules{fields: map[*ast.FieldDefinition][][]*rule{},
			object: map[string]map[string][]*rule{}}}
	c.bindNames()
	c.checkGuards()
	c.readDeclarations()
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		if definition := c.types[name]; !definition.BuiltIn {
			c.compileType(definition)
		}
	}
	c.compileFields()
	c.audit()
	c.checkDryRun()
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.result, nil
}

// typesOf returns the types of a schema, with the definitions of root types that the schema uses.
func typesOf(schema *ast.Schema) map[string]*ast.Definition {
	types := maps.Clone(schema.Types)
	if types == nil {
		types = map[string]*ast.Definition{}
	}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root != nil {
			types[root.Name] = root
		}
	}
	return types
}

func (c *compiler) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("authz: "+format, args...))
}

// bindNames finds the schema's directives that are those of Schema.
func (c *compiler) bindNames() {
	for _, name := range slices.Sorted(maps.Keys(c.config.Names)) {
		if definitions[name] == nil {
			c.failf("Config.Names has the directive %q: expected one of authz.Schema", name)
		} else if c.schema.Directives[c.config.Names[name]] == nil {
			c.failf("Config.Names gives @%s the name %q, which is no directive of the schema", name,
				c.config.Names[name])
		}
	}
	for name, definition := range definitions {
		schemaName := name
		if renamed, ok := c.config.Names[name]; ok {
			schemaName = renamed
		}
		found := c.schema.Directives[schemaName]
		if found == nil || slices.Contains(c.config.Guards, schemaName) && name != "auth" {
			continue // the schema lacks it, or has an application's own guard of this name
		}
		if signature(found) != signature(definition) {
			c.failf("the schema's directive @%s(%s) isn't that of authz.Schema, @%s(%s): give yours "+
				"another name, or list it in Config.Guards", schemaName, signature(found), name,
				signature(definition))
			continue
		}
		c.names[schemaName] = name
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

// readDeclarations reads @roles, @scopes and @groups.
func (c *compiler) readDeclarations() {
	for _, directive := range c.schema.SchemaDirectives {
		name := c.names[directive.Name]
		if name != "roles" && name != "scopes" && name != "groups" {
			continue
		}
		args, err := directiveArguments(directive, definitions[name])
		if err != nil {
			c.failf("the schema's @%s %w", directive.Name, err)
			continue
		}
		d := &c.declared
		switch name {
		case "scopes":
			d.scopes = append(d.scopes, toStrings(args["names"])...)
		case "groups":
			d.groups = append(d.groups, toStrings(args["paths"])...)
		case "roles":
			if realm, ok := args["realm"]; ok { // an empty list declares that there is no role
				d.realmRoles = append(append([]string{}, d.realmRoles...), toStrings(realm)...)
			}
			client, _ := args["client"].(string)
			roles := toStrings(args["clientRoles"])
			if (client == "") != (roles == nil) {
				c.failf("the schema's @%s needs client and clientRoles together", directive.Name)
			}
			if client != "" {
				if d.clientRoles == nil {
					d.clientRoles = map[string][]string{}
				}
				d.clientRoles[client] = append(d.clientRoles[client], roles...)
			}
		}
	}
}

// directiveArguments returns the arguments of a directive, with defaults. It returns an error if a
// value doesn't fit its type, which gqlparser doesn't check in schemas.
func directiveArguments(directive *ast.Directive, definition *ast.DirectiveDefinition) (
	map[string]any, error) {
	args := map[string]any{}
	for _, arg := range definition.Arguments {
		value := arg.DefaultValue
		if given := directive.Arguments.ForName(arg.Name); given != nil {
			value = given.Value
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

// fits reports whether a value is of a type: String, Int, Boolean or a list of them.
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

// compileType compiles the directives of a type and its fields.
func (c *compiler) compileType(definition *ast.Definition) {
	for _, directive := range definition.Directives {
		c.compileDirective(directive, definition.Name, nil)
	}
	for _, field := range definition.Fields {
		for _, directive := range field.Directives {
			c.compileDirective(directive, definition.Name+"."+field.Name, field)
		}
	}
}

// compileDirective compiles one use of a directive, if it is a guard of authz.Schema.
func (c *compiler) compileDirective(directive *ast.Directive, from string,
	field *ast.FieldDefinition) {
	name := c.names[directive.Name]
	build := builders[name]
	if build == nil {
		return
	}
	r := &rule{directive: name, from: from, text: directiveText(directive),
		dryRun: slices.Contains(c.config.DryRun, from), index: len(c.result.rules)}
	args, err := directiveArguments(directive, definitions[name])
	if err == nil {
		err = build(&ruleBuilder{args: args, field: field, declared: &c.declared,
			explain: c.config.Explain, rule: r})
	}
	if err != nil {
		c.failf("%s: %s %w", from, r.text, err)
		return
	}
	c.compiled[directive] = r
	c.result.rules = append(c.result.rules, r)
}

// directiveText returns a directive as the schema has it.
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

// rulesOf returns the compiled rules among directives.
func (c *compiler) rulesOf(directives ast.DirectiveList) []*rule {
	var rules []*rule
	for _, directive := range directives {
		if r := c.compiled[directive]; r != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// typeRules returns the rules of a type and of the interfaces that it implements.
func (c *compiler) typeRules(name string) []*rule {
	definition := c.types[name]
	if definition == nil {
		return nil
	}
	rules := c.rulesOf(definition.Directives)
	for _, name := range definition.Interfaces {
		rules = append(rules, c.rulesOf(c.types[name].Directives)...)
	}
	return rules
}

// typeName returns the name of a type without lists, or "".
func typeName(typ *ast.Type) string {
	if typ == nil {
		return ""
	}
	return typ.Name()
}

// fieldRules returns everything that guards a field of an object type: the rules of the field, of
// the same field of interfaces, of the type and its interfaces, of the type that the field returns,
// and of input types.
func (c *compiler) fieldRules(object *ast.Definition, field *ast.FieldDefinition) []*rule {
	rules := c.typeRules(object.Name)
	rules = append(rules, c.rulesOf(field.Directives)...)
	for _, name := range object.Interfaces {
		if inherited := c.types[name].Fields.ForName(field.Name); inherited != nil {
			rules = append(rules, c.rulesOf(inherited.Directives)...)
		}
	}
	rules = append(rules, c.typeRules(typeName(field.Type))...)
	rules = append(rules, c.inputRules(object.Name+"."+field.Name, field)...)
	var unique []*rule
	for _, r := range rules {
		if !slices.Contains(unique, r) {
			unique = append(unique, r)
		}
	}
	return unique
}

// compileFields collects the rules of all fields. A field that a client selects on an object type
// has one list of rules. A field that a client selects on an interface has a list for each
// different set of rules that the possible types give it.
func (c *compiler) compileFields() {
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		definition := c.types[name]
		if definition.Kind != ast.Object || definition.BuiltIn {
			continue
		}
		for _, field := range definition.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			rules := c.fieldRules(definition, field)
			if c.isRoot(definition) && c.config.Default == DefaultAuth &&
				c.hasNoRule(field, rules) && !isFederationField(field) {
				rules = append(rules, c.defaultRule())
			}
			c.addTableRow(name, field, rules)
			if len(rules) == 0 {
				continue
			}
			if c.result.object[name] == nil {
				c.result.object[name] = map[string][]*rule{}
			}
			c.result.object[name][field.Name] = rules
			c.result.fields[field] = [][]*rule{rules}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		definition := c.types[name]
		if definition.Kind != ast.Interface {
			continue
		}
		for _, field := range definition.Fields {
			var variants [][]*rule
			guarded := false
			for _, possible := range c.schema.PossibleTypes[name] {
				rules := c.result.object[possible.Name][field.Name]
				guarded = guarded || len(rules) > 0
				if !slices.ContainsFunc(variants, func(other []*rule) bool {
					return slices.Equal(other, rules)
				}) {
					variants = append(variants, rules)
				}
			}
			if guarded {
				c.result.fields[field] = variants
			}
		}
	}
}

func (c *compiler) isRoot(definition *ast.Definition) bool {
	return definition == c.schema.Query || definition == c.schema.Mutation ||
		definition == c.schema.Subscription
}

// defaultRule returns the rule of root fields without one, by Config.Default.
func (c *compiler) defaultRule() *rule {
	for _, r := range c.result.rules {
		if r.from == defaultFrom {
			return r
		}
	}
	r := &rule{directive: "auth", from: defaultFrom, text: "@auth", index: len(c.result.rules)}
	(&ruleBuilder{rule: r}).auth()
	c.result.rules = append(c.result.rules, r)
	return r
}

const defaultFrom = "Config.Default"

// checkDryRun returns an error for each name in Config.DryRun that carries no rule.
func (c *compiler) checkDryRun() {
	for _, name := range c.config.DryRun {
		if !slices.ContainsFunc(c.result.rules, func(r *rule) bool { return r.from == name }) {
			c.failf("Config.DryRun has %q: expected a type, or a field such as Query.notes, that "+
				"carries a rule", name)
		}
	}
}
