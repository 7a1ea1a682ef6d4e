package cloakql_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A plainServer is what somebody builds who reads our package docs: gqlgen's handler with its own
// error presenter, our middleware, and resolvers that return our errors as they are.
type plainServer struct{ client *keycloak.Client }

func (s plainServer) Query() generated.QueryResolver       { return s }
func (s plainServer) Mutation() generated.MutationResolver { return s }

func (s plainServer) Me(ctx context.Context) (*identity.User, error) {
	return identity.Require(ctx)
}

func (s plainServer) Login(ctx context.Context, username, password string,
	otp *string) (*identity.OpenIDToken, error) {
	credentials, err := identity.NewCredentials(username, password, otp)
	if err != nil {
		return nil, err
	}
	return s.client.Login(ctx, credentials)
}

func (s plainServer) Refresh(ctx context.Context, token string) (*identity.OpenIDToken, error) {
	secret, err := identity.NewRefreshToken(token)
	if err != nil {
		return nil, err
	}
	return s.client.Refresh(ctx, secret)
}

func (s plainServer) Logout(ctx context.Context, token string) (bool, error) {
	secret, err := identity.NewRefreshToken(token)
	if err != nil {
		return false, err
	}
	return true, s.client.Logout(ctx, secret)
}

// handler is the whole server, with the middleware that its verifier needs.
func (s plainServer) handler(verifier *keycloak.Verifier) http.Handler {
	server := handler.New(generated.NewExecutableSchema(generated.Config{
		Resolvers:  s,
		Directives: generated.DirectiveRoot{Public: authz.Public, Auth: authz.Auth},
	}))
	server.AddTransport(transport.POST{})
	return keycloak.Middleware(verifier, slog.New(slog.DiscardHandler))(server)
}

const (
	plainSecret   = "client-s3cret-of-the-plain-server"
	plainPassword = "pa55word-of-ann"
	plainPlanned  = "shop-api"
)

func plainRealm(t *testing.T) *keycloaktest.Server {
	t.Helper()
	return keycloaktest.New(t, keycloaktest.Plan{
		Name: "shop",
		Clients: []keycloaktest.PlannedClient{
			{ID: plainPlanned, Secret: plainSecret},
			{ID: "no-passwords", Secret: plainSecret, Settings: map[string]any{"directAccessGrantsEnabled": false}},
			{ID: "asks-consent", Secret: plainSecret, Settings: map[string]any{"consentRequired": true}},
		},
		Users: []keycloaktest.PlannedUser{
			{Name: "ann", Password: plainPassword},
			{Name: "off", Password: plainPassword, Settings: map[string]any{"enabled": false}},
		},
	}.File())
}

