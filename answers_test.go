package cloakql_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/signin"
)

// countMe returns the resolvers of an application, and a counter of the calls of me.
func countMe() (a application, calls *atomic.Int64) {
	calls = &atomic.Int64{}
	return application{me: func(ctx context.Context) (*identity.User, error) {
		calls.Add(1)
		return identity.Require(ctx)
	}}, calls
}

// The answer to a query of me is cached, unless a setting or a middleware forbids it.
func TestAnswerCache_config(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	store := mapAnswers{}
	for _, tt := range []struct {
		name      string
		change    func(*cloakql.Config)
		wantCalls int64 // of two requests
	}{
		{"default", func(*cloakql.Config) {}, 1},
		{"ANSWER_CACHE=on", func(c *cloakql.Config) {
			c.DisableAnswerCache = testConfig(t,
				"ANSWER_CACHE=on").DisableAnswerCache
		}, 1},
		{"ANSWER_CACHE=off",
			func(c *cloakql.Config) {
				c.DisableAnswerCache = testConfig(t,
					"ANSWER_CACHE=off").DisableAnswerCache
			}, 2},
		{"no token cache", func(c *cloakql.Config) { c.Tokens.CacheBytes = -1 }, 2},
		{"HTTP.Middleware", func(c *cloakql.Config) {
			c.HTTP.Middleware = func(h http.Handler) http.Handler { return h }
		}, 2},
		{"HTTP.Middleware and KeepAnswers", func(c *cloakql.Config) {
			c.HTTP.Middleware = func(h http.Handler) http.Handler { return h }
			c.Tokens.KeepAnswers = true
		}, 2},
		{"own Answers", func(c *cloakql.Config) {
			c.DisableAnswerCache = true
			c.GraphQL.Answers = &graphqlhttp.Answers{
				Store:   func(context.Context) graphqlhttp.AnswerStore { return store },
				MayKeep: authz.IsFromToken,
			}
		}, 1},
		{"own Answers that keep nothing", func(c *cloakql.Config) {
			c.GraphQL.Answers = &graphqlhttp.Answers{
				Store:   func(context.Context) graphqlhttp.AnswerStore { return mapAnswers{} },
				MayKeep: func(*ast.FieldDefinition) bool { return false },
			}
		}, 2},
	} {
		a, calls := countMe()
		config := applicationConfig(t, kc, a)
		tt.change(&config)
		handler := newServer(t, config).Handler()
		token := signIn(t, kc).AccessToken
		for range 2 {
			const want = `{"data":{"me":{"username":"alice"}}}`
			if got := post(handler, token, `{ me { username } }`); got != want {
				t.Errorf("%s: %s, want %s", tt.name, got, want)
			}
		}
		if got := calls.Load(); got != tt.wantCalls {
			t.Errorf("%s: me ran %d times for two requests, want %d", tt.name, got, tt.wantCalls)
		}
	}
}

// A mapAnswers is an AnswerStore for one caller.
type mapAnswers map[string]any

func (m mapAnswers) Get(request []byte) any                   { return m[string(request)] }
func (m mapAnswers) Put(request []byte, answer any, size int) { m[string(request)] = answer }

// If a middleware changes the user, every answer has the changed user.
func TestAnswerCache_changedUser(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod")
	config.Log = slog.New(slog.DiscardHandler)
	n := 0
	config.HTTP.Middleware = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, err := identity.Require(r.Context())
			n++
			user.ID = fmt.Sprint("user-", n)
			next.ServeHTTP(w, r.WithContext(identity.NewContext(r.Context(), user, err)))
		})
	}
	handler := newServer(t, config).Handler()
	token := signIn(t, kc).AccessToken
	for i := range 3 {
		want := fmt.Sprintf(`{"data":{"me":{"id":"user-%d"}}}`, i+1)
		if got := post(handler, token, `{ me { id } }`); got != want {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
}

// The server doesn't start if a schema with @fromToken can't be audited. Without the directive, a
// wrapped schema is fine.
func TestAnswerCache_wrappedSchema(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	a, _ := countMe()
	config := applicationConfig(t, kc, a)
	config.Schema = func(service *signin.Service) (graphql.ExecutableSchema, error) {
		schema, err := a.schema(service)
		return wrappedSchema{schema}, err
	}
	const want = "authz: @fromToken can't be checked: cloakql_test.wrappedSchema isn't a schema " +
		"that gqlgen generated"
	if _, err := cloakql.New(config); err == nil || err.Error() != want {
		t.Errorf("New() = %v, want %s", err, want)
	}
}

// A wrappedSchema is a schema that could change answers.
type wrappedSchema struct{ graphql.ExecutableSchema }

// A request whose answer is cached passes everything in front of GraphQL, as other requests do:
// CORS, the host name check, and the verification of the token with the realm's keys.
func TestAnswerCache_inFront(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod")
	config.HTTP.CORSOrigins = []string{"https://app.example.com"}
	config.HTTP.AllowedHosts = []string{"api.example.com"}
	config.Log = slog.New(slog.DiscardHandler)
	handler := newServer(t, config).Handler()
	token := signIn(t, kc).AccessToken
	const body = `{"query":"{ me { username } }"}`
	send := func(host, origin, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "https://"+host+"/graphql", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", origin)
		r.Header.Set("Authorization", authorization)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		return recorder
	}
	for range 2 {
		for _, tt := range []struct {
			host, origin, authorization string
			status                      int
			allowedOrigin, want         string
		}{
			{"api.example.com", "https://app.example.com", "Bearer " + token, 200,
				"https://app.example.com", `{"data":{"me":{"username":"alice"}}}`},
			{"api.example.com", "https://other.example.com", "Bearer " + token, 200, "",
				`{"data":{"me":{"username":"alice"}}}`},
			{"evil.example.com", "https://app.example.com", "Bearer " + token, 403,
				"https://app.example.com", `"code":"BAD_REQUEST"`},
			{"api.example.com", "https://app.example.com", "", 200, "https://app.example.com",
				`"reason":"TOKEN_MISSING"`},
			{"api.example.com", "https://app.example.com", "Bearer " + token + "x", 200,
				"https://app.example.com", `"code":"UNAUTHENTICATED"`},
		} {
			got := send(tt.host, tt.origin, tt.authorization)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.want) ||
				got.Header().Get("Access-Control-Allow-Origin") != tt.allowedOrigin {
				t.Errorf("host %s, origin %s, %.20s: %d %v %s\nwant %d, origin %q, and %s", tt.host,
					tt.origin, tt.authorization, got.Code, got.Header(), got.Body, tt.status,
					tt.allowedOrigin, tt.want)
			}
		}
	}
}
