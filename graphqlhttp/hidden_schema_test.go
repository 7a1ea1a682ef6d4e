package graphqlhttp

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// leakPattern matches the messages from which the tool clairvoyance recovers a schema: suggestions,
// and messages with names that the client didn't write.
var leakPattern = regexp.MustCompile(
	`Did you mean|Cannot query field|of type|on type|must (not )?have a selection|argument "|is ` +
		`required|Unknown (type|argument)|expecting type|can never be`)

// schemaProbes has the queries with which such tools probe a server. Each query has a list of names
// of the schema that its error must not contain.
var schemaProbes = map[string][]string{
	"{ canary }":                              {"Query"},
	"{ person }":                              {"Person"},
	"{ person { canary } }":                   {"Person"},
	"{ leaf { canary } }":                     {"Int"},
	"{ need }":                                {`\"s\"`, "String"},
	"{ need(canary: 1) }":                     {"Query", `\"s\"`, "String"},
	"{ need(s: 7) }":                          {"String"},
	"{ need(s: {}) }":                         {"String"},
	"{ echo(color: canary) }":                 {"Color", "RED", "GREEN"},
	"{ echo(in: {canary: 1}) }":               {"In\\"},
	"{ echo(in: 7) }":                         {"In\\"},
	"query ($v: Boolean) { need(s: $v) }":     {"String"},
	"mutation { canary }":                     {"Mutation"},
	"mutation { login }":                      {"Token", "username"},
	"subscription { canary }":                 {"Subscription"},
	"{ ... on Token { text } }":               {"Query"},
	"{ ... on Color { text } }":               {"Query"},
	"{ __schema { canary } }":                 {"__Schema"},
	"{ __type(canary: 1) { name } }":          {"__Type", "name"},
	"{ a: leaf a: person { name } }":          {"person", "Person"},
	"query ($v: Token) { leaf }":              {"Token\\", "object"},
	"{ leaf @tag(canary: 1) }":                {"name"},
	"{ leaf @deprecated }":                    {"FIELD_DEFINITION"},
	"query ($v: In) { echo(in: $v) need }":    {"String"},
	"{ leaf person { name { canary } nam } }": {"Person", "String"},
}

// TestSchema_hidden checks that without introspection, errors reveal no names of the schema.
func TestSchema_hidden(t *testing.T) {
	for query, secrets := range schemaProbes {
		res := sendWith(t, Config{AllowGET: true}, resolvers(), postQuery(query))
		text := res.Body.String()
		if len(res.outcome.Codes) == 0 {
			t.Errorf("%s: %s, want an error", query, text)
		}
		if found := leakPattern.FindString(text); found != "" {
			t.Errorf("%s: %s, want no %q in it", query, text, found)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s, want no %q in it", query, text, secret)
			}
		}
		if !strings.Contains(text, `"line":1`) {
			t.Errorf("%s: %s, want a location in it", query, text)
		}
	}
	res := sendWith(t, Config{AllowGET: true}, resolvers(), postQuery("{ canary }"))
	if want := `{"errors":[{"message":"The document doesn't fit the ` +
		`schema","locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}` + "\n"; res.Body.String() != want {
		t.Errorf("body %s, want %s", res.Body, want)
	}
	// Names that the client wrote may be quoted.
	for query, want := range map[string]string{
		"{ ...F }":                          `Unknown fragment \"F\".`,
		"query ($v: Int) { leaf }":          `Variable \"$v\" is never used`,
		"{ need(s: $s) }":                   `Variable \"$s\" is not defined.`,
		"query A { leaf } query A { leaf }": `There can be only one operation named \"A\".`,
	} {
		res := sendWith(t, Config{AllowGET: true}, resolvers(), postQuery(query))
		if !strings.Contains(res.Body.String(), want) {
			t.Errorf("%s: %s, want %s in it", query, res.Body, want)
		}
	}
}

// TestSchema_shown checks that with introspection, the same probes reveal names. Otherwise,
// TestSchema_hidden would prove nothing.
func TestSchema_shown(t *testing.T) {
	leaks := 0
	for query := range schemaProbes {
		if leakPattern.MatchString(send(t, postQuery(query)).Body.String()) {
			leaks++
		}
	}
	if leaks < 12 {
		t.Errorf("%d of %d probes reveal names, want at least 12", leaks, len(schemaProbes))
	}
}

// TestMutation_crossSite checks that a page of another site can't run a mutation with the requests
// that forms, images and scripts send without a preflight.
func TestMutation_crossSite(t *testing.T) {
	const mutation = `{"query":"mutation { change }"}`
	e := resolvers()
	e["change"] = nil // panics if it runs
	var requests []*http.Request
	for _, media := range []string{"", "text/plain", "text/plain; charset=utf-8",
		"application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
		"text/plain;application/json", "application/json, text/plain"} {
		r := postBody(mutation)
		r.Header.Set("Content-Type", media)
		requests = append(requests, r)
	}
	for _, target := range []string{"/?query=mutation{change}",
		"/?query=query+Q{leaf}+mutation+M{change}&operationName=M"} {
		r, _ := http.NewRequest(http.MethodGet, target, nil)
		requests = append(requests, r)
	}
	for _, r := range requests {
		r.Header.Set("Origin", "https://elsewhere.example")
		res := sendWith(t, Config{AllowGET: true, Introspection: true}, e, r)
		if res.Code != http.StatusUnsupportedMediaType && res.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s, Content-Type %q: %d %s, want 415 or 405", r.Method, r.URL,
				r.Header.Get("Content-Type"), res.Code, res.Body)
		}
	}
}
