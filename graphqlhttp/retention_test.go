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

// A store that counts the bytes of its texts must not keep what they were cut from: net/url cuts a
// query out of the whole line of a request, and a string keeps all that it is part of alive.
func TestWhatIsKeptIsTheQueryAlone(t *testing.T) {
	const requests, padding = 500, 40_000
	store := newPersistedStore(1 << 20)
	kept := make([]*graphql.RawParams, 0, 2*requests)
	before := liveHeap()
	for i := range requests {
		query := fmt.Sprintf("{a%d:__typename}", i)
		request := httptest.NewRequest("GET", "/?query="+query+"&x="+strings.Repeat("x", padding),
			nil)
		params, fault := newTransport(Config{AllowGET: true,
			MaxBodyBytes: 1 << 20}).readGet(request)
		if fault != nil || params.Query != query {
			t.Fatalf("the query is %q, %v", params.Query, fault)
		}
		kept = append(kept, &graphql.RawParams{Query: params.Query})
		line := fmt.Sprintf("{b%d:__typename}", i) + strings.Repeat("x", padding)
		store.put(sha256.Sum256([]byte(line)), line[:len(line)-padding])
	}
	if grown := liveHeap() - before; grown > requests*padding/10 {
		t.Errorf("%d queries of some 20 bytes keep %d bytes", 2*requests, grown)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(store)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
