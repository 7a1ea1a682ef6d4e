package cloakql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// A product is somebody else's resolvers: me answers with what the product's own code says.
type product struct {
	service *signin.Service
	me      func(context.Context) (*identity.User, error)
}

func (p product) Query() generated.QueryResolver                 { return p }
func (p product) Mutation() generated.MutationResolver           { return p }
func (p product) Me(ctx context.Context) (*identity.User, error) { return p.me(ctx) }
func (p product) Logout(ctx context.Context, token string) (bool, error) {
	return p.service.Logout(ctx, token)
}
func (p product) Refresh(ctx context.Context, token string) (*identity.OpenIDToken, error) {
	return p.service.Refresh(ctx, token)
}

func (p product) Login(ctx context.Context, username, password string,
	otp *string) (*identity.OpenIDToken, error) {
	return p.service.Login(ctx, username, password, otp)
}

// schema is the Config.Schema of the product.
func (p product) schema(service *signin.Service) (graphql.ExecutableSchema, error) {
	p.service = service
	return generated.NewExecutableSchema(generated.Config{
		Resolvers:  p,
		Directives: generated.DirectiveRoot{Public: authz.Public, Auth: authz.Auth},
	}), nil
}

var errOutOfStock = errors.New("warehouse 7 at 10.0.0.7 has none left")

// importerConfig is the least that an importer with an own schema writes.
func importerConfig(t testing.TB, kc *keycloaktest.Server, p product) cloakql.Config {
	t.Helper()
	return cloakql.Config{
		Realm: must(keycloak.NewRealm(kc.URL, "shop")),
		Client: keycloak.ClientConfig{ClientID: "shop-api",
			ClientSecret: identity.NewSecret("hush")},
		Schema: p.schema,
		Errors: []apierror.Row{{Err: errOutOfStock, Code: "OUT_OF_STOCK",
			Message: "This is sold out"}},
		Log: slog.New(slog.DiscardHandler),
	}
}

// post sends one operation to a server's handler, with a bearer token unless it is empty.
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

// A server with another schema has the guards, the codes and the sign-in of ours, and its own
// error.
func TestNew_ownSchema(t *testing.T) {
	kc := newShop(t, "hush")
	config := importerConfig(t, kc, product{me: func(ctx context.Context) (*identity.User, error) {
		user, err := identity.Require(ctx)
		if err == nil && *user.Username == "alice" {
			return nil, fmt.Errorf("find the order: %w", errOutOfStock)
		}
		return user, err
	}})
	h := newServer(t, config).Handler()

	const me = `{ me { username } }`
	alice := signIn(t, kc).AccessToken
	foreign, _ := strings.CutPrefix(bearer(t, kc,
		keycloaktest.Mint{Claims: map[string]any{"aud": "billing"}}), "Bearer ")
	for _, tt := range []struct{ name, token, query, want string }{
		{"guarded", "", me, `{"errors":[{"message":"Not authenticated","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}],"data":{"me":null}}`},
		{"a foreign token", foreign, me, `{"errors":[{"message":"Token is not meant for this API","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_NOT_ACCEPTED"}}],"data":{"me":null}}`},
		{"its own error", alice, me, `{"errors":[{"message":"This is sold out","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"OUT_OF_STOCK"}}],"data":{"me":null}}`},
		{"sign-in", "", `mutation { login(username: "alice", password: "hush") { tokenType } }`, `{"data":{"login":{"tokenType":"Bearer"}}}`},
		{"the schema is hidden", alice, `{ __schema { types { name } } }`, `{"errors":[{"message":"Introspection is off","path":["__schema"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__schema":null}}`},
		{"limits", "", `mutation { a: login(username: "a", password: "b") { scope } b: login(username: "a", password: "c") { scope } }`, ``},
	} {
		got := post(h, tt.token, tt.query)
		if tt.want == "" {
			if !strings.Contains(got, `"code":"OPERATION_TOO_LARGE"`) {
				t.Errorf("%s: %s, want it to be refused", tt.name, got)
			}
		} else if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if strings.Contains(got, kc.URL) || strings.Contains(got, "10.0.0.7") {
			t.Errorf("%s: the answer holds detail for operators: %s", tt.name, got)
		}
	}
}

