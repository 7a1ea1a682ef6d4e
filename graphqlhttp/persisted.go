package graphqlhttp

import (
	"crypto/sha256"
	"math"
	"strings"

	"github.com/maypok86/otter/v2"
)

// A digest is the SHA-256 of a document's text.
type digest [sha256.Size]byte

const entryBytes = 256 // what an entry costs beside its text, about

// A persistedStore keeps the texts of documents by their hash, for automatic persisted queries:
// those that are used most, within a number of bytes. It is safe for concurrent use.
//
// Only a document that was valid gets in. A mutation that has a string or a number written into it
// stays out: a client that guesses its text, a password in it, would learn from the answer to its
// hash that somebody sent it. Clients send such values as variables. Documents that a stranger
// sends once don't drive out those in use. While the store is full, a new document may have to be
// sent several times before it stays, which costs its client a round trip each.
type persistedStore struct {
	max   int64
	texts *otter.Cache[digest, string]
}

// newPersistedStore returns an empty store of at most so many bytes, its own bookkeeping included,
// or nil if they are none.
func newPersistedStore(bytes int64) *persistedStore {
	if bytes <= 0 {
		return nil
	}
	return &persistedStore{bytes, otter.Must(&otter.Options[digest, string]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ digest, text string) uint32 { return uint32(len(text) + entryBytes) },
		Executor:      func(evict func()) { evict() }, // in put: no goroutine of our own
	})}
}

func (s *persistedStore) get(sum digest) (text string, ok bool) {
	return s.texts.GetIfPresent(sum)
}

// put keeps a document if there is room, or if it is used more than others. When put returns, the
// store is within its bytes.
func (s *persistedStore) put(sum digest, text string) {
	if int64(len(text))+entryBytes > min(s.max, math.MaxUint32) {
		return
	}
	if _, known := s.texts.GetIfPresent(sum); known { // which counts as a use
		return
	}
	s.texts.Set(sum, strings.Clone(text)) // the text only, not what it was cut from
	// Another request may be evicting at this moment, and otter would leave this entry to the next
	// one.
	s.texts.CleanUp()
}
