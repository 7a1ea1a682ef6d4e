package cloakql_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/internal/testapi"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/signin"
)

// guardedSchema returns a schema with every guard of package authz.
func guardedSchema(*signin.Service) (graphql.ExecutableSchema, error) {
	return testapi.New(), nil
}

// withRoles returns a TokenSpec with realm roles.
func withRoles(roles ...string) keycloaktest.TokenSpec {
	return keycloaktest.TokenSpec{
		Claims: map[string]any{"realm_access": map[string]any{"roles": roles}},
	}
}

// The server logs one line for each operation with denied fields. The line has the fields and the
// caller's subject, but not the caller's roles.
func TestAuthz_log(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc), "AUTHZ_DRY_RUN=Query.group")
	config.Schema = guardedSchema
	s := newTestServer(t, config, nil)
	token := bearer(t, kc, withRoles("canary"))
	s.do(t, testRequest{query: `query Q { a: anyRole b: anyRole allScopes group open }`,
		authorization: token})
	s.do(t, testRequest{query: `{ open }`, authorization: token})
	s.do(t, testRequest{query: `mutation M { erase }`})
	var lines []map[string]any
	for line := range strings.Lines(s.log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if msg, _ := fields["msg"].(string); strings.HasPrefix(msg, "access ") {
			if fields["requestId"] == "" {
				t.Errorf("the line %s lacks the request ID", line)
			}
			delete(fields, "time")
			delete(fields, "requestId")
			lines = append(lines, fields)
		}
	}
	got, _ := json.Marshal(lines)
	want := `[{"fields":["Query.allScopes","Query.anyRole"],"level":"INFO",` +
		`"msg":"access denied","name":"Q","subject":"5d35c4eb"},` +
		`{"fields":["Query.group"],"level":"INFO","msg":"access would be denied","name":"Q",` +
		`"subject":"5d35c4eb"},{"fields":["Mutation.erase"],"level":"INFO",` +
		`"msg":"access denied","name":"M","subject":""}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if strings.Contains(s.log.String(), "canary") {
		t.Error("the log has a role of the caller")
	}
}

// With AUTHZ_EXPLAIN, an error has the arguments of the rule; otherwise, it doesn't. It never has
// the caller's roles.
func TestAuthz_explain(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	for explain, want := range map[string]string{
		"false": `"extensions":{"code":"FORBIDDEN","reason":"ROLE_MISSING"}`,
		"true": `"extensions":{"code":"FORBIDDEN","reason":"ROLE_MISSING","required":` +
			`{"anyOf":["viewer"],"client":"billing"}}`,
	} {
		config := testConfig(t, withKeycloak(kc), "AUTHZ_EXPLAIN="+explain)
		config.Schema = guardedSchema
		_, body := newTestServer(t, config, nil).do(t, testRequest{query: `{ clientRole }`,
			authorization: bearer(t, kc, withRoles("canary"))})
		if !strings.Contains(body, want) || strings.Contains(body, "canary") {
			t.Errorf("AUTHZ_EXPLAIN=%s: got %s, want %s", explain, body, want)
		}
	}
}

// AUTHZ_QUERIES=all-or-nothing runs nothing of a query with a denied field.
func TestAuthz_allOrNothing(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc), "AUTHZ_QUERIES=all-or-nothing")
	config.Schema = guardedSchema
	_, body := newTestServer(t, config, nil).do(t, testRequest{query: `{ open anyRole }`,
		authorization: bearer(t, kc, withRoles())})
	if !strings.Contains(body, `"path":["anyRole"]`) || !strings.Contains(body, `"data":null}`) {
		t.Errorf("got %s, want an error, and no data", body)
	}
}

// If a field requires a stronger or more recent sign-in, the error has the requirement in the terms
// of RFC 9470.
func TestAuthz_stepUp(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc))
	config.Schema = guardedSchema
	_, body := newTestServer(t, config, nil).do(t, testRequest{query: `{ strong recent }`,
		authorization: bearer(t, kc, withRoles())})
	for _, want := range []string{
		`"extensions":{"acrValues":["gold"],"code":"UNAUTHENTICATED","reason":"STEP_UP_REQUIRED"}`,
		`"extensions":{"code":"UNAUTHENTICATED","maxAge":300,"reason":"STEP_UP_REQUIRED"}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("got %s\nwant %s", body, want)
		}
	}
}