// A realm's key that was withdrawn verifies for six minutes at most, though nobody called Run.
func TestHandler_withdrawnKeyWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipeListener()
		kc, err := keycloaktest.Start(keycloaktest.Config{Listener: listener,
			Realms: [][]byte{keycloaktest.Plan{
				Name:    "shop",
				Clients: []keycloaktest.PlannedClient{{ID: "shop-api", Secret: "hush"}},
				Users:   []keycloaktest.PlannedUser{{Name: "alice", Password: "hush"}},
			}.File()}})
		if err != nil {
			t.Fatal(err)
		}
		defer kc.Close()
		transport := &http.Transport{DialContext: listener.dial}
		defer transport.CloseIdleConnections()
		config := importerConfig(t, kc, product{me: identity.Require})
		config.Client.Transport = transport
		h := newServer(t, config).Handler()
		token, _ := strings.CutPrefix(bearer(t, kc, keycloaktest.Mint{Claims: map[string]any{
			"exp": time.Now().Add(24 * time.Hour).Unix(), "preferred_username": "alice"}}),
			"Bearer ")
		const me = `{ me { username } }`
		if got := post(h, token, me); got != `{"data":{"me":{"username":"alice"}}}` {
			t.Fatalf("before: %s", got)
		}
		shop := kc.Realm("shop")
		old := shop.SigningKey("RS256")
		if _, err := shop.RotateKeys("RS256"); err != nil {
			t.Fatal(err)
		}
		if err := shop.RemoveKey(old); err != nil {
			t.Fatal(err)
		}
		withdrawn := time.Now()
		var last time.Duration // after which it verified
		for time.Since(withdrawn) < time.Hour {
			time.Sleep(15 * time.Second)
			if got := post(h, token, me); strings.Contains(got, `"alice"`) {
				last = time.Since(withdrawn)
			} else if !strings.Contains(got, `"KEY_UNKNOWN"`) {
				t.Fatalf("after %v: %s", time.Since(withdrawn), got)
			}
		}
		if last > 6*time.Minute || last == 0 {
			t.Errorf("the withdrawn key verified for %v", last)
		}
	})
}

// What an importer leaves out is as in the program in production, but for what only the program
// needs.
func TestConfig_zeroValueIsTheProgramsDefault(t *testing.T) {
	kc := newShop(t, "hush")
	least := cloakql.Config{
		Realm: must(keycloak.NewRealm(kc.URL, "shop")),
		Client: keycloak.ClientConfig{ClientID: "shop-api",
			ClientSecret: identity.NewSecret("hush")},
	}
	theirs, ours := attributes(least), attributes(goodConfig(t, at(kc), "RUNTIME_ENV=prod"))
	if len(ours) < 20 {
		t.Fatalf("only %d attributes are logged", len(ours))
	}
	for name, value := range ours {
		switch got := theirs[name]; {
		case name == "persistedQueries" && got == "false": // costs memory
		case got != value:
			t.Errorf("%s is %s in a Config that leaves it out, and %s in the program", name, got,
				value)
		}
	}
}

// attributes are what is logged of a Config.
func attributes(config cloakql.Config) map[string]string {
	found := map[string]string{}
	for _, attribute := range config.LogValue().Group() {
		found[attribute.Key] = fmt.Sprint(attribute.Value.Any())
	}
	return found
}

