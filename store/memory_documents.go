package store

import (
	"container/list"
	"context"
	"crypto/sha256"
	"sync"
)

const (
	// DefaultDocumentBytes is the default of MemoryDocuments.MaxBytes.
	DefaultDocumentBytes = 32 << 20

	// DocumentOverhead is added to the length of each text, so that MaxBytes also bounds the number
	// of texts.
	DocumentOverhead = 256
)

// MemoryDocuments implements Documents in the memory of one process. Its zero value is ready for
// use. Set fields only before the first call.
type MemoryDocuments struct {
	MaxBytes int // of all texts, with DocumentOverhead; DefaultDocumentBytes if not positive

	mu    sync.Mutex                   // guards the fields below
	texts map[DocumentID]*list.Element // elements of byUse
	byUse list.List                    // of memoryDocument, the latest used first
	bytes int                          // of all texts, with DocumentOverhead
}

// A memoryDocument is a text in a MemoryDocuments.
type memoryDocument struct {
	id   DocumentID
	text string
}

// Get implements Documents.
func (m *MemoryDocuments) Get(ctx context.Context, id DocumentID) (string, bool, error) {
	if err := ctx.Err(); err != nil {
		return "", false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	element := m.texts[id]
	if element == nil {
		return "", false, nil
	}
	m.byUse.MoveToFront(element)
	return element.Value.(memoryDocument).text, true, nil
}

// Put implements Documents.
func (m *MemoryDocuments) Put(ctx context.Context, text string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(text) > MaxDocumentBytes {
		return ErrTooLarge
	}
	id := DocumentID(sha256.Sum256([]byte(text)))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.texts == nil {
		m.texts = map[DocumentID]*list.Element{}
		if m.MaxBytes <= 0 {
			m.MaxBytes = DefaultDocumentBytes
		}
	}
	size := len(text) + DocumentOverhead
	if size > m.MaxBytes {
		return ErrTooLarge
	}
	if element := m.texts[id]; element != nil {
		m.byUse.MoveToFront(element)
		return nil
	}
	for m.bytes+size > m.MaxBytes {
		oldest := m.byUse.Remove(m.byUse.Back()).(memoryDocument)
		delete(m.texts, oldest.id)
		m.bytes -= len(oldest.text) + DocumentOverhead
	}
	m.texts[id] = m.byUse.PushFront(memoryDocument{id, text})
	m.bytes += size
	return nil
}
