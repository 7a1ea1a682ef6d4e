package limits_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/cloakql/cloakql/internal/language"
	"github.com/cloakql/cloakql/limits"
)

// TestCache_onlyValidDocuments checks that a document isn't cached if it is invalid or over a
// limit.
func TestCache_onlyValidDocuments(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	var docs []*ast.QueryDocument
	server := newServer(limits.Limits{}.WithCache(cache), false, func(doc *ast.QueryDocument) {
		docs = append(docs, doc)
	})
	for _, query := range []string{`{ leaf }`, `{ nothing }`, `{ leaf`,
		`{ ...F } fragment F on Query { ...F }`, "{" + strings.Repeat("leaf ", 51) + "}"} {
		weightBefore := cache.Weight()
		send(server, query, nil)
		if cached := cache.Has(query); cached != (query == `{ leaf }`) ||
			cached == (cache.Weight() == weightBefore) {
			t.Errorf("%.30s: cached %t, weight %d, was %d; want only { leaf } cached", query,
				cached,
				cache.Weight(), weightBefore)
		}
	}
	send(server, `{ leaf }`, nil)
	if len(docs) != 2 || docs[0] != docs[1] {
		t.Errorf("%d documents were executed, want the same one twice", len(docs))
	}
}

// TestCache_parsedOnce checks that a cached document isn't parsed again. gqlgen calls the function
// that makes the rules once for each document that it parses.
func TestCache_parsedOnce(t *testing.T) {
	cache, parses, executions := limits.NewCache(1<<20), 0, 0
	l := limits.Limits{}.WithCache(cache)
	server := newServer(l, false, func(*ast.QueryDocument) { executions++ })
	server.SetValidationRulesFn(func() *rules.Rules {
		parses++
		return limits.Rules(nil)()
	})
	for i, query := range []string{`{ leaf }`,
		`"about" query($s: String = "\u{1F511}") { f(s: $s) { leaf } }`} {
		for range 3 {
			send(server, query, nil)
		}
		if parses != i+1 || executions != 3*(i+1) {
			t.Errorf("%s: %d documents parsed and %d executed so far, want %d and %d", query,
				parses, executions, i+1, 3*(i+1))
		}
		request := &graphql.RawParams{Query: query}
		want := language.Rewrite(query)
		if work, _ := limits.Check(l, request); work.Tokens > 0 || request.Query != want {
			t.Errorf("%s: %d tokens read, query %s; want 0, %s", query, work.Tokens, request.Query,
				want)
		}
	}
}

// A queryReplacer is an extension that replaces the query of each request, unless replacement is
// empty.
type queryReplacer struct{ replacement string }

func (*queryReplacer) ExtensionName() string                   { return "QueryReplacer" }
func (*queryReplacer) Validate(graphql.ExecutableSchema) error { return nil }
func (r *queryReplacer) MutateOperationParameters(_ context.Context,
	request *graphql.RawParams) *gqlerror.Error {
	request.Query = cmp.Or(r.replacement, request.Query)
	return nil
}

// TestCache_replacedQuery checks that a cached document doesn't run if a later extension replaces
// the query.
func TestCache_replacedQuery(t *testing.T) {
	cache, replacer := limits.NewCache(1<<20), &queryReplacer{}
	var field string // the first field of the executed document
	server := newServer(limits.Limits{}.WithCache(cache), false, func(doc *ast.QueryDocument) {
		field = doc.Operations[0].SelectionSet[0].(*ast.Field).Name
	})
	server.Use(replacer)
	for _, tt := range []struct{ replacement, want string }{
		{"{ a { leaf } }", "a"}, {"", "leaf"}, {"{ b { leaf } }", "b"}, {"", "leaf"},
	} {
		replacer.replacement = tt.replacement
		if body := send(server, "{ leaf }", nil); field != tt.want {
			t.Errorf("replaced by %q: field %q was executed, want %q; response %s", tt.replacement,
				field, tt.want, body)
		}
		if cache.Has("{ leaf }") == (field == "a") ||
			tt.replacement != "" && cache.Has(tt.replacement) {
			t.Errorf("replaced by %q: cached { leaf } %t, the replacement %t; want %t, false",
				tt.replacement, cache.Has("{ leaf }"), cache.Has(tt.replacement), field != "a")
		}
	}
}

