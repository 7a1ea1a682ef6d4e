package cloakql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/signin"
)

// An application has the resolvers of an application that imports CloakQL.
type application struct {
	service *signin.Service
	me      func(context.Context) (*identity.User, error) // the resolver of me
}

func (a application) Query() generated.QueryResolver                 { return a }
func (a application) Mutation() generated.MutationResolver           { return a }
func (a application) Entity() generated.EntityResolver               { return noEntities{} }
func (a application) Me(ctx context.Context) (*identity.User, error) { return a.me(ctx) }
func (a application) Logout(ctx context.Context, token string) (bool, error) {
	return a.service.Logout(ctx, token)
}
func (a application) Refresh(ctx context.Context, token string) (*identity.OpenIDToken, error) {
	return a.service.Refresh(ctx, token)
}

func (a application) Login(ctx context.Context, username, password string,
	otp *string) (*identity.OpenIDToken, error) {
	return a.service.Login(ctx, username, password, otp)
}

// schema returns the application's schema. It is a Config.Schema.
func (a application) schema(service *signin.Service) (graphql.ExecutableSchema, error) {
	a.service = service
	return generated.NewExecutableSchema(generated.Config{
		Resolvers:  a,
		Directives: generated.DirectiveRoot{Public: authz.Public, Auth: authz.Auth},
	}), nil
}

var errOutOfStock = errors.New("warehouse 7 at 10.0.0.7 has none left")

// applicationConfig returns the smallest Config of an application with its own schema.
func applicationConfig(t testing.TB, kc *keycloaktest.Server, a application) cloakql.Config {
	t.Helper()
	return cloakql.Config{
		Realm: must(keycloak.NewRealm(kc.URL, "shop")),
		Client: keycloak.ClientConfig{ClientID: "shop-api",
			ClientSecret: identity.NewSecret(clientSecret)},
		Schema: a.schema,
		Errors: []apierror.Row{{Err: errOutOfStock, Code: "OUT_OF_STOCK",
			Message: "This is sold out"}},
		Log: slog.New(slog.DiscardHandler),
	}
}

// post sends an operation to h and returns the body of the response. If token isn't empty, post
// sends it as the bearer token.
func post(h http.Handler, token, query string) string {
	r := httptest.NewRequest(http.MethodPost, "/graphql",
		strings.NewReader(fmt.Sprintf(`{"query":%q}`, query)))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return strings.TrimSuffix(w.Body.String(), "\n")
}

// A server with an application's schema still has CloakQL's guards, error codes and sign-in. It
// also presents the application's own error.
func TestNew_applicationSchema(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	me := func(ctx context.Context) (*identity.User, error) {
		user, err := identity.Require(ctx)
		if err == nil && *user.Username == "alice" {
			return nil, fmt.Errorf("find the order: %w", errOutOfStock)
		}
		return user, err
	}
	config := applicationConfig(t, kc, application{me: me})
	h := newServer(t, config).Handler()

	const query = `{ me { username } }`
	alice := signIn(t, kc).AccessToken
	billingToken, _ := strings.CutPrefix(bearer(t, kc,
		keycloaktest.TokenSpec{Claims: map[string]any{"aud": "billing"}}), "Bearer ")
	for _, tt := range []struct{ name, token, query, want string }{
		{"guarded field without a token", "", query,
			`{"errors":[{"message":"Not ` +
				`authenticated","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}],"data":{"me":null}}`},
		{"another audience", billingToken, query,
			`{"errors":[{"message":"Token is not meant for this ` +
				`API","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_NOT_ACCEPTED"}}],"data":{"me":null}}`},
		{"application's error", alice, query,
			`{"errors":[{"message":"This is sold ` +
				`out","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"OUT_OF_STOCK"}}],"data":{"me":null}}`},
		{"sign-in", "", `mutation { login(username: "alice", password: "shop-secret") { ` +
			`tokenType } }`, `{"data":{"login":{"tokenType":"Bearer"}}}`},
		{"introspection", alice, `{ __schema { types { name } } }`,
			`{"errors":[{"message":"Introspection is ` +
				`off","path":["__schema"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__schema":null}}`},
		{"login twice in one request", "",
			`mutation { a: login(username: "a", password: "b") { scope } b: login(username: "a", ` +
				`password: "c") { scope } }`, ``},
	} {
		got := post(h, tt.token, tt.query)
		if tt.want == "" {
			if !strings.Contains(got, `"code":"OPERATION_TOO_LARGE"`) {
				t.Errorf("%s: %s, want OPERATION_TOO_LARGE", tt.name, got)
			}
		} else if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if strings.Contains(got, kc.URL) || strings.Contains(got, "10.0.0.7") {
			t.Errorf("%s: got %s, want no address of Keycloak or of the warehouse", tt.name, got)
		}
	}
}

