package store

import (
	"context"
	"crypto/sha256"
)

// A DocumentID is the SHA-256 of a document's text.
type DocumentID [sha256.Size]byte

// MaxDocumentBytes limits the text of a document.
const MaxDocumentBytes = 1 << 20

// Documents stores texts by their SHA-256.
//
// Bounds: the texts together take a bounded number of bytes. When there is no room for a new one,
// the store forgets those that weren't used for the longest time.
//
// Errors: if the store fails, the error wraps ErrUnavailable.
//
// All methods are safe for concurrent use. They return ctx.Err() soon after ctx is done.
type Documents interface {
	// Get returns the text with this ID, and reports whether there is one. The text really has this
	// SHA-256, even if somebody else wrote to the store.
	Get(ctx context.Context, id DocumentID) (text string, ok bool, err error)

	// Put stores a text. It returns ErrTooLarge if the text has more than MaxDocumentBytes.
	Put(ctx context.Context, text string) error
}
