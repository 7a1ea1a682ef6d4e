package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bodyLimit is the default of MAX_BODY_BYTES.
const bodyLimit = 64 << 10

// hostileSizes are the sizes at which each shape is sent: small, medium, as large as the limit, and
// far over it.
var hostileSizes = []int{1 << 10, 8 << 10, bodyLimit, 1 << 20}

const (
	codeTooLarge         = "OPERATION_TOO_LARGE"
	codeParseFailed      = "GRAPHQL_PARSE_FAILED"
	codeValidationFailed = "GRAPHQL_VALIDATION_FAILED"
	codeBadInput         = "BAD_USER_INPUT"
	codeBadRequest       = "BAD_REQUEST"
	codeUnauthenticated  = "UNAUTHENTICATED" // the operation ran, but the token is missing
)

// A shape is a request that should cost its sender more than the server. Its body is at most size
// bytes long.
type shape struct {
	name  string
	body  func(size int) []byte
	codes codes // for sizes up to bodyLimit; the code for a larger body is always codeBadRequest
}

// codes has the expected code for each of hostileSizes. The last code also applies to all later
// sizes.
type codes []string

// forSize returns the code for hostileSizes[i].
func (c codes) forSize(i int) string { return c[min(i, len(c)-1)] }

// repeat returns a function that makes a text: prefix, as many copies of unit as fit into size, and
// suffix.
func repeat(prefix, unit, suffix string) func(size int) string {
	return func(size int) string {
		n := max(1, (size-len(prefix)-len(suffix))/len(unit))
		return prefix + strings.Repeat(unit, n) + suffix
	}
}

// nest returns a function that makes a text: prefix, n copies of opening, middle, n copies of
// closing, and suffix. n is as large as size allows.
func nest(prefix, opening, middle, closing, suffix string) func(size int) string {
	return func(size int) string {
		n := max(1, (size-len(prefix)-len(middle)-len(suffix))/(len(opening)+len(closing)))
		return prefix + strings.Repeat(opening, n) + middle + strings.Repeat(closing, n) + suffix
	}
}

// enumerate is like repeat, but replaces each # in a copy of unit with the number of the copy,
// starting from 1.
func enumerate(prefix, unit, suffix string) func(size int) string {
	return func(size int) string {
		var b strings.Builder
		b.WriteString(prefix)
		for i := 1; ; i++ {
			numberedUnit := strings.ReplaceAll(unit, "#", strconv.Itoa(i))
			if i > 1 && b.Len()+len(numberedUnit)+len(suffix) > size {
				return b.String() + suffix
			}
			b.WriteString(numberedUnit)
		}
	}
}

// rawBody returns a function that makes a body: the text itself, not in JSON.
func rawBody(text func(size int) string) func(size int) []byte {
	return func(size int) []byte { return []byte(text(size)) }
}

// documentBody returns a function that returns a JSON body with a document, at most size bytes
// long.
func documentBody(text func(size int) string) func(size int) []byte {
	return func(size int) []byte {
		for n := size - len(`{"query":""}`); ; {
			body, err := json.Marshal(object{"query": text(n)})
			if err != nil {
				panic(err)
			}
			if len(body) <= size {
				return body
			}
			n -= (len(body) - size + 1) / 2 // escaping has made the document longer
		}
	}
}

// pad returns meBody after as many blanks as make the result size bytes long. A server parses
// blanks faster than other text.
func pad(size int) []byte {
	return append(bytes.Repeat([]byte(" "), max(0, size-len(meBody))), meBody...)
}

