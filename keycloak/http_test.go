package keycloak

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// rawHandler returns a handler that writes raw bytes to the connection and closes it.
func rawHandler(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		io.WriteString(conn, raw)
	}
}

// htmlHandler returns a handler that sends an HTML page with the request's form values.
func htmlHandler(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<html><body>Oops! %v</body></html>", r.Form)
	}
}

// gzipBomb returns two megabytes of zeros, compressed with gzip to a few kilobytes.
var gzipBomb = sync.OnceValue(func() string {
	var compressed strings.Builder
	writer := gzip.NewWriter(&compressed)
	writer.Write(make([]byte, 2<<20))
	writer.Close()
	return compressed.String()
})

// serveGzipBomb responds with gzipBomb.
func serveGzipBomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	io.WriteString(w, gzipBomb())
}

// A response that Keycloak wouldn't send becomes ErrProviderUnavailable, which doesn't blame the
// caller. The error quotes neither the request nor the response.
func TestClient_badResponses(t *testing.T) {
	const anyCall = ""
	for _, tt := range []struct {
		name, call string
		handler    http.HandlerFunc
		detail     string
	}{
		{"HTML with 200", anyCall, htmlHandler(200), "response 200"},
		{"HTML with 400", anyCall, htmlHandler(400), "response 400 is not one of Keycloak's"},
		{"HTML with 401", anyCall, htmlHandler(401), "response 401"},
		{"HTML with 404", anyCall, htmlHandler(404), "response 404"},
		{"502 from a proxy", anyCall, htmlHandler(502), "response 502"},
		{"503 without a body", anyCall, jsonHandler(503, ""), "response 503"},
		{"500 from Keycloak", anyCall,
			jsonHandler(500, `{"error":"unknown_error","error_description":"For more on this `+
				`error consult the server log."}`), "response 500"},
		{"500 with invalid_grant", anyCall,
			jsonHandler(500, `{"error":"invalid_grant","error_description":"Account disabled"}`),
			"response 500"},
		{"429 with invalid_grant", anyCall, jsonHandler(429, `{"error":"invalid_grant"}`),
			"response 429"},
		{"408 with invalid_grant", anyCall, jsonHandler(408, `{"error":"invalid_grant"}`),
			"response 408"},
		{"201 with a token response", anyCall, jsonHandler(201, tokenResponse), "response 201"},
		{"201 with invalid_grant", anyCall,
			jsonHandler(201, `{"error":"invalid_grant","error_description":"Account disabled"}`),
			"response 201"},
		{"200 without a body", anyCall, jsonHandler(200, ""), "response 200"},
		{"400 without a body", anyCall, jsonHandler(400, ""), "response 400"},
		{"400 with null for the body", anyCall, jsonHandler(400, "null"), "response 400"},
		{"400 with a list", anyCall, jsonHandler(400, `[{"error":"invalid_grant"}]`),
			"response 400"},
		{"400 with an empty error", anyCall, jsonHandler(400, `{"error":""}`), "response 400"},
		{"400 with a number for error", anyCall, jsonHandler(400, `{"error":5}`), "response 400"},
		{"400 from another server", anyCall, jsonHandler(400, `{"message":"canary","code":17}`),
			"response 400"},
		{"400 with truncated JSON", anyCall,
			jsonHandler(400, `{"error":"invalid_grant","error_desc`), "response 400"},

		{"204 instead of tokens", "login", jsonHandler(204, ""), "response 204"},
		{"204 instead of tokens", "refresh", jsonHandler(204, ""), "response 204"},
		{"200 with null for the body", "login", jsonHandler(200, "null"), "no bearer token"},
		{"200 with a list", "login", jsonHandler(200, "["+tokenResponse+"]"), "not a JSON object"},
		{"200 with a string", "login", jsonHandler(200, `"`+canary+`"`), "not a JSON object"},
		{"200 with other fields", "login", jsonHandler(200, `{"token":"canary"}`),
			"no bearer token"},
		{"200 with an error", "login", jsonHandler(200, `{"error":"invalid_grant"}`),
			"no bearer token"},
		{"200 with an empty token", "login",
			jsonHandler(200, patch(t, tokenResponse,
				object{"access_token": ""})), "no bearer token"},
		{"200 with a token bound to a key", "login",
			jsonHandler(200, patch(t, tokenResponse,
				object{"token_type": "DPoP"})), "no bearer token"},
		{"200 without token_type", "refresh",
			jsonHandler(200, patch(t, tokenResponse,
				object{"token_type": absent})), "no bearer token"},
		{"200 with a number for the token", "refresh",
			jsonHandler(200, patch(t, tokenResponse,
				object{"access_token": 5})), "not a JSON object"},
		{"200 with a string for expires_in", "login",
			jsonHandler(200, patch(t, tokenResponse,
				object{"expires_in": "canary"})), "not a JSON object"},
		{"200 with a number too large for expires_in", "login",
			jsonHandler(200, strings.Replace(tokenResponse, ":300,", ":1e999,",
				1)), "not a JSON object"},
		{"200 with truncated JSON", "login", jsonHandler(200, tokenResponse[:60]),
			"not a JSON object"},
		// If a logout form has no refresh_token, Keycloak responds with a confirmation page.
		{"200 instead of 204", "logout", htmlHandler(200), "response 200"},

		{"a body shorter than Content-Length", anyCall,
			rawHandler("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" +
				tokenResponse), "cut short"},
		{"chunks that end early", anyCall,
			rawHandler("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" +
				tokenResponse[:60]), "cut short"},
		{"a truncated response header", anyCall, rawHandler("HTTP/1.1 200 OK\r\nContent-Le"), ""},
		{"a closed connection", anyCall, rawHandler(""), ""},
		{"an SSH server", anyCall, rawHandler("SSH-2.0-OpenSSH_9.9\r\n"), ""},
		{"an invalid status", anyCall, rawHandler("HTTP/1.1 9999 " + canary + "\r\n\r\n"), ""},
		{"a body larger than a megabyte", anyCall,
			jsonHandler(200, patch(t, tokenResponse,
				object{"x": strings.Repeat("x", maxResponseBytes)})), "larger than 1048576 bytes"},
		{"a body larger than a megabyte once decompressed", anyCall, serveGzipBomb,
			"larger than 1048576 bytes"},
		{"invalid gzip", anyCall,
			rawHandler("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " +
				"5\r\n\r\nhello"), ""},
		{"a header of a megabyte", anyCall,
			rawHandler("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), ""},
	} {
		for name, call := range clientCalls {
			if tt.call != anyCall && tt.call != name {
				continue
			}
			t.Run(name+": "+tt.name, func(t *testing.T) {
				err := call(t.Context(), newClient(t, tt.handler))
				checkUnavailable(t, err, tt.detail)
			})
		}
	}
}

// checkUnavailable checks that err is ErrProviderUnavailable, that its detail contains detail, and
// that it leaks nothing.
func checkUnavailable(t *testing.T, err error, detail string) {
	t.Helper()
	if !errors.Is(err, identity.ErrProviderUnavailable) {
		t.Fatalf("got %v, want %v", err, identity.ErrProviderUnavailable)
	}
	checkOneReason(t, err)
	if !strings.Contains(identity.Detail(err), detail) {
		t.Errorf("the detail %q doesn't contain %q", identity.Detail(err), detail)
	}
	checkClientSafe(t, err)
	checkNoLeak(t, err)
}

// A proxy in front of Keycloak may quote the request in its response. The error doesn't repeat such
// a quote.
func TestClient_redactsEchoes(t *testing.T) {
	for name, echoHandler := range map[string]http.HandlerFunc{
		"in error_description": func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request",
				"error_description": fmt.Sprint("what is this: ", r.PostForm)})
		},
		"in error_description, encoded and near the length limit": func(w http.ResponseWriter,
			r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(map[string]string{"error": "denied",
				"error_description": strings.Repeat("x", 190) + string(body)})
		},
		"in error": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(w).Encode(map[string]string{"error": r.PostFormValue("client_secret")})
		},
		"in the URL of a redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location",
				"http://%zz/"+"?p="+r.PostFormValue("password")+r.PostFormValue("refresh_token"))
			w.WriteHeader(http.StatusFound)
		},
	} {
		for callName, call := range clientCalls {
			t.Run(callName+": "+name, func(t *testing.T) {
				err := call(t.Context(), newClient(t, echoHandler))
				if detail := identity.Detail(err); !strings.Contains(detail, "[an unknown ") &&
					!strings.Contains(detail, "an invalid URL") {
					t.Errorf("got %v with the detail %q, want only the length of the text in it",
						err,
						detail)
				}
				checkClientSafe(t, err)
				checkNoLeak(t, err)
			})
		}
	}
}

