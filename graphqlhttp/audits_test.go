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

// An audit is the request of one of graphql-http 1.23.1's serverAudits, and the strictest response
// that it checks for.
type audit struct {
	id        string
	request   func() *http.Request
	minStatus int
	maxStatus int
	media     string // prefix of Content-Type
	noErrors  bool
	noData    bool
}

const (
	typenameQuery = `{"query":"{ __typename }"}`
	typeQuery     = `query Type($name: String!) { __type(name: $name) { name } }`
	notThere      = `{"query":"{ 8f31403dfe404bccbb0e835f2629c6a7 }"}`
	coerceFailure = `{"query":"query CoerceFailure($id: ID!){ __typename }","variables":{"id":null}}`
	brokenQuery   = `{"query":"{"}`
)

// auditPost returns a function that makes a POST of JSON, without an Accept header if accept is
// empty.
func auditPost(accept, body string) func() *http.Request {
	return func() *http.Request {
		r := postText(body)
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

// allAudits returns the audits in the order of graphql-http.
func allAudits() []audit {
	ok := func(id, accept, body string) audit {
		return audit{id: id, request: auditPost(accept, body), minStatus: 200, maxStatus: 200}
	}
	clean := func(id, accept, body string) audit {
		return audit{id: id, request: auditPost(accept, body), minStatus: 200, maxStatus: 200,
			noErrors: true}
	}
	bad := func(id, accept, body string) audit {
		return audit{id: id, request: auditPost(accept, body), minStatus: 400, maxStatus: 400}
	}
	withMedia := func(a audit, media string) audit { a.media = media; return a }
	withoutData := func(a audit) audit { a.noData = true; return a }
	typeByGet := url.Values{"query": {typeQuery}, "variables": {`{"name":"sometype"}`}}
	typeByPost, _ := json.Marshal(map[string]any{"query": typeQuery,
		"variables": map[string]any{"name": "sometype"}})

	all := []audit{
		withMedia(ok("22EB", typed, typenameQuery), typed),
		withMedia(ok("4655", plain, typenameQuery), plain),
		withMedia(ok("47DE", "*/*", typenameQuery), plain),
		withMedia(ok("80D8", "", typenameQuery), plain),
		ok("82A3", "", typenameQuery),
		{id: "BF61", minStatus: 200, maxStatus: 200, request: func() *http.Request {
			r := postText(`{"query":"{ __type(name: \"Run🏃Swim🏊\") { name } }"}`)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			return r
		}},
		ok("78D5", "", typenameQuery),
		ok("2C94", "", typenameQuery),
		{id: "5A70", minStatus: 200, maxStatus: 200, request: auditGet("", url.Values{"query": {"{ __typename }"}})},
		{id: "9C48", minStatus: 400, maxStatus: 499, request: auditGet(typed, url.Values{"query": {"mutation { __typename }"}})},
		{id: "9ABE", minStatus: 400, maxStatus: 499, request: func() *http.Request {
			r := postText(typenameQuery)
			// The default of fetch for a string.
			r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
			return r
		}},
		ok("03D4", "", typenameQuery),
		bad("A5BF", "", ""),
		bad("423L", typed, `{"notquery":"{ __typename }"}`),
	}
	wrong := []string{`{"obj":"ect"}`, `0`, `false`, `["array"]`}
	for i, value := range wrong {
		all = append(all, bad(fmt.Sprintf("LKJ%d", i), "", `{"query":`+value+`}`))
	}
	all = append(all, ok("34A2", typed, typenameQuery), clean("13EE", plain, typenameQuery))
	for i, value := range wrong {
		all = append(all,
			bad(fmt.Sprintf("6C0%d", i), "",
				`{"operationName":`+value+`,"query":"{ __typename }"}`))
	}
	const named = `{"operationName":"Query","query":"query Query { __typename }"}`
	all = append(all, ok("8161", typed, named), clean("B8B3", plain, named))
	for i, name := range []string{"variables", "operationName", "extensions"} {
		body := `{"query":"{ __typename }","` + name + `":null}`
		all = append(all, clean(fmt.Sprintf("94B%d", i), typed, body),
			clean(fmt.Sprintf("022%d", i), plain, body))
	}
	wrong[0] = `"string"`
	for i, value := range wrong {
		all = append(all,
			bad(fmt.Sprintf("476%d", i), "", `{"query":"{ __typename }","variables":`+value+`}`))
	}
	all = append(all,
		ok("2EA1", typed, string(typeByPost)), clean("28B9", plain, string(typeByPost)),
		audit{id: "D6D5", minStatus: 200, maxStatus: 200, noErrors: true,
			request: auditGet(typed, typeByGet)},
		audit{id: "6A70", minStatus: 200, maxStatus: 200, noErrors: true,
			request: auditGet(plain, typeByGet)})
	for i, value := range wrong {
		all = append(all,
			bad(fmt.Sprintf("58B%d", i), "", `{"query":"{ __typename }","extensions":`+value+`}`))
	}
	const extended = `{"query":"{ __typename }","extensions":{"some":"value"}}`
	return append(all,
		ok("428F", typed, extended), clean("1B7A", plain, extended),
		bad("B6DC", plain, `{ "not a JSON`), bad("BCF8", plain, `{ "not a JSON`),
		bad("B7N8", typed, `{ "not a JSON`), bad("8764", "", `{"qeury":"{ __typename }"}`),
		bad("3E3A", "", `{"qeury":"{ __typename }"}`), ok("572B", plain, brokenQuery),
		ok("FDE2", plain, notThere), ok("7B9B", plain, coerceFailure),
		bad("865D", typed, brokenQuery), bad("556A", typed, brokenQuery),
		withoutData(bad("D586", typed, brokenQuery)), bad("51FE", typed, notThere),
		bad("74FF", typed, notThere), withoutData(bad("5E5B", typed, notThere)),
		bad("86EE", typed, coerceFailure))
}

// failure runs the audit and returns how it failed, or "" if it succeeded.
func (a audit) failure(t *testing.T, config Config, e executable) string {
	res := sendWith(t, config, e, a.request())
	var content map[string]json.RawMessage
	if err := json.Unmarshal(res.Body.Bytes(), &content); err != nil {
		return err.Error()
	}
	_, errs := content["errors"]
	_, data := content["data"]
	switch {
	case res.Code < a.minStatus || res.Code > a.maxStatus:
		return fmt.Sprintf("status %d, want %d to %d", res.Code, a.minStatus, a.maxStatus)
	case !strings.HasPrefix(res.Header().Get("Content-Type"), a.media):
		return fmt.Sprintf("Content-Type %s, want %s", res.Header().Get("Content-Type"), a.media)
	case a.noErrors && errs, a.noData && data:
		return res.Body.String()
	}
	return ""
}

// TestAudits runs the same requests as graphql-http's audits. The audits themselves run in Node
// against the whole server, in e2e.
func TestAudits(t *testing.T) {
	all := allAudits()
	if len(all) != 61 {
		t.Errorf("%d audits, want the 61 of graphql-http 1.23.1", len(all))
	}
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.id] {
			t.Errorf("audit %s is listed twice", a.id)
		}
		seen[a.id] = true
		failure := a.failure(t, Config{AllowGET: true, Introspection: true}, introspective())
		if failure != "" {
			t.Errorf("%s: %s", a.id, failure)
		}
	}
}