// New names what is missing, and refuses what would be open.
func TestNew_refuses(t *testing.T) {
	kc := newShop(t, "hush")
	unguarded := func(service *signin.Service) (graphql.ExecutableSchema, error) {
		schema, err := product{}.schema(service)
		return withoutDirectives{schema}, err
	}
	for name, tt := range map[string]struct {
		change func(*cloakql.Config)
		want   string
	}{
		"nothing": {func(c *cloakql.Config) {
			*c = cloakql.Config{}
		}, "Config.Realm is missing"},
		"no client": {func(c *cloakql.Config) {
			c.Schema, c.Client = nil, keycloak.ClientConfig{}
		}, "Config.Client needs a ClientID"},
		"half a client": {func(c *cloakql.Config) {
			c.Client.ClientSecret = identity.Secret{}
		}, "a client id and its secret"},
		"tokens of no audience": {func(c *cloakql.Config) {
			c.Client = keycloak.ClientConfig{}
		}, "Config.Tokens needs an Audience"},
		"an open field": {func(c *cloakql.Config) {
			c.Schema = unguarded
		}, "authz: Query.me has no access rule"},
		"an unknown guard": {func(c *cloakql.Config) { c.Guards = []string{"staff"} }, `authz: the guard "staff" is no directive`},
		"a failing schema": {func(c *cloakql.Config) {
			c.Schema = func(*signin.Service) (graphql.ExecutableSchema, error) {
				return nil, errOutOfStock
			}
		}, "warehouse 7"},
		"no schema": {func(c *cloakql.Config) {
			c.Schema = func(*signin.Service) (graphql.ExecutableSchema, error) { return nil, nil }
		}, "Config.Schema returned no schema"},
		"a row without err": {func(c *cloakql.Config) { c.Errors = []apierror.Row{{Code: "X", Message: "x"}} }, "Err"},
		"an origin": {func(c *cloakql.Config) {
			c.HTTP.CORSOrigins = []string{"app.example.com"}
		}, `Config.HTTP.CORSOrigins holds "app.example.com": expected a scheme first`},
		"a host": {func(c *cloakql.Config) {
			c.HTTP.AllowedHosts = []string{"https://a"}
		}, "Config.HTTP.AllowedHosts"},
		"attempts": {func(c *cloakql.Config) { c.Attempts.Account.Burst = -1 }, "Account"},
		"a secret without an id": {func(c *cloakql.Config) {
			c.Schema, c.Client.ClientID, c.Tokens.Audience = nil, "", []string{"shop-api"}
		}, "a client id and its secret"},
		"a client of another realm": {func(c *cloakql.Config) {
			c.Client.Realm = must(keycloak.NewRealm(kc.URL, "other"))
		}, "Config.Client.Realm isn't Config.Realm"},
		"passwords for everybody": {func(c *cloakql.Config) {
			c.HTTP.ConsoleUsers = []console.User{{Username: "alice", Password: "hush"}}
		}, "Config.HTTP.ConsoleUsers shows passwords"},
		"no handler": {func(c *cloakql.Config) {
			c.HTTP.Middleware = func(http.Handler) http.Handler { return nil }
		}, "Config.HTTP.Middleware returned no handler"},
	} {
		config := importerConfig(t, kc, product{})
		tt.change(&config)
		if server, err := cloakql.New(config); server != nil || err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New() = %v, want an error with %q", name, err, tt.want)
		}
	}
}

// withoutDirectives is a schema whose author forgot the access rules.
type withoutDirectives struct{ graphql.ExecutableSchema }

func (s withoutDirectives) Schema() *ast.Schema {
	schema := *s.ExecutableSchema.Schema()
	query := *schema.Query
	query.Fields = nil
	for _, field := range schema.Query.Fields {
		bare := *field
		bare.Directives = nil
		query.Fields = append(query.Fields, &bare)
	}
	schema.Query = &query
	return &schema
}

// A server without a client verifies tokens and signs nobody in.
func TestNew_withoutClient(t *testing.T) {
	kc := newShop(t, "hush")
	config := importerConfig(t, kc, product{me: identity.Require})
	config.Client = keycloak.ClientConfig{}
	config.Tokens.Audience = []string{"shop-api"}
	var log lockedBuffer
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	server := newServer(t, config)
	token, _ := strings.CutPrefix(bearer(t, kc, keycloaktest.Mint{}), "Bearer ")
	if got := post(server.Handler(), token,
		`{ me { id } }`); got != `{"data":{"me":{"id":"5d35c4eb"}}}` {
		t.Errorf("me is %s", got)
	}
	got := post(server.Handler(), "",
		`mutation { login(username: "alice", password: "hush") { scope } }`)
	if !strings.Contains(got, "INTERNAL_SERVER_ERROR") ||
		!strings.Contains(log.String(), "signin.New") {
		t.Errorf("login is %s; the log says\n%s", got, &log)
	}
	if err := server.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Middleware of an importer knows the caller, and can answer by itself.
func TestConfig_middleware(t *testing.T) {
	kc := newShop(t, "hush")
	config := importerConfig(t, kc, product{me: identity.Require})
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
		t.Errorf("me is %s", got)
	}
	if got := post(h, "", `{ me { username } }`); got != "later" {
		t.Errorf("without a token it is %s", got)
	}
	want := []string{"alice", "no bearer token from 192.0.2.1"}
	if fmt.Sprint(callers) != fmt.Sprint(want) {
		t.Errorf("callers %q, want %q", callers, want)
	}
}

// A Server keeps nothing of its Config that the importer may change afterwards.
func TestNew_copiesConfig(t *testing.T) {
	kc := newShop(t, "hush")
	config := importerConfig(t, kc, product{me: func(context.Context) (*identity.User, error) {
		return nil, errOutOfStock
	}})
	config.Limits.RootFieldMax = map[string]int{"me": 1}
	h, token := newServer(t, config).Handler(), signIn(t, kc).AccessToken
	config.Errors[0].Code, config.Limits.RootFieldMax["me"] = "CHANGED", 2
	if got := post(h, token, `{ me { id } }`); !strings.Contains(got, `"OUT_OF_STOCK"`) {
		t.Errorf("me is %s", got)
	}
	if got := post(h, token, `{ a: me { id } b: me { id } }`); !strings.Contains(got,
		`"ROOT_FIELDS"`) {
		t.Errorf("me twice is %s", got)
	}
}

