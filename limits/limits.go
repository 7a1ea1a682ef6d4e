// Package limits bounds what one GraphQL document, and the variables beside it, may cost. It knows
// no schema.
//
//	server := handler.New(schema)
//	err := limits.Install(server, limits.Limits{RootFieldMax: map[string]int{"login": 1}})
//
// Why so early: gqlparser's parser (v2.5.37) recurses on every bracket, and a stack overflow ends
// the process. Its validation is where a small document does its harm: of a cycle of fragments, 62
// bytes, it makes a stack overflow; with fragments that spread each other twice, each one doubles
// the time; each error is a text of its own. So the document is decided in two passes before either
// sees it. The first reads tokens by the grammar of the specification, and stops at the first that
// is over a limit or is wrong; what it keeps is a thirtieth of gqlparser's tree. The second counts
// what that stands for with its fragments written out, and walks each of them once. Both take time
// linear in the bytes they read and in what the limits allow.
//
// Two more parts go with it. Rules (rules.go) make validation itself linear, and end it after a few
// errors: gqlparser's own rule for fields of one name is exponential in what no simple limit
// bounds. A cache (cache.go) keeps documents that were validated, by bytes, and what was measured
// of them, so that a document is read and parsed once; variables are measured each time.
package limits

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/internal/language"
)

// The defaults: what a limit of zero stands for. GraphiQL's full introspection query keeps them
// (its lists nest to 1, and it has some 400 tokens and 400 fields),
// and so does what clients send.
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
	DefaultIntrospection      = 2
	DefaultIntrospectionRoots = 10
	DefaultVariableBytes      = 64 << 10
	DefaultVariableItems      = 1_000
	DefaultVariableDepth      = 10
	DefaultCoercions          = 5_000
	DefaultCacheBytes         = 8 << 20
)

// Limits is a gqlgen handler extension that refuses documents by their shape, before they are
// validated, and variables by their size. A limit that is zero is the default of its name; there is
// no way to have none.
//
// Limits that are marked expanded count fragment spreads as if inlined, summed over all operations
// and all fragment definitions (used or not), because validation visits all of them. Limits of text
// count it as it is written.
//
// A reason in capitals is the one (apierror.Reason) of the error that reports the limit. Where a
// LIMIT_* setting sets a field, the setting's documentation is generated from the field's comment.
//
// A Limits is safe for concurrent use, as long as it doesn't change.
type Limits struct {
	// The text, decided token by token.

	Bytes int // of the document
	// Tokens is the maximum number of names, numbers, strings, brackets and comments in a document
	// (TOKENS).
	Tokens      int
	Nesting     int // brackets of all kinds that are open at one time
	NameBytes   int // of one name, and of the request's operationName
	StringBytes int // of one string or block string, as written between its quotes
	NumberBytes int // of one number

	// The tree.

	// Depth is the maximum nesting of fields, expanded (DEPTH). A root field has depth 1. Fields
	// below __schema and __type don't count.
	Depth int
	// Fields is the maximum number of fields, spreads and inline fragments, expanded (FIELDS).
	Fields int
	// RootFields is the maximum number of root fields in one operation, expanded (ROOT_FIELDS).
	// Fields that @skip or @include leaves out count.
	RootFields int
	// Aliases is the maximum number of aliases, expanded (ALIASES).
	Aliases    int
	Operations int
	// Fragments is the maximum number of fragments defined in a document, used or not (FRAGMENTS).
	Fragments  int
	Spreads    int // of fragments, as written
	Directives int // expanded
	// DirectivesPerNode bounds the directives of one place: a field, a spread, an operation ...
	DirectivesPerNode int
	Arguments         int // of one field or directive, and members of one object
	Variables         int // definitions of one operation
	Values            int // arguments, items of lists and members of objects, expanded
	// how deep lists and objects nest in one value, and lists in the type of a variable
	ValueDepth int
	ValueBytes int // of the literals of all values and of the names of members, expanded
	// Introspection bounds how many of the lists fields, inputFields, interfaces and possibleTypes
	// are inside each other, below __schema or __type: each level multiplies the response. Other
	// fields may nest there as deep as Fields and Nesting allow, since Depth doesn't count them.
	Introspection int
	// IntrospectionRoots bounds how often one operation asks for the schema, expanded: __type
	// counts one, __schema five, and each alias below either one. Without aliases, fields of one
	// name are one in the response.
	IntrospectionRoots int

	// The variables, as decoded.

	// VariableBytes is the maximum size of all variables' values, in bytes (BYTES). Strings,
	// numbers and names of members count.
	VariableBytes int
	// VariableItems is the maximum number of variables, and of items and members in their values
	// (VARIABLES).
	VariableItems int
	VariableDepth int // how deep objects and lists nest in one variable
	// Coercions bounds what variables become where they are used: each use counts one, and one for
	// each item and member of its value or, without one, of its default.
	Coercions int

	// RootFieldMax bounds root fields by their name (not by their alias): of one operation,
	// expanded, whatever @skip and @include say. Each operation of the document has to keep it,
	// whichever is chosen, so that what is decided of a document doesn't depend on the request.
	RootFieldMax map[string]int

	// CacheBytes is how much memory documents may take that were validated: of a document that is
	// kept, only the variables are measured. Below zero none is kept.
	CacheBytes int

	cache *cache // the server's own; nil where Limits is used without Install
}

