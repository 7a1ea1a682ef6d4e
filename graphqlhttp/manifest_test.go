package graphqlhttp

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/99designs/gqlgen/graphql"
)

// apolloManifest was written by @apollo/generate-persisted-query-manifest 1.4.0.
const apolloManifest = `{
  "format": "apollo-persisted-query-manifest",
  "version": 1,
  "operations": [
    {
      "id": "df0bd01bcdfb417c8daca6c2fece06b12b116c3b995bd2ea7a4020a576c2cbb0",
      "name": "Me",
      "type": "query",
      "body": "query Me {\n  me {\n    id\n    ...F\n    __typename\n  }\n}\n\nfragment F on User {\n  username\n  __typename\n}"
    },
    {
      "id": "6dee701e687fe2b68ae48b3efbdaa307132fe793011a9d33bd4e0a1f06f991c1",
      "name": "SignIn",
      "type": "mutation",
      "body": "mutation SignIn($u: String!, $p: String!) {\n  login(username: $u, password: $p) {\n    accessToken\n    __typename\n  }\n}"
    }
  ]
}`

// TestReadManifest checks that the operations of Apollo's manifest are found by id.
func TestReadManifest(t *testing.T) {
	m, err := ReadManifest(strings.NewReader(apolloManifest))
	if err != nil {
		t.Fatal(err)
	}
	if m.Len() != 2 {
		t.Errorf("Len() = %d, want 2", m.Len())
	}
	for id, wantPrefix := range map[string]string{
		"df0bd01bcdfb417c8daca6c2fece06b12b116c3b995bd2ea7a4020a576c2cbb0": "query Me {\n  me {\n",
		"6dee701e687fe2b68ae48b3efbdaa307132fe793011a9d33bd4e0a1f06f991c1": "mutation SignIn($u: String!",
	} {
		params := &graphql.RawParams{}
		if trusted, mismatch := m.resolve(id, params); !trusted || mismatch ||
			!strings.HasPrefix(params.Query, wantPrefix) {
			t.Errorf(
				"resolve(%s) = %t, %t, query %q; want true, false, %q...", id, trusted, mismatch,
				params.Query, wantPrefix)
		}
	}
}