// What is left out of an Issuer is the realm's, in the log and for the warning of Run, too.
func TestConfig_LogValue_issuers(t *testing.T) {
	realm := must(keycloak.NewRealm("https://sso.example.com", "shop"))
	other := must(keycloak.NewRealm("https://sso.example.com", "other"))
	config := cloakql.Config{
		Realm: realm, Client: keycloak.ClientConfig{ClientID: "shop-api"},
		Tokens: keycloak.VerifierConfig{AuthorizedParty: "web", Issuers: []keycloak.Issuer{
			{}, {Keys: keycloak.NewKeySet(other, keycloak.KeySetConfig{})},
		}},
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("serving", "config", config)
	for _, want := range []string{
		`config.issuers="[` + realm.Issuer() + " " + other.Issuer() + `]"`,
		"config.audience=[shop-api]", "config.authorizedParty=web",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	if config.Tokens.Issuers[0].Names != nil {
		t.Errorf("the importer's issuers became %v", config.Tokens.Issuers)
	}
}

// Who is refused for a host reads the names of an importer's fields, not those of settings.
func TestConfig_AllowedHosts_names_fields(t *testing.T) {
	kc := newShop(t, "hush")
	for _, local := range []bool{true, false} {
		config := importerConfig(t, kc, product{})
		config.Local, config.HTTP.AllowedHosts = local, []string{"api.example.com"}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/graphql", nil)
		r.Host = "evil.example.com"
		newServer(t, config).Handler().ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != http.StatusForbidden ||
			!strings.Contains(body, "HTTPConfig.AllowedHosts") ||
			strings.Contains(body, "Config.Local") != local {
			t.Errorf("local %v: %d %s", local, w.Code, body)
		}
	}
}

// A listener that fails ends Run, but not before the requests in flight are answered.
func TestServer_Run_failingListener(t *testing.T) {
	kc := newShop(t, "hush")
	called, release := make(chan struct{}), make(chan struct{})
	config := importerConfig(t, kc, product{me: func(ctx context.Context) (*identity.User, error) {
		close(called)
		<-release
		return identity.Require(ctx)
	}})
	log := &lockedBuffer{}
	config.Log = slog.New(slog.NewTextHandler(log, nil))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	ended := make(chan error, 1)
	go func() { ended <- newServer(t, config).Run(t.Context(), listener) }()
	s, answered := &site{url: "http://" + listener.Addr().String()}, make(chan string, 1)
	token := signIn(t, kc).AccessToken
	go func() {
		_, body := s.do(t, exchange{query: `{ me { username } }`, authorization: "Bearer " + token})
		answered <- body
	}()
	<-called
	listener.Close()
	waitFor(t, "the server stops", func() bool {
		return strings.Contains(log.String(), "stopping")
	})
	select {
	case err := <-ended:
		t.Fatalf("Run() = %v with a request in flight", err)
	default:
	}
	close(release)
	if body := <-answered; !strings.Contains(body, `"alice"`) {
		t.Errorf("me is %s", body)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run() = %v, want the listener's error", err)
	}
}

// A Server runs once, and not after Close. Either way the listener is closed when Run returns.
func TestServer_Run_once(t *testing.T) {
	kc := newShop(t, "hush")
	run := func(server *cloakql.Server) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		err := server.Run(ctx, listener)
		if _, accepted := listener.Accept(); !errors.Is(accepted, net.ErrClosed) {
			t.Errorf("the listener answers %v, want that it is closed", accepted)
		}
		return err
	}
	server, closed := newServer(t, importerConfig(t, kc, product{})),
		newServer(t, importerConfig(t, kc, product{}))
	if err := run(server); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if err := closed.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*cloakql.Server{"twice": server, "after Close": closed} {
		if err := run(s); err == nil || !strings.Contains(err.Error(), "cloakql.New") {
			t.Errorf("Run %s = %v, want that it names cloakql.New", name, err)
		}
	}
}

// The zero Server answers and fails; it doesn't panic.
func TestServer_zeroValue(t *testing.T) {
	var server cloakql.Server
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/graphql", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("Handler answers %d", w.Code)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Run(t.Context(), listener); err == nil ||
		!strings.Contains(err.Error(), "cloakql.New") {
		t.Errorf("Run() = %v", err)
	}
	if err := server.Close(t.Context()); err != nil {
		t.Errorf("Close() = %v", err)
	}
}
