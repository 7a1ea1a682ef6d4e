package limits

import (
	"context"
	"math"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// A cache stores parsed and validated documents for gqlgen's SetQueryCache, bounded in bytes. It
// works together with Limits, which looks up each request's document in the cache, measures it if
// the cache doesn't have it, and puts the entry into the request's graphql.OperationContext. So
// gqlgen (v0.17.95) parses only documents that were measured, and doesn't parse cached documents
// again. gqlgen adds a document after validation and doesn't change it afterwards, so requests can
// share it.
//
// The cache keeps the documents that are used most. Documents that are sent once don't evict them.
// A mutation that contains a string or a number isn't cached. Otherwise, a client could guess the
// text of a mutation with a password in it, and learn from the response time whether another client
// has sent that text.
//
// A cache is safe for concurrent use. A nil cache is always empty.
type cache struct{ entries *otter.Cache[string, *entry] }

// An entry is a document with its measurements.
type entry struct {
	query       string             // from the client
	parserInput string             // query, rewritten if gqlparser needs that
	doc         *ast.QueryDocument // nil until it is cached
	uses        map[string]variableUse
	bytes       uint32 // estimated memory, or 0 if the document must not be cached
}

var _ graphql.Cache[*ast.QueryDocument] = (*cache)(nil)

// newCache returns a cache whose documents take at most maxBytes of memory, by a generous estimate.
// If maxBytes isn't positive, it returns nil.
func newCache(maxBytes int) *cache {
	if maxBytes < 1 {
		return nil
	}
	return &cache{otter.Must(&otter.Options[string, *entry]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(_ string, e *entry) uint32 { return e.bytes },
		Executor:      func(evict func()) { evict() }, // evict during Add, not in a goroutine
	})}
}

// Get returns the document of a request, if it is in the cache.
func (c *cache) Get(ctx context.Context, query string) (*ast.QueryDocument, bool) {
	e := entryFromContext(ctx)
	if e == nil {
		e, _ = c.find(query)
	}
	if e == nil || e.doc == nil || e.parserInput != query {
		return nil, false
	}
	return e.doc, true
}

// Add adds a valid document to the cache. It does nothing if the document must not be cached, or if
// query isn't the text that Limits measured, because a later extension has replaced it.
func (c *cache) Add(ctx context.Context, query string, doc *ast.QueryDocument) {
	e := entryFromContext(ctx)
	if c == nil || e == nil || e.bytes == 0 || e.parserInput != query {
		return
	}
	entryWithDoc := *e // a copy, since other requests may use e
	entryWithDoc.doc = doc
	c.entries.Set(e.query, &entryWithDoc)
	// While another request evicts, Set returns without evicting. CleanUp waits for that request,
	// and then evicts, so the cache is within its bound when Add returns.
	c.entries.CleanUp()
}

// find returns the entry of the document that a client sent.
func (c *cache) find(query string) (e *entry, ok bool) {
	if c == nil {
		return nil, false
	}
	return c.entries.GetIfPresent(query)
}

// storeInContext puts e into gqlgen's operation context, where entryFromContext finds it.
func (e *entry) storeInContext(ctx context.Context) {
	if graphql.HasOperationContext(ctx) {
		graphql.GetOperationContext(ctx).Stats.SetExtension(Limits{}.ExtensionName(), e)
	}
}

// entryFromContext returns the entry that storeInContext has put into ctx, or nil.
func entryFromContext(ctx context.Context) (e *entry) {
	if graphql.HasOperationContext(ctx) {
		stats := graphql.GetOperationContext(ctx).Stats
		e, _ = stats.GetExtension(Limits{}.ExtensionName()).(*entry)
	}
	return e
}

// newEntry returns the entry of a document that was measured.
func newEntry(query, parserInput string, m *measurement) *entry {
	e := &entry{query: query, parserInput: parserInput, uses: m.uses}
	if !m.mayHoldSecret {
		e.bytes = uint32(min(e.estimateBytes(m), math.MaxUint32))
	}
	return e
}

// estimateBytes returns a generous estimate of a document's memory. It counts the client's text
// twice (once for the decoded strings), and the rewritten text once, if there is one. For each node
// it counts the size of the largest kind of node, of its position and of its slot in a slice.
func (e *entry) estimateBytes(m *measurement) int {
	const (
		nodeBytes       = 448
		commentBytes    = 128
		definitionBytes = 512
		useBytes        = 96
		entryBytes      = 1024
	)
	textBytes := 2 * len(e.query)
	if e.parserInput != e.query {
		textBytes += len(e.parserInput)
	}
	return textBytes +
		m.nodes*nodeBytes +
		strings.Count(e.query, "#")*commentBytes +
		(m.operations+m.fragments)*definitionBytes +
		len(e.uses)*useBytes +
		entryBytes
}
