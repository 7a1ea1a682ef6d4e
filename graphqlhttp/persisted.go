package graphqlhttp

import (
	"crypto/sha256"
	"math"
	"strings"

	"github.com/maypok86/otter/v2"
)

// A digest is the SHA-256 of a document's text.
type digest [sha256.Size]byte

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
// store is within its bound when put returns.
func (s *persistedQueryStore) put(sum digest, text string) {
	if int64(len(text))+entryOverheadBytes > min(s.maxBytes, math.MaxUint32) {
		return
	}
	if _, ok := s.texts.GetIfPresent(sum); ok { // this counts as a use
		return
	}
	s.texts.Set(sum, strings.Clone(text)) // a copy, not a part of the request body
	// If another request is evicting, otter defers the eviction for this entry.
	s.texts.CleanUp()
}