// Even if Run is never called, the handler accepts tokens of a removed key for at most six minutes.
func TestHandler_removedKeyWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipeListener()
		kc, err := keycloaktest.Start(keycloaktest.Config{Listener: listener,
			Realms: [][]byte{keycloaktest.RealmSpec{
				Name:    "shop",
				Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: clientSecret}},
				Users:   []keycloaktest.UserSpec{{Name: "alice", Password: clientSecret}},
			}.File()}})
		if err != nil {
			t.Fatal(err)
		}
		defer kc.Close()
		transport := &http.Transport{DialContext: listener.dial}
		defer transport.CloseIdleConnections()
		config := applicationConfig(t, kc, application{me: identity.Require})
		config.Client.Transport = transport
		h := newServer(t, config).Handler()
		token, _ := strings.CutPrefix(bearer(t, kc, keycloaktest.TokenSpec{Claims: map[string]any{
			"exp": time.Now().Add(24 * time.Hour).Unix(), "preferred_username": "alice"}}),
			"Bearer ")
		const me = `{ me { username } }`
		if got := post(h, token, me); got != `{"data":{"me":{"username":"alice"}}}` {
			t.Fatalf("before the key was removed, me is %s, want alice", got)
		}
		shop := kc.Realm("shop")
		oldKey := shop.SigningKeyID("RS256")
		if _, err := shop.RotateKeys("RS256"); err != nil {
			t.Fatal(err)
		}
		if err := shop.RemoveKey(oldKey); err != nil {
			t.Fatal(err)
		}
		removedAt := time.Now()
		var acceptedFor time.Duration // from the removal to the last accepted request
		for time.Since(removedAt) < time.Hour {
			time.Sleep(15 * time.Second)
			if got := post(h, token, me); strings.Contains(got, `"alice"`) {
				acceptedFor = time.Since(removedAt)
			} else if !strings.Contains(got, `"KEY_UNKNOWN"`) {
				t.Fatalf("%v after the removal, me is %s, want KEY_UNKNOWN", time.Since(removedAt),
					got)
			}
		}
		if acceptedFor > 6*time.Minute || acceptedFor == 0 {
			t.Errorf("the removed key was accepted for %v, want more than 0 and at most 6m",
				acceptedFor)
		}
	})
}

