package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/cloakql/cloakql/graph"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
)

// A double answers like Keycloak 26.7.4, as observed, as far as these tests go: the user name, or the
// refresh token, chooses the answer. It signs with one ES256 key.
type double struct {
	url  string
	key  *ecdsa.PrivateKey
	down atomic.Bool   // every answer is 500
	hold chan struct{} // if set, token answers wait for it
	held atomic.Int32  // how many do
}

const (
	keyID          = "the-key"
	invalidUser    = `{"error":"invalid_grant","error_description":"Invalid user credentials"}`
	answerTemplate = `{"access_token":%q,"expires_in":300,"refresh_expires_in":1800,"refresh_token":"new-refresh-token","token_type":"Bearer","id_token":"id-token","not-before-policy":0,"session_state":"XM92","scope":"openid email profile"}`
)

// Keycloak's refusals at the token and the logout endpoint, by user name or refresh token.
var refusals = map[string]struct {
	status int
	body   string
}{
	"wrong":                  {400, invalidUser},
	"unknown":                {400, invalidUser},
	"locked":                 {400, invalidUser},
	"disabled":               {400, `{"error":"invalid_grant","error_description":"Account disabled"}`},
	"disabled-wrong":         {400, invalidUser},
	"unready":                {400, `{"error":"invalid_grant","error_description":"Account is not fully set up"}`},
	"no-direct-grants":       {400, `{"error":"unauthorized_client","error_description":"Client not allowed for direct access grants"}`},
	"bad-secret":             {401, `{"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}`},
	"html":                   {502, `<html>Bad Gateway</html>`},
	"expired-refresh-token":  {400, `{"error":"invalid_grant","error_description":"Token is not active"}`},
	"ended-refresh-token":    {400, `{"error":"invalid_grant","error_description":"Session not active"}`},
	"reused-refresh-token":   {400, `{"error":"invalid_grant","error_description":"Maximum allowed refresh token reuse exceeded"}`},
	"rubbish-refresh-token":  {400, `{"error":"invalid_grant","error_description":"Invalid refresh token"}`},
	"detached-refresh-token": {400, `{"error":"invalid_grant","error_description":"Session doesn't have required client"}`},
}

