package graphqlhttp

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// persistedPost returns a POST with a hash, and also with a query unless that is empty.
func persistedPost(hash, query string) *http.Request {
	fields := map[string]any{
		"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1,
			"sha256Hash": hash}},
	}
	if query != "" {
		fields["query"] = query
	}
	return post(fields)
}

// persistedGet returns a GET with a hash.
func persistedGet(hash string) *http.Request {
	extensions := fmt.Sprintf(`{"persistedQuery":{"version":1,"sha256Hash":%q}}`, hash)
	return httptest.NewRequest("GET", "/graphql?extensions="+url.QueryEscape(extensions), nil)
}

// notFoundResponse is the response to an unknown hash.
const notFoundResponse = `{"errors":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}` + "\n"

// TestPersistedQuery sends requests as Apollo Client's persisted query link does: the hash, then
// the hash with the text, then only the hash again.
func TestPersistedQuery(t *testing.T) {
	for _, media := range []string{typeJSON, typeGraphQLResponse} {
		transport := newTransport(Config{AllowGET: true, Introspection: true,
			PersistedQueryBytes: 4 << 20})
		const query = "query Leaf { leaf }"
		for i, tt := range []struct {
			request *http.Request
			status  map[string]int // by media type
			want    string
		}{
			{persistedPost(hashOf(query), ""),
				map[string]int{typeJSON: 200, typeGraphQLResponse: 400}, notFoundResponse},
			{persistedGet(hashOf(query)), map[string]int{typeJSON: 200, typeGraphQLResponse: 400},
				notFoundResponse},
			{persistedPost(hashOf(query), query),
				map[string]int{typeJSON: 200, typeGraphQLResponse: 200}, leafResponse},
			{persistedPost(hashOf(query), ""),
				map[string]int{typeJSON: 200, typeGraphQLResponse: 200}, leafResponse},
			{persistedGet(hashOf(query)), map[string]int{typeJSON: 200, typeGraphQLResponse: 200},
				leafResponse},
			{postQuery(query), map[string]int{typeJSON: 200, typeGraphQLResponse: 200},
				leafResponse},
		} {
			tt.request.Header.Set("Accept", media)
			res := sendTo(t, transport, resolvers(), tt.request)
			if res.Code != tt.status[media] || res.Body.String() != tt.want {
				t.Errorf("%s, step %d: %d %s, want %d %s", media, i, res.Code, res.Body,
					tt.status[media], tt.want)
			}
		}
	}
}

// TestPersistedQuery_invalid checks that a malformed extension, or the hash of another text, is
// rejected, and that nothing is stored.
func TestPersistedQuery_invalid(t *testing.T) {
	const query = "{ leaf }"
	for extension, want := range map[string]string{
		`"x"`:                                    "extensions.persistedQuery must be an object",
		`[]`:                                     "extensions.persistedQuery must be an object",
		`0`:                                      "extensions.persistedQuery must be an object",
		`{}`:                                     "extensions.persistedQuery.version must be 1",
		`{"sha256Hash":"` + hashOf(query) + `"}`: "extensions.persistedQuery.version must be 1",
		`{"version":2,"sha256Hash":"` + hashOf(query) +
			`"}`: "extensions.persistedQuery.version must be 1",
		`{"version":"1","sha256Hash":"` + hashOf(query) +
			`"}`: "extensions.persistedQuery.version must be 1",
		`{"version":1}`: "extensions.persistedQuery.sha256Hash must be a string " +
			"that is neither empty nor too long",
		`{"version":1,"sha256Hash":""}`: "extensions.persistedQuery.sha256Hash must be a string " +
			"that is neither empty nor too long",
		`{"version":1,"sha256Hash":5}`: "extensions.persistedQuery.sha256Hash must be a string " +
			"that is neither empty nor too long",
		`{"version":1,"sha256Hash":"` + strings.Repeat("0", 257) +
			`"}`: "extensions.persistedQuery.sha256Hash must be a string that is neither empty " +
			"nor too long",
		`{"version":1,"sha256Hash":"00"}`: "extensions.persistedQuery.sha256Hash must be 64 " +
			"hexadecimal digits in lower case",
		`{"version":1,"sha256Hash":"` + strings.ToUpper(hashOf(query)) +
			`"}`: "extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits in lower " +
			"case",
		`{"version":1,"sha256Hash":"` + strings.Repeat("canary_x", 8) +
			`"}`: "extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits in lower " +
			"case",
		`{"version":1,"sha256Hash":"` + hashOf(query+" ") + `"}`: messageHashMismatch,
		`{"version":1,"sha256Hash":"` + hashOf(query) + `","sha256Hash":"00"}`: "extensions " +
			"contain an object with a duplicate key",
	} {
		transport := newTransport(Config{AllowGET: true, Introspection: true,
			PersistedQueryBytes: 4 << 20})
		res := sendTo(t, transport, resolvers(),
			postBody(`{"query":"`+query+`","extensions":{"persistedQuery":`+extension+`}}`))
		if want := fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":"BAD_REQUEST"}}]}`+
			"\n", want); res.Code != 400 || res.Body.String() != want {
			t.Errorf("%s: %d %s, want 400 %s", extension, res.Code, res.Body, want)
		}
		if documents, _ := transport.documents.persistedQueries.size(); documents != 0 {
			t.Errorf("%s: %d documents were stored, want none", extension, documents)
		}
	}
	res := sendWith(t, Config{AllowGET: true, Introspection: true, PersistedQueryBytes: 4 << 20},
		resolvers(), postBody(`{"extensions":{"persistedQuery":null}}`))
	if want := `"query is missing"`; res.Code != 400 || !strings.Contains(res.Body.String(), want) {
		t.Errorf("persistedQuery null: %d %s, want 400 %s", res.Code, res.Body, want)
	}
}

