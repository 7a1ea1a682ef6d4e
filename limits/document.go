// Package limits bounds what one GraphQL document may cost. It knows no schema.
//
//	server.SetParserTokenLimit(1000)
//	server.Use(limits.Document{Tokens: 1000, Depth: 15, Selections: 1000, Pairs: 5000, NameBytes: 256})
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
// other twice, each one doubles the time; fields of one name are compared pair by pair, and each pair that
// conflicts repeats its names. So what is refused here must never reach it: every operation of the document
// counts, and every fragment, used or not.
type Document struct {
	// Tokens bounds the text that the recursive parser sees. Give the same number to the handler's
	// SetParserTokenLimit: what can't be parsed within it is left to gqlgen to refuse.
	Tokens int

	// Depth bounds how deep fields nest: a root field is at depth 1, leaves count, and fragments count as
	// if written out. GraphiQL's full introspection query is 15 deep. Values nest no deeper either.
	Depth int

	// Selections bounds the fields, fragment spreads and inline fragments, with fragments counted as if written
	// out: those of all operations and all fragments together. GraphiQL's introspection query has some 400.
	Selections int

	// Pairs bounds the pairs of fields of one response name that are compared, to see whether they can be
	// merged: n fields of one name in one place are n(n-1)/2.
	Pairs int

	// NameBytes bounds the names and aliases of fields.
	NameBytes int
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
} = Document{}

// ExtensionName returns the name that gqlgen knows the limits by.
func (Document) ExtensionName() string { return "DocumentLimits" }

// Validate refuses limits that are left out, or that no document can keep.
func (d Document) Validate(graphql.ExecutableSchema) error {
	if min(d.Tokens, d.Depth, d.Selections, d.Pairs, d.NameBytes) < 1 {
		return errors.New("limits: each limit of a document must be at least 1")
	}
	return nil
}

// MutateOperationParameters changes nothing. It fails with the code OPERATION_TOO_LARGE, and the reason
// DEPTH, FIELDS or NAMES; and with GRAPHQL_VALIDATION_FAILED for a cycle of fragments.
func (d Document) MutateOperationParameters(_ context.Context, request *graphql.RawParams) *gqlerror.Error {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: request.Query}, d.Tokens)
	if err != nil {
		return nil // gqlgen parses it again, and says what is wrong
	}
	all, cycle := measure(doc)
	tooLarge := func(reason, message string, args ...any) *gqlerror.Error {
		return refuse(nil, "", "OPERATION_TOO_LARGE", reason, fmt.Sprintf(message, args...))
	}
	switch {
	case cycle != nil:
		return refuse(cycle.Position, "NoFragmentCycles", errcode.ValidationFailed, "",
			fmt.Sprintf("Cannot spread fragment %q within itself.", cycle.Name))
	case all.depth > d.Depth:
		return tooLarge("DEPTH", "The operation is too deep: its fields nest to depth %d, allowed is %d", all.depth, d.Depth)
	case all.values > d.Depth:
		return tooLarge("DEPTH", "The operation is too deep: its values nest to depth %d, allowed is %d", all.values, d.Depth)
	case all.selections > d.Selections:
		return tooLarge("FIELDS", "The document is too large: it has %d selections with its fragments written out, allowed are %d", all.selections, d.Selections)
	case all.name > d.NameBytes:
		return tooLarge("NAMES", "A field's name or alias is too long: it has %d bytes, allowed are %d", all.name, d.NameBytes)
	}
	if pairs := pairsOf(doc, d.Pairs); pairs > d.Pairs {
		return tooLarge("FIELDS", "The document repeats fields too often: at least %d pairs of one name would be compared, allowed are %d", pairs, d.Pairs)
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
type size struct {
	depth      int // of fields
	values     int // how deep lists and objects nest
	selections int
	name       int // bytes of the longest name of a field
}

const saturated = 1 << 30 // doubling fragments would overflow

func (s size) and(other size) size {
	return size{
		max(s.depth, other.depth), max(s.values, other.values),
		min(s.selections+other.selections, saturated), max(s.name, other.name),
	}
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
		all = all.and(w.set(operation.SelectionSet)).and(directives(operation.Directives))
		for _, variable := range operation.VariableDefinitions {
			all = all.and(size{values: nesting(variable.DefaultValue)}).and(directives(variable.Directives))
		}
	}
	for _, fragment := range doc.Fragments {
		all = all.and(w.fragment(fragment)).and(directives(fragment.Directives))
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
			one = one.and(w.set(selection.SelectionSet)).and(arguments(selection.Arguments)).and(directives(selection.Directives))
			one = one.and(size{name: max(len(selection.Name), len(selection.Alias))})
			one.depth++
		case *ast.InlineFragment:
			one = one.and(w.set(selection.SelectionSet)).and(directives(selection.Directives))
		case *ast.FragmentSpread:
			one = one.and(directives(selection.Directives))
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

func directives(list ast.DirectiveList) (all size) {
	for _, directive := range list {
		all = all.and(arguments(directive.Arguments))
	}
	return all
}

func arguments(list ast.ArgumentList) (all size) {
	for _, argument := range list {
		all = all.and(size{values: nesting(argument.Value)})
	}
	return all
}

// nesting is how deep lists and objects nest in a value: none for a scalar.
func nesting(value *ast.Value) int {
	if value == nil || value.Kind != ast.ListValue && value.Kind != ast.ObjectValue {
		return 0
	}
	deepest := 0
	for _, child := range value.Children {
		deepest = max(deepest, nesting(child.Value))
	}
	return deepest + 1
}
