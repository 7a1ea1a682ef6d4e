package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// apolloCases has the expected output for Apollo Client. Each line has a case, the client's result,
// and each HTTP request with the status, media type and codes of its response. "response" is short
// for application/graphql-response+json, and "json" for application/json.
const apolloCases = `
me, anonymous: error UNAUTHENTICATED/TOKEN_MISSING <- POST 200 response UNAUTHENTICATED/TOKEN_MISSING
login, wrong password: error INVALID_CREDENTIALS <- POST 200 response INVALID_CREDENTIALS
login: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
me: true <- POST 200 response
me, with descriptions: true <- POST 200 response
invalid, json: error GRAPHQL_VALIDATION_FAILED <- POST 200 json GRAPHQL_VALIDATION_FAILED
invalid, response: error GRAPHQL_VALIDATION_FAILED <- POST 400 response GRAPHQL_VALIDATION_FAILED
me, GET: true <- GET 200 response
me, persisted, first: true <- GET 400 response PERSISTED_QUERY_NOT_FOUND; POST 200 response
me, persisted, second: true <- GET 200 response
refresh, persisted: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 400 response PERSISTED_QUERY_NOT_FOUND; POST 200 response
refresh: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
logout: {"logout":true} <- POST 200 response
refresh, signed out: error INVALID_REFRESH_TOKEN/SESSION_ENDED <- POST 200 response INVALID_REFRESH_TOKEN/SESSION_ENDED
`

// urqlCases differs from apolloCases in that urql sends the text of a persisted query over GET too.
var urqlCases = strings.Replace(strings.Replace(apolloCases,
	"me, with descriptions: true <- POST 200 response\n", "", 1),
	"first: true <- GET 400 response PERSISTED_QUERY_NOT_FOUND; POST 200 response",
	"first: true <- GET 400 response PERSISTED_QUERY_NOT_FOUND; GET 200 response", 1)

// graphqlRequestCases has the expected output for graphql-request. It has no cases with persisted
// queries, which graphql-request doesn't support, but it has a case with a batch, which the server
// rejects.
const graphqlRequestCases = `
me, anonymous: error UNAUTHENTICATED/TOKEN_MISSING <- POST 200 response UNAUTHENTICATED/TOKEN_MISSING
login, wrong password: error INVALID_CREDENTIALS <- POST 200 response INVALID_CREDENTIALS
login: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
me: true <- POST 200 response
invalid, json: error GRAPHQL_VALIDATION_FAILED <- POST 200 json GRAPHQL_VALIDATION_FAILED
invalid, response: error GRAPHQL_VALIDATION_FAILED <- POST 400 response GRAPHQL_VALIDATION_FAILED
me, GET: true <- GET 200 response
batch: error BAD_REQUEST <- POST 400 response BAD_REQUEST
refresh: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
logout: {"logout":true} <- POST 200 response
refresh, signed out: error INVALID_REFRESH_TOKEN/SESSION_ENDED <- POST 200 response INVALID_REFRESH_TOKEN/SESSION_ENDED
`

// relayCases has the expected output for Relay. If a nullable field fails, Relay returns the data,
// with null for the field, along with the error.
const relayCases = `
me, anonymous: {"me":null,"errors":["UNAUTHENTICATED/TOKEN_MISSING"]} <- POST 200 response UNAUTHENTICATED/TOKEN_MISSING
login, wrong password: error INVALID_CREDENTIALS <- POST 200 response INVALID_CREDENTIALS
login: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
me: true <- POST 200 response
invalid, json: error GRAPHQL_VALIDATION_FAILED <- POST 200 json GRAPHQL_VALIDATION_FAILED
invalid, response: error GRAPHQL_VALIDATION_FAILED <- POST 400 response GRAPHQL_VALIDATION_FAILED
me, persisted, first: true <- POST 400 response PERSISTED_QUERY_NOT_FOUND; POST 200 response
me, persisted, second: true <- POST 200 response
refresh, persisted: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 400 response PERSISTED_QUERY_NOT_FOUND; POST 200 response
refresh: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
logout: {"logout":true} <- POST 200 response
refresh, signed out: error INVALID_REFRESH_TOKEN/SESSION_ENDED <- POST 200 response INVALID_REFRESH_TOKEN/SESSION_ENDED
`

