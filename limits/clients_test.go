package limits_test

import (
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"github.com/cloakql/cloakql/limits"
)

// clients are operations as libraries and people write them.
var clients = map[string]string{
	"graphql-request, login": `mutation Login($username: String!, $password: String!, $otp: String) {
  login(username: $username, password: $password, otp: $otp) { accessToken expiresIn refreshToken refreshExpiresIn tokenType idToken scope }
}`,
	"a literal login": `mutation { login(username: "alice", password: "a \"long\" password, with \u00e4 and {brackets}") { accessToken } }`,
	"a refresh of 4 KB": `mutation { refresh(refreshToken: "` +
		list(100, "eyJhbGciOiJIUzUxMiIsInR5cCIgOiAiSldUIiw#") + `") { accessToken refreshToken } }`,
	"logout": `mutation Logout($refreshToken: String!) { logout(refreshToken: $refreshToken) }`,
	"Apollo, me": `query Me { me { id username email emailVerified name givenName familyName realmRoles
  clientRoles { client roles __typename } groups token { scope expiresAt acr session { id authenticatedAt __typename } claims __typename } __typename } }`,
	"Apollo, with fragments and directives": `query Page($withToken: Boolean!, $withRoles: Boolean = false) {
  viewer: me { ...Header_user ...Sidebar_user ...Avatar_user __typename }
}
fragment Avatar_user on User { id name __typename }
fragment Header_user on User { id username email ...Avatar_user token @include(if: $withToken) { expiresAt __typename } __typename }
fragment Sidebar_user on User { id ...Avatar_user realmRoles @include(if: $withRoles) clientRoles @skip(if: $withRoles) { client roles __typename } __typename }`,
	"Relay, a connection": `query RepositoryListPaginationQuery($count: Int = 10, $cursor: ID, $filter: Filter = {orderBy: {field: NAME, direction: ASC}, tags: ["a", "b"]}, $id: ID!) {
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
	"urql, with __typename everywhere": `query ($first: Int!) { todos(first: $first) { nodes { id text complete author { id name __typename } __typename } totalCount __typename } }`,
	"aliases":                          `{ small: picture(size: 64) { url } large: picture(size: 640) { url } other: user(id: 7) { ...F } } fragment F on User { id name best: friends(first: 1) { id } }`,
	"a subscription":                   `subscription OnMessage($room: ID!) { messageAdded(room: $room) { id text at author { id name } } }`,
	"nested filters":                   `{ users(where: {_and: [{age: {_gte: 18}}, {_or: [{name: {_ilike: "%a%"}}, {roles: {_in: ["admin", "auditor"]}}]}]}, order_by: [{name: asc}, {age: desc_nulls_last}], limit: 20) { id name } }`,
	"several operations":               "# what an IDE sends: all that is in the editor\nquery A { me { id } }\n\nquery B { me { ...F } }\nmutation C { login(username: \"a\", password: \"b\") { accessToken } }\nfragment F on User { id }\n",
	"a health check":                   `{__typename}`,
	"an IDE's short introspection":     `query { __schema { queryType { fields { name type { name kind ofType { name kind } } args { name defaultValue type { name } } } } types { name fields { name } } } }`,
	"twenty fragments of components": `query Screen { me {` + list(20, "...Component#_user ") +
		`} }` +
		list(20,
			" fragment Component#_user on User { __typename id name email realmRoles field# }"),
	"a batch of thirty": `query Batch {` +
		list(30, " user#: user(id: #) { id name email roles { id name } __typename }") + `}`,
	"GraphiQL's introspection": graphiql,
}

func TestClientsPass(t *testing.T) {
	bounds := limits.Limits{RootFieldMax: map[string]int{"login": 1, "refresh": 1}}
	for name, query := range clients {
		request := &graphql.RawParams{Query: query,
			Variables: map[string]any{"username": "alice", "password": "secret",
				"filter": map[string]any{"tags": []any{"a"}}}}
		if fault := bounds.MutateOperationParameters(t.Context(), request); fault != nil {
			t.Errorf("%s is refused: %v", name, fault)
		}
		if found, ok := limits.FoundIn(query, nil); !ok {
			t.Errorf("%s is no document", name)
		} else if found.Fields > limits.DefaultFields/2 || found.Values > limits.DefaultValues/2 {
			t.Errorf("%s keeps the limits by a narrow margin: %+v", name, found)
		}
	}
}

func TestGraphiQLsIntrospectionIsValid(t *testing.T) {
	if ran, body := run(limits.Limits{}, graphiql); !ran {
		t.Error(body)
	}
	if found, _ := limits.FoundIn(graphiql, nil); found.Depth != 1 ||
		found.Introspection != 1 || found.Asked != 5 ||
		found.Fields > 500 {
		t.Errorf(
			"the comments say that its lists nest to 1 and that it has some 400 fields; found %+v",
			found)
	}
}

// typeRef is what tools ask of a type, unwrapped so many levels deep.
func typeRef(levels int) string {
	return strings.Repeat("{ kind name ofType ", levels) + "{ kind name }" +
		strings.Repeat(" }", levels)
}

// Fields of the schema aren't fields of the data: IDEs and generators work whatever the depth of
// the data may be. graphql-js unwraps 9 levels, graphql-java and older tools 7, without fragments.
func TestIntrospectionHasNoDepth(t *testing.T) {
	unwrapped := func(levels int) string {
		arguments := "{ name description type " + typeRef(levels) + " defaultValue }"
		return "query { __schema { queryType { name } types { kind name fields(includeDeprecated: true) { name args " + arguments + " type " + typeRef(levels) + " } inputFields " +
			arguments + " interfaces " + typeRef(levels) + " possibleTypes " + typeRef(levels) +
			" enumValues { name } } directives { name locations args " + arguments + " } } }"
	}
	deeper := strings.Replace(graphiql, "fragment TypeRef on __Type {",
		"fragment TypeRef on __Type { ofType { ofType { ofType { ...Inner } } } } fragment Inner on __Type {", 1)
	split := `{ ...A } fragment A on Query { __schema { ... on __Schema { types { ...B } } } } fragment B on __Type { ...C fields { type { ...C } } } fragment C on __Type ` + typeRef(9)
	for _, query := range []string{graphiql, deeper, split, unwrapped(7), unwrapped(9),
		unwrapped(10), unwrapped(14), `{ __type(name: "A") ` + typeRef(25) + ` leaf }`} {
		for _, depth := range []int{0, 1, 2} {
			fault := (limits.Limits{Depth: depth}).MutateOperationParameters(t.Context(),
				&graphql.RawParams{Query: query})
			if fault != nil {
				t.Errorf("with a depth of %d: %v\n%s", depth, fault, query)
			}
		}
		if ran, body := run(limits.Limits{Depth: 1}, query); !ran {
			t.Errorf("%s\n%s", query, body)
		}
	}
	for query, want := range map[string]string{
		`{ __type(name: "A") ` + typeRef(31) + `}`: "NESTING at least 33 brackets are open at " +
			"one time, allowed are 32",
		`{ a { leaf } }`: "DEPTH its fields nest to depth 2, allowed is 1",
		`{ __schema { types { name } } a { leaf } }`:                              "DEPTH its fields nest to depth 2, allowed is 1",
		`{ ...F } fragment F on Query { a { leaf } __schema { types { name } } }`: "DEPTH its fields nest to depth 2, allowed is 1",
		`{ __schema { types { ...F } } } fragment F on A { a { leaf } }`:          "DEPTH its fields nest to depth 2, allowed is 1",
	} {
		checkFault(t, limits.Limits{Depth: 1}, query, want)
	}
}

// Ten aliases of __schema in 714 bytes gave 48 kB.
func TestIntrospectionIsAskedForAFewTimes(t *testing.T) {
	const most = "INTROSPECTION an operation asks for the schema "
	for query, want := range map[string]string{
		graphiql: "",
		`{` + list(2, `a#: __schema { types { name } } `) + `}`:                                               "",
		`{` + list(10, `a#: __type(name: "A") { name } `) + `}`:                                               "",
		`{ __schema { types { name } } ` + list(5, `a#: __type(name: "A") { name } `) + `}`:                   "",
		`{` + list(10, `a#: __schema { types { fields { name } } } `) + `}`:                                   most + "50 times",
		`{` + list(3, `__schema { types { name } } `) + `}`:                                                   most + "15 times",
		`{` + list(50, `a#: __type(name: "A") { name } `) + `}`:                                               most + "50 times",
		`{ __schema {` + list(10, `a#: types { name } `) + `} }`:                                              most + "15 times",
		`{ __schema { types {` + list(10, `a#: fields { name } `) + `} } }`:                                   most + "15 times",
		`{ __schema { types { ...F } } } fragment F on __Type {` + list(10, `a#: name `) + `}`:                most + "15 times",
		`{ __schema { types { ...F ...F } } } fragment F on __Type {` + list(5, `a#: name `) + `}`:            most + "15 times",
		`{ a: __schema { ...F } b: __schema { ...F } } fragment F on __Schema { x: types { name } }`:          most + "12 times",
		`{ ...F } fragment F on Query { ...G ...G ...G } fragment G on Query { __schema { types { name } } }`: most + "15 times",
		`{` + list(50, `a#: __typename `) + `}`:                                                               "",
		// one of them runs
		list(3, ` query A# { a: __schema { types { name } } b: __schema { types { name } } }`): "",
		// no introspection
		`{` + list(11, `a#: a { types: leaf } `) + `}`: "",
	} {
		checkFault(t, limits.Limits{}, query, want)
	}
}

// checkFault wants a refusal of the reason and the words that want begins with, or none.
func checkFault(t *testing.T, bounds limits.Limits, query, want string) {
	t.Helper()
	got, reason := "", ""
	fault := bounds.MutateOperationParameters(t.Context(), &graphql.RawParams{Query: query})
	if fault != nil {
		reason, _ = fault.Extensions["reason"].(string)
		_, got, _ = strings.Cut(fault.Message, ": ")
		got = reason + " " + got
	}
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		t.Errorf("%s\n got %q, want %q", query, got, want)
	}
}
