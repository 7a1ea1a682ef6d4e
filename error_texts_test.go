package cloakql_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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

// A plainServer is a server as an application might build it from our packages: gqlgen's handler
// with its default error presenter, our middleware, and resolvers that return our errors unchanged.
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

// handler returns the server's handler, behind the middleware with verifier.
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
	plainClientID = "shop-api"
)

// newPlainKeycloak starts a fake Keycloak for plainServer.
func newPlainKeycloak(t *testing.T) *keycloaktest.Server {
	t.Helper()
	return keycloaktest.New(t, keycloaktest.RealmSpec{
		Name: "shop",
		Clients: []keycloaktest.ClientSpec{
			{ID: plainClientID, Secret: plainSecret},
			{ID: "no-passwords", Secret: plainSecret, Settings: map[string]any{"directAccessGrantsEnabled": false}},
			{ID: "consent-required", Secret: plainSecret, Settings: map[string]any{"consentRequired": true}},
		},
		Users: []keycloaktest.UserSpec{
			{Name: "ann", Password: plainPassword},
			{Name: "off", Password: plainPassword, Settings: map[string]any{"enabled": false}},
		},
	}.File())
}

// gqlgen's default presenter shows clients our errors without internal detail: without an address,
// an issuer or a setting, and without any part of Keycloak's response or of the request.
func TestDefaultErrorPresenter_hidesDetail(t *testing.T) {
	kc := newPlainKeycloak(t)
	realm := must(keycloak.NewRealm(kc.URL, "shop"))
	// nothing listens on this port
	unreachableRealm := must(keycloak.NewRealm("http://127.0.0.1:1/internal", "shop"))
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<title>a page of proxy-7.internal</title>")
	}))
	t.Cleanup(proxy.Close)
	htmlRealm := must(keycloak.NewRealm(proxy.URL, "shop"))
	signedIn, err := kc.Realm("shop").SignIn(plainClientID, "ann")
	if err != nil {
		t.Fatal(err)
	}
	mint := func(spec keycloaktest.TokenSpec) string {
		t.Helper()
		token, err := kc.Realm("shop").Mint(spec)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	const (
		login = `mutation { login(username: "ann", password: "` + plainPassword +
			`") { tokenType } }`
		wrongPassword = `mutation { login(username: "ann", password: "wr0ng-p4ss") { tokenType } }`
		disabledUser  = `mutation { login(username: "off", password: "` + plainPassword +
			`") { tokenType } }`
		emptyName = `mutation { login(username: "", password: "wr0ng-p4ss") { tokenType } }`
		refresh   = `mutation { refresh(refreshToken: "c3Q0bGVu.cmVmcmVzaA.dG9rZW4") { tokenType } }`
		logout    = `mutation { logout(refreshToken: "c3Q0bGVu.cmVmcmVzaA.dG9rZW4") }`
		me        = `{ me { username } }`
	)
	type clientConfig = keycloak.ClientConfig
	type verifierConfig = keycloak.VerifierConfig
	for _, tt := range []struct {
		name     string
		query    string
		token    string
		client   clientConfig   // merged with a valid one
		verifier verifierConfig // merged with a valid one
		want     string
	}{
		{"no token", me, "", clientConfig{}, verifierConfig{}, "no bearer token"},
		{"not a token", me, "n0t-a-token", clientConfig{}, verifierConfig{}, "token is malformed"},
		{"large token", me, signedIn.AccessToken, clientConfig{}, verifierConfig{MaxBytes: 100}, "token is too large"},
		{"wrong issuer", me, signedIn.AccessToken, clientConfig{},
			verifierConfig{
				Issuers: []keycloak.Issuer{{Names: []string{"https://sso.internal/realms/shop"}}},
			}, "token is not meant for this API"},
		{"wrong audience", me, signedIn.AccessToken, clientConfig{}, verifierConfig{Audience: []string{"b1lling"}}, "token is not meant for this API"},
		{"expired", me, mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": plainClientID, "sub": "s"}, Lifetime: -time.Hour}),
			clientConfig{}, verifierConfig{}, "token has expired"},
		{"not yet valid", me, mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": plainClientID, "sub": "s", "nbf": time.Now().Add(time.Hour)}}),
			clientConfig{}, verifierConfig{}, "token is not valid yet"},
		{"unknown key", me, mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": plainClientID, "sub": "s"}, Header: map[string]any{"kid": "n0-such-key"}}),
			clientConfig{}, verifierConfig{}, "token is signed with an unknown key"},
		{"wrong signature", me, signedIn.AccessToken[:len(signedIn.AccessToken)-8] + "AAAAAAAA", clientConfig{}, verifierConfig{}, "token signature is wrong"},
		{"keys, Keycloak down", me, signedIn.AccessToken, clientConfig{},
			verifierConfig{Issuers: []keycloak.Issuer{{Names: []string{realm.Issuer()},
				Keys: keysOf(unreachableRealm)}}}, "the keys to verify tokens are unavailable"},
		{"keys, an HTML page", me, signedIn.AccessToken, clientConfig{},
			verifierConfig{Issuers: []keycloak.Issuer{{Names: []string{realm.Issuer()},
				Keys: keysOf(htmlRealm)}}}, "the keys to verify tokens are unavailable"},

		{"empty name", emptyName, "", clientConfig{}, verifierConfig{}, "bad input: username is empty"},
		{"login, wrong password", wrongPassword, "", clientConfig{}, verifierConfig{}, "keycloak: login: bad credentials"},
		{"login, account disabled", disabledUser, "", clientConfig{}, verifierConfig{}, "keycloak: login: account is disabled"},
		{"login, wrong secret", login, "", clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, no such client", login, "", clientConfig{ClientID: "n0-such-client"}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, no such realm", login, "", clientConfig{Realm: must(keycloak.NewRealm(kc.URL, "n0-such-realm"))}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, no such scope", login, "", clientConfig{LoginScope: "n0-such-scope"}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, consent", login, "", clientConfig{ClientID: "consent-required"}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, grant off", login, "", clientConfig{ClientID: "no-passwords"}, verifierConfig{}, "keycloak: login: password sign-in is off"},
		{"login, Keycloak down", login, "", clientConfig{Realm: unreachableRealm}, verifierConfig{}, "keycloak: login: realm is unavailable"},
		{"login, an HTML page", login, "", clientConfig{Realm: htmlRealm}, verifierConfig{}, "keycloak: login: realm is unavailable"},
		{"refresh, not a token", refresh, "", clientConfig{}, verifierConfig{}, "keycloak: refresh: refresh token is not valid"},
		{"refresh, not canonical base64url", strings.ReplaceAll(refresh, "dG9rZW4", "dG9rZW5="), "", clientConfig{}, verifierConfig{}, "keycloak: refresh: refresh token is not valid"},
		{"refresh, wrong secret", refresh, "", clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{}, "keycloak: refresh: realm refuses this server"},
		{"refresh, Keycloak down", refresh, "", clientConfig{Realm: unreachableRealm}, verifierConfig{}, "keycloak: refresh: realm is unavailable"},
		{"logout, not a token", logout, "", clientConfig{}, verifierConfig{}, "keycloak: logout: refresh token is not valid"},
		{"logout, wrong secret", logout, "", clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{}, "keycloak: logout: realm refuses this server"},
		{"logout, Keycloak down", logout, "", clientConfig{Realm: unreachableRealm}, verifierConfig{}, "keycloak: logout: realm is unavailable"},
		{"logout, an HTML page", logout, "", clientConfig{Realm: htmlRealm}, verifierConfig{}, "keycloak: logout: realm is unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := tt.client
			if client.Realm == (keycloak.Realm{}) {
				client.Realm = realm
			}
			if client.ClientID == "" {
				client.ClientID = plainClientID
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
				verifier.Audience = []string{plainClientID}
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
				t.Errorf("got  %s\nwant %s", got.Body, want)
			}
		})
	}
}

