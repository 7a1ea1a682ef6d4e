package authz

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// schemaRules are the access rules of a schema. They are immutable.
type schemaRules struct {
	schema *ast.Schema
	rules  []*rule
	// fields has the guarded fields of object types, and all fields of interfaces.
	fields map[*ast.FieldDefinition]fieldInfo
	// objectFields has the rules of each guarded field, by the names of its object type and field.
	objectFields map[string]map[string][]*rule
	// typeRules has the rules of each type and of its interfaces, by the type's name.
	typeRules map[string][]*rule
	// isSubtype[a][b] is set if every object of the type a also has the type b. Both are object
	// types, interfaces or unions.
	isSubtype map[string]map[string]bool
	// possibleTypes has the object types of each interface and union. For an object type, it has
	// the type itself.
	possibleTypes map[string][]string
	table         []PolicyField // for Policy
}

// A fieldInfo has what walker.field needs to decide about a selected field.
type fieldInfo struct {
	// ruleLists has one list of rules for a field of an object type. For a field of an interface,
	// it has the lists of all possible types, without duplicates.
	ruleLists [][]*rule
	// nonNull is set if the field can't be null, and nonNullAtEveryLevel if, in addition, no item
	// can be null at any depth of its lists.
	nonNull, nonNullAtEveryLevel bool
}

// infoOf returns the fieldInfo of a field that returns typ and has no rules.
func infoOf(typ *ast.Type) fieldInfo {
	info := fieldInfo{nonNull: typ != nil && typ.NonNull, nonNullAtEveryLevel: typ != nil}
	for ; typ != nil; typ = typ.Elem {
		info.nonNullAtEveryLevel = info.nonNullAtEveryLevel && typ.NonNull
	}
	return info
}

// A compiler collects and checks the access rules of a schema.
type compiler struct {
	schema     *ast.Schema
	types      map[string]*ast.Definition // of the schema
	config     Config
	names      map[string]string // from a directive's name in the schema to its name in definitions
	declared   declaredNames
	compiled   map[*ast.Directive]*rule
	inputRules map[string]*rule // by the definition of a field's arguments
	result     *schemaRules
	errs       []error
}

// compile returns the access rules of a schema, or an error that names everything that is wrong
// with them.
func compile(schema *ast.Schema, config Config) (*schemaRules, error) {
	if schema == nil {
		return nil, errors.New("authz: there is no schema to audit")
	}
	c := &compiler{schema: schema, types: typesOf(schema), config: config,
		names:    map[string]string{},
		compiled: map[*ast.Directive]*rule{}, inputRules: map[string]*rule{},
		result: &schemaRules{schema: schema, fields: map[*ast.FieldDefinition]fieldInfo{},
			objectFields: map[string]map[string][]*rule{}}}
	c.findSubtypes()
	c.findDirectives()
	c.checkGuards()
	c.readDeclarations()
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		c.compileType(c.types[name])
	}
	c.compileFields()
	c.compileEntities()
	c.audit()
	c.checkDryRun()
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.result, nil
}

// typesOf returns the types of a schema by name. A root type is the definition in schema.Query,
// Mutation or Subscription, even if schema.Types has another one.
func typesOf(schema *ast.Schema) map[string]*ast.Definition {
	types := map[string]*ast.Definition{}
	for name, definition := range schema.Types {
		if definition != nil {
			types[name] = definition
		}
	}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root != nil {
			types[root.Name] = root
		}
	}
	return types
}

// interfacesOf returns the interfaces that a type implements, directly or through other interfaces.
func (c *compiler) interfacesOf(definition *ast.Definition) []*ast.Definition {
	var interfaces []*ast.Definition
	names := definition.Interfaces
	for i := 0; i < len(names); i++ {
		super := c.types[names[i]]
		if super != nil && !slices.Contains(interfaces, super) {
			interfaces = append(interfaces, super)
			names = slices.Concat(names, super.Interfaces)
		}
	}
	return interfaces
}

