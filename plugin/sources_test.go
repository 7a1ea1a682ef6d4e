package plugin_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"

	"github.com/cloakql/cloakql/plugin"
)

// An application without a schema of its own gets the schema of CloakQL's server. Only the
// descriptions of Query and Mutation are missing, because these types are the application's. The
// field me carries @fromToken only with KeepAnswers.
func TestUse_schema(t *testing.T) {
	var serverSources []*ast.Source
	names, err := filepath.Glob("../schema/*.graphqls")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d schema files (error: %v), want at least 1", len(names), err)
	}
	for _, name := range names {
		serverSources = append(serverSources, &ast.Source{Name: name, Input: readFile(t, name)})
	}
	serverText := schemaText(t, serverSources)
	for _, tt := range []struct {
		options []plugin.Option
		want    string
	}{
		{nil, strings.Replace(serverText, "me: User @auth @fromToken", "me: User @auth", 1)},
		{[]plugin.Option{plugin.KeepAnswers()}, serverText},
	} {
		cfg, err := completeSchema(t, configText, "", tt.options...)
		if err != nil {
			t.Fatal(err)
		}
		if got := schemaText(t, cfg.Sources); got != tt.want {
			t.Errorf("with %d options, the schema is\n%s\nwant\n%s", len(tt.options), got, tt.want)
		}
		if !cfg.Directives["fromToken"].SkipRuntime {
			t.Error("gqlgen calls a function for @fromToken, want skip_runtime")
		}
	}
}

// The plugin defines only the guards that the application's schema uses and doesn't define. It
// binds these guards, and guards that the application defines with the same arguments.
func TestUse_guards(t *testing.T) {
	for _, tt := range []struct{ name, schema, defined, bound, skipped string }{
		{"none", `type Query { a: Int @public }`, "", "", ""},
		{"on fields", `type Query { a: Int @hasRole(anyOf: ["x"]) b(id: ID!): Int @owner(arg: "id") }
			extend type Query { c: Int @notImpersonated }`,
			"hasRole notImpersonated owner", "hasRole notImpersonated owner", ""},
		{"on types", `type A @hasScope(anyOf: ["x"]) { b: Int } interface B @stepUp(maxAge: 1) { b: Int }
			enum C @hasClaim(path: "a", equals: "b") { D } input E { f: Int @hasGroup(anyOf: ["/x"]) }
			extend type A @inOrganization(anyOf: ["x"])`,
			"hasClaim hasGroup hasScope inOrganization stepUp",
			"hasClaim hasGroup hasScope inOrganization stepUp", ""},
		{"on the schema", `schema @roles(realm: ["x"]) { query: Query } type Query { a: Int }
			extend schema @scopes(names: ["x"]) @groups(paths: ["/x"])`,
			"groups roles scopes", "", "groups roles scopes"},
		{"defined", `directive @hasRole(anyOf: [String!], allOf: [String!], client: String) on OBJECT
			directive @roles(realm: [String!], client: String, clientRoles: [String!]) on SCHEMA
			extend schema @roles(realm: ["x"]) type A @hasRole(anyOf: ["x"]) { b: Int }`,
			"", "hasRole", "roles"},
		{"with other arguments", `directive @hasRole(role: String!) on FIELD_DEFINITION
			directive @owner on FIELD_DEFINITION
			directive @hasGroup(anyOf: [String]) on FIELD_DEFINITION
			type Query { a: Int @hasRole(role: "x") b: Int @owner c: Int @hasGroup }`, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := completeSchema(t, configText, tt.schema)
			if err != nil {
				t.Fatal(err)
			}
			builtIn := []string{"public", "auth", "fromToken"}
			var defined, bound, skipped []string
			for name, def := range cfg.Schema.Directives {
				if strings.HasPrefix(def.Position.Src.Name, "../cloakql/") &&
					!slices.Contains(builtIn, name) {
					defined = append(defined, name)
				}
			}
			for name, entry := range cfg.Directives {
				switch {
				case slices.Contains(builtIn, name):
				case entry.SkipRuntime && cfg.Schema.Directives[name].Position.Src.BuiltIn:
				case entry.SkipRuntime:
					skipped = append(skipped, name)
				case *entry.Implementation == "cloakqlGuard":
					bound = append(bound, name)
				}
			}
			for _, names := range []struct {
				kind string
				got  []string
				want string
			}{{"defined", defined, tt.defined}, {"bound", bound, tt.bound},
				{"skipped", skipped, tt.skipped}} {
				slices.Sort(names.got)
				if got := strings.Join(names.got, " "); got != names.want {
					t.Errorf("%s: %s, want %s", names.kind, got, names.want)
				}
			}
		})
	}
}