// TestReadManifest_invalid checks that an invalid manifest is rejected with an error that says what
// is wrong with it.
func TestReadManifest_invalid(t *testing.T) {
	const leaf = "query Leaf { leaf }"
	operation := func(id, name, kind, body string) string {
		return fmt.Sprintf(`{"id":%q,"name":%q,"type":%q,"body":%q}`, id, name, kind, body)
	}
	manifest := func(operations ...string) string {
		return `{"format":"apollo-persisted-query-manifest","version":1,"operations":[` +
			strings.Join(operations, ",") + `]}`
	}
	leafOperation := operation("1", "Leaf", "query", leaf)
	const incompleteMessage = "it must have the members id, name, type and body, all strings " +
		"that " +
		"aren't empty"
	for _, tt := range []struct{ name, text, want string }{
		{"empty file", ``, "can't be read: it is not JSON"},
		{"not JSON", `{"format":`, "can't be read: it is not JSON"},
		{"two files in one", manifest(leafOperation) + manifest(leafOperation),
			"can't be read: it is followed by more data"},
		{"list", `[]`, "must be a JSON object"},
		{"null", `null`, "must be a JSON object"},
		{"duplicate field", strings.Replace(manifest(leafOperation), `"version":1`,
			`"version":1,"version":1`, 1), "can't be read: it has the member"},
		{"nested too deep", strings.Replace(manifest(leafOperation), `"1"`,
			strings.Repeat("[", 100)+
				strings.Repeat("]", 100), 1), "can't be read: it nests deeper than"},
		{"no format", `{"version":1,"operations":[]}`,
			`the format of the manifest of operations isn't "apollo-persisted-query-manifest"`},
		{"old Apollo format",
			`{"version":2,"operations":[{"signature":"abc","document":"query Leaf { leaf }"}]}`,
			"the format of the manifest of operations isn't"},
		{"version 2", strings.Replace(manifest(leafOperation), `"version":1`, `"version":2`, 1),
			"the version of the manifest of operations isn't 1"},
		{"version is a string",
			strings.Replace(manifest(leafOperation), `"version":1`, `"version":"1"`,
				1), "the version of the manifest of operations isn't 1"},
		{"no operations", `{"format":"apollo-persisted-query-manifest","version":1}`,
			"has no list of operations"},
		{"operations is a string",
			`{"format":"apollo-persisted-query-manifest","version":1,"operations":"all"}`,
			"has no list of operations"},
		{"operations is an empty object",
			`{"format":"apollo-persisted-query-manifest","version":1,"operations":{}}`,
			"is empty: no request could run"},
		{"empty object", `{}`, "is empty: no request could run"},
		{"operations is empty", manifest(), "is empty: no request could run"},
		{"too many operations", manifest(strings.Split(strings.Repeat(`{},`, 10_001)+`{}`, ",")...),
			"has 10002 operations; the limit is 10000"},
		{"file too large", manifest(leafOperation) + strings.Repeat(" ", 16<<20),
			"is larger than 16777216 bytes"},
		{"operation is null", manifest(leafOperation, `null`), `operation 2 of the manifest, "": ` +
			incompleteMessage},
		{"operation is a list", manifest(`[]`), incompleteMessage},
		{"no id", manifest(operation("", "Leaf", "query", leaf)),
			`operation 1 of the manifest, "Leaf": ` + incompleteMessage},
		{"no name", manifest(operation("1", "", "query", leaf)), incompleteMessage},
		{"no type", manifest(operation("1", "Leaf", "", leaf)), incompleteMessage},
		{"empty body", manifest(operation("1", "Leaf", "query", "")), incompleteMessage},
		{"id is a number", manifest(strings.Replace(leafOperation, `"1"`, `1`, 1)),
			incompleteMessage},
		{"type is missing", manifest(`{"id":"1","name":"Leaf","body":"query Leaf { leaf }"}`),
			incompleteMessage},
		{"long id", manifest(operation(strings.Repeat("x", 257), "Leaf", "query", leaf)),
			"its id has 257 bytes; the limit is 256"},
		{"duplicate id", manifest(leafOperation,
			operation("1", "Other", "query",
				"query Other { leaf }")),
			`operation 2 of the manifest, "Other": another operation has the same id and a ` +
				`different body`},
		{"wrong hash with prefix",
			manifest(operation("sha256:"+hashOf("x"), "Leaf", "query",
				leaf)), "its id looks like a SHA-256 hash, but the hash of its body is " +
				hashOf(leaf)},
		{"map with a number", `{"a":"query A { leaf }","b":1}`,
			`operation "b" of the manifest, "": it must have an id, and the text of its document`},
		{"map with an empty id", `{"":"query A { leaf }"}`,
			`operation "" of the manifest, "": it must have an id`},
		{"map with a duplicate id", `{"a":"query A { leaf }","a":"query B { leaf }"}`,
			"can't be read: it has the member"},
		{"map with an empty text", `{"a":""}`, "it must have an id, and the text of its document"},
		{"map with a fragment", `{"a":"fragment F on Query { leaf }"}`,
			"its body has 0 operations"},
		{"map with invalid GraphQL", `{"a":"query Leaf {"}`, "its body can't be parsed"},
		{"map with a wrong hash", `{"` + hashOf("x") + `":"{ leaf }"}`,
			"its id looks like a SHA-256"},
		{"map without the source", `{"a":{"name":"Leaf"}}`,
			`operation "a" of the manifest, "Leaf": it must have an id`},
		{"wrong hash", manifest(operation(hashOf("x"), "Leaf", "query", leaf)),
			"its id looks like a SHA-256 hash, but the hash of its body is " + hashOf(leaf)},
		{"hash in upper case",
			manifest(operation(strings.ToUpper(hashOf(leaf)), "Leaf", "query",
				leaf)), "its id looks like a SHA-256"},
		{"body with invalid GraphQL",
			manifest(operation("1", "Leaf", "query",
				"query Leaf {\n  leaf")), "its body can't be parsed at line 2, column 7"},
		{"invalid GraphQL after CRLF",
			manifest(operation("1", "Leaf", "query",
				"\"d\" query Leaf(\"\"\"d\n\"\"\" $s: S) {\r\n leaf(s: \"\"\"\n\"\"\" ]")),
			"its body can't be parsed at line 4, column 5"},
		{"deeply nested body",
			manifest(operation("1", "Leaf", "query", "query Leaf "+
				strings.Repeat("{a", 100_000))), "its body can't be parsed"},
		{"body without an operation",
			manifest(operation("1", "F", "query",
				"fragment F on Query { leaf }")), "its body has 0 operations, not one"},
		{"body with two operations",
			manifest(operation("1", "Leaf", "query", leaf+
				" query Other { leaf }")), "its body has 2 operations, not one"},
		{"anonymous operation", manifest(operation("1", "Leaf", "query", "{ leaf }")),
			"its body has an operation with a different name or type"},
		{"name in lower case", manifest(operation("1", "leaf", "query", leaf)),
			"its body has an operation with a different name or type"},
		{"type of another operation", manifest(operation("1", "Leaf", "mutation", leaf)),
			"its body has an operation with a different name or type"},
		{"type in another case", manifest(operation("1", "Leaf", "Query", leaf)),
			"its body has an operation with a different name or type"},
		{"long name", manifest(operation("1", strings.Repeat("n", 1000), "query", leaf)), `"` +
			strings.Repeat("n", 61) + `...": its body has an operation`},
	} {
		m, err := ReadManifest(strings.NewReader(tt.text))
		if m != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ReadManifest = %v, %v; want an error with %q in it", tt.name, m, err,
				tt.want)
		}
	}
	_, err := ReadManifest(iotest.ErrReader(errConnectionLost))
	if !errors.Is(err, errConnectionLost) {
		t.Errorf("failing reader: %v, want %v", err, errConnectionLost)
	}
}

