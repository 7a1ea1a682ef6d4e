package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/identity"
)

// An error that no row of the table matches is logged with its text, but clients get only an
// internal error with the request's ID.
func TestErrors_unknown(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error {
			return fmt.Errorf("read sessions: %w", errDatabase)
		}})
	check(t, s.anonymous(`mutation { out: logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Internal error","path":["out"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
	check(t, fmt.Sprint(s.logged(t)),
		`[map[error:read sessions: dial tcp 10.0.0.7: connection refused level:ERROR msg:field failed path:out requestId:REQUESTID]]`)
}

// A resolver that returns gqlgen's error type can't choose the message or extensions that clients
// get.
func TestErrors_gqlerror(t *testing.T) {
	for name, err := range map[string]error{
		"message": gqlerror.Errorf("%s", canary),
		"extensions": &gqlerror.Error{Message: "m",
			Extensions: map[string]any{"code": "FORBIDDEN", "secret": canary}},
		"wrapped":     fmt.Errorf("%s: %w", canary, gqlerror.Errorf("%s", canary)),
		"inner error": &gqlerror.Error{Message: canary, Err: errors.New(canary)},
		"rule and file": &gqlerror.Error{Message: "m", Rule: canary,
			Extensions: map[string]any{"file": canary}},
		"list":            gqlerror.List{gqlerror.Errorf("%s", canary)},
		"nil inner error": &gqlerror.Error{Message: canary, Err: nil},
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		got := s.anonymous(`mutation { logout(refreshToken: "t") }`)
		if strings.Contains(got, canary) || strings.Contains(got, "FORBIDDEN") ||
			!strings.Contains(got, `"code":"INTERNAL_SERVER_ERROR"`) {
			t.Errorf("%s: got %s, want INTERNAL_SERVER_ERROR without the error's text", name, got)
		}
	}
}

// A gqlerror.Error that wraps an error of the table gets the table's message and code.
func TestErrors_gqlerrorWrapsKnownError(t *testing.T) {
	s := newServer(t, fakeRealm{logout: func(identity.Secret) error {
		return &gqlerror.Error{Message: canary, Err: identity.ErrRefreshReused,
			Extensions: map[string]any{"code": "MINE", "x": canary}}
	}})
	check(t, s.anonymous(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Sign in again","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID_REFRESH_TOKEN","reason":"REUSED"}}],"data":null}`)
}

// A request that the client canceled isn't logged as an error.
func TestErrors_canceled(t *testing.T) {
	for _, err := range []error{context.Canceled,
		fmt.Errorf("call the realm: %w", context.Canceled)} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		if got := s.anonymous(`mutation { logout(refreshToken: "t") }`); !strings.Contains(got,
			"INTERNAL_SERVER_ERROR") {
			t.Errorf("%v: got %s, want INTERNAL_SERVER_ERROR", err, got)
		}
		if s.log.Len() != 0 {
			t.Errorf("%v: logged %s, want nothing", err, s.log.String())
		}
	}
}