// schemaText loads sources and returns the schema as text, without the descriptions of Query and
// Mutation.
func schemaText(t *testing.T, sources []*ast.Source) string {
	t.Helper()
	schema, err := gqlparser.LoadSchema(sources...)
	if err != nil {
		t.Fatal(err)
	}
	schema.Query.Description, schema.Mutation.Description = "", ""
	var text strings.Builder
	formatter.NewFormatter(&text).FormatSchema(schema)
	return text.String()
}

// The plugin adds its root fields to the root types of the application's schema. The root types may
// have any names and may be declared in any way. A type Query that isn't a root type isn't changed.
func TestUse_rootTypes(t *testing.T) {
	for _, tt := range []struct{ name, schema, query, mutation string }{
		{"types", `type Query { a: Int @public } type Mutation { b: Int @public }`, "Query: a me",
			"Mutation: b login refresh logout"},
		{"no mutation", `type Query { a: Int @public }`, "Query: a me",
			"Mutation: login refresh logout"},
		{"extensions", `extend type Query { a: Int @public } extend type Mutation { b: Int ` +
			`@public }`, "Query: a me", "Mutation: b login refresh logout"},
		{"empty schema", ``, "Query: me", "Mutation: login refresh logout"},
		{"custom root types",
			`schema { query: Root mutation: Change } type Root { a: Int @public } type Change { ` +
				`b: Int @public }`, "Root: a me", "Change: b login refresh logout"},
		// The plugin must add the mutation type to the schema definition.
		{"custom query type, no mutation", `schema { query: Root } type Root { a: Int @public }`,
			"Root: a me", "Mutation: login refresh logout"},
		{"custom query type, type Query isn't a root",
			`schema { query: Root } type Root { a: Query @public } type Query { b: Int }`,
			"Root: a me", "Mutation: login refresh logout"},
		{"extended schema definition",
			`extend schema @x directive @x on SCHEMA type Query { a: Int @public }`, "Query: a me",
			"Mutation: login refresh logout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := completeSchema(t, configText, tt.schema)
			if err != nil {
				t.Fatal(err)
			}
			if got := fieldNames(cfg.Schema.Query); got != tt.query {
				t.Errorf("the query type is %s, want %s", got, tt.query)
			}
			if got := fieldNames(cfg.Schema.Mutation); got != tt.mutation {
				t.Errorf("the mutation type is %s, want %s", got, tt.mutation)
			}
		})
	}
}

// fieldNames returns the name of a type and the names of its fields, such as "Query: a me". It
// leaves out introspection fields, and returns "none" if def is nil.
func fieldNames(def *ast.Definition) string {
	if def == nil {
		return "none"
	}
	text := def.Name + ":"
	for _, field := range def.Fields {
		if !strings.HasPrefix(field.Name, "__") {
			text += " " + field.Name
		}
	}
	return text
}

