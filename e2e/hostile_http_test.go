package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A rawShape is hostile below GraphQL: it is written to a connection as it is. What comes back, by
// size, is a status and a code, such as "415 BAD_REQUEST", a status alone where net/http answers by
// itself, or "closed" for a connection that ends without an answer; " or " stands between what may
// happen.
type rawShape struct {
	name    string
	request func(size int) string
	want    codes
}

const (
	asksMe   = `{"query":"{ me { username } }"}`
	jsonHead = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	getHead  = "GET /graphql?query=%7Bme%7Bid%7D%7D HTTP/1.1\r\nHost: x\r\n"
	chunked  = jsonHead + "Transfer-Encoding: chunked\r\n\r\n"
)

func withLength(head, body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// bomb is size bytes of gzip that stand for a thousand times as many blanks: a file of gzip may
// have many members, RFC 1952 section 2.2.
func bomb(size int) string {
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	w.Write(bytes.Repeat([]byte(" "), 512<<10))
	w.Close()
	return strings.Repeat(member.String(), 1+size/member.Len())
}

// encoded is a body in a Content-Encoding; typed, in a Content-Type.
func encoded(name string) func(int) string {
	return func(size int) string {
		return withLength(jsonHead+"Content-Encoding: "+name+"\r\n", bomb(size))
	}
}

func typed(name string) func(int) string {
	return func(size int) string {
		return withLength("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: "+name+"\r\n",
			string(padded(size)))
	}
}

func headers(line string) func(int) string {
	return func(size int) string { return repeated(getHead, line, "\r\n")(size) }
}

var rawShapes = []rawShape{
	// Bodies that aren't what they seem.
	{"a gzip bomb", encoded("gzip"), codes{"415 BAD_REQUEST"}},
	{"a gzip bomb in capitals", encoded("GZIP"), codes{"415 BAD_REQUEST"}},
	{"a bomb in a bomb", encoded("gzip, gzip"), codes{"415 BAD_REQUEST"}},
	{"deflate", encoded("deflate"), codes{"415 BAD_REQUEST"}},
	{"br", encoded("br"), codes{"415 BAD_REQUEST"}},
	{"zstd", encoded("zstd"), codes{"415 BAD_REQUEST"}},
	{"a form", typed("application/x-www-form-urlencoded"), codes{"415 BAD_REQUEST"}},
	{"a form of parts", typed("multipart/form-data; boundary=x"), codes{"415 BAD_REQUEST"}},
	{"text", typed("text/plain"), codes{"415 BAD_REQUEST"}},
	{"a document", typed("application/graphql"), codes{"415 BAD_REQUEST"}},
	{"UTF-16", typed("application/json; charset=utf-16"), codes{"415 BAD_REQUEST"}},
	{"two media types", typed("application/json, text/plain"), codes{"415 BAD_REQUEST"}},
	{"a media type of that size", func(size int) string {
		return withLength("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; x="+
			strings.Repeat("x", size)+"\r\n", asksMe)
	}, codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},

	// Lengths that aren't true. What follows of such a body is never read.
	{"a length of exabytes", func(size int) string {
		return jsonHead + "Content-Length: 4611686018427387904\r\n\r\n" +
			strings.Repeat(" ", max(size, bodyLimit+1))
	}, codes{"413 BAD_REQUEST"}},
	{"100-continue, past the limit", func(size int) string {
		return jsonHead + "Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n" +
			strings.Repeat(" ", max(size, bodyLimit+1))
	}, codes{"413 BAD_REQUEST"}},
	{"an expectation that nobody knows", func(size int) string {
		return withLength(jsonHead+"Expect: the unexpected\r\n", string(padded(size)))
	}, codes{"417"}},
	{"a length below zero", func(int) string { return jsonHead + "Content-Length: -1\r\n\r\n" + asksMe }, codes{"400"}},
	{"two lengths", func(int) string { return jsonHead + "Content-Length: 5\r\n" + withLength("", asksMe) }, codes{"400"}},
	{"chunks past the limit, without end", func(size int) string {
		return chunked +
			strings.Repeat(fmt.Sprintf("400\r\n%s\r\n", strings.Repeat(" ", 1<<10)),
				max(size, bodyLimit+1<<10)>>10)
	}, codes{"413 BAD_REQUEST"}},
	{"one chunk of exabytes", func(size int) string {
		return chunked + "4000000000000000\r\n" + strings.Repeat(" ", max(size, bodyLimit+1))
	}, codes{"413 BAD_REQUEST"}},
	{"a chunk's size out of range", func(int) string { return chunked + "ffffffffffffffffffff\r\n" + asksMe }, codes{"400 BAD_REQUEST"}},
	{"no number for a chunk", func(int) string { return chunked + "zz\r\n" + asksMe }, codes{"400 BAD_REQUEST"}},
	{"chunks of one byte", func(size int) string {
		var all strings.Builder
		for _, char := range padded(min(size/6, bodyLimit)) {
			fmt.Fprintf(&all, "1\r\n%c\r\n", char)
		}
		return chunked + all.String() + "0\r\n\r\n"
	},
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED",
			"200 UNAUTHENTICATED or 400 BAD_REQUEST", "200 UNAUTHENTICATED or 400 BAD_REQUEST"}},
	{"a chunk with an extension of that size", func(size int) string {
		return chunked +
			fmt.Sprintf("%x;x=%s\r\n%s\r\n0\r\n\r\n", len(asksMe), strings.Repeat("x", size),
				asksMe)
	}, codes{"200 UNAUTHENTICATED", "400 BAD_REQUEST"}},
	{"a trailer of that size", func(size int) string {
		return chunked + fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(asksMe), asksMe) +
			repeated("", "Trailer-x: x\r\n", "\r\n")(size)
	},
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED or 400 BAD_REQUEST",
			"200 UNAUTHENTICATED or 400 BAD_REQUEST", "200 UNAUTHENTICATED or 400 BAD_REQUEST"}},
	{"a transfer encoding that nobody knows", func(size int) string {
		return jsonHead + "Transfer-Encoding: gzip, chunked\r\n\r\n" + string(padded(size))
	}, codes{"501"}},

	// Headers.
	{"headers", headers("X-Header: x\r\n"), codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"cookies", headers("Cookie: a=b; c=d\r\n"), codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"one header", func(size int) string { return repeated(getHead+"X-Header: ", "x", "\r\n\r\n")(size) },
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"a header's name", func(size int) string { return repeated(getHead, "x", ": x\r\n\r\n")(size) },
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"media types to accept", func(size int) string {
		return repeated(getHead+"Accept: */*", ", application/json;q=0.123", "\r\n\r\n")(size)
	}, codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED or 406 BAD_REQUEST", "431 or closed"}},
	{"a token", func(size int) string { return repeated(getHead+"Authorization: Bearer ", "x", "\r\n\r\n")(size) },
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"tokens", headers("Authorization: Bearer x.y.z\r\n"), codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"origins", headers("Origin: https://elsewhere.example\r\n"), codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"who it was forwarded for", headers("X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n"), codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"a header without a colon", func(int) string { return getHead + "Header\r\n\r\n" }, codes{"400"}},
	{"a NUL in a header", func(int) string { return getHead + "X: \x00\r\n\r\n" }, codes{"400"}},
	{"no host", func(int) string { return "GET /graphql HTTP/1.1\r\n\r\n" }, codes{"400"}},
	{"an upgrade", func(int) string { return getHead + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" }, codes{"200 UNAUTHENTICATED"}},

	// The first line, and what has none.
	{"a query string", func(size int) string {
		return "GET /graphql?query=" +
			url.QueryEscape(nested("{me", "{a", "{id}", "}", "}")(size/2)) +
			" HTTP/1.1\r\nHost: x\r\nAccept: application/graphql-response+json\r\n\r\n"
	}, codes{"400 OPERATION_TOO_LARGE", "400 OPERATION_TOO_LARGE", "431 or closed"}},
	{"parameters", func(size int) string {
		return repeated("GET /graphql?query=%7Bme%7Bid%7D%7D", "&x=x",
			" HTTP/1.1\r\nHost: x\r\n\r\n")(size)
	},
		codes{"200 UNAUTHENTICATED or 400 BAD_REQUEST", "200 UNAUTHENTICATED or 400 BAD_REQUEST",
			"431 or closed"}},
	{"variables in a query string", func(size int) string {
		return "GET /graphql?query=%7Bme%7Bid%7D%7D&variables=" +
			nested(`%7B%22v%22:`, "[", "1", "]", "%7D")(size-100) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	}, codes{"400 BAD_REQUEST", "400 BAD_REQUEST", "431 or closed"}},
	{"a method", func(size int) string { return strings.Repeat("A", size) + " /graphql HTTP/1.1\r\nHost: x\r\n\r\n" },
		codes{"405 BAD_REQUEST", "405 BAD_REQUEST", "431 or closed"}},
	{"a path", func(size int) string {
		return "GET /" + strings.Repeat("a/../", size/5) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	},
		codes{"301 or 307 or 404", "301 or 307 or 404", "431 or closed"}},
	{"a first line without end", func(size int) string { return repeated("GET ", "x", "")(max(size, bodyLimit)) }, codes{"431 or closed"}},
	{"empty lines", func(size int) string { return strings.Repeat("\r\n", size/2) }, codes{"400 or closed"}},
	{"the start of TLS", func(size int) string {
		return "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\n", size)
	}, codes{"400 or closed"}},
	{"the start of HTTP/2", func(int) string { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }, codes{"400 or 404 or 405 or 505 or closed"}},
}

func TestHostileHTTP(t *testing.T) {
	t.Parallel()
	user, _ := realm{shared, "local"}.newUser(t, nil)
	s := serve(t, shared, "RUNTIME_ENV=prod", "GET_QUERIES=true")
	token := s.mustLogin(t, user, "secret").AccessToken
	for _, tt := range rawShapes {
		t.Run(tt.name, func(t *testing.T) {
			for i, size := range hostileSizes {
				before := cpuTime(t, s.cmd.Process.Pid)
				request := tt.request(size)
				got := s.exchange(t, request)
				if want := tt.want.at(i); !slices.Contains(strings.Split(want, " or "), got) {
					t.Errorf("%d bytes: answered %s, want %s", len(request), got, want)
				}
				if os.Getenv("TEST_FIGURES") != "" {
					t.Logf("%-40s %8d bytes: %s, %v", tt.name, len(request), got,
						cpuTime(t, s.cmd.Process.Pid)-before)
				}
			}
			if name, response := s.me(t, token); name != user {
				t.Errorf("then me is %q, want the user\n%s", name, response.body)
			}
		})
	}
	t.Run("a hundred requests in one go", func(t *testing.T) {
		connection := s.dial(t)
		go io.WriteString(connection, strings.Repeat(withLength(jsonHead, asksMe), 100))
		reader := bufio.NewReader(connection)
		for i := range 100 {
			if got := readAnswer(t, reader); got != "200 UNAUTHENTICATED" {
				t.Fatalf("answer %d is %s", i+1, got)
			}
		}
	})
	t.Run("gone in the middle", func(t *testing.T) {
		for range 100 {
			connection := s.dial(t)
			io.WriteString(connection, jsonHead+"Content-Length: 1000\r\n\r\n"+asksMe)
			connection.Close()
		}
		if name, response := s.me(t, token); name != user {
			t.Errorf("then me is %q, want the user\n%s", name, response.body)
		}
	})
}

// dial opens a connection to the server, which ends with the test.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	connection.SetDeadline(time.Now().Add(patience))
	return connection
}

// exchange writes a request, whose end may be missing, and reads one answer.
func (s *server) exchange(t *testing.T, request string) string {
	t.Helper()
	connection := s.dial(t)
	defer connection.Close()
	// The server may answer, and close, before it has read all.
	go io.WriteString(connection, request)
	return readAnswer(t, bufio.NewReader(connection))
}

// readAnswer is an answer as a rawShape names it.
func readAnswer(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	if err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(from, nil)
	}
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return "no answer for minutes"
		}
		return "closed"
	}
	// of a connection that is being closed, a part may be missing
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	code, _, _ := strings.Cut(answer{body: string(body)}.code(), "/")
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", code))
}