// TestPersistedQuery_stored checks that a document is stored only if its request is valid (gqlgen's
// extension stores all), and that a stored mutation can't be run by GET.
func TestPersistedQuery_stored(t *testing.T) {
	for query, wantStored := range map[string]bool{
		"{ leaf }": true, "mutation { change }": true, "{ fails }": true,
		"query Q($s: String!) { need(s: $s) }": false,
		"{":                                    false, "{ nothing }": false,
		"query A { leaf } query B { leaf }": false,
		"query TooLarge { leaf }":           false,
		"subscription { ticks }":            false, "{ ... @defer { leaf } }": false,
		strings.Repeat("{ leaf", 200): false,
	} {
		transport := newTransport(Config{AllowGET: true, Introspection: true,
			PersistedQueryBytes: 4 << 20})
		sendTo(t, transport, resolvers(), persistedPost(hashOf(query), query))
		documents, _ := transport.documents.persistedQueries.size()
		if (documents == 1) != wantStored {
			t.Errorf("%.50s: %d documents in the store, want the query stored: %t", query,
				documents,
				wantStored)
		}
		res := sendTo(t, transport, resolvers(), persistedPost(hashOf(query), ""))
		if found := res.Body.String() != notFoundResponse; found != wantStored {
			t.Errorf("%.50s: found by hash: %t, want %t; body %s", query, found, wantStored,
				res.Body)
		}
	}
	transport := newTransport(Config{AllowGET: true, Introspection: true,
		PersistedQueryBytes: 4 << 20})
	const mutation = "mutation { change }"
	transport.documents.persistedQueries.put(sha256.Sum256([]byte(mutation)), mutation)
	if res := sendTo(t, transport, resolvers(), persistedGet(hashOf(mutation))); res.Code != 405 ||
		res.Header().Get("Allow") != "POST" {
		t.Errorf("GET of a stored mutation: %d %s, Allow %q; want 405, POST", res.Code, res.Body,
			res.Header().Get("Allow"))
	}
}

