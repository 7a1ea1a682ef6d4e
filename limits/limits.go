// Package limits bounds the cost of the document and the variables of a GraphQL request. It works
// with any schema.
//
//	server := handler.New(schema)
//	err := limits.Install(server, limits.Limits{RootFieldMax: map[string]int{"login": 1}})
//
// The limits are checked before gqlparser (v2.5.37) sees the document. gqlparser's parser recurses
// on every bracket, and a stack overflow ends the process. Its validator is vulnerable even to
// small documents: a cycle of fragments, 62 bytes long, overflows the stack; a chain of fragments,
// each of which spreads the next twice, takes exponential time; and a document can have thousands
// of errors, each of which is formatted.
//
// Two passes check a document. The first (parser.go) reads its tokens by the grammar of the
// specification, and stops at a syntax error or when a limit is exceeded. Its result is about 1/30
// the size of gqlparser's tree. The second (measure.go) counts fields, values and so on as if
// fragments were inlined, but visits each fragment only once. Both run in time linear in the
// document's size and in the limits.
//
// Two more parts support this. Rules (rules.go) makes validation linear and stops it after a few
// errors; gqlparser's own rule for overlapping fields takes exponential time, which no simple limit
// prevents. A cache (cache.go), bounded in bytes, stores valid documents with their measurements,
// so that each document is read and parsed only once. Variables are measured on each request.
package limits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// The defaults of Limits. They allow the operations of common clients, and GraphiQL's full
// introspection query, which has some 400 tokens, 400 fields and an introspection depth of 1.
const (
	DefaultBytes              = 64 << 10
	DefaultTokens             = 1_000
	DefaultNesting            = 32
	DefaultNameBytes          = 128
	DefaultStringBytes        = 16 << 10
	DefaultNumberBytes        = 64
	DefaultDepth              = 15
	DefaultFields             = 1_000
	DefaultRootFields         = 50
	DefaultAliases            = 100
	DefaultOperations         = 20
	DefaultFragments          = 50
	DefaultSpreads            = 200
	DefaultDirectives         = 100
	DefaultDirectivesPerNode  = 5
	DefaultArguments          = 50
	DefaultVariables          = 50
	DefaultValues             = 250
	DefaultValueDepth         = 10
	DefaultValueBytes         = 32 << 10
	DefaultIntrospectionDepth = 2
	DefaultIntrospectionCost  = 10
	DefaultVariableBytes      = 64 << 10
	DefaultVariableItems      = 1_000
	DefaultVariableDepth      = 10
	DefaultCoercions          = 5_000
	DefaultRepresentations    = 100
	DefaultCacheBytes         = 8 << 20
)

