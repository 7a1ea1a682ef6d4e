package keycloak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloakql/cloakql/internal/strictjson"
)

// maxResponseBytes bounds a body of Keycloak's: many times the largest token answer or key set.
const maxResponseBytes = 1 << 20

// NewTransport returns an HTTP transport tuned for calls to one Keycloak: connections are pooled
// and kept shorter than common proxies keep theirs, and each step of setting one up is bounded.
// Client and KeySet use one of these each when they are given none; give both the same one to share
// connections, or one with a TLSClientConfig of your own.
//
// net/http writes the beginning of an unsolicited response to the standard logger. A
// program that calls Keycloak should send that logger's lines (log.SetOutput) where nobody reads
// tokens, or through a writer that drops what they quote.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 3 * time.Second,
			KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64, // Go's default of 2 would dial anew for each login of a burst
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: refusedByProxy,
	}
}

// newHTTPClient returns a client that follows no redirect and has no cookies, whatever transport
// makes its calls: a 307 would carry a password and the client's secret to a place that nobody
// configured. A nil transport is NewTransport(). Each call brings a context with a deadline.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = NewTransport()
	}
	return &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
}

// refusedByProxy replaces net/http's error for a proxy that lets nobody through to Keycloak, which
// has the proxy's words.
func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{response.StatusCode}
}

type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered %d instead of connecting", e.status)
}

// proxyNote says that a request goes through a proxy, for the error of one that Keycloak may never
// have seen.
func proxyNote(client *http.Client, request *http.Request) string {
	transport, ok := client.Transport.(*http.Transport)
	if !ok || transport.Proxy == nil {
		return ""
	}
	if proxy, err := transport.Proxy(request); proxy == nil || err != nil {
		return ""
	}
	return " (through a proxy: see HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment)"
}

// A response is Keycloak's, read to its end.
type response struct {
	status int
	body   []byte
	note   string // proxyNote
}

// send makes a request and reads the answer to its end. It fails when there is no answer, when it
// is cut short or too large, and when it is a redirect.
func send(client *http.Client, request *http.Request) (response, error) {
	// Keycloak turns some errors into HTML for anything that looks like a browser, and refuses an
	// Origin outside the client's web origins; so this header, and never that one.
	request.Header.Set("Accept", "application/json")
	got, err := client.Do(request)
	switch {
	case err != nil && strings.Contains(err.Error(), "Location header"): // net/http quotes it
		return response{}, errors.New("the answer is a redirect to something that is no URL")
	case err != nil:
		return response{}, redact(err, proxyNote(client, request))
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, maxResponseBytes+1))
	switch {
	case err != nil:
		return response{}, fmt.Errorf("answer %d was cut short: %w", got.StatusCode,
			redact(err, ""))
	case len(body) > maxResponseBytes:
		return response{}, fmt.Errorf("answer %d is larger than %d bytes", got.StatusCode,
			maxResponseBytes)
	case got.StatusCode >= 300 && got.StatusCode < 400:
		return response{}, fmt.Errorf(
			"answer %d is a redirect: NewRealm's serverURL must be where Keycloak itself answers",
			got.StatusCode)
	}
	return response{status: got.StatusCode, body: body, note: proxyNote(client, request)}, nil
}

// A redactedError is an error with a text that repeats nothing of an answer.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// quiet replaces the text of an error of net/http, which repeats what it can't read of an answer:
// tokens may be in it, and what answers may have put in what it was asked. The note is put behind
// it.
func redact(err error, note string) error {
	begin, cause := "", err
	if failed, ok := errors.AsType[*url.Error](err); ok { // its address is ours
		begin, cause = fmt.Sprintf("%s %q: ", failed.Op, failed.URL), failed.Err
	}
	return &redactedError{begin + safeText(cause) + note, err}
}

// safeText returns the text of an error if it is of a kind whose text comes from this machine, the
// name's resolution, or the other side's certificate. Of any other it tells how long the text is.
func safeText(err error) string {
	var timeout interface{ Timeout() bool }
	if call, ok := errors.AsType[*net.OpError](err); ok {
		if call.Op == "proxyconnect" { // it may have the proxy's words
			return "the way to the proxy: " + safeText(call.Err)
		}
		return call.Error()
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return name.Error()
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		// which has names out of the certificate
		text := strictjson.Escape(200, certificate.Error())
		if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
			text += ": SSL_CERT_FILE names the file of the authorities that this process trusts"
		}
		return text
	}
	if proxy, ok := errors.AsType[*proxyError](err); ok {
		return proxy.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the other side doesn't speak TLS: is NewRealm's serverURL an https URL of a port " +
			"for http?"
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), err == io.EOF,
		err == io.ErrUnexpectedEOF,
		errors.Is(err, http.ErrSchemeMismatch):
		return err.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it took too long"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	}
	text := strings.TrimPrefix(err.Error(), "net/http: HTTP/1.x transport connection broken: ")
	for _, beginning := range malformedPrefixes {
		if strings.HasPrefix(text, beginning) {
			return beginning
		}
	}
	return fmt.Sprintf("an unknown fault of %d bytes (%T)", len(text), err)
}

// malformedPrefixes begin the texts of net/http that go on with what can't be read of an answer.
var malformedPrefixes = []string{
	"malformed HTTP response", "malformed HTTP status code", "malformed HTTP version",
	"malformed MIME header", "malformed chunked encoding",
	"bad Content-Length", "unsupported transfer encoding", "http: server closed idle connection",
	"http: suspiciously long trailer",
}

func get(ctx context.Context, client *http.Client, url string) (response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return response{}, err
	}
	return send(client, request)
}
