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
	directive string // its name in directives.graphqls
	text      string // as the schema has it, such as @hasRole(anyOf: ["admin"])
	from      string // what carries it, such as Query.notes or Note

	// check returns nil if the caller satisfies the rule.
	check func(*caller, *arguments) error
	// usesArguments is set if check depends on the arguments of the field.
	usesArguments bool
	// isInputRule is set if the rule stands for those of the field's input types.
	isInputRule bool
	dryRun      bool // Config.DryRun names it

	index int // in schemaRules.rules
}

// arguments are those of a selected field. They aren't safe for concurrent use.
type arguments struct {
	field *ast.Field
	vars  map[string]any // the operation's variables

	values map[string]any // with the schema's defaults; see all

	inputRule *rule // the last rule with isInputRule that was checked, and its result
	inputErr  error
}

// all returns the values of the arguments. A value that the client doesn't send is the schema's
// default.
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

// A caller is the user who sent a request, or the error why there is none. It is safe for
// concurrent use.
type caller struct {
	user *identity.User
	err  error // of identity.Require
	now  time.Time

	decodeClaims sync.Once
	claims       map[string]any // the token's, after decodeClaims
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

// valueAt returns the value in args at a path, or nil. An ID may be given as a number.
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