// TestPersistedQuery_mutationWithValues checks that a mutation with a string or number isn't
// stored. Otherwise, a client could guess another user's password without a login: it would send
// only the hash of a login mutation with the guess, and the response would show whether this
// mutation is stored. Enum values don't matter, nor do values in a document without a mutation.
func TestPersistedQuery_mutationWithValues(t *testing.T) {
	for query, wantStored := range map[string]bool{
		`mutation { login(username: "alice", password: "hush") { text } }`:             false,
		`mutation($u: String!) { login(username: $u, password: "hush") { text } }`:     false,
		`mutation($u: String!) { login(username: $u, password: """hush""") { text } }`: false,
		`mutation($u: String! = "alice") { login(username: $u) { text } }`:             false,
		`mutation($u: String!, $i: In = {in: {list: ["hush"]}}) { login(username: $u, in: $i) { ` +
			`text } }`: false,
		`mutation($u: String!) { login(username: $u, in: {i: 123456}) { text } }`:          false,
		`mutation($u: String!) { login(username: $u, in: {f: 1.5}) { text } }`:             false,
		`mutation($u: String!) { login(username: $u, in: {list: [$u, "hush"]}) { text } }`: false,
		`mutation($u: String!) { ...F } fragment F on Mutation { login(username: $u, password: ` +
			`"hush") { text } }`: false,
		`mutation($u: String!) { ... on Mutation { login(username: $u, password: "hush") { text ` +
			`} } }`: false,
		`mutation @tag(name: "hush") { change }`:                                              false,
		`mutation { ...F } fragment F on Mutation @tag(name: "hush") { change }`:              false,
		`mutation { change @tag(name: "hush") }`:                                              false,
		`mutation M($u: String! @tag(name: "hush")) { login(username: $u) { text } }`:         false,
		`query Q { leaf } mutation M { login(username: "alice", password: "hush") { text } }`: false,
		`mutation M { change } query Q { echo(s: "hush") }`:                                   false,
		`mutation($u: String!, $p: String) { login(username: $u, password: $p) { text } }`:    true,
		`mutation($u: String!, $b: Boolean = true) { login(username: $u, color: RED, in: {id: ` +
			`null}) @skip(if: $b) { text } }`: true,
		`mutation($u: String!) { login(username: $u) @include(if: false) { text } }`: true,
		`query Q { echo(s: "a", i: 1) }`:                                             true,
		// Subscriptions aren't served.
		`subscription { ticks }`: false,
	} {
		transport := newTransport(Config{AllowGET: true, Introspection: true,
			PersistedQueryBytes: 4 << 20})
		fields := map[string]any{
			"query": query, "variables": map[string]any{"u": "alice"},
			"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1,
				"sha256Hash": hashOf(query)}},
		}
		if strings.Contains(query, "query Q") {
			fields["operationName"] = "Q"
		}
		res := sendTo(t, transport, resolvers(), post(fields))
		if !strings.HasPrefix(query, "subscription") &&
			strings.Contains(res.Body.String(), "errors") {
			t.Errorf("%s: %s, want no errors", query, res.Body)
		}
		documents, _ := transport.documents.persistedQueries.size()
		if (documents == 1) != wantStored {
			t.Errorf("%s: %d documents in the store, want the query stored: %t", query, documents,
				wantStored)
		}
	}
}

// size returns the number of documents in the store, and their bytes as the store counts them.
func (s *persistedQueryStore) size() (documents int, bytes int64) {
	return s.texts.EstimatedSize(), int64(s.texts.WeightedSize())
}

// TestPersistedQueryStore_bounded checks that the store is never over its maximum, isn't left half
// empty, and keeps a document that is used all the time.
func TestPersistedQueryStore_bounded(t *testing.T) {
	const maxBytes = 10_000
	store := newPersistedQueryStore(maxBytes)
	sum := func(i int) digest { return sha256.Sum256(fmt.Append(nil, i)) }
	text := func(i int) string { return strings.Repeat("x", i%700) }
	evictions := 0 // of document 0
	for i := range 1000 {
		store.put(sum(i), text(i))
		store.put(sum(i), text(i)) // a duplicate doesn't count twice
		if _, ok := store.get(sum(0)); !ok {
			evictions++
			store.put(sum(0), text(0))
		}
		want := int64(0)
		for _, text := range store.texts.All() {
			want += int64(len(text)) + entryOverheadBytes
		}
		if documents, bytes := store.size(); bytes > maxBytes || bytes != want {
			t.Fatalf("after put %d: %d documents, %d bytes; want %d, and at most %d", i, documents,
				bytes, want, maxBytes)
		}
	}
	if documents, bytes := store.size(); bytes < maxBytes/2 {
		t.Errorf("%d documents with %d bytes, want at least half of %d", documents, bytes, maxBytes)
	}
	if evictions > 10 {
		t.Errorf("the most used document was evicted %d times, want at most 10", evictions)
	}
	before, _ := store.size()
	store.put(sum(-1), strings.Repeat("x", maxBytes-entryOverheadBytes+1))
	if after, _ := store.size(); after != before {
		t.Errorf("put of a document that is too large: %d documents, want %d", after, before)
	}
	store = newPersistedQueryStore(maxBytes)
	store.put(sum(-2), strings.Repeat("x", maxBytes-entryOverheadBytes))
	if documents, bytes := store.size(); documents != 1 || bytes != maxBytes {
		t.Errorf("put of a document of maximum size: %d documents, %d bytes; want 1, %d",
			documents, bytes, maxBytes)
	}
}

