package authz_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
)

// An executableSchema is like the type that gqlgen generates. R is the interface that gqlgen
// generates for the resolvers, and D its DirectiveRoot.
type executableSchema[R, D any] graphql.ExecutableSchemaState[R, D, struct{}]

func (e *executableSchema[R, D]) Schema() *ast.Schema { return e.SchemaData }

func (*executableSchema[R, D]) Complexity(context.Context, string, string, int,
	map[string]any) (int, bool) {
	return 0, false
}

func (*executableSchema[R, D]) Exec(context.Context) graphql.ResponseHandler { return nil }

// The interfaces in this group are like the ResolverRoots that gqlgen generates.
type (
	queryResolvers interface{ Query() any }
	itemResolvers  interface {
		Query() any
		Item() any
	}
	otherRootResolvers interface {
		Root() any
		Mutation() any
	}
	// gqlgen removes underscores, and writes initialisms in capitals.
	renamedResolvers interface {
		Query() any
		UserIDItem() any
	}
	noResolvers interface{}
)

// newExecutable returns a schema with definitions, the directives of authz.Schema, and @own, a
// directive of the application.
func newExecutable[R, D any](t *testing.T, definitions string,
	directives D) *executableSchema[R, D] {
	t.Helper()
	schema, err := gqlparser.LoadSchema(
		&ast.Source{Name: "../authz.graphqls", Input: authz.Schema()},
		&ast.Source{Name: "shop.graphqls",
			Input: `directive @own on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | SCALAR | ENUM |
				ARGUMENT_DEFINITION | INPUT_OBJECT | INPUT_FIELD_DEFINITION ` + definitions})
	if err != nil {
		t.Fatal(err)
	}
	return &executableSchema[R, D]{SchemaData: schema, Directives: directives}
}

// auditFromToken returns the message of AuditFromToken for a schema with these definitions.
func auditFromToken[R any](t *testing.T, definitions string) string {
	t.Helper()
	err := authz.AuditFromToken(newExecutable[R](t, definitions, struct{}{}))
	if err == nil {
		return ""
	}
	return err.Error()
}

