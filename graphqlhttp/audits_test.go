package graphqlhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// An audit is one of the serverAudits of graphql-http 1.23.1: its request, and the response that it
// requires. If graphql-http accepts several responses, the audit requires the strictest of them.
type audit struct {
	id        string
	request   func() *http.Request
	minStatus int
	maxStatus int
	media     string // required prefix of Content-Type
	noErrors  bool
	noData    bool
}

const (
	typenameBody = `{"query":"{ __typename }"}`
	typeQuery    = `query Type($name: String!) { __type(name: $name) { name } }`
	unknownField = `{"query":"{ 8f31403dfe404bccbb0e835f2629c6a7 }"}`
	badVariables = `{"query":"query CoerceFailure($id: ID!){ __typename }","variables":{"id":null}}`
	syntaxError  = `{"query":"{"}`
)

// auditPost returns a function that makes a POST of JSON, without an Accept header if accept is
// empty.
func auditPost(accept, body string) func() *http.Request {
	return func() *http.Request {
		r := postBody(body)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		return r
	}
}

// auditGet returns a function that makes a GET, without an Accept header if accept is empty.
func auditGet(accept string, parameters url.Values) func() *http.Request {
	return func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/graphql?"+parameters.Encode(), nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		return r
	}
}

// newAudits returns the audits in the order of graphql-http.
func newAudits() []audit {
	audit200 := func(id, accept, body string) audit {
		return audit{id: id, request: auditPost(accept, body), minStatus: 200, maxStatus: 200}
	}
	audit200NoErrors := func(id, accept, body string) audit {
		return audit{id: id, request: auditPost(accept, body), minStatus: 200, maxStatus: 200,
			noErrors: true}
	}
	audit400 := func(id, accept, body string) audit {
		return audit{id: id, request: auditPost(accept, body), minStatus: 400, maxStatus: 400}
	}
	requireMedia := func(a audit, media string) audit { a.media = media; return a }
	requireNoData := func(a audit) audit { a.noData = true; return a }
	typeByGet := url.Values{"query": {typeQuery}, "variables": {`{"name":"sometype"}`}}
	typeByPost, _ := json.Marshal(map[string]any{"query": typeQuery,
		"variables": map[string]any{"name": "sometype"}})

	audits := []audit{
		requireMedia(audit200("22EB", typeGraphQLResponse, typenameBody), typeGraphQLResponse),
		requireMedia(audit200("4655", typeJSON, typenameBody), typeJSON),
		requireMedia(audit200("47DE", "*/*", typenameBody), typeJSON),
		requireMedia(audit200("80D8", "", typenameBody), typeJSON),
		audit200("82A3", "", typenameBody),
		{id: "BF61", minStatus: 200, maxStatus: 200, request: func() *http.Request {
			r := postBody(`{"query":"{ __type(name: \"Run🏃Swim🏊\") { name } }"}`)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			return r
		}},
		audit200("78D5", "", typenameBody),
		audit200("2C94", "", typenameBody),
		{id: "5A70", minStatus: 200, maxStatus: 200,
			request: auditGet("", url.Values{"query": {"{ __typename }"}})},
		{id: "9C48", minStatus: 400, maxStatus: 499,
			request: auditGet(typeGraphQLResponse,
				url.Values{"query": {"mutation { __typename }"}})},
		{id: "9ABE", minStatus: 400, maxStatus: 499, request: func() *http.Request {
			r := postBody(typenameBody)
			// fetch sends this Content-Type with a body that is a string.
			r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
			return r
		}},
		audit200("03D4", "", typenameBody),
		audit400("A5BF", "", ""),
		audit400("423L", typeGraphQLResponse, `{"notquery":"{ __typename }"}`),
	}
	wrongTypes := []string{`{"obj":"ect"}`, `0`, `false`, `["array"]`}
	for i, value := range wrongTypes {
		audits = append(audits, audit400(fmt.Sprintf("LKJ%d", i), "", `{"query":`+value+`}`))
	}
	audits = append(audits, audit200("34A2", typeGraphQLResponse, typenameBody),
		audit200NoErrors("13EE", typeJSON, typenameBody))
	for i, value := range wrongTypes {
		audits = append(audits,
			audit400(fmt.Sprintf("6C0%d", i), "",
				`{"operationName":`+value+`,"query":"{ __typename }"}`))
	}
	const namedBody = `{"operationName":"Query","query":"query Query { __typename }"}`
	audits = append(audits, audit200("8161", typeGraphQLResponse, namedBody),
		audit200NoErrors("B8B3", typeJSON, namedBody))
	for i, name := range []string{"variables", "operationName", "extensions"} {
		body := `{"query":"{ __typename }","` + name + `":null}`
		audits = append(audits,
			audit200NoErrors(fmt.Sprintf("94B%d", i), typeGraphQLResponse, body),
			audit200NoErrors(fmt.Sprintf("022%d", i), typeJSON, body))
	}
	wrongTypes[0] = `"string"`
	for i, value := range wrongTypes {
		audits = append(audits,
			audit400(fmt.Sprintf("476%d", i), "", `{"query":"{ __typename }","variables":`+value+
				`}`))
	}
	audits = append(audits,
		audit200("2EA1", typeGraphQLResponse, string(typeByPost)),
		audit200NoErrors("28B9", typeJSON, string(typeByPost)),
		audit{id: "D6D5", minStatus: 200, maxStatus: 200, noErrors: true,
			request: auditGet(typeGraphQLResponse, typeByGet)},
		audit{id: "6A70", minStatus: 200, maxStatus: 200, noErrors: true,
			request: auditGet(typeJSON, typeByGet)})
	for i, value := range wrongTypes {
		audits = append(audits,
			audit400(fmt.Sprintf("58B%d", i), "", `{"query":"{ __typename }","extensions":`+value+
				`}`))
	}
	const extendedBody = `{"query":"{ __typename }","extensions":{"some":"value"}}`
	return append(audits,
		audit200("428F", typeGraphQLResponse, extendedBody),
		audit200NoErrors("1B7A", typeJSON, extendedBody),
		audit400("B6DC", typeJSON, `{ "not a JSON`), audit400("BCF8", typeJSON, `{ "not a JSON`),
		audit400("B7N8", typeGraphQLResponse, `{ "not a JSON`),
		audit400("8764", "", `{"qeury":"{ __typename }"}`),
		audit400("3E3A", "", `{"qeury":"{ __typename }"}`), audit200("572B", typeJSON, syntaxError),
		audit200("FDE2", typeJSON, unknownField), audit200("7B9B", typeJSON, badVariables),
		audit400("865D", typeGraphQLResponse, syntaxError),
		audit400("556A", typeGraphQLResponse, syntaxError),
		requireNoData(audit400("D586", typeGraphQLResponse, syntaxError)),
		audit400("51FE", typeGraphQLResponse, unknownField),
		audit400("74FF", typeGraphQLResponse, unknownField),
		requireNoData(audit400("5E5B", typeGraphQLResponse, unknownField)),
		audit400("86EE", typeGraphQLResponse, badVariables))
}

