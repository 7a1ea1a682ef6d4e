package authz

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
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

// TestRandomSchemas sends random operations of random callers to servers with random schemas. It
// compares the responses, and the fields that run, with those of a reference. Nothing may run if a
// denied field makes the whole response null. The reference decides about each object separately,
// while it walks the response.
func TestRandomSchemas(t *testing.T) {
	seeds := []uint64{*seedFlag}
	if *seedFlag == 0 {
		seeds = seeds[:0]
		for seed := range uint64(120) {
			seeds = append(seeds, seed+1)
		}
	}
	counts := map[string]int{}
	for _, seed := range seeds {
		testRandomSchema(t, seed, counts)
		if t.Failed() {
			t.Fatalf("repeat with: go test -run TestRandomSchemas ./authz -seed %d", seed)
		}
	}
	// The random operations must not all be of one kind.
	if *seedFlag == 0 {
		for _, kind := range []string{"allowed", "denied", "stopped query", "stopped mutation",
			"null response", "several types", "allowed mutation"} {
			if counts[kind] < 10 {
				t.Errorf("only %d operations of the kind %q: %v", counts[kind], kind, counts)
			}
		}
	}
}

// testRandomSchema tests random operations on a schema that the seed determines. It adds the number
// of operations of each kind to counts.
func testRandomSchema(t *testing.T, seed uint64, counts map[string]int) {
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
		sent := map[string]any{"b": g.IntN(2) == 0, "f": g.filter(), "e": "X"}
		operation := doc.Operations[0]
		vars, err := validator.VariableValues(executor.schema, operation, sent)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, document)
		}
		c := g.caller()
		executor.typeSeed, executor.ran = g.Uint64(), nil
		ctx := identity.NewContext(t.Context(), c.user, c.err)
		response := post(ctx, server, toJSON(map[string]any{"query": document, "variables": sent}))

		ref := &reference{testExecutor: executor, doc: doc, vars: vars, user: c.user}
		run := randomRun{generator: g, operation: operation, ref: ref, want: ref.execute(operation),
			decision: rules.decide(operation, vars, c, false)}
		if err := json.Unmarshal([]byte(response), &run.response); err != nil {
			t.Fatalf("seed %d: response %s", seed, response)
		}
		run.isDenied = ref.someDenied(run.root())
		if ref.invalid {
			continue
		}
		if problem := run.problem(); problem != "" {
			t.Errorf("seed %d: %s\n%s\n%s\nvariables %s\nroles %s\nresponse %s\nran %v", seed,
				problem, source, document, toJSON(sent), toJSON(c.user), response, executor.ran)
			return
		}
		for _, kind := range run.kinds() {
			counts[kind]++
		}
	}
}

// caller returns a caller with random roles, or an anonymous caller.
func (g *generator) caller() *caller {
	c := callerWithRoles()
	for role := range roleCount {
		if g.IntN(3) > 0 {
			c.user.RealmRoles = append(c.user.RealmRoles, fmt.Sprint("r", role))
		}
	}
	if g.IntN(12) == 0 {
		c = &caller{err: identity.ErrTokenMissing}
	}
	return c
}

// post sends a GraphQL request, and returns the body of the response.
func post(ctx context.Context, server http.Handler, body string) string {
	request := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, request)
	return recorder.Body.String()
}

// A randomRun is one operation that a server has executed, and what the reference expects.
type randomRun struct {
	generator *generator
	operation *ast.OperationDefinition
	decision  *decision
	response  struct {
		Data   any
		Errors []json.RawMessage
	}
	ref      *reference
	want     any  // the data of the reference's response
	isDenied bool // the result of reference.someDenied
}

// root returns the arguments of the reference's methods for the whole operation.
func (r *randomRun) root() ([]string, []ast.SelectionSet) {
	name := objectName(r.operation.SelectionSet[0].(*ast.Field))
	return []string{name}, []ast.SelectionSet{r.operation.SelectionSet}
}

// mustBeNull reports whether denied fields make the whole response null; see reference.mustBeNull.
func (r *randomRun) mustBeNull(sameField bool) bool {
	objects, sets := r.root()
	return r.ref.mustBeNull(objects, sets, sameField)
}

func (r *randomRun) isMutation() bool { return r.operation.Operation == ast.Mutation }

// problem returns what is wrong with the execution, or "".
func (r *randomRun) problem() string {
	ran := r.ref.testExecutor.ran
	slices.Sort(ran)
	slices.Sort(r.ref.ran)
	d := r.decision
	switch {
	case d.stopped && (r.response.Data != nil || ran != nil || r.response.Errors == nil):
		return "nothing should have run, because decide stopped the operation"
	case d.stopped && r.isMutation() && !r.generator.partial && !r.isDenied:
		return "the mutation was stopped, but no field is denied"
	case d.stopped && !r.isMutation() && (r.want != nil || !r.mustBeNull(false)):
		return "the query was stopped, but its response isn't null: " + toJSON(r.want)
	case d.stopped:
		return ""
	case r.isMutation() && r.isDenied:
		return "the mutation ran, but a field is denied"
	case toJSON(r.response.Data) != toJSON(r.want):
		return "want the data " + toJSON(r.want)
	case !slices.Equal(ran, r.ref.ran):
		return fmt.Sprintf("want these fields to run: %v", r.ref.ran)
	case len(r.response.Errors) != r.ref.denials:
		return fmt.Sprintf("want %d errors", r.ref.denials)
	case !d.perObject && !r.generator.otherType && r.mustBeNull(true):
		return "the query ran, but its response can only be null"
	}
	return ""
}

// kinds returns the kinds of the operation that TestRandomSchemas counts.
func (r *randomRun) kinds() []string {
	var kinds []string
	switch {
	case r.decision.stopped && r.isMutation():
		kinds = append(kinds, "stopped mutation")
	case r.decision.stopped:
		kinds = append(kinds, "stopped query")
	case r.isMutation():
		kinds = append(kinds, "allowed mutation")
	case r.ref.denials > 0:
		kinds = append(kinds, "denied")
	default:
		kinds = append(kinds, "allowed")
	}
	if !r.decision.stopped && r.want == nil {
		kinds = append(kinds, "null response")
	}
	if r.decision.perObject {
		kinds = append(kinds, "several types")
	}
	return kinds
}
