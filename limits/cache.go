package limits

import (
	"context"
	"math"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// A Cache keeps parsed and validated documents, for gqlgen's SetQueryCache, bounded by the bytes
// they take. gqlgen (v0.17.95) adds a document after it validated it, and only reads it from then
// on, so that all requests share it. Which documents stay is decided by how often they are asked
// for: a spray of documents that are sent once doesn't drive out those that clients send all the
// time. A mutation that has a string or a number written into it isn't kept: how soon it is refused
// a second time would tell a client that guesses its text, a password in it, that somebody sent
// it. It is safe for concurrent use. A nil Cache, and the zero one, is empty and stays so.
type Cache struct{ entries *otter.Cache[string, entry] }

type entry struct {
	doc   *ast.QueryDocument
	uses  map[string]use
	bytes uint32
}

var _ graphql.Cache[*ast.QueryDocument] = (*Cache)(nil)

// NewCache returns a cache whose documents, with their text, take at most so many bytes of memory, by an
// estimate that is rather high. A larger document isn't kept. With less than 1 it keeps none.
func NewCache(bytes int) *Cache {
	if bytes < 1 {
		return nil
	}
	return &Cache{otter.Must(&otter.Options[string, entry]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ string, e entry) uint32 { return e.bytes },
		Executor:      func(evict func()) { evict() }, // by the request that adds: no goroutine of our own, none over the bound
	})}
}

// Get returns the document of a query, if it is kept.
func (c *Cache) Get(_ context.Context, query string) (*ast.QueryDocument, bool) {
	if c == nil || c.entries == nil {
		return nil, false
	}
	found, ok := c.entries.GetIfPresent(query)
	return found.doc, ok
}

// Add keeps a document that was validated, if there is room.
func (c *Cache) Add(_ context.Context, query string, doc *ast.QueryDocument) {
	if c == nil || c.entries == nil {
		return
	}
	t := tokens{limits: noneFor(query)}
	m := t.outline(query) // once more, and the last time
	if m == nil || m.cycle != nil || m.holdsValues {
		return
	}
	e := entry{doc: doc, uses: m.uses}
	e.bytes = uint32(min(estimate(query, m, len(e.uses)), math.MaxUint32))
	c.entries.Set(query, e)
}

func (c *Cache) uses(query string) (uses map[string]use, known bool) {
	if c == nil || c.entries == nil {
		return nil, false
	}
	found, ok := c.entries.GetIfPresent(query)
	return found.uses, ok
}

// noneFor are limits that a document of this text can't pass: they were Limits' to hold.
func noneFor(query string) Limits {
	n := len(query)
	return Limits{
		Bytes: n, Tokens: n, Nesting: n, NameBytes: n, StringBytes: n, NumberBytes: n,
		Operations: n, Fragments: n, Spreads: n, DirectivesAt: n, Arguments: n, Variables: n,
	}
}

// estimate is what a document takes in memory, rather more than less: its text twice, as text and as decoded
// strings; the largest node there is for each node, with its position and its place in a list.
func estimate(query string, m *measured, uses int) int {
	const perNode, perComment, perDefinition, perUse, perEntry = 448, 128, 512, 96, 1024
	return 2*len(query) + m.nodes*perNode + strings.Count(query, "#")*perComment +
		(m.operations+m.fragments)*perDefinition + uses*perUse + perEntry
}
