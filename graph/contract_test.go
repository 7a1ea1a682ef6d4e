package graph

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/formatter"
)

var update = flag.Bool("update", false, "write testdata/contract.graphqls")

// The schema that clients see equals testdata/contract.graphqls. If you change the schema, run this
// test with -update. The diff of the file shows what changes for clients.
func TestSchema_contract(t *testing.T) {
	schema, err := NewSchema(newResolver(t, fakeRealm{}, fakeLimiter{}))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	formatter.NewFormatter(&text).FormatSchema(schema.Schema())
	const name = "testdata/contract.graphqls"
	if *update {
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf(
			"the schema differs from %s at line %d: if the change is intended, run "+
				"go test ./graph -update",
			name, firstDifferentLine(text.String(), string(want)))
	}
}
