package limits_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/limits"
)

// clientQueries are documents that common client libraries send or that people write by hand.
var clientQueries = map[string]string{
	"graphql-request, login": `mutation Login($username: String!, $password: String!, $otp: String) {
  login(username: $username, password: $password, otp: $otp) { accessToken expiresIn refreshToken refreshExpiresIn tokenType idToken scope }
}`,
	"login with literals": `mutation { login(username: "alice", password: "a \"long\" password, ` +
		`with \u00e4 and {brackets}") { accessToken } }`,
	"refresh of 4 KB": `mutation { refresh(refreshToken: "` +
		repeat(100, "eyJhbGciOiJIUzUxMiIsInR5cCIgOiAiSldUIiw#") +
		`") { accessToken refreshToken } }`,
	"logout": `mutation Logout($refreshToken: String!) { logout(refreshToken: $refreshToken) }`,
	"Apollo, me": `query Me { me { id username email emailVerified name givenName familyName realmRoles
  clientRoles { client roles __typename } groups token { scope expiresAt acr session { id authenticatedAt __typename } claims __typename } __typename } }`,
	"Apollo, with fragments and directives": `query Page($withToken: Boolean!, $withRoles: Boolean = false) {
  viewer: me { ...Header_user ...Sidebar_user ...Avatar_user __typename }
}
fragment Avatar_user on User { id name __typename }
fragment Header_user on User { id username email ...Avatar_user token @include(if: $withToken) { expiresAt __typename } __typename }
fragment Sidebar_user on User { id ...Avatar_user realmRoles @include(if: $withRoles) clientRoles @skip(if: $withRoles) { client roles __typename } __typename }`,
	"Relay, connection": `query RepositoryListPaginationQuery($count: Int = 10, $cursor: ID, $filter: Filter = {orderBy: {field: NAME, direction: ASC}, tags: ["a", "b"]}, $id: ID!) {
  node(id: $id) { __typename ...RepositoryList_organization_3vIVdn id }
}
fragment RepositoryListItem_repository on Repository { id name description url stargazers { totalCount } owner { __typename id login } }
fragment RepositoryList_organization_3vIVdn on Organization {
  repositories(first: $count, after: $cursor, filter: $filter) {
    edges { cursor node { id ...RepositoryListItem_repository __typename } }
    pageInfo { endCursor hasNextPage }
  }
  id
}`,
	"Relay, typed fragments": `query NodeQuery($id: ID!) { node(id: $id) { __typename ... on User { ...U } ... on Organization { ...O } ...N id } }
fragment U on User { id name avatar(size: 64) { url } } fragment O on Organization { id name members(first: 3) { edges { node { ...U id } } } } fragment N on Node { id }`,
	"urql, with __typename everywhere": `query ($first: Int!) { todos(first: $first) { nodes { ` +
		`id text complete author { id name __typename } __typename } totalCount __typename } }`,
	"aliases": `{ small: picture(size: 64) { url } large: picture(size: ` +
		`640) { url } other: user(id: 7) { ...F } } fragment F on User { id name best: ` +
		`friends(first: 1) { id } }`,
	"subscription": `subscription OnMessage($room: ID!) { messageAdded(room: ` +
		`$room) { id text at author { id name } } }`,
	"nested filters": `{ users(where: {_and: [{age: {_gte: 18}}, {_or: [{name: ` +
		`{_ilike: "%a%"}}, {roles: {_in: ["admin", "auditor"]}}]}]}, order_by: [{name: asc}, ` +
		`{age: desc_nulls_last}], limit: 20) { id name } }`,
	"several operations": "# an IDE sends everything in its editor\nquery A { me { " +
		"id } }\n\nquery B { me { ...F } }\nmutation C { login(username: \"a\", password: \"b\") " +
		"{ accessToken } }\nfragment F on User { id }\n",
	"health check": `{__typename}`,
	"short introspection of an IDE": `query { __schema { queryType { fields { name type { ` +
		`name kind ofType { name kind } } args { name defaultValue type { name } } } } types { ` +
		`name fields { name } } } }`,
	"twenty fragments of components": `query Screen { me {` + repeat(20, "...Component#_user ") +
		`} }` +
		repeat(20,
			" fragment Component#_user on User { __typename id name email realmRoles field# }"),
	"batch of thirty": `query Batch {` +
		repeat(30, " user#: user(id: #) { id name email roles { id name } __typename }") + `}`,
	"GraphiQL's introspection": introspectionQuery,
}