// TestPersistedQueryStore_newDocumentsWhenFull checks that a full store takes new documents if they
// are sent repeatedly.
func TestPersistedQueryStore_newDocumentsWhenFull(t *testing.T) {
	store := newPersistedQueryStore(100 * entryOverheadBytes)
	sum := func(i int) digest { return sha256.Sum256(fmt.Append(nil, i)) }
	for range 20 {
		for i := range 100 {
			if _, ok := store.get(sum(i)); !ok {
				store.put(sum(i), "")
			}
		}
	}
	const maxRounds = 1000
	round, missing := 0, 1
	for ; missing > 0 && round < maxRounds; round++ {
		missing = 0
		for i := 1000; i < 1050; i++ {
			if _, ok := store.get(sum(i)); !ok {
				missing++
				store.put(sum(i), "")
			}
		}
	}
	if missing > 0 {
		t.Errorf("after %d rounds, %d of 50 new documents are missing, want 0", maxRounds, missing)
	}
	t.Logf("%d rounds", round)
}

// TestPersistedQueryStore_concurrent checks that the store is within its bound when concurrent
// calls of put have returned. If put didn't call CleanUp, a document that is added during an
// eviction could stay in the store over the bound until the next write.
func TestPersistedQueryStore_concurrent(t *testing.T) {
	const maxDocuments = 20
	store := newPersistedQueryStore(maxDocuments * entryOverheadBytes)
	for round := range 300 {
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range 10 {
					sum := sha256.Sum256(fmt.Append(nil, round, worker, i))
					store.put(sum, "")
					store.get(sum)
				}
			})
		}
		wg.Wait()
		got := 0
		for range store.texts.All() {
			got++
		}
		if got > maxDocuments || got < maxDocuments/2 {
			t.Fatalf("round %d: %d documents, want %d to %d", round, got, maxDocuments/2,
				maxDocuments)
		}
	}
}

// newManifest returns a manifest in Apollo's format with the given bodies by id. A body must start
// with its type and name.
func newManifest(t testing.TB, bodies map[string]string) *Manifest {
	t.Helper()
	type operation struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Type string `json:"type"`
		Body string `json:"body"`
	}
	var operations []operation
	for id, body := range bodies {
		words := strings.Fields(body)
		operations = append(operations, operation{id, words[1], words[0], body})
	}
	text, err := json.Marshal(map[string]any{"format": manifestFormat, "version": 1,
		"operations": operations})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestManifest checks which requests run with a manifest: enforced or only logged, with and without
// automatic persisted queries (APQ).
func TestManifest(t *testing.T) {
	const (
		leaf, change, other = "query Leaf { leaf }", "mutation Change { change }",
			"query Other { leaf }"
		notAllowedResponse = `{"errors":[{"message":"This server runs only registered ` +
			`operations","extensions":{"code":"OPERATION_NOT_ALLOWED"}}]}` + "\n"
		changeResponse   = `{"data":{"change":1}}` + "\n"
		mismatchResponse = `{"errors":[{"message":"` + messageHashMismatch +
			`","extensions":{"code":"BAD_REQUEST"}}]}` + "\n"
	)
	manifest := newManifest(t, map[string]string{hashOf(leaf): leaf, "change-1": change})
	for _, tt := range []struct {
		name          string
		request       *http.Request
		enforcedBody  string // the response if the manifest is enforced; not checked if empty
		loggedBody    string // with ManifestLogOnly
		loggedAPQBody string // with ManifestLogOnly and APQ, if it differs from loggedBody
		untrusted     bool
	}{
		{"by id", persistedPost(hashOf(leaf), ""), leafResponse, leafResponse, "", false},
		{"by an id that isn't a hash", persistedPost("change-1", ""), changeResponse,
			changeResponse, "", false},
		{"by GET", persistedGet(hashOf(leaf)), leafResponse, leafResponse, "", false},
		{"by id and text", persistedPost(hashOf(leaf), leaf), leafResponse, leafResponse, "",
			false},
		{"by text", postQuery(leaf), leafResponse, leafResponse, "", false},
		{"by text and its hash, which isn't an id", persistedPost(hashOf(change), change),
			changeResponse, changeResponse, "", false},
		{"id with another operation's text", persistedPost(hashOf(leaf), change), mismatchResponse,
			mismatchResponse, "", false},
		{"id with an unknown text", persistedPost(hashOf(leaf), other), mismatchResponse,
			mismatchResponse, "", false},
		{"unknown id", persistedPost(hashOf(other), ""), notAllowedResponse, notFoundResponse, "",
			false},
		{"unknown text", postQuery(other), notAllowedResponse, leafResponse, "", true},
		{"unknown text and its hash", persistedPost(hashOf(other), other), notAllowedResponse,
			leafResponse, "", true},
		{"unknown text and another hash", persistedPost(hashOf(change), other), notAllowedResponse,
			leafResponse, mismatchResponse, true},
		{"text with an extra space", postQuery(leaf + " "), notAllowedResponse, leafResponse, "",
			true},
		{"not GraphQL", postQuery("canary"), notAllowedResponse, "", "", true},
		{"introspection", postQuery("{ __schema { types { name } } }"), notAllowedResponse, "", "",
			true},
	} {
		for mode, config := range map[string]Config{
			"enforce": {Manifest: manifest}, "log": {Manifest: manifest, ManifestLogOnly: true},
			"enforce with APQ": {Manifest: manifest, PersistedQueryBytes: 4 << 20},
			"log with APQ": {Manifest: manifest, ManifestLogOnly: true,
				PersistedQueryBytes: 4 << 20},
		} {
			want, untrusted := tt.enforcedBody, false
			if config.ManifestLogOnly {
				want, untrusted = tt.loggedBody, tt.untrusted
			}
			if config.ManifestLogOnly && config.PersistedQueryBytes > 0 && tt.loggedAPQBody != "" {
				want, untrusted = tt.loggedAPQBody, false // the document didn't run
			}
			if want == "" {
				continue
			}
			r := tt.request.Clone(t.Context())
			if tt.request.GetBody == nil && tt.request.Method == "POST" {
				t.Fatalf("%s: the request has no GetBody, want one: it is sent several times",
					tt.name)
			}
			if tt.request.GetBody != nil {
				r.Body, _ = tt.request.GetBody()
			}
			e := introspectionResolvers()
			config.AllowGET = true
			res := sendWith(t, config, e, r)
			if res.Body.String() != want || res.outcome.Untrusted != untrusted {
				t.Errorf("%s, %s: %s, untrusted %t; want %s, %t", mode, tt.name, res.Body,
					res.outcome.Untrusted, want, untrusted)
			}
		}
	}
}

