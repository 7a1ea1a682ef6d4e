package authz

import (
	"context"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/cloakql/cloakql/identity"
)

// Each case is a published bypass of access rules in another GraphQL server. The comment above it
// names the server. Here, the rule is enforced.
func TestPublishedBypasses(t *testing.T) {
	const nodeSchema = `
		type Query { node: Node @public list: [Found!] @public open: String @public }
		interface Node { id: ID text: String }
		type Note implements Node { id: ID text: String }
		type Secret implements Node @hasRole(anyOf: ["admin"]) { id: ID text: String }
		union Found = Note | Secret`
	const scopeSchema = `type Query { open: String @public
		a: String @hasScope(anyOfAll: [["read", "audit"], ["write"]]) }`
	withScopes := func(scopes ...string) context.Context {
		c := callerWithRoles()
		c.user.Token.Scope = scopes
		return identity.NewContext(t.Context(), c.user, nil)
	}
	withClientRole := func(client, role string) context.Context {
		c := callerWithRoles()
		c.user.ClientRoles = []identity.ClientRoles{{Client: client, Roles: []string{role}}}
		return identity.NewContext(t.Context(), c.user, nil)
	}
	const roleMissing = `{"message":"a role is missing","path":["%"]}`
	for _, tt := range []struct {
		name, schema string
		config       Config
		getType      string // if set, the request is a GET request with this Content-Type
		document     string
		ctx          context.Context
		typeSeed     uint64 // see testExecutor
		want         string // the response
		ran          string // the paths of the fields that run
	}{
		// Apollo Router, GHSA-x33c-7c2v-mrj9.
		{name: "the type's rule, through an interface", schema: nodeSchema,
			document: `{ node { ... on Secret { text } } }`,
			ctx:      contextWithRoles("user"), typeSeed: 2,
			want: `{"errors":[` + strings.ReplaceAll(roleMissing, "%", `node","text`) +
				`],"data":{"node":{"text":null}}}`, ran: "node"},
		// Apollo Federation, GHSA-mx7m-j9xf-62hw.
		{name: "the interface's rule, through a fragment on an implementation",
			schema: `type Query { node: Node @public }
				interface Node { text: String @hasRole(anyOf: ["admin"]) }
				type Note implements Node { text: String }`,
			document: `{ node { ... on Note { text } } }`, ctx: contextWithRoles("user"),
			want: `{"errors":[` + strings.ReplaceAll(roleMissing, "%", `node","text`) +
				`],"data":{"node":{"text":null}}}`, ran: "node"},
		// Apollo Router, GHSA-g8jh-vg5j-4h3f.
		{name: "a directive under another name",
			schema: strings.ReplaceAll(Schema("hasRole"), "@hasRole", "@company__needsRole") +
				`type Query { open: String @public ` +
				`a: String @company__needsRole(anyOf: ["admin"]) }`,
			config:   Config{Names: map[string]string{"hasRole": "company__needsRole"}},
			document: `{ a }`, ctx: contextWithRoles("user"),
			want: `{"errors":[` + strings.ReplaceAll(roleMissing, "%", "a") +
				`],"data":{"a":null}}`},
		// Hive Router skips the directives without JWT authentication.
		{name: "no verifier has seen the request", schema: scopeSchema, document: `{ a open }`,
			ctx: context.Background(), want: `{"errors":[{"message":"no bearer token",` +
				`"path":["a"]}],"data":{"a":null,"open":"text"}}`, ran: "open"},
		{name: "the request has no token", schema: scopeSchema, document: `{ a open }`,
			ctx: identity.NewContext(context.Background(), nil, nil),
			want: `{"errors":[{"message":"no bearer token","path":["a"]}],` +
				`"data":{"a":null,"open":"text"}}`, ran: "open"},
		// @requiresScopes of Apollo is an OR of ANDs. Other servers read it as an AND of ORs, and
		// admit this caller: it has audit from the first list, and write from the second.
		{name: "lists of scopes",
			schema:   strings.ReplaceAll(scopeSchema, `["write"]`, `["write", "admin"]`),
			document: `{ a }`, ctx: withScopes("audit", "write"),
			want: `{"errors":[{"message":"a scope is missing","path":["a"]}],"data":{"a":null}}`},
		{name: "lists of scopes, satisfied", schema: scopeSchema, document: `{ a }`,
			ctx: withScopes("audit", "read"), want: `{"data":{"a":"text"}}`, ran: "a"},
		// Some servers merge the roles of all clients in Keycloak's claim resource_access.
		{name: "a role of another client", schema: `type Query {
			a: String @hasRole(anyOf: ["admin"], client: "billing") }`, document: `{ a }`,
			ctx: withClientRole("shop", "admin"), want: `{"errors":[` +
				strings.ReplaceAll(roleMissing, "%", "a") + `],"data":{"a":null}}`},
		{name: "a client's role with the name of a realm role", schema: `type Query {
			a: String @hasRole(anyOf: ["admin"]) }`, document: `{ a }`,
			ctx: withClientRole("shop", "admin"), want: `{"errors":[` +
				strings.ReplaceAll(roleMissing, "%", "a") + `],"data":{"a":null}}`},
		// Cosmo fetched the data before it looked at the rules, until its pull request 3056.
		{name: "data is fetched, and then withheld", schema: `type Query { note: Note! @public }
			type Note { text: String! @hasRole(anyOf: ["admin"]) }`, document: `{ note { text } }`,
			ctx: contextWithRoles("user"), want: `{"errors":[{"message":"a role is missing",` +
				`"path":["note","text"],"locations":[{"line":1,"column":10}]}],"data":null}`},
		// Apollo Server, GHSA-hff2-gcpx-8f4p: GET requests with a malformed Content-Type passed a
		// check.
		{name: "GET with a malformed Content-Type", schema: scopeSchema, document: `{ a }`,
			getType: "application/json;\x0bcharset=utf-8, text/plain; x",
			ctx:     identity.NewContext(context.Background(), nil, nil),
			want: `{"errors":[{"message":"no bearer token","path":["a"]}],` +
				`"data":{"a":null}}`},
		// Hive Router, issue 1422.
		{name: "the rules of a union's members", schema: nodeSchema,
			document: `{ list { ... on Note { text } ... on Secret { id text } } }`,
			ctx:      contextWithRoles("user"), typeSeed: 1,
			want: `{"errors":[` + strings.ReplaceAll(roleMissing, "%", `list","id`) + `,` +
				strings.ReplaceAll(roleMissing, "%", `list","text`) +
				`],"data":{"list":[{"text":"text"},{"id":null,"text":null}]}}`,
			ran: "list list.0.text"},
		// Hive Router, issue 1423.
		{name: "an allowed and a denied field with one response key", schema: nodeSchema,
			document: `{ list { ... on Secret { x: id } ... on Note { x: id } } }`,
			ctx:      contextWithRoles("user"), typeSeed: 1,
			want: `{"errors":[` + strings.ReplaceAll(roleMissing, "%", `list","x`) +
				`],"data":{"list":[{"x":"text"},{"x":null}]}}`, ran: "list list.0.x"},
		// Apollo Router, pull request 9022: data was {}.
		{name: "everything is denied", schema: `type Query { a: Int @auth b: Int @auth }`,
			document: `{ a b }`, ctx: context.Background(), want: `{"errors":[{"message":` +
				`"no bearer token","path":["a"]},{"message":"no bearer token",` +
				`"path":["b"]}],"data":{"a":null,"b":null}}`},
		// Cosmo's error message contains the scopes of the caller.
		{name: "the error contains the caller's scopes", schema: scopeSchema,
			config: Config{Explain: true}, document: `{ a }`, ctx: withScopes("read", "payroll"),
			want: `{"errors":[{"message":"a scope is missing","path":["a"]}],` +
				`"data":{"a":null}}`},
		// Cosmo removes the denied fields from the response to a mutation that ran.
		{name: "a mutation runs, and its response is filtered", schema: `type Query { a: Int @auth }
			type Mutation { write: Note @auth } type Note { id: ID
			text: String @hasRole(anyOf: ["admin"]) }`,
			document: `mutation { first: write { id } second: write { text } }`,
			ctx:      contextWithRoles("user"), want: `{"errors":[{"message":"a role is missing",` +
				`"path":["second","text"],"locations":[{"line":1,"column":48}]}],"data":null}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := tt.schema
			if tt.config.Names == nil {
				source = Schema() + source
			} else {
				source = Schema("public", "auth") + source
			}
			executor := &testExecutor{schema: loadSource(t, source), typeSeed: tt.typeSeed}
			server := handler.New(executor)
			server.AddTransport(transport.GET{})
			server.AddTransport(transport.POST{})
			if err := Install(server, executor, tt.config); err != nil {
				t.Fatal(err)
			}
			request := httptest.NewRequestWithContext(tt.ctx, "POST", "/",
				strings.NewReader(toJSON(map[string]any{"query": tt.document})))
			request.Header.Set("Content-Type", "application/json")
			if tt.getType != "" {
				request = httptest.NewRequestWithContext(tt.ctx, "GET",
					"/?query="+url.QueryEscape(tt.document), nil)
				request.Header.Set("Content-Type", tt.getType)
			}
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, request)
			slices.Sort(executor.ran)
			if got := recorder.Body.String(); got != tt.want {
				t.Errorf("response\ngot  %s\nwant %s", got, tt.want)
			}
			if got := strings.Join(executor.ran, " "); got != tt.ran {
				t.Errorf("%q ran, want %q", got, tt.ran)
			}
		})
	}
}

// An operation that selects a denied field twice gets one error for it.
func TestEnforcer_oneErrorPerField(t *testing.T) {
	executor := &testExecutor{schema: loadSource(t, Schema()+`type Query { a: Int! @auth }`)}
	server := handler.New(executor)
	server.AddTransport(transport.POST{})
	if err := Install(server, executor, Config{}); err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest("POST", "/",
		strings.NewReader(`{"query":"{ a ... { a } ...F } fragment F on Query { a }"}`))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	want := `{"errors":[{"message":"no bearer token","path":["a"],` +
		`"locations":[{"line":1,"column":3}]}],"data":null}`
	if got := recorder.Body.String(); got != want {
		t.Errorf("response %s\nwant %s", got, want)
	}
}
