package authz_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/internal/testapi"
)

// entityName returns the entity in testapi that carries the same rules as a field of Query, or "".
func entityName(field string) string {
	switch field {
	case "anyRole":
		return "AnyRoleEntity"
	case "allRoles":
		return "AllRolesEntity"
	case "anyScope":
		return "AnyScopeEntity"
	case "allScopes":
		return "AllScopesEntity"
	case "clientRole":
		return "ClientRoleEntity"
	case "scopeLists":
		return "ScopeListsEntity"
	case "notImpersonated":
		return "NotImpersonatedEntity"
	case "auth", "group", "subgroup", "organization", "claim", "strong", "recent", "both":
		return strings.ToUpper(field[:1]) + field[1:] + "Entity"
	}
	return "" // only a field can carry the rule, because it names an argument
}

// queryEntities sends a query of three entities: one with the type name between two of the type
// Order. It returns the response, and the number of entity resolvers that ran.
func (s *testServer) queryEntities(ctx context.Context, document, name string) (string, int32) {
	var resolverCalls atomic.Int32
	ctx = testapi.WithObserver(ctx, func() { resolverCalls.Add(1) })
	representations := fmt.Sprintf(`[{__typename: "Order", id: "1"}, {__typename: %q, id: "2"}, `+
		`{__typename: "Order", id: "3"}]`, name)
	response := s.query(ctx, fmt.Sprintf(document, representations), nil)
	return response, resolverCalls.Load()
}

// The rules of an entity apply to _entities. The resolver of a denied entity doesn't run; the
// resolvers of the other entities do.
func TestMatrix_entities(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	allOrNothing := newTestServer(t, authz.Config{AllOrNothing: true})
	for _, tt := range guardCases {
		name := entityName(tt.field)
		if name == "" {
			continue
		}
		for callerName, caller := range tt.callers() {
			for shape, document := range map[string]string{
				"id":         "{ _entities(representations: %s) { ... on NAME { id } } }",
				"__typename": "{ _entities(representations: %s) { __typename } }",
				"fragment": "{ ...Q } fragment Q on Query { _entities(representations: %s) " +
					"{ ...F } } fragment F on NAME { id }",
				"fields of another type": "{ _entities(representations: %s) " +
					"{ ... on Order { id } } }",
			} {
				document := strings.Replace(document, "NAME", name, 1)
				got, resolverCalls := s.queryEntities(caller.ctx, document, name)
				var response struct {
					Errors json.RawMessage
					Data   struct {
						Entities []json.RawMessage `json:"_entities"`
					}
				}
				if err := json.Unmarshal([]byte(got), &response); err != nil {
					t.Fatal(err)
				}
				errs, isNull, wantCalls := "", false, int32(3)
				if caller.err != nil {
					errs = fmt.Sprintf(`[{"message":%q,"path":["_entities",1]}]`, caller.err)
					isNull, wantCalls = true, 2
				}
				entities := response.Data.Entities
				if string(response.Errors) != errs || len(entities) != 3 ||
					string(entities[1]) == "null" != isNull || string(entities[0]) == "null" ||
					string(entities[2]) == "null" || resolverCalls != wantCalls {
					t.Errorf("%s, %s, %s: got %s, and %d resolvers ran; want the errors %s, and %d",
						name, callerName, shape, got, resolverCalls, errs, wantCalls)
				}

				if caller.err == nil {
					continue
				}
				got, resolverCalls = allOrNothing.queryEntities(caller.ctx, document, name)
				want := fmt.Sprintf(`{"errors":[{"message":%q,"path":["_entities"]}],"data":null}`,
					caller.err)
				if got != want || resolverCalls != 0 {
					t.Errorf("%s, %s, %s, all or nothing: got %s, and %d resolvers ran; want %s",
						name, callerName, shape, got, resolverCalls, want)
				}
			}
		}
	}
}

// Representations may be in variables, or a single literal without a list. gqlgen itself rejects
// representations that name no entity.
func TestEntities_representations(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	const denied = `{"errors":[{"message":"a role is missing","path":["_entities",0]}],` +
		`"data":{"_entities":[null]}}`
	representation := map[string]any{"__typename": "AllRolesEntity", "id": "1"}
	for _, tt := range []struct {
		document string
		vars     map[string]any
		want     string
	}{
		{`query($r: [_Any!]!) { _entities(representations: $r) { __typename } }`,
			map[string]any{"r": []any{representation}}, denied},
		{`query($r: _Any!) { _entities(representations: [$r]) { __typename } }`,
			map[string]any{"r": representation}, denied},
		{`{ _entities(representations: {__typename: "AllRolesEntity", id: "1"}) ` +
			`{ __typename } }`,
			nil, denied},
		{`query($t: Boolean!) { _entities(representations: {__typename: "AllRolesEntity"}) ` +
			`@skip(if: $t) { __typename } open }`, map[string]any{"t": true},
			`{"data":{"open":"text"}}`},
		{`{ _entities(representations: []) { __typename } }`, nil, `{"data":{"_entities":[]}}`},
		{`{ _entities(representations: [{__typename: "Nothing"}]) { __typename } }`, nil,
			`{"errors":[{"message":"unknown type: Nothing","path":["_entities"]}],` +
				`"data":{"_entities":[null]}}`},
		// A rule on a field of an entity is checked when the field runs, not before the entity's
		// resolver.
		{`{ _entities(representations: [{__typename: "Order", id: "1"}]) ` +
			`{ ... on Order { id total } } }`, nil, `{"errors":[{"message":"a role is missing",` +
			`"path":["_entities",0,"total"]}],"data":{"_entities":[{"id":"1","total":null}]}}`},
	} {
		if got := s.query(contextOf(realmRoles("admin2")), tt.document, tt.vars); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.document, got, tt.want)
		}
	}
}

// Audit requires a rule of each entity, because everyone can use _entities. With Config.Default,
// _entities gets the default rule instead.
func TestAudit_entities(t *testing.T) {
	const pluginSource = `
directive @key(fields: String!) repeatable on OBJECT | INTERFACE
scalar _Any
union _Entity = Order
extend type Query { _entities(representations: [_Any!]!): [_Entity]! }`
	const message = " has no access rule, and its type has @key, so that everyone can read it " +
		"through _entities: put @public or a guard on the field, or a guard such as @auth on " +
		"the type"
	for _, tt := range []struct{ order, want string }{
		{`type Order @key(fields: "id") { id: ID! total: Int }`,
			"authz: Order.id" + message + "\nauthz: Order.total" + message},
		{`type Order @key(fields: "id") { id: ID! @public total: Int }`,
			"authz: Order.total" + message},
		{`type Order @key(fields: "id") { id: ID! @public total: Int @hasRole(anyOf: ["a"]) }`,
			"<nil>"},
		{`type Order @key(fields: "id") @auth { id: ID! total: Int }`, "<nil>"},
		{`interface I @auth { id: ID! } type Order implements I @key(fields: "id") { id: ID! }`,
			"<nil>"},
	} {
		schema := loadFederatedSchema(t, `type Query { a: Int @public } `+tt.order, pluginSource)
		if got := fmt.Sprint(authz.Audit(schema)); got != tt.want {
			t.Errorf("Audit() of %s = %s\nwant %s", tt.order, got, tt.want)
		}
		table, err := authz.Policy(schema, authz.Config{Default: authz.DefaultAuth})
		var text strings.Builder
		if table.WriteTo(&text); err != nil ||
			strings.Contains(text.String(), "Query._entities  @auth") != (tt.want != "<nil>") {
			t.Errorf("Policy() of %s with Default = %v\n%s", tt.order, err, text.String())
		}
	}
}
