package cloakql_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler"
	gqlast "github.com/vektah/gqlparser/v2/ast"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/console"
	"github.com/cloakql/cloakql/graph"
	"github.com/cloakql/cloakql/graph/generated"
	"github.com/cloakql/cloakql/graphqlhttp"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/limits"
	"github.com/cloakql/cloakql/revocation"
	"github.com/cloakql/cloakql/signin"
	"github.com/cloakql/cloakql/store"
	"github.com/cloakql/cloakql/store/redisstore"
	"github.com/cloakql/cloakql/store/storetest"
	"github.com/cloakql/cloakql/throttle"
)

// zeroValues has a pointer to the zero value of each exported type. TestZeroValues reports exported
// types that zeroValues lacks.
var zeroValues = map[string]any{
	"identity.Claims": new(identity.Claims), "identity.ClientRoles": new(identity.ClientRoles),
	"identity.Credentials":    new(identity.Credentials),
	"identity.Organization":   new(identity.Organization),
	"identity.RateLimitError": new(identity.RateLimitError),
	"identity.OpenIDToken":    new(identity.OpenIDToken),
	"identity.Secret":         new(identity.Secret), "identity.Session": new(identity.Session),
	"identity.Error":     new(identity.Error),
	"identity.TokenInfo": new(identity.TokenInfo), "identity.User": new(identity.User),

	"keycloak.Answers":                 new(keycloak.Answers),
	"keycloak.BackchannelLogoutConfig": new(keycloak.BackchannelLogoutConfig),
	"keycloak.SessionCheckConfig":      new(keycloak.SessionCheckConfig),
	"keycloak.SessionCheckStats":       new(keycloak.SessionCheckStats),
	"keycloak.SessionChecker":          new(keycloak.SessionChecker),
	"keycloak.SessionEnd":              new(keycloak.SessionEnd),
	"keycloak.TokenSession":            new(keycloak.TokenSession),
	"revocation.End":                   new(revocation.End),
	"revocation.Feed":                  new(revocation.Feed),
	"revocation.Set":                   new(revocation.Set),
	"revocation.Token":                 new(revocation.Token),
	"keycloak.Client":                  new(keycloak.Client),
	"keycloak.ClientConfig":            new(keycloak.ClientConfig),
	"keycloak.ClientStats":             new(keycloak.ClientStats),
	"keycloak.Issuer":                  new(keycloak.Issuer),
	"keycloak.Key":                     new(keycloak.Key), "keycloak.KeySet": new(keycloak.KeySet),
	"keycloak.KeySetConfig": new(keycloak.KeySetConfig), "keycloak.Realm": new(keycloak.Realm),
	"keycloak.Refusal": new(keycloak.Refusal), "keycloak.Verifier": new(keycloak.Verifier),
	"keycloak.VerifierConfig": new(keycloak.VerifierConfig),

	"apierror.Code": new(apierror.Code), "apierror.Presenter": new(apierror.Presenter),
	"apierror.Reason": new(apierror.Reason), "apierror.Row": new(apierror.Row),

	"console.User": new(console.User),

	"authz.Config": new(authz.Config), "authz.Denial": new(authz.Denial),
	"authz.PolicyTable": new(authz.PolicyTable), "authz.PolicyField": new(authz.PolicyField),
	"authz.PolicyRule": new(authz.PolicyRule),

	"identity.DeniedError": new(identity.DeniedError),

	"graph.Resolver": new(graph.Resolver),

	"signin.Service": new(signin.Service),

	"cloakql.Config": new(cloakql.Config), "cloakql.HTTPConfig": new(cloakql.HTTPConfig),
	"cloakql.Server": new(cloakql.Server),

	"graphqlhttp.Answers":  new(graphqlhttp.Answers),
	"graphqlhttp.Config":   new(graphqlhttp.Config),
	"graphqlhttp.Manifest": new(graphqlhttp.Manifest),
	"graphqlhttp.Outcome":  new(graphqlhttp.Outcome),

	"limits.Limits": new(limits.Limits),

	"store.Bucket": new(store.Bucket), "store.Decision": new(store.Decision),
	"store.Key": new(store.Key), "store.MemoryBuckets": new(store.MemoryBuckets),
	"store.Batch":       new(store.Batch),
	"store.Call":        new(store.Call),
	"store.CallID":      new(store.CallID),
	"store.CallKey":     new(store.CallKey),
	"store.CallState":   new(store.CallState),
	"store.Cursor":      new(store.Cursor),
	"store.DocumentID":  new(store.DocumentID),
	"store.Event":       new(store.Event),
	"store.Store":       new(store.Store),
	"store.TurnRequest": new(store.TurnRequest),

	"store.MemoryCalls":     new(store.MemoryCalls),
	"store.MemoryDocuments": new(store.MemoryDocuments),
	"store.MemoryEvents":    new(store.MemoryEvents),
	"store.MemoryTurns":     new(store.MemoryTurns),

	"redisstore.Client": new(redisstore.Client),
	"redisstore.Config": new(redisstore.Config),
	"redisstore.Secret": new(redisstore.Secret),
	"redisstore.Stats":  new(redisstore.Stats),

	"storetest.Buckets":   new(storetest.Buckets),
	"storetest.Documents": new(storetest.Documents),
	"storetest.Events":    new(storetest.Events),

	"throttle.AddressConfig": new(throttle.AddressConfig), "throttle.Config": new(throttle.Config),
	"throttle.Limiter": new(throttle.Limiter),
	"throttle.Rate":    new(throttle.Rate),

	"keycloaktest.Config": new(keycloaktest.Config), "keycloaktest.Fault": new(keycloaktest.Fault),
	"keycloaktest.ImportOption":     new(keycloaktest.ImportOption),
	"keycloaktest.Key":              new(keycloaktest.Key),
	"keycloaktest.TokenSpec":        new(keycloaktest.TokenSpec),
	"keycloaktest.RealmSpec":        new(keycloaktest.RealmSpec),
	"keycloaktest.ClientSpec":       new(keycloaktest.ClientSpec),
	"keycloaktest.UserSpec":         new(keycloaktest.UserSpec),
	"keycloaktest.LevelSpec":        new(keycloaktest.LevelSpec),
	"keycloaktest.OrganizationSpec": new(keycloaktest.OrganizationSpec),
	"keycloaktest.Realm":            new(keycloaktest.Realm),
	"keycloaktest.Request":          new(keycloaktest.Request),
	"keycloaktest.Role":             new(keycloaktest.Role),
	"keycloaktest.Server":           new(keycloaktest.Server),
	"keycloaktest.Session":          new(keycloaktest.Session),
	"keycloaktest.Tokens":           new(keycloaktest.Tokens),
	"keycloaktest.User":             new(keycloaktest.User),
}

