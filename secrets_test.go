package cloakql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// TestSecrets_neverLeak sends a canary as a password, a one-time code, a token and a client secret,
// in valid and malformed requests of many kinds. Neither a response nor the log may contain it.
func TestSecrets_neverLeak(t *testing.T) {
	// Without quotes, the canary is lexed as a name and a malformed number, and an error may show
	// only one of them. So containsSecret searches for each part. Both parts are long enough not to
	// occur by chance in an address of a stack trace or in a request ID.
	const canary = "hunter2canary-9q8w7x6r"
	containsSecret := func(text string) bool { // eyJ is the start of every JWT
		return strings.Contains(text, "hunter2canary") || strings.Contains(text, "9q8w7x6r") ||
			strings.Contains(text, "eyJ")
	}
	kc := newFakeKeycloak(t, canary)
	config := testConfig(t, withKeycloak(kc), "KEYCLOAK_CLIENT_SECRET_KEY="+canary)
	noGrantConfig, wrongSecretConfig := config, config
	noGrantConfig.Client.ClientID = "no-direct-grants"
	wrongSecretConfig.Client.ClientSecret = identity.NewSecret(canary + " is wrong")
	panickingRealm := realmFunc(func(context.Context) error { panic(errors.New(canary)) })
	requests := []testRequest{}
	for _, name := range []string{"alice", "wrong-password", "unknown", "locked",
		"disabled", "disabled-wrong-password", "unready"} {
		requests = append(requests,
			testRequest{
				query: `mutation($u: String!, $p: String!) { login(username: $u, password: $p, ` +
					`otp: $p) { tokenType } }`, variables: map[string]any{"u": name, "p": canary},
			},
			testRequest{query: `mutation { login(username: "` + name + `", password: "` + canary +
				`") { tokenType } }`})
	}
	tokens := refusedTokens(t, kc, config)
	tokens["valid"] = signIn(t, kc).RefreshToken
	for _, token := range tokens {
		requests = append(requests,
			testRequest{query: `mutation { refresh(refreshToken: "` + token + `") { tokenType } }`},
			testRequest{query: `mutation { logout(refreshToken: "` + token + `") }`})
	}
	for _, document := range []string{
		`mutation { login(username: "alice", password: "hunter2canary-9q8w7x6r"`,
		`mutation { login(username: "alice", password: "hunter2canary-9q8w7x6r) { tokenType } }`,
		`mutation { login(username: "alice" password: hunter2canary-9q8w7x6r) { tokenType } }`,
		`mutation { login(username: "alice", passwort: "hunter2canary-9q8w7x6r") { tokenType } }`,
		`mutation { login(username: "alice", password: ["hunter2canary-9q8w7x6r"]) { tokenType } }`,
		`mutation { login(username: "alice", password: {x: "hunter2canary-9q8w7x6r"}) { ` +
			`tokenType } }`,
		`mutation { login(username: "alice", password: """hunter2canary-9q8w7x6r""") { nothing } }`,
		`mutation { login(username: "alice", password: "hunter2canary-9q8w7x6r") }`,
		`mutation { login(username: "alice", password: "p") { tokenType } login(username: ` +
			`"alice", password: "hunter2canary-9q8w7x6r") { tokenType } }`,
		`mutation($p: String = "hunter2canary-9q8w7x6r") { login(username: "alice", password: ` +
			`$p) { tokenType } }`,
		`mutation($p: Int = "hunter2canary-9q8w7x6r") { logout(refreshToken: $p) }`,
		`mutation { refresh(refreshToken: "hunter2canary-9q8w7x6r") { tokenType } }`,
		`mutation { logout(refreshToken: "hunter2canary-9q8w7x6r") }`,
		`mutation { logout(refreshToken: "hunter2canary-9q8w7x6r\u0001") }`,
		`{ me { id(x: "hunter2canary-9q8w7x6r") } }`,
		`"hunter2canary-9q8w7x6r"`,
	} {
		requests = append(requests, testRequest{query: document},
			testRequest{query: document, accept: "application/graphql-response+json"})
	}
	requests = append(requests,
		testRequest{body: `{"query": "mutation { logout }", "variables": {"p": ` +
			`"hunter2canary-9q8w7x6r"`},
		testRequest{body: `hunter2canary-9q8w7x6r`},
		testRequest{body: `{"query": ["hunter2canary-9q8w7x6r"]}`},
		testRequest{
			body: `{"query": "{ me { id } }", "operationName": "hunter2canary-9q8w7x6r"}`},
		testRequest{
			body: `{"query": "{ me { id } }", "variables": "hunter2canary-9q8w7x6r"}`},
		testRequest{body: `query=hunter2canary-9q8w7x6r`,
			contentType: "application/x-www-form-urlencoded"},
		testRequest{query: `mutation($p: String!) { logout(refreshToken: $p) }`,
			variables: map[string]any{"p": []string{canary}}},
		testRequest{query: `mutation($p: String!) { logout(refreshToken: $p) }`,
			variables: map[string]any{"p": map[string]any{canary: canary}}},
		testRequest{query: `{ me { id } }`, authorization: "Bearer " + canary},
		testRequest{query: `{ me { id } }`, authorization: "Bearer " + canary + " " + canary},
		testRequest{query: `{ me { id } }`, authorization: canary},
	)
	for _, s := range []*testServer{newTestServer(t, config, nil),
		newTestServer(t, noGrantConfig, nil),
		newTestServer(t, wrongSecretConfig, nil), newTestServer(t, config, panickingRealm)} {
		for _, fault := range []keycloaktest.Fault{{}, {Status: 500},
			{Status: 502, Body: "<html>Bad Gateway</html>"}, {Disconnect: true}} {
			repair := kc.Fail(fault)
			for _, request := range requests {
				if response, body := s.do(t, request); containsSecret(body) ||
					containsSecret(fmt.Sprint(response.Header)) {
					t.Errorf("%+v: got the response\n%s\nwant neither the canary nor a token in it",
						request, body)
				}
			}
			repair()
		}
		for line := range strings.Lines(s.log.String()) {
			if containsSecret(line) {
				t.Errorf("logged %s, want neither the canary nor a token", line)
			}
		}
		if s.log.String() == "" {
			t.Error("the log is empty, want lines about the requests")
		}
	}
}
