package limits

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// Counts holds the counts of a document.
type Counts struct {
	Fields, Aliases, Directives, Values, ValueBytes int
	Depth, ValueDepth, IntrospectionDepth           int
	IntrospectionCost, RootFields                   int
	RootFieldCounts                                 map[string]int // by name
	VariableUses, DefaultItems                      map[string]int // by variable
	Cycle                                           bool           // fragments spread each other
}

// noLimits returns limits that the query can't exceed.
func noLimits(query string) Limits {
	n := len(query)
	return Limits{
		Bytes: n, Tokens: n, Nesting: n, NameBytes: n, StringBytes: n, NumberBytes: n,
		Operations: n, Fragments: n, Spreads: n, DirectivesPerNode: n, Arguments: n, Variables: n,
	}
}

// Measure returns the counts of a document of any size. It returns false if the document has a
// syntax error.
func Measure(query string, rootFieldMax map[string]int) (counts Counts, ok bool) {
	limits := noLimits(query)
	limits.RootFieldMax = rootFieldMax
	t := tokens{limits: limits}
	m := t.measure(query)
	if m == nil {
		return counts, false
	}
	if m.cycle != nil {
		return Counts{Cycle: true}, true
	}
	total := m.total
	counts = Counts{
		Fields: total.selections, Aliases: total.aliases, Directives: total.directives,
		Values: total.values, ValueBytes: total.valueBytes,
		Depth: total.depth, ValueDepth: total.valueDepth,
		IntrospectionDepth: total.introspectionDepth, IntrospectionCost: m.introspectionCost,
		RootFields:      m.rootFields,
		RootFieldCounts: m.rootFieldCounts, VariableUses: map[string]int{},
		DefaultItems: map[string]int{},
	}
	for name, use := range m.uses {
		if use.count > 0 {
			counts.VariableUses[name], counts.DefaultItems[name] = use.count, use.defaultItems
		}
	}
	return counts, true
}

// Work counts the tokens, nodes and variable items that were visited for a request.
type Work struct{ Tokens, Nodes, Items int }

// Check calls MutateOperationParameters, and also returns the work that it did.
func Check(l Limits, request *graphql.RawParams) (Work, *gqlerror.Error) {
	w, err := l.check(context.Background(), request)
	return Work{w.tokens, w.nodes, w.items}, err
}

// CheckOverlap runs only the rule for overlapping fields, and returns its steps and errors.
func CheckOverlap(schema *ast.Schema, doc *ast.QueryDocument) (steps int, conflicts gqlerror.List) {
	var observers core.Events
	c := overlapChecker{spreadFragments: map[*ast.FragmentDefinition]bool{},
		reportedFields: map[*ast.Field]bool{}}
	c.addError = func(options ...core.ErrorOption) {
		err := &gqlerror.Error{}
		for _, option := range options {
			option(err)
		}
		conflicts = append(conflicts, err)
	}
	c.register(&observers)
	core.Walk(schema, doc, &observers)
	return c.steps, conflicts
}

// MaxOverlapSteps is the maximum number of steps of the rule for overlapping fields.
const MaxOverlapSteps = maxOverlapSteps

// Put adds a document of any size to the cache, and reports whether the cache has it afterwards.
func (c *Cache) Put(query string, doc *ast.QueryDocument) bool {
	c.PrepareAdd(query, doc)()
	return c.Has(query)
}

// PrepareAdd measures a document and returns a function that adds it to the cache.
func (c *Cache) PrepareAdd(query string, doc *ast.QueryDocument) (add func()) {
	t := tokens{limits: noLimits(query)}
	ctx := graphql.WithOperationContext(context.Background(), &graphql.OperationContext{})
	newEntry(query, query, t.measure(query)).storeInContext(ctx)
	return func() { c.Add(ctx, query, doc) }
}

// Has reports whether the cache has a document.
func (c *Cache) Has(query string) bool {
	_, ok := c.find(query)
	return ok
}

// WeightOf returns the estimated bytes of a document, or 0 if the cache doesn't have it.
func (c *Cache) WeightOf(query string) int {
	if e, ok := c.find(query); ok {
		return int(e.bytes)
	}
	return 0
}

// Weight returns the estimated bytes of all documents.
func (c *Cache) Weight() int {
	total := 0
	for _, e := range c.entries.All() {
		total += int(e.bytes)
	}
	return total
}

// A Cache is the cache of a server.
type Cache = cache

// NewCache returns a cache that takes at most this many bytes.
func NewCache(bytes int) *Cache { return newCache(bytes) }

// WithCache returns l with a cache, as Install sets it.
func (l Limits) WithCache(c *Cache) Limits {
	l.cache = c
	return l
}

// Cache returns the cache of l, or nil.
func (l Limits) Cache() *Cache { return l.cache }
