package authz_test

import (
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
	return "" // the rule needs an argument
}

// The rules of an entity hold for _entities: the resolver of a denied entity doesn't run, and those
// of the others do.
func TestMatrix_entities(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	strict := newTestServer(t, authz.Config{AllOrNothing: true})
	for _, tt := range guardCases {
		name := entityName(tt.field)
		if name == "" {
			continue
		}
		for actorName, want := range actorsOf(tt) {
			for shape, document := range map[string]string{
				"id":         "{ _entities(representations: %s) { ... on NAME { id } } }",
				"__typename": "{ _entities(representations: %s) { __typename } }",
				"fragment": "{ ...Q } fragment Q on Query { _entities(representations: %s) " +
					"{ ...F } } fragment F on NAME { id }",
				"fields of another type": "{ _entities(representations: %s) " +
					"{ ... on Order { id } } }",
			} {
				document := strings.Replace(document, "NAME", name, 1)
				representations := fmt.Sprintf(`[{__typename: "Order", id: "1"}, `+
					`{__typename: %q, id: "2"}, {__typename: "Order", id: "3"}]`, name)
				var resolved atomic.Int32
				ctx := testapi.WithObserver(want.ctx, func() { resolved.Add(1) })
				got := s.query(ctx, fmt.Sprintf(document, representations), nil)
				var response struct {
					Errors json.RawMessage
					Data   struct {
						Entities []json.RawMessage `json:"_entities"`
					}
				}
				if err := json.Unmarshal([]byte(got), &response); err != nil {
					t.Fatal(err)
				}
				errs, null, count := "", false, int32(3)
				if want.err != nil {
					errs = fmt.Sprintf(`[{"message":%q,"path":["_entities",1]}]`, want.err)
					null, count = true, 2
				}
				entities := response.Data.Entities
				if string(response.Errors) != errs || len(entities) != 3 ||
					string(entities[1]) == "null" != null || string(entities[0]) == "null" ||
					string(entities[2]) == "null" || resolved.Load() != count {
					t.Errorf("%s, %s, %s: got %s, and %d resolvers ran; want %s and %d", name,
						actorName, shape, got, resolved.Load(), errs, count)
				}

				resolved.Store(0)
				got = strict.query(ctx, fmt.Sprintf(document, representations), nil)
				if want.err != nil {
					errs = fmt.Sprintf(`{"errors":[{"message":%q,"path":["_entities"]}],`+
						`"data":null}`, want.err)
					if got != errs || resolved.Load() != 0 {
						t.Errorf("%s, %s, %s, all or nothing: got %s, and %d resolvers ran; "+
							"want %s", name, actorName, shape, got, resolved.Load(), errs)
					}
				}
			}
		}
	}
}

// Representations may be in variables, or a single literal without a list. gqlgen itself refuses
// those that name no entity.
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
		// A rule of a field of an entity, rather than of the entity, is decided when it runs.
		{`{ _entities(representations: [{__typename: "Order", id: "1"}]) ` +
			`{ ... on Order { id total } } }`, nil, `{"errors":[{"message":"a role is missing",` +
			`"path":["_entities",0,"total"]}],"data":{"_entities":[{"id":"1","total":null}]}}`},
	} {
		if got := s.query(contextOf(realmRoles("admin2")), tt.document, tt.vars); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.document, got, tt.want)
		}
	}
}

// Audit demands a rule of each entity, because everyone can use _entities. Config.Default gives
// _entities its rule instead.
func TestAudit_entities(t *testing.T) {
	const plugin = `
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
		schema := loadFederatedSchema(t, `type Query { a: Int @public } `+tt.order, plugin)
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
