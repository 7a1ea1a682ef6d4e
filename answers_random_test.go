package cloakql_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A cached answer equals the answer of the resolvers byte for byte. The test sends each random
// operation to a server without the cache, and several times to a server with the cache. The
// status, the headers, the body and the Outcome must be the same.
func TestAnswerCache_sameBytes(t *testing.T) {
	const operationCount = 2000
	kc := newFakeKeycloak(t, clientSecret)
	a, calls := countMe()
	newObserved := func(config cloakql.Config) *observedHandler {
		h := &observedHandler{}
		config.Log = slog.New(slog.DiscardHandler)
		config.GraphQL.AllowGET = true
		config.GraphQL.Observe = func(_ context.Context, outcome graphqlhttp.Outcome) {
			h.outcome = outcome
		}
		h.Handler = newServer(t, config).Handler()
		return h
	}
	withCache := newObserved(applicationConfig(t, kc, a))
	withoutCache := newObserved(testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod",
		"ANSWER_CACHE=off"))

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &operationWriter{Rand: rand.New(rand.NewPCG(seed, 0))}
	callers := newCallers(t, kc)
	var sent []graphqlRequest
	ran, kept := 0, 0
	check := func(r graphqlRequest, authorization, media string) {
		t.Helper()
		want := withoutCache.send(r, authorization, media)
		if got := withCache.send(r, authorization, media); got != want {
			t.Errorf("%s %s, %s, %.60s:\n got %s\nwant %s", r.method, r.text, media, authorization,
				got,
				want)
		}
	}
	for range operationCount {
		r, authorization := w.newRequest(), callers.next(w.Rand)
		media, otherMedia := "application/json", "application/graphql-response+json"
		if w.oneIn(2) {
			media, otherMedia = otherMedia, media
		}
		before := calls.Load()
		check(r, authorization, media)
		first := calls.Load() - before
		check(r, authorization, media)
		if second := calls.Load() - before - first; first > 0 {
			ran++
			if second == 0 {
				kept++
			}
		}
		check(r, authorization, otherMedia)
		// An operation that was sent before, perhaps for another caller.
		sent = append(sent, r)
		check(sent[w.IntN(len(sent))], callers.next(w.Rand), media)
		if t.Failed() {
			return
		}
	}
	t.Logf("me ran for %d of %d operations, and the answers to %d were kept", ran, operationCount,
		kept)
	if ran < operationCount/3 || kept < ran*9/10 {
		t.Errorf("me ran for %d of %d operations, and the answers to %d were kept; want at least "+
			"a "+
			"third, and 9 of 10 of these", ran, operationCount, kept)
	}
}

// An observedHandler is a server's handler with the last Outcome that it reported.
type observedHandler struct {
	http.Handler
	outcome graphqlhttp.Outcome
}

// A graphqlRequest is a random request. text is the body of a POST, or the query string.
type graphqlRequest struct{ method, text string }

