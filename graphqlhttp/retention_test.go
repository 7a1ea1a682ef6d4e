package graphqlhttp

import (
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
)

// TestPersistedQueryStore_retention checks that a stored query doesn't retain the memory of a
// larger string. net/url returns the query as a substring of the whole request line.
func TestPersistedQueryStore_retention(t *testing.T) {
	const requests, padding = 500, 40_000
	store := newPersistedQueryStore(1 << 20)
	queries := make([]*graphql.RawParams, 0, 2*requests)
	before := liveHeap()
	for i := range requests {
		query := fmt.Sprintf("{a%d:__typename}", i)
		request := httptest.NewRequest("GET", "/?query="+query+"&x="+strings.Repeat("x", padding),
			nil)
		transport := newTransport(Config{AllowGET: true, MaxBodyBytes: 1 << 20})
		text, rejection := transport.readText(nil, request)
		if rejection != nil {
			t.Fatalf("readText = %v, want no rejection", rejection)
		}
		params, rejection := transport.parseText(request, text)
		if rejection != nil || params.Query != query {
			t.Fatalf("parseText = %v, %v, want the query %q", params, rejection, query)
		}
		queries = append(queries, &graphql.RawParams{Query: params.Query})
		line := fmt.Sprintf("{b%d:__typename}", i) + strings.Repeat("x", padding)
		store.put(sha256.Sum256([]byte(line)), line[:len(line)-padding])
	}
	if growth := liveHeap() - before; growth > requests*padding/10 {
		t.Errorf("%d queries of some 20 bytes retain %d bytes, want at most %d", 2*requests, growth,
			requests*padding/10)
	}
	runtime.KeepAlive(queries)
	runtime.KeepAlive(store)
}

// liveHeap returns the bytes of live objects.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
