package authz

import (
	"reflect"

	"github.com/vektah/gqlparser/v2/ast"
)

// inputRule returns a rule for the arguments of a field, or nil if no input type that they reach
// has a rule. A rule of an input field holds if the client sends the field, and a rule of an enum
// if it sends one of its values.
func (c *compiler) inputRule(from string, field *ast.FieldDefinition) *rule {
	guarded := false
	for _, arg := range field.Arguments {
		guarded = guarded || c.isGuardedInput(typeName(arg.Type), map[string]bool{})
	}
	if !guarded {
		return nil
	}
	r := &rule{directive: "input", from: from, text: "rules of its input", usesArguments: true,
		usesInput: true, index: len(c.result.rules)}
	r.check = func(caller *caller, args arguments) error {
		values := args()
		for _, arg := range field.Arguments {
			if value, ok := values[arg.Name]; ok {
				if err := c.checkInput(caller, arg.Type, value); err != nil {
					return err
				}
			}
		}
		return nil
	}
	c.result.rules = append(c.result.rules, r)
	return r
}

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

// checkInput checks the rules of the input fields and enums in a value.
func (c *compiler) checkInput(caller *caller, typ *ast.Type, value any) error {
	// gqlparser makes a []string, for example, of a variable that is a string where a list belongs.
	if list := reflect.ValueOf(value); typ.Elem != nil && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			if err := c.checkInput(caller, typ.Elem, list.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	definition := c.types[typ.Name()]
	if definition == nil || value == nil {
		return nil
	}
	if err := checkRules(caller, c.rulesOf(definition.Directives)); err != nil {
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
		if err := checkRules(caller, c.rulesOf(field.Directives)); err != nil {
			return err
		}
		if err := c.checkInput(caller, field.Type, fieldValue); err != nil {
			return err
		}
	}
	return nil
}

// checkRules returns the error of the first rule that the caller doesn't satisfy.
func checkRules(caller *caller, rules []*rule) error {
	for _, r := range rules {
		if err := r.check(caller, nil); err != nil && !r.dryRun {
			return err
		}
	}
	return nil
}
