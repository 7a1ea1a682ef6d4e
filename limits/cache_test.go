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

func TestCacheKeepsValidDocumentsAlone(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	var docs []*ast.QueryDocument
	server := newServer(limits.Limits{}.WithCache(cache), false, func(doc *ast.QueryDocument) {
		docs = append(docs, doc)
	})
	for _, query := range []string{`{ leaf }`, `{ nothing }`, `{ leaf`,
		`{ ...F } fragment F on Query { ...F }`, "{" + strings.Repeat("leaf ", 51) + "}"} {
		before := cache.Weight()
		send(server, query, nil)
		if kept := cache.Has(query); kept != (query == `{ leaf }`) ||
			kept == (cache.Weight() == before) {
			t.Errorf("%.30s: kept %t", query, kept)
		}
	}
	send(server, `{ leaf }`, nil)
	if len(docs) != 2 || docs[0] != docs[1] {
		t.Errorf("two requests ran %d documents, or not the same", len(docs))
	}
}

// gqlgen makes the rules once for each document that it parses.
func TestCache_documentsAreParsedOnce(t *testing.T) {
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
			t.Errorf("%s: parsed %d times by now, ran %d times", query, parsed, ran)
		}
		request := &graphql.RawParams{Query: query}
		if done, _ := limits.WorkOf(bounds, request); done.Tokens > 0 ||
			request.Query != language.Rewrite(query) {
			t.Errorf("%s: %d tokens read again, the text is then %s", query, done.Tokens,
				request.Query)
		}
	}
}

// replacing is an extension that other people's servers may have after the limits.
type replacing struct{ by string }

func (*replacing) ExtensionName() string                   { return "Replacing" }
func (*replacing) Validate(graphql.ExecutableSchema) error { return nil }
func (r *replacing) MutateOperationParameters(_ context.Context,
	request *graphql.RawParams) *gqlerror.Error {
	request.Query = cmp.Or(r.by, request.Query)
	return nil
}

// A document runs for its own text only.
func TestCache_anExtensionReplacesTheText(t *testing.T) {
	cache, extension := limits.NewCache(1<<20), &replacing{}
	var ran string
	server := newServer(limits.Limits{}.WithCache(cache), false, func(doc *ast.QueryDocument) {
		ran = doc.Operations[0].SelectionSet[0].(*ast.Field).Name
	})
	server.Use(extension)
	for _, tt := range []struct{ by, want string }{
		{"{ a { leaf } }", "a"}, {"", "leaf"}, {"{ b { leaf } }", "b"}, {"", "leaf"},
	} {
		extension.by = tt.by
		if body := send(server, "{ leaf }", nil); ran != tt.want {
			t.Errorf("replaced by %q: %q ran: %s", tt.by, ran, body)
		}
		if cache.Has("{ leaf }") == (ran == "a") || tt.by != "" && cache.Has(tt.by) {
			t.Errorf("replaced by %q: the wrong text is kept", tt.by)
		}
	}
}

// A client that guesses a password that somebody wrote into a mutation would learn from the time it
// takes, without an attempt, that the guess is right.
func TestCache_leavesOutWhatHoldsValues(t *testing.T) {
	for query, kept := range map[string]bool{
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
		if got := cache.Keep(query, doc); got != kept {
			t.Errorf("%s: kept %t, want %t", query, got, kept)
		}
	}
}

func TestACachedDocumentIsNotMeasuredAgain(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	bounds := limits.Limits{}.WithCache(cache)
	query := `query($v: [Int]) { x: f(l: $v) { leaf } y: f(l: $v) { leaf } }`
	work := func(variables map[string]any) (limits.Work, string) {
		done, fault := limits.WorkOf(bounds, &graphql.RawParams{Query: query, Variables: variables})
		if fault != nil {
			return done, fmt.Sprint(fault.Extensions["reason"])
		}
		return done, ""
	}
	if done, _ := work(nil); done.Tokens == 0 || done.Nodes == 0 {
		t.Errorf("a new document: %+v", done)
	}
	send(newServer(bounds, false, func(*ast.QueryDocument) {}), query, nil)
	if done, reason := work(map[string]any{"v": make([]any, 900)}); done !=
		(limits.Work{Items: 901}) || reason != "" {
		t.Errorf("a known one: %+v, refused for %q; want that only its variables are measured",
			done, reason)
	}
	if _, reason := work(map[string]any{"v": make([]any, 1000)}); reason != "VARIABLES" {
		t.Errorf("variables that are too large, of a known document: %q, want VARIABLES", reason)
	}
	bounds.Coercions = 1000
	if _, reason := work(map[string]any{"v": make([]any, 600)}); reason != "COERCIONS" {
		t.Errorf("variables that are used too often, in a known document: %q, want COERCIONS",
			reason)
	}
}

