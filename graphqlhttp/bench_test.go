package graphqlhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
)

// newCachedServer returns a server with a query cache, so that benchmarks don't measure the parser.
func newCachedServer(transport graphql.Transport, e executable) *handler.Server {
	server := handler.New(e)
	server.SetQueryCache(lru.New[*ast.QueryDocument](10))
	server.AddTransport(transport)
	return server
}

// A discardWriter is a ResponseWriter that discards the body.
type discardWriter struct {
	header http.Header
	status int
}

func (d *discardWriter) Header() http.Header         { return d.header }
func (d *discardWriter) WriteHeader(status int)      { d.status = status }
func (d *discardWriter) Write(p []byte) (int, error) { return len(p), nil }

// newSender returns a function that sends the same request each time and returns the status.
func newSender(server http.Handler, body string, length int64, header http.Header) func() int {
	reader := strings.NewReader(body)
	writer := &discardWriter{header: http.Header{}}
	request := httptest.NewRequest(http.MethodPost, "/graphql", nil)
	request.Header, request.Body, request.ContentLength = header, io.NopCloser(reader), length
	return func() int {
		reader.Reset(body)
		clear(writer.header)
		writer.status = http.StatusOK
		server.ServeHTTP(writer, request)
		return writer.status
	}
}

// BenchmarkAgainstGqlgen sends the same request in turn to this package's transport and to
// gqlgen's. The metric time-ratio is this package's time divided by gqlgen's.
func BenchmarkAgainstGqlgen(b *testing.B) {
	person := json.RawMessage(
		`{"id":"8f31403d","username":"alice","email":"alice@example.org","realmRoles":["user","admin"]}`)
	e := resolvers()
	e["person"] = func(context.Context, map[string]any) (any, error) { return person, nil }
	e["__typename"] = func(context.Context, map[string]any) (any, error) { return "Query", nil }
	for name, body := range map[string]string{
		"typename": `{"query":"{ __typename }"}`,
		"me": `{"operationName":"Me","query":"query Me {\n  person {\n    name\n    ` +
			`friend {\n      name\n    }\n  }\n}","variables":{}}`,
		"variables": `{"query":"query ($v: In, $s: String!) { echo(in: $v) need(s: $s) ` +
			`}","variables":{"s":"x","v":{"s":"text","i":5,"f":1.5,"list":["a","b\n","ü"],"in":{"id":"7","color":"RED"}}}}`,
		"16 KiB": `{"query":"query ($s: String!) { leaf @include(if: true) need(s: $s) ` +
			`}","variables":{"s":"` + strings.Repeat("0123456789abcdef", 1<<10) + `"}}`,
	} {
		b.Run(name, func(b *testing.B) {
			header := http.Header{"Content-Type": {"application/json"},
				"Accept": {"application/graphql-response+json, application/json;q=0.9"}}
			server := newCachedServer(newTransport(Config{AllowGET: true, Introspection: true}), e)
			sendOurs := newSender(server, body, int64(len(body)), header)
			server = newCachedServer(transport.POST{}, e)
			sendGqlgen := newSender(server, body, int64(len(body)), header)
			var durations [2]time.Duration
			for b.Loop() {
				for i, send := range []func() int{sendOurs, sendGqlgen} {
					start := time.Now()
					if status := send(); status != http.StatusOK {
						b.Fatalf("status %d, want 200", status)
					}
					durations[i] += time.Since(start)
				}
			}
			b.ReportMetric(float64(durations[0])/float64(b.N), "ns/ours")
			b.ReportMetric(float64(durations[1])/float64(b.N), "ns/gqlgen")
			b.ReportMetric(float64(durations[0])/float64(durations[1]), "time-ratio")
			b.ReportMetric(testing.AllocsPerRun(100, func() { sendOurs() }), "allocs/ours")
			b.ReportMetric(testing.AllocsPerRun(100, func() { sendGqlgen() }), "allocs/gqlgen")
		})
	}
}

