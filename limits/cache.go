package limits

import (
	"context"
	"math"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// A cache keeps parsed and validated documents, for gqlgen's SetQueryCache, bounded by the bytes
// they take. It works with the Limits that have it: they find the document of a request, or measure
// it, and hand what they know over in the request's graphql.OperationContext, so that gqlgen
// (v0.17.95) parses only what they measured, and nothing twice. gqlgen adds a document after it
// validated it, and only reads it from then on, so that all requests share it.
//
// Which documents stay is decided by how often they are asked for: a spray of documents that are
// sent once doesn't drive out those that clients send all the time. A mutation that has a string or
// a number written into it isn't kept: how soon it is refused a second time would tell a client
// that guesses its text, a password in it, that somebody sent it. It is safe for concurrent use. A
// nil cache is empty and stays so.
type cache struct{ entries *otter.Cache[string, *entry] }

// An entry is what Limits know of a document.
type entry struct {
	query, parsed string             // as the client sent it, and as gqlparser gets it
	doc           *ast.QueryDocument // nil until it is kept
	uses          map[string]variableUse
	bytes         uint32 // that it takes in the cache, or 0 if it isn't to be kept
}

var _ graphql.Cache[*ast.QueryDocument] = (*cache)(nil)

// newCache returns a cache whose documents, with their text, take at most so many bytes of memory,
// by an estimate that is rather high. A larger document isn't kept. With less than 1 it keeps none.
func newCache(bytes int) *cache {
	if bytes < 1 {
		return nil
	}
	return &cache{otter.Must(&otter.Options[string, *entry]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ string, e *entry) uint32 { return e.bytes },
		// by the request that adds: no goroutine of our own, none over the bound
		Executor: func(evict func()) { evict() },
	})}
}

// Get returns the document of a request, if it was kept when the request's Limits asked for it.
func (*cache) Get(ctx context.Context, query string) (*ast.QueryDocument, bool) {
	e := handedOver(ctx)
	if e == nil || e.doc == nil || e.parsed != query {
		return nil, false
	}
	return e.doc, true
}

// Add keeps a document that was validated, if there is room, and if the request's Limits measured
// this text: an extension after them may have replaced it.
func (c *cache) Add(ctx context.Context, query string, doc *ast.QueryDocument) {
	e := handedOver(ctx)
	if c == nil || e == nil || e.bytes == 0 || e.parsed != query {
		return
	}
	kept := *e // which others may hold
	kept.doc = doc
	c.entries.Set(e.query, &kept)
}

func (c *cache) find(query string) (found *entry, known bool) {
	if c == nil {
		return nil, false
	}
	return c.entries.GetIfPresent(query)
}

// handOver puts what is known of a document where the cache finds it: in gqlgen's context of the
// operation.
func (e *entry) handOver(ctx context.Context) {
	if graphql.HasOperationContext(ctx) {
		graphql.GetOperationContext(ctx).Stats.SetExtension(Limits{}.ExtensionName(), e)
	}
}

func handedOver(ctx context.Context) (e *entry) {
	if graphql.HasOperationContext(ctx) {
		stats := graphql.GetOperationContext(ctx).Stats
		e, _ = stats.GetExtension(Limits{}.ExtensionName()).(*entry)
	}
	return e
}

// newEntry returns what is known of a document once it was measured.
func newEntry(query, parsed string, m *measured) *entry {
	e := &entry{query: query, parsed: parsed, uses: m.uses}
	if !m.holdsValues {
		e.bytes = uint32(min(e.estimate(m), math.MaxUint32))
	}
	return e
}

// estimate returns what a document takes in memory, rather more than less: its text twice, as text
// and as decoded strings, or thrice where it was rewritten; the largest node there is for each
// node, with its position and its place in a list.
func (e *entry) estimate(m *measured) int {
	const perNode, perComment, perDefinition, perUse, perEntry = 448, 128, 512, 96, 1024
	text := 2 * len(e.query)
	if e.parsed != e.query {
		text += len(e.parsed)
	}
	return text + m.nodes*perNode + strings.Count(e.query, "#")*perComment +
		(m.operations+m.fragments)*perDefinition + len(e.uses)*perUse + perEntry
}