func TestCacheIsBoundedByBytes(t *testing.T) {
	const most = 256 << 10
	cache := limits.NewCache(most)
	add := func(query string) { cache.Keep(query, parse(t, query)) }
	for i := range 2_000 {
		add(fmt.Sprintf("{ x%d: leaf me { id name } }", i))
		if cache.Weight() > most {
			t.Fatalf("after %d documents it holds %d bytes", i, cache.Weight())
		}
	}
	if cache.Weight() < most/2 {
		t.Errorf("it holds %d bytes of %d", cache.Weight(), most)
	}
	huge := "{ leaf }" + strings.Repeat(" ", most)
	if add(huge); cache.WeightOf(huge) != 0 || cache.Weight() > most {
		t.Errorf("it keeps a document of %d bytes", len(huge))
	}
}

// Documents that are asked for stay, however many others are sent once.
func TestASprayDoesNotDriveOutWhatIsUsed(t *testing.T) {
	cache := limits.NewCache(128 << 10)
	used := make([]string, 5)
	for i := range used {
		used[i] = fmt.Sprintf("query Used%d { me { id name } }", i)
		cache.Keep(used[i], parse(t, used[i]))
	}
	lost := 0
	for i := range 5_000 {
		query := fmt.Sprintf("{ x%d: leaf me { id name } }", i)
		cache.Keep(query, parse(t, query))
		for _, query := range used {
			if kept := cache.Has(query); !kept {
				lost++
				cache.Keep(query, parse(t, query))
			}
		}
	}
	if lost > 250 { // of 25,000
		t.Errorf("documents in use were lost %d times", lost)
	}
}

// What the cache counts is no less than what the documents take.
func TestCacheCountsWhatDocumentsTake(t *testing.T) {
	for name, query := range map[string]string{
		"fields":   "{a{" + list(90, "x#:leaf ") + "}}",
		"values":   "{f(l:[" + strings.Repeat("1 ", 200) + "]){leaf}}",
		"members":  "{f(x:{" + list(50, "i:{}") + "}){leaf}}",
		"comments": "{" + strings.Repeat("#\n", 400) + "leaf}",
		"text":     "{leaf" + strings.Repeat(" ", 10_000) + "}", "small": "{leaf}",
		"variables":  "query(" + list(50, "$v#:Int ") + "){leaf}",
		"fragments":  "{leaf}" + list(50, "fragment F# on A{leaf}"),
		"directives": "{" + list(20, "...@d@d@d{leaf}") + "}",
		"strings": `{f(t:[` + strings.Repeat(`"\u0041bcdefghijklmnopqrst" `, 200) +
			`]){leaf}}`,
		"introspection": graphiql,
	} {
		const n = 100
		var before, after runtime.MemStats
		caches := make([]*limits.Cache, n)
		for i := range caches {
			caches[i] = limits.NewCache(1 << 20) // which isn't counted
		}
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range caches {
			own := strings.Clone(query)
			caches[i].Keep(own, parse(t, own))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		took, says := int(after.HeapAlloc-before.HeapAlloc)/n, caches[0].WeightOf(query)
		if says < took || says > 6*took+2048 {
			t.Errorf("%s: the cache says %d bytes, it took %d", name, says, took)
		}
		runtime.KeepAlive(caches)
	}
}

func TestNoCacheIsEmpty(t *testing.T) {
	for _, cache := range []*limits.Cache{nil, limits.NewCache(0), limits.NewCache(-1)} {
		cache.Keep(`{ leaf }`, parse(t, `{ leaf }`))
		if kept := cache.Has(`{ leaf }`); kept {
			t.Error("a cache of no bytes keeps a document")
		}
		fault := (limits.Limits{}).WithCache(cache).MutateOperationParameters(t.Context(),
			&graphql.RawParams{Query: `{ leaf }`})
		if fault != nil {
			t.Error(fault)
		}
	}
}

// One document for many requests at once: with the race detector, this fails if execution writes to
// it.
func TestADocumentIsSharedByRequests(t *testing.T) {
	cache := limits.NewCache(1 << 20)
	bounds := limits.Limits{}.WithCache(cache)
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return hostile },
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
				if !strings.Contains(body,
					`"ran":true`) {
					t.Errorf("%s", body)
				}
			}
		})
	}
	all.Wait()
}

// read does what gqlgen's generated code does with a document: it collects fields and makes
// arguments.
func read(op *graphql.OperationContext, set ast.SelectionSet, of string) {
	for _, field := range graphql.CollectFields(op, set, []string{of}) {
		field.ArgumentMap(op.Variables)
		read(op, field.Selections, field.Definition.Type.Name())
	}
}
