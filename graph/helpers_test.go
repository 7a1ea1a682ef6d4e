package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/cloakql/cloakql/apierror"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/signin"
)

const (
	canary    = "c4nary-p4ssw0rd" // must not appear in responses or logs
	requestID = "REQUESTID"
)

// A fakeRealm calls the functions that a test sets. It panics if the function for a call isn't set.
type fakeRealm struct {
	login   func(identity.Credentials) (*identity.OpenIDToken, error)
	refresh func(identity.Secret) (*identity.OpenIDToken, error)
	logout  func(identity.Secret) error
}

func (r fakeRealm) Login(_ context.Context, c identity.Credentials) (*identity.OpenIDToken, error) {
	return r.login(c)
}

func (r fakeRealm) Refresh(_ context.Context,
	token identity.Secret) (*identity.OpenIDToken, error) {
	return r.refresh(token)
}

func (r fakeRealm) Logout(_ context.Context, token identity.Secret) error { return r.logout(token) }

// A fakeLimiter calls reserve for each attempt. Its zero value allows every attempt.
type fakeLimiter struct {
	reserve func(field, subject string) (done func(error), err error)
}

func (l fakeLimiter) Login(_ context.Context, c identity.Credentials) (func(error), error) {
	return l.reserveOrAllow("login", c.Username)
}

func (l fakeLimiter) Refresh(_ context.Context, token identity.Secret) (func(error), error) {
	return l.reserveOrAllow("refresh", token.Reveal())
}

func (l fakeLimiter) Logout(_ context.Context, token identity.Secret) (func(error), error) {
	return l.reserveOrAllow("logout", token.Reveal())
}

// reserveOrAllow calls l.reserve. If l.reserve is nil, it allows the attempt.
func (l fakeLimiter) reserveOrAllow(field, subject string) (func(error), error) {
	if l.reserve == nil {
		return func(error) {}, nil
	}
	return l.reserve(field, subject)
}

// A server serves CloakQL's schema with gqlgen's own handler. Its presenter logs to log.
type server struct {
	*handler.Server
	log       bytes.Buffer
	presenter apierror.Presenter
}

// newResolver returns a Resolver with this realm and limiter.
func newResolver(t testing.TB, realm signin.Realm, limiter signin.Limiter) *Resolver {
	t.Helper()
	service, err := signin.New(realm, limiter)
	if err != nil {
		t.Fatal(err)
	}
	return &Resolver{SignIn: service}
}

// newServer returns a server with this realm and a limiter that allows every attempt.
func newServer(t testing.TB, realm signin.Realm) *server {
	t.Helper()
	return newLimitedServer(t, realm, fakeLimiter{})
}

// newLimitedServer returns a server with this realm and limiter.
func newLimitedServer(t testing.TB, realm signin.Realm, limiter signin.Limiter) *server {
	t.Helper()
	schema, err := NewSchema(newResolver(t, realm, limiter))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: handler.New(schema)}
	s.presenter = apierror.Presenter{Log: slog.New(slog.NewJSONHandler(&s.log, nil)),
		RequestID: func(context.Context) string { return requestID }}
	s.SetErrorPresenter(s.presenter.Present)
	s.SetRecoverFunc(s.presenter.Recover)
	s.AddTransport(transport.POST{})
	return s
}

// send sends an operation and returns the body of the response. user and tokenErr are the result of
// verifying the request's token.
func (s *server) send(user *identity.User, tokenErr error, query string,
	variables map[string]any) string {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r.WithContext(identity.NewContext(r.Context(), user, tokenErr)))
	return recorder.Body.String()
}

// sendWithoutToken sends an operation without a token.
func (s *server) sendWithoutToken(query string) string { return s.send(nil, nil, query, nil) }

// logLines returns the attributes of each line of the log, without the time.
func (s *server) logLines(t testing.TB) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(s.log.String()) {
		var attributes map[string]any
		if err := json.Unmarshal([]byte(line), &attributes); err != nil {
			t.Fatal(err)
		}
		delete(attributes, "time")
		lines = append(lines, attributes)
	}
	return lines
}

// checkEqual checks that got equals want.
func checkEqual(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}

// ptr returns a pointer to a copy of v.
func ptr[T any](v T) *T { return &v }

// errDatabase is an error whose text clients must not see.
var errDatabase = errors.New("dial tcp 10.0.0.7: connection refused")
