package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Keycloak gets the right password for each way to write it as a string literal. A literal or
// variable with half of a surrogate pair is rejected.
func TestPasswordLiteral(t *testing.T) {
	t.Parallel()
	const password = "pä🔑s \"\\s"
	user, _ := realm{sharedKeycloak, "local"}.newUser(t,
		object{"credentials": []object{{"type": "password", "value": password}}})
	s := serve(t, sharedKeycloak)
	for name, literal := range map[string]string{
		"unescaped characters":  `"pä🔑s \"\\s"`,
		"surrogate pair":        `"p\u00e4\uD83D\udd11s\u0020\u0022\u005Cs"`,
		"escapes in braces":     `"p\u{E4}\u{1F511}s\u{20}\u{0022}\\s"`,
		"block string":          `"""` + password + `"""`,
		"indented block string": "\"\"\"\r\n\r\n    " + password + "\r\n  \t\"\"\"",
	} {
		query := `mutation { login(username: "` + user + `", password: ` + literal +
			"\n) { expiresIn } }"
		wantCode(t, name, s.query(t, "", query, nil), "")
	}
	document := "\"\"\"\nSign in.\n\"\"\"\nmutation In(\"\"\"whose\"\"\" $user: String!, \"the " +
		"password\" $password: String! = \"\\uD83D\\uDD11\") {" +
		"login(username: $user, password: $password) { ...T } } \"what\" fragment T on " +
		"OpenIdToken { expiresIn }"
	wantCode(t, "an operation with descriptions",
		s.query(t, "", document, map[string]any{"user": user, "password": password}), "")
	for name, literal := range map[string]string{
		"first half of a surrogate pair":  `"p\u00e4\uD83D"`,
		"second half of a surrogate pair": `"\uDD11"`,
		"surrogate halves in braces":      `"\u{D83D}\u{DD11}"`,
		"code point beyond Unicode":       `"\u{110000}"`,
	} {
		response := s.query(t, "",
			`mutation { login(username: "`+user+`", password: `+literal+`) { expiresIn } }`, nil)
		wantCode(t, name, response, "GRAPHQL_PARSE_FAILED")
	}
	body := `{"query":"mutation ($p: String!) { login(username: \"` + user +
		`\", password: $p) { expiresIn } }","variables":{"p":"\ud83d"}}`
	response, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if content, err := io.ReadAll(response.Body); err != nil ||
		response.StatusCode != http.StatusBadRequest ||
		!strings.Contains(string(content), "half of a surrogate pair") {
		t.Errorf("half of a surrogate pair in a variable: got %d %s, error %v; want 400",
			response.StatusCode, content, err)
	}
}

// The server accepts documents with descriptions, as graphql-js 16.15 prints them. Descriptions
// don't bypass any limit.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	s := serve(t, sharedKeycloak)
	for _, query := range []string{
		"\"Who is signed in\"\nquery Me { __typename }",
		"\"\"\"\nWho is\nsigned in\n\"\"\"\nquery Me { __typename }",
		"query Me(\n\"whether to ask\"\n$ask: Boolean = true\n) { __typename @include(if: $ask) }",
		"query Me { __schema { ...Roots } }\n\"the root types\"\nfragment Roots on __Schema { " +
			"queryType { name } }",
		`{ __type(name: "\u{51}uery") { name } }`,
	} {
		for range 2 { // the second time from the cache
			response := s.query(t, "", query, nil)
			wantCode(t, query, response, "")
		}
	}
	for query, code := range map[string]string{
		`"short for query" { __typename }`: "GRAPHQL_PARSE_FAILED",
		`"` + strings.Repeat("a", 16<<10+1) +
			`" query { __typename }`: "OPERATION_TOO_LARGE/STRINGS",
		"query (" + strings.Repeat(`"a"$v:Int `, 200) +
			") { __typename }": "OPERATION_TOO_LARGE/VARIABLES",
		strings.Repeat(`"a" fragment F on Query { __typename } `, 51) +
			"{__typename": "OPERATION_TOO_LARGE/FRAGMENTS",
	} {
		wantCode(t, query[:min(len(query), 60)], s.query(t, "", query, nil), code)
	}
}