// For each field with @fromToken, the error of AuditFromToken names the types below the field that
// have resolvers, and the directives that the application may implement.
func TestAuditFromToken(t *testing.T) {
	const prefix = "authz: Query.a carries @fromToken, but "
	resolverProblem := func(name string) string {
		return prefix + "the type " + name + " has resolvers of its own"
	}
	directiveProblem := func(name string) string {
		return prefix + name + " carries @own, which may depend on more than the access token"
	}
	for _, tt := range []struct {
		name  string
		audit func(*testing.T, string) string
		// definitions has the field a of Query.
		definitions, want string
	}{
		{"no field with @fromToken", auditFromToken[itemResolvers],
			`type Query { a: Item @auth @own } type Item { b: Int @own }`, ""},
		{"no resolvers below", auditFromToken[queryResolvers],
			`type Query { a: Item @auth @fromToken } type Item { b: [Item!]! @deprecated c: Time ` +
				`} scalar Time @specifiedBy(url: "https://example.com")`, ""},
		{"resolvers elsewhere", auditFromToken[itemResolvers],
			`type Query { a: Int @auth @fromToken b: Item @auth } type Item { b: Int }`, ""},
		{"a public field", auditFromToken[queryResolvers],
			`type Query { a: Int @public @fromToken }`, ""},

		{"resolvers of the field's type", auditFromToken[itemResolvers],
			`type Query { a: Item @auth @fromToken } type Item { b: Int }`,
			resolverProblem("Item")},
		{"resolvers deeper", auditFromToken[itemResolvers],
			`type Query { a: A @auth @fromToken } type A { b: B } type B { c: Item } type Item { ` +
				`b: Int }`, resolverProblem("Item")},
		{"resolvers below a list", auditFromToken[itemResolvers],
			`type Query { a: [[Item!]!]! @auth @fromToken } type Item { b: Int }`,
			resolverProblem("Item")},
		{"resolvers below an interface", auditFromToken[itemResolvers],
			`type Query { a: I @auth @fromToken } interface I { b: Int } type Item implements I ` +
				`{ b: Int }`, resolverProblem("Item")},
		{"resolvers below an interface of an interface", auditFromToken[itemResolvers],
			`type Query { a: I @auth @fromToken } interface I { b: Int } interface J implements ` +
				`I { b: Int } type Item implements J & I { b: Int }`, resolverProblem("Item")},
		{"resolvers below a union", auditFromToken[itemResolvers],
			`type Query { a: U @auth @fromToken } union U = A | Item type A { b: Int } type Item ` +
				`{ b: Int }`, resolverProblem("Item")},
		{"resolvers below a member of a union", auditFromToken[itemResolvers],
			`type Query { a: U @auth @fromToken } union U = A type A { b: Item } type Item { b: ` +
				`Int }`, resolverProblem("Item")},
		{"resolvers of an argument's type", auditFromToken[itemResolvers],
			`type Query { a(b: Input): Int @auth @fromToken } input Input { c: Item } input Item ` +
				`{ d: Int }`, resolverProblem("Item")},
		{"names that Go writes differently", auditFromToken[renamedResolvers],
			`type Query { a: user_id_item @auth @fromToken } type user_id_item { b: Int }`,
			resolverProblem("user_id_item")},
		{"the query type below itself", auditFromToken[queryResolvers],
			`type Query { a: A @auth @fromToken } type A { query: Query }`,
			resolverProblem("Query")},
		{"cyclic types", auditFromToken[itemResolvers],
			`type Query { a: A @auth @fromToken } type A { b: B a: A } type B { a: A item: Item ` +
				`} type Item { b: B }`, resolverProblem("Item")},

		{"directive on the field", auditFromToken[queryResolvers],
			`type Query { a: Int @own @fromToken }`, directiveProblem("Query.a")},
		{"directive on an argument", auditFromToken[queryResolvers],
			`type Query { a(b: Int @own): Int @auth @fromToken }`, directiveProblem("Query.a(b:)")},
		{"directive on the field of an input", auditFromToken[queryResolvers],
			`type Query { a(b: Input): Int @auth @fromToken } input Input { c: Int @own }`,
			directiveProblem("Input.c")},
		{"directive on a field below", auditFromToken[queryResolvers],
			`type Query { a: A @auth @fromToken } type A { b: Int @own }`, directiveProblem("A.b")},
		{"directive on a type", auditFromToken[queryResolvers],
			`type Query { a: A @auth @fromToken } type A @own { b: Int }`, directiveProblem("A")},
		{"directive on an interface", auditFromToken[queryResolvers],
			`type Query { a: I @auth @fromToken } interface I @own { b: Int } type A implements ` +
				`I { b: Int }`, directiveProblem("I")},
		{"directive on a scalar", auditFromToken[queryResolvers],
			`type Query { a: Time @auth @fromToken } scalar Time @own`, directiveProblem("Time")},
		{"directive elsewhere", auditFromToken[queryResolvers],
			`type Query { a: Int @auth @fromToken b: B @auth } type B @own { b: Int @own }`, ""},

		{"mutation", auditFromToken[queryResolvers],
			`type Query { a: Int @auth } type Mutation { b: Int @auth @fromToken }`,
			"authz: Mutation.b carries @fromToken: only fields of the query type may"},
		{"subscription", auditFromToken[queryResolvers],
			`type Query { a: Int @auth } type Subscription { b: Int @auth @fromToken }`,
			"authz: Subscription.b carries @fromToken: only fields of the query type may"},
		{"field of an object", auditFromToken[queryResolvers],
			`type Query { a: A @auth } type A { b: Int @fromToken }`,
			"authz: A.b carries @fromToken: only fields of the query type may"},
		{"field of an interface", auditFromToken[queryResolvers],
			`type Query { a: I @auth } interface I { b: Int @fromToken }`,
			"authz: I.b carries @fromToken: only fields of the query type may"},
		{"custom query type", auditFromToken[otherRootResolvers],
			`schema { query: Root } type Root { a: Int @auth @fromToken }`, ""},
		{"type Query isn't the query type", auditFromToken[otherRootResolvers],
			`schema { query: Root } type Root { a: Query @auth } type Query { a: Int @fromToken }`,
			"authz: Query.a carries @fromToken: only fields of the query type may"},
		{"several errors", auditFromToken[itemResolvers],
			`type Query { a: Item @own @fromToken b: Item @auth @fromToken } type Item { c: Int ` +
				`@own } type Mutation { d: Int @fromToken }`,
			"authz: Mutation.d carries @fromToken: only fields of the query type may\n" +
				directiveProblem("Query.a") + "\n" + resolverProblem("Item") + "\n" +
				directiveProblem("Item.c") + "\n" + strings.ReplaceAll(resolverProblem("Item")+"\n"+
				directiveProblem("Item.c"), "Query.a", "Query.b")},

		{"no generated interface", auditFromToken[noResolvers],
			`type Query { a: Int @auth @fromToken }`,
			"authz: @fromToken can't be checked: " +
				"*authz_test.executableSchema[github.com/cloakql/cloakql/authz_test.noResolvers,struct {}] isn't a schema that gqlgen generated"},
		{"no generated interface, no field with @fromToken", auditFromToken[noResolvers],
			`type Query { a: Int @auth }`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.audit(t, tt.definitions); got != tt.want {
				t.Errorf("AuditFromToken() = %s\nwant %s", got, tt.want)
			}
		})
	}
}

