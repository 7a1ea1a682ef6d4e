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

// hijack answers with raw bytes and hangs up.
func hijack(raw string) http.HandlerFunc {
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

func html(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		// Careless pages show what they were sent.
		fmt.Fprintf(w, "<html><body>Oops! %v</body></html>", r.Form)
	}
}

// bomb is some megabytes in some kilobytes.
var bomb = sync.OnceValue(func() string {
	var packed strings.Builder
	writer := gzip.NewWriter(&packed)
	writer.Write(make([]byte, 2<<20))
	writer.Close()
	return packed.String()
})

func gzipped(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	io.WriteString(w, bomb())
}

// Whatever is not Keycloak's own answer is the realm's failure, never a caller's, and shows nothing
// of what it was sent.
func TestBadAnswers(t *testing.T) {
	const anyCall = ""
	for _, tt := range []struct {
		name, call string // anyCall: each of them
		handler    http.HandlerFunc
		says       string
	}{
		{"a page", anyCall, html(200), "answer 200"},
		{"a page with 400", anyCall, html(400), "answer 400 is not one of Keycloak's"},
		{"a page with 401", anyCall, html(401), "answer 401"},
		{"a page with 404", anyCall, html(404), "answer 404"},
		{"502 of a proxy", anyCall, html(502), "answer 502"},
		{"503 without a body", anyCall, answers(503, ""), "answer 503"},
		{"500 with Keycloak's words", anyCall, answers(500, `{"error":"unknown_error","error_description":"For more on this error consult the server log."}`), "answer 500"},
		{"500 that claims invalid_grant", anyCall, answers(500, `{"error":"invalid_grant","error_description":"Account disabled"}`), "answer 500"},
		{"429", anyCall, answers(429, `{"error":"invalid_grant"}`), "answer 429"},
		{"408", anyCall, answers(408, `{"error":"invalid_grant"}`), "answer 408"},
		{"201", anyCall, answers(201, tokens), "answer 201"},
		{"201 that claims invalid_grant", anyCall, answers(201, `{"error":"invalid_grant","error_description":"Account disabled"}`), "answer 201"},
		{"200 without a body", anyCall, answers(200, ""), "answer 200"},
		{"400 without a body", anyCall, answers(400, ""), "answer 400"},
		{"400 null", anyCall, answers(400, "null"), "answer 400"},
		{"400 with a list", anyCall, answers(400, `[{"error":"invalid_grant"}]`), "answer 400"},
		{"400 with an empty error", anyCall, answers(400, `{"error":""}`), "answer 400"},
		{"400 with a number", anyCall, answers(400, `{"error":5}`), "answer 400"},
		{"400 of another server", anyCall, answers(400, `{"message":"canary","code":17}`), "answer 400"},
		{"400 cut in the middle of JSON", anyCall, answers(400, `{"error":"invalid_grant","error_desc`), "answer 400"},

		{"204 for tokens", "login", answers(204, ""), "answer 204"},
		{"204 for a refresh", "refresh", answers(204, ""), "answer 204"},
		{"200 null", "login", answers(200, "null"), "no bearer token"},
		{"200 with a list", "login", answers(200, "["+tokens+"]"), "not a JSON object"},
		{"200 with text", "login", answers(200, `"`+canary+`"`), "not a JSON object"},
		{"200 of another shape", "login", answers(200, `{"token":"canary"}`), "no bearer token"},
		{"200 with an error", "login", answers(200, `{"error":"invalid_grant"}`), "no bearer token"},
		{"200 with an empty token", "login", answers(200, with(t, tokens, object{"access_token": ""})), "no bearer token"},
		{"200 with a token bound to a key", "login", answers(200, with(t, tokens, object{"token_type": "DPoP"})), "no bearer token"},
		{"200 without token_type", "refresh", answers(200, with(t, tokens, object{"token_type": absent})), "no bearer token"},
		{"200 with a number for the token", "refresh", answers(200, with(t, tokens, object{"access_token": 5})), "not a JSON object"},
		{"200 with text for a number", "login", answers(200, with(t, tokens, object{"expires_in": "canary"})), "not a JSON object"},
		{"200 with a number past all numbers", "login", answers(200, strings.Replace(tokens, ":300,", ":1e999,", 1)), "not a JSON object"},
		{"200 cut in the middle of JSON", "login", answers(200, tokens[:60]), "not a JSON object"},
		// Without its refresh_token form value Keycloak asks for confirmation, with a page.
		{"200 for a logout", "logout", html(200), "answer 200"},

		{"a length that is too long", anyCall, hijack("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + tokens), "cut short"},
		{"chunks that end early", anyCall, hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + tokens[:60]), "cut short"},
		{"a header that is cut off", anyCall, hijack("HTTP/1.1 200 OK\r\nContent-Le"), ""},
		{"a connection that is closed", anyCall, hijack(""), ""},
		{"another protocol", anyCall, hijack("SSH-2.0-OpenSSH_9.9\r\n"), ""},
		{"a status that is none", anyCall, hijack("HTTP/1.1 9999 " + canary + "\r\n\r\n"), ""},
		{"larger than a megabyte", anyCall, answers(200, with(t, tokens, object{"x": strings.Repeat("x", maxResponseBytes)})), "larger than 1048576 bytes"},
		{"larger once unpacked", anyCall, gzipped, "larger than 1048576 bytes"},
		{"gzip that is none", anyCall, hijack("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), ""},
		{"a header without end", anyCall, hijack("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), ""},
	} {
		for call, do := range calls {
			if tt.call != anyCall && tt.call != call {
				continue
			}
			t.Run(call+": "+tt.name, func(t *testing.T) {
				err := do(t.Context(), newClient(t, tt.handler))
				checkUnavailable(t, err, tt.says)
			})
		}
	}
}

func checkUnavailable(t *testing.T, err error, says string) {
	t.Helper()
	if !errors.Is(err, identity.ErrProviderUnavailable) {
		t.Fatalf("got %v, want %v", err, identity.ErrProviderUnavailable)
	}
	checkOneMeaning(t, err)
	if !strings.Contains(identity.Detail(err), says) {
		t.Errorf("the detail is %q; it doesn't say %q", identity.Detail(err), says)
	}
	checkClientSafe(t, err)
	checkNoLeak(t, err)
}

// Something between us and Keycloak may quote what it dislikes; a log must not have it from there.
func TestEchoesAreWithheld(t *testing.T) {
	for name, echo := range map[string]http.HandlerFunc{
		"description": func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request",
				"error_description": fmt.Sprint("what is this: ", r.PostForm)})
		},
		"description, encoded and at its bound": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(map[string]string{"error": "denied",
				"error_description": strings.Repeat("x", 190) + string(body)})
		},
		"error": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			json.NewEncoder(w).Encode(map[string]string{"error": r.PostFormValue("client_secret")})
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location",
				"http://%zz/"+"?p="+r.PostFormValue("password")+r.PostFormValue("refresh_token"))
			w.WriteHeader(http.StatusFound)
		},
	} {
		for call, do := range calls {
			t.Run(call+": "+name, func(t *testing.T) {
				err := do(t.Context(), newClient(t, echo))
				if detail := identity.Detail(err); !strings.Contains(detail, "[an unknown ") &&
					!strings.Contains(detail, "no URL") {
					t.Errorf("got %v, %q; want how long it was", err, detail)
				}
				checkClientSafe(t, err)
				checkNoLeak(t, err)
			})
		}
	}
}

