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
// works together with Limits, which looks up or measures the document of a request and passes the
// entry on in the request's graphql.OperationContext. So gqlgen (v0.17.95) parses only documents
// that were measured, and doesn't parse cached documents again. gqlgen adds a document after
// validation and doesn't change it afterwards, so requests can share it.
//
// The most used documents are kept: many documents that are sent once don't evict documents that
// clients send all the time. A mutation that contains a string or a number isn't cached. Otherwise,
// a client could guess the text of a mutation with a password in it, and learn from the response
// time whether another client has sent that text. A cache is safe for concurrent use. A nil cache
// is always empty.
type cache struct{ entries *otter.Cache[string, *entry] }

// An entry is a document with its measurements.
type entry struct {
	query, parsed string             // as the client sent it, and as gqlparser parses it
	doc           *ast.QueryDocument // nil until it is cached
	uses          map[string]variableUse
	bytes         uint32 // estimated memory, or 0 if the document must not be cached
}

var _ graphql.Cache[*ast.QueryDocument] = (*cache)(nil)

// newCache returns a cache whose documents take at most bytes of memory, by a generous estimate. If
// bytes isn't positive, it returns nil.
func newCache(bytes int) *cache {
	if bytes < 1 {
		return nil
	}
	return &cache{otter.Must(&otter.Options[string, *entry]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ string, e *entry) uint32 { return e.bytes },
		Executor:      func(evict func()) { evict() }, // in Add, not in a goroutine
	})}
}

// Get returns the document of a request, if Limits found it in the cache.
func (*cache) Get(ctx context.Context, query string) (*ast.QueryDocument, bool) {
	e := entryFromContext(ctx)
	if e == nil || e.doc == nil || e.parsed != query {
		return nil, false
	}
	return e.doc, true
}

// Add caches a valid document if there is room and if query is the text that Limits measured: a
// later extension may have replaced it. The cache is within its bound when Add returns.
func (c *cache) Add(ctx context.Context, query string, doc *ast.QueryDocument) {
	e := entryFromContext(ctx)
	if c == nil || e == nil || e.bytes == 0 || e.parsed != query {
		return
	}
	entryWithDoc := *e // a copy, since other requests may use e
	entryWithDoc.doc = doc
	c.entries.Set(e.query, &entryWithDoc)
	// If another request is evicting, otter defers the eviction for this entry.
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
func newEntry(query, parsed string, m *measurement) *entry {
	e := &entry{query: query, parsed: parsed, uses: m.uses}
	if !m.holdsValues {
		e.bytes = uint32(min(e.estimate(m), math.MaxUint32))
	}
	return e
}

// estimate returns a generous estimate of a document's memory. It counts the text twice, for the
// text itself and for decoded strings, and once more if it was rewritten. For each node it counts
// the largest kind of node, with its position and its slot in a slice.
func (e *entry) estimate(m *measurement) int {
	const perNode, perComment, perDefinition, perUse, perEntry = 448, 128, 512, 96, 1024
	text := 2 * len(e.query)
	if e.parsed != e.query {
		text += len(e.parsed)
	}
	return text + m.nodes*perNode + strings.Count(e.query, "#")*perComment +
		(m.operations+m.fragments)*perDefinition + len(e.uses)*perUse + perEntry
}
