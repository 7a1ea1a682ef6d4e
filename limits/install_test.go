package limits_test

import (
	"context"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql/limits"
)

// newBareServer returns gqlgen's handler with only gqlgen's transport.
func newBareServer() *handler.Server { return newCountingServer(new(int)) }

// newCountingServer is like newBareServer. The server sets *documentCount to the number of distinct
// parsed documents that it has executed.
func newCountingServer(documentCount *int) *handler.Server {
	executedDocs := map[*ast.QueryDocument]bool{}
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return testSchema },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			executedDocs[graphql.GetOperationContext(ctx).Doc] = true
			*documentCount = len(executedDocs)
			return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
		},
	})
	server.AddTransport(transport.POST{})
	return server
}

// TestInstall_tokenLimit checks that Install sets gqlparser's token limit to Limits.Tokens.
func TestInstall_tokenLimit(t *testing.T) {
	for _, maxTokens := range []int{0, 10, 2000} {
		server := newBareServer()
		if err := limits.Install(server, limits.Limits{Tokens: maxTokens}); err != nil {
			t.Fatal(err)
		}
		if maxTokens == 0 {
			maxTokens = limits.DefaultTokens
		}
		for n, want := range map[int]string{maxTokens: `{"data":{}}`,
			maxTokens + 1: `"reason":"TOKENS"`} {
			query := "{ leaf" + strings.Repeat("\n#", n-3) + "\n}"
			if got := send(server, query, nil); !strings.Contains(got, want) ||
				strings.Contains(got, "exceeded token limit") {
				t.Errorf("%d tokens, Limits.Tokens %d: %s, want %s", n, maxTokens, got, want)
			}
		}
	}
}

// TestInstall_rules checks that Install sets this package's rules, which stop after MaxErrors
// errors.
func TestInstall_rules(t *testing.T) {
	server := newBareServer()
	if err := limits.Install(server, limits.Limits{}); err != nil {
		t.Fatal(err)
	}
	got := send(server, "{"+strings.Repeat(" me { nowhere }", 50)+"}", nil)
	if n := strings.Count(got, `"message"`); n != limits.MaxErrors {
		t.Errorf("%d errors, want %d: %s", n, limits.MaxErrors, got)
	}
}

// TestInstall_suggestions checks that SetDisableSuggestion works both before and after Install.
func TestInstall_suggestions(t *testing.T) {
	for query, name := range map[string]string{
		"{ lea }": "leaf", "{ me }": "me {", "{ need(m: 1) }": `\"n\"`,
		"{ ...F } fragment F on Quer { leaf }": "Query",
	} {
		for _, disabled := range []bool{false, true} {
			for _, beforeInstall := range []bool{false, true} {
				server := newBareServer()
				if beforeInstall {
					server.SetDisableSuggestion(disabled)
				}
				if err := limits.Install(server, limits.Limits{}); err != nil {
					t.Fatal(err)
				}
				if !beforeInstall {
					server.SetDisableSuggestion(disabled)
				}
				got := send(server, query, nil)
				_, suggestion, suggested := strings.Cut(got, "Did you mean")
				if suggested == disabled || suggested && !strings.Contains(suggestion, name) {
					t.Errorf("SetDisableSuggestion(%t), before Install %t: %s: response %s, want "+
						"a "+
						"suggestion: %t", disabled, beforeInstall, query, got, !disabled)
				}
			}
		}
	}
}

// TestInstall_cache checks that Install gives each server its own cache, since limits may differ,
// and that CacheBytes sets its size.
func TestInstall_cache(t *testing.T) {
	for name, tt := range map[string]struct {
		cacheBytes int
		want       int // distinct documents in three requests
	}{"default": {0, 1}, "1 MiB": {1 << 20, 1}, "none": {-1, 3}} {
		for range 2 { // the second server must not use the cache of the first
			got := 0
			server := newCountingServer(&got)
			err := limits.Install(server, limits.Limits{CacheBytes: tt.cacheBytes})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if body := send(server, "{ leaf }", nil); body != `{"data":{}}` {
					t.Fatalf("%s: response %s, want no error", name, body)
				}
			}
			if got != tt.want {
				t.Errorf("%s: %d distinct documents were executed, want %d", name, got, tt.want)
			}
		}
	}
}

// TestInstall_invalid checks that Install returns an error for invalid limits and leaves the server
// unchanged.
func TestInstall_invalid(t *testing.T) {
	server := newBareServer()
	if err := limits.Install(server, limits.Limits{Depth: -1}); err == nil ||
		!strings.Contains(err.Error(), "Depth is below zero") {
		t.Errorf("Install with a negative limit = %v, want \"Depth is below zero\" in it", err)
	}
	deep := enclose(limits.DefaultDepth, "{ a ", "{ leaf }", "}")
	if got := send(server, deep, nil); got != `{"data":{}}` {
		t.Errorf("server without limits: %s, want no error", got)
	}
	if err := limits.Install(server, limits.Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := send(server, deep, nil); !strings.Contains(got, `"reason":"DEPTH"`) {
		t.Errorf("server with limits: %s, want DEPTH", got)
	}
	if err := limits.Install(nil, limits.Limits{}); err == nil ||
		!strings.Contains(err.Error(), "handler.New") {
		t.Errorf("Install(nil, ...) = %v, want handler.New in it", err)
	}
}