func newDouble(t testing.TB) *double {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &double{key: key}
	mux := http.NewServeMux()
	const endpoints = "/realms/shop/protocol/openid-connect/"
	mux.HandleFunc("POST "+endpoints+"token", d.token)
	mux.HandleFunc("POST "+endpoints+"logout", d.token)
	mux.HandleFunc("GET "+endpoints+"certs", func(w http.ResponseWriter, _ *http.Request) {
		point, err := key.PublicKey.Bytes() // 4, x, y
		if err != nil {
			t.Error(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		fmt.Fprintf(w, `{"keys":[{"kid":%q,"kty":"EC","alg":"ES256","use":"sig","crv":"P-256","x":%q,"y":%q}]}`, keyID, encode(point[1:33]), encode(point[33:]))
	})
	mux.HandleFunc("GET /realms/shop/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q}`, d.url+"/realms/shop")
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func (d *double) token(w http.ResponseWriter, r *http.Request) {
	if d.hold != nil {
		d.held.Add(1)
		<-d.hold
	}
	w.Header().Set("Content-Type", "application/json")
	refused, ok := refusals[r.FormValue("username")+r.FormValue("refresh_token")]
	switch {
	case ok:
		w.WriteHeader(refused.status)
		io.WriteString(w, refused.body)
	case strings.HasSuffix(r.URL.Path, "/logout"):
		w.WriteHeader(http.StatusNoContent)
	default:
		fmt.Fprintf(w, answerTemplate, d.sign(nil))
	}
}

// sign makes an access token as Keycloak does; changes override claims, and remove those that are nil.
func (d *double) sign(changes map[string]any) string {
	return d.signWith(keyID, changes)
}

func (d *double) signWith(kid string, changes map[string]any) string {
	now := time.Now().Unix()
	claims := jwt.MapClaims{
		"iss": d.url + "/realms/shop", "aud": []string{"shop-api", "account"}, "azp": "shop-api", "typ": "Bearer",
		"sub": "5d35c4eb", "iat": now, "exp": now + 300, "sid": "XM92", "scope": "openid", "preferred_username": "alice",
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = kid
	signed, err := token.SignedString(d.key)
	if err != nil {
		panic(err)
	}
	return signed
}

// config is that of a server beside the double.
func (d *double) config(t testing.TB, settings ...string) Config {
	t.Helper()
	c, err := readConfig(append([]string{
		"KEYCLOAK_SERVER_URL=" + d.url, "KEYCLOAK_REALM_NAME=shop", "KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=hush",
	}, settings...), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A site is a server under test, with its log.
type site struct {
	url string
	log *lockedBuffer
}

// newSite serves config. A nil realm is the real client.
func newSite(t testing.TB, config Config, realm graph.Realm) *site {
	t.Helper()
	s := &site{log: &lockedBuffer{}}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := httptest.NewServer(testHandler(t, config, realm, log))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func testHandler(t testing.TB, config Config, realm graph.Realm, log *slog.Logger) http.Handler {
	t.Helper()
	if realm == nil {
		client, err := keycloak.NewClient(keycloak.ClientConfig{
			Realm: config.Realm, ClientID: config.ClientID, ClientSecret: config.ClientSecret,
			Timeout: config.KeycloakTimeout, RefreshGrace: config.RefreshGrace,
		})
		if err != nil {
			t.Fatal(err)
		}
		realm = client
	}
	keys := keycloak.NewKeySet(config.Realm, keycloak.KeySetConfig{Log: log})
	handler, err := newHandler(config, realm, keys, new(atomic.Bool), log)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// An exchange is one HTTP request; its zero value is a POST of an empty body to /graphql.
type exchange struct {
	method, contentType, accept, authorization, query, body string
	variables                                               map[string]any
	raw                                                     bool // send body as it is
}

func (s *site) do(t testing.TB, e exchange) (*http.Response, string) {
	t.Helper()
	body := e.body
	if !e.raw {
		text, err := json.Marshal(map[string]any{"query": e.query, "variables": e.variables})
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	method, contentType := e.method, e.contentType
	if method == "" {
		method = http.MethodPost
	}
	if contentType == "" {
		contentType = "application/json"
	}
	request, err := http.NewRequest(method, s.url+"/graphql", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	if e.accept != "" {
		request.Header.Set("Accept", e.accept)
	}
	if e.authorization != "" {
		request.Header.Set("Authorization", e.authorization)
	}
	client := http.Client{Timeout: 20 * time.Second} // of the test, should nobody answer
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}

// realmFunc is a Realm whose every method is one function.
type realmFunc func(context.Context) error

func (f realmFunc) Login(ctx context.Context, _ identity.Credentials) (*identity.OpenIDToken, error) {
	return nil, f(ctx)
}
func (f realmFunc) Refresh(ctx context.Context, _ identity.Secret) (*identity.OpenIDToken, error) {
	return nil, f(ctx)
}
func (f realmFunc) Logout(ctx context.Context, _ identity.Secret) error { return f(ctx) }

// Every row of the error table, from the client's side: code, reason, message, path, status, and whether
// there is a data entry. The README documents just these.
func TestErrorTable(t *testing.T) {
	d := newDouble(t)
	local, prod := d.config(t), d.config(t, "RUNTIME_ENV=prod")
	hurried := prod
	hurried.RequestTimeout = 20 * time.Millisecond
	unreachable := newDouble(t)
	unreachable.down.Store(true)

	s := newSite(t, local, nil)
	login := func(username string) exchange {
		return exchange{query: `mutation($u: String!) { login(username: $u, password: "secret") { tokenType } }`, variables: map[string]any{"u": username}}
	}
	refresh := func(token string) exchange {
		return exchange{query: `mutation($r: String!) { refresh(refreshToken: $r) { tokenType } }`, variables: map[string]any{"r": token}}
	}
	me := func(authorization string) exchange {
		return exchange{query: `{ me { id } }`, authorization: authorization}
	}
	now := time.Now().Unix()
	signature := regexp.MustCompile(`\.[^.]*$`)
	deep := strings.Repeat("{ ofType ", 14) + "{ name }" + strings.Repeat(" }", 14)

	documented, provoked := documentedErrors(t), map[string]bool{}
	const none = "" // no path: the request was refused before any field ran
	for _, tt := range []struct {
		site    *site
		request exchange
		status  int
		code    string
		message string
		path    string
	}{
		{s, me(""), 200, "UNAUTHENTICATED/TOKEN_MISSING", "Not authenticated", "me"},
		{s, me("Basic YTpi"), 200, "UNAUTHENTICATED/TOKEN_MISSING", "Not authenticated", "me"},
		{s, me("Bearer null"), 200, "UNAUTHENTICATED/TOKEN_MALFORMED", "Token is malformed", "me"},
		{s, me("Bearer " + strings.Repeat("a", 16<<10+1)), 200, "UNAUTHENTICATED/TOKEN_TOO_LARGE", "Token is too large", "me"},
		{s, me("Bearer " + d.sign(map[string]any{"iss": "https://elsewhere"})), 200, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED", "Token is not meant for this API", "me"},
		{s, me("Bearer " + d.sign(map[string]any{"nbf": now + 600})), 200, "UNAUTHENTICATED/TOKEN_NOT_YET_VALID", "Token isn't valid yet", "me"},
		{s, me("Bearer " + d.sign(map[string]any{"exp": now - 60})), 200, "UNAUTHENTICATED/TOKEN_EXPIRED", "Token has expired", "me"},
		{s, me("Bearer " + d.signWith("unknown", nil)), 200, "UNAUTHENTICATED/KEY_UNKNOWN", "Token signature couldn't be verified", "me"},
		{s, me("Bearer " + signature.ReplaceAllString(d.sign(nil), "."+strings.Repeat("A", 86))), 200, "UNAUTHENTICATED/TOKEN_SIGNATURE", "Token signature couldn't be verified", "me"},
		{newSite(t, unreachable.config(t), nil), me("Bearer " + unreachable.sign(nil)), 200, "SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE", "Tokens can't be verified right now", "me"},

		{s, login(""), 200, "BAD_USER_INPUT", "Request malformed!", "login"},
		{s, refresh("tab\there"), 200, "BAD_USER_INPUT", "Request malformed!", "refresh"},
		{s, login("wrong"), 200, "INVALID_CREDENTIALS", "Username or password is incorrect!", "login"},
		{s, login("disabled"), 200, "ACCOUNT_DISABLED", "Your account is disabled", "login"},
		{s, login("unready"), 200, "ACCOUNT_NOT_READY", "Finish setting up your account in the browser", "login"},
		{s, login("no-direct-grants"), 200, "LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED", "Password sign-in is not enabled", "login"},
		{s, refresh("expired-refresh-token"), 200, "INVALID_REFRESH_TOKEN/EXPIRED", "Sign in again", "refresh"},
		{s, refresh("ended-refresh-token"), 200, "INVALID_REFRESH_TOKEN/SESSION_ENDED", "Sign in again", "refresh"},
		{s, refresh("detached-refresh-token"), 200, "INVALID_REFRESH_TOKEN/SESSION_ENDED", "Sign in again", "refresh"},
		{s, refresh("reused-refresh-token"), 200, "INVALID_REFRESH_TOKEN/REUSED", "Sign in again", "refresh"},
		{s, refresh("rubbish-refresh-token"), 200, "INVALID_REFRESH_TOKEN/INVALID", "Sign in again", "refresh"},
		{s, exchange{query: `mutation { logout(refreshToken: "rubbish-refresh-token") }`}, 200, "INVALID_REFRESH_TOKEN/INVALID", "Sign in again", "logout"},
		{s, login("bad-secret"), 200, "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_MISCONFIGURED", "Sign-in is not available", "login"},
		{s, login("html"), 200, "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE", "Sign-in is not available", "login"},
		{newSite(t, prod, realmFunc(func(context.Context) error { return identity.ErrTooManyConcurrent })), login("alice"), 200, "SERVICE_UNAVAILABLE/BUSY", "Try again", "login"},

		{s, exchange{query: "{ me { " + strings.Repeat("id ", 1_000) + "} }"}, 200, "OPERATION_TOO_LARGE/TOKENS", "The document has too many tokens: exceeded token limit of 1000", none},
		{s, exchange{query: `{ __type(name: "User") { fields { type ` + deep + ` } } }`}, 200, "OPERATION_TOO_LARGE/DEPTH", "The operation is too deep: its fields nest to depth 18, allowed is 15", none},
		{s, exchange{query: `{ me { ` + strings.Repeat("...F ", 300) + `} } fragment F on User { id name email }`}, 200, "OPERATION_TOO_LARGE/FIELDS", "The document is too large: it has 1204 selections with its fragments written out, allowed are 1000", none},
		{s, exchange{query: `{ me { `}, 200, "GRAPHQL_PARSE_FAILED", "Syntax error: Expected Name, found <EOF>", none},
		{s, exchange{query: `{ me { zzz } }`}, 200, "GRAPHQL_VALIDATION_FAILED", `Cannot query field "zzz" on type "User".`, none},
		{s, exchange{query: `{ me { zzz } }`, accept: "application/graphql-response+json"}, 400, "GRAPHQL_VALIDATION_FAILED", `Cannot query field "zzz" on type "User".`, none},
		{s, exchange{query: `mutation($u: String!) { logout(refreshToken: $u) }`, variables: map[string]any{"u": 5}}, 200, "BAD_USER_INPUT", "Request malformed! The variable $u doesn't fit its type", none},
		{s, exchange{query: `query A { me { id } } query B { me { id } }`}, 200, "OPERATION_RESOLUTION_FAILURE", "operationName is missing: the document has more than one operation", none},
		{s, exchange{raw: true, body: `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"abc"}}}`}, 200, "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported", none},
		{newSite(t, prod, nil), exchange{query: `{ __schema { types { name } } }`}, 200, "INTROSPECTION_DISABLED", "Introspection is off", "__schema"},
		{newSite(t, hurried, realmFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })), login("alice"), 200, "TIMEOUT", "The request took too long", "login"},
		{s, exchange{raw: true, body: `{"query"`}, 400, "BAD_REQUEST", "The body must be a JSON object", none},
		{s, exchange{method: "DELETE"}, 405, "BAD_REQUEST", "Method not allowed: use POST, or GET for queries", none},
		{s, exchange{query: "{ me { id } }", accept: "text/html"}, 406, "BAD_REQUEST", "Accept must admit application/graphql-response+json or application/json", none},
		{s, exchange{raw: true, body: `{"query":"` + strings.Repeat(" ", maxBodyBytes) + `"}`}, 413, "BAD_REQUEST", "The body is larger than 65536 bytes", none},
		{s, exchange{query: "{ me { id } }", contentType: "text/plain"}, 415, "BAD_REQUEST", "Content-Type must be application/json", none},
		{newSite(t, prod, realmFunc(func(context.Context) error { return errors.New("dial tcp 10.0.0.7: refused") })), login("alice"), 200, "INTERNAL_SERVER_ERROR", "Internal error", "login"},
		{newSite(t, prod, realmFunc(func(context.Context) error { panic("secret") })), login("alice"), 200, "INTERNAL_SERVER_ERROR", "Internal error", "login"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			if tt.code == "UNAUTHENTICATED/KEY_UNKNOWN" || tt.code == "UNAUTHENTICATED/TOKEN_SIGNATURE" {
				tt.site.do(t, me("Bearer "+d.sign(nil))) // so that the keys are held
			}
			response, body := tt.site.do(t, tt.request)
			var got struct {
				Data   *json.RawMessage
				Errors []struct {
					Message    string
					Path       []any
					Extensions map[string]any
				}
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Errors) == 0 {
				t.Fatalf("%v: %s", err, body)
			}
			e := got.Errors[0]
			code := strings.TrimSuffix(fmt.Sprintf("%v/%v", e.Extensions["code"], or(e.Extensions["reason"], "")), "/")
			if code != tt.code || e.Message != tt.message || response.StatusCode != tt.status {
				t.Errorf("%d %s %q, want %d %s %q", response.StatusCode, code, e.Message, tt.status, tt.code, tt.message)
			}
			var path []any
			if tt.path != none {
				path = []any{tt.path}
			}
			if !reflect.DeepEqual(e.Path, path) {
				t.Errorf("path is %v, want %v", e.Path, path)
			}
			if ran := strings.Contains(body, `"data":`); ran != (tt.path != none) {
				t.Errorf("a data entry is there: %v; whether a field ran: %v\n%s", ran, tt.path != none, body)
			}
			if id := e.Extensions["requestId"]; id != nil && id != response.Header.Get("X-Request-Id") || (id == nil) == (code == "INTERNAL_SERVER_ERROR") {
				t.Errorf("requestId is %v, the header says %s", id, response.Header.Get("X-Request-Id"))
			}
			// The README quotes a message, or describes it in lower case.
			if !slices.ContainsFunc(documented[tt.code], func(text string) bool {
				return text == tt.message || text[:1] == strings.ToLower(text[:1])
			}) {
				t.Errorf("the README says %q of %s, not %q", documented[tt.code], tt.code, tt.message)
			}
			provoked[tt.code] = true
		})
	}
	for code := range documented {
		if !provoked[code] {
			t.Errorf("the README documents %s, which no case here provokes", code)
		}
	}
}

func or(value, otherwise any) any {
	if value == nil {
		return otherwise
	}
	return value
}

// What a stranger must not tell apart is the same to the byte.
func TestSealedAnswers(t *testing.T) {
	s := newSite(t, newDouble(t).config(t), nil)
	var first string
	for _, name := range []string{"wrong", "unknown", "locked", "disabled-wrong"} {
		_, body := s.do(t, exchange{query: `mutation($u: String!) { login(username: $u, password: "p") { tokenType } }`, variables: map[string]any{"u": name}})
		if first == "" {
			first = body
		}
		if body != first {
			t.Errorf("%s is answered\n%s, unlike the others:\n%s", name, body, first)
		}
	}
}

// A bad token is an error of guarded fields, and no hindrance to public ones.
func TestPublicBesideBadToken(t *testing.T) {
	d := newDouble(t)
	s := newSite(t, d.config(t), nil)
	expired := "Bearer " + d.sign(map[string]any{"exp": 1})
	_, body := s.do(t, exchange{query: `mutation { login(username: "alice", password: "p") { tokenType } }`, authorization: expired})
	if want := `{"data":{"login":{"tokenType":"Bearer"}}}` + "\n"; body != want {
		t.Errorf("login beside an expired token: %s, want %s", body, want)
	}
	_, body = s.do(t, exchange{query: `{ __typename }`, authorization: expired})
	if want := `{"data":{"__typename":"Query"}}` + "\n"; body != want {
		t.Errorf("__typename beside an expired token: %s, want %s", body, want)
	}
	_, body = s.do(t, exchange{query: `{ a: me { id } b: me { id } }`, authorization: expired})
	if strings.Count(body, "TOKEN_EXPIRED") != 2 || !strings.Contains(body, `"data":{"a":null,"b":null}`) {
		t.Errorf("two guarded fields: %s", body)
	}
}

// A canary goes in as a password, a code, a token and a client secret, by every way in; no answer and no
// log line holds it.
func TestNoSecretGetsOut(t *testing.T) {
	// Two names with a dash between them, for documents whose quotes are missing; neither can be by chance
	// in a stack's addresses or in a request id.
	const canary = "hunter2canary-9q8w7x6r"
	leaks := func(text string) bool {
		return strings.Contains(text, "hunter2canary") || strings.Contains(text, "9q8w7x6r")
	}
	d := newDouble(t)
	config := d.config(t, "KEYCLOAK_CLIENT_SECRET_KEY="+canary)
	config.KeycloakTimeout = 100 * time.Millisecond
	panicking := realmFunc(func(context.Context) error { panic(errors.New(canary)) })
	requests := []exchange{}
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		requests = append(requests,
			exchange{query: `mutation($u: String!, $p: String!) { login(username: $u, password: $p, otp: $p) { tokenType } }`, variables: map[string]any{"u": name, "p": canary}},
			exchange{query: `mutation { login(username: "` + name + `", password: "` + canary + `") { tokenType } }`})
	}
	for _, document := range []string{
		`mutation { login(username: "a", password: "hunter2canary-9q8w7x6r"`,
		`mutation { login(username: "a", password: "hunter2canary-9q8w7x6r) { tokenType } }`,
		`mutation { login(username: "a" password: hunter2canary-9q8w7x6r) { tokenType } }`,
		`mutation { login(username: "a", passwort: "hunter2canary-9q8w7x6r") { tokenType } }`,
		`mutation { login(username: "a", password: ["hunter2canary-9q8w7x6r"]) { tokenType } }`,
		`mutation { login(username: "a", password: {x: "hunter2canary-9q8w7x6r"}) { tokenType } }`,
		`mutation { login(username: "a", password: """hunter2canary-9q8w7x6r""") { nothing } }`,
		`mutation { login(username: "a", password: "hunter2canary-9q8w7x6r") }`,
		`mutation { login(username: "a", password: "p") { tokenType } login(username: "a", password: "hunter2canary-9q8w7x6r") { tokenType } }`,
		`mutation($p: String = "hunter2canary-9q8w7x6r") { login(username: "a", password: $p) { tokenType } }`,
		`mutation($p: Int = "hunter2canary-9q8w7x6r") { logout(refreshToken: $p) }`,
		`mutation { refresh(refreshToken: "hunter2canary-9q8w7x6r") { tokenType } }`,
		`mutation { logout(refreshToken: "hunter2canary-9q8w7x6r") }`,
		`mutation { logout(refreshToken: "hunter2canary-9q8w7x6r\u0001") }`,
		`{ me { id(x: "hunter2canary-9q8w7x6r") } }`,
		`"hunter2canary-9q8w7x6r"`,
	} {
		requests = append(requests, exchange{query: document}, exchange{query: document, accept: "application/graphql-response+json"})
	}
	requests = append(requests,
		exchange{raw: true, body: `{"query": "mutation { logout }", "variables": {"p": "hunter2canary-9q8w7x6r"`},
		exchange{raw: true, body: `hunter2canary-9q8w7x6r`},
		exchange{raw: true, body: `{"query": ["hunter2canary-9q8w7x6r"]}`},
		exchange{raw: true, body: `{"query": "{ me { id } }", "operationName": "hunter2canary-9q8w7x6r"}`},
		exchange{raw: true, body: `{"query": "{ me { id } }", "variables": "hunter2canary-9q8w7x6r"}`},
		exchange{raw: true, body: `query=hunter2canary-9q8w7x6r`, contentType: "application/x-www-form-urlencoded"},
		exchange{query: `mutation($p: String!) { logout(refreshToken: $p) }`, variables: map[string]any{"p": []string{canary}}},
		exchange{query: `mutation($p: String!) { logout(refreshToken: $p) }`, variables: map[string]any{"p": map[string]any{canary: canary}}},
		exchange{query: `{ me { id } }`, authorization: "Bearer " + canary},
		exchange{query: `{ me { id } }`, authorization: "Bearer " + canary + " " + canary},
		exchange{query: `{ me { id } }`, authorization: canary},
	)
	for _, s := range []*site{newSite(t, config, nil), newSite(t, config, panicking)} {
		for _, request := range requests {
			if response, body := s.do(t, request); leaks(body) || leaks(fmt.Sprint(response.Header)) {
				t.Errorf("%+v\nis answered\n%s", request, body)
			}
		}
		d.down.Store(true)
		for _, request := range requests[:2] {
			if _, body := s.do(t, request); leaks(body) {
				t.Errorf("%+v\nis answered\n%s", request, body)
			}
		}
		d.down.Store(false)
		for line := range strings.Lines(s.log.String()) {
			if leaks(line) {
				t.Errorf("logged: %s", line)
			}
		}
		if s.log.String() == "" {
			t.Error("nothing was logged at all")
		}
	}
}

// Small documents that gqlparser's validation doesn't survive, or not soon, or only with much memory: a cycle
// that makes its stack overflow, fragments that double its time, and conflicts that fill hundreds of megabytes.
// None may reach it; the process of this test would end with the first.
func TestSmallDocumentsDoNoHarm(t *testing.T) {
	s := newSite(t, newDouble(t).config(t, "RUNTIME_ENV=prod"), nil)
	doubling := `{ __type(name: "User") { ...F0 } }`
	for i := range 40 {
		doubling += fmt.Sprintf(" fragment F%d on __Type { ...F%d ...F%d }", i, i+1, i+1)
	}
	doubling += " fragment F40 on __Type { name }"
	conflicts := "fragment F on Query { me { " + strings.Repeat("a: id a: name ", 110) + "} }"
	for i := range 46 {
		conflicts += fmt.Sprintf(" query q%d { ...F }", i)
	}
	for name, tt := range map[string]struct{ document, want string }{
		"a cycle":            {`{me{...A}} fragment A on User{token{token{...A}} token{...A}}`, "within itself"},
		"a cycle at the top": {`{...A} fragment A on Query{me{me{...A} id} me{...A}}`, "within itself"},
		"two fragments":      {`{me{...A}} fragment A on User{token{...B} token{token{...B}}} fragment B on User{token{...A} token{token{...A}}}`, "within itself"},
		"an unused cycle":    {`{me{id}} fragment A on User{token{...A}}`, "within itself"},
		"doubling":           {doubling, "OPERATION_TOO_LARGE"},
		"conflicts":          {conflicts, "OPERATION_TOO_LARGE"},
	} {
		if _, body := s.do(t, exchange{query: tt.document}); !strings.Contains(body, tt.want) || len(body) > 1_000 {
			t.Errorf("%s: %.1000s", name, body)
		}
	}
}

// The 65th sign-in at once is told to try again, at once; the 64 are answered.
func TestBusy(t *testing.T) {
	d := newDouble(t)
	d.hold = make(chan struct{})
	s := newSite(t, d.config(t), nil)
	login := exchange{query: `mutation { login(username: "alice", password: "p") { tokenType } }`}
	var others sync.WaitGroup
	for range 64 {
		others.Go(func() {
			if _, body := s.do(t, login); !strings.Contains(body, `"tokenType":"Bearer"`) {
				t.Errorf("one of the 64: %s", body)
			}
		})
	}
	waitFor(t, "64 sign-ins wait for Keycloak", func() bool { return d.held.Load() == 64 })
	if _, body := s.do(t, login); !strings.Contains(body, `"reason":"BUSY"`) {
		t.Errorf("the 65th: %s", body)
	}
	close(d.hold)
	others.Wait()
	if _, body := s.do(t, login); !strings.Contains(body, `"tokenType":"Bearer"`) {
		t.Errorf("after the storm: %s", body)
	}
}

// A closed tab is no failure of the server's; and what a client chooses doesn't fill the log.
func TestLogOfOddRequests(t *testing.T) {
	d := newDouble(t)
	s := newSite(t, d.config(t), realmFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql", strings.NewReader(`{"query":"mutation { logout(refreshToken: \"a\") }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the client gave up", err)
	}
	waitFor(t, "the request is logged", func() bool { return strings.Contains(s.log.String(), `"codes":["CLIENT_GONE"]`) })
	if log := s.log.String(); strings.Contains(log, "INTERNAL_SERVER_ERROR") || strings.Contains(log, "field failed") {
		t.Errorf("a client that gave up is logged as a failure:\n%s", log)
	}

	s = newSite(t, d.config(t), realmFunc(func(context.Context) error { return errors.New("no") }))
	s.do(t, exchange{query: `mutation { ` + strings.Repeat("a", 50_000) + `: logout(refreshToken: "a") }`})
	if log := s.log.String(); !strings.Contains(log, "field failed") || len(log) > 2_000 {
		t.Errorf("one request wrote %d bytes into the log", len(log))
	}
}

func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("this doesn't come about: " + what)
		}
	}
}

// run, from the settings to an orderly stop.
func TestRun(t *testing.T) {
	d := newDouble(t)
	log := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"ADDR=127.0.0.1:0", "RUNTIME_ENV=prod", "KEYCLOAK_SERVER_URL=" + d.url, "KEYCLOAK_REALM_NAME=shop",
			"KEYCLOAK_CLIENT_ID=shop-api", "KEYCLOAK_CLIENT_SECRET_KEY=hush", "CORS_ORIGINS=https://shop.example.com"}, t.TempDir(), log)
	}()
	serving := regexp.MustCompile(`"url":"(http://127[^"]*)/graphql"`)
	waitFor(t, "the server listens", func() bool { return serving.MatchString(log.String()) })
	s := &site{url: serving.FindStringSubmatch(log.String())[1], log: log}
	waitFor(t, "the server is ready", func() bool { status, _ := s.get(t, "/readyz"); return status == http.StatusOK })
	if status, text := s.get(t, "/healthz"); status != http.StatusOK || text != "alive\n" {
		t.Errorf("healthz is %d %s", status, text)
	}
	if status, _ := s.get(t, "/graphql?query=%7B__typename%7D"); status != http.StatusOK {
		t.Errorf("GET of a query is %d, want 200", status)
	}
	if _, body := s.do(t, exchange{query: `query Who { me { username } }`, authorization: "bEaReR " + d.sign(nil)}); body != `{"data":{"me":{"username":"alice"}}}`+"\n" {
		t.Errorf("me is %s", body)
	}
	if !strings.Contains(log.String(), `"msg":"request","operation":"query","name":"Who","status":200,"codes":null,"duration":`) {
		t.Errorf("no line for the request in\n%s", log)
	}

	for origin, allowed := range map[string]string{"https://shop.example.com": "https://shop.example.com", "https://evil.example.com": ""} {
		request, _ := http.NewRequest(http.MethodOptions, s.url+"/graphql", nil)
		request.Header.Set("Origin", origin)
		request.Header.Set("Access-Control-Request-Method", "POST")
		request.Header.Set("Access-Control-Request-Headers", "apollo-require-preflight,authorization,content-type")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != allowed || response.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("preflight from %s allows %q, want %q and no credentials", origin, got, allowed)
		}
	}

	// The request that is under way is answered, and new ones aren't taken.
	d.hold = make(chan struct{})
	answered := make(chan string, 1)
	go func() {
		_, body := s.do(t, exchange{query: `mutation { login(username: "alice", password: "p") { tokenType } }`})
		answered <- body
	}()
	waitFor(t, "a sign-in waits for Keycloak", func() bool { return d.held.Load() == 1 })
	stop()
	waitFor(t, "the server takes no more connections", func() bool {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err == nil {
			connection.Close()
		}
		return err != nil
	})
	close(d.hold)
	if body := <-answered; !strings.Contains(body, `"tokenType":"Bearer"`) {
		t.Errorf("the sign-in under way got %s", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("run ended with %v", err)
	}
}

func (s *site) get(t testing.TB, path string) (int, string) {
	t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// run says what is wrong, all of it, and listens to nobody.
func TestRunRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		environ []string
		want    string
	}{
		"no settings":  {nil, "KEYCLOAK_SERVER_URL: is missing"},
		"port is used": {append(slices.Clone(needed), "ADDR="+taken.Addr().String()), "ADDR: listen tcp"},
	} {
		if err := run(t.Context(), tt.environ, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// Readiness says no more than needed outside of local, and tells of trouble while keys are still held.
func TestReadiness(t *testing.T) {
	const good = `{"keys":[{"kid":"k","kty":"OKP","alg":"EdDSA","use":"sig","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for _, tt := range []struct {
		name            string
		local, draining bool
		answers         []int // of Keycloak, one after the other; the last one stays
		after           time.Duration
		status          int
		want            string
	}{
		{"keys", false, false, []int{200}, time.Minute, 200, "ready\n"},
		{"stopping", false, true, []int{200}, time.Minute, 503, "not ready: stopping\n"},
		{"no keys", false, false, []int{500}, time.Minute, 503, "not ready: no keys to verify tokens with\n"},
		{"no keys, local", true, false, []int{500}, time.Minute, 503, "not ready: no keys to verify tokens with: answer 500; expected 200\n"},
		{"keys, not fetched anew", false, false, []int{200, 500}, 10 * time.Minute, 200, "ready: the keys held are good, but can't be fetched anew\n"},
		{"keys, too old", false, false, []int{200, 500}, 25 * time.Hour, 503, "not ready: no keys to verify tokens with\n"},
		{"back again", false, false, []int{500, 500, 200}, time.Minute, 200, "ready\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				realm, err := keycloak.NewRealm("http://keycloak", "shop")
				if err != nil {
					t.Fatal(err)
				}
				calls := 0
				keys := keycloak.NewKeySet(realm, keycloak.KeySetConfig{
					Log: slog.New(slog.DiscardHandler),
					HTTP: &http.Client{Transport: transportFunc(func(*http.Request) (*http.Response, error) {
						status := tt.answers[min(calls, len(tt.answers)-1)]
						calls++
						return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(good))}, nil
					})},
				})
				go keys.Run(t.Context())
				time.Sleep(tt.after)
				var draining atomic.Bool
				draining.Store(tt.draining)
				w := httptest.NewRecorder()
				readiness(keys, &draining, tt.local)(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
				if w.Code != tt.status || w.Body.String() != tt.want {
					t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.status, tt.want)
				}
			})
		})
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A connection that doesn't go on is closed: in the head of a request, in its body, and between two.
func TestSlowClients(t *testing.T) {
	d := newDouble(t)
	server := newServer(d.config(t), testHandler(t, d.config(t), nil, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	for name, limit := range map[string]time.Duration{"header": server.ReadHeaderTimeout, "read": server.ReadTimeout, "idle": server.IdleTimeout} {
		if limit <= 0 || limit > 5*time.Minute {
			t.Errorf("the %s timeout is %v", name, limit)
		}
	}
	server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout = 50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	for name, sent := range map[string]string{
		"head": "POST /graphql HTTP/1.1\r\nHost: x\r\n",
		"body": "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"idle": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			if _, err := io.WriteString(connection, sent); err != nil {
				t.Fatal(err)
			}
			connection.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadAll(connection); err != nil { // to the end: the server closed it
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

// A client that doesn't read its answers is cut off.
func TestSlowReader(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 1<<20)
	ended := make(chan error, 1)
	server := httptest.NewServer(withWriteDeadline(50*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(large); err != nil {
				ended <- err
				return
			}
		}
	})))
	defer server.Close()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	io.WriteString(connection, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing ended with %v, want a deadline", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server goes on writing to nobody")
	}
}

// A whole request, through every layer but Keycloak.
func BenchmarkMe(b *testing.B) {
	d := newDouble(b)
	s := newSite(b, d.config(b, "RUNTIME_ENV=prod"), nil)
	token := "Bearer " + d.sign(nil)
	s.do(b, exchange{query: `{ me { id username } }`, authorization: token})
	b.ResetTimer()
	for b.Loop() {
		if _, body := s.do(b, exchange{query: `{ me { id username } }`, authorization: token}); !strings.Contains(body, "alice") {
			b.Fatal(body)
		}
	}
}