// TestCache_mutationWithValues checks that a mutation with a string or number isn't cached. A
// cached document is answered faster, so a client could test guesses of another user's password by
// the response time, without a login attempt.
func TestCache_mutationWithValues(t *testing.T) {
	for query, want := range map[string]bool{
		`mutation { login(username: "alice", password: "hush") { t } }`:                        false,
		`mutation($p: String = "hush") { login(password: $p) { t } }`:                          false,
		`mutation { login(in: {list: [{code: 123456}]}) { t } }`:                               false,
		`mutation { login(in: {rate: 1.5}) { t } }`:                                            false,
		`mutation { login(password: """hush""") { t } }`:                                       false,
		`subscription { ticks(key: "hush") { t } }`:                                            false,
		`mutation { ...F } fragment F on Mutation { login(password: "hush") { t } }`:           false,
		`fragment F on Mutation { login(password: "hush") { t } } mutation { ...F }`:           false,
		`mutation { change @tag(name: "hush") }`:                                               false,
		`query Q { leaf } mutation M { login(password: "hush") { t } }`:                        false,
		`mutation M { change } query Q { leaf(s: "hush") }`:                                    false,
		`mutation($p: String) { login(password: $p, kind: LONG, keep: true, at: null) { t } }`: true,
		`{ leaf(s: "a", i: 1) }`:                                                               true,
		`query mutation { subscription(s: "a") }`:                                              true,
	} {
		doc, err := parser.ParseQuery(&ast.Source{Input: query})
		if err != nil {
			t.Fatal(err)
		}
		cache := limits.NewCache(1 << 20)
		if got := cache.Put(query, doc); got != want {
			t.Errorf("%s: cached %t, want %t", query, got, want)
		}
	}
}

// TestCache_measuredOnce checks that for a cached document, only the variables are measured.
func TestCache_measuredOnce(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	l := limits.Limits{}.WithCache(cache)
	query := `query($v: [Int]) { x: f(l: $v) { leaf } y: f(l: $v) { leaf } }`
	check := func(variables map[string]any) (work limits.Work, reason string) {
		work, err := limits.Check(l, &graphql.RawParams{Query: query, Variables: variables})
		if err != nil {
			return work, fmt.Sprint(err.Extensions["reason"])
		}
		return work, ""
	}
	if work, _ := check(nil); work.Tokens == 0 || work.Nodes == 0 {
		t.Errorf("new document: %+v, want tokens and nodes", work)
	}
	send(newServer(l, false, func(*ast.QueryDocument) {}), query, nil)
	if work, reason := check(map[string]any{"v": make([]any, 900)}); work !=
		(limits.Work{Items: 901}) || reason != "" {
		t.Errorf("cached document: %+v, reason %q; want 901 items and nothing else", work, reason)
	}
	if _, reason := check(map[string]any{"v": make([]any, 1000)}); reason != "VARIABLES" {
		t.Errorf("too many variable items with a cached document: %q, want VARIABLES", reason)
	}
	l.Coercions = 1000
	if _, reason := check(map[string]any{"v": make([]any, 600)}); reason != "COERCIONS" {
		t.Errorf("too many coercions with a cached document: %q, want COERCIONS", reason)
	}
}

// TestCache_bounded checks that the cache never exceeds its maximum, and is at least half full
// after many documents.
func TestCache_bounded(t *testing.T) {
	const maxBytes = 256 << 10
	cache := limits.NewCache(maxBytes)
	add := func(query string) { cache.Put(query, parse(t, query)) }
	for i := range 2_000 {
		add(fmt.Sprintf("{ x%d: leaf me { id name } }", i))
		if cache.Weight() > maxBytes {
			t.Fatalf("%d bytes after %d documents, want at most %d", cache.Weight(), i, maxBytes)
		}
	}
	if cache.Weight() < maxBytes/2 {
		t.Errorf("%d bytes, want at least half of %d", cache.Weight(), maxBytes)
	}
	hugeQuery := "{ leaf }" + strings.Repeat(" ", maxBytes)
	if add(hugeQuery); cache.WeightOf(hugeQuery) != 0 || cache.Weight() > maxBytes {
		t.Errorf("document of %d bytes: weight %d in a cache of weight %d, want it not cached",
			len(hugeQuery), cache.WeightOf(hugeQuery), cache.Weight())
	}
}

// TestCache_boundedConcurrently checks that the cache is within its bound after concurrent adds. If
// Add didn't call CleanUp, a document that is added during an eviction could stay in the cache over
// the bound until the next write.
func TestCache_boundedConcurrently(t *testing.T) {
	const maxBytes, workers, documents = 64 << 10, 8, 10
	cache := limits.NewCache(maxBytes)
	for round := range 300 {
		var adds [workers][documents]func()
		for worker := range adds {
			for i := range adds[worker] {
				query := fmt.Sprintf("{ x%d_%d_%d: leaf }", round, worker, i)
				adds[worker][i] = cache.PrepareAdd(query, parse(t, query))
			}
		}
		var wg sync.WaitGroup
		for worker := range adds {
			wg.Go(func() {
				for _, add := range adds[worker] {
					add()
				}
			})
		}
		wg.Wait()
		if got := cache.Weight(); got > maxBytes {
			t.Fatalf("round %d: %d bytes, want at most %d", round, got, maxBytes)
		}
	}
}