// keysOf returns a key set of realm that logs nothing.
func keysOf(realm keycloak.Realm) *keycloak.KeySet {
	return keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: slog.New(slog.DiscardHandler)})
}

// typedErrors has a value of each exported error type, with a detail that clients must not see.
var typedErrors = map[string]error{
	"identity.Error": &identity.Error{Reason: identity.ErrProviderMisconfigured,
		Detail: operatorDetail},
	"identity.RateLimitError": &identity.RateLimitError{RetryAfter: time.Minute},
	"keycloak.Refusal": &keycloak.Refusal{Status: 401, Code: operatorDetail,
		Description: operatorDetail, Hint: operatorDetail},
}

const operatorDetail = `iss is "https://sso.internal/realms/shop" (KEYCLOAK_ISSUER)`

// The text of each exported error is safe for clients. Its detail, if any, appears only in logs.
func TestErrors_safeForClients(t *testing.T) {
	safe := regexp.MustCompile(`^[A-Za-z' -]+(: try again in 1m0s)?$`)
	for name, err := range typedErrors {
		wrapped := fmt.Errorf("request: %w", err)
		for format, text := range map[string]string{
			"presented": graphql.DefaultErrorPresenter(t.Context(), err).Message,
			"%+v":       fmt.Sprintf("%+v", err), "%s": fmt.Sprintf("%s", err),
		} {
			if !safe.MatchString(text) {
				t.Errorf("%s, %s: %q isn't safe for clients", name, format, text)
			}
		}
		if name == "identity.RateLimitError" { // has no detail
			continue
		}
		if !strings.Contains(identity.Detail(wrapped), "KEYCLOAK_ISSUER") {
			t.Errorf("%s: Detail() = %q, want it to contain %q", name, identity.Detail(wrapped),
				operatorDetail)
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Error("failed", "error", err)
		if !strings.Contains(log.String(), "KEYCLOAK_ISSUER") {
			t.Errorf("%s: the log lacks the detail: %s", name, log.String())
		}
	}
	found := 0
	for _, dir := range publicPackages {
		eachDeclaration(t, dir, func(file *ast.File, declaration ast.Decl) {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if name := receiverOf(d); d.Name.Name == "Error" && len(d.Type.Params.List) == 0 &&
					ast.IsExported(name) {
					found++
					if typedErrors[file.Name.Name+"."+name] == nil {
						t.Errorf("%s.%s is an error type: add it to typedErrors, so that its text "+
							"is checked", file.Name.Name, name)
					}
				}
			case *ast.GenDecl:
				for _, text := range sentinelTexts(d) {
					found++
					if !safe.MatchString(text) {
						t.Errorf("%s: the error %q isn't safe for clients", dir, text)
					}
				}
			}
		})
	}
	if found < 25 {
		t.Errorf("found %d errors; package identity has more than that", found)
	}
	if err := (identity.Claims(`{"a":"s3cret"}`)).Decode(&struct{ A int }{}); err == nil ||
		!safe.MatchString(err.Error()) || !strings.Contains(identity.Detail(err), "int") {
		t.Errorf("Decode() = %v with detail %q, want a safe text, and json's error as the detail",
			err, identity.Detail(err))
	}
	if identity.Detail(nil) != "" || identity.Detail(errors.New("x")) != "" {
		t.Error("Detail() of an error without detail isn't empty")
	}
}

// receiverOf returns the name of a method's receiver type, or "" for a function.
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

// sentinelTexts returns the texts of the exported errors that a declaration creates with
// errors.New.
func sentinelTexts(d *ast.GenDecl) (texts []string) {
	for _, spec := range d.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok ||
			!slices.ContainsFunc(value.Names, func(n *ast.Ident) bool { return n.IsExported() }) {
			continue
		}
		for _, expression := range value.Values {
			call, ok := expression.(*ast.CallExpr)
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
