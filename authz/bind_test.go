package authz_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
)

// The types in this group are like the DirectiveRoots that gqlgen generates.
type (
	minimalRoot struct {
		Public func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		Auth   func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
	}
	applicationRoot struct {
		Auth   func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		Public func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		Staff  func(ctx context.Context, obj any, next graphql.Resolver, team string) (res any,
			err error)
		Tenant func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
	}
	fromTokenRoot struct {
		Public    func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		Auth      func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		FromToken func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
	}
	fromTokenRootWithClaim struct {
		Public    func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		Auth      func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		FromToken func(ctx context.Context, obj any, next graphql.Resolver, claim string) (res any,
			err error)
	}
	rootWithoutAuth struct {
		Public func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
	}
	authRootWithArgument struct {
		Public func(ctx context.Context, obj any, next graphql.Resolver) (res any, err error)
		Auth   func(ctx context.Context, obj any, next graphql.Resolver, requires string) (res any,
			err error)
	}
)

var errStaff = errors.New("for staff only")

// staff implements the directive @staff of an application.
func staff(context.Context, any, graphql.Resolver, string) (any, error) { return nil, errStaff }

// Bind sets the functions of @public and @auth.
func TestBind(t *testing.T) {
	root, err := authz.Bind(minimalRoot{})
	if err != nil {
		t.Fatal(err)
	}
	field := func(context.Context) (any, error) { return "value", nil }
	anonymous, verified := callerContexts()["anonymous"], callerContexts()["verified"]
	if value, err := root.Public(anonymous, nil, field); value != "value" || err != nil {
		t.Errorf("Public() of an anonymous caller = %v, %v, want the value", value, err)
	}
	if value, err := root.Auth(anonymous, nil, field); value != nil ||
		!errors.Is(err, identity.ErrTokenMissing) {
		t.Errorf("Auth() of an anonymous caller = %v, %v, want ErrTokenMissing", value, err)
	}
	if value, err := root.Auth(verified, nil, field); value != "value" || err != nil {
		t.Errorf("Auth() of a verified caller = %v, %v, want the value", value, err)
	}
}

// If DirectiveRoot has a field for @fromToken, Bind sets it to a function that lets every caller
// pass.
func TestBind_fromToken(t *testing.T) {
	root, err := authz.Bind(fromTokenRoot{})
	if err != nil {
		t.Fatal(err)
	}
	field := func(context.Context) (any, error) { return "value", nil }
	for name, ctx := range callerContexts() {
		if value, err := root.FromToken(ctx, nil, field); value != "value" || err != nil {
			t.Errorf("FromToken() of the caller %q = %v, %v, want the value", name, value, err)
		}
	}
	_, err = authz.Bind(fromTokenRootWithClaim{})
	checkError(t, err,
		"authz: the schema's directive FromToken isn't that of authz.Schema: its function has "+
			"the type func(context.Context, interface {}, graphql.Resolver, string) (interface "+
			"{}, error)")
}

// Bind doesn't replace functions that are already set, because an application may wrap a rule.
func TestBind_alreadyBound(t *testing.T) {
	staffAuth := func(context.Context, any, graphql.Resolver) (any, error) { return nil, errStaff }
	root, err := authz.Bind(applicationRoot{Auth: staffAuth, Staff: staff, Tenant: authz.Auth})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Auth(context.Background(), nil, nil); !errors.Is(err, errStaff) {
		t.Errorf("Auth() = %v, want %v", err, errStaff)
	}
	if _, err := root.Staff(context.Background(), nil, nil, "a"); !errors.Is(err, errStaff) {
		t.Errorf("Staff() = %v, want %v", err, errStaff)
	}
}

// Bind returns an error if a directive isn't bound, or if root isn't a DirectiveRoot with the
// directives of Schema.
func TestBind_fails(t *testing.T) {
	root, err := authz.Bind(applicationRoot{})
	checkError(t, err,
		"authz: directive Staff is bound to no function\nauthz: directive Tenant is bound to no "+
			"function")
	if root.Public != nil || root.Auth != nil {
		t.Error("Bind() returned directives along with an error")
	}
	_, err = authz.Bind(rootWithoutAuth{})
	checkError(t, err,
		"authz: authz_test.rootWithoutAuth has no field Auth: expected a schema with the "+
			"directives "+
			"of authz.Schema, and no skip_runtime for them in gqlgen.yml")
	_, err = authz.Bind(authRootWithArgument{})
	checkError(t, err,
		"authz: the schema's directive Auth isn't that of authz.Schema: its function has "+
			"the type func(context.Context, interface {}, graphql.Resolver, string) (interface "+
			"{}, error)")
	_, err = authz.Bind(&minimalRoot{})
	checkError(t, err, "authz: Bind takes gqlgen's generated DirectiveRoot, not "+
		"*authz_test.minimalRoot")
}

// checkError checks that err isn't nil and that its message is want.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

// A schema that uses the directives of Schema passes the audit.
func TestSchema(t *testing.T) {
	schema, err := gqlparser.LoadSchema(
		&ast.Source{Name: "../authz.graphqls", Input: authz.Schema()},
		&ast.Source{Name: "shop.graphqls",
			Input: `type Query { products: [String!]! @public orders: [String!]! @auth }`})
	if err != nil {
		t.Fatal(err)
	}
	if err := authz.Audit(schema); err != nil {
		t.Error(err)
	}
	if strings.Contains(authz.Schema(), "type ") {
		t.Errorf("Schema() has more than directives:\n%s", authz.Schema())
	}
}