// TestCache_keepsMostUsed checks that documents that are sent often stay cached while many others
// are sent once.
func TestCache_keepsMostUsed(t *testing.T) {
	cache := limits.NewCache(128 << 10)
	usedQueries := make([]string, 5)
	for i := range usedQueries {
		query := fmt.Sprintf("query Used%d { me { id name } }", i)
		usedQueries[i] = query
		cache.Put(query, parse(t, query))
	}
	evictions := 0
	for i := range 5_000 {
		query := fmt.Sprintf("{ x%d: leaf me { id name } }", i)
		cache.Put(query, parse(t, query))
		for _, query := range usedQueries {
			if !cache.Has(query) {
				evictions++
				cache.Put(query, parse(t, query))
			}
		}
	}
	if evictions > 250 { // of 25,000 checks
		t.Errorf("documents that are sent often were evicted %d times, want at most 250", evictions)
	}
}

// TestCache_estimate checks that the estimate is at least the memory that a document takes, and at
// most six times as much plus 2 KiB.
func TestCache_estimate(t *testing.T) {
	for name, query := range map[string]string{
		"fields":   "{a{" + repeat(90, "x#:leaf ") + "}}",
		"values":   "{f(l:[" + strings.Repeat("1 ", 200) + "]){leaf}}",
		"objects":  "{f(x:{" + repeat(50, "i:{}") + "}){leaf}}",
		"comments": "{" + strings.Repeat("#\n", 400) + "leaf}",
		"spaces":   "{leaf" + strings.Repeat(" ", 10_000) + "}", "one field": "{leaf}",
		"variables":  "query(" + repeat(50, "$v#:Int ") + "){leaf}",
		"fragments":  "{leaf}" + repeat(50, "fragment F# on A{leaf}"),
		"directives": "{" + repeat(20, "...@d@d@d{leaf}") + "}",
		"strings": `{f(t:[` + strings.Repeat(`"\u0041bcdefghijklmnopqrst" `, 200) +
			`]){leaf}}`,
		"introspection": introspectionQuery,
	} {
		const n = 100
		var before, after runtime.MemStats
		caches := make([]*limits.Cache, n)
		for i := range caches {
			caches[i] = limits.NewCache(1 << 20) // allocated before the heap is measured
		}
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range caches {
			query := strings.Clone(query)
			caches[i].Put(query, parse(t, query))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		actual, estimate := int(after.HeapAlloc-before.HeapAlloc)/n, caches[0].WeightOf(query)
		if estimate < actual || estimate > 6*actual+2048 {
			t.Errorf("%s: estimate %d bytes, want %d to %d", name, estimate, actual, 6*actual+2048)
		}
		runtime.KeepAlive(caches)
	}
}

// TestCache_disabled checks that requests succeed without a cache.
func TestCache_disabled(t *testing.T) {
	for _, cache := range []*limits.Cache{nil, limits.NewCache(0), limits.NewCache(-1)} {
		cache.Put(`{ leaf }`, parse(t, `{ leaf }`))
		if cache.Has(`{ leaf }`) {
			t.Error("Has = true for a cache without capacity, want false")
		}
		err := (limits.Limits{}).WithCache(cache).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: `{ leaf }`})
		if err != nil {
			t.Errorf("MutateOperationParameters without a cache = %v, want nil", err)
		}
	}
}

// TestCache_concurrent runs concurrent requests that share a cached document. With the race
// detector, it fails if execution writes to the document.
func TestCache_concurrent(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return testSchema },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			operation := graphql.GetOperationContext(ctx)
			readDocument(operation, operation.Operation.SelectionSet, "Query")
			return graphql.OneShot(&graphql.Response{Data: []byte(`{"ran":true}`)})
		},
	})
	server.AddTransport(transport.POST{})
	server.SetQueryCache(cache)
	server.SetValidationRulesFn(limits.Rules(nil))
	server.Use(limits.Limits{}.WithCache(cache))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				query := fmt.Sprintf(
					`query($v: [Int] = [1 2], $w: I = {n: 1}, $yes: Boolean = true) { ...F f(l: $v, x: $w) { leaf @include(if: $yes) } ... { a { x%d: leaf ...G @skip(if: $yes) } } }
					fragment F on Query { f(l: $v, x: $w) { leaf name } } fragment G on A { b { leaf } }`, j%3)
				body := send(server, query, map[string]any{"v": i, "yes": j%2 == 0})
				if !strings.Contains(body, `"ran":true`) {
					t.Errorf("response %s, want it to have \"ran\":true", body)
				}
			}
		})
	}
	wg.Wait()
}

// readDocument reads a document as gqlgen's generated code does: it collects the fields and builds
// their arguments.
func readDocument(op *graphql.OperationContext, set ast.SelectionSet, typeName string) {
	for _, field := range graphql.CollectFields(op, set, []string{typeName}) {
		field.ArgumentMap(op.Variables)
		readDocument(op, field.Selections, field.Definition.Type.Name())
	}
}