// TestReadManifest_generators checks that the manifests of several tools can be read, with fields
// that this package doesn't know, and that their operations are found by id and by text.
func TestReadManifest_generators(t *testing.T) {
	const leaf, change = "query Leaf { leaf }", "mutation Change { change }"
	sum := sha1.Sum([]byte(leaf))
	for name, tt := range map[string]struct {
		manifest string
		want     map[string]string // texts by id
	}{
		"generate-persisted-query-manifest": {
			`{"format":"apollo-persisted-query-manifest","version":1,"operations":[
				{"id":"` + hashOf(leaf) + `","name":"Leaf","type":"query","body":"` + leaf + `"},
				{"id":"my-own","name":"Change","type":"mutation","body":"` + change + `"}]}`,
			map[string]string{hashOf(leaf): leaf, "my-own": change},
		},
		"GraphOS, several clients": {
			`{"$schema":"https://example.com/a.json","generated":{"by":["x",{"at":[1]}]},"format":"apollo-persisted-query-manifest","version":1,"operations":[
				{"id":"1","clientName":"web","name":"Leaf","type":"query","body":"` + leaf + `","description":"","tags":[{"a":[null]}]},
				{"id":"1","clientName":"ios","name":"Leaf","type":"query","body":"` + leaf + `"},
				{"id":"2","clientName":null,"name":"Change","type":"mutation","body":"` + change + `"}]}`,
			map[string]string{"1": leaf, "2": change},
		},
		"Apollo Kotlin, old format": {
			`{"` + hashOf(leaf) + `":{"name":"Leaf","source":"` + leaf + `","type":"query"}}`,
			map[string]string{hashOf(leaf): leaf},
		},
		"Relay": {
			`{"3be4abb81fa595e25eb725b2c6a87508":"query Leaf(\n  $b: Boolean!\n) {\n  ` +
				`...F\n}\n\nfragment F on Query {\n  leaf @skip(if: $b)\n}\n"}`,
			map[string]string{"3be4abb81fa595e25eb725b2c6a87508": "query Leaf(\n  $b: " +
				"Boolean!\n) {\n  ...F\n}\n\nfragment F on Query {\n  leaf @skip(if: $b)\n}\n"},
		},
		"GraphQL Code Generator, client preset": {
			`{"` + hex.EncodeToString(sum[:]) + `":"` + leaf + `","` + hashOf(change) + `":"` +
				change + `"}`,
			map[string]string{hex.EncodeToString(sum[:]): leaf, hashOf(change): change},
		},
		"ids of GraphQL over HTTP": {
			`{"sha256:` + hashOf(leaf) + `":"` + leaf + `"}`,
			map[string]string{"sha256:" + hashOf(leaf): leaf},
		},
		"Hive": {
			`{"d9a00ec0c1ce":"query A($b: Boolean!) { __typename leaf @skip(if: $b) }"}`,
			map[string]string{
				"d9a00ec0c1ce": "query A($b: Boolean!) { __typename leaf @skip(if: $b) }",
			},
		},
		"gql.tada, anonymous operation": {`{"leaf":"{ leaf }"}`,
			map[string]string{"leaf": "{ leaf }"}},
		"two operations in a document": {`{"both":"query A { leaf } query B { leaf }"}`,
			map[string]string{"both": "query A { leaf } query B { leaf }"}},
		"@replit/graphql-codegen-persisted-queries": {
			`{"format":"apollo-persisted-query-manifest","version":1,"operations":{"sha256:` +
				hashOf(leaf) + `":{"type":"query","name":"Leaf","body":"` + leaf + `"}}}`,
			map[string]string{"sha256:" + hashOf(leaf): leaf},
		},
		"byte order mark": {"\ufeff" + `{"1":"` + leaf + `"}`, map[string]string{"1": leaf}},
		"descriptions": {`{"1":"\"What a tree has.\" query Leaf { leaf }"}`,
			map[string]string{"1": `"What a tree has." query Leaf { leaf }`}},
	} {
		m, err := ReadManifest(strings.NewReader(tt.manifest))
		if err != nil {
			t.Errorf("%s: ReadManifest = _, %v, want nil", name, err)
			continue
		}
		if m.Len() != len(tt.want) {
			t.Errorf("%s: Len() = %d, want %d", name, m.Len(), len(tt.want))
		}
		for id, text := range tt.want {
			byID, byText := &graphql.RawParams{}, &graphql.RawParams{Query: text}
			if trusted, mismatch := m.resolve(id, byID); !trusted || mismatch ||
				byID.Query != text {
				t.Errorf(
					"%s: resolve(%s) = %t, %t, query %q; want true, false, %q", name, id, trusted,
					mismatch, byID.Query, text)
			}
			if trusted, _ := m.resolve("", byText); !trusted {
				t.Errorf("%s: resolve by text %q = false, want true", name, text)
			}
		}
	}
}

// FuzzReadManifest checks that ReadManifest returns either an error or a manifest whose operations
// are found by id.
func FuzzReadManifest(f *testing.F) {
	f.Add([]byte(apolloManifest))
	f.Add(
		[]byte(
			`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"1","name":"L","type":"query","body":"query L{l}"}]}`))
	f.Add([]byte(`{"1":"query L{l}","2":{"name":"L","source":"{l}"}}`))
	f.Add([]byte(`{"operations":[[[[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ReadManifest(bytes.NewReader(text))
		if (m == nil) != (err != nil) {
			t.Fatalf("ReadManifest(%q) = %v, %v, want either a manifest or an error", text, m, err)
		}
		if err != nil {
			return
		}
		if m.Len() == 0 {
			t.Errorf("ReadManifest(%q): no operations, want an error", text)
		}
		for id, body := range m.byID {
			params := &graphql.RawParams{Query: body}
			if trusted, mismatch := m.resolve(id, params); !trusted || mismatch ||
				id == "" || body == "" {
				t.Errorf(
					"ReadManifest(%q): resolve(%q) = %t, %t, want true, false", text, id, trusted,
					mismatch)
			}
		}
	})
}
