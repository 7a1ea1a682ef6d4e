package authz

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/vektah/gqlparser/v2/ast"
)

// inputRule returns a rule for the arguments of a field, or nil if no input type that they reach
// has a rule. A rule of an input field holds if the client sends the field, and a rule of an enum
// if it sends one of its values.
//
// Fields with the same arguments share a rule, so that it is checked once if a client selects such
// a field on an interface.
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
	r := &rule{directive: "input", text: "rules of its input", usesArguments: true,
		isInputRule: true, index: len(c.result.rules)}
	r.check = func(caller *caller, args *arguments) error {
		input := inputCheck{compiler: c, caller: caller}
		for _, arg := range field.Arguments {
			if value, ok := args.sent(arg.Name); ok {
				if err := input.value(arg.Type, value); err != nil {
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

// isGuardedInput reports whether an input type, or one that it reaches, has a rule.
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

// value checks the rules of the input fields and enums in a value.
func (c *inputCheck) value(typ *ast.Type, value any) error {
	if typ == nil {
		return nil
	}
	// gqlparser makes a []string, for example, of a variable that is a string where a list belongs.
	if list := reflect.ValueOf(value); typ.Elem != nil && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			if err := c.value(typ.Elem, list.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	definition := c.types[typ.Name()]
	if definition == nil || value == nil {
		return nil
	}
	if err := c.rules(definition.Directives); err != nil {
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
		if err := c.rules(field.Directives); err != nil {
			return err
		}
		if err := c.value(field.Type, fieldValue); err != nil {
			return err
		}
	}
	return nil
}

// rules returns the error of the first rule among directives that the caller doesn't satisfy.
func (c *inputCheck) rules(directives ast.DirectiveList) error {
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