// A response of exactly the maximum size is accepted.
func TestClient_largestResponse(t *testing.T) {
	padding := maxResponseBytes - len(patch(t, tokenResponse, object{"x": ""}))
	client := newClient(t, jsonHandler(200, patch(t, tokenResponse,
		object{"x": strings.Repeat("x", padding)})))
	if _, err := client.Login(t.Context(), aliceCredentials()); err != nil {
		t.Error(err)
	}
}

// A Client doesn't follow redirects, which could send a password to a host that isn't configured.
func TestClient_followsNoRedirects(t *testing.T) {
	var otherRequests atomic.Int32
	otherServer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		otherRequests.Add(1)
	}))
	defer otherServer.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{otherServer.URL, "/here",
			"//" + strings.TrimPrefix(otherServer.URL, "http://"), ""} {
			for name, call := range clientCalls {
				t.Run(fmt.Sprintf("%s %d to %q", name, status, target), func(t *testing.T) {
					var requests atomic.Int32
					err := call(t.Context(),
						newClient(t, func(w http.ResponseWriter, r *http.Request) {
							requests.Add(1)
							if target != "" {
								w.Header().Set("Location", target)
							}
							w.WriteHeader(status)
						}, func(c *ClientConfig) { c.Transport = http.DefaultTransport }))
					checkUnavailable(t, err, "NewRealm's serverURL")
					if requests.Load() != 1 {
						t.Errorf("%d requests, want 1", requests.Load())
					}
				})
			}
		}
	}
	if n := otherRequests.Load(); n != 0 {
		t.Errorf("the other server got %d requests, want none", n)
	}
}

