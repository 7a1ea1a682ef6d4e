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

func TestAnUnknownErrorIsLoggedAndHidden(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error {
			return fmt.Errorf("read sessions: %w", errDatabase)
		}})
	check(t, s.anonymous(`mutation { out: logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Internal error","path":["out"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
	check(t, fmt.Sprint(s.logged(t)),
		`[map[error:read sessions: dial tcp 10.0.0.7: connection refused level:ERROR msg:field failed path:out requestId:REQUESTID]]`)
}

// Whoever writes a resolver can't put words of their own before a client by way of gqlgen's error
// type.
func TestAGraphQLErrorOfAResolverIsHiddenToo(t *testing.T) {
	for name, err := range map[string]error{
		"message": gqlerror.Errorf("%s", canary),
		"extensions": &gqlerror.Error{Message: "m",
			Extensions: map[string]any{"code": "FORBIDDEN", "secret": canary}},
		"wrapped":     fmt.Errorf("%s: %w", canary, gqlerror.Errorf("%s", canary)),
		"inner error": &gqlerror.Error{Message: canary, Err: errors.New(canary)},
		"rule and file": &gqlerror.Error{Message: "m", Rule: canary,
			Extensions: map[string]any{"file": canary}},
		"list":            gqlerror.List{gqlerror.Errorf("%s", canary)},
		"a nil inside it": &gqlerror.Error{Message: canary, Err: nil},
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		got := s.anonymous(`mutation { logout(refreshToken: "t") }`)
		if strings.Contains(got, canary) || strings.Contains(got, "FORBIDDEN") ||
			!strings.Contains(got, `"code":"INTERNAL_SERVER_ERROR"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The table's words stand even if the resolver put others beside its error.
func TestAGraphQLErrorAroundAKnownOneHasTheTablesWords(t *testing.T) {
	s := newServer(t, fakeRealm{logout: func(identity.Secret) error {
		return &gqlerror.Error{Message: canary, Err: identity.ErrRefreshReused,
			Extensions: map[string]any{"code": "MINE", "x": canary}}
	}})
	check(t, s.anonymous(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Sign in again","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID_REFRESH_TOKEN","reason":"REUSED"}}],"data":null}`)
}

func TestAClientThatLeftIsNobodysFault(t *testing.T) {
	for _, err := range []error{context.Canceled,
		fmt.Errorf("ask the realm: %w", context.Canceled)} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		if got := s.anonymous(`mutation { logout(refreshToken: "t") }`); !strings.Contains(got,
			"INTERNAL_SERVER_ERROR") {
			t.Errorf("%v: %s", err, got)
		}
		if s.log.Len() != 0 {
			t.Errorf("%v: logged %s", err, s.log.String())
		}
	}
}

func TestADeadlineHasACode(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error {
			return fmt.Errorf("ask the realm: %w", context.DeadlineExceeded)
		}})
	check(t, s.anonymous(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"The request took too long","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"TIMEOUT"}}],"data":null}`)
	if lines := s.logged(t); len(lines) != 1 || lines[0]["level"] != "WARN" ||
		lines[0]["path"] != "logout" {
		t.Errorf("logged %v", lines)
	}
}

func TestDetailReachesMe(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.errors.Detail = true
	s.SetErrorPresenter(s.errors.Present)
	check(t,
		s.ask(nil, &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp was yesterday"},
			`{ me { id } }`, nil),
		`{"errors":[{"message":"Token has expired","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","detail":"exp was yesterday","reason":"TOKEN_EXPIRED"}}],"data":{"me":null}}`)
}

// A form that sends an empty text for a one-time code that nobody has looks right to its developer.
func TestDetail_names_the_argument(t *testing.T) {
	for local, want := range map[bool]string{
		false: `{"errors":[{"message":"Request malformed!","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`,
		true: `{"errors":[{"message":"Request malformed!","path":["login"],"locations":[{"line":1,"column":12}],` +
			`"extensions":{"code":"BAD_USER_INPUT","detail":"otp is empty"}}],"data":null}`,
	} {
		s := newServer(t, fakeRealm{})
		s.errors.Detail = local
		s.SetErrorPresenter(s.errors.Present)
		check(t,
			s.ask(nil, nil,
				`mutation { login(username: "alice", password: "secret", otp: "") { accessToken } }`, nil), want)
	}
}

// A value with the canary in it, of a kind that fmt would print.
type loaded struct{ password string }

func (l *loaded) Error() string { return l.password }

func TestAPanicsValueIsNeverLogged(t *testing.T) {
	for kind, value := range map[string]any{
		"string":              canary,
		"*errors.errorString": errors.New(canary),
		"*fmt.wrapError":      fmt.Errorf("%s: %w", canary, errDatabase),
		"graph.loaded":        loaded{canary},
		"*graph.loaded":       &loaded{canary},
		"[]string":            []string{canary},
		"map[string]string":   map[string]string{canary: canary},
		"*gqlerror.Error":     gqlerror.Errorf("%s", canary),
		"identity.Secret":     identity.NewSecret(canary),
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { panic(value) }})
		check(t, s.anonymous(`mutation { logout(refreshToken: "`+canary+`") }`),
			`{"errors":[{"message":"Internal error","path":["logout"],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
		if strings.Contains(s.log.String(), canary) {
			t.Errorf("%s: logged %s", kind, s.log.String())
		}
		lines := s.logged(t)
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines, want one: %v", kind, len(lines), lines)
		}
		line := lines[0]
		if line["msg"] != "panic" || line["level"] != "ERROR" || line["panic"] != kind ||
			line["path"] != "logout" || line["requestId"] != requestID {
			t.Errorf("%s: logged %v", kind, line)
		}
		if stack, _ := line["stack"].(string); !strings.Contains(stack,
			"graph.(*mutationResolver).Logout") {
			t.Errorf("%s: the stack doesn't say where: %s", kind, stack)
		}
	}
}

// The runtime's own words hold indexes and types, and say what to mend.
func TestARuntimeErrorShowsItsWords(t *testing.T) {
	var none *identity.User
	var list []int
	var nilMap map[string]int
	var value any = canary
	for want, broken := range map[string]func(){
		"runtime error: invalid memory address or nil pointer dereference": func() { _ = none.ID },
		"runtime error: index out of range [5] with length 0":              func() { _ = list[5] },
		"assignment to entry in nil map": func() {
			nilMap["x"] = 1
		},
		"interface conversion: interface {} is string, not int": func() {
			_ = value.(int)
		},
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { broken(); return nil }})
		s.anonymous(`mutation { logout(refreshToken: "t") }`)
		if lines := s.logged(t); len(lines) != 1 || lines[0]["panic"] != want ||
			strings.Contains(s.log.String(), canary) {
			t.Errorf("logged %v, want %q", lines, want)
		}
	}
}

func TestIntrospectionOff(t *testing.T) {
	s := newServer(t, fakeRealm{})
	for query, want := range map[string]string{
		`{ __schema { queryType { name } } }`: `{"errors":[{"message":"Introspection is off","path":["__schema"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__schema":null}}`,
		`{ s: __schema { types { name } } }`:  `{"errors":[{"message":"Introspection is off","path":["s"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"s":null}}`,
		`{ __type(name: "User") { name } }`:   `{"errors":[{"message":"Introspection is off","path":["__type"],"locations":[{"line":1,"column":3}],"extensions":{"code":"INTROSPECTION_DISABLED"}}],"data":{"__type":null}}`,
		// Every client asks for this one, and it tells nothing.
		`{ __typename }`:          `{"data":{"__typename":"Query"}}`,
		`mutation { __typename }`: `{"data":{"__typename":"Mutation"}}`,
	} {
		check(t, s.anonymous(query), want)
	}
	if s.log.Len() != 0 {
		t.Errorf("logged %s", s.log.String())
	}
}

func TestIntrospectionOn(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.Use(extension.Introspection{})
	check(t, s.anonymous(`{ __schema { queryType { name } } __type(name: "Session") { kind } }`),
		`{"data":{"__schema":{"queryType":{"name":"Query"}},"__type":{"kind":"OBJECT"}}}`)
}

// The words for introspection are for its two fields, not for whatever is asked beside them.
func TestIntrospectionOffBesideAnotherError(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.anonymous(`{ me { id } __type(name: "User") { name } }`)
	for _, want := range []string{
		`{"message":"Not authenticated","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`{"message":"Introspection is off","path":["__type"],"locations":[{"line":1,"column":13}],"extensions":{"code":"INTROSPECTION_DISABLED"}}`,
		`"data":{"me":null,"__type":null}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s in it", got, want)
		}
	}
}

// A value that the schema's type doesn't take, where no check before the execution has seen it: the
// client's fault, and nobody's to read.
func TestArgumentsThatDontFit(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.anonymous(`mutation { login(username: {}, password: "` + canary + `") { tokenType } }`)
	check(t, got,
		`{"errors":[{"message":"Request malformed!","path":["login"],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`)
	if s.log.Len() != 0 {
		t.Errorf("logged %s, want nothing: it is the client's business", s.log.String())
	}
}
