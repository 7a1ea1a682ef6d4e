package authz_test

import (
	"context"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
)

// policyOf returns the policy of a schema with the directives of Schema, as text, or the error.
func policyOf(t *testing.T, definitions string, config authz.Config) string {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "../authz.graphqls",
		Input: authz.Schema()}, &ast.Source{Name: "schema.graphqls", Input: definitions})
	if err != nil {
		t.Fatalf("%s: %v", definitions, err)
	}
	table, err := authz.Policy(schema, config)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	if _, err := table.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// If a rule asks for nothing, no token can satisfy it, or its arguments are wrong, the error names
// the field and the rule.
func TestPolicy_wrongRules(t *testing.T) {
	for _, tt := range []struct{ rule, want string }{
		{`@hasRole`, `@hasRole asks for nothing: give it an argument`},
		{`@hasRole(client: "billing")`, `asks for nothing: give it an argument`},
		{`@hasRole(anyOf: null)`, `asks for nothing: give it an argument`},
		{`@hasRole(anyOf: [])`, `@hasRole(anyOf: []) has an empty list, which asks for nothing`},
		{`@hasRole(anyOf: ["admin"], allOf: [])`, `has an empty list, which asks for nothing`},
		{`@hasRole(anyOf: ["admin", " "])`, `has an empty name, so no token satisfies it`},
		{`@hasRole(anyOf: ["admin"], client: "")`, `has an empty client`},
		{`@hasRole(anyOf: [1])`, `has the argument anyOf: [1], which isn't of the type [String!]`},
		{`@hasRole(anyOf: 5)`, `has the argument anyOf: 5, which isn't of the type [String!]`},
		{`@hasRole(anyOf: ["admin", null])`, `which isn't of the type [String!]`},
		{`@hasScope`, `asks for nothing: give it an argument`},
		{`@hasScope(anyOfAll: [])`, `has an empty list, which asks for nothing`},
		{`@hasScope(anyOfAll: [["a"], []])`, `has an empty list, which asks for nothing`},
		{`@hasScope(anyOf: ["a b"])`, `has a scope with a blank, so no token satisfies it`},
		{`@hasGroup(anyOf: [])`, `has an empty list, which asks for nothing`},
		{`@hasGroup(anyOf: ["/staff/"])`, `names the group "/staff/", which ends with a slash`},
		{`@hasGroup(anyOf: ["/staff"], subgroups: "yes")`, `which isn't of the type Boolean!`},
		{`@inOrganization`, `asks for nothing: give it an argument`},
		{`@inOrganization(anyOf: [])`, `has an empty list, which asks for nothing`},
		{`@inOrganization(arg: "alias")`, `names the argument "alias", which the field doesn't have`},
		{`@hasClaim(path: "", equals: "x")`, `has the path "", in which a name is empty`},
		{`@hasClaim(path: "a..b", equals: "x")`, `has the path "a..b", in which a name is empty`},
		{`@owner(arg: "userId")`, `names the argument "userId", which the field doesn't have`},
		{`@owner(arg: "id", orRole: "")`, `has an empty name, so no token satisfies it`},
		{`@stepUp`, `asks for nothing: give it an argument`},
		{`@stepUp(acr: [])`, `has an empty list, which asks for nothing`},
		{`@stepUp(maxAge: 0)`, `has the maxAge 0, so no token satisfies it`},
		{`@stepUp(maxAge: "5")`, `has the argument maxAge: "5", which isn't of the type Int`},
		{`@stepUp(maxAge: 5, acr: [])`, `has an empty list, which asks for nothing`},
	} {
		got := policyOf(t, `type Query { a(id: ID): Int `+tt.rule+` }`, authz.Config{})
		if !strings.HasPrefix(got, "authz: Query.a: @") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s, want %s", tt.rule, got, tt.want)
		}
	}
	got := policyOf(t, `type Query { a: A @public } type A @inOrganization(arg: "x") { b: Int }`,
		authz.Config{})
	if !strings.Contains(got, "A: @inOrganization(arg: \"x\") has arg, but only a field has") {
		t.Errorf("got %s, want an error about arg", got)
	}
}

