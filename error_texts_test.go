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

// A directResolvers has the resolvers of an application that uses package keycloak directly. They
// return CloakQL's errors unchanged.
type directResolvers struct{ client *keycloak.Client }

func (s directResolvers) Query() generated.QueryResolver       { return s }
func (s directResolvers) Mutation() generated.MutationResolver { return s }
func (s directResolvers) Entity() generated.EntityResolver     { return noEntities{} }

// noEntities is an EntityResolver that finds no user.
type noEntities struct{}

func (noEntities) FindUserByID(context.Context, string) (*identity.User, error) {
	return nil, identity.ErrNotOwner
}

func (s directResolvers) Me(ctx context.Context) (*identity.User, error) {
	return identity.Require(ctx)
}

func (s directResolvers) Login(ctx context.Context, username, password string,
	otp *string) (*identity.OpenIDToken, error) {
	credentials, err := identity.NewCredentials(username, password, otp)
	if err != nil {
		return nil, err
	}
	return s.client.Login(ctx, credentials)
}

func (s directResolvers) Refresh(ctx context.Context, token string) (*identity.OpenIDToken, error) {
	secret, err := identity.NewRefreshToken(token)
	if err != nil {
		return nil, err
	}
	return s.client.Refresh(ctx, secret)
}

func (s directResolvers) Logout(ctx context.Context, token string) (bool, error) {
	secret, err := identity.NewRefreshToken(token)
	if err != nil {
		return false, err
	}
	return true, s.client.Logout(ctx, secret)
}

// handler returns a GraphQL handler with these resolvers and gqlgen's default error presenter,
// behind keycloak.Middleware with verifier.
func (s directResolvers) handler(verifier *keycloak.Verifier) http.Handler {
	server := handler.New(generated.NewExecutableSchema(generated.Config{
		Resolvers:  s,
		Directives: generated.DirectiveRoot{Public: authz.Public, Auth: authz.Auth},
	}))
	server.AddTransport(transport.POST{})
	return keycloak.Middleware(verifier, slog.New(slog.DiscardHandler))(server)
}

const (
	apiClientSecret = "client-s3cret-of-shop-api"
	annPassword     = "pa55word-of-ann"
	apiClientID     = "shop-api"
)

// newKeycloakWithAnn starts a fake Keycloak with a user named ann, a disabled user named off, and a
// client for each kind of misconfiguration.
func newKeycloakWithAnn(t *testing.T) *keycloaktest.Server {
	t.Helper()
	return keycloaktest.New(t, keycloaktest.RealmSpec{
		Name: "shop",
		Clients: []keycloaktest.ClientSpec{
			{ID: apiClientID, Secret: apiClientSecret},
			{ID: "no-passwords", Secret: apiClientSecret,
				Settings: map[string]any{"directAccessGrantsEnabled": false}},
			{ID: "consent-required", Secret: apiClientSecret,
				Settings: map[string]any{"consentRequired": true}},
		},
		Users: []keycloaktest.UserSpec{
			{Name: "ann", Password: annPassword},
			{Name: "off", Password: annPassword, Settings: map[string]any{"enabled": false}},
		},
	}.File())
}