// INTROSPECTION says who may query the schema.
func TestIntrospection_setting(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	schemaReader := bearer(t, kc, withRoles("schema-reader"))
	capitalized := bearer(t, kc, withRoles("Schema-Reader")) // not the same role
	for _, tt := range []struct {
		settings      []string
		authorization string
		want          bool
	}{
		{[]string{"INTROSPECTION=local"}, "", true},
		{[]string{"INTROSPECTION=off"}, "", false},
		{[]string{"INTROSPECTION=role:schema-reader"}, "", false},
		{[]string{"INTROSPECTION=role:schema-reader"}, capitalized, false},
		{[]string{"INTROSPECTION=role:schema-reader"}, "Bearer x", false},
		{[]string{"INTROSPECTION=role:schema-reader"}, schemaReader, true},
		{[]string{"INTROSPECTION=off"}, schemaReader, false},
	} {
		s := newTestServer(t, testConfig(t, append(tt.settings, withKeycloak(kc))...), nil)
		for _, query := range []string{`{ __schema { queryType { name } } }`,
			`{ ...F } fragment F on Query { x: __type(name: "User") { name } }`} {
			_, body := s.do(t, testRequest{query: query, authorization: tt.authorization})
			got := !strings.Contains(body, "INTROSPECTION_DISABLED")
			if got != tt.want || got == strings.Contains(body, "errors") {
				t.Errorf("%v with %q: got %s, want introspection: %t", tt.settings,
					tt.authorization, body, tt.want)
			}
		}
		// Errors suggest names of the schema only if everyone may query it.
		_, body := s.do(t, testRequest{query: `{ mee { id } }`, authorization: tt.authorization})
		everyone := tt.settings[0] == "INTROSPECTION=local"
		if strings.Contains(body, "Did you mean") != everyone {
			t.Errorf("%v: got %s, want suggestions: %t", tt.settings, body, everyone)
		}
	}
}

// Policy returns the errors of the audit, and the table of the application's schema.
func TestPolicy(t *testing.T) {
	table, err := cloakql.Policy(cloakql.Config{Schema: guardedSchema})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	table.WriteTo(&text)
	for _, want := range []string{
		"Query.anyRole               @hasRole(anyOf: [\"admin\",\"editor\"])\n",
		"Secret.title                @hasRole(anyOf: [\"admin\"])                  from Secret\n",
		"Document.audit              @hasRole(anyOf: [\"support\",\"admin\"])      from Node.audit\n",
		"Query.open                  @public\n",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "),
			strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the table lacks %q:\n%s", want, text.String())
		}
	}
	if _, err := cloakql.Policy(cloakql.Config{Schema: guardedSchema,
		Authz: authz.Config{DryRun: []string{"Query.opn"}}}); err == nil ||
		!strings.Contains(err.Error(), `Config.DryRun has "Query.opn"`) {
		t.Errorf("Policy() = %v, want an error about Config.DryRun", err)
	}
}

// Responses with guarded fields are cached for each token. The second request with a token runs no
// resolver. A caller without the role gets an error each time, even if a caller with the role sent
// the query before.
func TestAuthz_cachedResponses(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc))
	config.Schema = guardedSchema
	handler := newServer(t, config).Handler()
	resolved := 0
	ctx := testapi.WithObserver(t.Context(), func() { resolved++ })
	send := func(authorization, query string) string {
		body := strings.NewReader(`{"query":"` + query + `"}`)
		request := httptest.NewRequestWithContext(ctx, "POST", "http://localhost/graphql", body)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", authorization)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return strings.TrimSpace(recorder.Body.String())
	}
	admin, other := bearer(t, kc, withRoles("admin")), bearer(t, kc, withRoles("user"))
	const query = "{ card { owner number } }"
	const denied = `{"errors":[{"message":"You aren't allowed to use this field",` +
		`"path":["card","number"],"locations":[{"line":1,"column":16}],` +
		`"extensions":{"code":"FORBIDDEN","reason":"ROLE_MISSING"}}],` +
		`"data":{"card":{"owner":"5d35c4eb","number":null}}}`
	const allowed = `{"data":{"card":{"owner":"5d35c4eb","number":"text"}}}`
	for _, tt := range []struct {
		authorization, query, want string
		resolved                   int // since the start
	}{
		{admin, query, allowed, 1},
		{admin, query, allowed, 1}, // cached
		{other, query, denied, 2},
		{other, query, denied, 3}, // a response with errors isn't cached
		{admin, query, allowed, 3},
		{other, "{ card { owner } }", `{"data":{"card":{"owner":"5d35c4eb"}}}`, 4},
		{other, "{ card { owner } }", `{"data":{"card":{"owner":"5d35c4eb"}}}`, 4},
	} {
		if got := send(tt.authorization, tt.query); got != tt.want || resolved != tt.resolved {
			t.Errorf("%s: got %s, and %d resolvers ran; want %s and %d", tt.query, got, resolved,
				tt.want, tt.resolved)
		}
	}
}