// constructors has the types whose zero value doesn't work. The errors of their methods must
// contain the name in this map, which is the function or method that makes a value of the type.
var constructors = map[string]string{
	"keycloak.Client": "keycloak.NewClient", "keycloak.KeySet": "keycloak.NewKeySet",
	"keycloak.SessionChecker": "keycloak.NewSessionChecker",
	"keycloak.Verifier":       "keycloak.NewVerifier",
	"revocation.Feed":         "revocation.NewFeed",
	"throttle.Limiter":        "throttle.New",
	"signin.Service":          "signin.New",
	"keycloaktest.Server":     "keycloaktest.New", "keycloaktest.Realm": "Server.Realm",
	"keycloaktest.User": "Realm.User",
}

// TestZeroValues calls each method of each exported type on the zero value. The method must work or
// return an error that names the constructor; it must not panic.
func TestZeroValues(t *testing.T) {
	for _, dir := range publicPackages {
		eachDeclaration(t, dir, func(file *ast.File, declaration ast.Decl) {
			group, ok := declaration.(*ast.GenDecl)
			if !ok {
				return
			}
			for _, spec := range group.Specs {
				typeSpec, ok := spec.(*ast.TypeSpec)
				if !ok || !typeSpec.Name.IsExported() {
					continue
				}
				if _, isInterface := typeSpec.Type.(*ast.InterfaceType); isInterface {
					continue
				}
				if name := file.Name.Name + "." + typeSpec.Name.Name; zeroValues[name] == nil {
					t.Errorf("zeroValues lacks %s: add it, so that its methods are called on a "+
						"zero value", name)
				}
			}
		})
	}
	defaultLog := slog.Default() // used by the zero apierror.Presenter
	slog.SetDefault(slog.New(slog.DiscardHandler))
	t.Cleanup(func() { slog.SetDefault(defaultLog) })
	for name, zeroValue := range zeroValues {
		value := reflect.ValueOf(zeroValue)
		if got := value.Elem().Type().String(); got != name {
			t.Errorf("zeroValues[%q] has the type %s, want %s", name, got, name)
		}
		for method := range value.Type().Methods() {
			t.Run(name+"."+method.Name, func(t *testing.T) {
				callOnZeroValue(t, name, reflect.New(value.Elem().Type()), method.Name)
			})
		}
	}
}