// Generation fails if an option is invalid, or if the plugin can't work with the application's
// configuration or schema.
func TestUse_fails(t *testing.T) {
	const layoutError = "gqlgen.yml sets resolver.layout to single-file, so gqlgen would " +
		"overwrite " +
		"the type Resolver: use follow-schema, or set preserve_resolver to true with an existing " +
		"file"
	singleFile := strings.Replace(configText, "layout: follow-schema, dir: api/resolve",
		"filename: resolver_that_is_new.go", 1)
	for _, tt := range []struct {
		name, config, schema string
		options              []plugin.Option
		want                 string
	}{
		{"type Mutation isn't a root", configText,
			`schema { query: Root } type Root { a: Int } type Mutation { b: Int }`, nil,
			"the schema has a type Mutation that isn't its mutation type: add mutation to the " +
				"schema definition, or leave login, refresh and logout out"},
		{"no query type", configText, `schema { mutation: Change } type Change { a: Int }`, nil,
			"the schema has no query field me: expected a schema definition with a query type, " +
				"or no schema definition"},

		{"the application has a type User", configText, `type User { id: ID! }`, nil,
			"the application's schema has a type User: give CloakQL's type another name " +
				"(RenameType, -rename-type)"},
		{"the application has a type Time", configText, `type Time { hour: Int }`, nil,
			"the application's schema has a type Time: give CloakQL's type another name " +
				"(RenameType, -rename-type)"},
		{"the application has a field me", configText, `type Query { me: String }`, nil,
			"the application's type Query has a field me: give CloakQL's field another name " +
				"(Rename, -rename), or leave it out (Without, -without)"},
		{"the application has a type with the new name", configText, `type Caller { id: ID! }`,
			[]plugin.Option{plugin.RenameType("User", "Caller")},
			"the application's schema has a type Caller: give CloakQL's type another name " +
				"(RenameType, -rename-type)"},
		{"the application has a field with the new name", configText,
			`schema { query: Root } type Root { viewer: String }`,
			[]plugin.Option{plugin.Rename("me", "viewer")},
			"the application's type Root has a field viewer: give CloakQL's field another name " +
				"(Rename, -rename), or leave it out (Without, -without)"},
		{"syntax error", configText, `type User {`, nil,
			"shop.graphqls:1:12: Expected Name, found <EOF>"},
		{"the application has a directive auth", configText, `directive @auth on OBJECT`, nil,
			"the application's schema has a directive auth: remove it, or give it another name"},

		// With skip_runtime, gqlgen wouldn't call the guard, and authz.Audit couldn't detect that.
		{"skip_runtime for auth", configText + "directives: {auth: {skip_runtime: true}}", "", nil,
			"gqlgen.yml configures the directive auth: remove its entry, since CloakQL binds it"},
		{"skip_runtime for public", configText + "directives: {public: {skip_runtime: true}}", "",
			nil,
			"gqlgen.yml configures the directive public: remove its entry, since CloakQL binds it"},

		{"an entry for fromToken", configText + "directives: {fromToken: {skip_runtime: true}}", "",
			nil,
			"gqlgen.yml configures the directive fromToken: remove its entry, since CloakQL " +
				"configures it"},
		{"the application has a directive fromToken", configText, `directive @fromToken on OBJECT`,
			nil, "the application's schema has a directive fromToken: remove it, or give it " +
				"another name"},

		{"skip_runtime for a guard", configText + "directives: {hasRole: {skip_runtime: true}}",
			`type Query { a: Int @hasRole(anyOf: ["admin"]) }`, nil,
			"gqlgen.yml configures the directive hasRole: remove its entry, since CloakQL binds " +
				"it"},
		{"skip_runtime for a guard that the application defines",
			configText + "directives: {owner: {skip_runtime: true}}",
			`directive @owner(arg: String!, orRole: String) on FIELD_DEFINITION`, nil,
			"gqlgen.yml configures the directive owner: remove its entry, since CloakQL binds it"},
		{"an entry for roles", configText + "directives: {roles: {skip_runtime: true}}",
			`extend schema @roles(realm: ["admin"])`, nil,
			"gqlgen.yml configures the directive roles: remove its entry, since CloakQL " +
				"configures it"},
		{"a guard on an argument", configText,
			`type Query { a(b: Int @hasGroup(anyOf: ["/x"])): Int }`, nil,
			"shop.graphqls:1:24: Directive hasGroup is not applicable on ARGUMENT_DEFINITION."},
		{"a guard on an enum value", configText,
			`type Query { a: A } enum A { B @hasGroup(anyOf: ["/x"]) }`, nil,
			"shop.graphqls:1:33: Directive hasGroup is not applicable on ENUM_VALUE."},
		{"a guard with an unknown argument", configText, `type Query { a: Int @hasRole(any: "x") }`,
			nil, `shop.graphqls:1:30: Undefined argument any for directive hasRole.`},

		{"models entry for User", configText + "models: {User: {model: example.com/shop.User}}", "",
			nil,
			`gqlgen.yml configures the type User (models: User): remove its entry, or give ` +
				`CloakQL's type another name (RenameType, -rename-type)`},
		{"models entry for a renamed type", configText + "models: {Caller: {forceGenerate: true}}",
			"", []plugin.Option{plugin.RenameType("User", "Caller")},
			`gqlgen.yml configures the type Caller (models: Caller): remove its entry, or give ` +
				`CloakQL's type another name (RenameType, -rename-type)`},
		{"models entry for a field", configText +
			"models: {Session: {fields: {id: {resolver: true}}}}", "", nil,
			`gqlgen.yml configures the type Session (models: Session): remove its entry, or give ` +
				`CloakQL's type another name (RenameType, -rename-type)`},

		{"no resolver section", strings.Replace(configText, "resolver:", "# resolver:", 1), "", nil,
			"gqlgen.yml has no section resolver: expected one, for the file with CloakQL's " +
				"resolvers"},
		{"single-file resolvers", singleFile, "", nil, layoutError},
		{"single-file resolvers, preserve_resolver without a file",
			strings.Replace(singleFile, "new.go", "new.go, preserve_resolver: true",
				1), "", nil, layoutError},

		{"Rename of an unknown field", configText, "",
			[]plugin.Option{plugin.Rename("mee", "viewer")},
			`plugin.Rename: CloakQL has no field "mee": expected one of login, refresh, logout, ` +
				`me`},
		{"Rename to an invalid name", configText, "", []plugin.Option{plugin.Rename("me", "1st")},
			`plugin.Rename: "1st" isn't a name: expected a letter, then letters, digits and _`},
		{"RenameType of an unknown type", configText, "",
			[]plugin.Option{plugin.RenameType("Users", "Caller")},
			`plugin.RenameType: CloakQL has no type "Users": expected one of Time, Claims, ` +
				`OpenIdToken, User, ClientRoles, Organization, TokenInfo, Session`},
		{"RenameType to an invalid name", configText, "",
			[]plugin.Option{plugin.RenameType("User", "__User")},
			`plugin.RenameType: "__User" isn't a name: expected a letter, then letters, digits ` +
				`and _`},
		{"Without an unknown field", configText, "",
			[]plugin.Option{plugin.Without("me", "logoff")},
			`plugin.Without: CloakQL has no field "logoff": expected one of login, refresh, ` +
				`logout, me`},
		{"several errors", configText + "directives: {auth: {skip_runtime: true}}", "",
			[]plugin.Option{plugin.Without("a"), plugin.Without("b")},
			`plugin.Without: CloakQL has no field "a": expected one of login, refresh, logout, me` +
				"\n" +
				`plugin.Without: CloakQL has no field "b": expected one of login, refresh, ` +
				`logout, me` + "\n" +
				"gqlgen.yml configures the directive auth: remove its entry, since CloakQL binds " +
				"it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := completeSchema(t, tt.config, tt.schema, tt.options...)
			checkError(t, err, tt.want)
		})
	}
	singleFile = strings.Replace(singleFile, "package: resolve,", "package: shop,", 1)
	t.Run("single-file resolvers, preserve_resolver", func(t *testing.T) {
		t.Chdir(t.TempDir())
		writeFiles(t, map[string]string{"go.mod": "module example.com/shop\n"})
		if err := os.WriteFile("resolver_that_is_new.go", nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := completeSchema(t,
			strings.Replace(singleFile, "new.go", "new.go, preserve_resolver: true", 1),
			""); err != nil {
			t.Error(err)
		}
		_, err := completeSchema(t, singleFile, "")
		checkError(t, err, layoutError)
	})
}