// Whatever goes wrong between a plain server and Keycloak, gqlgen's own presenter shows a client no
// address, no issuer, no setting, nothing that Keycloak said, and nothing that the client sent.
func TestDefaultErrorPresenter_shows_no_operator_detail(t *testing.T) {
	kc := plainRealm(t)
	realm := must(keycloak.NewRealm(kc.URL, "shop"))
	// nobody listens there
	nowhere := must(keycloak.NewRealm("http://127.0.0.1:1/internal", "shop"))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<title>a page of proxy-7.internal</title>")
	}))
	t.Cleanup(elsewhere.Close)
	page := must(keycloak.NewRealm(elsewhere.URL, "shop"))
	signedIn, err := kc.Realm("shop").SignIn(plainPlanned, "ann")
	if err != nil {
		t.Fatal(err)
	}
	mint := func(m keycloaktest.Mint) string {
		t.Helper()
		minted, err := kc.Realm("shop").Mint(m)
		if err != nil {
			t.Fatal(err)
		}
		return minted
	}
	const (
		login = `mutation { login(username: "ann", password: "` + plainPassword +
			`") { tokenType } }`
		wrong = `mutation { login(username: "ann", password: "wr0ng-p4ss") { tokenType } }`
		off   = `mutation { login(username: "off", password: "` + plainPassword +
			`") { tokenType } }`
		empty   = `mutation { login(username: "", password: "wr0ng-p4ss") { tokenType } }`
		refresh = `mutation { refresh(refreshToken: "c3Q0bGVu.cmVmcmVzaA.dG9rZW4") { tokenType } }`
		logout  = `mutation { logout(refreshToken: "c3Q0bGVu.cmVmcmVzaA.dG9rZW4") }`
		me      = `{ me { username } }`
	)
	type clientConfig = keycloak.ClientConfig
	type verifierConfig = keycloak.VerifierConfig
	for _, tt := range []struct {
		name     string
		query    string
		token    string
		client   clientConfig   // what it changes of a good one
		verifier verifierConfig // likewise
		want     string
	}{
		{"no token", me, "", clientConfig{}, verifierConfig{}, "no bearer token"},
		{"not a token", me, "n0t-a-token", clientConfig{}, verifierConfig{}, "token is malformed"},
		{"a large token", me, signedIn.AccessToken, clientConfig{}, verifierConfig{MaxBytes: 100}, "token is too large"},
		{"wrong issuer", me, signedIn.AccessToken, clientConfig{},
			verifierConfig{
				Issuers: []keycloak.Issuer{{Names: []string{"https://sso.internal/realms/shop"}}},
			}, "token is not meant for this API"},
		{"wrong audience", me, signedIn.AccessToken, clientConfig{}, verifierConfig{Audience: []string{"b1lling"}}, "token is not meant for this API"},
		{"expired", me, mint(keycloaktest.Mint{Claims: map[string]any{"aud": plainPlanned, "sub": "s"}, Lifetime: -time.Hour}),
			clientConfig{}, verifierConfig{}, "token has expired"},
		{"not yet valid", me, mint(keycloaktest.Mint{Claims: map[string]any{"aud": plainPlanned, "sub": "s", "nbf": time.Now().Add(time.Hour)}}),
			clientConfig{}, verifierConfig{}, "token is not valid yet"},
		{"unknown key", me, mint(keycloaktest.Mint{Claims: map[string]any{"aud": plainPlanned, "sub": "s"}, Header: map[string]any{"kid": "n0-such-key"}}),
			clientConfig{}, verifierConfig{}, "token is signed with an unknown key"},
		{"wrong signature", me, signedIn.AccessToken[:len(signedIn.AccessToken)-8] + "AAAAAAAA", clientConfig{}, verifierConfig{}, "token signature is wrong"},
		{"keys, Keycloak down", me, signedIn.AccessToken, clientConfig{},
			verifierConfig{Issuers: []keycloak.Issuer{{Names: []string{realm.Issuer()},
				Keys: keysOf(nowhere)}}}, "the keys to verify tokens can't be had"},
		{"keys, a page", me, signedIn.AccessToken, clientConfig{},
			verifierConfig{Issuers: []keycloak.Issuer{{Names: []string{realm.Issuer()},
				Keys: keysOf(page)}}}, "the keys to verify tokens can't be had"},

		{"empty name", empty, "", clientConfig{}, verifierConfig{}, "bad input: username is empty"},
		{"login, wrong password", wrong, "", clientConfig{}, verifierConfig{}, "keycloak: login: bad credentials"},
		{"login, account disabled", off, "", clientConfig{}, verifierConfig{}, "keycloak: login: account is disabled"},
		{"login, wrong secret", login, "", clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, no such client", login, "", clientConfig{ClientID: "n0-such-client"}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, no such realm", login, "", clientConfig{Realm: must(keycloak.NewRealm(kc.URL, "n0-such-realm"))}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, no such scope", login, "", clientConfig{LoginScope: "n0-such-scope"}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, consent", login, "", clientConfig{ClientID: "asks-consent"}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, grant off", login, "", clientConfig{ClientID: "no-passwords"}, verifierConfig{}, "keycloak: login: password sign-in is off"},
		{"login, Keycloak down", login, "", clientConfig{Realm: nowhere}, verifierConfig{}, "keycloak: login: realm is unavailable"},
		{"login, a page", login, "", clientConfig{Realm: page}, verifierConfig{}, "keycloak: login: realm is unavailable"},
		{"refresh, not a token", refresh, "", clientConfig{}, verifierConfig{}, "keycloak: refresh: refresh token is not valid"},
		{"refresh, in another spelling", strings.ReplaceAll(refresh, "dG9rZW4", "dG9rZW5="), "", clientConfig{}, verifierConfig{}, "keycloak: refresh: refresh token is not valid"},
		{"refresh, wrong secret", refresh, "", clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{}, "keycloak: refresh: realm refuses this server"},
		{"refresh, Keycloak down", refresh, "", clientConfig{Realm: nowhere}, verifierConfig{}, "keycloak: refresh: realm is unavailable"},
		{"logout, not a token", logout, "", clientConfig{}, verifierConfig{}, "keycloak: logout: refresh token is not valid"},
		{"logout, wrong secret", logout, "", clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{}, "keycloak: logout: realm refuses this server"},
		{"logout, Keycloak down", logout, "", clientConfig{Realm: nowhere}, verifierConfig{}, "keycloak: logout: realm is unavailable"},
		{"logout, a page", logout, "", clientConfig{Realm: page}, verifierConfig{}, "keycloak: logout: realm is unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := tt.client
			if client.Realm == (keycloak.Realm{}) {
				client.Realm = realm
			}
			if client.ClientID == "" {
				client.ClientID = plainPlanned
			}
			if client.ClientSecret.Reveal() == "" {
				client.ClientSecret = identity.NewSecret(plainSecret)
			}
			verifier := tt.verifier
			if len(verifier.Issuers) == 0 {
				verifier.Issuers = []keycloak.Issuer{{}}
			}
			if verifier.Issuers[0].Keys == nil {
				verifier.Issuers[0].Keys = keysOf(realm)
			}
			if len(verifier.Audience) == 0 {
				verifier.Audience = []string{plainPlanned}
			}
			server := plainServer{
				must(keycloak.NewClient(client)),
			}.handler(must(keycloak.NewVerifier(verifier)))
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/",
				strings.NewReader(fmt.Sprintf(`{"query":%q}`, tt.query)))
			request.Header.Set("Content-Type", "application/json")
			if tt.token != "" {
				request.Header.Set("Authorization", "Bearer "+tt.token)
			}
			got := httptest.NewRecorder()
			server.ServeHTTP(got, request)
			body := regexp.MustCompile(
				`,"path":\["[a-z]+"\],"locations":\[\{"line":1,"column":\d+\}\]`).ReplaceAllString(
				got.Body.String(), "")
			body = strings.Replace(body, `"data":{"me":null}`, `"data":null`, 1)
			want := fmt.Sprintf(`{"errors":[{"message":%q}],"data":null}`, tt.want)
			if body != want {
				t.Errorf("a client reads\n%s, want\n%s", got.Body, want)
			}
		})
	}
}

