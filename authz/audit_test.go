package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
)

const rules = `
directive @public on FIELD_DEFINITION | OBJECT | INTERFACE
directive @auth on FIELD_DEFINITION | OBJECT | INTERFACE
directive @authenticated on FIELD_DEFINITION
`

const (
	noRule    = " has no access rule: give it @public, or a guard such as @auth"
	bothRules = " is @public and guarded at once: keep one of the two"
)

// carries is the fault of a field with directives that nobody registered.
func carries(directives, first string) string {
	return " has no access rule: it carries " + directives +
		", and the registered guards are @auth; register a directive that guards by its name, " +
		`as in authz.Audit(schema, "` + first +
		`") or cloakql.Config.Guards, or give the field @public, or a guard such as @auth`
}

func load(t *testing.T, text string) *ast.Schema {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: rules + text})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestAudit(t *testing.T) {
	for _, tt := range []struct {
		name, schema string
		want         []string // the faults, in the order of the schema
	}{
		{"public", `type Query { a: Int @public }`, nil},
		{"guarded", `type Query { a: Int @auth }`, nil},
		{"no rule", `type Query { a: Int }`, []string{"Query.a" + noRule}},
		{"both", `type Query { a: Int @public @auth }`, []string{"Query.a" + bothRules}},
		{"both, the other way round", `type Query { a: Int @auth @public }`, []string{"Query.a" + bothRules}},
		{"a directive that is no rule", `type Query { a: Int @authenticated }`, []string{"Query.a" + carries("@authenticated", "authenticated")}},
		{"directives that are no rules", `directive @cost(of: Int) on FIELD_DEFINITION type Query { a: Int @deprecated @cost(of: 2) @authenticated }`,
			[]string{"Query.a" + carries("@cost and @authenticated", "cost")}},
		{"deprecated without a rule", `type Query { a: Int @deprecated b: Int @public }`, []string{"Query.a" + noRule}},
		{"deprecated with a rule", `type Query { a: Int @deprecated @public }`, nil},
		{"arguments carry no rule", `type Query { a(b: Int = 1): Int }`, []string{"Query.a" + noRule}},
		// The rule of a type isn't that of its fields: nothing enforces it there.
		{"a rule on the type", `type Query @auth { a: Int }`, []string{"Query.a" + noRule}},
		{"a rule on the interface's field", `interface I { a: Int @auth } type Query implements I { a: Int }`, []string{"Query.a" + noRule}},
		{"mutation", `type Query { a: Int @public } type Mutation { b: Int }`, []string{"Mutation.b" + noRule}},
		{"subscription", `type Query { a: Int @public } type Subscription { b: Int c: Int @auth }`, []string{"Subscription.b" + noRule}},
		{"another type needs none", `type Query { a: A @public } type A { b: Int c: A }`, nil},
		// Names don't make roots; the schema does.
		{"custom roots", `schema { query: Q mutation: M subscription: S } type Q { a: Int } type M { b: Int } type S { c: Int }`,
			[]string{"Q.a" + noRule, "M.b" + noRule, "S.c" + noRule}},
		{"custom roots, all ruled", `schema { query: Q mutation: M } type Q { a: Int @public } type M { b: Int @auth }`, nil},
		{"a type that is called Query and isn't", `schema { query: Q } type Q { a: Query @public } type Query { b: Int }`, nil},
		{"a type that is called Mutation and isn't", `schema { query: Q } type Q { a: Mutation @public } type Mutation { b: Int }`, nil},
		{"extended roots", `type Query { a: Int @public } extend type Query { b: Int }`, []string{"Query.b" + noRule}},
		{"one type, two roots", `schema { query: R mutation: R } type R { a: Int }`, []string{"R.a" + noRule, "R.a" + noRule}},
		{"every fault is named", `
			type Query { a: Int b: Int @public c: Int @public @auth d: Int @auth e: Int }
			type Mutation { f: Int g: Int @auth }
			type Subscription { h: Int @auth @public }`,
			[]string{"Query.a" + noRule, "Query.c" + bothRules, "Query.e" + noRule,
				"Mutation.f" + noRule, "Subscription.h" + bothRules}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			for _, fault := range tt.want {
				want = append(want, "authz: "+fault)
			}
			got := ""
			if err := authz.Audit(load(t, tt.schema)); err != nil {
				got = err.Error()
			}
			if got != strings.Join(want, "\n") {
				t.Errorf("Audit() = %s\nwant %s", got, strings.Join(want, "\n"))
			}
		})
	}
}

