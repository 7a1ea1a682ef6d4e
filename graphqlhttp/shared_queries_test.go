package graphqlhttp

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"testing"
)

// A mapQueries implements SharedQueries with a map, and counts calls.
type mapQueries struct {
	mu         sync.Mutex
	texts      map[[sha256.Size]byte]string
	gets, puts int
}

func (m *mapQueries) Get(_ context.Context, hash [sha256.Size]byte) (text string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	text, ok = m.texts[hash]
	return text, ok
}

func (m *mapQueries) Put(_ context.Context, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	m.texts[sha256.Sum256([]byte(text))] = text
}

// A text that was sent to one process can be named by its hash at another. A process calls the
// shared store once for each text.
func TestSharedQueries(t *testing.T) {
	const query = "query Leaf { leaf }"
	shared := &mapQueries{texts: map[[sha256.Size]byte]string{}}
	config := Config{PersistedQueryBytes: 1 << 20, SharedQueries: shared}
	transportA, transportB := newTransport(config), newTransport(config)
	send := func(transport *httpTransport, query, want string) {
		t.Helper()
		res := sendTo(t, transport, resolvers(),
			persistedPost(hashOf("query Leaf { leaf }"), query))
		if res.Body.String() != want {
			t.Errorf("got %s, want %s", res.Body, want)
		}
	}
	send(transportA, "", notFoundResponse)
	send(transportA, query, leafResponse)
	for range 3 {
		send(transportA, query, leafResponse)
		send(transportA, "", leafResponse)
		send(transportB, "", leafResponse)
	}
	send(transportB, query, leafResponse)
	if shared.gets != 2 || shared.puts != 1 {
		t.Errorf("%d calls of Get and %d of Put, want 2 and 1", shared.gets, shared.puts)
	}
}

// A text that isn't stored in this process isn't stored in the shared store either: an invalid
// document, or a mutation that contains a value.
func TestSharedQueries_put(t *testing.T) {
	shared := &mapQueries{texts: map[[sha256.Size]byte]string{}}
	transport := newTransport(Config{PersistedQueryBytes: 1 << 20, SharedQueries: shared})
	for _, query := range []string{"{ unknown }", "{ leaf",
		`mutation { login(username: "alice", password: "hush") { text } }`} {
		sendTo(t, transport, resolvers(), persistedPost(hashOf(query), query))
	}
	if len(shared.texts) != 0 {
		t.Errorf("the shared store has %v, want nothing", slices.Collect(maps.Values(shared.texts)))
	}
}

// A text whose hash isn't the requested one doesn't run, and isn't kept.
func TestSharedQueries_wrongText(t *testing.T) {
	const query = "query Leaf { leaf }"
	shared := &mapQueries{texts: map[[sha256.Size]byte]string{
		sha256.Sum256([]byte(query)): "query Other { leaf }"}}
	transport := newTransport(Config{PersistedQueryBytes: 1 << 20, SharedQueries: shared})
	for range 2 {
		res := sendTo(t, transport, resolvers(), persistedPost(hashOf(query), ""))
		if res.Body.String() != notFoundResponse {
			t.Errorf("got %s, want %s", res.Body, notFoundResponse)
		}
	}
	if documents, _ := transport.documents.persistedQueries.size(); documents != 0 {
		t.Errorf("%d documents are kept, want none", documents)
	}
}