// If nothing listens at Keycloak's address, the error's detail names the address.
func TestClient_connectionRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for name, call := range clientCalls {
		t.Run(name, func(t *testing.T) {
			client := must(NewClient(ClientConfig{
				Realm: must(NewRealm("http://"+address, "local")), ClientID: "local-api",
				ClientSecret: identity.NewSecret(canary),
			}))
			checkUnavailable(t, call(t.Context(), client), address)
		})
	}
}

// A call times out if Keycloak is slow to send the header or the rest of the body.
func TestClient_timeout(t *testing.T) {
	for name, sendFirstPart := range map[string]func(http.ResponseWriter){
		"before the response header": func(http.ResponseWriter) {},
		"in the middle of the body": func(w http.ResponseWriter) {
			io.WriteString(w, tokenResponse[:60])
			http.NewResponseController(w).Flush()
		},
	} {
		for callName, call := range clientCalls {
			t.Run(callName+" "+name, func(t *testing.T) {
				done := make(chan bool)
				client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
					sendFirstPart(w)
					<-done
				}, withTimeout(20*time.Millisecond))
				defer close(done)
				checkUnavailable(t, call(t.Context(), client), "ClientConfig.Timeout")
			})
		}
	}
}

// An error about a malformed response doesn't quote the response, which may contain a token.
func TestSend_malformedResponse(t *testing.T) {
	const canary = "canary-77aa"
	for name, response := range map[string]string{
		"not HTTP":                 canary + "\r\n\r\n",
		"no status":                "HTTP/1.1 " + canary + "\r\n\r\n",
		"no version":               "HTTP/" + canary + " 200 OK\r\n\r\n",
		"a header without a colon": "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"a folded first header":    "HTTP/1.1 200 OK\r\n " + canary + ": x\r\n\r\n",
		"an invalid length":        "HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n",
		"two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " +
			canary + "\r\n\r\n",
		"an unknown encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
		"a chunk without a length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			canary + "\r\n",
		"a bad trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" +
			canary + "\r\n\r\n",
		"a redirect to an invalid URL": "HTTP/1.1 302 Found\r\nLocation: http://[" + canary +
			"\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(rawHandler(response))
			defer server.Close()
			_, err := get(t.Context(), newHTTPClient(nil), server.URL+"/certs")
			if err == nil {
				t.Fatal("get() succeeded, want an error")
			}
			if strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), canary) {
				t.Errorf("the error quotes the response: %v, want no quote", err)
			}
		})
	}
}

