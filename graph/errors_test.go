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

// If no row of the error table matches an error, the error is logged with its text. Clients get
// only an internal error with the request's ID.
func TestErrors_notInTable(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error {
			return fmt.Errorf("read sessions: %w", errDatabase)
		}})
	checkEqual(t, s.sendWithoutToken(`mutation { out: logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Internal `+
			`error","path":["out"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
	checkEqual(t, fmt.Sprint(s.logLines(t)),
		`[map[error:read sessions: dial tcp 10.0.0.7: connection refused level:ERROR msg:field `+
			`failed path:out requestId:REQUESTID]]`)
}

// If a resolver returns an error of gqlgen's type, clients don't get the error's message or
// extensions.
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
		got := s.sendWithoutToken(`mutation { logout(refreshToken: "t") }`)
		if strings.Contains(got, canary) || strings.Contains(got, "FORBIDDEN") ||
			!strings.Contains(got, `"code":"INTERNAL_SERVER_ERROR"`) {
			t.Errorf("%s: got %s, want INTERNAL_SERVER_ERROR without the error's text", name, got)
		}
	}
}

// If a resolver returns a gqlerror.Error that wraps an error in the error table, clients get the
// message and the code of the table.
func TestErrors_gqlerrorWrapsTableError(t *testing.T) {
	s := newServer(t, fakeRealm{logout: func(identity.Secret) error {
		return &gqlerror.Error{Message: canary, Err: identity.ErrRefreshReused,
			Extensions: map[string]any{"code": "MINE", "x": canary}}
	}})
	checkEqual(t, s.sendWithoutToken(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Sign in `+
			`again","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID_REFRESH_TOKEN","reason":"REUSED"}}],"data":null}`)
}

// If the client canceled the request, the error isn't logged.
func TestErrors_canceled(t *testing.T) {
	for _, err := range []error{context.Canceled,
		fmt.Errorf("call the realm: %w", context.Canceled)} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		got := s.sendWithoutToken(`mutation { logout(refreshToken: "t") }`)
		if !strings.Contains(got,
			"INTERNAL_SERVER_ERROR") {
			t.Errorf("%v: got %s, want INTERNAL_SERVER_ERROR", err, got)
		}
		if s.log.Len() != 0 {
			t.Errorf("%v: logged %s, want nothing", err, s.log.String())
		}
	}
}

// If the deadline was exceeded, clients get the code TIMEOUT, and the error is logged as a warning.
func TestErrors_deadline(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error {
			return fmt.Errorf("call the realm: %w", context.DeadlineExceeded)
		}})
	checkEqual(t, s.sendWithoutToken(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"The request took too `+
			`long","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"TIMEOUT"}}],"data":null}`)
	if lines := s.logLines(t); len(lines) != 1 || lines[0]["level"] != "WARN" ||
		lines[0]["path"] != "logout" {
		t.Errorf("logged %v, want one warning with the path", lines)
	}
}

// With Presenter.Detail, clients get the detail of a token's error.
func TestErrors_detail(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.presenter.Detail = true
	s.SetErrorPresenter(s.presenter.Present)
	checkEqual(t,
		s.send(nil, &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp was yesterday"},
			`{ me { id } }`, nil),
		`{"errors":[{"message":"Token has `+
			`expired","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","detail":"exp was yesterday","reason":"TOKEN_EXPIRED"}}],"data":{"me":null}}`)
}

// With Presenter.Detail, the error BAD_USER_INPUT says which argument is malformed. Without Detail,
// the error doesn't say so. The detail helps developers whose form sends an empty one-time code
// instead of null.
func TestErrors_detailOfArgument(t *testing.T) {
	for detail, want := range map[bool]string{
		false: `{"errors":[{"message":"Request ` +
			`malformed!","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`,
		true: `{"errors":[{"message":"Request ` +
			`malformed!","path":["login"],"locations":[{"line":1,"column":12}],` +
			`"extensions":{"code":"BAD_USER_INPUT","detail":"otp is empty"}}],"data":null}`,
	} {
		s := newServer(t, fakeRealm{})
		s.presenter.Detail = detail
		s.SetErrorPresenter(s.presenter.Present)
		checkEqual(t,
			s.send(nil, nil,
				`mutation { login(username: "alice", password: "secret", otp: "") { accessToken `+
					`} }`, nil), want)
	}
}

