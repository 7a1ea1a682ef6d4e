package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cloakql/cloakql/store"
)

// Documents is a store.Documents under test.
type Documents struct {
	Store store.Documents

	// MaxBytes is how many bytes the store has room for: from 2 to 16 times MaxDocumentBytes.
	MaxBytes int
}

// RunDocuments tests an implementation of store.Documents. It calls open before each test. open
// must return a new, empty store.
func RunDocuments(t *testing.T, open func(t *testing.T) Documents) {
	for _, tt := range []struct {
		name string
		run  func(*documentsTest)
	}{
		{"Get/unknown", (*documentsTest).testUnknown},
		{"Put/any text", (*documentsTest).testAnyText},
		{"Put/too large", (*documentsTest).testTooLarge},
		{"Put/again", (*documentsTest).testAgain},
		{"Put/least recently used", (*documentsTest).testLeastRecentlyUsed},
		{"Put/small texts", (*documentsTest).testSmallTexts},
		{"Put/concurrent", (*documentsTest).testConcurrent},
		{"done context", (*documentsTest).testDoneContext},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(&documentsTest{Documents: open(t), T: t}) })
	}
}

// A documentsTest is a running test and the store that it tests.
type documentsTest struct {
	Documents
	*testing.T
}

// document returns a text of this size, a different one for each n.
func document(n, size int) string {
	text := fmt.Sprintf("query q%d { me { username } } ", n)
	if len(text) < size {
		text += strings.Repeat("#", size-len(text))
	}
	return text
}

// put calls Put, which must not return an error.
func (d *documentsTest) put(text string) {
	d.Helper()
	if err := d.Store.Put(d.Context(), text); err != nil {
		d.Fatal(err)
	}
}

// has reports whether the store has the text. Get must return no other text.
func (d *documentsTest) has(text string) bool {
	d.Helper()
	got, ok, err := d.Store.Get(d.Context(), sha256.Sum256([]byte(text)))
	if err != nil {
		d.Fatal(err)
	}
	if want := map[bool]string{true: text}[ok]; got != want {
		d.Fatalf("Get() = %.40q, %t, want %.40q", got, ok, want)
	}
	return ok
}

// checkHas checks whether the store has the text.
func (d *documentsTest) checkHas(text string, want bool) {
	d.Helper()
	if got := d.has(text); got != want {
		d.Errorf("the store has %.40q: %t, want %t", text, got, want)
	}
}

func (d *documentsTest) testUnknown() {
	d.checkHas(document(1, 100), false)
	d.put(document(2, 100))
	d.checkHas(document(1, 100), false)
}

func (d *documentsTest) testAnyText() {
	texts := []string{"", "{me{username}}", "\x00\xff\r\n\x00", "𝔲𝔫𝔦𝔠𝔬𝔡𝔢",
		document(1, store.MaxDocumentBytes)}
	for _, text := range texts {
		d.put(text)
	}
	for _, text := range texts {
		d.checkHas(text, true)
	}
}

func (d *documentsTest) testTooLarge() {
	text := document(1, store.MaxDocumentBytes+1)
	if err := d.Store.Put(d.Context(), text); !errors.Is(err, store.ErrTooLarge) {
		d.Errorf("Put() of %d bytes = %v, want %v", len(text), err, store.ErrTooLarge)
	}
	d.checkHas(text, false)
}

func (d *documentsTest) testAgain() {
	text := document(1, store.MaxDocumentBytes/2)
	other := document(2, store.MaxDocumentBytes/2)
	d.put(other)
	for range 100 { // would forget other if it took room each time
		d.put(text)
	}
	d.checkHas(text, true)
	d.checkHas(other, true)
}

func (d *documentsTest) testLeastRecentlyUsed() {
	const size = store.MaxDocumentBytes / 8
	d.put(document(-1, size))
	d.put(document(-2, size))
	d.put(document(-3, size))
	storedCount := d.MaxBytes/size - 1 // the overhead takes less room than one document
	for n := range 2 * storedCount {
		d.put(document(n, size))
		d.checkHas(document(-1, size), true) // Get uses it
		d.put(document(-2, size))            // Put uses it
	}
	d.checkHas(document(-2, size), true)
	d.checkHas(document(-3, size), false)
	for n := range 2 * storedCount {
		isRecent := n >= storedCount+3 // two are those that are used all the time
		if isRecent {
			d.checkHas(document(n, size), true)
		}
		if n < storedCount-3 {
			d.checkHas(document(n, size), false)
		}
	}
}

// Texts of a few bytes take more memory than their bytes, so MaxBytes limits their number too.
func (d *documentsTest) testSmallTexts() {
	d.put("first")
	count := d.MaxBytes / 128
	for n := range count {
		d.put(strconv.Itoa(n))
	}
	if d.has("first") {
		d.Errorf("the store has %d texts of a few bytes in %d bytes, want fewer", count+1,
			d.MaxBytes)
	}
	d.checkHas(strconv.Itoa(count-1), true)
}

func (d *documentsTest) testConcurrent() {
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 20 {
				text := document(i*(1+n%2), 1000)
				if err := d.Store.Put(d.Context(), text); err != nil {
					d.Error(err)
				}
				got, ok, err := d.Store.Get(d.Context(), sha256.Sum256([]byte(text)))
				if got != text || !ok || err != nil {
					d.Errorf("Get() = %.40q, %t, %v, want the text", got, ok, err)
				}
			}
		})
	}
	wg.Wait()
}

func (d *documentsTest) testDoneContext() {
	ctx, cancel := context.WithCancel(d.Context())
	cancel()
	text := document(1, 100)
	if err := d.Store.Put(ctx, text); !errors.Is(err, context.Canceled) {
		d.Errorf("Put() = %v, want %v", err, context.Canceled)
	}
	d.checkHas(text, false)
	d.put(text)
	if _, ok, err := d.Store.Get(ctx, sha256.Sum256([]byte(text))); ok ||
		!errors.Is(err, context.Canceled) {
		d.Errorf("Get() = %t, %v, want %v", ok, err, context.Canceled)
	}
}
