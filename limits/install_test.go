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

// newBareServer returns gqlgen's handler with gqlgen's own transport.
func newBareServer() *handler.Server { return newCountingServer(new(int)) }

// newCountingServer is newBareServer, and counts the distinct parsed documents that are executed.
func newCountingServer(documents *int) *handler.Server {
	seen := map[*ast.QueryDocument]bool{}
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return testSchema },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			seen[graphql.GetOperationContext(ctx).Doc] = true
			*documents = len(seen)
			return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
		},
	})
	server.AddTransport(transport.POST{})
	return server
}

// Install sets the parser's token limit to the same value as Limits.Tokens.
func TestInstall_tokenLimit(t *testing.T) {
	for _, allowed := range []int{0, 10, 2000} {
		server := newBareServer()
		if err := limits.Install(server, limits.Limits{Tokens: allowed}); err != nil {
			t.Fatal(err)
		}
		if allowed == 0 {
			allowed = limits.DefaultTokens
		}
		for n, want := range map[int]string{allowed - 3: `{"data":{}}`,
			allowed - 2: `"reason":"TOKENS"`} {
			query := "{ leaf" + strings.Repeat("\n#", n) + "\n}"
			if got := send(server, query, nil); !strings.Contains(got, want) ||
				strings.Contains(got, "exceeded token limit") {
				t.Errorf("%d tokens of %d: %s, want %s", n+3, allowed, got, want)
			}
		}
	}
}

// Install sets this package's rules, which stop after five errors.
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

// Suggestions depend on SetDisableSuggestion, called before or after Install.
func TestInstall_suggestions(t *testing.T) {
	for query, name := range map[string]string{
		"{ lea }": "leaf", "{ me }": "me {", "{ need(m: 1) }": `\"n\"`,
		"{ ...F } fragment F on Quer { leaf }": "Query",
	} {
		for _, disabled := range []bool{false, true} {
			for _, before := range []bool{false, true} {
				server := newBareServer()
				if before {
					server.SetDisableSuggestion(disabled)
				}
				if err := limits.Install(server, limits.Limits{}); err != nil {
					t.Fatal(err)
				}
				if !before {
					server.SetDisableSuggestion(disabled)
				}
				got := send(server, query, nil)
				_, suggestion, suggested := strings.Cut(got, "Did you mean")
				if suggested == disabled || suggested && !strings.Contains(suggestion, name) {
					t.Errorf("SetDisableSuggestion(%t), before Install: %t: %s: %s", disabled,
						before, query, got)
				}
			}
		}
	}
}

// Each server has its own cache, since limits may differ.
func TestInstall_cache(t *testing.T) {
	bounds := limits.Limits{}
	for name, tt := range map[string]struct {
		bytes  int
		cached bool
	}{"default": {0, true}, "1 MiB": {1 << 20, true}, "none": {-1, false}} {
		bounds.CacheBytes = tt.bytes
		for range 2 { // the second server must not use the cache of the first
			documents := 0
			server := newCountingServer(&documents)
			if err := limits.Install(server, bounds); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got := send(server, "{ leaf }", nil); got != `{"data":{}}` {
					t.Fatalf("%s: %s", name, got)
				}
			}
			if want := map[bool]int{true: 1, false: 3}[tt.cached]; documents != want {
				t.Errorf("%s: %d documents ran, want %d", name, documents, want)
			}
		}
	}
}

// Install returns an error for invalid limits and leaves the server unchanged.
func TestInstall_invalid(t *testing.T) {
	server := newBareServer()
	if err := limits.Install(server, limits.Limits{Depth: -1}); err == nil ||
		!strings.Contains(err.Error(), "below zero") {
		t.Errorf("negative limit: %v", err)
	}
	deep := enclose(limits.DefaultDepth, "{ a ", "{ leaf }", "}")
	if got := send(server, deep, nil); got != `{"data":{}}` {
		t.Errorf("server without limits: %s", got)
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
