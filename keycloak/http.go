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

// maxResponseBytes limits a response body. It is many times the size of the largest token response
// or key set.
const maxResponseBytes = 1 << 20

// NewTransport returns an HTTP transport tuned for calls to one Keycloak. It pools connections, and
// closes idle ones before common proxies would. Each step of connecting has a timeout. By default,
// each Client and each KeySet has its own transport. To share connections, pass the same transport
// to both; for your own TLS settings, set its TLSClientConfig.
//
// net/http logs the start of an unsolicited response to the standard logger. A program that calls
// Keycloak should send that logger's output (log.SetOutput) to a place that may hold tokens, or
// through a writer that drops quoted text.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: 3 * time.Second,
			KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64, // with Go's default of 2, most logins of a burst would dial
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: checkProxyResponse,
	}
}

// newHTTPClient returns a client that keeps no cookies and follows no redirects: a 307 would send a
// password and the client's secret to a host that isn't configured. A nil transport means
// NewTransport(). The client has no timeout: each request's context has a deadline.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = NewTransport()
	}
	return &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
}

// checkProxyResponse returns an error if a proxy refuses to connect. It replaces net/http's error,
// which repeats text from the proxy.
func checkProxyResponse(_ context.Context, _ *url.URL, _ *http.Request,
	response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{response.StatusCode}
}

type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy responded %d instead of connecting", e.status)
}

// proxyNote returns a note for error messages if the request goes through a proxy: the request may
// never have reached Keycloak.
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

// A response is a response from Keycloak, with its whole body.
type response struct {
	status int
	body   []byte
	note   string // from proxyNote
}

// send sends a request and reads the whole response. It fails if there is no response, or if the
// response is cut short, too large, or a redirect.
func send(client *http.Client, request *http.Request) (response, error) {
	// Keycloak sends some errors as HTML to a client that looks like a browser. Never set Origin:
	// Keycloak refuses a request whose Origin isn't one of the client's web origins.
	request.Header.Set("Accept", "application/json")
	resp, err := client.Do(request)
	switch {
	case err != nil && strings.Contains(err.Error(), "Location header"): // net/http quotes it
		return response{}, errors.New("the response is a redirect to an invalid URL")
	case err != nil:
		return response{}, redact(err, proxyNote(client, request))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes+1))
	switch {
	case err != nil:
		return response{}, fmt.Errorf("response %d was cut short: %w", resp.StatusCode,
			redact(err, ""))
	case len(body) > maxResponseBytes:
		return response{}, fmt.Errorf("response %d is larger than %d bytes", resp.StatusCode,
			maxResponseBytes)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return response{}, fmt.Errorf(
			"response %d is a redirect: NewRealm's serverURL must be where Keycloak itself "+
				"responds",
			resp.StatusCode)
	}
	return response{status: resp.StatusCode, body: body, note: proxyNote(client, request)}, nil
}

// A redactedError is an error whose text repeats nothing from a response.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// redact replaces the text of an error from net/http, and appends note. net/http quotes the parts
// of a response that it can't parse: these may hold tokens, or repeat the request.
func redact(err error, note string) error {
	prefix, cause := "", err
	if urlErr, ok := errors.AsType[*url.Error](err); ok { // its URL is from the configuration
		prefix, cause = fmt.Sprintf("%s %q: ", urlErr.Op, urlErr.URL), urlErr.Err
	}
	return &redactedError{prefix + safeText(cause) + note, err}
}

// safeText returns the text of an error if it can only come from this machine, from DNS, or from
// the server's certificate. For any other error it returns the type and the length of the text.
func safeText(err error) string {
	var timeoutErr interface{ Timeout() bool }
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		if opErr.Op == "proxyconnect" { // the error may quote the proxy
			return "connecting to the proxy: " + safeText(opErr.Err)
		}
		return opErr.Error()
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok {
		return dnsErr.Error()
	}
	if certErr, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		// the text holds names from the certificate
		text := strictjson.Escape(200, certErr.Error())
		if _, isUnknown := errors.AsType[x509.UnknownAuthorityError](err); isUnknown {
			text += ": SSL_CERT_FILE can name a file of certificate authorities to trust"
		}
		return text
	}
	if proxyErr, ok := errors.AsType[*proxyError](err); ok {
		return proxyErr.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server doesn't speak TLS: is NewRealm's serverURL an https URL with the port " +
			"for http?"
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), err == io.EOF,
		err == io.ErrUnexpectedEOF,
		errors.Is(err, http.ErrSchemeMismatch):
		return err.Error()
	case errors.As(err, &timeoutErr) && timeoutErr.Timeout():
		return "it took too long"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	}
	text := strings.TrimPrefix(err.Error(), "net/http: HTTP/1.x transport connection broken: ")
	for _, prefix := range malformedPrefixes {
		if strings.HasPrefix(text, prefix) {
			return prefix
		}
	}
	return fmt.Sprintf("an unknown error of %d bytes (%T)", len(text), err)
}

// malformedPrefixes are the starts of net/http's errors that go on to quote a malformed response.
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
