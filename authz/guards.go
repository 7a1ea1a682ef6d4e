package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/identity"
)

// A ruleBuilder makes the check of a rule from the arguments of its directive.
type ruleBuilder struct {
	args     map[string]any       // checked against the directive's definition
	field    *ast.FieldDefinition // the field that carries the directive, or nil
	types    map[string]*ast.Definition
	declared *declaredNames
	explain  bool // Config.Explain
	rule     *rule
}

// builders has a function for each directive that is a guard. The function sets the rule's check,
// or returns an error if the rule is wrong.
var builders = map[string]func(*ruleBuilder) error{
	"auth":            (*ruleBuilder).auth,
	"hasRole":         (*ruleBuilder).hasRole,
	"hasScope":        (*ruleBuilder).hasScope,
	"hasGroup":        (*ruleBuilder).hasGroup,
	"inOrganization":  (*ruleBuilder).inOrganization,
	"hasClaim":        (*ruleBuilder).hasClaim,
	"owner":           (*ruleBuilder).owner,
	"notImpersonated": (*ruleBuilder).notImpersonated,
	"stepUp":          (*ruleBuilder).stepUp,
}

// strings returns the argument with this name, which is a list of strings, or nil.
func (b *ruleBuilder) strings(name string) []string { return toStrings(b.args[name]) }

// toStrings returns the strings in a list. A string stands for a list with one item. For another
// value, toStrings returns nil.
func toStrings(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		texts := make([]string, len(value))
		for i, item := range value {
			texts[i], _ = item.(string)
		}
		return texts
	}
	return nil
}

// text returns the argument with this name, which is a string, or "".
func (b *ruleBuilder) text(name string) string {
	text, _ := b.args[name].(string)
	return text
}

// denyUnless sets a check that denies unauthenticated callers and those who don't satisfy a
// condition.
func (b *ruleBuilder) denyUnless(reason error, condition func(*caller, *arguments) bool) {
	denied := b.denied(reason)
	b.rule.check = func(c *caller, args *arguments) error {
		if c.err != nil {
			return c.err
		}
		if !condition(c, args) {
			return denied
		}
		return nil
	}
}

// denied returns the error for callers who don't satisfy the rule.
func (b *ruleBuilder) denied(reason error) *identity.DeniedError {
	err := &identity.DeniedError{Reason: reason}
	if b.explain {
		err.Required = b.args
	}
	return err
}

func (b *ruleBuilder) auth() error {
	b.rule.check = func(c *caller, _ *arguments) error { return c.err }
	return nil
}

// checkNames returns an error if all lists are nil, if one of them is empty, or if a name is blank.
func checkNames(lists ...[]string) error {
	if !slices.ContainsFunc(lists, func(list []string) bool { return list != nil }) {
		return errors.New("asks for nothing: give it an argument")
	}
	for _, list := range lists {
		if list != nil && len(list) == 0 {
			return errors.New("has an empty list, which asks for nothing")
		}
		for _, name := range list {
			if strings.TrimSpace(name) == "" {
				return errors.New("has an empty name, so no token satisfies it")
			}
		}
	}
	return nil
}

// holdsAny reports whether names is nil, or has is true for at least one of them.
func holdsAny(names []string, has func(string) bool) bool {
	return names == nil || slices.ContainsFunc(names, has)
}

// holdsAll reports whether has is true for all names.
func holdsAll(names []string, has func(string) bool) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !has(name) })
}

func (b *ruleBuilder) hasRole() error {
	anyOf, allOf, client := b.strings("anyOf"), b.strings("allOf"), b.text("client")
	if err := checkNames(anyOf, allOf); err != nil {
		return err
	}
	if _, ok := b.args["client"]; ok && client == "" {
		return errors.New("has an empty client")
	}
	if err := b.declared.checkRoles(client, slices.Concat(anyOf, allOf)); err != nil {
		return err
	}
	b.denyUnless(identity.ErrRoleMissing, func(c *caller, _ *arguments) bool {
		has := c.user.HasRealmRole
		if client != "" {
			has = func(role string) bool { return c.user.HasClientRole(client, role) }
		}
		return holdsAny(anyOf, has) && holdsAll(allOf, has)
	})
	return nil
}

func (b *ruleBuilder) hasScope() error {
	anyOf, allOf := b.strings("anyOf"), b.strings("allOf")
	var anyOfAll [][]string
	lists := [][]string{anyOf, allOf}
	switch items := b.args["anyOfAll"].(type) {
	case []any:
		for _, item := range items {
			anyOfAll = append(anyOfAll, toStrings(item))
		}
		if len(items) == 0 {
			return errors.New("has an empty list, which asks for nothing")
		}
	case string:
		anyOfAll = [][]string{{items}}
	}
	lists = append(lists, anyOfAll...)
	if err := checkNames(lists...); err != nil {
		return err
	}
	all := slices.Concat(lists...)
	hasBlank := func(name string) bool { return strings.ContainsAny(name, " \t\n") }
	if slices.ContainsFunc(all, hasBlank) {
		return errors.New("has a scope with a blank, so no token satisfies it: " +
			"write each scope as a string of its own")
	}
	if err := b.declared.checkScopes(all); err != nil {
		return err
	}
	b.denyUnless(identity.ErrScopeMissing, func(c *caller, _ *arguments) bool {
		has := c.user.HasScope
		return holdsAny(anyOf, has) && holdsAll(allOf, has) &&
			(anyOfAll == nil || slices.ContainsFunc(anyOfAll, func(list []string) bool {
				return holdsAll(list, has)
			}))
	})
	return nil
}