func keysOf(realm keycloak.Realm) *keycloak.KeySet {
	return keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: slog.New(slog.DiscardHandler)})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// typedErrors are the errors with fields that importers get, each with a detail that clients must
// not read.
var typedErrors = map[string]error{
	"identity.Error": &identity.Error{Reason: identity.ErrProviderMisconfigured,
		Detail: operatorDetail},
	"identity.RateLimitError": &identity.RateLimitError{RetryAfter: time.Minute},
	"keycloak.Refusal": &keycloak.Refusal{Status: 401, Code: operatorDetail,
		Description: operatorDetail, Hint: operatorDetail},
}

const operatorDetail = `iss is "https://sso.internal/realms/shop" (KEYCLOAK_ISSUER)`

// Each error of ours has a text that is fit for clients, and its detail, if it has one, in a log.
func TestEveryError_is_fit_for_clients(t *testing.T) {
	fit := regexp.MustCompile(`^[A-Za-z' -]+(: try again in 1m0s)?$`)
	for name, err := range typedErrors {
		wrapped := fmt.Errorf("ask: %w", err)
		for how, text := range map[string]string{
			"presented": graphql.DefaultErrorPresenter(t.Context(), err).Message,
			"%+v":       fmt.Sprintf("%+v", err), "%s": fmt.Sprintf("%s", err),
		} {
			if !fit.MatchString(text) {
				t.Errorf("%s, %s: %q isn't fit for clients", name, how, text)
			}
		}
		if name == "identity.RateLimitError" { // it has no detail
			continue
		}
		if !strings.Contains(identity.Detail(wrapped), "KEYCLOAK_ISSUER") {
			t.Errorf("%s: Detail() is %q, want what operators need", name, identity.Detail(wrapped))
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Error("failed", "error", err)
		if !strings.Contains(log.String(), "KEYCLOAK_ISSUER") {
			t.Errorf("%s: the log has no detail: %s", name, log.String())
		}
	}
	found := 0
	for _, room := range importable {
		eachDeclaration(t, room, func(file *ast.File, declaration ast.Decl) {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if name := receiverOf(d); d.Name.Name == "Error" && len(d.Type.Params.List) == 0 &&
					ast.IsExported(name) {
					found++
					if typedErrors[file.Name.Name+"."+name] == nil {
						t.Errorf("%s.%s is an error: add it to typedErrors, so that its text is "+
							"looked at", file.Name.Name, name)
					}
				}
			case *ast.GenDecl:
				for _, text := range sentinelTexts(d) {
					found++
					if !fit.MatchString(text) {
						t.Errorf("%s: the text of the error %q isn't fit for clients", room, text)
					}
				}
			}
		})
	}
	if found < 25 {
		t.Errorf("%d errors were looked at; the package identity by itself has more", found)
	}
	if err := (identity.Claims(`{"a":"s3cret"}`)).Decode(&struct{ A int }{}); err == nil ||
		!fit.MatchString(err.Error()) || !strings.Contains(identity.Detail(err), "int") {
		t.Errorf("Decode() = %v with the detail %q, want a text for clients, and json's as the "+
			"detail", err, identity.Detail(err))
	}
	if identity.Detail(nil) != "" || identity.Detail(errors.New("x")) != "" {
		t.Error("Detail() of an error without one isn't empty")
	}
}

