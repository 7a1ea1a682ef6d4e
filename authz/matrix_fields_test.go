package authz_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/authz"
)

// A fieldShape is an operation that selects a field of an object.
type fieldShape struct {
	document string // %s stands for the field
	object   string // the type of the object
	items    int    // the number of objects, if they are in a list
}

var fieldShapes = []fieldShape{
	{"{ fields { %s } }", "Fields", 0},
	{"{ fieldsList { %s } }", "Fields", 2},
	{"{ unguardedInterface { %s } }", "Fields", 0},
	{"{ unguardedInterface { ... on Fields { %s } } }", "Fields", 0},
	{"{ guardedInterface { %s } }", "UnguardedFields", 0},
	{"{ guardedInterface { ... on UnguardedFields { %s } } }", "UnguardedFields", 0},
	{"{ union { ... on Fields { %s } } }", "Fields", 0},
	{"{ union { ... on UnguardedInterface { %s } } }", "Fields", 0},
	{"{ union { ...F } } fragment F on Fields { %s }", "Fields", 0},
	{"query($t: Boolean!) { fields { ... @include(if: $t) { %s } } }", "Fields", 0},
	{"mutation { change { %s } }", "Fields", 0},
}

// want returns what the operation should result in if the field is denied or allowed: the data, the
// paths of the errors, and the fields that run, sorted.
func (s fieldShape) want(field string, isDenied bool) (data string, errorPaths, ran []string) {
	_, selections, _ := strings.Cut(s.document, "{ ")
	root, _, _ := strings.Cut(selections, " ")
	value := fmt.Sprintf(`{%q:"text"}`, field)
	if isDenied {
		value = fmt.Sprintf(`{%q:null}`, field)
	}
	for i := range max(s.items, 1) {
		switch {
		case !isDenied:
			ran = append(ran, s.object+"."+field)
		case s.items > 0:
			errorPaths = append(errorPaths, fmt.Sprintf(`[%q,%d,%q]`, root, i, field))
		default:
			errorPaths = append(errorPaths, fmt.Sprintf(`[%q,%q]`, root, field))
		}
	}
	if s.items > 0 {
		value = "[" + strings.Repeat(value+",", s.items-1) + value + "]"
	}
	data = fmt.Sprintf(`{%q:%s}`, root, value)
	switch isMutation := strings.HasPrefix(s.document, "mutation"); {
	case isMutation && isDenied:
		data = "null"
	case isMutation:
		ran = append(ran, "Mutation."+root)
	default:
		ran = append(ran, "Query."+root)
	}
	slices.Sort(ran)
	return data, errorPaths, ran
}

// Each guard also applies to a field of an object: nested, in a list, behind an interface or a
// union, and below a field of a mutation. The resolver of a denied field never runs. In a mutation
// with a denied field, no resolver runs.
func TestMatrix_fields(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	for _, tt := range guardCases {
		for callerName, caller := range tt.callers() {
			for _, shape := range fieldShapes {
				name := fmt.Sprintf("%s, %s, %s", tt.field, callerName, shape.document)
				data, errorPaths, ran := shape.want(tt.name(), caller.err != nil)
				got := s.query(caller.ctx, fmt.Sprintf(shape.document, tt.field),
					variablesFor(shape.document))
				var response struct {
					Errors []struct {
						Message string
						Path    json.RawMessage
					}
					Data json.RawMessage
				}
				if err := json.Unmarshal([]byte(got), &response); err != nil {
					t.Fatalf("%s: %v", got, err)
				}
				var gotPaths []string
				for _, err := range response.Errors {
					gotPaths = append(gotPaths, string(err.Path))
					if caller.err == nil || err.Message != caller.err.Error() {
						t.Errorf("%s: got %s, want the error %v", name, got, caller.err)
					}
				}
				slices.Sort(gotPaths) // fields run concurrently
				if string(response.Data) != data || !slices.Equal(gotPaths, errorPaths) {
					t.Errorf("%s:\ngot  %s\nwant %s with errors at %s", name, got, data, errorPaths)
				}
				if !slices.Equal(s.ran(), ran) {
					t.Errorf("%s: %v ran, want %v", name, s.ran(), ran)
				}
			}
		}
	}
}

// If an operation has more than 100 errors, those of further denied fields have no path.
func TestRules_manyDenials(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	var fields strings.Builder
	for i := range 100 {
		fmt.Fprintf(&fields, "a%d: audit ", i)
	}
	got := s.query(contextOf(nil), "{ documents { "+fields.String()+"} }", nil)
	var response struct{ Errors []struct{ Path []any } }
	if err := json.Unmarshal([]byte(got), &response); err != nil {
		t.Fatal(err)
	}
	withPath := 0
	for _, err := range response.Errors {
		if len(err.Path) == 3 {
			withPath++
		}
	}
	if len(response.Errors) != 200 || withPath != 100 {
		t.Errorf("got %d errors, and %d of them have a path; want 200 and 100",
			len(response.Errors), withPath)
	}
	if !slices.Equal(s.ran(), []string{"Query.documents"}) {
		t.Errorf("%v ran, want only Query.documents", s.ran())
	}
}
