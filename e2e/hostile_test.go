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

// bodyLimit is what MAX_BODY_BYTES is by default.
const bodyLimit = 64 << 10

// hostileSizes are those at which each shape is sent: small, some, all that is read, and much more
// than that.
var hostileSizes = []int{1 << 10, 8 << 10, bodyLimit, 1 << 20}

const (
	tooLarge = "OPERATION_TOO_LARGE"
	parse    = "GRAPHQL_PARSE_FAILED"
	invalid  = "GRAPHQL_VALIDATION_FAILED"
	input    = "BAD_USER_INPUT"
	bad      = "BAD_REQUEST"
	harmless = "UNAUTHENTICATED" // it ran: nothing was wrong with it but that nobody signed in
)

// A shape is a request that should cost its sender more than the server. Its body has at most the
// given size.
type shape struct {
	name  string
	body  func(size int) []byte
	codes codes
}

// codes are those of the answers, by size; the last one stands for what is larger too. Past the
// body's limit nothing of a request is looked at.
type codes []string

func (c codes) at(i int) string { return c[min(i, len(c)-1)] }

// repeated is unit between two ends, as often as fits into size.
func repeated(before, unit, after string) func(size int) string {
	return func(size int) string {
		return before + strings.Repeat(unit, max(1, (size-len(before)-len(after))/len(unit))) +
			after
	}
}

// nested is unit as often as close, around middle.
func nested(before, unit, middle, closing, after string) func(size int) string {
	return func(size int) string {
		n := max(1, (size-len(before)-len(middle)-len(after))/(len(unit)+len(closing)))
		return before + strings.Repeat(unit, n) + middle + strings.Repeat(closing, n) + after
	}
}

// numbered is unit with 1, 2, 3 and so on for each #, between two ends, as often as fits into size.
func numbered(before, unit, after string) func(size int) string {
	return func(size int) string {
		var all strings.Builder
		all.WriteString(before)
		for i := 1; ; i++ {
			next := strings.ReplaceAll(unit, "#", strconv.Itoa(i))
			if i > 1 && all.Len()+len(next)+len(after) > size {
				return all.String() + after
			}
			all.WriteString(next)
		}
	}
}

// whole makes a body of what is its whole text.
func whole(make func(size int) string) func(size int) []byte {
	return func(size int) []byte { return []byte(make(size)) }
}

// document makes the body of a document: JSON, at most size long.
func document(make func(size int) string) func(size int) []byte {
	return func(size int) []byte {
		for n := size - len(`{"query":""}`); ; {
			body, err := json.Marshal(object{"query": make(n)})
			if err != nil {
				panic(err)
			}
			if len(body) <= size {
				return body
			}
			n -= (len(body) - size + 1) / 2 // what JSON escapes is longer there
		}
	}
}

// padded is a request for me, blown up to size by what costs the least.
func padded(size int) []byte {
	return append(bytes.Repeat([]byte(" "), max(0, size-len(asksMe))), asksMe...)
}

// Each shape, at each size, to a server as operators run it: the answer is an error that says what
// is wrong, and then the server answers me as before.
//
// TEST_FIGURES=1 prints, for each, the CPU time of the server beside that of an accepted me of the
// same size.
//
// Not parallel: others' work would be in the figures.
func TestHostileDocuments(t *testing.T) {
	if n := len(shapes); n < 30 {
		t.Fatalf("%d shapes, want 30 at least", n)
	}
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared, "RUNTIME_ENV=prod")
	token := s.mustLogin(t, user, "secret").AccessToken
	accept := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/graphql-response+json"}}
	figures := newFigures(t, s, token)
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			for i, size := range hostileSizes {
				body := tt.body(size)
				if len(body) > size || len(body) < size*3/4 {
					t.Fatalf("of %d bytes, for %d: the shape is made wrongly", len(body), size)
				}
				status, code := http.StatusBadRequest, tt.codes.at(i)
				switch {
				case size > bodyLimit:
					status, code = http.StatusRequestEntityTooLarge, bad
				case code == harmless:
					status = http.StatusOK
				}
				a := send(t, http.MethodPost, s.url+"/graphql", accept, bytes.NewReader(body))
				got, _, _ := strings.Cut(a.code(), "/")
				if a.status != status || got != code {
					t.Errorf("%d bytes: answered %d %s, want %d %s\n%.500s", len(body), a.status,
						a.code(), status, code, a.body)
				}
				if status != http.StatusOK && strings.Contains(a.body, `"data"`) {
					t.Errorf("%d bytes: nothing ran, and the answer has data: %.500s", len(body),
						a.body)
				}
				if len(a.body) > 4<<10 {
					t.Errorf("%d bytes: the answer has %d", len(body), len(a.body))
				}
				figures.print(t, tt.name, body, accept)
			}
			if name, response := s.me(t, token); name != user {
				t.Errorf("then me is %q, want the user\n%s", name, response.body)
			}
		})
	}
	if figures != nil {
		t.Logf("the dearest is %s: %.2f of an accepted me", figures.which, figures.dearest)
	}
}

// figures measures what a request costs the server, where TEST_FIGURES asks for it.
type figures struct {
	server   *server
	bearer   http.Header
	accepted map[int]time.Duration // by size, a request for me
	dearest  float64               // the highest ratio so far
	which    string
}

func newFigures(t *testing.T, s *server, token string) *figures {
	if os.Getenv("TEST_FIGURES") == "" {
		return nil
	}
	f := &figures{server: s, accepted: map[int]time.Duration{},
		bearer: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}}
	for _, size := range hostileSizes {
		f.accepted[size] = f.cost(t, padded(min(size, bodyLimit)), f.bearer)
		t.Logf("me, accepted, %d bytes: %v", min(size, bodyLimit), f.accepted[size])
	}
	return f
}

// cost is the CPU time that the server spends on one such request, in the mean of some.
func (f *figures) cost(t *testing.T, body []byte, header http.Header) time.Duration {
	t.Helper()
	const times = 100
	var before time.Duration
	for i := range times + 10 {
		if i == 10 { // the first ones meet cold caches
			before = cpuTime(t, f.server.cmd.Process.Pid)
		}
		send(t, http.MethodPost, f.server.url+"/graphql", header, bytes.NewReader(body))
	}
	return (cpuTime(t, f.server.cmd.Process.Pid) - before) / times
}

func (f *figures) print(t *testing.T, name string, body []byte, header http.Header) {
	t.Helper()
	if f == nil {
		return
	}
	size := hostileSizes[slices.IndexFunc(hostileSizes, func(size int) bool {
		return len(body) <= size
	})]
	cost, accepted := f.cost(t, body, header), f.accepted[size]
	ratio := float64(cost) / float64(accepted)
	if ratio > f.dearest {
		f.dearest, f.which = ratio, fmt.Sprintf("%s, %d bytes", name, len(body))
	}
	t.Logf("%-40s %8d bytes: %10v, %5.2f of an accepted me", name, len(body), cost, ratio)
}

// cpuTime is what a process has spent on its CPUs so far, Linux's proc(5): to the nanosecond where
// the kernel counts so, and to its clock tick, 10 ms, where it doesn't.
func cpuTime(t *testing.T, pid int) (spent time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		text, _ := os.ReadFile(thread) // a thread may have ended
		var ns int64
		fmt.Sscan(string(text), &ns)
		spent += time.Duration(ns)
	}
	if spent > 0 {
		return spent
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from the third on
	return time.Duration(atoi(fields[11])+atoi(fields[12])) * 10 * time.Millisecond
}
