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

// If Keycloak sends a response without a request, the log doesn't contain that response.
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
				// The response to the request, and an unsolicited one in the same write.
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
	returned := make(chan error, 1)
	go func() {
		returned <- run(ctx, append(slices.Clone(requiredSettings), "ADDR=127.0.0.1:0",
			"KEYCLOAK_SERVER_URL=http://"+listener.Addr().String()), t.TempDir(), output)
	}()
	waitFor(t, "net/http logs the unsolicited response", func() bool {
		return strings.Contains(output.String(), "Unsolicited response received")
	})
	stop()
	if err := <-returned; err != nil {
		t.Error(err)
	}
	if strings.Contains(output.String(), libraryCanary) {
		t.Errorf("the log repeats an unsolicited response:\n%s", output)
	}
}

// The log has a panic's stack trace, but not its value.
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
		t.Error("the request succeeds, though its handler panics")
	}
	waitFor(t, "the panic is logged", func() bool {
		return strings.Contains(output.String(), "http: panic serving")
	})
	if text := output.String(); strings.Contains(text, libraryCanary) ||
		!strings.Contains(text, "TestLibraryLog_panic") {
		t.Errorf("want a log with the panic's stack trace and without its value, got:\n%s", text)
	}
}
