package e2e

import (
	"maps"
	"slices"
	"testing"
)

// auditCount is the number of audits in graphql-http (https://github.com/graphql/graphql-http),
// which check a server against the GraphQL-over-HTTP specification.
const auditCount = 61

// These audits fail if GET queries or introspection are off: 5A70, D6D5 and 6A70 send a query over
// GET; D6D5, 6A70 and 28B9 need a result for __type. (BF61 and 2EA1 send __type too, but check only
// the status; 9C48 expects that a mutation over GET is rejected.)
var (
	getAudits                = []string{"5A70", "6A70", "D6D5"}
	introspectionAudits      = []string{"28B9", "6A70", "D6D5"}
	getOrIntrospectionAudits = []string{"28B9", "5A70", "6A70", "D6D5"}
)

// The server passes all audits of graphql-http, except those that need a feature that is off.
func TestAudits(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	for _, tt := range []struct {
		name       string
		settings   []string
		wantFailed []string
	}{
		{"GET and introspection on", nil, nil},
		{"GET off", []string{"GET_QUERIES=false"}, getAudits},
		{"introspection off", []string{"RUNTIME_ENV=prod", "GET_QUERIES=true"},
			introspectionAudits},
		{"GET and introspection off", []string{"RUNTIME_ENV=prod"}, getOrIntrospectionAudits},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, sharedKeycloak, tt.settings...)
			failures := map[string]string{}
			results := runNode[struct {
				ID, Name, Status, Reason string
			}](t, "audits.mjs", s.url+"/graphql")
			if len(results) != auditCount {
				t.Errorf("got %d audits, want %d", len(results), auditCount)
			}
			for _, r := range results {
				if r.Status != "ok" {
					failures[r.ID] = r.Status + ": " + r.Name + ": " + r.Reason
				}
			}
			if got := slices.Sorted(maps.Keys(failures)); !slices.Equal(got, tt.wantFailed) {
				t.Errorf("failed audits: %q, want %q", got, tt.wantFailed)
				for _, id := range slices.Sorted(maps.Keys(failures)) {
					t.Logf("%s %s", id, failures[id])
				}
			}
		})
	}
}
