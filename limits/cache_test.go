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

func TestCache_onlyValidDocuments(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	var docs []*ast.QueryDocument
	server := newServer(limits.Limits{}.WithCache(cache), false, func(doc *ast.QueryDocument) {
		docs = append(docs, doc)
	})
	for _, query := range []string{`{ leaf }`, `{ nothing }`, `{ leaf`,
		`{ ...F } fragment F on Query { ...F }`, "{" + strings.Repeat("leaf ", 51) + "}"} {
		before := cache.Weight()
		send(server, query, nil)
		if cached := cache.Has(query); cached != (query == `{ leaf }`) ||
			cached == (cache.Weight() == before) {
			t.Errorf("%.30s: cached %t, weight %d, before %d", query, cached, cache.Weight(),
				before)
		}
	}
	send(server, `{ leaf }`, nil)
	if len(docs) != 2 || docs[0] != docs[1] {
		t.Errorf("%d documents ran, want the same one twice", len(docs))
	}
}

// TestCache_parsedOnce counts the calls of the function that makes rules. gqlgen calls it once for
// each document that it parses.
func TestCache_parsedOnce(t *testing.T) {
	cache, parsed, ran := limits.NewCache(1<<20), 0, 0
	bounds := limits.Limits{}.WithCache(cache)
	server := newServer(bounds, false, func(*ast.QueryDocument) { ran++ })
	server.SetValidationRulesFn(func() *rules.Rules {
		parsed++
		return limits.Rules(nil)()
	})
	for i, query := range []string{`{ leaf }`,
		`"about" query($s: String = "\u{1F511}") { f(s: $s) { leaf } }`} {
		for range 3 {
			send(server, query, nil)
		}
		if parsed != i+1 || ran != 3*(i+1) {
			t.Errorf("%s: %d documents parsed and %d run so far, want %d and %d", query, parsed,
				ran, i+1, 3*(i+1))
		}
		request := &graphql.RawParams{Query: query}
		if done, _ := limits.Check(bounds, request); done.Tokens > 0 ||
			request.Query != language.Rewrite(query) {
			t.Errorf("%s: %d tokens read, want none; the query is then %s", query, done.Tokens,
				request.Query)
		}
	}
}

// replacing is an extension, installed after the limits, that replaces the query.
type replacing struct{ query string }

func (*replacing) ExtensionName() string                   { return "Replacing" }
func (*replacing) Validate(graphql.ExecutableSchema) error { return nil }
func (r *replacing) MutateOperationParameters(_ context.Context,
	request *graphql.RawParams) *gqlerror.Error {
	request.Query = cmp.Or(r.query, request.Query)
	return nil
}

// A cached document must not run for a query that an extension has replaced.
func TestCache_replacedText(t *testing.T) {
	cache, extension := limits.NewCache(1<<20), &replacing{}
	var ran string
	server := newServer(limits.Limits{}.WithCache(cache), false, func(doc *ast.QueryDocument) {
		ran = doc.Operations[0].SelectionSet[0].(*ast.Field).Name
	})
	server.Use(extension)
	for _, tt := range []struct{ query, want string }{
		{"{ a { leaf } }", "a"}, {"", "leaf"}, {"{ b { leaf } }", "b"}, {"", "leaf"},
	} {
		extension.query = tt.query
		if body := send(server, "{ leaf }", nil); ran != tt.want {
			t.Errorf("replaced by %q: %q ran, want %q; response %s", tt.query, ran, tt.want, body)
		}
		if cache.Has("{ leaf }") == (ran == "a") || tt.query != "" && cache.Has(tt.query) {
			t.Errorf("replaced by %q: the wrong text is cached", tt.query)
		}
	}
}

// A mutation with a literal isn't cached: a client that guesses a password in it could check the
// guess by the response time, without a login attempt.
func TestCache_mutationWithValues(t *testing.T) {
	for query, cached := range map[string]bool{
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
		if got := cache.Put(query, doc); got != cached {
			t.Errorf("%s: cached %t, want %t", query, got, cached)
		}
	}
}

// For a cached document, only the variables are measured.
func TestCache_measuredOnce(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	bounds := limits.Limits{}.WithCache(cache)
	query := `query($v: [Int]) { x: f(l: $v) { leaf } y: f(l: $v) { leaf } }`
	work := func(variables map[string]any) (limits.Work, string) {
		done, err := limits.Check(bounds, &graphql.RawParams{Query: query, Variables: variables})
		if err != nil {
			return done, fmt.Sprint(err.Extensions["reason"])
		}
		return done, ""
	}
	if done, _ := work(nil); done.Tokens == 0 || done.Nodes == 0 {
		t.Errorf("new document: %+v, want tokens and nodes", done)
	}
	send(newServer(bounds, false, func(*ast.QueryDocument) {}), query, nil)
	if done, reason := work(map[string]any{"v": make([]any, 900)}); done !=
		(limits.Work{Items: 901}) || reason != "" {
		t.Errorf("cached document: %+v, reason %q; want 901 items and nothing else", done, reason)
	}
	if _, reason := work(map[string]any{"v": make([]any, 1000)}); reason != "VARIABLES" {
		t.Errorf("too many variable items with a cached document: %q, want VARIABLES", reason)
	}
	bounds.Coercions = 1000
	if _, reason := work(map[string]any{"v": make([]any, 600)}); reason != "COERCIONS" {
		t.Errorf("too many coercions with a cached document: %q, want COERCIONS", reason)
	}
}

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
	huge := "{ leaf }" + strings.Repeat(" ", maxBytes)
	if add(huge); cache.WeightOf(huge) != 0 || cache.Weight() > maxBytes {
		t.Errorf("a document of %d bytes is cached", len(huge))
	}
}