// findSubtypes fills schemaRules.possibleTypes and isSubtype.
func (c *compiler) findSubtypes() {
	c.result.possibleTypes = map[string][]string{}
	c.result.isSubtype = map[string]map[string]bool{}
	supertypes := map[string][]string{} // of each object type, with itself
	add := func(object, supertype string) {
		if !slices.Contains(supertypes[object], supertype) {
			supertypes[object] = append(supertypes[object], supertype)
			c.result.possibleTypes[supertype] = append(c.result.possibleTypes[supertype], object)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		switch definition := c.types[name]; definition.Kind {
		case ast.Object:
			add(name, name)
			for _, super := range c.interfacesOf(definition) {
				add(name, super.Name)
			}
		case ast.Union:
			for _, member := range definition.Types {
				add(member, name)
			}
		}
	}
	for name, objects := range c.result.possibleTypes {
		count := map[string]int{}
		for _, object := range objects {
			for _, supertype := range supertypes[object] {
				count[supertype]++
			}
		}
		c.result.isSubtype[name] = map[string]bool{}
		for supertype, n := range count {
			c.result.isSubtype[name][supertype] = n == len(objects)
		}
	}
}

// failf records an error.
func (c *compiler) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("authz: "+format, args...))
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
		for _, arg := range field.Arguments {
			c.forbidGuards(fmt.Sprintf("%s.%s(%s:)", definition.Name, field.Name, arg.Name),
				arg.Directives)
		}
	}
	for _, value := range definition.EnumValues {
		c.forbidGuards(definition.Name+"."+value.Name, value.Directives)
	}
}

// forbidGuards records an error for each guard of Schema among directives. place describes where
// the directives stand. Guards have no effect there. gqlparser accepts a guard there only if the
// application defines the directive itself, with more locations.
func (c *compiler) forbidGuards(place string, directives ast.DirectiveList) {
	for _, directive := range directives {
		if builders[c.names[directive.Name]] != nil {
			c.failf("%s carries @%s, which has no effect there: put it on the field or the type",
				place, directive.Name)
		}
	}
}

// compileDirective compiles one use of a directive, if the directive is a guard of Schema. from is
// the field or type that carries it.
func (c *compiler) compileDirective(directive *ast.Directive, from string,
	field *ast.FieldDefinition) {
	name := c.names[directive.Name]
	build := builders[name]
	if build == nil {
		return
	}
	r := &rule{from: from, text: directiveText(directive),
		dryRun: name != "auth" && slices.Contains(c.config.DryRun, from),
		index:  len(c.result.rules)}
	args, err := directiveArguments(directive, definitions[name])
	if err == nil {
		err = build(&ruleBuilder{args: args, field: field, types: c.types,
			declared: &c.declared, explain: c.config.Explain, rule: r})
	}
	if err != nil {
		c.failf("%s: %s %w", from, r.text, err)
		return
	}
	c.compiled[directive] = r
	c.result.rules = append(c.result.rules, r)
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
	for _, super := range c.interfacesOf(definition) {
		rules = append(rules, c.rulesOf(super.Directives)...)
	}
	return rules
}

// typeName returns the name of a type. For a list, it returns the name of the items' type, and for
// nil, "".
func typeName(typ *ast.Type) string {
	if typ == nil {
		return ""
	}
	return typ.Name()
}

// fieldRules returns everything that guards a field of an object type: the rules of the field, of
// the same field of interfaces, of the type and its interfaces, of the type that the field returns,
// and of the input types of its arguments.
func (c *compiler) fieldRules(object *ast.Definition, field *ast.FieldDefinition) []*rule {
	rules := c.typeRules(object.Name)
	rules = append(rules, c.rulesOf(field.Directives)...)
	for _, super := range c.interfacesOf(object) {
		if inherited := super.Fields.ForName(field.Name); inherited != nil {
			rules = append(rules, c.rulesOf(inherited.Directives)...)
		}
	}
	rules = append(rules, c.typeRules(typeName(field.Type))...)
	if r := c.inputRule(field); r != nil {
		rules = append(rules, r)
	}
	var unique []*rule
	for _, r := range rules {
		if !slices.Contains(unique, r) {
			unique = append(unique, r)
		}
	}
	return unique
}

