package cloakql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// entitiesQuery returns a query of the entities that representations refer to.
func entitiesQuery(representations string) string {
	return `{ _entities(representations: ` + representations +
		`) { ... on User { id username email realmRoles token { scope } } } }`
}

// Without Config.Federation, the schema has no fields and types of Apollo Federation.
func TestConfig_Federation_off(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := applicationConfig(t, kc, application{})
	config.Schema = nil
	h := newServer(t, config).Handler()
	for _, query := range []string{`{ _service { sdl } }`,
		`{ _entities(representations: []) { __typename } }`,
		`{ me { ... on _Entity { __typename } } }`} {
		if got := post(h, "", query); !strings.Contains(got, "GRAPHQL_VALIDATION_FAILED") {
			t.Errorf("%s: %s, want GRAPHQL_VALIDATION_FAILED", query, got)
		}
	}
}

// Through _entities, a caller can resolve its own user. A caller with FederationRole can also
// resolve other users, but gets only their IDs.
func TestConfig_Federation(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := applicationConfig(t, kc, application{})
	config.Schema, config.Federation, config.FederationRole = nil, true, "directory"
	h := newServer(t, config).Handler()
	token := func(sub string, roles ...any) string {
		token, _ := strings.CutPrefix(bearer(t, kc, keycloaktest.TokenSpec{
			Claims: map[string]any{"sub": sub, "preferred_username": "u",
				"realm_access": map[string]any{"roles": append([]any{}, roles...)}}}), "Bearer ")
		return token
	}
	const ownUser = `[{__typename: "User", id: "a"}]`
	const otherUser = `[{__typename: "User", id: "b"}]`
	for _, tt := range []struct{ token, query, want string }{
		{"", entitiesQuery(ownUser), `"reason":"TOKEN_MISSING"`},
		{"x", entitiesQuery(ownUser), `"reason":"TOKEN_MALFORMED"`},
		{token("a"), entitiesQuery(ownUser), `{"data":{"_entities":[{"id":"a","username":"u"`},
		{token("a"), entitiesQuery(otherUser),
			`"extensions":{"code":"FORBIDDEN","reason":"NOT_OWNER"}}],` +
				`"data":{"_entities":[null]}}`},
		{token("a", "other"), entitiesQuery(otherUser), `"reason":"NOT_OWNER"`},
		{token("a", "directory"), entitiesQuery(otherUser), `{"data":{"_entities":[{"id":"b",` +
			`"username":null,"email":null,"realmRoles":[],"token":null}]}}`},
		{token("a"), entitiesQuery(`[{__typename: "Note", id: "a"}]`), `"code":"BAD_USER_INPUT"`},
		{token("a"), entitiesQuery(`[{__typename: "User"}]`), `"code":"BAD_USER_INPUT"`},
		{token("a"), entitiesQuery(`[{__typename: "User", id: {}}]`), `"code":"BAD_USER_INPUT"`},
		{token("a"), entitiesQuery(`[{id: "a"}]`), `"code":"BAD_USER_INPUT"`},
		{token("a"), entitiesQuery(`[5]`), `"code":"BAD_USER_INPUT"`},
		{token("a"), `{ _service { sdl } }`, `"code":"INTROSPECTION_DISABLED"`},
		{token("a"), `{ a: _service { sdl } b: _service { sdl } }`, `"reason":"ROOT_FIELDS"`},
	} {
		if got := post(h, tt.token, tt.query); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.query, got, tt.want)
		}
	}

	config.GraphQL.Introspection = true
	h = newServer(t, config).Handler()
	if got := post(h, "", `{ _service { sdl } }`); !strings.Contains(got, `@key(fields: \"id\")`) {
		t.Errorf("_service: %.200s, want @key", got)
	}
}

// New returns an error if Config.Federation is set together with Config.Schema, or if
// Config.FederationRole is set without Config.Federation.
func TestConfig_Federation_error(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	for want, change := range map[string]func(*cloakql.Config){
		"Config.Federation is for": func(c *cloakql.Config) { c.Federation = true },
		"but Config.Federation isn't": func(c *cloakql.Config) {
			c.Schema, c.FederationRole = nil, "directory"
		},
	} {
		config := applicationConfig(t, kc, application{})
		change(&config)
		if _, err := cloakql.New(config); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("New() = %v, want %q", err, want)
		}
	}
}

// In an application's schema too, a representation that names no entity is the client's mistake.
// The log has only the line of the request.
func TestAuthz_representationErrors(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc))
	config.Schema = guardedSchema
	s := newTestServer(t, config, nil)
	name := strings.Repeat("N", 5000)
	for _, representation := range []string{`{__typename: "` + name + `"}`,
		`{__typename: "Query"}`, `{__typename: "_Entity"}`, `{__typename: ["Order"]}`, `{}`,
		`{__typename: null}`, `{__typename: "Order"}`, `{__typename: "Order", id: null}`,
		`{__typename: "Order", id: {a: "` + name + `"}}`, `{__typename: "Order", id: []}`} {
		before := len(s.log.String())
		_, got := s.do(t, testRequest{query: `{ _entities(representations: [` +
			strings.Repeat(representation+" ", 2) + `]) { __typename } }`})
		if strings.Count(got, `"code":"BAD_USER_INPUT"`) != 2 || strings.Contains(got, "NNN") {
			t.Errorf("%.80s: got %.500s, want BAD_USER_INPUT twice", representation, got)
		}
		if log := s.log.String()[before:]; len(log) > 400 || strings.Contains(log, "NNN") {
			t.Errorf("%.80s: the log has %d bytes: %.500s", representation, len(log), log)
		}
	}
}
