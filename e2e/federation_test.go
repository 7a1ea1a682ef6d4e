package e2e

import (
	"encoding/json"
	"testing"
)

// A server with FEDERATION composes with another subgraph, and a gateway that forwards the token
// finds the users of both.
func TestClients_federation(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	username, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "FEDERATION=true")
	want := map[string]string{
		"from us to the other": `{"me":{"username":"` + username +
			`","orders":[{"number":1}]}} null`,
		"from the other to us": `{"orders":[{"number":1,"owner":{"username":"` + username +
			`"}},{"number":1,"owner":{"username":null}}]} ` +
			`[{"code":"FORBIDDEN","reason":"NOT_OWNER"}]`,
		"without a token": `{"orders":[{"number":1,"owner":{"username":null}},` +
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