// BenchmarkRejected compares the cost of rejected requests with the cost of an accepted request of
// the maximum size.
func BenchmarkRejected(b *testing.B) {
	acceptedBody := func(size int) string {
		const body = `{"query":"{ leaf }","variables":{"v":""}}`
		return strings.Replace(body, `""`, `"`+strings.Repeat("x", size-len(body))+`"`, 1)
	}
	fill := func(piece string, size int) string { return strings.Repeat(piece, size/len(piece)) }
	const size = 64 << 10
	gzip := http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}
	jsonHeader := http.Header{"Content-Type": {"application/json"}}
	for _, tt := range []struct {
		name   string
		body   string
		header http.Header
		status int
	}{
		{"nested lists", `{"variables":` + fill("[", size-20), jsonHeader, 400},
		{"nested objects", `{"variables":` + fill(`{"":`, size-20), jsonHeader, 400},
		{"lists of lists of numbers", `{"variables":{"v":[` + fill("[[[1]]],", size-50) + `1]}`,
			jsonHeader, 400},
		{"many variables", manyVariables(size), jsonHeader, 400},
		{"duplicate variables", `{"variables":{` + fill(`"v":1,`, size-20), jsonHeader, 400},
		{"maximum number of values", `{"variables":{"v":[` + strings.Repeat(`{"k":"v"},`, 990) +
			`{}],"w":"` + fill("x", size-10100) + `"},"query":5}`, jsonHeader, 400},
		{"escapes", `{"query":"` + fill(`\u00e9`, size-20), jsonHeader, 400},
		{"long number", `{"variables":{"v":` + fill("1", size-20) + `}}`, jsonHeader, 400},
		{"brackets", fill("[", size), jsonHeader, 400},
		{"spaces", fill(" ", size), jsonHeader, 400},
		{"not UTF-8", fill("x", size-1) + "\xff", jsonHeader, 400},
		{"gzip", fill("x", size), gzip, 415},
		{"1 MiB too large", fill("x", size+1<<20), jsonHeader, 413},
		{"1 MiB too large, chunked", fill("x", size+1<<20), jsonHeader, 413},
		{"many ranges in Accept", acceptedBody(size),
			http.Header{"Content-Type": {"application/json"},
				"Accept": {fill("a/b;q=0.1,", 32<<10)}}, 406},
	} {
		b.Run(tt.name, func(b *testing.B) {
			server := newCachedServer(newTransport(Config{AllowGET: true, Introspection: true}),
				resolvers())
			length := int64(len(tt.body))
			if strings.HasSuffix(tt.name, "chunked") {
				length = -1
			}
			sendRejected := newSender(server, tt.body, length, tt.header)
			sendAccepted := newSender(server, acceptedBody(size), size, jsonHeader)
			var rejectedTime, acceptedTime time.Duration
			for b.Loop() {
				start := time.Now()
				if status := sendRejected(); status != tt.status {
					b.Fatalf("status %d, want %d", status, tt.status)
				}
				rejectedTime += time.Since(start)
				start = time.Now()
				if status := sendAccepted(); status != http.StatusOK {
					b.Fatalf("accepted request: status %d, want 200", status)
				}
				acceptedTime += time.Since(start)
			}
			b.ReportMetric(float64(rejectedTime)/float64(b.N), "ns/rejected")
			b.ReportMetric(float64(rejectedTime)/float64(acceptedTime), "time-ratio")
			b.ReportMetric(testing.AllocsPerRun(20, func() { sendRejected() }), "allocs/rejected")
			b.ReportMetric(testing.AllocsPerRun(20, func() { sendAccepted() }), "allocs/accepted")
		})
	}
}

// manyVariables returns a body of about size bytes with many variables.
func manyVariables(size int) string {
	var body strings.Builder
	body.WriteString(`{"variables":{"v":0`)
	for i := 0; body.Len() < size-20; i++ {
		fmt.Fprintf(&body, `,"%x":%d`, i, i%10)
	}
	return body.String()
}
