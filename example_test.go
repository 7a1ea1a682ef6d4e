package cloakql_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/99designs/gqlgen/graphql/handler"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/throttle"
)

var discardLog = slog.New(slog.DiscardHandler)

func newShop(secret identity.Secret) (*cloakql.Server, error) {
	realm, err := keycloak.NewRealm("https://sso.example.com", "shop")
	if err != nil {
		return nil, err
	}
	config := cloakql.Config{
		Realm:  realm,
		Client: keycloak.ClientConfig{ClientID: "shop-api", ClientSecret: secret},
	}
	config.Schema, config.Log = application{me: identity.Require}.schema, discardLog
	return cloakql.New(config)
}

// This example makes a server with a schema of its own, as in docs/library.md. New sends no
// requests, so Keycloak need not be up.
func ExampleNew() {
	server := must(newShop(identity.NewSecret("shop-secret")))
	fmt.Println(post(server.Handler(), "", `{ me { username } }`))

	// Output:
	// {"errors":[{"message":"Not authenticated","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}],"data":{"me":null}}
}

func newVerifier(keycloakURL string, log *slog.Logger) (*keycloak.Verifier, error) {
	realm, err := keycloak.NewRealm(keycloakURL, "shop")
	if err != nil {
		return nil, err
	}
	return keycloak.NewVerifier(keycloak.VerifierConfig{
		Issuers: []keycloak.Issuer{{
			Keys: keycloak.NewKeySet(realm, keycloak.KeySetConfig{Log: log}),
		}},
		Audience: []string{"shop-api"},
	})
}

func newSignIn(keycloakURL string, secret identity.Secret) (*signin.Service, error) {
	realm, err := keycloak.NewRealm(keycloakURL, "shop")
	if err != nil {
		return nil, err
	}
	client, err := keycloak.NewClient(keycloak.ClientConfig{
		Realm: realm, ClientID: "shop-api", ClientSecret: secret,
	})
	if err != nil {
		return nil, err
	}
	limiter, err := throttle.New(throttle.Config{})
	if err != nil {
		return nil, err
	}
	return signin.New(client, limiter)
}

func newGraphQL(
	verifier *keycloak.Verifier, resolvers generated.ResolverRoot, log *slog.Logger,
) (http.Handler, error) {
	directives, err := authz.Bind(generated.DirectiveRoot{})
	if err != nil {
		return nil, err
	}
	schema := generated.NewExecutableSchema(generated.Config{
		Resolvers: resolvers, Directives: directives,
	})
	server := handler.New(schema)
	presenter := &apierror.Presenter{
		Rows: []apierror.Row{
			{Err: errOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"},
		},
		RequestID: graphqlhttp.RequestID,
		Log:       log,
	}
	err = authz.Install(server, schema, authz.Config{Present: presenter.Present})
	if err != nil {
		return nil, err
	}
	err = limits.Install(server, limits.Limits{
		RootFieldMax: map[string]int{"login": 1, "refresh": 1, "logout": 1}, // times per operation
	})
	if err != nil {
		return nil, err
	}
	err = graphqlhttp.Install(server, graphqlhttp.Config{Errors: presenter})
	if err != nil {
		return nil, err
	}
	findCaller := keycloak.Middleware(verifier, log)
	findAddress := throttle.Addresses(throttle.AddressConfig{Log: log})
	return findAddress(findCaller(server)), nil
}

// This example builds a gqlgen server from the packages, as in docs/library.md. New does this and
// more.
func Example_parts() {
	kc := must(keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{keycloaktest.RealmSpec{
		Name:    "shop",
		Clients: []keycloaktest.ClientSpec{{ID: "shop-api", Secret: "shop-secret"}},
		Users:   []keycloaktest.UserSpec{{Name: "alice", Password: "shop-secret"}, {Name: "bob"}},
	}.File()}}))
	defer kc.Close()
	resolvers := application{
		service: must(newSignIn(kc.URL, identity.NewSecret("shop-secret"))),
		me: func(ctx context.Context) (*identity.User, error) {
			user, err := identity.Require(ctx)
			if err == nil && *user.Username == "bob" {
				return nil, fmt.Errorf("find the order: %w", errOutOfStock)
			}
			return user, err
		},
	}
	h := must(newGraphQL(must(newVerifier(kc.URL, discardLog)), resolvers, discardLog))

	shop := kc.Realm("shop")
	const me = `{ me { username } }`
	fmt.Println(post(h, "",
		`mutation { login(username: "alice", password: "shop-secret") { tokenType } }`))
	fmt.Println(post(h, must(shop.SignIn("shop-api", "alice")).AccessToken, me))
	fmt.Println(post(h, must(shop.SignIn("shop-api", "bob")).AccessToken, me))
	fmt.Println(post(h,
		must(shop.Mint(keycloaktest.TokenSpec{Claims: map[string]any{"aud": "billing"}})), me))

	// Output:
	// {"data":{"login":{"tokenType":"Bearer"}}}
	// {"data":{"me":{"username":"alice"}}}
	// {"errors":[{"message":"This is sold out","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"OUT_OF_STOCK"}}],"data":{"me":null}}
	// {"errors":[{"message":"Token is not meant for this API","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_NOT_ACCEPTED"}}],"data":{"me":null}}
}

func newOrders(verifier *keycloak.Verifier, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		user, err := identity.Require(r.Context())
		if err != nil { // never behind Protect
			http.Error(w, "Sign in first", http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, "The orders of", user.ID)
	})
	return keycloak.Protect(verifier, log)(mux)
}

// This example protects an HTTP handler without GraphQL, as in docs/library.md.
func Example_verifier() {
	kc := must(
		keycloaktest.Start(
			keycloaktest.Config{Realms: [][]byte{keycloaktest.RealmSpec{Name: "shop"}.File()}}))
	defer kc.Close()
	h := newOrders(must(newVerifier(kc.URL, discardLog)), discardLog)
	for _, audience := range []string{"billing", "shop-api"} {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+must(kc.Realm("shop").Mint(keycloaktest.TokenSpec{
			Claims: map[string]any{"sub": "4711", "aud": audience}})))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}

	// Output:
	// 401 token is not meant for this API
	// 200 The orders of 4711
}
