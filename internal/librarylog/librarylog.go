// Package librarylog passes on the lines that libraries log by themselves, without what they quote.
package librarylog

import (
	"fmt"
	"log"
	"log/slog"
	"strings"
)

// A writer takes the lines that libraries write by themselves, net/http above all, and logs of
// each what it is, and nothing of what it quotes: an unsolicited response can be somebody's
// tokens, and the value of a panic a password.
type writer struct{ log *slog.Logger }

// New returns a logger for the ErrorLog of an http.Server.
func New(to *slog.Logger) *log.Logger { return log.New(writer{to}, "", 0) }

// RedirectStandard sends the standard logger's lines through New's, until the process ends: an
// http.Transport has no log of its own.
func RedirectStandard(to *slog.Logger) {
	log.SetOutput(writer{to})
	log.SetFlags(0)
	log.SetPrefix("")
}

// knownLines are the beginnings of lines by net/http (Go 1.26) that say enough by themselves.
var knownLines = []string{
	"Unsolicited response received on idle HTTP channel",
	"RoundTripper returned a response & error; ignoring response",
	"Error enabling Transport HTTP/2 support",
	"Transport: unhandled response frame type",
	"http: panic serving",
	"http: TLS handshake error",
	"http: invalid Content-Length",
	"http: WriteHeader called with both Transfer-Encoding",
	"http: error reading directory",
	"http: proxy error",
	"net/http: invalid Cookie.Domain",
	"net/http: invalid byte",
	"protocol error: received DATA after END_STREAM",
	"protocol error: received DATA before a HEADERS frame",
	"protocol error: received DATA on a HEAD request",
	"protocol error",
	"http2: Transport received unsolicited DATA frame",
	"http2: 1xx informational responses too large",
	"http2: header list too large",
	"http2: invalid header",
	"http2: invalid pseudo headers",
	"http2: panic serving",
	"http2: received GOAWAY",
	"http2: server connection error",
	"http2: server closing client connection",
	"http2: server: error reading preface from client",
	"http2: Transport",
	"http2: server",
	"ignoring invalid trailer",
	"timeout waiting for SETTINGS frames",
	"timeout waiting for PING response",
	"keycloaktest: panic",
}

// ownLines are the beginnings of lines that hold the names of our own functions, or what the
// operating system says, and nothing of a peer's.
var ownLines = []string{
	"http: superfluous response.WriteHeader call from ",
	"http: response.WriteHeader on hijacked connection from ",
	"http: response.Write on hijacked connection from ",
	"http: Accept error: ",
}

// Write logs one line.
func (l writer) Write(line []byte) (int, error) {
	message, stack := libraryMessage(strings.TrimSuffix(string(line), "\n"))
	if stack != "" {
		l.log.Error(message, "stack", stack)
	} else {
		l.log.Warn(message)
	}
	return len(line), nil
}

// libraryMessage returns what may be said of a line. The stack is that of a panic, whose arguments
// are addresses; the value of the panic, which stands before it, is left out.
func libraryMessage(line string) (message, stack string) {
	for _, begin := range ownLines {
		if strings.HasPrefix(line, begin) && !strings.Contains(line, "\n") {
			return line, ""
		}
	}
	if i := strings.LastIndex(line, "\ngoroutine "); i >= 0 {
		stack = line[i+1:]
	}
	for _, begin := range knownLines {
		if strings.HasPrefix(line, begin) {
			return begin, stack
		}
	}
	return fmt.Sprintf("a library wrote a line of %d bytes, which isn't repeated", len(line)), stack
}
