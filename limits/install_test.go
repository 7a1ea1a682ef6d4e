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

// newBareServer is gqlgen's handler as it is made, with gqlgen's own transport.
func newBareServer() *handler.Server { return newCountingServer(new(int)) }

// newCountingServer is newBareServer that counts the parsed documents that ran, each once.
func newCountingServer(documents *int) *handler.Server {
	seen := map[*ast.QueryDocument]bool{}
	server := handler.New(&graphql.ExecutableSchemaMock{
		SchemaFunc: func() *ast.Schema { return hostile },
		ExecFunc: func(ctx context.Context) graphql.ResponseHandler {
			seen[graphql.GetOperationContext(ctx).Doc] = true
			*documents = len(seen)
			return graphql.OneShot(&graphql.Response{Data: []byte(`{}`)})
		},
	})
	server.AddTransport(transport.POST{})
	return server
}

// The parser's own limit is that of the tokens, whatever that is, so that neither refuses what the
// other allows.
func TestInstall_tokenLimitIsTheParsers(t *testing.T) {
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

// The rules of this package are in the server: they end after five errors.
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

// What an error suggests is gqlgen's own switch, whether it is set before the limits or after.
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
					t.Errorf("suggestions disabled %t, before Install %t: %s: %s", disabled, before,
						query, got)
				}
			}
		}
	}
}

// Documents are kept as far as CacheBytes allows, by each server for itself: what one has validated
// says nothing to another, whose limits may differ.
func TestInstall_cache(t *testing.T) {
	bounds := limits.Limits{}
	for name, tt := range map[string]struct {
		bytes int
		kept  bool
	}{"the default": {0, true}, "some": {1 << 20, true}, "none": {-1, false}} {
		bounds.CacheBytes = tt.bytes
		for range 2 { // the second server must validate for itself
			times := 0
			server := newCountingServer(&times)
			if err := limits.Install(server, bounds); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got := send(server, "{ leaf }", nil); got != `{"data":{}}` {
					t.Fatalf("%s: %s", name, got)
				}
			}
			if want := map[bool]int{true: 1, false: 3}[tt.kept]; times != want {
				t.Errorf("%s: %d documents ran, want %d", name, times, want)
			}
		}
	}
}

// Limits that are no use aren't installed.
func TestInstall_faults(t *testing.T) {
	server := newBareServer()
	if err := limits.Install(server, limits.Limits{Depth: -1}); err == nil ||
		!strings.Contains(err.Error(), "below zero") {
		t.Errorf("a limit below zero: %v", err)
	}
	deep := around(limits.DefaultDepth, "{ a ", "{ leaf }", "}")
	if got := send(server, deep, nil); got != `{"data":{}}` {
		t.Errorf("a server without limits: %s", got)
	}
	if err := limits.Install(server, limits.Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := send(server, deep, nil); !strings.Contains(got, `"reason":"DEPTH"`) {
		t.Errorf("a server with limits: %s", got)
	}
	if err := limits.Install(nil, limits.Limits{}); err == nil ||
		!strings.Contains(err.Error(), "handler.New") {
		t.Errorf("Install without a server: %v, want that it names handler.New", err)
	}
}
