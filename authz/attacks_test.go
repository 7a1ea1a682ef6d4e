package authz

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/identity"
)

// attackSchema has guarded fields behind interfaces of interfaces, unions and lists.
const attackSchema = `
type Query {
  open: String @public
  admin: String @hasRole(anyOf: ["admin"])
  top: Top! @public
  middle: Middle! @public
  tops: [[Top!]!]! @public
  leaf: Leaf! @public
  union: Union! @public
  one: One! @public
  find(filter: Filter, level: Level = LOW, levels: [[Level!]!]): String @public
}
type Mutation { leaf: Leaf @auth open: Open @auth pair: Pair @auth }
interface Top { id: ID! mark: String @hasRole(anyOf: ["admin"]) price: String }
interface Middle implements Top { id: ID! mark: String price: String }
type Leaf implements Middle & Top { id: ID! mark: String price: String! @hasRole(anyOf: ["admin"]) }
type Twig implements Middle & Top { id: ID! mark: String price: String! @hasRole(anyOf: ["admin"]) }
interface Node { id: ID! }
type Open implements Node { id: ID! }
union Pair = Open | Second
type Second implements Node { id: ID! }
type Closed implements Node { id: ID! @hasRole(anyOf: ["admin"]) }
union Union = Leaf | Twig
interface One { text: String! @hasRole(anyOf: ["admin"]) }
type OnlyOne implements One { text: String! self: OnlyOne! }
enum Level @hasRole(anyOf: ["admin"]) { LOW HIGH }
input Filter { level: Level = HIGH deleted: Boolean @hasRole(anyOf: ["admin"]) and: [Filter!] }
`

// Rules apply to a field however an operation reaches it. Nothing runs if the null in place of a
// denied field would make the whole response null.
func TestDecide_attacks(t *testing.T) {
	rules := loadRules(t, attackSchema, Config{})
	for _, tt := range []struct {
		name, document string
		vars           map[string]any
		denied         string
		stopped        bool
	}{
		{"interface of an interface", `{ top { mark } }`, nil, "top.mark", false},
		{"interface that implements another", `{ middle { mark } }`, nil, "middle.mark", false},
		// The field price is nullable in the interface, but non-null in every implementation.
		{"non-null in every implementation", `{ top { price } }`, nil, "top.price", true},
		{"list of lists", `{ tops { price } }`, nil, "tops.price", true},
		{"fragment on a union that has the object's type", `{ leaf { ... on Union { ... on Leaf {
			price } } } }`, nil, "leaf.price", false},
		{"fragment on an interface, in a union", `{ union { ... on Top { price } } }`, nil,
			"union.price", true},
		{"fragment on the only implementation", `{ one { ... on OnlyOne { text } } }`, nil,
			"one.text", true},
		{"recursive type", `{ one { ... on OnlyOne { self { self { text } } } } }`, nil,
			"one.self.self.text", true},
		{"alias with the name of another field", `{ admin: open ... { admin2: admin } }`, nil,
			"admin2", false},
		{"skip with false", `query($f: Boolean! = false) { admin @skip(if: $f) }`,
			map[string]any{"f": false}, "admin", false},
		// The default applies even if the map of variables lacks the variable.
		{"include with a default", `query($t: Boolean = true) { admin @include(if: $t) }`, nil,
			"admin", false},
		{"include with null", `query($t: Boolean = true) { admin @include(if: $t) }`,
			map[string]any{"t": nil}, "admin", false},
		{"include with another type", `query($t: Boolean!) { admin @include(if: $t) }`,
			map[string]any{"t": "false"}, "admin", false},
		{"fragment that is skipped in one place, and spread in another",
			`query($t: Boolean!) { ...A @skip(if: $t) ...B }
			fragment A on Query { admin } fragment B on Query { ...A }`, map[string]any{"t": true},
			"admin", false},
		{"fragment with a rule of another type, in a mutation", `mutation { open { ...F } }
			fragment F on Node { id ... on Closed { id } }`, nil, "", false},
		{"fragment on an interface of the returned type, in a mutation", `mutation { leaf { ...F } }
			fragment F on Top { id price }`, nil, "leaf.price", true},
		{"interface of all members of a union, in a mutation",
			`mutation { pair { ... on Node { id } } }`, nil, "", false},
		{"skipped field", `query($t: Boolean!) { open admin @skip(if: $t) }`,
			map[string]any{"t": true}, "", false},

		{"default of an argument", `{ find }`, nil, "", false},
		{"default of an input field", `{ find(filter: {}) }`, nil, "", false},
		{"variable without a value", `query($l: Level) { find(level: $l) }`, nil, "", false},
		{"variable's default", `query($l: Level = HIGH) { find(level: $l) }`,
			map[string]any{"l": "HIGH"}, "find", false},
		{"client sends the default of an argument", `{ find(level: LOW) }`, nil, "find", false},
		{"list of lists from one value", `query($l: [[Level!]!]) { find(levels: $l) }`,
			map[string]any{"l": [][]string{{"LOW"}}}, "find", false},
		{"typed list of objects", `query($f: Filter) { find(filter: $f) }`,
			map[string]any{"f": map[string]any{"and": []map[string]any{{"deleted": nil}}}}, "find",
			false},
		{"list with a null", `query($l: [[Level!]!]) { find(levels: $l) }`,
			map[string]any{"l": []any{nil}}, "", false},
		{"object with a variable that isn't sent",
			`query($d: Boolean) { find(filter: {deleted: $d}) }`, nil, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := decideDocument(t, rules, tt.document, tt.vars, callerWithRoles("user"))
			if got := d.deniedPaths(); got != tt.denied || d.stopped != tt.stopped {
				t.Errorf("denied %q, stopped %t; want %q, %t", got, d.stopped, tt.denied,
					tt.stopped)
			}
			if d := decideDocument(t, rules, tt.document, tt.vars,
				callerWithRoles("admin")); d.denied != nil || d.perObject {
				t.Errorf("an admin is denied %q", d.deniedPaths())
			}
		})
	}
}

