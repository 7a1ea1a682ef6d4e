package graphqlhttp

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// TestInstall_invalid checks that Install reports all mistakes in a Config at once, and leaves the
// server unchanged.
func TestInstall_invalid(t *testing.T) {
	for name, tt := range map[string]struct {
		config Config
		want   []string
	}{
		"no presenter": {Config{}, []string{"Config.Errors is missing", "apierror.Presenter"}},
		"invalid presenter": {Config{Errors: invalidErrors{}},
			[]string{"Config.Errors: row 3 has no Err"}},
		"negative limits": {Config{Errors: testErrors{}, MaxBodyBytes: -1, MaxNesting: -1,
			MaxValues:        -1,
			MaxResponseBytes: -1, Timeout: -1, PersistedQueryBytes: -1},
			[]string{"Config.MaxBodyBytes is", "Config.MaxNesting is", "Config.MaxValues is",
				"Config.MaxResponseBytes is", "Config.Timeout is",
				"Config.PersistedQueryBytes is"}},
		"MaxNesting too large": {Config{Errors: testErrors{}, MaxNesting: 1001},
			[]string{"Config.MaxNesting is 1001: expected at most 1000"}},
		"Answers without MayKeep": {Config{Errors: testErrors{}, Answers: &Answers{
			Store: func(context.Context) AnswerStore { return nil }}},
			[]string{"Config.Answers is incomplete: expected both Store and MayKeep"}},
		"Answers without Store": {Config{Errors: testErrors{}, Answers: &Answers{
			MayKeep: func(*ast.FieldDefinition) bool { return true }}},
			[]string{"Config.Answers is incomplete: expected both Store and MayKeep"}},
		"several mistakes": {Config{Timeout: -1},
			[]string{"Config.Errors is missing", "Config.Timeout is"}},
	} {
		server := handler.New(resolvers())
		err := Install(server, tt.config)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Install = %v, want %q in it", name, err, want)
			}
		}
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, postQuery("{ leaf }"))
		if !strings.Contains(recorder.Body.String(), "transport not supported") {
			t.Errorf("%s: response %s, want gqlgen's \"transport not supported\"", name,
				recorder.Body)
		}
	}
	if err := Install(nil, Config{Errors: testErrors{}}); err == nil ||
		!strings.Contains(err.Error(), "handler.New") {
		t.Errorf("Install(nil, ...) = %v, want handler.New in it", err)
	}
}

// invalidErrors is a presenter whose Validate fails.
type invalidErrors struct{ testErrors }

func (invalidErrors) Validate() error { return errors.New("row 3 has no Err") }

// TestInstall_consistent checks that Install sets the error hooks, introspection, suggestions and
// input coercion consistently.
func TestInstall_consistent(t *testing.T) {
	for _, introspection := range []bool{false, true} {
		e := introspectionResolvers()
		e["leaf"] = func(context.Context, map[string]any) (any, error) { panic(canary) }
		e["fails"] = func(context.Context, map[string]any) (any, error) {
			return nil, errors.New(canary)
		}
		server := handler.New(e)
		err := Install(server, Config{Errors: hidingErrors{}, Introspection: introspection})
		if err != nil {
			t.Fatal(err)
		}
		send := func(query string) string {
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, postQuery(query))
			return recorder.Body.String()
		}
		// Errors have names of the schema and suggestions only with introspection.
		for query, name := range map[string]string{"{ person }": "Person",
			"{ perso { name } }": "person",
			"{ need(t: 1) }":     `\"s\"`, "{ ...F } fragment F on Quer { leaf }": "Query"} {
			if got := send(query); strings.Contains(got, name) != introspection ||
				strings.Contains(got, "Did you mean") && !introspection {
				t.Errorf("Introspection %t, %s: %s, want %s in it: %[1]t", introspection, query,
					got,
					name)
			}
		}
		// Both error hooks are set.
		for query, want := range map[string]string{"{ fails }": "hidden", "{ leaf }": "recovered"} {
			if got := send(query); !strings.Contains(got, `"message":"`+want+`"`) ||
				strings.Contains(got, canary) {
				t.Errorf("%s: %s, want %q", query, got, want)
			}
		}
		// Input coercion is on: gqlparser itself accepts an object for a String.
		if got := send("{ need(s: {}) }"); !strings.Contains(got, "BAD_USER_INPUT") {
			t.Errorf("an object for a String: %s, want BAD_USER_INPUT", got)
		}
	}
	res := sendWith(t, Config{AllowGET: true, DisableInputCoercion: true}, resolvers(),
		postQuery("{ need(s: {}) }"))
	if len(res.outcome.Codes) != 0 {
		t.Errorf("DisableInputCoercion: %s, want no error", res.Body)
	}
}

// hidingErrors presents errors of panics as "recovered", and all other errors as "hidden".
type hidingErrors struct{}

var errRecovered = errors.New("recovered")

func (hidingErrors) Present(_ context.Context, err error) *gqlerror.Error {
	if errors.Is(err, errRecovered) {
		return &gqlerror.Error{Message: "recovered"}
	}
	return &gqlerror.Error{Message: "hidden"}
}

func (hidingErrors) Recover(context.Context, any) error { return errRecovered }