var _ interface {
	graphql.HandlerExtension
	graphql.OperationParameterMutator
} = Limits{}

// ExtensionName returns the name that gqlgen knows the limits by.
func (Limits) ExtensionName() string { return "DocumentLimits" }

// Validate refuses limits below zero.
func (l Limits) Validate(graphql.ExecutableSchema) error {
	lowest := min(l.Bytes, l.Tokens, l.Nesting, l.NameBytes, l.StringBytes, l.NumberBytes, l.Depth,
		l.Fields, l.RootFields, l.Aliases, l.Operations, l.Fragments, l.Spreads, l.Directives,
		l.DirectivesPerNode, l.Arguments, l.Variables, l.Values, l.ValueDepth, l.ValueBytes,
		l.Introspection, l.IntrospectionRoots, l.VariableBytes, l.VariableItems, l.VariableDepth,
		l.Coercions)
	for _, allowed := range l.RootFieldMax {
		lowest = min(lowest, allowed)
	}
	if lowest < 0 {
		return errors.New("limits: a limit below zero")
	}
	return nil
}

// withDefaults replaces each limit that is zero by its default.
func (l Limits) withDefaults() Limits {
	for _, limit := range [...]struct {
		value        *int
		defaultValue int
	}{
		{&l.Bytes, DefaultBytes},
		{&l.Tokens, DefaultTokens},
		{&l.Nesting, DefaultNesting},
		{&l.NameBytes, DefaultNameBytes},
		{&l.StringBytes, DefaultStringBytes},
		{&l.NumberBytes, DefaultNumberBytes},
		{&l.Depth, DefaultDepth},
		{&l.Fields, DefaultFields},
		{&l.RootFields, DefaultRootFields},
		{&l.Aliases, DefaultAliases},
		{&l.Operations, DefaultOperations},
		{&l.Fragments, DefaultFragments},
		{&l.Spreads, DefaultSpreads},
		{&l.Directives, DefaultDirectives},
		{&l.DirectivesPerNode, DefaultDirectivesPerNode},
		{&l.Arguments, DefaultArguments},
		{&l.Variables, DefaultVariables},
		{&l.Values, DefaultValues},
		{&l.ValueDepth, DefaultValueDepth},
		{&l.ValueBytes, DefaultValueBytes},
		{&l.Introspection, DefaultIntrospection},
		{&l.IntrospectionRoots, DefaultIntrospectionRoots},
		{&l.VariableBytes, DefaultVariableBytes},
		{&l.VariableItems, DefaultVariableItems},
		{&l.VariableDepth, DefaultVariableDepth},
		{&l.Coercions, DefaultCoercions},
		{&l.CacheBytes, DefaultCacheBytes},
	} {
		*limit.value = cmp.Or(*limit.value, limit.defaultValue)
	}
	return l
}

// MutateOperationParameters fails with the code OPERATION_TOO_LARGE, a reason in one word, and a
// message that names the limit, what was found and what is allowed, and quotes nothing, if the
// request is over a limit. A document that the specification (September 2025) doesn't know fails
// with GRAPHQL_PARSE_FAILED, and a cycle of fragments with GRAPHQL_VALIDATION_FAILED. Of what
// passes it changes only the spelling: a document that gqlparser wouldn't understand, or would read
// another value out of, is rewritten to one that means the same.
func (l Limits) MutateOperationParameters(ctx context.Context,
	request *graphql.RawParams) *gqlerror.Error {
	_, err := l.check(ctx, request)
	return err
}

// work counts what the passes did, for tests that hold it to be linear.
type work struct{ tokens, nodes, items int }

func (l Limits) check(ctx context.Context,
	request *graphql.RawParams) (done work, err *gqlerror.Error) {
	l = l.withDefaults()
	if len(request.OperationName) > l.NameBytes {
		return done, tooLarge(apierror.ReasonNames,
			"The operation's name has %d bytes, allowed are %d", len(request.OperationName),
			l.NameBytes)
	}
	document, known := l.cache.find(request.Query)
	if !known {
		t := tokens{limits: l}
		m := t.parse(request.Query)
		done.tokens = t.read
		if m == nil {
			return done, t.err
		}
		done.nodes = m.nodes
		if err = l.compare(request.Query, m); err != nil {
			return done, err
		}
		parsed := request.Query
		if t.rewrite {
			parsed = language.Rewrite(parsed)
		}
		document = newEntry(request.Query, parsed, m)
	}
	request.Query = document.parsed
	document.handOver(ctx)
	done.items, err = l.variables(request.Variables, document.uses)
	return done, err
}

// parse reads a document and measures it, unless it has a syntax error or its text is over a
// limit.
func (t *tokens) parse(query string) *measured {
	if t.start(query); t.err != nil {
		return nil
	}
	o := parser{tokens: t}
	if o.read(); t.err != nil {
		return nil
	}
	return o.measure()
}

func tooLarge(reason apierror.Reason, message string, args ...any) *gqlerror.Error {
	return apierror.New(apierror.CodeOperationTooLarge, reason, fmt.Sprintf(message, args...))
}