// gqlgen's default presenter shows clients our errors without internal detail: without an address,
// an issuer or a setting, and without any part of Keycloak's response or of the request.
func TestDefaultErrorPresenter_hidesDetail(t *testing.T) {
	kc := newKeycloakWithAnn(t)
	realm := must(keycloak.NewRealm(kc.URL, "shop"))
	// Nothing listens on port 1.
	unreachableRealm := must(keycloak.NewRealm("http://127.0.0.1:1/internal", "shop"))
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<title>a page of proxy-7.internal</title>")
	}))
	t.Cleanup(proxy.Close)
	htmlRealm := must(keycloak.NewRealm(proxy.URL, "shop"))
	tokens, err := kc.Realm("shop").SignIn(apiClientID, "ann")
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
		loginQuery = `mutation { login(username: "ann", password: "` + annPassword +
			`") { tokenType } }`
		wrongPasswordQuery = `mutation { login(username: "ann", password: "wr0ng-p4ss") { ` +
			`tokenType } }`
		disabledUserQuery = `mutation { login(username: "off", password: "` + annPassword +
			`") { tokenType } }`
		emptyNameQuery = `mutation { login(username: "", password: "wr0ng-p4ss") { tokenType } }`
		refreshQuery   = `mutation { refresh(refreshToken: "c3Q0bGVu.cmVmcmVzaA.dG9rZW4") { ` +
			`tokenType } }`
		logoutQuery = `mutation { logout(refreshToken: "c3Q0bGVu.cmVmcmVzaA.dG9rZW4") }`
		meQuery     = `{ me { username } }`
	)
	type clientConfig = keycloak.ClientConfig
	type verifierConfig = keycloak.VerifierConfig
	for _, tt := range []struct {
		name     string
		query    string
		token    string
		client   clientConfig   // its zero fields are set to valid values
		verifier verifierConfig // its zero fields are set to valid values
		want     string
	}{
		{"no token", meQuery, "", clientConfig{}, verifierConfig{}, "no bearer token"},
		{"token isn't a JWT", meQuery, "n0t-a-token", clientConfig{}, verifierConfig{},
			"token is malformed"},
		{"token over MaxBytes", meQuery, tokens.AccessToken, clientConfig{},
			verifierConfig{MaxBytes: 100}, "token is too large"},
		{"wrong issuer", meQuery, tokens.AccessToken, clientConfig{},
			verifierConfig{
				Issuers: []keycloak.Issuer{{Names: []string{"https://sso.internal/realms/shop"}}},
			}, "token is not meant for this API"},
		{"wrong audience", meQuery, tokens.AccessToken, clientConfig{},
			verifierConfig{Audience: []string{"b1lling"}}, "token is not meant for this API"},
		{"expired token", meQuery,
			mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": apiClientID, "sub": "s"},
				Lifetime: -time.Hour}),
			clientConfig{}, verifierConfig{}, "token has expired"},
		{"token not yet valid", meQuery,
			mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": apiClientID, "sub": "s",
				"nbf": time.Now().Add(time.Hour)}}),
			clientConfig{}, verifierConfig{}, "token is not valid yet"},
		{"token with unknown key ID", meQuery,
			mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": apiClientID, "sub": "s"},
				Header: map[string]any{"kid": "n0-such-key"}}),
			clientConfig{}, verifierConfig{}, "token is signed with an unknown key"},
		{"wrong signature", meQuery, tokens.AccessToken[:len(tokens.AccessToken)-8] + "AAAAAAAA",
			clientConfig{}, verifierConfig{}, "token signature is wrong"},
		{"keys, Keycloak is down", meQuery, tokens.AccessToken, clientConfig{},
			verifierConfig{Issuers: []keycloak.Issuer{{Names: []string{realm.Issuer()},
				Keys: keysOf(unreachableRealm)}}}, "the keys to verify tokens are unavailable"},
		{"keys, Keycloak responds with HTML", meQuery, tokens.AccessToken, clientConfig{},
			verifierConfig{Issuers: []keycloak.Issuer{{Names: []string{realm.Issuer()},
				Keys: keysOf(htmlRealm)}}}, "the keys to verify tokens are unavailable"},

		{"login, empty username", emptyNameQuery, "", clientConfig{}, verifierConfig{},
			"bad input: username is empty"},
		{"login, wrong password", wrongPasswordQuery, "", clientConfig{}, verifierConfig{},
			"keycloak: login: bad credentials"},
		{"login, account disabled", disabledUserQuery, "", clientConfig{}, verifierConfig{},
			"keycloak: login: account is disabled"},
		{"login, wrong client secret", loginQuery, "",
			clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{},
			"keycloak: login: realm refuses this server"},
		{"login, unknown client", loginQuery, "", clientConfig{ClientID: "n0-such-client"},
			verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, unknown realm", loginQuery, "",
			clientConfig{Realm: must(keycloak.NewRealm(kc.URL,
				"n0-such-realm"))}, verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, unknown scope", loginQuery, "", clientConfig{LoginScope: "n0-such-scope"},
			verifierConfig{}, "keycloak: login: realm refuses this server"},
		{"login, client requires consent", loginQuery, "",
			clientConfig{ClientID: "consent-required"}, verifierConfig{}, "keycloak: login: " +
				"realm refuses this server"},
		{"login, client without direct access grants", loginQuery, "",
			clientConfig{ClientID: "no-passwords"}, verifierConfig{}, "keycloak: login: password " +
				"sign-in is off"},
		{"login, Keycloak is down", loginQuery, "", clientConfig{Realm: unreachableRealm},
			verifierConfig{}, "keycloak: login: realm is unavailable"},
		{"login, Keycloak responds with HTML", loginQuery, "", clientConfig{Realm: htmlRealm},
			verifierConfig{}, "keycloak: login: realm is unavailable"},
		{"refresh, token isn't a JWT", refreshQuery, "", clientConfig{}, verifierConfig{},
			"keycloak: refresh: refresh token is not valid"},
		{"refresh, token in non-canonical base64url",
			strings.ReplaceAll(refreshQuery, "dG9rZW4",
				"dG9rZW5="), "", clientConfig{}, verifierConfig{},
			"keycloak: refresh: refresh token is not valid"},
		{"refresh, wrong client secret", refreshQuery, "",
			clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{},
			"keycloak: refresh: realm refuses this server"},
		{"refresh, Keycloak is down", refreshQuery, "", clientConfig{Realm: unreachableRealm},
			verifierConfig{}, "keycloak: refresh: realm is unavailable"},
		{"logout, token isn't a JWT", logoutQuery, "", clientConfig{}, verifierConfig{},
			"keycloak: logout: refresh token is not valid"},
		{"logout, wrong client secret", logoutQuery, "",
			clientConfig{ClientSecret: identity.NewSecret("wr0ng-secret")}, verifierConfig{},
			"keycloak: logout: realm refuses this server"},
		{"logout, Keycloak is down", logoutQuery, "", clientConfig{Realm: unreachableRealm},
			verifierConfig{}, "keycloak: logout: realm is unavailable"},
		{"logout, Keycloak responds with HTML", logoutQuery, "", clientConfig{Realm: htmlRealm},
			verifierConfig{}, "keycloak: logout: realm is unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := tt.client
			if client.Realm == (keycloak.Realm{}) {
				client.Realm = realm
			}
			if client.ClientID == "" {
				client.ClientID = apiClientID
			}
			if client.ClientSecret.Reveal() == "" {
				client.ClientSecret = identity.NewSecret(apiClientSecret)
			}
			verifier := tt.verifier
			if len(verifier.Issuers) == 0 {
				verifier.Issuers = []keycloak.Issuer{{}}
			}
			if verifier.Issuers[0].Keys == nil {
				verifier.Issuers[0].Keys = keysOf(realm)
			}
			if len(verifier.Audience) == 0 {
				verifier.Audience = []string{apiClientID}
			}
			server := directResolvers{
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

// typedErrors has a value of each exported error type. Except for RateLimitError and DeniedError,
// each has a detail that clients must not see.
var typedErrors = map[string]error{
	"identity.Error": &identity.Error{Reason: identity.ErrProviderMisconfigured,
		Detail: operatorDetail},
	"identity.DeniedError":    &identity.DeniedError{Reason: identity.ErrRoleMissing},
	"identity.RateLimitError": &identity.RateLimitError{RetryAfter: time.Minute},
	"keycloak.Refusal": &keycloak.Refusal{Status: 401, Code: operatorDetail,
		Description: operatorDetail, Hint: operatorDetail},
}

const operatorDetail = `iss is "https://sso.internal/realms/shop" (KEYCLOAK_ISSUER)`

// The text of each exported error is safe for clients. Its detail, if any, appears only in logs.
func TestErrors_safeForClients(t *testing.T) {
	safeTextPattern := regexp.MustCompile(`^[A-Za-z' -]+(: try again in 1m0s)?$`)
	for name, err := range typedErrors {
		wrappedErr := fmt.Errorf("request: %w", err)
		for format, text := range map[string]string{
			"presented message": graphql.DefaultErrorPresenter(t.Context(), err).Message,
			"%+v":               fmt.Sprintf("%+v", err), "%s": fmt.Sprintf("%s", err),
		} {
			if !safeTextPattern.MatchString(text) {
				t.Errorf("%s, %s: got %q, want only letters, spaces, ' and -", name, format, text)
			}
		}
		if name == "identity.RateLimitError" || name == "identity.DeniedError" { // no detail
			continue
		}
		if !strings.Contains(identity.Detail(wrappedErr), "KEYCLOAK_ISSUER") {
			t.Errorf("%s: Detail() = %q, want it to contain %q", name, identity.Detail(wrappedErr),
				operatorDetail)
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Error("failed", "error", err)
		if !strings.Contains(log.String(), "KEYCLOAK_ISSUER") {
			t.Errorf("%s: the log lacks the detail: %s", name, log.String())
		}
	}
	errorCount := 0
	for _, dir := range publicPackages {
		eachDeclaration(t, dir, func(file *ast.File, declaration ast.Decl) {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if name := receiverOf(d); d.Name.Name == "Error" && len(d.Type.Params.List) == 0 &&
					ast.IsExported(name) {
					errorCount++
					if typedErrors[file.Name.Name+"."+name] == nil {
						t.Errorf("%s.%s is an error type: add it to typedErrors, so that its text "+
							"is checked", file.Name.Name, name)
					}
				}
			case *ast.GenDecl:
				for _, text := range sentinelTexts(d) {
					errorCount++
					if !safeTextPattern.MatchString(text) {
						t.Errorf("%s: got the error text %q, want only letters, spaces, ' and -",
							dir,
							text)
					}
				}
			}
		})
	}
	if errorCount < 25 {
		t.Errorf("found %d exported errors, want at least 25", errorCount)
	}
	if err := (identity.Claims(`{"a":"s3cret"}`)).Decode(&struct{ A int }{}); err == nil ||
		!safeTextPattern.MatchString(err.Error()) ||
		!strings.Contains(identity.Detail(err), "int") {
		t.Errorf("Decode() = %v with detail %q, want a text for clients, and json's error as the "+
			"detail",
			err, identity.Detail(err))
	}
	for _, err := range []error{nil, errors.New("x")} {
		if got := identity.Detail(err); got != "" {
			t.Errorf("Detail(%v) = %q, want \"\"", err, got)
		}
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