// Without AllowGET, only the audits that use GET fail, with status 405.
func TestAudits_withoutGET(t *testing.T) {
	var failed []string
	for _, a := range allAudits() {
		if a.failure(t, Config{Introspection: true}, introspective()) != "" {
			failed = append(failed, a.id)
		}
	}
	if want := []string{"5A70", "D6D5", "6A70"}; !slices.Equal(failed, want) {
		t.Errorf("without GET, audits %v fail, want %v", failed, want)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		res := sendTo(t, newTransport(Config{Introspection: true}), resolvers(),
			httptest.NewRequest(method, "/graphql?query={leaf}", nil))
		allow := res.Header().Get("Allow")
		if res.Code != http.StatusMethodNotAllowed || allow != "OPTIONS, POST" ||
			codeOf(t, res) != "BAD_REQUEST" {
			t.Errorf("%s: %d, Allow %q, %s", method, res.Code, allow, res.Body)
		}
	}
	res := sendTo(t, newTransport(Config{Introspection: true}), resolvers(),
		httptest.NewRequest(http.MethodOptions, "/graphql", nil))
	if res.Code != http.StatusNoContent || res.Header().Get("Allow") != "OPTIONS, POST" {
		t.Errorf("OPTIONS: %d, Allow %q", res.Code, res.Header().Get("Allow"))
	}
}
