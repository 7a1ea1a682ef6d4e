package authz

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/identity"
)

// A rule is one use of a directive in a schema.
type rule struct {
	text string // the directive in the schema, such as @hasRole(anyOf: ["admin"])
	from string // the field or type that carries the directive, such as Query.notes or Note

	// check returns nil if the caller satisfies the rule.
	check func(*caller, *arguments) error
	// usesArguments is set if check depends on the arguments of the field.
	usesArguments bool
	// isInputRule is set if the rule combines the rules of the input types of a field's arguments;
	// see compiler.inputRule.
	isInputRule bool
	dryRun      bool // whether Config.DryRun lists from

	index int // in schemaRules.rules
}

// An arguments value has the arguments of a selected field. It isn't safe for concurrent use.
type arguments struct {
	field *ast.Field
	vars  map[string]any // the operation's variables

	values map[string]any // including the schema's defaults; use all

	inputRule *rule // the last rule with isInputRule that was checked, and its result
	inputErr  error
}

// all returns the values of the arguments. An argument that the client doesn't send has the
// schema's default.
func (a *arguments) all() map[string]any {
	if a.values == nil {
		a.values = a.field.ArgumentMap(a.vars)
	}
	return a.values
}

// sent returns the value of an argument if the client sends it.
func (a *arguments) sent(name string) (value any, ok bool) {
	arg := a.field.Arguments.ForName(name)
	if arg == nil {
		return nil, false
	}
	if arg.Value.Kind == ast.Variable {
		value, ok = a.vars[arg.Value.Raw]
		return value, ok
	}
	return a.all()[name], true
}

// A caller is the user who sent a request, or the error that says why there is no verified user. It
// is safe for concurrent use.
type caller struct {
	user *identity.User
	err  error // of identity.Require
	now  time.Time

	decodeClaims sync.Once
	claims       map[string]any // of the token; set by decodeClaims
}

// claim returns the claim at a path, or nil.
func (c *caller) claim(path []string) any {
	c.decodeClaims.Do(func() {
		if c.user.Token == nil {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(string(c.user.Token.Claims)))
		decoder.UseNumber() // compare numbers as they are written
		if decoder.Decode(&c.claims) != nil {
			c.claims = nil
		}
	})
	var value any = c.claims
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

// valueAt returns the value in args at a path, or nil. It returns a number as a string, because
// clients may send an ID as a number.
func valueAt(args map[string]any, path []string) any {
	var value any = args
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	switch value := value.(type) {
	case string, nil:
		return value
	case json.Number:
		return value.String()
	}
	if v := reflect.ValueOf(value); v.CanInt() {
		return fmt.Sprint(v.Int())
	}
	return value
}