// callOnZeroValue calls a method of receiver, a zero value, with plausible arguments. If
// constructors has the type and the method can return an error, it must return one that names the
// constructor.
func callOnZeroValue(t *testing.T, name string, receiver reflect.Value, method string) {
	t.Helper()
	defer func() {
		if value := recover(); value != nil {
			t.Errorf("panic: %v", value)
		}
	}()
	function := receiver.MethodByName(method)
	var arguments []reflect.Value
	for parameter := range function.Type().Ins() {
		if function.Type().IsVariadic() && len(arguments) == function.Type().NumIn()-1 {
			break
		}
		arguments = append(arguments, plausibleValue(t, method, parameter))
	}
	results := function.Call(arguments)
	var err error
	canFail := false
	for _, result := range results {
		if result.Type() == reflect.TypeFor[error]() {
			canFail = true
			err, _ = result.Interface().(error)
		}
		if done, ok := result.Interface().(func(error)); ok && done != nil {
			done(nil)
		}
	}
	constructor := constructors[name]
	if constructor == "" || !canFail || method == "Close" || method == "Err" {
		return
	}
	if err == nil || !strings.Contains(err.Error()+identity.Detail(err), constructor) {
		t.Errorf("got error %v, want one that names %s", err, constructor)
	}
}

// plausibleValue returns an argument for a parameter of a method.
func plausibleValue(t *testing.T, method string, parameter reflect.Type) reflect.Value {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, "/",
		strings.NewReader(`{"query":"{ me { username } }"}`))
	request.Header.Set("Content-Type", "application/json")
	// gqlgen's handler does this too
	request = request.WithContext(graphql.StartOperationTrace(request.Context()))
	schema := generated.NewExecutableSchema(generated.Config{Resolvers: directResolvers{}})
	for _, value := range []any{
		t.Context(), io.Writer(&bytes.Buffer{}), http.ResponseWriter(httptest.NewRecorder()),
		request, schema, executor.New(schema),
		&graphql.RawParams{Query: "{ me { username } }"}, &gqlast.QueryDocument{}, fmt.State(nil),
		time.Second,
		&graphql.OperationContext{Operation: &gqlast.OperationDefinition{
			VariableDefinitions: gqlast.VariableDefinitionList{{Variable: "a",
				Type: gqlast.NamedType("String", nil)}},
		}, Variables: map[string]any{"a": "b"}},
	} {
		if value != nil && reflect.TypeOf(value).AssignableTo(parameter) &&
			parameter != reflect.TypeFor[any]() {
			return reflect.ValueOf(value)
		}
	}
	switch {
	case parameter == reflect.TypeFor[fmt.State]():
		return reflect.ValueOf(fakeState{&bytes.Buffer{}})
	case parameter == reflect.TypeFor[string]() && method == "EndpointURL",
		parameter == reflect.TypeFor[string]() && method == "Count":
		return reflect.ValueOf("/token")
	case parameter == reflect.TypeFor[any]():
		return reflect.ValueOf(any("x"))
	case parameter == reflect.TypeFor[error]():
		return reflect.ValueOf(error(identity.ErrTokenMissing))
	case parameter == reflect.TypeFor[[]byte]():
		return reflect.ValueOf([]byte("{}"))
	}
	return reflect.Zero(parameter)
}

// A fakeState is a fmt.State without flags.
type fakeState struct{ io.Writer }

func (fakeState) Width() (int, bool)     { return 0, false }
func (fakeState) Precision() (int, bool) { return 0, false }
func (fakeState) Flag(int) bool          { return false }

