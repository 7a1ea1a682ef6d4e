package graphqlhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestConnection_optionsAndHead checks over a connection that OPTIONS has no body and no CORS
// headers, and that HEAD has the headers of GET.
func TestConnection_optionsAndHead(t *testing.T) {
	server := httptest.NewServer(newServer(Config{AllowGET: true, Introspection: true},
		resolvers()))
	defer server.Close()
	for _, request := range []string{
		"OPTIONS / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n",
		"OPTIONS / HTTP/1.1\r\nHost: x\r\nOrigin: " +
			"https://elsewhere.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
	} {
		response, body := sendRaw(t, server, request)
		if response.StatusCode != 204 ||
			response.Header.Get("Allow") != "GET, HEAD, OPTIONS, POST" || len(body) != 0 ||
			response.Header.Get("Content-Type") != "" ||
			response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: %d %v %q, want 204, Allow, no body, no Content-Type and no CORS "+
				"headers", request, response.StatusCode, response.Header, body)
		}
	}
	get, body := sendRaw(t, server, "GET /?query={leaf} HTTP/1.1\r\nHost: x\r\n\r\n")
	head, headBody := sendRaw(t, server, "HEAD /?query={leaf} HTTP/1.1\r\nHost: x\r\n\r\n")
	if string(body) != leafResponse || len(headBody) != 0 {
		t.Errorf("GET has body %q, HEAD %q; want %q and none", body, headBody, leafResponse)
	}
	for _, header := range []string{"Content-Type", "Content-Length", "Cache-Control"} {
		if get.Header.Get(header) == "" || get.Header.Get(header) != head.Header.Get(header) {
			t.Errorf("%s: GET has %q, HEAD has %q, want the same value in both", header,
				get.Header.Get(header), head.Header.Get(header))
		}
	}
}

// TestConnection_unreadBody checks that the server doesn't wait for a body that it won't read, and
// closes the connection. Otherwise, net/http would read the body to reuse the connection.
func TestConnection_unreadBody(t *testing.T) {
	server := httptest.NewServer(newServer(Config{AllowGET: true, Introspection: true},
		resolvers()))
	defer server.Close()
	const (
		jsonHeader    = "Content-Type: application/json\r\n"
		chunkedHeader = "Transfer-Encoding: chunked\r\n"
	)
	for _, tt := range []struct {
		head   string
		status int
	}{
		{"POST / HTTP/1.1\r\n" + jsonHeader + "Content-Length: 65537\r\n", 413},
		{"POST / HTTP/1.1\r\n" + jsonHeader + "Content-Length: 100000\r\n", 413},
		{"POST / HTTP/1.1\r\n" + jsonHeader + "Content-Length: 1000000000000\r\n", 413},
		{"POST / HTTP/1.1\r\nContent-Length: 100000\r\n", 415},
		{"POST / HTTP/1.1\r\n" + jsonHeader + "Content-Encoding: gzip\r\n" + chunkedHeader, 415},
		{"POST / HTTP/1.1\r\n" + jsonHeader + "Accept: text/html\r\n" + chunkedHeader, 406},
		{"PUT / HTTP/1.1\r\n" + jsonHeader + chunkedHeader, 405},
		{"GET /?query={leaf} HTTP/1.1\r\nContent-Length: 100000\r\n", 200},
		{"OPTIONS / HTTP/1.1\r\n" + chunkedHeader, 204},
	} {
		// The body is never sent.
		response, _ := sendRaw(t, server, tt.head+"Host: x\r\n\r\n")
		if response.StatusCode != tt.status || !response.Close {
			t.Errorf("%q: status %d, closed: %t; want %d, true", tt.head, response.StatusCode,
				response.Close, tt.status)
		}
	}
	const body = `{"query":"{ leaf }"}`
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\n" + jsonHeader + "Content-Length: 20\r\n\r\n" + body,
		"POST / HTTP/1.1\r\nHost: x\r\n" + jsonHeader + chunkedHeader + "\r\n14\r\n" + body +
			"\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" + body,
	} {
		if response, _ := sendRaw(t, server, request); response.Close {
			t.Errorf("%q: status %d, closed: true, want false", request, response.StatusCode)
		}
	}
}

// sendRaw sends the text of a request over a new connection, and returns the response and its body.
func sendRaw(t *testing.T, server *httptest.Server,
	request string) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	method, _, _ := strings.Cut(request, " ")
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}