// TestManifest_status checks the status of a request for an operation that isn't in the manifest.
func TestManifest_status(t *testing.T) {
	transport := newTransport(Config{AllowGET: true, Introspection: true,
		Manifest: newManifest(t, map[string]string{"1": "query Leaf { leaf }"})})
	for media, status := range map[string]int{typeJSON: 200, typeGraphQLResponse: 400} {
		r := postQuery("{ leaf }")
		r.Header.Set("Accept", media)
		if res := sendTo(t, transport, resolvers(), r); res.Code != status ||
			codeOf(t, res) != "OPERATION_NOT_ALLOWED" {
			t.Errorf("%s: %d %s, want %d and OPERATION_NOT_ALLOWED", media, res.Code, res.Body,
				status)
		}
	}
}

// A queryRewriter is an extension that rewrites documents, as package limits does.
type queryRewriter struct{}

func (queryRewriter) ExtensionName() string                   { return "QueryRewriter" }
func (queryRewriter) Validate(graphql.ExecutableSchema) error { return nil }
func (queryRewriter) MutateOperationParameters(_ context.Context,
	request *graphql.RawParams) *gqlerror.Error {
	request.Query = strings.Replace(request.Query, "\r\n", "", 1)
	return nil
}

// TestPersistedQuery_storedAsSent checks that the store has the client's text of a rewritten
// document, and that the locations of errors refer to the client's text.
func TestPersistedQuery_storedAsSent(t *testing.T) {
	transport := newTransport(Config{AllowGET: true, Introspection: true,
		PersistedQueryBytes: 4 << 20})
	server := newServerWith(transport, resolvers())
	server.Use(queryRewriter{})
	const query = "query Leaf {\r\n leaf fails }"
	for _, text := range []string{query, ""} {
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, persistedPost(hashOf(query), text))
		if !strings.Contains(recorder.Body.String(), `"leaf":1`) {
			t.Errorf("query %q with its hash: %s, want \"leaf\":1 in it", text, recorder.Body)
		}
	}
	sum, _ := parseDigest(hashOf(query))
	if stored, _ := transport.documents.persistedQueries.get(sum); stored != query {
		t.Errorf("the store has %q, want %q", stored, query)
	}
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, postQuery("{\r\n nowhere }"))
	if !strings.Contains(recorder.Body.String(), `"locations":[{"line":2,"column":2}]`) {
		t.Errorf("%s, want line 2, column 2", recorder.Body)
	}
}
