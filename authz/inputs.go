package authz

import (
	"reflect"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// inputRules returns rules for the arguments of a field: at most one that stands for the rules of
// the input types that they reach, and one for those of a dry run. A rule of an input field holds
// if the client sends the field, and a rule of an enum if it sends one of its values.
func (c *compiler) inputRules(from string, field *ast.FieldDefinition) []*rule {
	var rules []*rule
	for _, dryRun := range []bool{false, true} {
		guarded := slices.ContainsFunc(field.Arguments, func(arg *ast.ArgumentDefinition) bool {
			return c.isGuardedInput(typeName(arg.Type), dryRun, map[string]bool{})
		})
		if !guarded {
			continue
		}
		r := &rule{directive: "input", from: from, text: "rules of its input",
			usesArguments: true, usesInput: true, dryRun: dryRun, index: len(c.result.rules)}
		r.check = func(caller *caller, args arguments) error {
			values := args()
			for _, arg := range field.Arguments {
				if value, ok := values[arg.Name]; ok {
					if err := c.checkInput(caller, arg.Type, value, dryRun); err != nil {
						return err
					}
				}
			}
			return nil
		}
		c.result.rules = append(c.result.rules, r)
		rules = append(rules, r)
	}
	return rules
}

// isGuardedInput reports whether an input type, or one that it reaches, has a rule that is in
// Config.DryRun, or isn't.
func (c *compiler) isGuardedInput(name string, dryRun bool, visited map[string]bool) bool {
	definition := c.types[name]
	if definition == nil || visited[name] {
		return false
	}
	visited[name] = true
	has := func(directives ast.DirectiveList) bool {
		return slices.ContainsFunc(c.rulesOf(directives), func(r *rule) bool {
			return r.dryRun == dryRun
		})
	}
	if has(definition.Directives) {
		return true
	}
	if definition.Kind != ast.InputObject {
		return false
	}
	for _, field := range definition.Fields {
		if has(field.Directives) ||
			c.isGuardedInput(typeName(field.Type), dryRun, visited) {
			return true
		}
	}
	return false
}

// checkInput checks the rules of the input fields and enums in a value: either those of the dry run
// or the others.
func (c *compiler) checkInput(caller *caller, typ *ast.Type, value any, dryRun bool) error {
	// gqlparser makes a []string, for example, of a variable that is a string where a list belongs.
	if list := reflect.ValueOf(value); typ.Elem != nil && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			item := list.Index(i).Interface()
			if err := c.checkInput(caller, typ.Elem, item, dryRun); err != nil {
				return err
			}
		}
		return nil
	}
	definition := c.types[typ.Name()]
	if definition == nil || value == nil {
		return nil
	}
	if err := checkRules(caller, c.rulesOf(definition.Directives), dryRun); err != nil {
		return err
	}
	object, ok := value.(map[string]any)
	if !ok || definition.Kind != ast.InputObject {
		return nil
	}
	for _, field := range definition.Fields {
		fieldValue, ok := object[field.Name]
		if !ok {
			continue
		}
		if err := checkRules(caller, c.rulesOf(field.Directives), dryRun); err != nil {
			return err
		}
		if err := c.checkInput(caller, field.Type, fieldValue, dryRun); err != nil {
			return err
		}
	}
	return nil
}

// checkRules returns the error of the first rule that the caller doesn't satisfy, among those of
// the dry run or the others.
func checkRules(caller *caller, rules []*rule, dryRun bool) error {
	for _, r := range rules {
		if r.dryRun != dryRun {
			continue
		}
		if err := r.check(caller, nil); err != nil {
			return err
		}
	}
	return nil
}
