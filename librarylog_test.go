package cloakql_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql"
)

// libraryCanary must not appear in the log of a library.
const libraryCanary = "canary-9d1e"

// If Keycloak sends a response that the server didn't request, net/http logs an error that quotes
// the response. The server's log has the error without the quote.
func TestLibraryLog_unsolicitedResponse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				if _, err := http.ReadRequest(bufio.NewReader(connection)); err != nil {
					return
				}
				// Write the response to the request, and an unsolicited response along with it.
				const keys, tokens = `{"keys":[]}`, `{"access_token":"` + libraryCanary + `"}`
				fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: "+
					"%d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
					len(keys), keys, len(tokens), tokens)
				io.Copy(io.Discard, connection) // until the other side closes
			}()
		}
	}()
	writer, flags := log.Writer(), log.Flags()
	t.Cleanup(func() { log.SetOutput(writer); log.SetFlags(flags) })
	output := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	runDone := make(chan error, 1)
	go func() {
		runDone <- run(ctx, append(slices.Clone(requiredSettings), "ADDR=127.0.0.1:0",
			"KEYCLOAK_SERVER_URL=http://"+listener.Addr().String()), t.TempDir(), output)
	}()
	waitFor(t, "net/http logs the unsolicited response", func() bool {
		return strings.Contains(output.String(), "Unsolicited response received")
	})
	stop()
	if err := <-runDone; err != nil {
		t.Error(err)
	}
	if strings.Contains(output.String(), libraryCanary) {
		t.Errorf("got a log with the text of the unsolicited response, want it left out:\n%s",
			output)
	}
}

// If a handler panics, net/http logs the panic's value and its stack trace. The server's log has
// only the stack trace.
func TestLibraryLog_panic(t *testing.T) {
	output := &lockedBuffer{}
	config := testConfig(t)
	config.Log = slog.New(slog.NewTextHandler(output, nil))
	server := cloakql.HTTPServer(newServer(t, config))
	server.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("cannot use " + libraryCanary + "\ngoroutine 1 [running]:\n" + libraryCanary)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Close()
	if _, err := http.Get("http://" + listener.Addr().String()); err == nil {
		t.Error("Get() = nil, want an error, because the handler panics")
	}
	waitFor(t, "the panic is logged", func() bool {
		return strings.Contains(output.String(), "http: panic serving")
	})
	if text := output.String(); strings.Contains(text, libraryCanary) ||
		!strings.Contains(text, "TestLibraryLog_panic") {
		t.Errorf("got the log\n%s\nwant the panic's stack trace without its value", text)
	}
}