// An exceeded deadline is the code TIMEOUT, and is logged as a warning.
func TestErrors_deadline(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error {
			return fmt.Errorf("call the realm: %w", context.DeadlineExceeded)
		}})
	check(t, s.anonymous(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"The request took too long","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"TIMEOUT"}}],"data":null}`)
	if lines := s.logged(t); len(lines) != 1 || lines[0]["level"] != "WARN" ||
		lines[0]["path"] != "logout" {
		t.Errorf("logged %v, want one warning with the path", lines)
	}
}

// With Detail, clients get an error's detail.
func TestErrors_detail(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.presenter.Detail = true
	s.SetErrorPresenter(s.presenter.Present)
	check(t,
		s.query(nil, &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp was yesterday"},
			`{ me { id } }`, nil),
		`{"errors":[{"message":"Token has expired","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","detail":"exp was yesterday","reason":"TOKEN_EXPIRED"}}],"data":{"me":null}}`)
}

// Only with Detail, BAD_USER_INPUT names the argument. It helps developers whose form sends an
// empty string instead of null for a missing one-time code.
func TestErrors_detailOfArgument(t *testing.T) {
	for detail, want := range map[bool]string{
		false: `{"errors":[{"message":"Request malformed!","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`,
		true: `{"errors":[{"message":"Request malformed!","path":["login"],"locations":[{"line":1,"column":12}],` +
			`"extensions":{"code":"BAD_USER_INPUT","detail":"otp is empty"}}],"data":null}`,
	} {
		s := newServer(t, fakeRealm{})
		s.presenter.Detail = detail
		s.SetErrorPresenter(s.presenter.Present)
		check(t,
			s.query(nil, nil,
				`mutation { login(username: "alice", password: "secret", otp: "") { accessToken } }`, nil), want)
	}
}

// A leakyError has a password, which fmt would print.
type leakyError struct{ password string }

func (e *leakyError) Error() string { return e.password }

// A panic is logged with the type of its value, but without the value.
func TestPanic_value(t *testing.T) {
	for typeName, value := range map[string]any{
		"string":              canary,
		"*errors.errorString": errors.New(canary),
		"*fmt.wrapError":      fmt.Errorf("%s: %w", canary, errDatabase),
		"graph.leakyError":    leakyError{canary},
		"*graph.leakyError":   &leakyError{canary},
		"[]string":            []string{canary},
		"map[string]string":   map[string]string{canary: canary},
		"*gqlerror.Error":     gqlerror.Errorf("%s", canary),
		"identity.Secret":     identity.NewSecret(canary),
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { panic(value) }})
		check(t, s.anonymous(`mutation { logout(refreshToken: "`+canary+`") }`),
			`{"errors":[{"message":"Internal error","path":["logout"],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
		if strings.Contains(s.log.String(), canary) {
			t.Errorf("%s: logged %s, want it without the value", typeName, s.log.String())
		}
		lines := s.logged(t)
		if len(lines) != 1 {
			t.Fatalf("%s: logged %d lines, want one: %v", typeName, len(lines), lines)
		}
		line := lines[0]
		if line["msg"] != "panic" || line["level"] != "ERROR" || line["panic"] != typeName ||
			line["path"] != "logout" || line["requestId"] != requestID {
			t.Errorf("%s: logged %v, want the type, the path and the request's ID", typeName, line)
		}
		if stack, _ := line["stack"].(string); !strings.Contains(stack,
			"graph.(*mutationResolver).Logout") {
			t.Errorf("%s: the stack lacks the resolver: %s", typeName, stack)
		}
	}
}

// A runtime error is logged with its message, which contains only indexes and types.
func TestPanic_runtimeError(t *testing.T) {
	var nilUser *identity.User
	var empty []int
	var nilMap map[string]int
	var text any = canary
	for want, fail := range map[string]func(){
		"runtime error: invalid memory address or nil pointer dereference": func() { _ = nilUser.ID },
		"runtime error: index out of range [5] with length 0":              func() { _ = empty[5] },
		"assignment to entry in nil map": func() {
			nilMap["x"] = 1
		},
		"interface conversion: interface {} is string, not int": func() {
			_ = text.(int)
		},
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { fail(); return nil }})
		s.anonymous(`mutation { logout(refreshToken: "t") }`)
		if lines := s.logged(t); len(lines) != 1 || lines[0]["panic"] != want ||
			strings.Contains(s.log.String(), canary) {
			t.Errorf("logged %v, want %q", lines, want)
		}
	}
}

// Without gqlgen's Introspection extension, __schema and __type fail.
func TestIntrospectionOff(t *testing.T) {
	s := newServer(t, fakeRealm{})
	for query, want := range map[string]string{
		`{ __schema { queryType { name } } }`: `{"errors":[{"message":"Introspection is off","path":["__schema"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__schema":null}}`,
		`{ s: __schema { types { name } } }`:  `{"errors":[{"message":"Introspection is off","path":["s"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"s":null}}`,
		`{ __type(name: "User") { name } }`:   `{"errors":[{"message":"Introspection is off","path":["__type"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__type":null}}`,
		// __typename works: many clients select it, and it reveals nothing.
		`{ __typename }`:          `{"data":{"__typename":"Query"}}`,
		`mutation { __typename }`: `{"data":{"__typename":"Mutation"}}`,
	} {
		check(t, s.anonymous(query), want)
	}
	if s.log.Len() != 0 {
		t.Errorf("logged %s, want nothing", s.log.String())
	}
}

// With gqlgen's Introspection extension, __schema and __type work.
func TestIntrospectionOn(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.Use(extension.Introspection{})
	check(t, s.anonymous(`{ __schema { queryType { name } } __type(name: "Session") { kind } }`),
		`{"data":{"__schema":{"queryType":{"name":"Query"}},"__type":{"kind":"OBJECT"}}}`)
}

// Other fields in a document with introspection keep their own errors.
func TestIntrospectionOff_otherError(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.anonymous(`{ me { id } __type(name: "User") { name } }`)
	for _, want := range []string{
		`{"message":"Not authenticated","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`{"message":"Introspection is off","path":["__type"],"locations":[{"line":1,"column":13}],"extensions":{"code":"INTROSPECTION_DISABLED"}}`,
		`"data":{"me":null,"__type":null}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant it to contain %s", got, want)
		}
	}
}

// An argument of the wrong type that passes validation is BAD_USER_INPUT. Its value is in neither
// the response nor the log.
func TestErrors_invalidArgument(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.anonymous(`mutation { login(username: {}, password: "` + canary + `") { tokenType } }`)
	check(t, got,
		`{"errors":[{"message":"Request malformed!","path":["login"],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`)
	if s.log.Len() != 0 {
		t.Errorf("logged %s, want nothing: it is the client's error", s.log.String())
	}
}