// Each shape, at each size, gets the expected error from a server with production settings, and the
// server still works afterwards.
//
// TEST_FIGURES=1 logs the server's CPU time for each request, compared with the CPU time for an
// accepted query of the same size.
//
// Not parallel, since the CPU time would include other tests' requests.
func TestHostileDocuments(t *testing.T) {
	if n := len(shapes); n < 30 {
		t.Fatalf("%d shapes, want at least 30", n)
	}
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "RUNTIME_ENV=prod")
	token := s.mustLogin(t, user, "secret").AccessToken
	header := http.Header{"Content-Type": {"application/json"},
		"Accept": {"application/graphql-response+json"}}
	figures := newFigures(t, s, token)
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			for i, size := range hostileSizes {
				body := tt.body(size)
				if len(body) > size || len(body) < size*3/4 {
					t.Fatalf("the shape has %d bytes, want about %d", len(body), size)
				}
				status, code := http.StatusBadRequest, tt.codes.forSize(i)
				switch {
				case size > bodyLimit:
					status, code = http.StatusRequestEntityTooLarge, codeBadRequest
				case code == codeUnauthenticated:
					status = http.StatusOK
				}
				response := send(t, http.MethodPost, s.url+"/graphql", header,
					bytes.NewReader(body))
				got, _, _ := strings.Cut(response.code(), "/")
				if response.status != status || got != code {
					t.Errorf("%d bytes: got %d %s, want %d %s\n%.500s", len(body), response.status,
						response.code(), status, code, response.body)
				}
				if status != http.StatusOK && strings.Contains(response.body, `"data"`) {
					t.Errorf("%d bytes: nothing ran, but the response has data: %.500s", len(body),
						response.body)
				}
				if len(response.body) > 4<<10 {
					t.Errorf("%d bytes: the response has %d bytes, want at most 4096", len(body),
						len(response.body))
				}
				figures.log(t, tt.name, body, header)
			}
			if name, response := s.me(t, token); name != user {
				t.Errorf("me afterwards is %q, want %q\n%s", name, user, response.body)
			}
		})
	}
	if figures != nil {
		t.Logf("the most expensive request is %s: %.2f times an accepted query", figures.maxName,
			figures.maxRatio)
	}
}

// figures measures the server's CPU time per request, if TEST_FIGURES is set.
type figures struct {
	server       *server
	bearer       http.Header
	acceptedCost map[int]time.Duration // of an accepted query, by size
	maxRatio     float64               // the highest ratio so far
	maxName      string                // the shape with that ratio
}

// newFigures measures accepted queries. It returns nil unless TEST_FIGURES is set.
func newFigures(t *testing.T, s *server, token string) *figures {
	if os.Getenv("TEST_FIGURES") == "" {
		return nil
	}
	f := &figures{server: s, acceptedCost: map[int]time.Duration{},
		bearer: http.Header{"Content-Type": {"application/json"},
			"Authorization": {"Bearer " + token}}}
	for _, size := range hostileSizes {
		f.acceptedCost[size] = f.cost(t, pad(min(size, bodyLimit)), f.bearer)
		t.Logf("me, accepted, %d bytes: %v", min(size, bodyLimit), f.acceptedCost[size])
	}
	return f
}

// cost returns the server's mean CPU time for a request.
func (f *figures) cost(t *testing.T, body []byte, header http.Header) time.Duration {
	t.Helper()
	const requests = 100
	var cpuBefore time.Duration
	for i := range requests + 10 {
		if i == 10 { // ignore the first requests, which fill caches
			cpuBefore = cpuTime(t, f.server.cmd.Process.Pid)
		}
		send(t, http.MethodPost, f.server.url+"/graphql", header, bytes.NewReader(body))
	}
	return (cpuTime(t, f.server.cmd.Process.Pid) - cpuBefore) / requests
}

// log logs the cost of a request, unless f is nil.
func (f *figures) log(t *testing.T, name string, body []byte, header http.Header) {
	t.Helper()
	if f == nil {
		return
	}
	size := hostileSizes[slices.IndexFunc(hostileSizes, func(size int) bool {
		return len(body) <= size
	})]
	cost, acceptedCost := f.cost(t, body, header), f.acceptedCost[size]
	ratio := float64(cost) / float64(acceptedCost)
	if ratio > f.maxRatio {
		f.maxRatio, f.maxName = ratio, fmt.Sprintf("%s, %d bytes", name, len(body))
	}
	t.Logf("%-40s %8d bytes: %10v, %5.2f times an accepted query", name, len(body), cost, ratio)
}

// cpuTime returns the CPU time of a process so far, from Linux's proc(5). Its precision is a
// nanosecond, or a clock tick of 10 ms if the kernel doesn't count more precisely.
func cpuTime(t *testing.T, pid int) (total time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may have ended
		var ns int64
		fmt.Sscan(string(text), &ns)
		total += time.Duration(ns)
	}
	if total > 0 {
		return total
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // the fields from the third one, the state, on
	return time.Duration(atoi(fields[11])+atoi(fields[12])) * 10 * time.Millisecond
}