func (b *ruleBuilder) hasGroup() error {
	anyOf := b.strings("anyOf")
	if err := checkNames(anyOf); err != nil {
		return err
	}
	subgroups, _ := b.args["subgroups"].(bool)
	for _, path := range anyOf {
		if strings.HasSuffix(path, "/") {
			return fmt.Errorf("names the group %q, which ends with a slash, so no token has it",
				path)
		}
	}
	if err := b.declared.checkGroups(anyOf); err != nil {
		return err
	}
	b.denyUnless(identity.ErrGroupMissing, func(c *caller, _ *arguments) bool {
		return slices.ContainsFunc(anyOf, func(path string) bool {
			return c.user.InGroup(path) ||
				subgroups && slices.ContainsFunc(c.user.Groups, func(group string) bool {
					return strings.HasPrefix(group, path+"/")
				})
		})
	})
	return nil
}

func (b *ruleBuilder) inOrganization() error {
	anyOf, arg := b.strings("anyOf"), b.text("arg")
	var path []string
	if arg != "" {
		var err error
		if path, err = b.argumentPath(arg); err != nil {
			return err
		}
		b.rule.usesArguments = true
	}
	if arg == "" || anyOf != nil {
		if err := checkNames(anyOf); err != nil {
			return err
		}
	}
	b.denyUnless(identity.ErrOrganizationMissing, func(c *caller, args *arguments) bool {
		if !holdsAny(anyOf, c.user.InOrganization) {
			return false
		}
		if path == nil {
			return true
		}
		alias, ok := valueAt(args.all(), path).(string)
		return ok && c.user.InOrganization(alias)
	})
	return nil
}

func (b *ruleBuilder) hasClaim() error {
	path, equals := b.text("path"), b.text("equals")
	var names []string
	if pointer, ok := strings.CutPrefix(path, "/"); ok {
		for name := range strings.SplitSeq(pointer, "/") {
			name = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
			names = append(names, name)
		}
	} else {
		names = strings.Split(path, ".")
	}
	if slices.Contains(names, "") {
		return fmt.Errorf("has the path %q, in which a name is empty", path)
	}
	b.denyUnless(identity.ErrClaimMissing, func(c *caller, _ *arguments) bool {
		switch value := c.claim(names).(type) {
		case string:
			return value == equals
		case json.Number:
			return value.String() == equals
		case bool:
			return fmt.Sprint(value) == equals
		}
		return false
	})
	return nil
}

func (b *ruleBuilder) owner() error {
	path, err := b.argumentPath(b.text("arg"))
	if err != nil {
		return err
	}
	role, hasRole := b.args["orRole"].(string)
	if hasRole {
		if err := checkNames([]string{role}); err != nil {
			return err
		}
		if err := b.declared.checkRoles("", []string{role}); err != nil {
			return err
		}
	}
	b.rule.usesArguments = true
	b.denyUnless(identity.ErrNotOwner, func(c *caller, args *arguments) bool {
		if hasRole && c.user.HasRealmRole(role) {
			return true
		}
		id, ok := valueAt(args.all(), path).(string)
		return ok && c.user.ID != "" && id == c.user.ID
	})
	return nil
}

func (b *ruleBuilder) notImpersonated() error {
	b.denyUnless(identity.ErrImpersonated, func(c *caller, _ *arguments) bool {
		return c.user.Token != nil && !c.user.Token.Impersonated
	})
	return nil
}

func (b *ruleBuilder) stepUp() error {
	acr := b.strings("acr")
	maxAge, hasMaxAge := b.args["maxAge"].(int64)
	if !hasMaxAge || acr != nil {
		if err := checkNames(acr); err != nil {
			return err
		}
	}
	if hasMaxAge && maxAge <= 0 {
		return fmt.Errorf("has the maxAge %d, so no token satisfies it", maxAge)
	}
	age := time.Duration(maxAge) * time.Second
	denied := b.denied(identity.ErrStepUpRequired)
	denied.ACRValues, denied.MaxAge = acr, age
	b.rule.check = func(c *caller, _ *arguments) error {
		if c.err != nil {
			return c.err
		}
		token := c.user.Token
		if token == nil || acr != nil && (token.ACR == nil || !slices.Contains(acr, *token.ACR)) {
			return denied
		}
		if hasMaxAge && (token.Session == nil || token.Session.AuthenticatedAt == nil ||
			c.now.Sub(*token.Session.AuthenticatedAt) > age) {
			return denied
		}
		return nil
	}
	return nil
}

// argumentPath splits a path such as input.ownerId, the name of an argument followed by the names
// of fields in it. It returns an error if the field that carries the rule has no such argument, or
// if the path goes through a list, or ends at a list or an input object.
func (b *ruleBuilder) argumentPath(text string) ([]string, error) {
	if b.field == nil {
		return nil, errors.New("has arg, but only a field has arguments")
	}
	path := strings.Split(text, ".")
	argument := b.field.Arguments.ForName(path[0])
	if argument == nil {
		return nil, fmt.Errorf("names the argument %q, which the field doesn't have", path[0])
	}
	typ := argument.Type
	for i := 1; ; i++ {
		name := strings.Join(path[:i], ".")
		definition := b.types[typeName(typ)]
		isInput := definition != nil && definition.Kind == ast.InputObject
		switch {
		case typ != nil && typ.Elem != nil:
			return nil, fmt.Errorf("names %q, which is a list: expected one value", name)
		case i == len(path) && isInput:
			return nil, fmt.Errorf("names %q, which is an input object: expected one of its "+
				"fields, as in %q", name, name+".id")
		case i == len(path):
			return path, nil
		case !isInput || definition.Fields.ForName(path[i]) == nil:
			return nil, fmt.Errorf("names %q, but %q has no field %q", text, name, path[i])
		}
		typ = definition.Fields.ForName(path[i]).Type
	}
}
