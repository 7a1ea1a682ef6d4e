package graphqlhttp

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Each fault of a Config is named, all in one error, and nothing of it is installed.
func TestInstall_faults(t *testing.T) {
	faulty := invalidErrors{testErrors{}}
	for name, tt := range map[string]struct {
		config Config
		want   []string
	}{
		"no presenter": {Config{}, []string{"Config.Errors is missing", "apierror.Presenter"}},
		"a presenter with a faulty row": {Config{Errors: faulty},
			[]string{"Config.Errors: row 3 has no Err"}},
		"limits below zero": {Config{Errors: testErrors{}, MaxBodyBytes: -1, MaxNesting: -1, MaxValues: -1,
			MaxResponseBytes: -1, Timeout: -1, PersistedQueryBytes: -1},
			[]string{"Config.MaxBodyBytes is", "Config.MaxNesting is", "Config.MaxValues is",
				"Config.MaxResponseBytes is", "Config.Timeout is",
				"Config.PersistedQueryBytes is"}},
		"a recursion too deep": {Config{Errors: testErrors{}, MaxNesting: 1001},
			[]string{"Config.MaxNesting is 1001: expected at most 1000"}},
		"several": {Config{Timeout: -1}, []string{"Config.Errors is missing", "Config.Timeout is"}},
	} {
		server := handler.New(resolvers())
		err := Install(server, tt.config)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, postQuery("{ leaf }"))
		if !strings.Contains(recorder.Body.String(), "transport not supported") {
			t.Errorf("%s: the server answers: %s", name, recorder.Body)
		}
	}
	if err := Install(nil, Config{Errors: testErrors{}}); err == nil ||
		!strings.Contains(err.Error(), "handler.New") {
		t.Errorf("Install without a server: %v, want that it names handler.New", err)
	}
}

// invalidErrors is a presenter whose rows are faulty.
type invalidErrors struct{ testErrors }

func (invalidErrors) Validate() error { return errors.New("row 3 has no Err") }

// One call is all that a server needs: what its parts must agree on, they do.
func TestInstall_partsAgree(t *testing.T) {
	for _, shown := range []bool{false, true} {
		e := introspective()
		e["leaf"] = func(context.Context, map[string]any) (any, error) { panic(canary) }
		e["fails"] = func(context.Context, map[string]any) (any, error) {
			return nil, errors.New(canary)
		}
		server := handler.New(e)
		err := Install(server, Config{Errors: hidingErrors{}, Introspection: shown})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(query string) string {
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, postQuery(query))
			return recorder.Body.String()
		}
		// Names and suggestions in errors go with the introspection.
		for query, name := range map[string]string{"{ person }": "Person",
			"{ perso { name } }": "person",
			"{ need(t: 1) }":     `\"s\"`, "{ ...F } fragment F on Quer { leaf }": "Query"} {
			if got := ask(query); strings.Contains(got, name) != shown ||
				strings.Contains(got, "Did you mean") && !shown {
				t.Errorf("introspection %t, %s: %s", shown, query, got)
			}
		}
		// The presenter and the recover function are there.
		for query, want := range map[string]string{"{ fails }": "hidden", "{ leaf }": "recovered"} {
			if got := ask(query); !strings.Contains(got, `"message":"`+want+`"`) ||
				strings.Contains(got, canary) {
				t.Errorf("%s: %s, want %q", query, got, want)
			}
		}
		// So is input coercion: gqlparser takes an object for a String.
		if got := ask("{ need(s: {}) }"); !strings.Contains(got, "BAD_USER_INPUT") {
			t.Errorf("an object for a String: %s", got)
		}
	}
	loose := askWith(t, Config{AllowGET: true, DisableInputCoercion: true}, resolvers(),
		postQuery("{ need(s: {}) }"))
	if len(loose.outcome.Codes) != 0 {
		t.Errorf("without input coercion: %s", loose.Body)
	}
}

// hidingErrors tells errors that resolvers return from those of panics, and nothing more.
type hidingErrors struct{}

var errRecovered = errors.New("recovered")

func (hidingErrors) Present(_ context.Context, err error) *gqlerror.Error {
	if errors.Is(err, errRecovered) {
		return &gqlerror.Error{Message: "recovered"}
	}
	return &gqlerror.Error{Message: "hidden"}
}

func (hidingErrors) Recover(context.Context, any) error { return errRecovered }
