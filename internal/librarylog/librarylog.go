// Package librarylog redacts the lines that libraries write to the standard logger.
package librarylog

import (
	"fmt"
	"log"
	"log/slog"
	"strings"
)

// A writer logs the lines of libraries, mostly of net/http, without the data that they quote: an
// unsolicited response may have a user's tokens, and the value of a panic may be a password.
type writer struct{ log *slog.Logger }

// New returns a logger, for the ErrorLog of an http.Server, that writes redacted lines to dst.
func New(dst *slog.Logger) *log.Logger { return log.New(writer{dst}, "", 0) }

// RedirectStandard redirects the standard logger of the process to dst, with redacted lines. It is
// needed for http.Transport, which always uses the standard logger.
func RedirectStandard(dst *slog.Logger) {
	log.SetOutput(writer{dst})
	log.SetFlags(0)
	log.SetPrefix("")
}

// knownPrefixes are the starts of lines that net/http writes (Go 1.26). Only the start of such a
// line is logged.
var knownPrefixes = []string{
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

// safePrefixes are the starts of lines that are logged whole: these lines contain names of
// functions or errors of the operating system, but no data of a client or server.
var safePrefixes = []string{
	"http: superfluous response.WriteHeader call from ",
	"http: response.WriteHeader on hijacked connection from ",
	"http: response.Write on hijacked connection from ",
	"http: Accept error: ",
}

// Write logs one line.
func (w writer) Write(line []byte) (int, error) {
	message, stack := redact(strings.TrimSuffix(string(line), "\n"))
	if stack != "" {
		w.log.Error(message, "stack", stack)
	} else {
		w.log.Warn(message)
	}
	return len(line), nil
}

// redact returns the part of a line that may be logged, and the stack if the line reports a panic.
// It removes the panic's value, which comes before the stack. The stack is safe, since it has only
// the addresses of arguments.
func redact(line string) (message, stack string) {
	for _, prefix := range safePrefixes {
		if strings.HasPrefix(line, prefix) && !strings.Contains(line, "\n") {
			return line, ""
		}
	}
	if i := strings.LastIndex(line, "\ngoroutine "); i >= 0 {
		stack = line[i+1:]
	}
	for _, prefix := range knownPrefixes {
		if strings.HasPrefix(line, prefix) {
			return prefix, stack
		}
	}
	return fmt.Sprintf("a library logged a line of %d bytes, which is omitted", len(line)), stack
}