// gqlparser adds __schema and __type to the query root, and __typename to none: they need no rule.
func TestAuditExceptsWhatGraphQLOwns(t *testing.T) {
	schema := load(t, `type Query { a: Int @public }`)
	if schema.Query.Fields.ForName("__schema") == nil {
		t.Fatal(
			"gqlparser no longer puts __schema into the query root: see what the exception is " +
				"for now")
	}
	if err := authz.Audit(schema); err != nil {
		t.Errorf("Audit() = %v", err)
	}
	schema.Query.Fields = append(schema.Query.Fields, &ast.FieldDefinition{Name: "_entities"})
	if err := authz.Audit(schema); err == nil || err.Error() != "authz: Query._entities"+noRule {
		t.Errorf("Audit() = %v; one underscore is a name like any other", err)
	}
}

// What gqlgen's federation plugin adds has a source that is marked as built in. Fields of these
// names anywhere else are fields like any other.
func TestAudit_federation(t *testing.T) {
	const added = `
scalar _Any
union _Entity = Order
type _Service { sdl: String }
extend type Root { _entities(representations: [_Any!]!): [_Entity]! _service: _Service! }
extend type Change { _service: _Service! }`
	const shop = `schema { query: Root mutation: Change } type Root { a: Int @public } type Change { b: Int @public } type Order { id: ID! }`
	audit := func(builtIn bool, addition string) string {
		t.Helper()
		schema, err := gqlparser.LoadSchema(&ast.Source{Input: rules + shop},
			&ast.Source{Name: "federation/entity.graphql", Input: addition, BuiltIn: builtIn})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(authz.Audit(schema))
	}
	if got, want := audit(true, added), "authz: Change._service"+noRule; got != want {
		t.Errorf("Audit() = %s\nwant %s", got, want)
	}
	if got, want := audit(false, added),
		"authz: Root._entities"+noRule+"\nauthz: Root._service"+noRule+
			"\nauthz: Change._service"+noRule; got != want {
		t.Errorf("Audit() of fields in the schema's own files = %s\nwant %s", got, want)
	}
	got, want := audit(true, `extend type Root { _secrets: Int }`),
		"authz: Root._secrets"+noRule
	if got != want {
		t.Errorf("Audit() = %s\nwant %s", got, want)
	}
}

// A rule given twice is a fault of the schema already.
func TestARuleTwiceIsNotGraphQL(t *testing.T) {
	_, err := gqlparser.LoadSchema(&ast.Source{Input: rules +
		`type Query { a: Int @public @public }`})
	if err == nil || !strings.Contains(err.Error(), "public") {
		t.Errorf("LoadSchema() = %v, want a complaint about @public", err)
	}
}

func TestAuditOfAnEmptySchema(t *testing.T) {
	if err := authz.Audit(&ast.Schema{}); err != nil {
		t.Errorf("Audit() = %v", err)
	}
}

// A server with directives of its own names them; without their names they guard nothing.
func TestAuditKnowsTheCallersGuards(t *testing.T) {
	schema := load(t,
		`directive @hasTenant on FIELD_DEFINITION type Query { a: Int @hasTenant b: Int @auth @hasTenant }`)
	if err := authz.Audit(schema, "hasTenant"); err != nil {
		t.Errorf("Audit() = %v", err)
	}
	if err := authz.Audit(schema); err == nil ||
		err.Error() != "authz: Query.a"+carries("@hasTenant", "hasTenant") {
		t.Errorf("Audit() without its name = %v", err)
	}
	open := load(t,
		`directive @hasTenant on FIELD_DEFINITION type Query { a: Int @public @hasTenant }`)
	if err := authz.Audit(open, "hasTenant"); err == nil ||
		!strings.Contains(err.Error(), "Query.a is @public and guarded at once") {
		t.Errorf("Audit() of an open and guarded field = %v", err)
	}
}

// The registration is a promise about a directive, so it must be of one, and of one that can guard
// a field.
func TestAudit_refuses_names_of_no_guard(t *testing.T) {
	schema := load(t,
		`directive @onArguments on ARGUMENT_DEFINITION directive @hasRealmRole(name: String) on FIELD_DEFINITION type Query { a: Int @hasRealmRole(name: "x") }`)
	if err := authz.Audit(schema, "hasRealmRole", "auth"); err != nil {
		t.Errorf("Audit() = %v", err)
	}
	for guard, want := range map[string]string{
		"hasRealmRol":   "is no directive of the schema",
		"@hasRealmRole": "is named without the @",
		"public":        "lets everyone pass",
		"deprecated":    "is GraphQL's own, and guards nothing",
		"include":       "is GraphQL's own, and guards nothing",
		"onArguments":   "can't be on a field: its definition lacks FIELD_DEFINITION",
		"":              "is no directive of the schema",
	} {
		err := authz.Audit(schema, "hasRealmRole", guard)
		if want := fmt.Sprintf("authz: the guard %q %s", guard, want); err == nil ||
			err.Error() != want {
			t.Errorf("Audit(%q) = %v, want %s", guard, err, want)
		}
	}
	if err := authz.Audit(nil); err == nil {
		t.Error("Audit(nil) succeeds")
	}
}
