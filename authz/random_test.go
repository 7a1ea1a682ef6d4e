package authz

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/cloakql/cloakql/identity"
)

// The seed of one schema, to repeat a failure of TestRandomSchemas.
var seedFlag = flag.Uint64("seed", 0, "the only `seed` of TestRandomSchemas")

// Random operations of random callers on random schemas: no denied field runs, every allowed field
// does, the response is what it should be, and nothing runs if a denied field decides the whole
// response. The reference decides about each object separately, while it walks the response.
func TestRandomSchemas(t *testing.T) {
	seeds := []uint64{*seedFlag}
	if *seedFlag == 0 {
		seeds = seeds[:0]
		for seed := range uint64(120) {
			seeds = append(seeds, seed+1)
		}
	}
	operations := map[string]int{}
	for _, seed := range seeds {
		testRandomSchema(t, seed, operations)
		if t.Failed() {
			t.Fatalf("repeat with: go test -run TestRandomSchemas ./authz -seed %d", seed)
		}
	}
	// The random operations must not all be of one kind.
	if *seedFlag == 0 {
		for _, kind := range []string{"allowed", "denied", "stopped query", "stopped mutation",
			"null response", "several types", "allowed mutation"} {
			if operations[kind] < 10 {
				t.Errorf("only %d operations of the kind %q: %v", operations[kind], kind,
					operations)
			}
		}
	}
}

func testRandomSchema(t *testing.T, seed uint64, count map[string]int) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 17))}
	source := g.schema()
	executor := &testExecutor{schema: loadSource(t, Schema()+source)}
	g.executor = executor
	server := handler.New(executor)
	server.AddTransport(transport.POST{})
	config := Config{Default: DefaultAuth}
	if err := Install(server, executor, config); err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, source)
	}
	rules, err := compile(executor.schema, config)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 25; {
		document := g.operation()
		doc, errs := gqlparser.LoadQueryWithRules(executor.schema, document, nil)
		if errs != nil {
			continue // such as two fields with one response key
		}
		n++
		sent := map[string]any{"b": g.IntN(2) == 0, "f": g.variable(), "e": "X"}
		operation := doc.Operations[0]
		vars, err := validator.VariableValues(executor.schema, operation, sent)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, document)
		}
		c := callerWithRoles()
		for role := range roleCount {
			if g.IntN(3) > 0 {
				c.user.RealmRoles = append(c.user.RealmRoles, fmt.Sprint("r", role))
			}
		}
		if g.IntN(12) == 0 {
			c = &caller{err: identity.ErrTokenMissing}
		}
		executor.world, executor.ran = g.Uint64(), nil

		ctx := identity.NewContext(t.Context(), c.user, c.err)
		body := toJSON(map[string]any{"query": document, "variables": sent})
		request := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, request)
		var response struct {
			Data   any
			Errors []json.RawMessage
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &response); err != nil {
			t.Fatalf("seed %d: response %s", seed, recorder.Body)
		}

		ref := &reference{testExecutor: executor, doc: doc, vars: vars, user: c.user}
		want := ref.execute(operation)
		d := rules.decide(operation, vars, c, false)
		fail := func(format string, args ...any) {
			t.Errorf("seed %d: %s\n%s\n%s\nvariables %s\nroles %s\nresponse %s\nran %v",
				seed, fmt.Sprintf(format, args...), source, document, toJSON(sent), toJSON(c.user),
				recorder.Body, executor.ran)
		}
		slices.Sort(executor.ran)
		slices.Sort(ref.ran)
		mutation := operation.Operation == ast.Mutation
		root := []string{objectName(operation.SelectionSet[0].(*ast.Field))}
		sets := []ast.SelectionSet{operation.SelectionSet}
		if ref.someDenied(root, sets); ref.invalid {
			continue
		}
		switch {
		case d.stopped && (response.Data != nil || executor.ran != nil || response.Errors == nil):
			fail("the operation was to be stopped")
		case d.stopped && mutation && !g.partial && !ref.someDenied(root, sets):
			fail("the mutation was stopped, but no field is denied")
		case d.stopped && !mutation && (want != nil || !ref.mustBeNull(root, sets, false)):
			fail("the query was stopped, but its response isn't null: %s", toJSON(want))
		case !d.stopped && mutation && ref.someDenied(root, sets):
			fail("the mutation ran, but a field is denied")
		case !d.stopped && toJSON(response.Data) != toJSON(want):
			fail("want the data %s", toJSON(want))
		case !d.stopped && !slices.Equal(executor.ran, ref.ran):
			fail("want these to run: %v", ref.ran)
		case !d.stopped && len(response.Errors) != ref.denials:
			fail("want %d errors", ref.denials)
		case !d.stopped && !d.perObject && !g.otherType && ref.mustBeNull(root, sets, true):
			fail("the query ran, but its response can only be null")
		}
		if t.Failed() {
			return
		}
		switch {
		case d.stopped && mutation:
			count["stopped mutation"]++
		case d.stopped:
			count["stopped query"]++
		case mutation:
			count["allowed mutation"]++
		case ref.denials > 0:
			count["denied"]++
		default:
			count["allowed"]++
		}
		if !d.stopped && want == nil {
			count["null response"]++
		}
		if d.perObject {
			count["several types"]++
		}
	}
}
