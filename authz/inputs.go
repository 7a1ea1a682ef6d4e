package authz

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/vektah/gqlparser/v2/ast"
)

// inputRule returns a rule that combines the rules of the input types of a field's arguments, or
// nil if these types have no rules. A rule on an input field applies if the client sends the field.
// A rule on an enum applies if the client sends a value of the enum.
//
// Fields with the same arguments share a combined rule. So the rule is checked only once if a
// client selects such a field on an interface.
func (c *compiler) inputRule(field *ast.FieldDefinition) *rule {
	guarded, signature := false, ""
	for _, arg := range field.Arguments {
		guarded = guarded || c.isGuardedInput(typeName(arg.Type), map[string]bool{})
		signature += fmt.Sprintf("%s: %v, ", arg.Name, arg.Type)
	}
	if !guarded {
		return nil
	}
	if r := c.inputRules[signature]; r != nil {
		return r
	}
	r := &rule{text: "rules of its input", usesArguments: true, isInputRule: true,
		index: len(c.result.rules)}
	r.check = func(caller *caller, args *arguments) error {
		input := inputCheck{compiler: c, caller: caller}
		for _, arg := range field.Arguments {
			if value, ok := args.sent(arg.Name); ok {
				if err := input.checkValue(arg.Type, value); err != nil {
					return err
				}
			}
		}
		if input.dryRun {
			return errDryRun
		}
		return nil
	}
	c.inputRules[signature] = r
	c.result.rules = append(c.result.rules, r)
	return r
}

// errDryRun is the result of a rule with isInputRule if only rules of a dry run deny the input.
var errDryRun = errors.New("authz: only rules of a dry run deny this")

// isGuardedInput reports whether an input type has a rule, itself or on one of its fields at any
// depth.
func (c *compiler) isGuardedInput(name string, visited map[string]bool) bool {
	definition := c.types[name]
	if definition == nil || visited[name] {
		return false
	}
	visited[name] = true
	if len(c.rulesOf(definition.Directives)) > 0 {
		return true
	}
	if definition.Kind != ast.InputObject {
		return false
	}
	for _, field := range definition.Fields {
		if len(c.rulesOf(field.Directives)) > 0 ||
			c.isGuardedInput(typeName(field.Type), visited) {
			return true
		}
	}
	return false
}

// An inputCheck checks the input of one field.
type inputCheck struct {
	*compiler
	caller *caller
	dryRun bool // whether a rule of a dry run denies the input
}

// checkValue returns the error of the first rule of an input field or enum in value that the caller
// doesn't satisfy.
func (c *inputCheck) checkValue(typ *ast.Type, value any) error {
	if typ == nil {
		return nil
	}
	// If a variable is a string, and the schema has a list, gqlparser makes a []string of it.
	if list := reflect.ValueOf(value); typ.Elem != nil && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			if err := c.checkValue(typ.Elem, list.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	definition := c.types[typ.Name()]
	if definition == nil || value == nil {
		return nil
	}
	if err := c.checkRules(definition.Directives); err != nil {
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
		if err := c.checkRules(field.Directives); err != nil {
			return err
		}
		if err := c.checkValue(field.Type, fieldValue); err != nil {
			return err
		}
	}
	return nil
}

// checkRules returns the error of the first rule among directives that the caller doesn't satisfy.
func (c *inputCheck) checkRules(directives ast.DirectiveList) error {
	for _, directive := range directives {
		r := c.compiled[directive]
		if r == nil {
			continue
		}
		err := r.check(c.caller, nil)
		if err != nil && !r.dryRun {
			return err
		}
		c.dryRun = c.dryRun || err != nil
	}
	return nil
}
