package graphqlhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// An audit is what one of graphql-http 1.23.1's serverAudits sends, and the strictest of what it
// wants.
type audit struct {
	id       string
	request  func() *http.Request
	least    int // of the status
	most     int
	media    string // that Content-Type begins with
	noErrors bool
	noData   bool
}

const (
	typenameQuery = `{"query":"{ __typename }"}`
	typeQuery     = `query Type($name: String!) { __type(name: $name) { name } }`
	notThere      = `{"query":"{ 8f31403dfe404bccbb0e835f2629c6a7 }"}`
	coerceFailure = `{"query":"query CoerceFailure($id: ID!){ __typename }","variables":{"id":null}}`
	nothingQuery  = `{"query":"{"}`
	plain         = "application/json"
	typed         = "application/graphql-response+json"
)

// sent makes a POST of JSON; an empty accept is no header.
func sent(accept, body string) func() *http.Request {
	return func() *http.Request {
		r := postText(body)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		return r
	}
}

func got(accept string, parameters url.Values) func() *http.Request {
	return func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/graphql?"+parameters.Encode(), nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		return r
	}
}

// allAudits are in the order of the package's own list.
func allAudits() []audit {
	ok := func(id, accept, body string) audit {
		return audit{id: id, request: sent(accept, body), least: 200, most: 200}
	}
	clean := func(id, accept, body string) audit {
		return audit{id: id, request: sent(accept, body), least: 200, most: 200, noErrors: true}
	}
	bad := func(id, accept, body string) audit {
		return audit{id: id, request: sent(accept, body), least: 400, most: 400}
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
		{id: "BF61", least: 200, most: 200, request: func() *http.Request {
			r := postText(`{"query":"{ __type(name: \"Run🏃Swim🏊\") { name } }"}`)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			return r
		}},
		ok("78D5", "", typenameQuery),
		ok("2C94", "", typenameQuery),
		{id: "5A70", least: 200, most: 200, request: got("", url.Values{"query": {"{ __typename }"}})},
		{id: "9C48", least: 400, most: 499, request: got(typed, url.Values{"query": {"mutation { __typename }"}})},
		{id: "9ABE", least: 400, most: 499, request: func() *http.Request {
			r := postText(typenameQuery)
			// what fetch sends with a string
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
		audit{id: "D6D5", least: 200, most: 200, noErrors: true, request: got(typed, typeByGet)},
		audit{id: "6A70", least: 200, most: 200, noErrors: true, request: got(plain, typeByGet)})
	for i, value := range wrong {
		all = append(all,
			bad(fmt.Sprintf("58B%d", i), "", `{"query":"{ __typename }","extensions":`+value+`}`))
	}
	const extended = `{"query":"{ __typename }","extensions":{"some":"value"}}`
	return append(all,
		ok("428F", typed, extended), clean("1B7A", plain, extended),
		bad("B6DC", plain, `{ "not a JSON`), bad("BCF8", plain, `{ "not a JSON`),
		bad("B7N8", typed, `{ "not a JSON`), bad("8764", "", `{"qeury":"{ __typename }"}`),
		bad("3E3A", "", `{"qeury":"{ __typename }"}`), ok("572B", plain, nothingQuery),
		ok("FDE2", plain, notThere), ok("7B9B", plain, coerceFailure),
		bad("865D", typed, nothingQuery), bad("556A", typed, nothingQuery),
		withoutData(bad("D586", typed, nothingQuery)), bad("51FE", typed, notThere),
		bad("74FF", typed, notThere), withoutData(bad("5E5B", typed, notThere)),
		bad("86EE", typed, coerceFailure))
}

func (a audit) failure(t *testing.T, config Config, e executable) string {
	answer := askWith(t, config, e, a.request())
	var content map[string]json.RawMessage
	if err := json.Unmarshal(answer.Body.Bytes(), &content); err != nil {
		return err.Error()
	}
	_, errs := content["errors"]
	_, data := content["data"]
	switch {
	case answer.Code < a.least || answer.Code > a.most:
		return fmt.Sprintf("status %d, want %d to %d", answer.Code, a.least, a.most)
	case !strings.HasPrefix(answer.Header().Get("Content-Type"), a.media):
		return fmt.Sprintf("Content-Type %s, want %s", answer.Header().Get("Content-Type"), a.media)
	case a.noErrors && errs, a.noData && data:
		return answer.Body.String()
	}
	return ""
}

func introspective() executable {
	e := resolvers()
	e["__typename"] = func(context.Context, map[string]any) (any, error) { return "Query", nil }
	e["__type"] = func(context.Context, map[string]any) (any, error) { return nil, nil }
	return e
}

// The audits themselves run in node against the whole server; here each one's expectation, by its
// id.
func TestAudits(t *testing.T) {
	all := allAudits()
	if len(all) != 61 {
		t.Errorf("%d audits, want the 61 of graphql-http 1.23.1", len(all))
	}
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.id] {
			t.Errorf("audit %s is there twice", a.id)
		}
		seen[a.id] = true
		failure := a.failure(t, Config{AllowGET: true, Introspection: true}, introspective())
		if failure != "" {
			t.Errorf("%s: %s", a.id, failure)
		}
	}
}

// Without GET just the audits that need it fail, and they get a clear 405.
func TestAuditsWithoutGET(t *testing.T) {
	var failed []string
	for _, a := range allAudits() {
		if a.failure(t, Config{Introspection: true}, introspective()) != "" {
			failed = append(failed, a.id)
		}
	}
	if want := []string{"5A70", "D6D5", "6A70"}; !slices.Equal(failed, want) {
		t.Errorf("without GET fail %v, want %v", failed, want)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		a := askThrough(t, newTransport(Config{Introspection: true}), resolvers(),
			httptest.NewRequest(method, "/graphql?query={leaf}", nil))
		if a.Code != http.StatusMethodNotAllowed || a.Header().Get("Allow") != "OPTIONS, POST" ||
			codeOf(t, a) != "BAD_REQUEST" {
			t.Errorf("%s: %d, Allow %q, %s", method, a.Code, a.Header().Get("Allow"), a.Body)
		}
	}
	a := askThrough(t, newTransport(Config{Introspection: true}), resolvers(),
		httptest.NewRequest(http.MethodOptions, "/graphql", nil))
	if a.Code != http.StatusNoContent || a.Header().Get("Allow") != "OPTIONS, POST" {
		t.Errorf("OPTIONS: %d, Allow %q", a.Code, a.Header().Get("Allow"))
	}
}