// TestLimits_clientQueries checks that clientQueries are well within the default limits.
func TestLimits_clientQueries(t *testing.T) {
	l := limits.Limits{RootFieldMax: map[string]int{"login": 1, "refresh": 1}}
	for name, query := range clientQueries {
		request := &graphql.RawParams{Query: query,
			Variables: map[string]any{"username": "alice", "password": "secret",
				"filter": map[string]any{"tags": []any{"a"}}}}
		if err := l.MutateOperationParameters(t.Context(), request); err != nil {
			t.Errorf("%s: %v, want no error", name, err)
		}
		if counts, ok := limits.Measure(query, nil); !ok {
			t.Errorf("%s: Measure reports a syntax error, want none", name)
		} else if counts.Fields > limits.DefaultFields/2 || counts.Values > limits.DefaultValues/2 {
			t.Errorf("%s: %+v, want at most %d fields and %d values", name, counts,
				limits.DefaultFields/2, limits.DefaultValues/2)
		}
	}
}

// TestIntrospection_graphiQL checks what the comment of the defaults says about GraphiQL's
// introspection query.
func TestIntrospection_graphiQL(t *testing.T) {
	if executed, body := runQuery(limits.Limits{}, introspectionQuery); !executed {
		t.Errorf("GraphiQL's introspection query: response %s, want it executed", body)
	}
	if counts, _ := limits.Measure(introspectionQuery, nil); counts.Depth != 1 ||
		counts.IntrospectionDepth != 1 || counts.IntrospectionCost != 5 || counts.Fields > 500 {
		t.Errorf("GraphiQL's introspection query has %+v, want Depth 1, IntrospectionDepth 1, "+
			"IntrospectionCost 5 and at most 500 fields", counts)
	}
}

// typeRef returns a selection set that unwraps this many levels of a type with ofType, as the
// introspection queries of tools do.
func typeRef(levels int) string {
	return strings.Repeat("{ kind name ofType ", levels) + "{ kind name }" +
		strings.Repeat(" }", levels)
}

// TestIntrospection_depth checks that Limits.Depth doesn't apply to introspection, so that IDEs and
// code generators work with every depth limit. graphql-js unwraps 9 levels of types; graphql-java
// and older tools unwrap 7, without fragments.
func TestIntrospection_depth(t *testing.T) {
	unwrapQuery := func(levels int) string {
		arguments := "{ name description type " + typeRef(levels) + " defaultValue }"
		return "query { __schema { queryType { name } types { kind name " +
			"fields(includeDeprecated: true) { name args " + arguments + " type " +
			typeRef(levels) + " } inputFields " +
			arguments + " interfaces " + typeRef(levels) + " possibleTypes " + typeRef(levels) +
			" enumValues { name } } directives { name locations args " + arguments + " } } }"
	}
	deepTypeRef := strings.Replace(introspectionQuery, "fragment TypeRef on __Type {",
		"fragment TypeRef on __Type { ofType { ofType { ofType { ...Inner } } } } fragment Inner "+
			"on __Type {", 1)
	nestedFragments := `{ ...A } fragment A on Query { __schema { ... on __Schema { types { ...B ` +
		`} } } } fragment B on __Type { ...C fields { type { ...C } } } fragment C on __Type ` +
		typeRef(9)
	for _, query := range []string{
		introspectionQuery, deepTypeRef, nestedFragments, unwrapQuery(7), unwrapQuery(9),
		unwrapQuery(10), unwrapQuery(14), `{ __type(name: "A") ` + typeRef(25) + ` leaf }`,
	} {
		for _, depth := range []int{0, 1, 2} {
			err := (limits.Limits{Depth: depth}).MutateOperationParameters(t.Context(),
				&graphql.RawParams{Query: query})
			if err != nil {
				t.Errorf("Depth %d: %v, want no error for %s", depth, err, query)
			}
		}
		if executed, body := runQuery(limits.Limits{Depth: 1}, query); !executed {
			t.Errorf("%s\nresponse %s, want it executed", query, body)
		}
	}
	for query, want := range map[string]string{
		`{ __type(name: "A") ` + typeRef(31) +
			`}`: "NESTING at least 33 brackets are open at once; the limit is 32",
		`{ a { leaf } }`: "DEPTH its fields nest to depth 2; the limit is 1",
		`{ __schema { types { name } } a { leaf } }`:                              "DEPTH its fields nest to depth 2; the limit is 1",
		`{ ...F } fragment F on Query { a { leaf } __schema { types { name } } }`: "DEPTH its fields nest to depth 2; the limit is 1",
		`{ __schema { types { ...F } } } fragment F on A { a { leaf } }`:          "DEPTH its fields nest to depth 2; the limit is 1",
	} {
		checkError(t, limits.Limits{Depth: 1}, query, want)
	}
}

