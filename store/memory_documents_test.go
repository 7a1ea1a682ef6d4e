package store_test

import (
	"testing"

	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/store/storetest"
)

// MemoryDocuments fulfills the contract of Documents.
func TestMemoryDocuments(t *testing.T) {
	storetest.RunDocuments(t, func(*testing.T) storetest.Documents {
		const maxBytes = 2 * store.MaxDocumentBytes
		return storetest.Documents{Store: &store.MemoryDocuments{MaxBytes: maxBytes},
			MaxBytes: maxBytes}
	})
}