// A minimal Config gets the same defaults as the command in production.
func TestConfig_defaults(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	minimalConfig := cloakql.Config{
		Realm: must(keycloak.NewRealm(kc.URL, "shop")),
		Client: keycloak.ClientConfig{ClientID: "shop-api",
			ClientSecret: identity.NewSecret(clientSecret)},
	}
	got := attributes(minimalConfig)
	want := attributes(testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod"))
	if len(want) < 20 {
		t.Fatalf("%d attributes are logged, want at least 20", len(want))
	}
	for name, value := range want {
		switch {
		case name == "persistedQueries" && got[name] == "false":
			// Off by default in a library, because they take memory.
		case got[name] != value:
			t.Errorf("%s is %s in a minimal Config, want %s as in the command", name, got[name],
				value)
		}
	}
}

// attributes returns the attributes that config has in a log, by name.
func attributes(config cloakql.Config) map[string]string {
	values := map[string]string{}
	for _, attribute := range config.LogValue().Group() {
		values[attribute.Key] = fmt.Sprint(attribute.Value.Any())
	}
	return values
}

// New returns an error that names a missing, contradictory or malformed field of Config, or a root
// field of the schema without an access rule.
func TestNew_invalidConfig(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	unguardedSchema := func(service *signin.Service) (graphql.ExecutableSchema, error) {
		schema, err := application{}.schema(service)
		return schemaWithoutDirectives{schema}, err
	}
	for name, tt := range map[string]struct {
		change func(*cloakql.Config)
		want   string
	}{
		"empty Config": {func(c *cloakql.Config) {
			*c = cloakql.Config{}
		}, "Config.Realm is missing"},
		"no client": {func(c *cloakql.Config) {
			c.Schema, c.Client = nil, keycloak.ClientConfig{}
		}, "Config.Client needs a ClientID"},
		"client without secret": {func(c *cloakql.Config) {
			c.Client.ClientSecret = identity.Secret{}
		}, "a client id and its secret"},
		"no client and no audience": {func(c *cloakql.Config) {
			c.Client = keycloak.ClientConfig{}
		}, "Config.Tokens needs an Audience"},
		"unguarded field": {func(c *cloakql.Config) {
			c.Schema = unguardedSchema
		}, "authz: Query.me has no access rule"},
		"unknown guard": {func(c *cloakql.Config) { c.Authz.Guards = []string{"staff"} },
			`authz: the guard "staff" is no directive`},
		"Schema returns an error": {func(c *cloakql.Config) {
			c.Schema = func(*signin.Service) (graphql.ExecutableSchema, error) {
				return nil, errOutOfStock
			}
		}, "warehouse 7"},
		"Schema returns nil": {func(c *cloakql.Config) {
			c.Schema = func(*signin.Service) (graphql.ExecutableSchema, error) { return nil, nil }
		}, "Config.Schema returned no schema"},
		"error row without Err": {func(c *cloakql.Config) {
			c.Errors = []apierror.Row{{Code: "X",
				Message: "x"}}
		}, "Err"},
		"malformed origin": {func(c *cloakql.Config) {
			c.HTTP.CORSOrigins = []string{"app.example.com"}
		}, `Config.HTTP.CORSOrigins holds "app.example.com": expected a scheme first`},
		"malformed host": {func(c *cloakql.Config) {
			c.HTTP.AllowedHosts = []string{"https://a"}
		}, "Config.HTTP.AllowedHosts"},
		"negative rate": {func(c *cloakql.Config) { c.Attempts.Account.Burst = -1 }, "Account"},
		"secret without client ID": {func(c *cloakql.Config) {
			c.Schema, c.Client.ClientID, c.Tokens.Audience = nil, "", []string{"shop-api"}
		}, "a client id and its secret"},
		"client of another realm": {func(c *cloakql.Config) {
			c.Client.Realm = must(keycloak.NewRealm(kc.URL, "other"))
		}, "Config.Client.Realm isn't Config.Realm"},
		"console users in production": {func(c *cloakql.Config) {
			c.HTTP.ConsoleUsers = []console.User{{Username: "alice", Password: clientSecret}}
		}, "Config.HTTP.ConsoleUsers shows passwords"},
		"Middleware returns nil": {func(c *cloakql.Config) {
			c.HTTP.Middleware = func(http.Handler) http.Handler { return nil }
		}, "Config.HTTP.Middleware returned no handler"},
	} {
		config := applicationConfig(t, kc, application{})
		tt.change(&config)
		if server, err := cloakql.New(config); server != nil || err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New() = %v, want an error that contains %q", name, err, tt.want)
		}
	}
}

// schemaWithoutDirectives is an executable schema whose query fields, and the type User that they
// return, have no directives, and so no access rules.
type schemaWithoutDirectives struct{ graphql.ExecutableSchema }

func (s schemaWithoutDirectives) Schema() *ast.Schema {
	schema := *s.ExecutableSchema.Schema()
	query := *schema.Query
	query.Fields = nil
	for _, field := range schema.Query.Fields {
		fieldCopy := *field
		fieldCopy.Directives = nil
		query.Fields = append(query.Fields, &fieldCopy)
	}
	schema.Query = &query
	schema.Types = maps.Clone(schema.Types)
	user := *schema.Types["User"] // the entity
	user.Directives = nil
	schema.Types["User"] = &user
	return &schema
}