// TestIntrospection_cost checks Limits.IntrospectionCost. Without this limit, a query of 714 bytes
// with ten aliases of __schema would get a response of 48 kB.
func TestIntrospection_cost(t *testing.T) {
	const costMessage = "INTROSPECTION with fragments expanded, an operation requests the schema "
	for query, want := range map[string]string{
		introspectionQuery: "",
		`{` + repeat(2, `a#: __schema { types { name } } `) +
			`}`: "",
		`{` + repeat(10, `a#: __type(name: "A") { name } `) +
			`}`: "",
		`{ __schema { types { name } } ` + repeat(5, `a#: __type(name: "A") { name } `) +
			`}`: "",
		`{` + repeat(10, `a#: __schema { types { fields { name } } } `) +
			`}`: costMessage + "50 times",
		`{` + repeat(3, `__schema { types { name } } `) +
			`}`: costMessage + "15 times",
		`{` + repeat(50, `a#: __type(name: "A") { name } `) +
			`}`: costMessage + "50 times",
		`{ __schema {` + repeat(10, `a#: types { name } `) +
			`} }`: costMessage + "15 times",
		`{ __schema { types {` + repeat(10, `a#: fields { name } `) +
			`} } }`: costMessage + "15 times",
		`{ __schema { types { ...F } } } fragment F on __Type {` + repeat(10, `a#: name `) +
			`}`: costMessage + "15 times",
		`{ __schema { types { ...F ...F } } } fragment F on __Type {` + repeat(5, `a#: name `) +
			`}`: costMessage + "15 times",
		`{ a: __schema { ...F } b: __schema { ...F } } fragment F on __Schema { x: types { name ` +
			`} }`: costMessage + "12 times",
		`{ ...F } fragment F on Query { ...G ...G ...G } fragment G on Query { __schema { types ` +
			`{ name } } }`: costMessage + "15 times",
		`{` + repeat(50, `a#: __typename `) +
			`}`: "",
		// A document costs as much as its most expensive operation, since only one operation runs.
		repeat(3, ` query A# { a: __schema { types { name } } b: __schema { types { name } } }`): "",
		// These aliases aren't below __schema.
		`{` + repeat(11, `a#: a { types: leaf } `) + `}`: "",
	} {
		checkError(t, limits.Limits{}, query, want)
	}
}

// checkError checks that the limits l return an error whose reason and details start with want, or
// no error if want is empty. The details are the part of the message after the colon.
func checkError(t *testing.T, l limits.Limits, query, want string) {
	t.Helper()
	got := ""
	err := l.MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query})
	if err != nil {
		_, details, _ := strings.Cut(err.Message, ": ")
		got = fmt.Sprint(err.Extensions["reason"], " ", details)
	}
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		t.Errorf("%s: got %q, want it to start with %q", query, got, want)
	}
}