// A guard of Schema is enforced even if Config.Guards lists it, or if its source is marked as built
// in.
func TestCompile_enforcesEveryRule(t *testing.T) {
	const definitions = `type Query { a: Int @hasRole(anyOf: ["admin"]) }`
	schema := loadSource(t, Schema()+definitions)
	builtIn, err := gqlparser.LoadSchema(&ast.Source{Input: Schema()},
		&ast.Source{Input: definitions, BuiltIn: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range []*ast.Schema{schema, builtIn} {
		rules, err := compile(schema, Config{Guards: []string{"hasRole"}})
		if err != nil {
			t.Fatal(err)
		}
		d := decideDocument(t, rules, "{ a }", nil, callerWithRoles())
		if got := d.deniedPaths(); got != "a" {
			t.Errorf("denied %q, want a", got)
		}
	}
}

// Install and Audit reject schemas in which a rule would have no effect, or names a wrong argument.
func TestCompile_errors(t *testing.T) {
	moreLocations := strings.ReplaceAll(Schema(), "FIELD_DEFINITION | OBJECT",
		"ARGUMENT_DEFINITION | ENUM_VALUE | SCHEMA | FIELD_DEFINITION | OBJECT")
	for _, tt := range []struct {
		name, source string
		config       Config
		want         string
	}{
		{"guard on an argument", moreLocations + `type Query { a(b: Int @auth): Int @public }`,
			Config{}, "Query.a(b:) carries @auth, which has no effect there"},
		{"guard on an enum's value",
			moreLocations + `type Query { a: E @public } enum E { X @auth }`,
			Config{}, "E.X carries @auth, which has no effect there"},
		{"guard on the schema",
			moreLocations + `schema @auth { query: Query } type Query { a: Int @public }`,
			Config{}, "the schema carries @auth, which has no effect there"},
		{"two directives with one name", Schema() + `type Query { a: Int @auth }`,
			Config{Names: map[string]string{"notImpersonated": "auth"}},
			`@auth would be both "auth" and "notImpersonated"`},
		{"@public as a guard", Schema() + `directive @all on FIELD_DEFINITION
			type Query { a: Int @all }`, Config{Guards: []string{"all"},
			Names: map[string]string{"public": "all"}}, `the guard "all" lets everyone pass`},
		{"@fromToken as a guard", Schema() + `type Query { a: Int @fromToken }`,
			Config{Guards: []string{"fromToken"}}, `the guard "fromToken" lets everyone pass`},
		{"@owner with a list", Schema() + `type Query { a(ids: [ID!]): Int @owner(arg: "ids") }`,
			Config{}, `names "ids", which is a list: expected one value`},
		{"@owner with an input object", Schema() + `type Query { a(in: In): Int @owner(arg: "in") }
			input In { id: ID }`, Config{}, `names "in", which is an input object`},
		{"@owner with a misspelt field", Schema() + `type Query { a(in: In): Int
			@owner(arg: "in.userid") } input In { userId: ID }`, Config{},
			`names "in.userid", but "in" has no field "userid"`},
		{"@owner with a field of an ID",
			Schema() + `type Query { a(id: ID): Int @owner(arg: "id.x") }`, Config{},
			`names "id.x", but "id" has no field "x"`},
		{"dry run of a field without a rule", Schema() + `type Query { a(f: F): Int @public }
			input F { b: Int @auth }`, Config{DryRun: []string{"Query.a"}},
			`Config.DryRun has "Query.a"`},
		{"dry run of Config.Default", Schema() + `type Query { a: Int }`,
			Config{Default: DefaultAuth, DryRun: []string{"Config.Default"}},
			`Config.DryRun has "Config.Default"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := compile(loadSource(t, tt.source), tt.config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A schema that lacks types, because a program built it without gqlparser, causes no panic. If a
// type implements an interface only through another interface, the rules of both apply.
func TestCompile_incompleteSchema(t *testing.T) {
	schema := loadSource(t, Schema()+attackSchema)
	schema.PossibleTypes = nil
	schema.Types["Leaf"].Interfaces = []string{"Middle", "Missing"}
	schema.Types["Missing2"] = nil
	schema.Types["Union"].Types = append(schema.Types["Union"].Types, "Missing3")
	schema.Query.Fields = append(schema.Query.Fields,
		&ast.FieldDefinition{Name: "incomplete", Directives: schema.Query.Fields[0].Directives,
			Arguments: ast.ArgumentDefinitionList{{Name: "x"}}})
	rules, err := compile(schema, Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := decideDocument(t, rules, "{ leaf { mark } top { mark } }", nil, callerWithRoles())
	if got := d.deniedPaths(); got != "leaf.mark top.mark" {
		t.Errorf("denied %q, want leaf.mark and top.mark", got)
	}
}

// If Config.DryRun lists an input field, the field's rule denies nothing. The decision names the
// field of Query that the rule would deny.
func TestDecide_dryRunOfInput(t *testing.T) {
	rules := loadRules(t, attackSchema, Config{DryRun: []string{"Filter.deleted"}})
	d := decideDocument(t, rules, "{ find(filter: {deleted: true}) }", nil, callerWithRoles())
	if d.denied != nil || toJSON(d.dryRunNames.list()) != `["Query.find"]` {
		t.Errorf("denied %q, dry run %v; want nothing, and Query.find", d.deniedPaths(),
			d.dryRunNames.list())
	}
	d = decideDocument(t, rules, "{ find(filter: {deleted: true, level: LOW}) }", nil,
		callerWithRoles())
	if d.deniedPaths() != "find" {
		t.Errorf("denied %q, want find, because of filter.level", d.deniedPaths())
	}
}

// Auth and Guard use a decision only for the operation for which it was made. A resolver may pass
// its context to another server, which doesn't use Install.
func TestGuard_otherOperation(t *testing.T) {
	opCtx := &graphql.OperationContext{}
	ctx := graphql.WithOperationContext(context.Background(), opCtx)
	ctx = context.WithValue(ctx, decisionKey{}, &decision{opCtx: opCtx})
	next := func(context.Context) (any, error) { return 1, nil }
	if _, err := Auth(ctx, nil, next); err != nil {
		t.Errorf("Auth() = %v, want no error", err)
	}
	other := graphql.WithOperationContext(ctx, &graphql.OperationContext{})
	if _, err := Auth(other, nil, next); !errors.Is(err, identity.ErrTokenMissing) {
		t.Errorf("Auth() of another operation = %v, want %v", err, identity.ErrTokenMissing)
	}
	if _, err := Guard(other, nil, next); !errors.Is(err, errNotInstalled) {
		t.Errorf("Guard() of another operation = %v, want %v", err, errNotInstalled)
	}
}

// Install rejects a schema that isn't the server's, because its rules would apply to no field.
func TestInstall_otherSchema(t *testing.T) {
	const source = `type Query { a: Int @auth }`
	server := handler.New(&testExecutor{schema: loadSource(t, Schema()+source)})
	err := Install(server, &testExecutor{schema: loadSource(t, Schema()+source)}, Config{})
	if err == nil || !strings.Contains(err.Error(), "another schema") {
		t.Errorf("Install() = %v, want an error", err)
	}
}

// claim is safe for concurrent use, even if the claims can't be decoded.
func TestCaller_concurrent(t *testing.T) {
	for _, claims := range []string{`null`, `{"a":"b"}`, `[`, ``} {
		c := callerWithRoles()
		c.user.Token.Claims = identity.Claims(claims)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				want := any(nil)
				if claims == `{"a":"b"}` {
					want = "b"
				}
				if got := c.claim([]string{"a"}); got != want {
					t.Errorf("claim() of %s = %v, want %v", claims, got, want)
				}
			})
		}
		group.Wait()
	}
}

// Observe is called once for an operation with several responses.
func TestEnforcer_observesOnce(t *testing.T) {
	calls := 0
	e := &enforcer{rules: loadRules(t, `type Query { a: Int @notImpersonated }`,
		Config{DryRun: []string{"Query.a"}}), config: Config{Now: time.Now,
		Observe: func(context.Context, Denial) { calls++ }}}
	doc := gqlparser.MustLoadQueryWithRules(e.rules.schema, "{ a }", nil)
	ctx := graphql.WithOperationContext(context.Background(),
		&graphql.OperationContext{Doc: doc, Operation: doc.Operations[0]})
	respond := e.InterceptOperation(ctx, func(context.Context) graphql.ResponseHandler {
		return func(context.Context) *graphql.Response { return &graphql.Response{} }
	})
	for range 3 {
		respond(ctx)
	}
	if calls != 1 {
		t.Errorf("Observe was called %d times, want once", calls)
	}
}