// Limits is a gqlgen extension that rejects documents and variables that are too large or too deep,
// before validation. A limit of zero stands for its default, and no limit can be turned off, with
// two exceptions: a zero in RootFieldMax forbids the field, and a negative CacheBytes turns the
// cache off.
//
// Limits marked *expanded* count fragment spreads as if inlined, summed over all operations and all
// fragment definitions (used or not), because validation visits all of them.
//
// A name in capitals, such as DEPTH, is the reason (apierror.Reason) in the limit's error. If a
// LIMIT_* setting sets a field, the setting's documentation is generated from the field's comment.
//
// A Limits is safe for concurrent use as long as it isn't changed.
type Limits struct {
	// Limits of the text, checked token by token.

	Bytes int // maximum size of the document
	// Tokens is the maximum number of names, numbers, strings, brackets and comments in a document
	// (TOKENS).
	Tokens      int
	Nesting     int // maximum number of brackets that are open at once
	NameBytes   int // maximum length of a name, and of the request's operationName
	StringBytes int // maximum length of a string or block string, as written, without its quotes
	NumberBytes int // maximum length of a number

	// Limits of the structure.

	// Depth is the maximum nesting of fields, expanded (DEPTH). A root field has depth 1. Fields
	// below __schema and __type don't count.
	Depth int
	// Fields is the maximum number of fields, spreads and inline fragments, expanded (FIELDS).
	Fields int
	// RootFields is the maximum number of root fields in one operation, expanded (ROOT_FIELDS).
	// Fields excluded by @skip or @include count too.
	RootFields int
	// Aliases is the maximum number of aliases, expanded (ALIASES).
	Aliases    int
	Operations int // maximum number of operations
	// Fragments is the maximum number of fragments defined in a document, used or not (FRAGMENTS).
	Fragments  int
	Spreads    int // maximum number of fragment spreads, not expanded
	Directives int // maximum number of directives, expanded
	// DirectivesPerNode is the maximum number of directives on one field, fragment spread,
	// operation or the like.
	DirectivesPerNode int
	// Arguments is the maximum number of arguments of one field or directive, and of fields of one
	// input object.
	Arguments int
	Variables int // maximum number of variables that one operation defines
	// Values is the maximum number of arguments, list items and input object fields, expanded.
	Values int
	// ValueDepth is the maximum nesting of lists and objects in a value, and of lists in the type
	// of a variable.
	ValueDepth int
	// ValueBytes is the maximum size of all literals and names of object fields, expanded.
	ValueBytes int
	// IntrospectionDepth is the maximum nesting of the lists fields, inputFields, interfaces and
	// possibleTypes below __schema or __type. Each level multiplies the response's size. For other
	// fields of introspection, which Depth doesn't count, Fields and Nesting are the limits.
	IntrospectionDepth int
	// IntrospectionCost is the maximum cost of introspection in one operation, expanded. Each
	// __type costs 1, each __schema 5, and each alias below them 1. Fields without an alias cost
	// nothing: they appear once in the response, however often they are selected.
	IntrospectionCost int

	// Limits of the decoded variables.

	// VariableBytes is the maximum size of all variables' values, in bytes (BYTES). Strings,
	// numbers and names of object fields count.
	VariableBytes int
	// VariableItems is the maximum number of variables, and of list items and object fields in
	// their values (VARIABLES).
	VariableItems int
	VariableDepth int // maximum nesting of lists and objects in a variable
	// Coercions bounds the work of coercing variables. Each use of a variable costs 1 plus the
	// number of list items and object fields in its value, or in its default if it has no value.
	Coercions int

	// Representations is the maximum number of representations in the arguments of all _entities
	// fields of one operation, expanded (VALUES). A gateway of Apollo Federation sends a
	// representation for each entity that it requests.
	Representations int

	// RootFieldMax is the maximum number of times that one operation may select each of these root
	// fields, expanded. Zero forbids the field. Fields are counted by name, not by alias, even if
	// @skip or @include excludes them. Every operation of the document must comply, not only the
	// one that runs, so that the result depends only on the document.
	RootFieldMax map[string]int

	// CacheBytes is the maximum memory for cached documents, which aren't measured again. If it is
	// negative, nothing is cached.
	CacheBytes int

	cache *cache // belongs to one server; nil without Install
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
	graphql.OperationContextMutator
} = Limits{}

// ExtensionName returns the extension's name for gqlgen.
func (Limits) ExtensionName() string { return "DocumentLimits" }

// A limitField is a field of Limits and its default.
type limitField struct {
	name         string
	value        *int
	defaultValue int
}

// fields returns the fields of l that must not be negative.
func (l *Limits) fields() [27]limitField {
	return [...]limitField{
		{"Bytes", &l.Bytes, DefaultBytes},
		{"Tokens", &l.Tokens, DefaultTokens},
		{"Nesting", &l.Nesting, DefaultNesting},
		{"NameBytes", &l.NameBytes, DefaultNameBytes},
		{"StringBytes", &l.StringBytes, DefaultStringBytes},
		{"NumberBytes", &l.NumberBytes, DefaultNumberBytes},
		{"Depth", &l.Depth, DefaultDepth},
		{"Fields", &l.Fields, DefaultFields},
		{"RootFields", &l.RootFields, DefaultRootFields},
		{"Aliases", &l.Aliases, DefaultAliases},
		{"Operations", &l.Operations, DefaultOperations},
		{"Fragments", &l.Fragments, DefaultFragments},
		{"Spreads", &l.Spreads, DefaultSpreads},
		{"Directives", &l.Directives, DefaultDirectives},
		{"DirectivesPerNode", &l.DirectivesPerNode, DefaultDirectivesPerNode},
		{"Arguments", &l.Arguments, DefaultArguments},
		{"Variables", &l.Variables, DefaultVariables},
		{"Values", &l.Values, DefaultValues},
		{"ValueDepth", &l.ValueDepth, DefaultValueDepth},
		{"ValueBytes", &l.ValueBytes, DefaultValueBytes},
		{"IntrospectionDepth", &l.IntrospectionDepth, DefaultIntrospectionDepth},
		{"IntrospectionCost", &l.IntrospectionCost, DefaultIntrospectionCost},
		{"VariableBytes", &l.VariableBytes, DefaultVariableBytes},
		{"VariableItems", &l.VariableItems, DefaultVariableItems},
		{"VariableDepth", &l.VariableDepth, DefaultVariableDepth},
		{"Coercions", &l.Coercions, DefaultCoercions},
		{"Representations", &l.Representations, DefaultRepresentations},
	}
}