// AuditFromToken rejects a schema that wraps the generated schema, because the wrapper could change
// responses. It also returns an error if there is no schema.
func TestAuditFromToken_otherSchemas(t *testing.T) {
	type generated = executableSchema[queryResolvers, struct{}]
	type embedsInterface struct{ graphql.ExecutableSchema }
	type embedsGenerated struct{ *generated }
	const definitions = `type Query { a: Int @auth @fromToken }`
	schema := newExecutable[queryResolvers](t, definitions, struct{}{})
	for _, wrapper := range []graphql.ExecutableSchema{
		embedsInterface{schema}, &embedsInterface{schema}, embedsGenerated{schema},
		&embedsGenerated{schema}, schemaFunc(schema.Schema),
	} {
		if err := authz.AuditFromToken(wrapper); err == nil ||
			!strings.HasPrefix(err.Error(), "authz: @fromToken can't be checked: ") {
			t.Errorf("AuditFromToken(%T) = %v, want an error", wrapper, err)
		}
	}
	withoutDirective := newExecutable[queryResolvers](t, `type Query { a: Int @auth }`, struct{}{})
	if err := authz.AuditFromToken(embedsInterface{withoutDirective}); err != nil {
		t.Errorf("AuditFromToken() without @fromToken = %v, want nil", err)
	}
	for _, executable := range []graphql.ExecutableSchema{nil, &generated{}} {
		checkError(t, authz.AuditFromToken(executable), "authz: there is no schema to audit")
	}
}

// A schemaFunc is an executable schema that isn't a struct.
type schemaFunc func() *ast.Schema

func (f schemaFunc) Schema() *ast.Schema { return f() }
func (schemaFunc) Complexity(context.Context, string, string, int, map[string]any) (int, bool) {
	return 0, false
}
func (schemaFunc) Exec(context.Context) graphql.ResponseHandler { return nil }