// TestZeroValues_asArguments passes zero values and nil to CloakQL's functions, and in the fields
// of configurations. They must work or cause an error that says what to use instead.
func TestZeroValues_asArguments(t *testing.T) {
	limiter, err := throttle.New(throttle.Config{Store: &store.MemoryBuckets{}})
	if err != nil {
		t.Fatal(err)
	}
	for range 11 {
		var done func(error)
		done, err = limiter.Login(t.Context(), identity.Credentials{Username: "ann"})
		if err == nil {
			done(identity.ErrBadCredentials)
		}
	}
	if !errors.Is(err, identity.ErrRateLimited) {
		t.Errorf("Login() = %v for the eleventh attempt, want ErrRateLimited", err)
	}

	server := handler.New(generated.NewExecutableSchema(generated.Config{
		Resolvers: directResolvers{}, Directives: generated.DirectiveRoot{Public: authz.Public,
			Auth: authz.Auth},
	}))
	if err := graphqlhttp.Install(server,
		graphqlhttp.Config{Errors: &apierror.Presenter{}}); err != nil {
		t.Fatal(err)
	}
	if err := limits.Install(server, limits.Limits{}); err != nil {
		t.Fatal(err)
	}
	h := keycloak.Middleware(nil, nil)(server) // without a verifier, it accepts no token
	const query = "{ me { username } }"
	body := fmt.Sprintf(`{"query":%q}`, query)
	for token, want := range map[string]string{"": "TOKEN_MISSING", "a.b.c": "KEYS_UNAVAILABLE"} {
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		got := httptest.NewRecorder()
		h.ServeHTTP(got, request)
		if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), want) {
			t.Errorf("me with the token %q: got %d %s, want 200 and %s", token, got.Code, got.Body,
				want)
		}
	}

	if _, err := graph.NewSchema(nil); err == nil {
		t.Error("NewSchema(nil) = nil, want an error")
	}
	if _, err := graph.NewSchema(&graph.Resolver{}); err == nil ||
		!strings.Contains(err.Error(), "Resolver.SignIn is missing") {
		t.Errorf("NewSchema(&Resolver{}) = %v, want an error about Resolver.SignIn", err)
	}
	if err := authz.Audit(nil); err == nil {
		t.Error("Audit(nil) = nil, want an error")
	}
	for name, keys := range map[string]*keycloak.KeySet{"a nil KeySet": nil,
		"a zero KeySet": {}} {
		_, err := keycloak.NewVerifier(
			keycloak.VerifierConfig{Issuers: []keycloak.Issuer{{Keys: keys}},
				Audience: []string{"a"}})
		if err == nil ||
			!strings.Contains(err.Error(), "NewKeySet") {
			t.Errorf("NewVerifier() with %s = %v, want an error that names NewKeySet", name, err)
		}
	}
	keysOfZeroRealm := keycloak.NewKeySet(keycloak.Realm{},
		keycloak.KeySetConfig{Log: slog.New(slog.DiscardHandler)})
	verifier, err := keycloak.NewVerifier(
		keycloak.VerifierConfig{
			Issuers:  []keycloak.Issuer{{Names: []string{"a"}, Keys: keysOfZeroRealm}},
			Audience: []string{"a"},
		})
	if err != nil {
		t.Fatal(err)
	}
	kc := newKeycloakWithAnn(t)
	_, err = verifier.Verify(t.Context(),
		must(kc.Realm("shop").Mint(keycloaktest.TokenSpec{
			Claims: map[string]any{"iss": "a", "aud": "a", "sub": "s"}})))
	if !errors.Is(err, identity.ErrKeysUnavailable) ||
		!strings.Contains(identity.Detail(err), "keycloak.NewRealm") {
		t.Errorf("Verify() with the keys of a zero Realm = %v with detail %q, want "+
			"ErrKeysUnavailable "+
			"with a detail that names NewRealm", err, identity.Detail(err))
	}
	var log strings.Builder
	keycloak.WarnIssuer(t.Context(), keycloak.Realm{}, nil, nil,
		slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "keycloak.NewRealm") {
		t.Errorf("WarnIssuer() of a zero Realm logged %q, want a line that names NewRealm",
			log.String())
	}
	if _, err := keycloak.NewClient(keycloak.ClientConfig{}); err == nil {
		t.Error("NewClient(ClientConfig{}) = nil, want an error")
	}
	var realm *keycloaktest.Realm
	if err := realm.Update(nil); err == nil || !strings.Contains(err.Error(), "Server.Realm") {
		t.Errorf("Update() of a nil Realm = %v, want an error that names Server.Realm", err)
	}
	var user *keycloaktest.User
	if err := user.Delete(); err == nil || !strings.Contains(err.Error(), "Realm.User") {
		t.Errorf("Delete() of a nil User = %v, want an error that names Realm.User", err)
	}
}