// Without Config.Client, a server verifies tokens, but its login fails.
func TestNew_withoutClient(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := applicationConfig(t, kc, application{me: identity.Require})
	config.Client = keycloak.ClientConfig{}
	config.Tokens.Audience = []string{"shop-api"}
	var log lockedBuffer
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	server := newServer(t, config)
	token, _ := strings.CutPrefix(bearer(t, kc, keycloaktest.TokenSpec{}), "Bearer ")
	if got := post(server.Handler(), token,
		`{ me { id } }`); got != `{"data":{"me":{"id":"5d35c4eb"}}}` {
		t.Errorf("me is %s, want the user 5d35c4eb", got)
	}
	got := post(server.Handler(), "",
		`mutation { login(username: "alice", password: "shop-secret") { scope } }`)
	if !strings.Contains(got, "INTERNAL_SERVER_ERROR") ||
		!strings.Contains(log.String(), "signin.New") {
		t.Errorf("login is %s, want INTERNAL_SERVER_ERROR; the log is\n%swant a line that names "+
			"signin.New", got, &log)
	}
	if err := server.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Config.HTTP.Middleware can read the caller and the client's address from the context, and respond
// without calling the next handler.
func TestConfig_middleware(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	config := applicationConfig(t, kc, application{me: identity.Require})
	var callers []string
	config.HTTP.Middleware = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, err := identity.Require(r.Context())
			if err != nil {
				callers = append(callers,
					err.Error()+" from "+identity.Address(r.Context()).String())
				http.Error(w, "later", http.StatusServiceUnavailable)
				return
			}
			callers = append(callers, *user.Username)
			next.ServeHTTP(w, r)
		})
	}
	h := newServer(t, config).Handler()
	got := post(h, signIn(t, kc).AccessToken, `{ me { username } }`)
	if got != `{"data":{"me":{"username":"alice"}}}` {
		t.Errorf("me is %s, want alice", got)
	}
	if got := post(h, "", `{ me { username } }`); got != "later" {
		t.Errorf("me without a token is %s, want later", got)
	}
	want := []string{"alice", "no bearer token from 192.0.2.1"}
	if fmt.Sprint(callers) != fmt.Sprint(want) {
		t.Errorf("the middleware saw the callers %q, want %q", callers, want)
	}
}

// Changing a Config after New doesn't affect the Server.
func TestNew_copiesConfig(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	me := func(context.Context) (*identity.User, error) { return nil, errOutOfStock }
	config := applicationConfig(t, kc, application{me: me})
	config.Limits.RootFieldMax = map[string]int{"me": 1}
	h, token := newServer(t, config).Handler(), signIn(t, kc).AccessToken
	config.Errors[0].Code, config.Limits.RootFieldMax["me"] = "CHANGED", 2
	if got := post(h, token, `{ me { id } }`); !strings.Contains(got, `"OUT_OF_STOCK"`) {
		t.Errorf("me is %s, want OUT_OF_STOCK", got)
	}
	if got := post(h, token, `{ a: me { id } b: me { id } }`); !strings.Contains(got,
		`"ROOT_FIELDS"`) {
		t.Errorf("me twice is %s, want ROOT_FIELDS", got)
	}
}

