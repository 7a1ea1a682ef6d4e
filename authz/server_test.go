package authz_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/authz"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/testapi"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// A testServer is a gqlgen server of testapi. It records the fields that run, and each Denial that
// Config.Observe gets.
type testServer struct {
	handler *handler.Server

	mu      sync.Mutex
	fields  []string // that ran, such as Query.open
	denials []authz.Denial
}

// newTestServer returns a server with the access rules of testapi.
func newTestServer(t testing.TB, config authz.Config) *testServer {
	t.Helper()
	schema := testapi.New()
	s := &testServer{handler: handler.New(schema)}
	s.handler.AddTransport(transport.POST{})
	s.handler.SetErrorPresenter(presentWithoutLocations)
	config.Present = presentWithoutLocations
	config.Now = func() time.Time { return now }
	config.Observe = func(_ context.Context, denial authz.Denial) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.denials = append(s.denials, denial)
	}
	if err := authz.Install(s.handler, schema, config); err != nil {
		t.Fatal(err)
	}
	s.handler.AroundFields(func(ctx context.Context, next graphql.Resolver) (any, error) {
		field := graphql.GetFieldContext(ctx)
		s.mu.Lock()
		s.fields = append(s.fields, field.Object+"."+field.Field.Name)
		s.mu.Unlock()
		return next(ctx)
	})
	return s
}

// presentWithoutLocations is gqlgen's default error presenter, but leaves out the locations.
func presentWithoutLocations(ctx context.Context, err error) *gqlerror.Error {
	presented := graphql.DefaultErrorPresenter(ctx, err)
	presented.Locations = nil
	return presented
}

// query sends an operation of the caller in ctx, and returns the response.
func (s *testServer) query(ctx context.Context, document string, variables map[string]any) string {
	s.mu.Lock()
	s.fields, s.denials = nil, nil
	s.mu.Unlock()
	body, _ := json.Marshal(map[string]any{"query": document, "variables": variables})
	request := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(string(body)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	s.handler.ServeHTTP(recorder, request)
	return recorder.Body.String()
}

// ran returns the fields that ran in the last operation, sorted.
func (s *testServer) ran() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.fields))
}

// contextOf returns the context of a request with a verified token of the user alice. If change
// isn't nil, it changes the user.
func contextOf(change func(*identity.User)) context.Context {
	user := &identity.User{ID: "alice", Token: &identity.TokenInfo{
		ACR:     new("silver"),
		Session: &identity.Session{ID: "s", AuthenticatedAt: new(now.Add(-time.Hour))},
		Claims:  identity.Claims(`{"tenant":{"tier":"bronze"}}`),
	}}
	if change != nil {
		change(user)
	}
	return identity.NewContext(context.Background(), user, nil)
}

func realmRoles(roles ...string) func(*identity.User) {
	return func(u *identity.User) { u.RealmRoles = roles }
}

func clientRoles(client string, roles ...string) func(*identity.User) {
	return func(u *identity.User) {
		u.ClientRoles = []identity.ClientRoles{{Client: client, Roles: roles}}
	}
}

func scopes(scopes ...string) func(*identity.User) {
	return func(u *identity.User) { u.Token.Scope = scopes }
}

func groups(groups ...string) func(*identity.User) {
	return func(u *identity.User) { u.Groups = groups }
}

func organizations(aliases ...string) func(*identity.User) {
	return func(u *identity.User) {
		for _, alias := range aliases {
			u.Organizations = append(u.Organizations, identity.Organization{Alias: alias})
		}
	}
}

func claims(text string) func(*identity.User) {
	return func(u *identity.User) { u.Token.Claims = identity.Claims(text) }
}

func id(id string) func(*identity.User) { return func(u *identity.User) { u.ID = id } }

func acr(acr string) func(*identity.User) { return func(u *identity.User) { u.Token.ACR = &acr } }

func impersonated(u *identity.User) { u.Token.Impersonated = true }

func signedIn(ago time.Duration) func(*identity.User) {
	return func(u *identity.User) { u.Token.Session.AuthenticatedAt = new(now.Add(-ago)) }
}

// variablesFor returns the variable that a document uses: $t, which is true, or $f, which is false.
func variablesFor(document string) map[string]any {
	switch {
	case strings.Contains(document, "$t"):
		return map[string]any{"t": true}
	case strings.Contains(document, "$f"):
		return map[string]any{"f": false}
	}
	return nil
}
