package authz

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/identity"
)

// loadRules returns the access rules of the schema that definitions and Schema define together.
func loadRules(t testing.TB, definitions string, config Config) *schemaRules {
	t.Helper()
	rules, err := compile(loadSource(t, Schema()+definitions), config)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// loadSource returns the schema that a source defines.
func loadSource(t testing.TB, source string) *ast.Schema {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: source})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// callerWithRoles returns a caller with these realm roles.
func callerWithRoles(roles ...string) *caller {
	return &caller{user: &identity.User{ID: "alice", RealmRoles: roles,
		Token: &identity.TokenInfo{Claims: identity.Claims(`{}`)}}}
}

// decideDocument applies the rules to the only operation of a document.
func decideDocument(t testing.TB, rules *schemaRules, document string, vars map[string]any,
	c *caller) *decision {
	t.Helper()
	doc, errs := gqlparser.LoadQueryWithRules(rules.schema, document, nil)
	if errs != nil {
		t.Fatalf("%s: %v", document, errs)
	}
	return rules.decide(doc.Operations[0], vars, c, false)
}

// deniedPaths returns the response paths of the denied fields, sorted, without duplicates, and
// separated by spaces.
func (d *decision) deniedPaths() string {
	var paths []string
	for _, denied := range d.denied {
		path := denied.field.Alias
		for p := denied.path; p != nil; p = p.parent {
			path = p.field.Alias + "." + path
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return strings.Join(slices.Compact(paths), " ")
}

// contextWithRoles returns the context of a request of a user with these realm roles.
func contextWithRoles(roles ...string) context.Context {
	return identity.NewContext(context.Background(), callerWithRoles(roles...).user, nil)
}

// toJSON returns value as JSON.
func toJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
