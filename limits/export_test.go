package limits

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// Found is what the passes count in a document, for tests that count it otherwise.
type Found struct {
	Fields, Aliases, Directives, Values, Bytes, Depth, ValueDepth, Introspection, Asked, Roots int
	Named, Uses,
	Defaults map[string]int
	Cycle bool
}

// unlimited are limits that a document of this text can't pass: they were Limits' to hold.
func unlimited(query string) Limits {
	n := len(query)
	return Limits{
		Bytes: n, Tokens: n, Nesting: n, NameBytes: n, StringBytes: n, NumberBytes: n,
		Operations: n, Fragments: n, Spreads: n, DirectivesPerNode: n, Arguments: n, Variables: n,
	}
}

// FoundIn measures a document whatever its size. ok is false for what is none.
func FoundIn(query string, most map[string]int) (found Found, ok bool) {
	limits := unlimited(query)
	limits.RootFieldMax = most
	t := tokens{limits: limits}
	m := t.parse(query)
	if m == nil {
		return found, false
	}
	if m.cycle != nil {
		return Found{Cycle: true}, true
	}
	found = Found{
		Fields: m.all.fields, Aliases: m.all.aliases, Directives: m.all.directives,
		Values: m.all.values, Bytes: m.all.bytes,
		Depth: m.all.depth, ValueDepth: m.all.valueDepth, Introspection: m.all.introspectionDepth,
		Asked: m.introspectionRoots, Roots: m.rootFields,
		Named: m.rootFieldCounts, Uses: map[string]int{}, Defaults: map[string]int{},
	}
	for name, use := range m.uses {
		if use.times > 0 {
			found.Uses[name], found.Defaults[name] = use.times, use.defaultItems
		}
	}
	return found, true
}

// Work is what a request made the limits do: tokens read, nodes visited, items of variables seen.
type Work struct{ Tokens, Nodes, Items int }

// WorkOf is MutateOperationParameters with a count.
func WorkOf(l Limits, request *graphql.RawParams) (Work, *gqlerror.Error) {
	done, err := l.check(context.Background(), request)
	return Work{done.tokens, done.nodes, done.items}, err
}

// Overlapping runs the rule of that name alone, and counts the selections that it looked at.
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

// MaxSteps is where the rule gives up.
const MaxSteps = maxSteps

// Keep adds a document to a cache as a request does that no limit stops, and reports whether it is
// there then.
func (c *Cache) Keep(query string, doc *ast.QueryDocument) bool {
	t := tokens{limits: unlimited(query)}
	ctx := graphql.WithOperationContext(context.Background(), &graphql.OperationContext{})
	newEntry(query, query, t.parse(query)).store(ctx)
	c.Add(ctx, query, doc)
	return c.Has(query)
}

// Has reports whether a document is kept.
func (c *Cache) Has(query string) bool {
	_, kept := c.find(query)
	return kept
}

// WeightOf is what a cache says a document takes.
func (c *Cache) WeightOf(query string) int {
	if found, kept := c.find(query); kept {
		return int(found.bytes)
	}
	return 0
}

// Weight is what all documents take.
func (c *Cache) Weight() int { return int(c.entries.WeightedSize()) }

// A Cache is the cache of a server, for tests that look into it.
type Cache = cache

// NewCache returns a cache of so many bytes.
func NewCache(bytes int) *Cache { return newCache(bytes) }

// WithCache returns the limits with a cache, as Install does.
func (l Limits) WithCache(c *Cache) Limits {
	l.cache = c
	return l
}

// Cache returns the cache of the limits, or nil.
func (l Limits) Cache() *Cache { return l.cache }
