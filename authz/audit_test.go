package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
)

// directiveDefinitions has the definitions of @public, @auth and a directive of an application.
const directiveDefinitions = `
directive @public on FIELD_DEFINITION | OBJECT | INTERFACE
directive @auth on FIELD_DEFINITION | OBJECT | INTERFACE
directive @authenticated on FIELD_DEFINITION
`

// The parts of Audit's messages after the name of a field.
const (
	noRuleMessage    = " has no access rule: give it @public, or a guard such as @auth or @hasRole"
	bothRulesMessage = " is @public and guarded at once: keep one of the two"
)

// unregisteredGuardMessage returns Audit's message for a field with these directives, none of which
// is a registered guard.
func unregisteredGuardMessage(directives ...string) string {
	return " has no access rule: it carries @" + strings.Join(directives, " and @") +
		", and the registered guards are @auth; if @" + directives[0] +
		` is a guard, register its name, as in authz.Audit(schema, "` + directives[0] +
		`") or cloakql.Config.Authz.Guards; otherwise, give the field @public, or a guard such as @auth`
}

// loadSchema returns the schema that directiveDefinitions and definitions define together.
func loadSchema(t *testing.T, definitions string) *ast.Schema {
	t.Helper()
	schema, err := gqlparser.LoadSchema(
		&ast.Source{Name: "schema.graphqls", Input: directiveDefinitions + definitions})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// loadFederatedSchema returns the schema that authz.Schema, definitions and builtIn define
// together. builtIn is marked as built in, as the sources of gqlgen's federation plugin are.
func loadFederatedSchema(t *testing.T, definitions, builtIn string) *ast.Schema {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: authz.Schema() + definitions},
		&ast.Source{Name: "federation/entity.graphql", Input: builtIn, BuiltIn: true})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// The error of Audit names each root field that has no access rule, or both @public and a guard.
func TestAudit(t *testing.T) {
	for _, tt := range []struct {
		name, schema string
		want         []string // the errors, in the order of the schema
	}{
		{"public", `type Query { a: Int @public }`, nil},
		{"guarded", `type Query { a: Int @auth }`, nil},
		{"no rule", `type Query { a: Int }`, []string{"Query.a" + noRuleMessage}},
		{"public and guarded", `type Query { a: Int @public @auth }`,
			[]string{"Query.a" + bothRulesMessage}},
		{"guarded and public", `type Query { a: Int @auth @public }`,
			[]string{"Query.a" + bothRulesMessage}},
		{"unknown directive", `type Query { a: Int @authenticated }`,
			[]string{"Query.a" + unregisteredGuardMessage("authenticated")}},
		{"unknown directives",
			`directive @cost(of: Int) on FIELD_DEFINITION type Query { a: Int @deprecated ` +
				`@cost(of: 2) @authenticated }`,
			[]string{"Query.a" + unregisteredGuardMessage("cost", "authenticated")}},
		{"deprecated without a rule", `type Query { a: Int @deprecated b: Int @public }`,
			[]string{"Query.a" + noRuleMessage}},
		{"deprecated with a rule", `type Query { a: Int @deprecated @public }`, nil},
		{"field with an argument", `type Query { a(b: Int = 1): Int }`,
			[]string{"Query.a" + noRuleMessage}},
		{"rule on the type", `type Query @auth { a: Int }`, nil},
		{"rule on the interface's field",
			`interface I { a: Int @auth } type Query implements I { a: Int }`, nil},
		{"rule on the interface",
			`interface I @auth { a: Int } type Query implements I { a: Int }`, nil},
		{"rule on the returned type", `type Query { a: A } type A @auth { b: Int }`, nil},
		{"public, but the type isn't", `type Query @auth { a: Int @public }`,
			[]string{"Query.a is @public, but @auth of Query guards it: keep one of the two"}},
		{"mutation", `type Query { a: Int @public } type Mutation { b: Int }`,
			[]string{"Mutation.b" + noRuleMessage}},
		{"subscription", `type Query { a: Int @public } type Subscription { b: Int c: Int @auth }`,
			[]string{"Subscription.b" + noRuleMessage}},
		{"other types need no rule", `type Query { a: A @public } type A { b: Int c: A }`, nil},
		// The schema definition names the root types.
		{"custom roots", `schema { query: Q mutation: M subscription: S } type Q { a: Int } type ` +
			`M { b: Int } type S { c: Int }`,
			[]string{"Q.a" + noRuleMessage, "M.b" + noRuleMessage, "S.c" + noRuleMessage}},
		{"custom roots with rules",
			`schema { query: Q mutation: M } type Q { a: Int @public } type M { b: Int @auth }`,
			nil},
		{"type Query isn't a root",
			`schema { query: Q } type Q { a: Query @public } type Query { b: Int }`, nil},
		{"type Mutation isn't a root",
			`schema { query: Q } type Q { a: Mutation @public } type Mutation { b: Int }`, nil},
		{"extended roots", `type Query { a: Int @public } extend type Query { b: Int }`,
			[]string{"Query.b" + noRuleMessage}},
		{"one type as two roots", `schema { query: R mutation: R } type R { a: Int }`,
			[]string{"R.a" + noRuleMessage, "R.a" + noRuleMessage}},
		{"several errors", `
			type Query { a: Int b: Int @public c: Int @public @auth d: Int @auth e: Int }
			type Mutation { f: Int g: Int @auth }
			type Subscription { h: Int @auth @public }`,
			[]string{"Query.a" + noRuleMessage, "Query.c" + bothRulesMessage,
				"Query.e" + noRuleMessage, "Mutation.f" + noRuleMessage, "Subscription.h" +
					bothRulesMessage}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			for _, message := range tt.want {
				want = append(want, "authz: "+message)
			}
			got := ""
			if err := authz.Audit(loadSchema(t, tt.schema)); err != nil {
				got = err.Error()
			}
			if got != strings.Join(want, "\n") {
				t.Errorf("Audit() = %s\nwant %s", got, strings.Join(want, "\n"))
			}
		})
	}
}