// redact keeps the text of an error only if no part of it can come from the server. Of any other
// error it keeps a known prefix at most.
func TestRedact(t *testing.T) {
	const canary = "canary-77aa"
	dialErr := &net.OpError{Op: "dial", Net: "tcp",
		Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443},
		Err:  errors.New("connection refused")}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&url.Error{Op: "Post", URL: "https://sso.example.com/token", Err: dialErr},
			`Post "https://sso.example.com/token": dial tcp 192.0.2.1:443: connection refused`},
		{&url.Error{Op: "Post", URL: "https://sso.example.com",
			Err: &net.DNSError{Err: "no such host",
				Name: "sso.example.com"}}, `Post "https://sso.example.com": lookup ` +
			`sso.example.com: no such host`},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New(canary)},
			"connecting to the proxy: an unknown error of 11 bytes (*errors.errorString)"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dialErr},
			"connecting to the proxy: dial tcp 192.0.2.1:443: connection refused"},
		{&url.Error{Op: "Get", URL: "https://sso.example.com", Err: &proxyError{407}},
			`Get "https://sso.example.com": the proxy responded 407 instead of connecting`},
		{tls.RecordHeaderError{Msg: canary, RecordHeader: [5]byte([]byte("canar"))},
			"the server doesn't speak TLS: is NewRealm's serverURL an https URL with the port " +
				"for http?"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
			"tls: failed to verify certificate: x509: certificate signed by unknown authority: " +
				"SSL_CERT_FILE can name a file of certificate authorities to trust"},
		{fmt.Errorf("%w: %s", context.DeadlineExceeded, "here"), "context deadline exceeded: here"},
		{fmt.Errorf("%s: %w", canary, os.ErrDeadlineExceeded), "it took too long"},
		{fmt.Errorf("%s: %w", canary, io.EOF), "the connection ended"},
		{io.ErrUnexpectedEOF, "unexpected EOF"},
		{http.ErrSchemeMismatch, "http: server gave HTTP response to HTTPS client"},
		{errors.New("malformed HTTP response " + canary), "malformed HTTP response"},
		{errors.New("net/http: HTTP/1.x transport connection broken: malformed HTTP status code " +
			canary), "malformed HTTP status code"},
		{errors.New(canary), "an unknown error of 11 bytes (*errors.errorString)"},
	} {
		if got := redact(tt.err, "").Error(); got != tt.want {
			t.Errorf("redact(%q) = %q, want %q", tt.err, got, tt.want)
		}
	}
}

// If a proxy from the environment responds instead of Keycloak, the error says so, because people
// often forget that HTTP_PROXY is set.
func TestSend_proxyResponds(t *testing.T) {
	const canary = "canary-77aa"
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, canary, http.StatusForbidden)
	}))
	defer proxy.Close()
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := newHTTPClient(nil)
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(proxyURL)
	for serverURL, want := range map[string]string{
		"http://sso.example.com": "response 403 is not one of Keycloak's (through a proxy: see " +
			"HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment)",
		"https://sso.example.com": "the proxy responded 403 instead of connecting (through a " +
			"proxy: see HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment)",
	} {
		realm, err := NewRealm(serverURL, "shop")
		if err != nil {
			t.Fatal(err)
		}
		got, err := get(t.Context(), client, realm.tokenURL())
		if err == nil {
			err = refusalError(got, loginRefusalRules)
		}
		text := err.Error() + ": " + identity.Detail(err)
		if !strings.Contains(text, want) || strings.Contains(text, canary) {
			t.Errorf("%s: got %s; want it to contain %q but nothing from the proxy's response",
				serverURL, text, want)
		}
	}
	if got := statusDetail(response{status: 403, note: " (note)"}); got !=
		"response 403; expected 200 (note)" {
		t.Errorf("statusDetail() = %q, want %q", got, "response 403; expected 200 (note)")
	}
}