// Rename changes the names of root fields, and Without omits root fields.
func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		options  []plugin.Option
		query    string
		mutation string
	}{
		{"Rename", []plugin.Option{plugin.Rename("me", "viewer"), plugin.Rename("login", "me")},
			"Query: a viewer", "Mutation: me refresh logout"},
		{"Without", []plugin.Option{plugin.Without("logout", "refresh")}, "Query: a me",
			"Mutation: login"},
		{"Without mutations", []plugin.Option{plugin.Without("logout", "refresh", "login")},
			"Query: a me", "none"},
		{"Without all", []plugin.Option{plugin.Without("logout", "refresh"),
			plugin.Without("login", "me")}, "Query: a", "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := completeSchema(t, configText, `type Query { a: User @auth }`, tt.options...)
			if err != nil {
				t.Fatal(err)
			}
			if got := fieldNames(cfg.Schema.Query); got != tt.query {
				t.Errorf("the query type is %s, want %s", got, tt.query)
			}
			if got := fieldNames(cfg.Schema.Mutation); got != tt.mutation {
				t.Errorf("the mutation type is %s, want %s", got, tt.mutation)
			}
		})
	}
}

// RenameType renames a type and all references to it, even if two types swap names.
func TestRenameType(t *testing.T) {
	cfg, err := completeSchema(t, configText, `type User { id: ID! @public } scalar Moment`,
		plugin.RenameType("User", "Session"), plugin.RenameType("Session", "SignIn"),
		plugin.RenameType("Time", "Moment"))
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"Query.me": "Session", "Session.token": "TokenInfo", "TokenInfo.session": "SignIn",
		"TokenInfo.expiresAt": "Moment!",
	} {
		typ, name, _ := strings.Cut(field, ".")
		if got := cfg.Schema.Types[typ].Fields.ForName(name).Type.String(); got != want {
			t.Errorf("%s is of type %s, want %s", field, got, want)
		}
	}
	for typ, want := range map[string]string{
		"Session": "github.com/cloakql/cloakql/identity.User",
		"SignIn":  "github.com/cloakql/cloakql/identity.Session",
		"Moment":  "github.com/99designs/gqlgen/graphql.Time", "User": "",
	} {
		if got := strings.Join(cfg.Models[typ].Model, " "); got != want {
			t.Errorf("%s is bound to %q, want %q", typ, got, want)
		}
	}
}

