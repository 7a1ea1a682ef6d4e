package authz_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/authz"
)

// Each guard also holds for a field of an object: nested, in a list, behind an interface or a
// union, and below a field of a mutation. The resolver of a denied field never runs, and if the
// field is in a mutation, no resolver does.
func TestMatrix_fields(t *testing.T) {
	s := newTestServer(t, authz.Config{})
	const object, other = "Fields", "UnguardedFields"
	shapes := []struct {
		document string // %s is the field
		object   string // the type of the objects
		items    int    // in a list
	}{
		{"{ fields { %s } }", object, 0},
		{"{ fieldsList { %s } }", object, 2},
		{"{ unguardedInterface { %s } }", object, 0},
		{"{ unguardedInterface { ... on Fields { %s } } }", object, 0},
		{"{ guardedInterface { %s } }", other, 0},
		{"{ guardedInterface { ... on UnguardedFields { %s } } }", other, 0},
		{"{ union { ... on Fields { %s } } }", object, 0},
		{"{ union { ... on UnguardedInterface { %s } } }", object, 0},
		{"{ union { ...F } } fragment F on Fields { %s }", object, 0},
		{"query($t: Boolean!) { fields { ... @include(if: $t) { %s } } }", object, 0},
		{"mutation { change { %s } }", object, 0},
	}
	for _, tt := range guardCases {
		key, _, _ := strings.Cut(tt.field, "(")
		for actor, want := range actorsOf(tt) {
			for _, shape := range shapes {
				_, selections, _ := strings.Cut(shape.document, "{ ")
				root, _, _ := strings.Cut(selections, " ")
				var paths []string
				value := fmt.Sprintf(`{%q:"text"}`, key)
				if want.err != nil {
					value = fmt.Sprintf(`{%q:null}`, key)
					paths = append(paths, fmt.Sprintf(`[%q,%q]`, root, key))
				}
				rootType := "Query"
				var ran []string
				for range max(shape.items, 1) {
					if want.err == nil {
						ran = append(ran, shape.object+"."+key)
					}
				}
				if shape.items > 0 {
					value = "[" + value + "," + value + "]"
					for i := range paths {
						paths = []string{strings.Replace(paths[i], ",", ",0,", 1),
							strings.Replace(paths[i], ",", ",1,", 1)}
					}
				}
				data := fmt.Sprintf(`{%q:%s}`, root, value)
				if strings.HasPrefix(shape.document, "mutation") {
					rootType = "Mutation"
				}
				if rootType == "Query" || want.err == nil {
					ran = append(ran, rootType+"."+root)
				} else {
					data = "null"
				}

				got := s.query(want.ctx, fmt.Sprintf(shape.document, tt.field),
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
					if err.Message != want.err.Error() {
						t.Errorf("%s, %s, %s: got %s, want the error %v", tt.field, actor,
							shape.document, got, want.err)
					}
				}
				slices.Sort(gotPaths) // fields run concurrently
				slices.Sort(ran)
				if string(response.Data) != data || !slices.Equal(gotPaths, paths) {
					t.Errorf("%s, %s, %s:\ngot  %s\nwant %s with errors at %s", tt.field, actor,
						shape.document, got, data, paths)
				}
				if !slices.Equal(s.ran(), ran) {
					t.Errorf("%s, %s, %s: %v ran, want %v", tt.field, actor, shape.document,
						s.ran(), ran)
				}
			}
		}
	}
}