func TestAnswerOfExactlyTheBound(t *testing.T) {
	padding := maxResponseBytes - len(with(t, tokens, object{"x": ""}))
	client := newClient(t, answers(200, with(t, tokens, object{"x": strings.Repeat("x", padding)})))
	if _, err := client.Login(t.Context(), aliceSignsIn()); err != nil {
		t.Error(err)
	}
}

// To follow a redirect would carry a password to a place that nobody configured.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		reached.Add(1)
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{elsewhere.URL, "/here",
			"//" + strings.TrimPrefix(elsewhere.URL, "http://"), ""} {
			for call, do := range calls {
				t.Run(fmt.Sprintf("%s %d to %q", call, status, target), func(t *testing.T) {
					var asked atomic.Int32
					// A client of the caller's own follows redirects, like http.DefaultClient.
					err := do(t.Context(),
						newClient(t, func(w http.ResponseWriter, r *http.Request) {
							asked.Add(1)
							if target != "" {
								w.Header().Set("Location", target)
							}
							w.WriteHeader(status)
						}, func(c *ClientConfig) { c.Transport = http.DefaultTransport }))
					checkUnavailable(t, err, "NewRealm's serverURL")
					if asked.Load() != 1 {
						t.Errorf("asked %d times, want once", asked.Load())
					}
				})
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the target was called %d times", n)
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for call, do := range calls {
		t.Run(call, func(t *testing.T) {
			client := must(NewClient(ClientConfig{
				Realm: must(NewRealm("http://"+address, "local")), ClientID: "local-api",
				ClientSecret: identity.NewSecret(canary),
			}))
			checkUnavailable(t, do(t.Context(), client), address)
		})
	}
}

func TestServersThatHang(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in the middle of the body": func(w http.ResponseWriter) {
			io.WriteString(w, tokens[:60])
			http.NewResponseController(w).Flush()
		},
	} {
		for call, do := range calls {
			t.Run(call+" "+name, func(t *testing.T) {
				done := make(chan bool)
				client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
					begin(w)
					<-done
				}, timeout(20*time.Millisecond))
				defer close(done)
				checkUnavailable(t, do(t.Context(), client), "ClientConfig.Timeout")
			})
		}
	}
}