// A list with one item may be written without brackets, as everywhere in GraphQL.
func TestPolicy_listOfOne(t *testing.T) {
	schema := `type Query { a: Int @hasRole(anyOf: "admin", allOf: ["editor"])
		b: Int @hasScope(anyOfAll: "x") c: Int @hasScope(anyOfAll: ["x", "y"]) }`
	if got := policyOf(t, schema, authz.Config{}); strings.Contains(got, "authz:") {
		t.Errorf("got %s, want no error", got)
	}
	got := policyOf(t, `extend schema @roles(realm: ["editor"]) `+schema, authz.Config{})
	if !strings.Contains(got, `names the role "admin", which isn't declared in @roles(realm:)`) {
		t.Errorf("got %s, want an error about the undeclared role", got)
	}
}

// If a schema declares its roles, scopes or groups, a rule with another name is an error.
func TestPolicy_declarations(t *testing.T) {
	for _, tt := range []struct{ declaration, rule, want string }{
		{`@roles(realm: ["admin"])`, `@hasRole(anyOf: ["admin"])`, ""},
		{`@roles(realm: ["admin"]) @roles(realm: ["editor"])`, `@hasRole(anyOf: ["editor"])`, ""},
		{`@roles(realm: ["admin", "editor"])`, `@hasRole(allOf: ["admni"])`,
			`names the role "admni", which isn't declared in @roles(realm:); ` +
				`declared: "admin", "editor"`},
		{`@roles(realm: ["admin"])`, `@owner(arg: "id", orRole: "admni")`,
			`names the role "admni", which isn't declared in @roles(realm:)`},
		{`@roles(realm: [])`, `@hasRole(allOf: ["admin"])`,
			`names the role "admin", which isn't declared in @roles(realm:); declared: nothing`},
		{`@roles(realm: ["admin"])`, `@hasRole(anyOf: ["x"], client: "c")`, ""},
		{`@roles(client: "c", clientRoles: ["x"])`, `@hasRole(anyOf: ["x"], client: "c")`, ""},
		{`@roles(client: "c", clientRoles: ["x"])`, `@hasRole(anyOf: ["y"], client: "c")`,
			`names the role "y", which isn't declared in @roles(clientRoles:)`},
		{`@roles(client: "c", clientRoles: ["x"])`, `@hasRole(anyOf: ["x"], client: "d")`,
			`names the client "d", which isn't declared in @roles(client:)`},
		{`@roles(client: "c")`, `@auth`, `needs client and clientRoles together`},
		{`@roles(clientRoles: ["x"])`, `@auth`, `needs client and clientRoles together`},
		{`@roles(realm: [1])`, `@auth`, `which isn't of the type [String!]`},
		{`@scopes(names: [])`, `@hasScope(anyOf: ["a"])`, `names the scope "a"`},
		{`@groups(paths: [])`, `@hasGroup(anyOf: ["/a"])`, `names the group "/a"`},
		{`@roles(client: "c", clientRoles: [])`, `@hasRole(anyOf: ["x"], client: "c")`,
			`names the role "x", which isn't declared in @roles(clientRoles:)`},
		{`@scopes(names: ["a"])`, `@hasScope(anyOfAll: [["a", "b"]])`,
			`names the scope "b", which isn't declared in @scopes`},
		{`@groups(paths: ["/a"])`, `@hasGroup(anyOf: ["/b"])`,
			`names the group "/b", which isn't declared in @groups`},
	} {
		got := policyOf(t, `extend schema `+tt.declaration+` type Query { a(id: ID): Int `+tt.rule+
			` }`, authz.Config{})
		if tt.want == "" && strings.Contains(got, "authz:") || !strings.Contains(got, tt.want) {
			t.Errorf("%s, %s: got %s, want %q", tt.declaration, tt.rule, got, tt.want)
		}
	}
}