// LogValue logs the default names of issuers, and doesn't change the Config.
func TestConfig_LogValue_issuers(t *testing.T) {
	realm := must(keycloak.NewRealm("https://sso.example.com", "shop"))
	otherRealm := must(keycloak.NewRealm("https://sso.example.com", "other"))
	config := cloakql.Config{
		Realm: realm, Client: keycloak.ClientConfig{ClientID: "shop-api"},
		Tokens: keycloak.VerifierConfig{AnyAudienceFor: "web", Issuers: []keycloak.Issuer{
			{}, {Keys: keycloak.NewKeySet(otherRealm, keycloak.KeySetConfig{})},
		}},
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("serving", "config", config)
	for _, want := range []string{
		`config.issuers="[` + realm.Issuer() + " " + otherRealm.Issuer() + `]"`,
		"config.audience=[shop-api]", "config.anyAudienceFor=web",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	if config.Tokens.Issuers[0].Names != nil {
		t.Errorf("after LogValue, the Config has the issuers %v, want them unchanged",
			config.Tokens.Issuers)
	}
}

// In an application's server, the error for a refused host name names fields of Config, because the
// application has no settings.
func TestConfig_AllowedHosts_error(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	for _, local := range []bool{true, false} {
		config := applicationConfig(t, kc, application{})
		config.Local, config.HTTP.AllowedHosts = local, []string{"api.example.com"}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/graphql", nil)
		r.Host = "evil.example.com"
		newServer(t, config).Handler().ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != http.StatusForbidden ||
			!strings.Contains(body, "HTTPConfig.AllowedHosts") ||
			strings.Contains(body, "Config.Local") != local {
			t.Errorf("Local is %t: got %d %s, want 403 and an error that names "+
				"HTTPConfig.AllowedHosts",
				local, w.Code, body)
		}
	}
}

// If the listener fails, Run finishes the requests in flight and then returns the listener's error.
func TestServer_Run_failingListener(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	called, release := make(chan struct{}), make(chan struct{})
	me := func(ctx context.Context) (*identity.User, error) {
		close(called)
		<-release
		return identity.Require(ctx)
	}
	config := applicationConfig(t, kc, application{me: me})
	log := &lockedBuffer{}
	config.Log = slog.New(slog.NewTextHandler(log, nil))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	runDone := make(chan error, 1)
	go func() { runDone <- newServer(t, config).Run(t.Context(), listener) }()
	s, response := &testServer{url: "http://" + listener.Addr().String()}, make(chan string, 1)
	token := signIn(t, kc).AccessToken
	go func() {
		_, body := s.do(t,
			testRequest{query: `{ me { username } }`, authorization: "Bearer " + token})
		response <- body
	}()
	<-called
	listener.Close()
	waitFor(t, "the server stops", func() bool {
		return strings.Contains(log.String(), "stopping")
	})
	select {
	case err := <-runDone:
		t.Fatalf("Run() = %v while a request was in flight, want it to wait", err)
	default:
	}
	close(release)
	if body := <-response; !strings.Contains(body, `"alice"`) {
		t.Errorf("me is %s, want alice", body)
	}
	if err := <-runDone; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run() = %v, want the listener's error", err)
	}
}

// Run returns an error if it is called a second time or after Close. It always closes the listener.
func TestServer_Run_once(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	run := func(server *cloakql.Server) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		err := server.Run(ctx, listener)
		if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept() after Run = %v, want net.ErrClosed", err)
		}
		return err
	}
	server, closedServer := newServer(t, applicationConfig(t, kc, application{})),
		newServer(t, applicationConfig(t, kc, application{}))
	if err := run(server); err != nil {
		t.Errorf("Run() = %v, want nil", err)
	}
	if err := closedServer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*cloakql.Server{"called twice": server,
		"called after Close": closedServer} {
		if err := run(s); err == nil || !strings.Contains(err.Error(), "cloakql.New") {
			t.Errorf("Run() %s = %v, want an error that names cloakql.New", name, err)
		}
	}
}

// The nil Server and the zero Server return errors; they don't panic.
func TestServer_zeroValue(t *testing.T) {
	for name, server := range map[string]*cloakql.Server{"nil Server": nil,
		"zero Server": {}} {
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/graphql", nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: Handler() responds %d, want 503", name, w.Code)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Run(t.Context(), listener); err == nil ||
			!strings.Contains(err.Error(), "cloakql.New") {
			t.Errorf("%s: Run() = %v, want an error that names cloakql.New", name, err)
		}
		if err := server.Close(t.Context()); err != nil {
			t.Errorf("%s: Close() = %v, want nil", name, err)
		}
	}
}