// run sends the request of the audit. It returns how the audit failed, or "" if it succeeded.
func (a audit) run(t *testing.T, config Config, e executable) string {
	res := sendWith(t, config, e, a.request())
	var content map[string]json.RawMessage
	if err := json.Unmarshal(res.Body.Bytes(), &content); err != nil {
		return err.Error()
	}
	_, hasErrors := content["errors"]
	_, hasData := content["data"]
	switch {
	case res.Code < a.minStatus || res.Code > a.maxStatus:
		return fmt.Sprintf("status %d, want %d to %d", res.Code, a.minStatus, a.maxStatus)
	case !strings.HasPrefix(res.Header().Get("Content-Type"), a.media):
		return fmt.Sprintf("Content-Type %s, want %s", res.Header().Get("Content-Type"), a.media)
	case a.noErrors && hasErrors, a.noData && hasData:
		return "unexpected errors or data: " + res.Body.String()
	}
	return ""
}

// TestAudits sends the requests of graphql-http's audits and checks the responses. The audits
// themselves run in e2e, in Node against the whole server.
func TestAudits(t *testing.T) {
	audits := newAudits()
	if len(audits) != 61 {
		t.Errorf("%d audits, want the 61 of graphql-http 1.23.1", len(audits))
	}
	seenIDs := map[string]bool{}
	for _, a := range audits {
		if seenIDs[a.id] {
			t.Errorf("audit %s is listed twice", a.id)
		}
		seenIDs[a.id] = true
		failure := a.run(t, Config{AllowGET: true, Introspection: true}, introspectionResolvers())
		if failure != "" {
			t.Errorf("%s: %s", a.id, failure)
		}
	}
}

// TestAudits_withoutGET checks that without AllowGET, only the audits that use GET fail, and that a
// GET is rejected with status 405.
func TestAudits_withoutGET(t *testing.T) {
	var failedIDs []string
	for _, a := range newAudits() {
		if a.run(t, Config{Introspection: true}, introspectionResolvers()) != "" {
			failedIDs = append(failedIDs, a.id)
		}
	}
	if want := []string{"5A70", "D6D5", "6A70"}; !slices.Equal(failedIDs, want) {
		t.Errorf("without GET, audits %v fail, want %v", failedIDs, want)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		res := sendTo(t, newTransport(Config{Introspection: true}), resolvers(),
			httptest.NewRequest(method, "/graphql?query={leaf}", nil))
		allow := res.Header().Get("Allow")
		if res.Code != http.StatusMethodNotAllowed || allow != "OPTIONS, POST" ||
			codeOf(t, res) != "BAD_REQUEST" {
			t.Errorf("%s: %d, Allow %q, %s; want 405, Allow OPTIONS, POST and BAD_REQUEST", method,
				res.Code, allow, res.Body)
		}
	}
	res := sendTo(t, newTransport(Config{Introspection: true}), resolvers(),
		httptest.NewRequest(http.MethodOptions, "/graphql", nil))
	if res.Code != http.StatusNoContent || res.Header().Get("Allow") != "OPTIONS, POST" {
		t.Errorf("OPTIONS: %d, Allow %q, want 204, OPTIONS, POST", res.Code,
			res.Header().Get("Allow"))
	}
}