// An application may give directives other names, and define other directives with the names of
// Schema.
func TestPolicy_names(t *testing.T) {
	const ownDirective = `directive @hasRole(role: String!) on FIELD_DEFINITION `
	const renamed = `directive @needsRole(anyOf: [String!], allOf: [String!], client: String) on ` +
		`FIELD_DEFINITION `
	for _, tt := range []struct {
		name, definitions string
		config            authz.Config
		want              string
	}{
		{"renamed", renamed + `type Query { a: Int @needsRole(anyOf: ["admin"]) }`,
			authz.Config{Names: map[string]string{"hasRole": "needsRole"}},
			"Query.a  @needsRole(anyOf: [\"admin\"])\n"},
		{"renamed, without Names", renamed + `type Query { a: Int @needsRole(anyOf: ["admin"]) }`,
			authz.Config{}, `authz: the schema's directive @needsRole(anyOf: [String!], allOf: ` +
				`[String!], client: String) has the arguments of @hasRole: name it in Config.Names`},
		{"unknown name", `type Query { a: Int @public }`,
			authz.Config{Names: map[string]string{"hasRoles": "x"}},
			`authz: Config.Names has the directive "hasRoles"`},
		{"missing directive", `type Query { a: Int @public }`,
			authz.Config{Names: map[string]string{"hasRole": "x"}},
			`authz: Config.Names gives @hasRole the name "x", which is no directive of the schema`},
		{"another directive with the name of a guard", ownDirective +
			`type Query { a: Int @hasRole(role: "x") }`, authz.Config{},
			`authz: the schema's directive @hasRole(role: String!) isn't that of authz.Schema`},
		{"another directive with the name of a guard, in Config.Guards", ownDirective +
			`type Query { a: Int @hasRole(role: "x") }`, authz.Config{Guards: []string{"hasRole"}},
			"Query.a  @hasRole(role: \"x\")\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			schema, err := gqlparser.LoadSchema(&ast.Source{Name: "../authz.graphqls",
				Input: authz.Schema("public", "auth")},
				&ast.Source{Name: "schema.graphqls", Input: tt.definitions})
			if err != nil {
				t.Fatal(err)
			}
			table, err := authz.Policy(schema, tt.config)
			var got strings.Builder
			table.WriteTo(&got)
			if err != nil {
				got.WriteString(err.Error())
			}
			if !strings.Contains(got.String(), tt.want) {
				t.Errorf("got %s, want %s", got.String(), tt.want)
			}
		})
	}
}