// Documents in use stay cached while many others are sent once each.
func TestCache_keepsMostUsed(t *testing.T) {
	cache := limits.NewCache(128 << 10)
	used := make([]string, 5)
	for i := range used {
		used[i] = fmt.Sprintf("query Used%d { me { id name } }", i)
		cache.Put(used[i], parse(t, used[i]))
	}
	lost := 0
	for i := range 5_000 {
		query := fmt.Sprintf("{ x%d: leaf me { id name } }", i)
		cache.Put(query, parse(t, query))
		for _, query := range used {
			if !cache.Has(query) {
				lost++
				cache.Put(query, parse(t, query))
			}
		}
	}
	if lost > 250 { // of 25,000
		t.Errorf("documents in use were evicted %d times, want at most 250", lost)
	}
}

// The estimate is at least what the documents really take.
func TestCache_estimate(t *testing.T) {
	for name, query := range map[string]string{
		"fields":   "{a{" + repeat(90, "x#:leaf ") + "}}",
		"values":   "{f(l:[" + strings.Repeat("1 ", 200) + "]){leaf}}",
		"members":  "{f(x:{" + repeat(50, "i:{}") + "}){leaf}}",
		"comments": "{" + strings.Repeat("#\n", 400) + "leaf}",
		"text":     "{leaf" + strings.Repeat(" ", 10_000) + "}", "small": "{leaf}",
		"variables":  "query(" + repeat(50, "$v#:Int ") + "){leaf}",
		"fragments":  "{leaf}" + repeat(50, "fragment F# on A{leaf}"),
		"directives": "{" + repeat(20, "...@d@d@d{leaf}") + "}",
		"strings": `{f(t:[` + strings.Repeat(`"\u0041bcdefghijklmnopqrst" `, 200) +
			`]){leaf}}`,
		"introspection": graphiql,
	} {
		const n = 100
		var before, after runtime.MemStats
		caches := make([]*limits.Cache, n)
		for i := range caches {
			caches[i] = limits.NewCache(1 << 20) // not counted
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
			t.Errorf("%s: estimate %d bytes, actually %d", name, estimate, actual)
		}
		runtime.KeepAlive(caches)
	}
}

func TestCache_none(t *testing.T) {
	for _, cache := range []*limits.Cache{nil, limits.NewCache(0), limits.NewCache(-1)} {
		cache.Put(`{ leaf }`, parse(t, `{ leaf }`))
		if cache.Has(`{ leaf }`) {
			t.Error("a cache without capacity has a document")
		}
		err := (limits.Limits{}).WithCache(cache).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: `{ leaf }`})
		if err != nil {
			t.Error(err)
		}
	}
}

// Concurrent requests share a cached document. With the race detector, this test fails if execution
// writes to it.
func TestCache_concurrent(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	bounds := limits.Limits{}.WithCache(cache)
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return testSchema },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			read(graphql.GetOperationContext(ctx),
				graphql.GetOperationContext(ctx).Operation.SelectionSet, "Query")
			return graphql.OneShot(&graphql.Response{Data: []byte(`{"ran":true}`)})
		},
	})
	server.AddTransport(transport.POST{})
	server.SetQueryCache(cache)
	server.SetValidationRulesFn(limits.Rules(nil))
	server.Use(bounds)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 20 {
				query := fmt.Sprintf(
					`query($v: [Int] = [1 2], $w: I = {n: 1}, $yes: Boolean = true) { ...F f(l: $v, x: $w) { leaf @include(if: $yes) } ... { a { x%d: leaf ...G @skip(if: $yes) } } }
					fragment F on Query { f(l: $v, x: $w) { leaf name } } fragment G on A { b { leaf } }`, j%3)
				body := send(server, query, map[string]any{"v": i, "yes": j%2 == 0})
				if !strings.Contains(body, `"ran":true`) {
					t.Errorf("%s", body)
				}
			}
		})
	}
	all.Wait()
}

// read uses a document as gqlgen's generated code does: it collects fields and makes arguments.
func read(op *graphql.OperationContext, set ast.SelectionSet, typeName string) {
	for _, field := range graphql.CollectFields(op, set, []string{typeName}) {
		field.ArgumentMap(op.Variables)
		read(op, field.Selections, field.Definition.Type.Name())
	}
}