// withoutPersisted returns the cases for a server without persisted queries: after one
// PERSISTED_QUERY_NOT_SUPPORTED, Apollo Client and urql stop sending hashes. secondRequest is the
// request in the case "me, persisted, second", and refreshRequest is the request in the case
// "refresh, persisted".
func withoutPersisted(cases, secondRequest, refreshRequest string) string {
	return strings.NewReplacer(
		"PERSISTED_QUERY_NOT_FOUND", "PERSISTED_QUERY_NOT_SUPPORTED",
		"me, persisted, second: true <- GET 200 response", "me, persisted, second: true <- "+
			secondRequest,
		"POST 400 response PERSISTED_QUERY_NOT_FOUND; POST 200 response\nrefresh:",
		refreshRequest+"\nrefresh:",
	).Replace(cases)
}

// trustedCases has the expected output for a client with trusted documents.
const trustedCases = `
login, by ID: {"tokenType":"Bearer","accessToken":3,"refreshToken":3} <- POST 200 response
me, by ID: true <- GET 200 response
me, by text: true <- POST 200 response
other ID: error OPERATION_NOT_ALLOWED <- GET 400 response OPERATION_NOT_ALLOWED
other text: error OPERATION_NOT_ALLOWED <- POST 400 response OPERATION_NOT_ALLOWED
`

// Third-party clients work with the server, and exchange the expected requests and responses with
// it.
func TestClients(t *testing.T) {
	t.Parallel()
	if !hasNode(t) {
		return
	}
	manifest := filepath.Join(t.TempDir(), "manifest.json")
	command := exec.Command("node", "trusted.mjs", "manifest")
	command.Dir = "node"
	content, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, content, 0o600); err != nil {
		t.Fatal(err)
	}
	const noPersistedQueries = "PERSISTED_QUERIES_BYTES=0"
	for _, tt := range []struct {
		script, name string
		settings     []string
		want         string
	}{
		{"apollo.mjs", "", nil, apolloCases},
		{"apollo.mjs", "no persisted queries", []string{noPersistedQueries},
			withoutPersisted(apolloCases, "POST 200 response", "POST 200 response")},
		{"urql.mjs", "", nil, urqlCases},
		{"urql.mjs", "no persisted queries", []string{noPersistedQueries},
			withoutPersisted(urqlCases, "GET 200 response", "POST 200 response")},
		{"graphql-request.mjs", "", nil, graphqlRequestCases},
		{"relay.mjs", "", nil, relayCases},
		{"trusted.mjs", "trusted documents enforced",
			[]string{"TRUSTED_DOCUMENTS=" + manifest,
				"TRUSTED_DOCUMENTS_MODE=enforce"}, trustedCases},
	} {
		t.Run(strings.TrimSuffix(tt.script+" "+tt.name, " "), func(t *testing.T) {
			t.Parallel()
			user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
			s := serve(t, sharedKeycloak,
				append([]string{"RUNTIME_ENV=prod", "GET_QUERIES=true"}, tt.settings...)...)
			var got strings.Builder
			for _, line := range runNode[struct {
				Case     string
				Result   json.RawMessage
				Requests []string
			}](t, tt.script, s.url+"/graphql", user, "secret") {
				var result string
				if err := json.Unmarshal(line.Result, &result); err != nil { // such as undefined
					result = string(line.Result)
				}
				fmt.Fprintf(&got, "%s: %s <- %s\n", line.Case, result,
					strings.Join(line.Requests, "; "))
			}
			shorten := strings.NewReplacer("application/graphql-response+json", "response",
				"application/json", "json")
			compareLines(t, shorten.Replace(got.String()), tt.want)
		})
	}
}

// compareLines compares two texts, and reports the lines that differ.
func compareLines(t *testing.T, got, want string) {
	t.Helper()
	gotLines, wantLines := strings.Split(strings.TrimSpace(got), "\n"),
		strings.Split(strings.TrimSpace(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var gotLine, wantLine string
		if i < len(gotLines) {
			gotLine = gotLines[i]
		}
		if i < len(wantLines) {
			wantLine = wantLines[i]
		}
		if gotLine != wantLine {
			t.Errorf("\n got %s\nwant %s", gotLine, wantLine)
		}
	}
}