// importable are the packages that other projects build on.
var importable = []string{".", "identity", "apierror", "keycloak", "authz", "graph", "graphqlhttp",
	"limits", "signin", "throttle", "store", "store/storetest", "console",
	"keycloak/keycloaktest"}

// eachDeclaration visits the top-level declarations of a room, without its tests.
func eachDeclaration(t *testing.T, room string, visit func(*ast.File, ast.Decl)) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(room, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no Go files: %v", room, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			visit(file, declaration)
		}
	}
}

// receiverOf is the name of the type that a method belongs to, or "".
func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	expression := f.Recv.List[0].Type
	if pointer, ok := expression.(*ast.StarExpr); ok {
		expression = pointer.X
	}
	name, _ := expression.(*ast.Ident)
	if name == nil {
		return ""
	}
	return name.Name
}

// sentinelTexts are the texts of the exported errors that a declaration makes with errors.New.
func sentinelTexts(d *ast.GenDecl) (texts []string) {
	for _, spec := range d.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok ||
			!slices.ContainsFunc(value.Names, func(n *ast.Ident) bool { return n.IsExported() }) {
			continue
		}
		for _, made := range value.Values {
			call, ok := made.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				continue
			}
			function, _ := call.Fun.(*ast.SelectorExpr)
			if literal, ok := call.Args[0].(*ast.BasicLit); ok && function != nil &&
				function.Sel.Name == "New" {
				texts = append(texts, strings.Trim(literal.Value, `"`))
			}
		}
	}
	return texts
}
