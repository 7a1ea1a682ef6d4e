package graphqlhttp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// TestFieldErrors_max checks that a response has at most 100 field errors, and one more error that
// counts the rest. A list may have an error for each item.
func TestFieldErrors_max(t *testing.T) {
	for errorCount, want := range map[int]string{100: "",
		101:  "Errors beyond the first 100 are left out: 1 more",
		5000: "Errors beyond the first 100 are left out: 4900 more"} {
		e := resolvers()
		e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
			for i := range errorCount {
				graphql.AddError(ctx,
					&gqlerror.Error{Message: "No", Path: ast.Path{ast.PathIndex(i)},
						Extensions: map[string]any{"code": "FAILED"}})
			}
			return nil, nil
		}
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, postQuery("{ leaf }"))
		var content struct {
			Errors []struct {
				Message    string
				Path       []int
				Extensions struct{ Code string }
			}
		}
		if err := json.Unmarshal(res.Body.Bytes(), &content); err != nil {
			t.Fatal(err)
		}
		got := len(content.Errors)
		if want == "" {
			if got != errorCount {
				t.Errorf("%d errors: %d in the response, want all", errorCount, got)
			}
			continue
		}
		if last := content.Errors[got-1]; got != 101 || last.Message != want ||
			last.Extensions.Code != "ERRORS_LEFT_OUT" || content.Errors[99].Path[0] != 99 {
			t.Errorf("%d errors: %d in the response, the last is %q; want 101, %q", errorCount, got,
				last.Message, want)
		}
	}
}

// TestFieldErrors_presented checks that errors beyond the first 100 aren't presented, because that
// costs time and may write a log line for each. Errors may be concurrent.
func TestFieldErrors_presented(t *testing.T) {
	e := resolvers()
	e["leaf"] = func(ctx context.Context, _ map[string]any) (any, error) {
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { graphql.AddError(ctx, errors.New("failed")) })
		}
		wg.Wait()
		return nil, nil
	}
	presenter := &countingErrors{Errors: &apierror.Presenter{
		Rows: []apierror.Row{{Err: errors.ErrUnsupported, Code: "X", Message: "x"}}}}
	res := sendWith(t, Config{Errors: presenter}, e, postQuery("{ leaf }"))
	if n := presenter.count.Load(); n != 100 {
		t.Errorf("%d errors were presented, want 100", n)
	}
	var content struct{ Errors []struct{ Message string } }
	if err := json.Unmarshal(res.Body.Bytes(), &content); err != nil {
		t.Fatal(err)
	}
	if got := len(content.Errors); got != 101 || content.Errors[99].Message != "Internal error" ||
		content.Errors[100].Message != "Errors beyond the first 100 are left out: 900 more" {
		t.Errorf("got %d errors and %s", got, res.Body)
	}
}

// countingErrors counts the errors that it presents.
type countingErrors struct {
	Errors
	count atomic.Int32
}

func (e *countingErrors) Present(ctx context.Context, err error) *gqlerror.Error {
	e.count.Add(1)
	return e.Errors.Present(ctx, err)
}

// TestFieldErrors_truncated checks that messages and locations of field errors are bounded, in a
// copy of the server's error.
func TestFieldErrors_truncated(t *testing.T) {
	longErr := &gqlerror.Error{
		Message: strings.Repeat("ü", 800), Locations: make([]gqlerror.Location, 50),
		Extensions: map[string]any{"code": "FAILED"},
	}
	e := resolvers()
	e["leaf"] = func(context.Context, map[string]any) (any, error) { return nil, longErr }
	var content struct{ Errors []*gqlerror.Error }
	err := json.Unmarshal(sendWith(t, Config{AllowGET: true, Introspection: true}, e,
		postQuery("{ leaf }")).Body.Bytes(), &content)
	if err != nil {
		t.Fatal(err)
	}
	got := content.Errors[0]
	if len(got.Message) > 1000 || len(got.Message) < 990 || !utf8.ValidString(got.Message) ||
		strings.ContainsRune(got.Message, utf8.RuneError) || len(got.Locations) != 5 {
		t.Errorf("message of %d bytes, %d locations; want 990 to 1000, and 5; message %s",
			len(got.Message), len(got.Locations), got.Message)
	}
	boundFieldErrors(gqlerror.List{longErr}, &language.Locator{})
	if len(longErr.Message) != 1600 || len(longErr.Locations) != 50 {
		t.Errorf("boundFieldErrors changed the server's error to %d bytes, %d locations; want "+
			"1600, 50",
			len(longErr.Message), len(longErr.Locations))
	}
}

// verboseExtension is an extension that returns an error that is too long.
type verboseExtension struct{ nameLimit }

func (verboseExtension) MutateOperationContext(context.Context,
	*graphql.OperationContext) *gqlerror.Error {
	path := ast.Path{ast.PathName(strings.Repeat("p", 100))}
	for i := range 100 {
		path = append(path, ast.PathIndex(i))
	}
	return &gqlerror.Error{Message: strings.Repeat("m", 1000), Path: path,
		Locations: make([]gqlerror.Location, 50), Extensions: map[string]any{"code": "X"}}
}

// TestRequestErrors_truncated checks that message, path and locations of a request error are
// bounded.
func TestRequestErrors_truncated(t *testing.T) {
	server := handler.New(resolvers())
	server.Use(verboseExtension{})
	server.AddTransport(newTransport(Config{AllowGET: true, Introspection: true}))
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, postQuery("{ leaf }"))
	var content struct{ Errors []*gqlerror.Error }
	if err := json.Unmarshal(recorder.Body.Bytes(), &content); err != nil ||
		len(content.Errors) != 1 {
		t.Fatalf("body %s (%v), want one error in it", recorder.Body, err)
	}
	got := content.Errors[0]
	if len(got.Message) != 300 || len(got.Path) != 32 || len(got.Locations) != 5 ||
		got.Path[0] != ast.PathName(strings.Repeat("p", 61)+"...") {
		t.Errorf("message of %d bytes, path of %d elements from %v, %d locations; want 300, 32, 5",
			len(got.Message), len(got.Path), got.Path[0], len(got.Locations))
	}
}

// TestRequestErrors_fields checks that a request error has a message and extensions, locations if
// it is about a part of the document, and no other fields.
func TestRequestErrors_fields(t *testing.T) {
	for query, wantLocations := range map[string]bool{
		"{": true, "{ nothing }": true, "{ need(s: 5) }": true,
		"query ($v: Int!) { echo(i: $v) }": true, "{ x: leaf x: fails }": true,
		"{ echo(i: 5000000000) }": true, "{ ... @defer { leaf } }": true,
		"query A { leaf } query B { leaf }": false, "#": false,
	} {
		var content struct{ Errors []map[string]any }
		if err := json.Unmarshal(send(t, postQuery(query)).Body.Bytes(), &content); err != nil ||
			len(content.Errors) == 0 {
			t.Fatalf("%s: errors %v (%v), want at least one", query, content.Errors, err)
		}
		for _, e := range content.Errors {
			_, hasLocations := e["locations"]
			delete(e, "locations")
			delete(e, "message")
			delete(e, "extensions")
			if hasLocations != wantLocations || len(e) != 0 {
				t.Errorf("%s: has locations: %t, want %t; other fields %v, want none", query,
					hasLocations, wantLocations, e)
			}
		}
	}
}