// The fields __schema and __type, which gqlparser adds to the query type, need no access rule.
func TestAudit_introspection(t *testing.T) {
	schema := loadSchema(t, `type Query { a: Int @public }`)
	if schema.Query.Fields.ForName("__schema") == nil {
		t.Fatal(
			"the query type lacks __schema: if gqlparser no longer adds it, remove Audit's " +
				"exemption")
	}
	if err := authz.Audit(schema); err != nil {
		t.Errorf("Audit() = %v, want no error", err)
	}
	schema.Query.Fields = append(schema.Query.Fields, &ast.FieldDefinition{Name: "_entities"})
	if err := authz.Audit(schema); err == nil ||
		err.Error() != "authz: Query._entities"+noRuleMessage {
		t.Errorf("Audit() of the field _entities = %v, want an error about Query._entities", err)
	}
}

// The fields _entities and _service of the query type need no access rule if gqlgen's federation
// plugin added them. The plugin's sources are marked as built in.
func TestAudit_federation(t *testing.T) {
	const federationFields = `
scalar _Any
union _Entity = Order
type _Service { sdl: String }
extend type Root { _entities(representations: [_Any!]!): [_Entity]! _service: _Service! }
extend type Change { _service: _Service! }`
	const shopSchema = `schema { query: Root mutation: Change } type Root { a: Int @public } ` +
		`type Change { b: Int @public } type Order { id: ID! @public }`
	auditWith := func(builtIn bool, addition string) string {
		t.Helper()
		schema, err := gqlparser.LoadSchema(&ast.Source{Input: directiveDefinitions + shopSchema},
			&ast.Source{Name: "federation/entity.graphql", Input: addition, BuiltIn: builtIn})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(authz.Audit(schema))
	}
	for _, tt := range []struct {
		builtIn        bool
		addition, want string
	}{
		{true, federationFields, "authz: Change._service" + noRuleMessage},
		{false, federationFields, "authz: Root._entities" + noRuleMessage +
			"\nauthz: Root._service" + noRuleMessage + "\nauthz: Change._service" + noRuleMessage},
		{true, `extend type Root { _secrets: Int }`, "authz: Root._secrets" + noRuleMessage},
	} {
		if got := auditWith(tt.builtIn, tt.addition); got != tt.want {
			t.Errorf("Audit() of a schema with %s, built in %t = %s\nwant %s", tt.addition,
				tt.builtIn, got, tt.want)
		}
	}
}

// gqlparser rejects a field that carries @public twice, so Audit needn't check for it.
func TestAudit_duplicateRule(t *testing.T) {
	_, err := gqlparser.LoadSchema(&ast.Source{Input: directiveDefinitions +
		`type Query { a: Int @public @public }`})
	if err == nil || !strings.Contains(err.Error(), "public") {
		t.Errorf("LoadSchema() = %v, want an error about @public", err)
	}
}

// A schema without root types passes the audit.
func TestAudit_emptySchema(t *testing.T) {
	if err := authz.Audit(&ast.Schema{}); err != nil {
		t.Errorf("Audit() = %v, want no error", err)
	}
}

// An application's directives count as guards only if they are passed to Audit.
func TestAudit_guards(t *testing.T) {
	schema := loadSchema(t,
		`directive @hasTenant on FIELD_DEFINITION type Query { a: Int @hasTenant b: Int @auth `+
			`@hasTenant }`)
	if err := authz.Audit(schema, "hasTenant"); err != nil {
		t.Errorf("Audit() = %v, want no error", err)
	}
	if err := authz.Audit(schema); err == nil ||
		err.Error() != "authz: Query.a"+unregisteredGuardMessage("hasTenant") {
		t.Errorf("Audit() without the guard's name = %v, want an error about Query.a", err)
	}
	publicSchema := loadSchema(t,
		`directive @hasTenant on FIELD_DEFINITION type Query { a: Int @public @hasTenant }`)
	if err := authz.Audit(publicSchema, "hasTenant"); err == nil ||
		!strings.Contains(err.Error(), "Query.a is @public and guarded at once") {
		t.Errorf("Audit() of a public and guarded field = %v, want an error about Query.a", err)
	}
}

// Audit returns an error if a guard isn't a directive of the schema or can't guard a field.
func TestAudit_invalidGuards(t *testing.T) {
	schema := loadSchema(t,
		`directive @onArguments on ARGUMENT_DEFINITION directive @hasRealmRole(name: String) on `+
			`FIELD_DEFINITION type Query { a: Int @hasRealmRole(name: "x") }`)
	if err := authz.Audit(schema, "hasRealmRole", "auth"); err != nil {
		t.Errorf("Audit() = %v, want no error", err)
	}
	for guard, want := range map[string]string{
		"hasRealmRol":   "is no directive of the schema",
		"@hasRealmRole": "must be listed without the @",
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
		t.Error("Audit(nil) = nil, want an error")
	}
}
