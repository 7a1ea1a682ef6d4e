package graphqlhttp

import (
	"context"
	"crypto/sha256"
	"math"
	"strings"

	"github.com/maypok86/otter/v2"
)

// A digest is the SHA-256 of a document's text.
type digest [sha256.Size]byte

// SharedQueries stores the texts of persisted queries by their SHA-256, so that a query which a
// client sent to one process can be named by its hash at another. Each method should take a short
// time only: a request waits for it. An implementation that fails does nothing, and Get returns
// false; clients then send the text again. It must be safe for concurrent use, and bounded.
type SharedQueries interface {
	// Get returns the text with this hash, and reports whether there is one. A text with another
	// hash is ignored.
	Get(ctx context.Context, hash [sha256.Size]byte) (text string, ok bool)
	// Put stores a text. It is called when this process first gets a text from a client.
	Put(ctx context.Context, text string)
}

const entryOverheadBytes = 256 // estimated, in addition to the text

// A persistedQueryStore stores document texts by hash, for automatic persisted queries. It is
// bounded in bytes and keeps the most used documents. It is safe for concurrent use.
//
// Only valid documents are stored, and no mutation that contains a string or a number. Otherwise, a
// client could guess the text of a mutation with a password in it, and learn from the response to
// its hash whether another client has sent that text. Clients should send such values as variables.
// A document that is sent once doesn't evict documents that are sent often. While the store is
// full, a new document may have to be sent several times before it is stored, each time with an
// extra round trip.
type persistedQueryStore struct {
	maxBytes int64
	texts    *otter.Cache[digest, string]
}

// newPersistedQueryStore returns an empty store that takes at most maxBytes of memory, including
// overhead. It returns nil if maxBytes isn't positive.
func newPersistedQueryStore(maxBytes int64) *persistedQueryStore {
	if maxBytes <= 0 {
		return nil
	}
	return &persistedQueryStore{maxBytes, otter.Must(&otter.Options[digest, string]{
		MaximumWeight: uint64(maxBytes),
		Weigher: func(_ digest, text string) uint32 {
			return uint32(len(text) + entryOverheadBytes)
		},
		Executor: func(evict func()) { evict() }, // in put, not in a goroutine
	})}
}

func (s *persistedQueryStore) get(sum digest) (text string, ok bool) {
	return s.texts.GetIfPresent(sum)
}

// put stores a document if there is room, or if the document is used more often than others. The
// store is within its bound when put returns. It returns false if the document is too large, or if
// the store already had it.
func (s *persistedQueryStore) put(sum digest, text string) (isNew bool) {
	if int64(len(text))+entryOverheadBytes > min(s.maxBytes, math.MaxUint32) {
		return false
	}
	if _, ok := s.texts.GetIfPresent(sum); ok { // this counts as a use
		return false
	}
	s.texts.Set(sum, strings.Clone(text)) // a copy, not a part of the request body
	// If another request is evicting, otter defers the eviction for this entry.
	s.texts.CleanUp()
	return true
}