// Config.Default guards root fields without a rule, instead of an error.
func TestPolicy_default(t *testing.T) {
	got := policyOf(t, `type Query { a: Int b: Int @public c: Int @hasRole(anyOf: ["x"]) d(i: I): Int }
		input I { e: Int @auth }`, authz.Config{Default: authz.DefaultAuth})
	want := `Query.a  @auth  from Config.Default
Query.b  @public
Query.c  @hasRole(anyOf: ["x"])
Query.d  rules of its input
Query.d  @auth  from Config.Default
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := policyOf(t, `type Query { a: Int @public }`, authz.Config{Default: "public"}); got !=
		`authz: Config.Default is "public": expected "auth" or nothing` {
		t.Errorf("got %s, want an error about Config.Default", got)
	}
}

// The rules of a type or field in Config.DryRun deny nothing, and Observe gets the fields that they
// would deny. Rules that the field gets from elsewhere still apply.
func TestInstall_dryRun(t *testing.T) {
	s := newTestServer(t, authz.Config{DryRun: []string{"Query.anyRole", "Secret"}})
	alice := contextOf(nil)
	got := s.query(alice, `query Q { anyRole allRoles secret { text audit } }`, nil)
	want := `{"errors":[{"message":"a role is missing","path":["allRoles"]},` +
		`{"message":"a role is missing","path":["secret","audit"]}],` +
		`"data":{"anyRole":"text","allRoles":null,"secret":{"text":"text","audit":null}}}`
	if got != want && got != strings.Replace(want, `{"message":"a role is missing",`+
		`"path":["allRoles"]},{"message":"a role is missing","path":["secret","audit"]}`,
		`{"message":"a role is missing","path":["secret","audit"]},`+
			`{"message":"a role is missing","path":["allRoles"]}`, 1) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(s.denials) != 1 {
		t.Fatalf("%d denials, want 1", len(s.denials))
	}
	denial := s.denials[0]
	if denial.Operation != "Q" || denial.Subject != "alice" ||
		strings.Join(denial.Fields, " ") != "Query.allRoles Secret.audit" ||
		strings.Join(denial.DryRun, " ") !=
			"Query.anyRole Query.secret Secret.audit Secret.text" {
		t.Errorf("got %+v", denial)
	}
	s = newTestServer(t, authz.Config{DryRun: []string{"Filter.deleted"}})
	got = s.query(alice, `{ find(filter: {deleted: true}) }`, nil)
	if got != `{"data":{"find":"text"}}` || len(s.denials) != 1 ||
		strings.Join(s.denials[0].DryRun, " ") != "Query.find" {
		t.Errorf("an input field in a dry run: got %s, and the denials %+v", got, s.denials)
	}
	got = s.query(alice, `{ find(filter: {deleted: true, level: LOW}) }`, nil)
	if !strings.Contains(got, `"data":{"find":null}`) {
		t.Errorf("an input field that isn't in the dry run: got %s, want an error", got)
	}
	if got := policyOf(t, `type Query { a: Int @auth }`,
		authz.Config{DryRun: []string{"Query.b", "Query.a"}}); !strings.Contains(got,
		`authz: Config.DryRun has "Query.b"`) || !strings.Contains(got,
		`authz: Config.DryRun has "Query.a"`) {
		t.Errorf("got %s, want errors about Config.DryRun", got)
	}
	policy := policyOf(t, `type Query { a: Int @auth @hasRole(anyOf: ["x"]) }`,
		authz.Config{DryRun: []string{"Query.a"}})
	if policy != "Query.a  @auth\nQuery.a  @hasRole(anyOf: [\"x\"])  dry run\n" {
		t.Errorf("the policy is\n%s\nwant only @hasRole in the dry run", policy)
	}
}

// With AllOrNothing, one denied field keeps a whole query from running.
func TestInstall_allOrNothing(t *testing.T) {
	s := newTestServer(t, authz.Config{AllOrNothing: true})
	want := `{"errors":[{"message":"a role is missing","path":["anyRole"]},{"message":"a role is ` +
		`missing","path":["document","audit"]}],"data":null}`
	if got := s.query(contextOf(nil), `{ open anyRole document { audit } }`, nil); got != want ||
		s.ran() != nil {
		t.Errorf("got  %s, and %v ran\nwant %s", got, s.ran(), want)
	}
}

// A user without an ID and a token satisfies no guard other than @auth.
func TestInstall_emptyUser(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	emptyUser := identity.NewContext(context.Background(), &identity.User{}, nil)
	for _, field := range []string{`owned(userId: "")`, `strong`, `recent`, `notImpersonated`,
		`anyScope`, `claim`, `group`, `organization`} {
		if got := s.query(emptyUser, "{ "+field+" }", nil); !strings.Contains(got, `null}}`) {
			t.Errorf("%s: got %s, want an error", field, got)
		}
	}
}

// Without Install, guards other than @auth deny everyone.
func TestGuard_withoutInstall(t *testing.T) {
	directives, err := authz.Bind(rootWithGuards{})
	if err != nil {
		t.Fatal(err)
	}
	field := func(context.Context) (any, error) { return "value", nil }
	admin := contextOf(realmRoles("admin"))
	value, err := directives.HasRole(admin, nil, field, []string{"admin"}, nil, nil)
	if value != nil || err == nil || err.Error() != "authz: the schema's rules need authz.Install" {
		t.Errorf("HasRole() = %v, %v, want an error", value, err)
	}
	if value, err := directives.NotImpersonated(admin, nil, field); value != nil || err == nil {
		t.Errorf("NotImpersonated() = %v, %v, want an error", value, err)
	}
}

// rootWithGuards is like a DirectiveRoot that gqlgen generates.
type rootWithGuards struct {
	Public  func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
	Auth    func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
	HasRole func(ctx context.Context, obj any, next graphql.Resolver, anyOf []string,
		allOf []string, client *string) (res any, err error)
	NotImpersonated func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
}
