package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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

func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("this doesn't come about: " + what)
		}
	}
}