// The models of a scalar are the application's Go types, followed by the Go types that CloakQL
// needs.
func TestUse_scalars(t *testing.T) {
	cfg, err := completeSchema(t, configText+`
models:
  Time: {model: example.com/shop.Instant}
  ID: {model: [example.com/shop.ID, github.com/99designs/gqlgen/graphql.ID]}
  Int: {model: github.com/99designs/gqlgen/graphql.Int64}
  User: {fields: {orders: {resolver: true}}}
`, `scalar Time scalar Claims type Query { at: Time @public } extend type User { orders: Int }`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Time": "example.com/shop.Instant github.com/99designs/gqlgen/graphql.Time",
		"ID":   "example.com/shop.ID github.com/99designs/gqlgen/graphql.ID",
		"Int": "github.com/99designs/gqlgen/graphql.Int64 " +
			"github.com/99designs/gqlgen/graphql.Int",
		"String": "github.com/99designs/gqlgen/graphql.String " +
			"github.com/cloakql/cloakql/identity.Secret",
		"Claims": "github.com/cloakql/cloakql/identity.Claims",
		"User":   "github.com/cloakql/cloakql/identity.User",
	} {
		if got := strings.Join(cfg.Models[name].Model, " "); got != want {
			t.Errorf("%s is bound to %s, want %s", name, got, want)
		}
	}
	if _, ok := cfg.Models["Boolean"]; ok {
		t.Error("Models has an entry for Boolean, want none, so that gqlgen's default applies")
	}
	if !cfg.Models["User"].Fields["orders"].Resolver {
		t.Error("Models lacks the application's entry for User.orders")
	}
}

// gqlgen doesn't read the file with the whole schema as a part of the application's schema, even if
// the schema patterns match the file.
func TestUse_schemaFile(t *testing.T) {
	wholeSchema := "# Code generated by github.com/cloakql/cloakql/plugin, DO NOT EDIT.\n\ntype " +
		"Query { me: String }"
	cfg, err := completeSchema(t, configText, wholeSchema)
	if err != nil {
		t.Fatal(err)
	}
	if got := fieldNames(cfg.Schema.Query); got != "Query: me" ||
		cfg.Schema.Query.Fields[0].Type.String() != "User" {
		t.Errorf("the query type is %s, want only me, with the type User", got)
	}
}