// A persisted or trusted document with descriptions is identified by the hash of the client's text,
// not of the text that the server rewrites for its parser.
func TestDescriptions_persisted(t *testing.T) {
	t.Parallel()
	const query = "\"\"\"\nWhat is here\n\"\"\"\nquery Here(\"whether\" $ask: Boolean = true) { " +
		"__typename @include(if: $ask) }"
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(query)))
	extensions := `"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}`
	manifest := filepath.Join(t.TempDir(), "manifest.json")
	text, err := json.Marshal(map[string]any{"format": "apollo-persisted-query-manifest",
		"version": 1, "operations": []any{
			map[string]any{"id": hash, "name": "Here", "type": "query", "body": query},
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, text, 0o600); err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*server{"persisted": serve(t, sharedKeycloak),
		"trusted": serve(t, sharedKeycloak, "TRUSTED_DOCUMENTS="+manifest)} {
		for _, body := range []string{`{"query":` + string(quoted) + `,` + extensions + `}`,
			`{` + extensions + `}`, `{"query":` + string(quoted) + `}`} {
			response, err := http.Post(s.url+"/graphql", "application/json",
				strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || string(content) != `{"data":{"__typename":"Query"}}`+"\n" {
				t.Errorf("%s document, request %s: got %s, error %v", name, body, content, err)
			}
		}
	}
}

// Errors have the line and column in the client's text, even after CRLF, astral characters, block
// strings and descriptions.
func TestErrorLocations(t *testing.T) {
	t.Parallel()
	s := serve(t, sharedKeycloak)
	for query, want := range map[string]string{
		"{\r\n  🔑\r\n}":       `[{"line":2,"column":3}]`,
		"{\r\n  nowhere\r\n}": `[{"line":2,"column":3}]`,
		"mutation { login(username: \"\"\"\n\n  a\n\"\"\", password: \"🔑\", otp: 5) { expiresIn " +
			"} }": `[{"line":4,"column":27}]`,
		"\"\"\"\n🔑\n\"\"\" query { me { \"\"\"\n\"\"\" } }":                           `[{"line":3,"column":18}]`,
		"mutation {\r\n login(username: 5, password: \"\"\"\r\n\"\"\") { nowhere } }": `[{"line":2,"column":18}]`,
		"mutation { login(username: \"\"\"\n\nnobody\"\"\", password: \"x\") { expiresIn } " +
			"logout(refreshToken: \"\") }": `[{"line":3,"column":41}]`,
		"query ($v: Int!) {\n __typename @skip(if: $v)\n}": `[{"line":2,"column":23}]`,
		"\ufeff{ me { id ...F } } \"\"\"\n\"\"\" fragment F on User { ...G } fragment G on User " +
			"{ ...F }": `[{"line":1,"column":21}]`,
	} {
		response := s.query(t, "", query, nil)
		if !strings.Contains(response.body, `"locations":`+want) {
			t.Errorf("%q: got %s, want the locations %s", query, response.body, want)
		}
	}
}

// IDEs and code generators can introspect the schema even if LIMIT_DEPTH is small. Introspection
// has its own limits.
func TestIntrospection_smallDepth(t *testing.T) {
	t.Parallel()
	s := serve(t, sharedKeycloak, "LIMIT_DEPTH=2")
	typeRef := strings.Repeat("{ kind name ofType ", 10) + "{ kind name }" +
		strings.Repeat(" }", 10)
	query := `query IntrospectionQuery { __schema { types { ...FullType } directives { name args { ...InputValue } } } }
		fragment FullType on __Type { kind name fields(includeDeprecated: true) { name args { ...InputValue } type { ...TypeRef } } inputFields { ...InputValue } possibleTypes { ...TypeRef } }
		fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue }
		fragment TypeRef on __Type ` + typeRef
	wantCode(t, "one level deeper than graphql-js's query", s.query(t, "", query, nil), "")
	wantCode(t, "a data query that is too deep", s.query(t, "", `{ me { token { acr } } }`, nil),
		"OPERATION_TOO_LARGE/DEPTH")
	var aliases strings.Builder
	for i := range 10 {
		fmt.Fprintf(&aliases, "a%d: __schema { types { name fields { name type { name } } } } ", i)
	}
	wantCode(t, "ten aliases of __schema", s.query(t, "", "{ "+aliases.String()+"}", nil),
		"OPERATION_TOO_LARGE/INTROSPECTION")
}