// compileFields collects the rules of all fields. A field of an object type has one list of rules.
// A field of an interface has the lists of all possible types, without duplicates.
func (c *compiler) compileFields() {
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		definition := c.types[name]
		if definition.Kind != ast.Object {
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
			c.setRules(definition, field, rules)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		definition := c.types[name]
		if definition.Kind != ast.Interface {
			continue
		}
		for _, field := range definition.Fields {
			c.result.fields[field] = c.result.abstractField(name, field)
		}
	}
}

// setRules sets the rules of a field of an object type, and adds the field to the policy table.
func (c *compiler) setRules(object *ast.Definition, field *ast.FieldDefinition, rules []*rule) {
	if !object.BuiltIn { // clients can't use the type Entity of gqlgen's federation plugin
		c.addTableRow(object.Name, field, rules)
	}
	if len(rules) == 0 {
		return
	}
	if c.result.objectFields[object.Name] == nil {
		c.result.objectFields[object.Name] = map[string][]*rule{}
	}
	c.result.objectFields[object.Name][field.Name] = rules
	info := infoOf(field.Type)
	info.ruleLists = [][]*rule{rules}
	c.result.fields[field] = info
}

// abstractField returns the fieldInfo of a field that is selected on the interface or union name.
// Each possible type of name must have the field. The field counts as non-null if it is non-null in
// each possible type, even if it is nullable in the interface.
func (s *schemaRules) abstractField(name string, field *ast.FieldDefinition) fieldInfo {
	info := infoOf(field.Type)
	guarded, nonNull, nonNullAtEveryLevel := false, true, true
	for _, object := range s.possibleTypes[name] {
		rules := s.objectFields[object][field.Name]
		guarded = guarded || len(rules) > 0
		if !slices.ContainsFunc(info.ruleLists, func(other []*rule) bool {
			return slices.Equal(other, rules)
		}) {
			info.ruleLists = append(info.ruleLists, rules)
		}
		var implementation fieldInfo
		if definition := s.schema.Types[object]; definition != nil {
			if f := definition.Fields.ForName(field.Name); f != nil {
				implementation = infoOf(f.Type)
			}
		}
		nonNull = nonNull && implementation.nonNull
		nonNullAtEveryLevel = nonNullAtEveryLevel && implementation.nonNullAtEveryLevel
	}
	if !guarded {
		info.ruleLists = nil
	}
	if len(s.possibleTypes[name]) > 0 {
		info.nonNull, info.nonNullAtEveryLevel = nonNull, nonNullAtEveryLevel
	}
	return info
}

func (c *compiler) isRoot(definition *ast.Definition) bool {
	return definition == c.schema.Query || definition == c.schema.Mutation ||
		definition == c.schema.Subscription
}

// defaultRule returns the rule that Config.Default gives to root fields without a rule.
func (c *compiler) defaultRule() *rule {
	for _, r := range c.result.rules {
		if r.from == defaultFrom {
			return r
		}
	}
	r := &rule{from: defaultFrom, text: "@auth", index: len(c.result.rules)}
	(&ruleBuilder{rule: r}).auth()
	c.result.rules = append(c.result.rules, r)
	return r
}

const defaultFrom = "Config.Default"

// checkDryRun records an error for each name in Config.DryRun that isn't a field or type with a
// rule other than @auth.
func (c *compiler) checkDryRun() {
	for _, name := range c.config.DryRun {
		if !slices.ContainsFunc(c.result.rules, func(r *rule) bool {
			return r.from == name && r.dryRun
		}) {
			c.failf("Config.DryRun has %q: expected a type, or a field such as Query.notes, that "+
				"carries a rule other than @auth", name)
		}
	}
}