// What can't be read of an answer is in no error: it may be a token.
func TestSend_errorsRepeatNothing(t *testing.T) {
	const canary = "canary-77aa"
	for name, bytes := range map[string]string{
		"no HTTP at all":           canary + "\r\n\r\n",
		"no status":                "HTTP/1.1 " + canary + "\r\n\r\n",
		"no version":               "HTTP/" + canary + " 200 OK\r\n\r\n",
		"a header without a colon": "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"a header that goes on":    "HTTP/1.1 200 OK\r\n " + canary + ": x\r\n\r\n",
		"a length that is none":    "HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n",
		"two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " +
			canary + "\r\n\r\n",
		"an unknown encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
		"a chunk without a length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			canary + "\r\n",
		"a bad trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" +
			canary + "\r\n\r\n",
		"a redirect to nowhere": "HTTP/1.1 302 Found\r\nLocation: http://[" + canary +
			"\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(hijack(bytes))
			defer server.Close()
			_, err := get(t.Context(), newHTTPClient(nil), server.URL+"/certs")
			if err == nil {
				t.Fatal("the answer was read")
			}
			if strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), canary) {
				t.Errorf("the error repeats the answer: %v", err)
			}
		})
	}
}

// An error's text is shown if it can't come from the other side. Whatever is shown of another is a
// beginning that we know.
func TestFaultText(t *testing.T) {
	const canary = "canary-77aa"
	refused := &net.OpError{Op: "dial", Net: "tcp",
		Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443},
		Err:  errors.New("connection refused")}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&url.Error{Op: "Post", URL: "https://sso.example.com/token", Err: refused}, `Post "https://sso.example.com/token": dial tcp 192.0.2.1:443: connection refused`},
		{&url.Error{Op: "Post", URL: "https://sso.example.com", Err: &net.DNSError{Err: "no such host", Name: "sso.example.com"}}, `Post "https://sso.example.com": lookup sso.example.com: no such host`},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New(canary)}, "the way to the proxy: an unknown fault of 11 bytes (*errors.errorString)"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: refused}, "the way to the proxy: dial tcp 192.0.2.1:443: connection refused"},
		{&url.Error{Op: "Get", URL: "https://sso.example.com", Err: &proxyError{407}}, `Get "https://sso.example.com": the proxy answered 407 instead of connecting`},
		{tls.RecordHeaderError{Msg: canary, RecordHeader: [5]byte([]byte("canar"))}, "the other side doesn't speak TLS: is NewRealm's serverURL an https URL of a port for http?"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "tls: failed to verify certificate: x509: certificate signed by unknown authority: " +
			"SSL_CERT_FILE names the file of the authorities that this process trusts"},
		{fmt.Errorf("%w: %s", context.DeadlineExceeded, "here"), "context deadline exceeded: here"},
		{fmt.Errorf("%s: %w", canary, os.ErrDeadlineExceeded), "it took too long"},
		{fmt.Errorf("%s: %w", canary, io.EOF), "the connection ended"},
		{io.ErrUnexpectedEOF, "unexpected EOF"},
		{http.ErrSchemeMismatch, "http: server gave HTTP response to HTTPS client"},
		{errors.New("malformed HTTP response " + canary), "malformed HTTP response"},
		{errors.New("net/http: HTTP/1.x transport connection broken: malformed HTTP status code " + canary), "malformed HTTP status code"},
		{errors.New(canary), "an unknown fault of 11 bytes (*errors.errorString)"},
	} {
		if got := redact(tt.err, "").Error(); got != tt.want {
			t.Errorf("%q is shown as %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A proxy of the environment that nobody thought of stands between many a server and its Keycloak.
func TestSend_says_that_a_proxy_answered(t *testing.T) {
	const canary = "canary-77aa"
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, canary, http.StatusForbidden)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := newHTTPClient(nil)
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(address)
	for server, want := range map[string]string{
		"http://sso.example.com": "answer 403 is not one of Keycloak's (through a proxy: see " +
			"HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment)",
		"https://sso.example.com": "the proxy answered 403 instead of connecting (through a " +
			"proxy: see HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment)",
	} {
		realm, err := NewRealm(server, "shop")
		if err != nil {
			t.Fatal(err)
		}
		got, err := get(t.Context(), client, realm.tokenURL())
		if err == nil {
			err = refusal(got, loginRefusals)
		}
		text := err.Error() + ": " + identity.Detail(err)
		if !strings.Contains(text, want) || strings.Contains(text, canary) {
			t.Errorf("%s: %s; want it to say %q, and nothing of the proxy's", server, text, want)
		}
	}
	if got := statusDetail(response{status: 403, note: " (note)"}); got !=
		"answer 403; expected 200 (note)" {
		t.Errorf("of keys: %q", got)
	}
}
