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

const libraryCanary = "canary-9d1e"

// What Keycloak, or a server in its place, sends unasked isn't in the log.
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
				// One response that was asked for, and another in the same write.
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
	written := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append(slices.Clone(needed), "ADDR=127.0.0.1:0",
			"KEYCLOAK_SERVER_URL=http://"+listener.Addr().String()), t.TempDir(), written)
	}()
	waitFor(t, "net/http tells of the response", func() bool {
		return strings.Contains(written.String(), "Unsolicited response received")
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(written.String(), libraryCanary) {
		t.Errorf("the log repeats an unsolicited response:\n%s", written)
	}
}

// The value of a panic isn't in the log; where it happened is.
func TestLibraryLog_panic(t *testing.T) {
	written := &lockedBuffer{}
	config := goodConfig(t)
	config.Log = slog.New(slog.NewTextHandler(written, nil))
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
		t.Error("a panic is answered")
	}
	waitFor(t, "the panic is logged", func() bool {
		return strings.Contains(written.String(), "http: panic serving")
	})
	if text := written.String(); strings.Contains(text, libraryCanary) ||
		!strings.Contains(text, "TestLibraryLog_panic") {
		t.Errorf("the log has the value of a panic, or not its place:\n%s", text)
	}
}
