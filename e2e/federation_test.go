package e2e

import (
	"encoding/json"
	"testing"
)

// With FEDERATION=true, the server's schema can be composed with the schema of another subgraph. A
// gateway that forwards the token resolves the fields of User from both subgraphs.
func TestClients_federation(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	username, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "FEDERATION=true")
	want := map[string]string{
		"me, with orders of the other subgraph": `{"me":{"username":"` + username +
			`","orders":[{"number":1}]}} null`,
		"orders, with their owners": `{"orders":[{"number":1,"owner":{"username":"` + username +
			`"}},{"number":1,"owner":{"username":null}}]} ` +
			`[{"code":"FORBIDDEN","reason":"NOT_OWNER"}]`,
		"orders, without a token": `{"orders":[{"number":1,"owner":{"username":null}},` +
			`{"number":1,"owner":{"username":null}}]} [{"code":"UNAUTHENTICATED","reason":` +
			`"TOKEN_MISSING"},{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}]`,
	}
	lines := runNode[struct {
		Name         string
		Data, Errors json.RawMessage
	}](t, "federation.mjs", s.url+"/graphql", username, "secret")
	for _, line := range lines {
		if got := string(line.Data) + " " + string(line.Errors); got != want[line.Name] {
			t.Errorf("%s: %s, want %s", line.Name, got, want[line.Name])
		}
	}
	if len(lines) != len(want) {
		t.Errorf("got %d cases, want %d", len(lines), len(want))
	}
}