// Validate returns an error that names each negative limit. CacheBytes may be negative.
func (l Limits) Validate(graphql.ExecutableSchema) error {
	var errs []error
	for _, field := range l.fields() {
		if *field.value < 0 {
			errs = append(errs, fmt.Errorf("limits: Limits.%s is below zero", field.name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.RootFieldMax)) {
		if l.RootFieldMax[name] < 0 {
			errs = append(errs, fmt.Errorf("limits: Limits.RootFieldMax[%q] is below zero", name))
		}
	}
	return errors.Join(errs...)
}

// withDefaults returns l with each limit of zero replaced by its default.
func (l Limits) withDefaults() Limits {
	for _, field := range l.fields() {
		*field.value = cmp.Or(*field.value, field.defaultValue)
	}
	l.CacheBytes = cmp.Or(l.CacheBytes, DefaultCacheBytes)
	return l
}

// MutateOperationParameters returns an error if the request exceeds a limit. The error has the code
// OPERATION_TOO_LARGE and a reason, and its message has the limit and the actual number, but quotes
// nothing from the request. A document with a syntax error by the specification (September 2025)
// fails with GRAPHQL_PARSE_FAILED, and a document with a cycle of fragments fails with
// GRAPHQL_VALIDATION_FAILED. A valid document that gqlparser would reject or misread is rewritten
// to an equivalent one.
func (l Limits) MutateOperationParameters(ctx context.Context,
	request *graphql.RawParams) *gqlerror.Error {
	_, err := l.check(ctx, request)
	return err
}

// work counts the tokens, nodes and variable items that were visited. Tests check that these
// numbers are linear in the size of the request.
type work struct{ tokens, nodes, items int }

// check implements MutateOperationParameters, and also returns the work that it did.
func (l Limits) check(ctx context.Context,
	request *graphql.RawParams) (w work, err *gqlerror.Error) {
	l = l.withDefaults()
	if len(request.OperationName) > l.NameBytes {
		return w, tooLargeError(apierror.ReasonNames,
			"The operation's name has %d bytes; the limit is %d", len(request.OperationName),
			l.NameBytes)
	}
	e, ok := l.cache.find(request.Query)
	if !ok {
		t := tokens{limits: l}
		m := t.measure(request.Query)
		w.tokens = t.count
		if m == nil {
			return w, t.err
		}
		w.nodes = m.nodes
		if err = l.checkExpanded(request.Query, m); err != nil {
			return w, err
		}
		parserInput := request.Query
		if t.needsRewrite {
			parserInput = language.Rewrite(request.Query)
		}
		e = newEntry(request.Query, parserInput, m)
	}
	request.Query = e.parserInput
	if !ok || e.parserInput != e.query { // otherwise, cache.Get finds e by its query
		e.storeInContext(ctx)
	}
	w.items, err = l.checkVariables(request.Variables, e.uses)
	return w, err
}

// measure reads a document and measures it. It returns nil and sets t.err if the document has a
// syntax error or its text exceeds a limit.
func (t *tokens) measure(query string) *measurement {
	if t.start(query); t.err != nil {
		return nil
	}
	p := parser{tokens: t}
	if p.parseDocument(); t.err != nil {
		return nil
	}
	return p.measure()
}

// tooLargeError returns an error with the code OPERATION_TOO_LARGE.
func tooLargeError(reason apierror.Reason, format string, args ...any) *gqlerror.Error {
	return apierror.New(apierror.CodeOperationTooLarge, reason, fmt.Sprintf(format, args...))
}
