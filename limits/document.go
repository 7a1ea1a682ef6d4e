// Package limits bounds what one GraphQL document may cost. It knows no schema.
//
//	server.SetParserTokenLimit(1000)
//	server.Use(limits.Document{Tokens: 1000, Depth: 15, Selections: 1000})
package limits

import (
	"context"
	"errors"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
)

// Document is a gqlgen handler extension that refuses documents by their shape, before they are validated.
//
// Before, because gqlparser's validation is where a small document does its harm (v2.5.37): of a cycle of
// fragments, 62 bytes, it makes a stack overflow, which ends the process; with fragments that spread each
// other twice, each one doubles the time. So what is refused here must never reach it: every operation of the
// document counts, and every fragment, used or not.
type Document struct {
	// Tokens bounds the text that the recursive parser sees. Give the same number to the handler's
	// SetParserTokenLimit: what can't be parsed within it is left to gqlgen to refuse.
	Tokens int

	// Depth bounds how deep fields nest: a root field is at depth 1, leaves count, and fragments count as
	// if written out. GraphiQL's full introspection query is 15 deep.
	Depth int

	// Selections bounds the fields, fragment spreads and inline fragments, with fragments counted as if written
	// out: those of all operations and all fragments together. GraphiQL's introspection query has some 400.
	Selections int
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
} = Document{}

// ExtensionName returns the name that gqlgen knows the limits by.
func (Document) ExtensionName() string { return "DocumentLimits" }

// Validate refuses limits that are left out, or that no document can keep.
func (d Document) Validate(graphql.ExecutableSchema) error {
	if d.Tokens < 1 || d.Depth < 1 || d.Selections < 1 {
		return errors.New("limits: a document needs a limit of at least 1 for tokens, depth and selections")
	}
	return nil
}

// MutateOperationParameters changes nothing. It fails with the code OPERATION_TOO_LARGE, and the reason
// DEPTH or FIELDS; and with GRAPHQL_VALIDATION_FAILED for a cycle of fragments.
func (d Document) MutateOperationParameters(_ context.Context, request *graphql.RawParams) *gqlerror.Error {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: request.Query}, d.Tokens)
	if err != nil {
		return nil // gqlgen parses it again, and says what is wrong
	}
	all, cycle := measure(doc)
	switch {
	case cycle != nil:
		return refuse(cycle.Position, "NoFragmentCycles", errcode.ValidationFailed, "",
			fmt.Sprintf("Cannot spread fragment %q within itself.", cycle.Name))
	case all.depth > d.Depth:
		return refuse(nil, "", "OPERATION_TOO_LARGE", "DEPTH",
			fmt.Sprintf("The operation is too deep: its fields nest to depth %d, allowed is %d", all.depth, d.Depth))
	case all.selections > d.Selections:
		return refuse(nil, "", "OPERATION_TOO_LARGE", "FIELDS",
			fmt.Sprintf("The document is too large: it has %d selections with its fragments written out, allowed are %d", all.selections, d.Selections))
	}
	return nil
}

func refuse(at *ast.Position, rule, code, reason, message string) *gqlerror.Error {
	fault := &gqlerror.Error{Message: message, Rule: rule, Extensions: map[string]any{"code": code}}
	if reason != "" {
		fault.Extensions["reason"] = reason
	}
	if at != nil {
		fault.Locations = []gqlerror.Location{{Line: at.Line, Column: at.Column}}
	}
	return fault
}

// A size is what a piece of a document adds up to.
type size struct{ depth, selections int }

const saturated = 1 << 30 // doubling fragments would overflow

func (s size) and(other size) size {
	return size{max(s.depth, other.depth), min(s.selections+other.selections, saturated)}
}

// measure adds up all operations and all fragments of a document, in time linear in its text: each fragment
// is walked once. A fragment that reaches itself is returned, and the size then is of no use.
func measure(doc *ast.QueryDocument) (all size, cycle *ast.FragmentDefinition) {
	w := walker{fragments: map[string]*ast.FragmentDefinition{}, sizes: map[*ast.FragmentDefinition]*size{}}
	for _, fragment := range doc.Fragments {
		if _, twice := w.fragments[fragment.Name]; !twice { // of two, gqlparser takes the first
			w.fragments[fragment.Name] = fragment
		}
	}
	for _, operation := range doc.Operations {
		all = all.and(w.set(operation.SelectionSet))
	}
	for _, fragment := range doc.Fragments {
		all = all.and(w.fragment(fragment))
	}
	return all, w.cycle
}

type walker struct {
	fragments map[string]*ast.FragmentDefinition
	sizes     map[*ast.FragmentDefinition]*size // nil while it is being measured
	cycle     *ast.FragmentDefinition
}

func (w *walker) set(set ast.SelectionSet) (all size) {
	for _, selection := range set {
		one := size{selections: 1}
		switch selection := selection.(type) {
		case *ast.Field:
			one = one.and(w.set(selection.SelectionSet))
			one.depth++
		case *ast.InlineFragment:
			one = one.and(w.set(selection.SelectionSet))
		case *ast.FragmentSpread:
			if fragment := w.fragments[selection.Name]; fragment != nil {
				one = one.and(w.fragment(fragment))
			}
		}
		all = all.and(one)
	}
	return all
}

func (w *walker) fragment(fragment *ast.FragmentDefinition) size {
	known, seen := w.sizes[fragment]
	switch {
	case !seen:
		w.sizes[fragment] = nil
		measured := w.set(fragment.SelectionSet)
		w.sizes[fragment] = &measured
		return measured
	case known == nil:
		w.cycle = fragment
		return size{}
	}
	return *known
}