// AuditFromToken accepts @auth and @public only if they are bound to Auth and Public.
func TestAuditFromToken_replacedRules(t *testing.T) {
	const definitions = `type Query { a: Int @auth @fromToken b: Int @public @fromToken }`
	revoked := func(context.Context, any, graphql.Resolver) (any, error) {
		return nil, errors.New("the token was revoked")
	}
	for _, tt := range []struct {
		name string
		root minimalRoot
		want string
	}{
		{"functions of this package", minimalRoot{Public: authz.Public, Auth: authz.Auth}, ""},
		{"own Auth", minimalRoot{Public: authz.Public, Auth: revoked},
			"authz: Query.a carries @fromToken, but Query.a carries @auth, which may depend on " +
				"more than the access token"},
		{"own Public", minimalRoot{Public: revoked, Auth: authz.Auth},
			"authz: Query.b carries @fromToken, but Query.b carries @public, which may depend on " +
				"more than the access token"},
	} {
		got := ""
		if err := authz.AuditFromToken(newExecutable[queryResolvers](t, definitions,
			tt.root)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: AuditFromToken() = %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// AuditFromToken accepts the guards of Schema, but not @stepUp with maxAge, and not a guard that is
// bound to another function.
func TestAuditFromToken_guards(t *testing.T) {
	const problem = "authz: Query.a carries @fromToken, but User.b carries @%s, which may depend " +
		"on more than the access token"
	bound, err := authz.Bind(rootWithGuards{})
	if err != nil {
		t.Fatal(err)
	}
	replaced := bound
	replaced.NotImpersonated = func(context.Context, any, graphql.Resolver) (any, error) {
		return nil, errStaff
	}
	for _, tt := range []struct {
		name, guard string
		root        rootWithGuards
		want        string
	}{
		{"role", `@hasRole(anyOf: ["admin"])`, bound, ""},
		{"impersonation", "@notImpersonated", bound, ""},
		{"another function", "@notImpersonated", replaced, "notImpersonated"},
		{"strength", `@stepUp(acr: ["gold"])`, bound, ""},
		{"time", "@stepUp(maxAge: 60)", bound, "stepUp"},
		{"time and strength", `@stepUp(acr: ["gold"], maxAge: 60)`, bound, "stepUp"},
	} {
		definitions := `type Query { a: User @auth @fromToken } type User { b: Int ` + tt.guard +
			` }`
		want := ""
		if tt.want != "" {
			want = fmt.Sprintf(problem, tt.want)
		}
		got := ""
		if err := authz.AuditFromToken(newExecutable[queryResolvers](t, definitions,
			tt.root)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: AuditFromToken() = %s\nwant %s", tt.name, got, want)
		}
	}
}

// IsFromToken reports whether a field carries the directive.
func TestIsFromToken(t *testing.T) {
	query := newExecutable[queryResolvers](t, `type Query { a: Int @auth @fromToken b: Int @auth }`,
		struct{}{}).Schema().Query
	for name, want := range map[string]bool{"a": true, "b": false, "__schema": false,
		"none": false} {
		if got := authz.IsFromToken(query.Fields.ForName(name)); got != want {
			t.Errorf("IsFromToken(%s) = %t, want %t", name, got, want)
		}
	}
}

// The error of AuditFromToken names each @stepUp with maxAge that a type gets from an interface,
// and directives on the query type.
func TestAuditFromToken_inherited(t *testing.T) {
	const prefix = "authz: Query.a carries @fromToken, but "
	for _, tt := range []struct{ name, definitions, want string }{
		{"interface of the returned type", `type Query { a: A @auth @fromToken }
			interface I @stepUp(maxAge: 60) { b: Int } type A implements I { b: Int }`,
			prefix + "I carries @stepUp, which depends on the time"},
		{"field of an interface", `type Query { a: A @auth @fromToken }
			interface I { b: Int @stepUp(maxAge: 60) } type A implements I { b: Int }`,
			prefix + "I.b carries @stepUp, which depends on the time"},
		{"acr of an interface", `type Query { a: A @auth @fromToken }
			interface I @stepUp(acr: ["gold"]) { b: Int } type A implements I { b: Int }`, ""},
		{"query type", `type Query @stepUp(maxAge: 60) { a: Int @auth @fromToken }`,
			prefix + "Query carries @stepUp, which may depend on more than the access token"},
		{"application's directive on the query type",
			`type Query @own { a: Int @auth @fromToken }`,
			prefix + "Query carries @own, which may depend on more than the access token"},
		{"interface of the query type", `interface I @stepUp(maxAge: 60) { a: Int }
			type Query implements I { a: Int @auth @fromToken }`,
			prefix + "I carries @stepUp, which depends on the time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := auditFromToken[queryResolvers](t, tt.definitions); got != tt.want {
				t.Errorf("AuditFromToken() = %q, want %q", got, tt.want)
			}
		})
	}
}
