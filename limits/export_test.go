package limits

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// Counts are the counts of a document, for tests that count in another way.
type Counts struct {
	Fields, Aliases, Directives, Values, Bytes, Depth, ValueDepth, Introspection int
	IntrospectionRoots, RootFields                                               int
	RootFieldCounts, Uses, Defaults                                              map[string]int
	Cycle                                                                        bool
}

// unlimited returns limits that the text of a query can't exceed.
func unlimited(query string) Limits {
	n := len(query)
	return Limits{
		Bytes: n, Tokens: n, Nesting: n, NameBytes: n, StringBytes: n, NumberBytes: n,
		Operations: n, Fragments: n, Spreads: n, DirectivesPerNode: n, Arguments: n, Variables: n,
	}
}

// Measure returns the counts of a document of any size. It returns false if the document has a
// syntax error.
func Measure(query string, rootFieldMax map[string]int) (found Counts, ok bool) {
	limits := unlimited(query)
	limits.RootFieldMax = rootFieldMax
	t := tokens{limits: limits}
	m := t.parse(query)
	if m == nil {
		return found, false
	}
	if m.cycle != nil {
		return Counts{Cycle: true}, true
	}
	found = Counts{
		Fields: m.all.fields, Aliases: m.all.aliases, Directives: m.all.directives,
		Values: m.all.values, Bytes: m.all.bytes,
		Depth: m.all.depth, ValueDepth: m.all.valueDepth, Introspection: m.all.introspectionDepth,
		IntrospectionRoots: m.introspectionRoots, RootFields: m.rootFields,
		RootFieldCounts: m.rootFieldCounts, Uses: map[string]int{}, Defaults: map[string]int{},
	}
	for name, use := range m.uses {
		if use.times > 0 {
			found.Uses[name], found.Defaults[name] = use.times, use.defaultItems
		}
	}
	return found, true
}

// Work counts the tokens, nodes and items of variables that were visited for a request.
type Work struct{ Tokens, Nodes, Items int }

// Check is MutateOperationParameters that also returns its work.
func Check(l Limits, request *graphql.RawParams) (Work, *gqlerror.Error) {
	done, err := l.check(context.Background(), request)
	return Work{done.tokens, done.nodes, done.items}, err
}

// Overlapping runs only the rule for overlapping fields, and returns its steps and errors.
func Overlapping(schema *ast.Schema, doc *ast.QueryDocument) (steps int, conflicts gqlerror.List) {
	var observers core.Events
	m := overlap{visited: map[*ast.FragmentDefinition]bool{}, reported: map[*ast.Field]bool{}}
	m.addError = func(options ...core.ErrorOption) {
		err := &gqlerror.Error{}
		for _, option := range options {
			option(err)
		}
		conflicts = append(conflicts, err)
	}
	m.observe(&observers)
	core.Walk(schema, doc, &observers)
	return m.steps, conflicts
}

// MaxSteps is the maximum number of steps of the rule.
const MaxSteps = maxSteps

// Put adds a document to a cache as a request without limits would, and reports whether the cache
// then has it.
func (c *Cache) Put(query string, doc *ast.QueryDocument) bool {
	t := tokens{limits: unlimited(query)}
	ctx := graphql.WithOperationContext(context.Background(), &graphql.OperationContext{})
	newEntry(query, query, t.parse(query)).store(ctx)
	c.Add(ctx, query, doc)
	return c.Has(query)
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
func (c *Cache) Weight() int { return int(c.entries.WeightedSize()) }

// A Cache is the cache of a server.
type Cache = cache

// NewCache returns a cache for that many bytes.
func NewCache(bytes int) *Cache { return newCache(bytes) }

// WithCache returns the limits with a cache, which Install would set.
func (l Limits) WithCache(c *Cache) Limits {
	l.cache = c
	return l
}

// Cache returns the cache of the limits, or nil.
func (l Limits) Cache() *Cache { return l.cache }