// send sends a request and returns the response and the outcome, without the request ID and the
// duration.
func (h *observedHandler) send(r graphqlRequest, authorization, media string) string {
	body := r.text
	if r.method != http.MethodPost {
		body = ""
	}
	request := httptest.NewRequest(r.method, "/graphql", strings.NewReader(body))
	if r.method != http.MethodPost {
		request.URL.RawQuery = r.text
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", media)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	recorder.Header().Del("X-Request-Id")
	h.outcome.RequestID, h.outcome.Duration = "", 0
	slices.Sort(h.outcome.Codes)
	return fmt.Sprintf("%d %v %s\n%+v", recorder.Code, recorder.Header(),
		sortErrors(recorder.Body.String()), h.outcome)
}

// sortErrors returns the body of a response with its errors in a fixed order: gqlgen resolves root
// fields concurrently. A body without errors isn't changed.
func sortErrors(body string) string {
	var content struct{ Data, Extensions json.RawMessage }
	var errs struct{ Errors []json.RawMessage }
	if json.Unmarshal([]byte(body), &errs) != nil || len(errs.Errors) < 2 ||
		json.Unmarshal([]byte(body), &content) != nil {
		return body
	}
	slices.SortFunc(errs.Errors, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	return fmt.Sprintf("%s %s %s", errs.Errors, content.Data, content.Extensions)
}

// A callerList makes Authorization headers for several users.
type callerList struct {
	mint    []func() string // each makes a header with a new token of one user
	current []string        // the current header of each user
	uses    []int           // how often each user's headers were used
	other   []string        // headers without a valid token
}

// newCallers returns a callerList whose users have different claims.
func newCallers(t *testing.T, kc *keycloaktest.Server) *callerList {
	t.Helper()
	c := &callerList{other: []string{"", "Bearer", "Bearer x.y.z", "Basic YWxpY2U6YWxpY2U=",
		bearer(t, kc, keycloaktest.TokenSpec{Lifetime: -1e12}),
		bearer(t, kc, keycloaktest.TokenSpec{Claims: map[string]any{"aud": "billing"}})}}
	for _, claims := range []map[string]any{
		{},
		{"preferred_username": "alice", "email": "alice@example.com", "email_verified": true,
			"name": "Alice <&> \u2028 Åström \"A\"", "given_name": "", "family_name": "Å",
			"realm_access": map[string]any{"roles": []string{"user", "admin"}},
			"resource_access": map[string]any{"shop": map[string]any{"roles": []string{"a", "b"}},
				"api": map[string]any{"roles": []string{}}},
			"groups": []string{"/staff", "/staff/it"}, "scope": "openid email profile",
			"acr": "1",
			"sid": "d3b1", "auth_time": 1767268800},
		{"preferred_username": "bob", "email_verified": false, "scope": "", "acr": "0",
			"sid": "e4c2",
			"nested": map[string]any{"list": []any{1, 1.5, nil, "x", map[string]any{"": "<>"}},
				"big": 1e300}},
		{"preferred_username": "service-account-shop", "client_id": "shop", "groups": []string{}},
	} {
		c.mint = append(c.mint, func() string {
			return bearer(t, kc, keycloaktest.TokenSpec{Claims: claims, Algorithm: "ES256"})
		})
	}
	c.current, c.uses = make([]string, len(c.mint)), make([]int, len(c.mint))
	return c
}

// next returns the header of a random caller. It often renews tokens, because the cache has room
// for only some answers per token.
func (c *callerList) next(random *rand.Rand) string {
	n := random.IntN(len(c.mint) + 1)
	if n == len(c.mint) {
		return c.other[random.IntN(len(c.other))]
	}
	if c.uses[n]%15 == 0 {
		c.current[n] = c.mint[n]()
	}
	c.uses[n]++
	return c.current[n]
}

// An operationWriter writes random requests. Most of them are valid.
type operationWriter struct {
	*rand.Rand
	fragments []randomFragment
	aliases   int
}

// A randomFragment is a fragment, with the variables and the fragments that it uses.
type randomFragment struct {
	name, on, selections string
	used                 usedNames
}

// usedNames has the variables that a selection set uses, and its fragments' definitions.
type usedNames struct {
	variables map[string]bool
	fragments map[string]string
}

func newUsedNames() usedNames {
	return usedNames{variables: map[string]bool{}, fragments: map[string]string{}}
}

func (u usedNames) add(other usedNames) {
	maps.Copy(u.variables, other.variables)
	maps.Copy(u.fragments, other.fragments)
}

// oneIn returns true once in n calls, on average.
func (w *operationWriter) oneIn(n int) bool { return w.IntN(n) == 0 }

// choose returns one of the choices.
func (w *operationWriter) choose(choices ...string) string { return choices[w.IntN(len(choices))] }

// fieldTypes has the fields of each type, with their types. The type is empty if the field is a
// leaf.
var fieldTypes = map[string]map[string]string{
	"Query": {"me": "User"},
	"User": {"id": "", "username": "", "email": "", "emailVerified": "", "name": "",
		"givenName":  "",
		"familyName": "", "realmRoles": "", "clientRoles": "ClientRoles", "groups": "",
		"organizations": "Organization", "token": "TokenInfo"},
	"ClientRoles":  {"client": "", "roles": ""},
	"Organization": {"alias": "", "id": "", "groups": ""},
	"TokenInfo": {"scope": "", "expiresAt": "", "acr": "", "session": "Session",
		"impersonated": "", "claims": ""},
	"Session": {"id": "", "authenticatedAt": ""},
}

// newRequest returns a random request.
func (w *operationWriter) newRequest() graphqlRequest {
	w.fragments, w.aliases = nil, 0
	for n := range w.IntN(4) {
		on := w.choose("Query", "User", "User", "TokenInfo", "Session", "ClientRoles",
			"Organization")
		used := newUsedNames()
		w.fragments = append(w.fragments, randomFragment{name: fmt.Sprint("F", n), on: on,
			selections: w.selections(on, used), used: used})
	}
	names, document, fragments := []string{}, "", map[string]string{}
	for n := range 1 + max(0, w.IntN(5)-2) {
		used := newUsedNames()
		selections := w.selections("Query", used)
		name := w.choose("Q", "Me", strings.Repeat("Long", 30)) + fmt.Sprint(n)
		names = append(names, name)
		var variables []string
		for _, name := range slices.Sorted(maps.Keys(used.variables)) {
			variables = append(variables,
				"$"+name+": Boolean"+w.choose("!", " = true", "! = false"))
		}
		head := "query " + name
		if len(variables) > 0 {
			head += "(" + strings.Join(variables, w.choose(", ", " ")) + ")"
		}
		document += head + " " + selections + w.choose("", "\n", " # a comment\n", ",")
		maps.Copy(fragments, used.fragments)
	}
	if len(names) == 1 && !strings.Contains(document, "$") && w.oneIn(3) {
		document = document[strings.Index(document, "{"):] // an anonymous query
		names = nil
	}
	for _, name := range slices.Sorted(maps.Keys(fragments)) {
		document += " " + fragments[name]
	}
	if w.oneIn(10) {
		at := w.IntN(len(document))
		document = document[:at] + w.choose("", "x", "{", "}", "$", "@", "é", `"`) +
			document[min(len(document), at+w.IntN(3)):]
	}
	request := map[string]any{"query": document}
	if len(names) > 1 && !w.oneIn(10) || len(names) == 1 && w.oneIn(2) {
		request["operationName"] = w.choose(names...)
	}
	if w.oneIn(30) {
		request["operationName"] = w.choose("", "Another")
	}
	if strings.Contains(document, "$") || w.oneIn(20) {
		variables := map[string]any{}
		for _, name := range []string{"a", "b", "c"} {
			if !w.oneIn(8) {
				variables[name] = w.oneIn(2)
			}
			if w.oneIn(40) {
				variables[name] = "x"
			}
		}
		request["variables"] = variables
	}
	if w.oneIn(3) {
		return graphqlRequest{w.choose("GET", "GET", "HEAD"), queryString(request)}
	}
	text, err := json.Marshal(request)
	if err != nil {
		panic(err)
	}
	return graphqlRequest{"POST", w.choose("", " ", "\n") + string(text) + w.choose("", " ")}
}

// queryString returns the parameters of a request as the query string of a GET.
func queryString(request map[string]any) string {
	values := url.Values{}
	for name, value := range request {
		text, isText := value.(string)
		if !isText {
			encoded, _ := json.Marshal(value)
			text = string(encoded)
		}
		values.Set(name, text)
	}
	return values.Encode()
}

// selections returns a selection set of a type, and adds its variables and fragments to used.
func (w *operationWriter) selections(on string, used usedNames) string {
	var out strings.Builder
	out.WriteString("{ ")
	fields := slices.Sorted(maps.Keys(fieldTypes[on]))
	for range 1 + w.IntN(5) {
		switch kind := w.IntN(12); {
		case kind == 0:
			out.WriteString("__typename" + w.directive(used))
		case kind == 1:
			out.WriteString("..." + w.choose("", " on "+on) + w.directive(used) + " " +
				w.selections(on, used))
		case kind < 4:
			i := slices.IndexFunc(w.fragments, func(f randomFragment) bool { return f.on == on })
			if i < 0 {
				continue
			}
			fragment := w.fragments[i]
			used.add(fragment.used)
			used.fragments[fragment.name] = "fragment " + fragment.name + " on " + on + " " +
				fragment.selections
			out.WriteString("..." + fragment.name + w.directive(used))
		case kind == 4 && w.oneIn(20):
			out.WriteString(w.choose("unknown", "__schema { queryType { name } }", "id { x }"))
		default:
			name := w.choose(fields...)
			if w.oneIn(3) {
				w.aliases++
				out.WriteString(fmt.Sprint(w.choose("a", "id", "_"), w.aliases, ": "))
			}
			out.WriteString(name + w.directive(used))
			if typ := fieldTypes[on][name]; typ != "" {
				out.WriteString(" " + w.selections(typ, used))
			}
		}
		out.WriteString(w.choose(" ", ", ", "\n"))
	}
	if strings.TrimRight(out.String(), " ") == "{" {
		out.WriteString("__typename ")
	}
	out.WriteString("}")
	return out.String()
}

// directive returns a directive, once in six calls, and otherwise nothing.
func (w *operationWriter) directive(used usedNames) string {
	if !w.oneIn(6) {
		return ""
	}
	condition := w.choose("true", "false", "$a", "$b", "$c")
	if name, isVariable := strings.CutPrefix(condition, "$"); isVariable {
		used.variables[name] = true
	}
	return w.choose(" @skip", " @include") + "(if: " + condition + ")"
}