// A leakyError is an error whose text is a password.
type leakyError struct{ password string }

func (e *leakyError) Error() string { return e.password }

// If a resolver panics, the log has the type of the panic's value, but not the value.
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
		checkEqual(t, s.sendWithoutToken(`mutation { logout(refreshToken: "`+canary+`") }`),
			`{"errors":[{"message":"Internal `+
				`error","path":["logout"],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
		if strings.Contains(s.log.String(), canary) {
			t.Errorf("panic with a %s: logged %s, want it without the value", typeName,
				s.log.String())
		}
		lines := s.logLines(t)
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
			t.Errorf("panic with a %s: got the stack %s, want the resolver in it", typeName, stack)
		}
	}
}

// If a resolver panics with a runtime error, the log has the error's message, which contains only
// indexes and types.
func TestPanic_runtimeError(t *testing.T) {
	var nilUser *identity.User
	var empty []int
	var nilMap map[string]int
	var text any = canary
	for want, panics := range map[string]func(){
		"runtime error: invalid memory address or nil pointer dereference": func() { _ = nilUser.ID },
		"runtime error: index out of range [5] with length 0":              func() { _ = empty[5] },
		"assignment to entry in nil map": func() {
			nilMap["x"] = 1
		},
		"interface conversion: interface {} is string, not int": func() {
			_ = text.(int)
		},
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { panics(); return nil }})
		s.sendWithoutToken(`mutation { logout(refreshToken: "t") }`)
		if lines := s.logLines(t); len(lines) != 1 || lines[0]["panic"] != want ||
			strings.Contains(s.log.String(), canary) {
			t.Errorf("logged %v, want one line with panic=%q", lines, want)
		}
	}
}

// Without gqlgen's Introspection extension, the fields __schema and __type fail.
func TestIntrospectionOff(t *testing.T) {
	s := newServer(t, fakeRealm{})
	for query, want := range map[string]string{
		`{ __schema { queryType { name } } }`: `{"errors":[{"message":"Introspection is ` +
			`off","path":["__schema"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__schema":null}}`,
		`{ s: __schema { types { name } } }`: `{"errors":[{"message":"Introspection is ` +
			`off","path":["s"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"s":null}}`,
		`{ __type(name: "User") { name } }`: `{"errors":[{"message":"Introspection is ` +
			`off","path":["__type"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__type":null}}`,
		// __typename works, because many clients select it and it reveals nothing.
		`{ __typename }`:          `{"data":{"__typename":"Query"}}`,
		`mutation { __typename }`: `{"data":{"__typename":"Mutation"}}`,
	} {
		checkEqual(t, s.sendWithoutToken(query), want)
	}
	if s.log.Len() != 0 {
		t.Errorf("logged %s, want nothing", s.log.String())
	}
}

// With gqlgen's Introspection extension, the fields __schema and __type work.
func TestIntrospectionOn(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.Use(extension.Introspection{})
	checkEqual(t, s.sendWithoutToken(`{ __schema { queryType { name } } __type(name: "Session") `+
		`{ kind } }`),
		`{"data":{"__schema":{"queryType":{"name":"Query"}},"__type":{"kind":"OBJECT"}}}`)
}

// If introspection is off, other fields of a document that uses it still get their own errors.
func TestIntrospectionOff_otherError(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.sendWithoutToken(`{ me { id } __type(name: "User") { name } }`)
	for _, want := range []string{
		`{"message":"Not ` +
			`authenticated","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`{"message":"Introspection is ` +
			`off","path":["__type"],"locations":[{"line":1,"column":13}],"extensions":{"code":"INTROSPECTION_DISABLED"}}`,
		`"data":{"me":null,"__type":null}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant it to contain %s", got, want)
		}
	}
}

// If an argument has the wrong type but passes validation, the error is BAD_USER_INPUT. Neither the
// response nor the log contains the value.
func TestErrors_invalidArgument(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.sendWithoutToken(`mutation { login(username: {}, password: "` + canary +
		`") { tokenType } }`)
	checkEqual(t, got,
		`{"errors":[{"message":"Request `+
			`malformed!","path":["login"],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`)
	if s.log.Len() != 0 {
		t.Errorf("logged %s, want nothing, because it is the client's error", s.log.String())
	}
}
