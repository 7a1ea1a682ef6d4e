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

// A rawShape is a hostile HTTP request, which is written to a connection unchanged. want has the
// expected response for each size: a status and a code, such as "415 BAD_REQUEST"; only a status if
// net/http responds by itself; or "closed" if the connection is closed without a response. " or "
// separates alternatives.
type rawShape struct {
	name    string
	request func(size int) string
	want    codes
}

const (
	meBody      = `{"query":"{ me { username } }"}`
	jsonHead    = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	getHead     = "GET /graphql?query=%7Bme%7Bid%7D%7D HTTP/1.1\r\nHost: x\r\n"
	chunkedHead = jsonHead + "Transfer-Encoding: chunked\r\n\r\n"
)

// withLength returns a request with Content-Length and a body.
func withLength(head, body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// gzipBomb returns about size bytes of gzip that expand to a thousand times as many blanks. A gzip
// file may have many members (RFC 1952, section 2.2).
func gzipBomb(size int) string {
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	w.Write(bytes.Repeat([]byte(" "), 512<<10))
	w.Close()
	return strings.Repeat(member.String(), 1+size/member.Len())
}

// withEncoding returns a function that makes a request with a gzip bomb and this Content-Encoding.
func withEncoding(name string) func(int) string {
	return func(size int) string {
		return withLength(jsonHead+"Content-Encoding: "+name+"\r\n", gzipBomb(size))
	}
}

// withContentType returns a function that makes a request with this Content-Type.
func withContentType(name string) func(int) string {
	return func(size int) string {
		return withLength("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: "+name+"\r\n",
			string(pad(size)))
	}
}

// withHeaders returns a function that makes a request with as many copies of a header line as fit
// into its size.
func withHeaders(line string) func(int) string {
	return func(size int) string { return repeat(getHead, line, "\r\n")(size) }
}

var rawShapes = []rawShape{
	// Bodies with other encodings and media types.
	{"gzip bomb", withEncoding("gzip"), codes{"415 BAD_REQUEST"}},
	{"gzip bomb, uppercase encoding", withEncoding("GZIP"), codes{"415 BAD_REQUEST"}},
	{"nested gzip bomb", withEncoding("gzip, gzip"), codes{"415 BAD_REQUEST"}},
	{"deflate", withEncoding("deflate"), codes{"415 BAD_REQUEST"}},
	{"br", withEncoding("br"), codes{"415 BAD_REQUEST"}},
	{"zstd", withEncoding("zstd"), codes{"415 BAD_REQUEST"}},
	{"urlencoded form", withContentType("application/x-www-form-urlencoded"),
		codes{"415 BAD_REQUEST"}},
	{"multipart form", withContentType("multipart/form-data; boundary=x"),
		codes{"415 BAD_REQUEST"}},
	{"plain text", withContentType("text/plain"), codes{"415 BAD_REQUEST"}},
	{"GraphQL document", withContentType("application/graphql"), codes{"415 BAD_REQUEST"}},
	{"UTF-16", withContentType("application/json; charset=utf-16"), codes{"415 BAD_REQUEST"}},
	{"two media types", withContentType("application/json, text/plain"), codes{"415 BAD_REQUEST"}},
	{"long media type", func(size int) string {
		return withLength("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; x="+
			strings.Repeat("x", size)+"\r\n", meBody)
	}, codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},

	// Wrong lengths. The server doesn't read these bodies to their end.
	{"Content-Length of exabytes", func(size int) string {
		return jsonHead + "Content-Length: 4611686018427387904\r\n\r\n" +
			strings.Repeat(" ", max(size, bodyLimit+1))
	}, codes{"413 BAD_REQUEST"}},
	{"100-continue, over the limit", func(size int) string {
		return jsonHead + "Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n" +
			strings.Repeat(" ", max(size, bodyLimit+1))
	}, codes{"413 BAD_REQUEST"}},
	{"unknown expectation", func(size int) string {
		return withLength(jsonHead+"Expect: the unexpected\r\n", string(pad(size)))
	}, codes{"417"}},
	{"negative Content-Length",
		func(int) string { return jsonHead + "Content-Length: -1\r\n\r\n" + meBody }, codes{"400"}},
	{"two Content-Length headers",
		func(int) string {
			return jsonHead + "Content-Length: 5\r\n" +
				withLength("", meBody)
		}, codes{"400"}},
	{"endless chunks over the limit", func(size int) string {
		return chunkedHead +
			strings.Repeat(fmt.Sprintf("400\r\n%s\r\n", strings.Repeat(" ", 1<<10)),
				max(size, bodyLimit+1<<10)>>10)
	}, codes{"413 BAD_REQUEST"}},
	{"one chunk of exabytes", func(size int) string {
		return chunkedHead + "4000000000000000\r\n" + strings.Repeat(" ", max(size, bodyLimit+1))
	}, codes{"413 BAD_REQUEST"}},
	{"chunk size out of range",
		func(int) string {
			return chunkedHead + "ffffffffffffffffffff\r\n" +
				meBody
		}, codes{"400 BAD_REQUEST"}},
	{"invalid chunk size", func(int) string { return chunkedHead + "zz\r\n" + meBody },
		codes{"400 BAD_REQUEST"}},
	{"chunks of one byte", func(size int) string {
		var b strings.Builder
		for _, char := range pad(min(size/6, bodyLimit)) {
			fmt.Fprintf(&b, "1\r\n%c\r\n", char)
		}
		return chunkedHead + b.String() + "0\r\n\r\n"
	},
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED",
			"200 UNAUTHENTICATED or 400 BAD_REQUEST", "200 UNAUTHENTICATED or 400 BAD_REQUEST"}},
	{"long chunk extension", func(size int) string {
		return chunkedHead +
			fmt.Sprintf("%x;x=%s\r\n%s\r\n0\r\n\r\n", len(meBody), strings.Repeat("x", size),
				meBody)
	}, codes{"200 UNAUTHENTICATED", "400 BAD_REQUEST"}},
	{"long trailer", func(size int) string {
		return chunkedHead + fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(meBody), meBody) +
			repeat("", "Trailer-x: x\r\n", "\r\n")(size)
	},
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED or 400 BAD_REQUEST",
			"200 UNAUTHENTICATED or 400 BAD_REQUEST", "200 UNAUTHENTICATED or 400 BAD_REQUEST"}},
	{"unknown transfer encoding", func(size int) string {
		return jsonHead + "Transfer-Encoding: gzip, chunked\r\n\r\n" + string(pad(size))
	}, codes{"501"}},

	// Headers.
	{"many headers", withHeaders("X-Header: x\r\n"),
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"many cookies", withHeaders("Cookie: a=b; c=d\r\n"),
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"long header", func(size int) string {
		return repeat(getHead+"X-Header: ", "x",
			"\r\n\r\n")(size)
	},
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"long header name", func(size int) string { return repeat(getHead, "x", ": x\r\n\r\n")(size) },
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"many accepted media types", func(size int) string {
		return repeat(getHead+"Accept: */*", ", application/json;q=0.123", "\r\n\r\n")(size)
	}, codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED or 406 BAD_REQUEST", "431 or closed"}},
	{"long token", func(size int) string {
		return repeat(getHead+"Authorization: Bearer ", "x",
			"\r\n\r\n")(size)
	},
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"many tokens", withHeaders("Authorization: Bearer x.y.z\r\n"),
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"many origins", withHeaders("Origin: https://elsewhere.example\r\n"),
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"many X-Forwarded-For", withHeaders("X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n"),
		codes{"200 UNAUTHENTICATED", "200 UNAUTHENTICATED", "431 or closed"}},
	{"header without colon", func(int) string { return getHead + "Header\r\n\r\n" }, codes{"400"}},
	{"NUL in a header", func(int) string { return getHead + "X: \x00\r\n\r\n" }, codes{"400"}},
	{"no Host header", func(int) string { return "GET /graphql HTTP/1.1\r\n\r\n" }, codes{"400"}},
	{"upgrade to WebSocket",
		func(int) string {
			return getHead +
				"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		}, codes{"200 UNAUTHENTICATED"}},

	// Request lines, and data without a request line.
	{"long query string", func(size int) string {
		return "GET /graphql?query=" +
			url.QueryEscape(nest("{me", "{a", "{id}", "}", "}")(size/2)) +
			" HTTP/1.1\r\nHost: x\r\nAccept: application/graphql-response+json\r\n\r\n"
	}, codes{"400 OPERATION_TOO_LARGE", "400 OPERATION_TOO_LARGE", "431 or closed"}},
	{"many query parameters", func(size int) string {
		return repeat("GET /graphql?query=%7Bme%7Bid%7D%7D", "&x=x",
			" HTTP/1.1\r\nHost: x\r\n\r\n")(size)
	},
		codes{"200 UNAUTHENTICATED or 400 BAD_REQUEST", "200 UNAUTHENTICATED or 400 BAD_REQUEST",
			"431 or closed"}},
	{"variables in a query string", func(size int) string {
		return "GET /graphql?query=%7Bme%7Bid%7D%7D&variables=" +
			nest(`%7B%22v%22:`, "[", "1", "]", "%7D")(size-100) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	}, codes{"400 BAD_REQUEST", "400 BAD_REQUEST", "431 or closed"}},
	{"long method", func(size int) string {
		return strings.Repeat("A", size) +
			" /graphql HTTP/1.1\r\nHost: x\r\n\r\n"
	},
		codes{"405 BAD_REQUEST", "405 BAD_REQUEST", "431 or closed"}},
	{"long path", func(size int) string {
		return "GET /" + strings.Repeat("a/../", size/5) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	},
		codes{"301 or 307 or 404", "301 or 307 or 404", "431 or closed"}},
	{"endless request line",
		func(size int) string {
			return repeat("GET ", "x",
				"")(max(size, bodyLimit))
		}, codes{"431 or closed"}},
	{"empty lines", func(size int) string { return strings.Repeat("\r\n", size/2) },
		codes{"400 or closed"}},
	{"TLS handshake", func(size int) string {
		return "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\n", size)
	}, codes{"400 or closed"}},
	{"HTTP/2 preface", func(int) string { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
		codes{"400 or 404 or 405 or 505 or closed"}},
}

// Each rawShape gets the expected response at each size, and the server still works afterwards.
func TestHostileHTTP(t *testing.T) {
	t.Parallel()
	user, _ := realm{sharedKeycloak, "local"}.newUser(t, nil)
	s := serve(t, sharedKeycloak, "RUNTIME_ENV=prod", "GET_QUERIES=true")
	token := s.mustLogin(t, user, "secret").AccessToken
	for _, tt := range rawShapes {
		t.Run(tt.name, func(t *testing.T) {
			for i, size := range hostileSizes {
				cpuBefore := cpuTime(t, s.cmd.Process.Pid)
				request := tt.request(size)
				got := s.roundTrip(t, request)
				if want := tt.want.forSize(i); !slices.Contains(strings.Split(want, " or "), got) {
					t.Errorf("%d bytes: got %s, want %s", len(request), got, want)
				}
				if os.Getenv("TEST_FIGURES") != "" {
					t.Logf("%-40s %8d bytes: %s, %v", tt.name, len(request), got,
						cpuTime(t, s.cmd.Process.Pid)-cpuBefore)
				}
			}
			if name, response := s.me(t, token); name != user {
				t.Errorf("me afterwards is %q, want %q\n%s", name, user, response.body)
			}
		})
	}
	t.Run("100 pipelined requests", func(t *testing.T) {
		connection := s.dial(t)
		go io.WriteString(connection, strings.Repeat(withLength(jsonHead, meBody), 100))
		reader := bufio.NewReader(connection)
		for i := range 100 {
			if got := readResponse(t, reader); got != "200 UNAUTHENTICATED" {
				t.Fatalf("response %d: got %s, want 200 UNAUTHENTICATED", i+1, got)
			}
		}
	})
	t.Run("client disconnects", func(t *testing.T) {
		for range 100 {
			connection := s.dial(t)
			io.WriteString(connection, jsonHead+"Content-Length: 1000\r\n\r\n"+meBody)
			connection.Close()
		}
		if name, response := s.me(t, token); name != user {
			t.Errorf("me afterwards is %q, want %q\n%s", name, user, response.body)
		}
	})
}

// dial opens a connection to the server, which is closed when the test ends.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	connection.SetDeadline(time.Now().Add(timeout))
	return connection
}

// roundTrip writes a request, which may be incomplete, and reads one response.
func (s *server) roundTrip(t *testing.T, request string) string {
	t.Helper()
	connection := s.dial(t)
	defer connection.Close()
	// The server may respond and close before it has read everything.
	go io.WriteString(connection, request)
	return readResponse(t, bufio.NewReader(connection))
}

// readResponse reads a response, and returns it in the format of rawShape.
func readResponse(t *testing.T, reader *bufio.Reader) string {
	t.Helper()
	response, err := http.ReadResponse(reader, nil)
	if err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
			return "no response for minutes"
		}
		return "closed"
	}
	// Ignore errors: if the connection is being closed, a part of the body may be missing.
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	code, _, _ := strings.Cut(httpResponse{body: string(body)}.code(), "/")
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", code))
}
