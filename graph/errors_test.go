package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/identity"
)

func newErrors(local bool) (*Errors, *bytes.Buffer) {
	var log bytes.Buffer
	return &Errors{
		Log:   slog.New(slog.NewTextHandler(&log, nil)),
		Local: local, RequestID: func(context.Context) string { return requestID },
	}, &log
}

// shown is an error as a client reads it.
func shown(t testing.TB, err *gqlerror.Error) string {
	t.Helper()
	text, fault := json.Marshal(err)
	if fault != nil {
		t.Fatal(fault)
	}
	return string(text)
}

// The contract, written down a second time: a change here is a change for every client.
var contract = []contracted{
	{identity.ErrTokenMissing, "UNAUTHENTICATED", "TOKEN_MISSING", "Not authenticated", ""},
	{identity.ErrTokenMalformed, "UNAUTHENTICATED", "TOKEN_MALFORMED", "Token is malformed", ""},
	{identity.ErrTokenTooLarge, "UNAUTHENTICATED", "TOKEN_TOO_LARGE", "Token is too large", ""},
	{identity.ErrTokenNotAccepted, "UNAUTHENTICATED", "TOKEN_NOT_ACCEPTED", "Token is not meant for this API", ""},
	{identity.ErrTokenNotYetValid, "UNAUTHENTICATED", "TOKEN_NOT_YET_VALID", "Token isn't valid yet", ""},
	{identity.ErrTokenExpired, "UNAUTHENTICATED", "TOKEN_EXPIRED", "Token has expired", ""},
	{identity.ErrKeyUnknown, "UNAUTHENTICATED", "KEY_UNKNOWN", "Token signature couldn't be verified", ""},
	{identity.ErrTokenSignature, "UNAUTHENTICATED", "TOKEN_SIGNATURE", "Token signature couldn't be verified", ""},
	{identity.ErrKeysUnavailable, "SERVICE_UNAVAILABLE", "KEYS_UNAVAILABLE", "Tokens can't be verified right now", ""},
	{identity.ErrBadInput, "BAD_USER_INPUT", "", "Request malformed!", ""},
	{identity.ErrBadCredentials, "INVALID_CREDENTIALS", "", "Username or password is incorrect!", ""},
	{identity.ErrAccountDisabled, "ACCOUNT_DISABLED", "", "Your account is disabled", ""},
	{identity.ErrAccountNotReady, "ACCOUNT_NOT_READY", "", "Finish setting up your account in the browser", ""},
	{identity.ErrLoginNotAllowed, "LOGIN_NOT_ALLOWED", "DIRECT_GRANT_DISABLED", "Password sign-in is not enabled", "ERROR"},
	{identity.ErrRefreshExpired, "INVALID_REFRESH_TOKEN", "EXPIRED", "Sign in again", ""},
	{identity.ErrSessionEnded, "INVALID_REFRESH_TOKEN", "SESSION_ENDED", "Sign in again", ""},
	{identity.ErrRefreshReused, "INVALID_REFRESH_TOKEN", "REUSED", "Sign in again", ""},
	{identity.ErrRefreshInvalid, "INVALID_REFRESH_TOKEN", "INVALID", "Sign in again", ""},
	{identity.ErrProviderMisconfigured, "SERVICE_UNAVAILABLE", "IDENTITY_PROVIDER_MISCONFIGURED", "Sign-in is not available", "ERROR"},
	{identity.ErrProviderUnavailable, "SERVICE_UNAVAILABLE", "IDENTITY_PROVIDER_UNAVAILABLE", "Sign-in is not available", "WARN"},
	{identity.ErrBusy, "SERVICE_UNAVAILABLE", "BUSY", "Try again", ""},
	{identity.ErrRateLimited, "RATE_LIMITED", "", "Too many attempts", ""},
	{errIntrospection, "INTROSPECTION_DISABLED", "", "Introspection is off", ""},
	{context.DeadlineExceeded, "TIMEOUT", "", "The request took too long", "WARN"},
}

type contracted struct {
	err                             error
	code, reason, message, loggedAt string
}

func TestEveryErrorHasItsCode(t *testing.T) {
	for _, tt := range contract {
		for how, err := range map[string]error{
			"itself":         tt.err,
			"wrapped":        fmt.Errorf("ask the realm: %w", fmt.Errorf("token endpoint: %w", tt.err)),
			"joined":         errors.Join(errors.New("first"), tt.err),
			"located":        &gqlerror.Error{Message: tt.err.Error(), Err: tt.err},
			"located, later": gqlerror.WrapPath(nil, fmt.Errorf("ask: %w", tt.err)),
			"in a refusal":   &identity.Error{Reason: tt.err, Detail: canary},
		} {
			e, log := newErrors(false)
			got := e.Present(context.Background(), err)
			want := map[string]any{"code": tt.code}
			if tt.reason != "" {
				want["reason"] = tt.reason
			}
			if got.Message != tt.message || fmt.Sprint(got.Extensions) != fmt.Sprint(want) {
				t.Errorf("%s, %s: %q %v, want %q %v", tt.err, how, got.Message, got.Extensions, tt.message, want)
			}
			if logged := log.String(); tt.loggedAt == "" && logged != "" {
				t.Errorf("%s, %s: logged %s, want nothing: it is the client's business", tt.err, how, logged)
			} else if tt.loggedAt != "" && (strings.Count(logged, "\n") != 1 || !strings.Contains(logged, "level="+tt.loggedAt) ||
				!strings.Contains(logged, "code="+tt.code) || !strings.Contains(logged, "requestId="+requestID)) {
				t.Errorf("%s, %s: logged %q, want one line at %s with code and request id", tt.err, how, logged, tt.loggedAt)
			}
		}
	}
	for _, row := range table {
		if !slices.ContainsFunc(contract, func(tt contracted) bool { return tt.err == row.err }) {
			t.Errorf("the row %s of graph/errors.go (%q) is missing in contract, of this test: "+
				"add it there", strings.TrimSuffix(row.code+"/"+row.reason, "/"), row.err)
		}
	}
	for _, tt := range contract {
		if !slices.ContainsFunc(table, func(row row) bool { return row.err == tt.err }) {
			t.Errorf("the row %s of this test (%q) is missing in graph/errors.go",
				strings.TrimSuffix(tt.code+"/"+tt.reason, "/"), tt.err)
		}
	}
}

// Each case can be told from the others by code and reason: that is what they are for.
func TestNoTwoRowsLookAlike(t *testing.T) {
	seen := map[[2]string]error{}
	for _, row := range table {
		key := [2]string{row.code, row.reason}
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q are both %s/%s", other, row.err, row.code, row.reason)
		}
		seen[key] = row.err
		if row.code == "" || row.message == "" {
			t.Errorf("%q has no code or no message", row.err)
		}
	}
}

// An error of the domain that has no row would look like a fault of ours.
func TestEveryErrorOfTheDomainHasARow(t *testing.T) {
	text, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../identity/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		value, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, name := range value.Names {
			found++
			if !strings.Contains(string(text), "{identity."+name.Name+",") {
				t.Errorf("identity.%s has no row in the table", name.Name)
			}
		}
		return true
	})
	if found < 20 {
		t.Errorf("%d errors found in identity, want more", found)
	}
}

func TestAnUnknownErrorIsLoggedAndHidden(t *testing.T) {
	s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return fmt.Errorf("read sessions: %w", errDatabase) }})
	check(t, s.anonymous(`mutation { out: logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Internal error","path":["out"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}],"data":null}`)
	check(t, fmt.Sprint(s.logged(t)),
		`[map[error:read sessions: dial tcp 10.0.0.7: connection refused level:ERROR msg:field failed path:out requestId:REQUESTID]]`)
}

// Whoever writes a resolver can't put words of their own before a client by way of gqlgen's error
// type.
func TestAGraphQLErrorOfAResolverIsHiddenToo(t *testing.T) {
	for name, err := range map[string]error{
		"message":         gqlerror.Errorf("%s", canary),
		"extensions":      &gqlerror.Error{Message: "m", Extensions: map[string]any{"code": "FORBIDDEN", "secret": canary}},
		"wrapped":         fmt.Errorf("%s: %w", canary, gqlerror.Errorf("%s", canary)),
		"inner error":     &gqlerror.Error{Message: canary, Err: errors.New(canary)},
		"rule and file":   &gqlerror.Error{Message: "m", Rule: canary, Extensions: map[string]any{"file": canary}},
		"list":            gqlerror.List{gqlerror.Errorf("%s", canary)},
		"a nil inside it": &gqlerror.Error{Message: canary, Err: nil},
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		got := s.anonymous(`mutation { logout(refreshToken: "t") }`)
		if strings.Contains(got, canary) || strings.Contains(got, "FORBIDDEN") || !strings.Contains(got, `"code":"INTERNAL_SERVER_ERROR"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The table's words stand even if the resolver put others beside its error.
func TestAGraphQLErrorAroundAKnownOneHasTheTablesWords(t *testing.T) {
	s := newServer(t, fakeRealm{logout: func(identity.Secret) error {
		return &gqlerror.Error{Message: canary, Err: identity.ErrRefreshReused, Extensions: map[string]any{"code": "MINE", "x": canary}}
	}})
	check(t, s.anonymous(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"Sign in again","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID_REFRESH_TOKEN","reason":"REUSED"}}],"data":null}`)
}

func TestAClientThatLeftIsNobodysFault(t *testing.T) {
	for _, err := range []error{context.Canceled, fmt.Errorf("ask the realm: %w", context.Canceled)} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return err }})
		if got := s.anonymous(`mutation { logout(refreshToken: "t") }`); !strings.Contains(got, "INTERNAL_SERVER_ERROR") {
			t.Errorf("%v: %s", err, got)
		}
		if s.log.Len() != 0 {
			t.Errorf("%v: logged %s", err, s.log.String())
		}
	}
}

func TestADeadlineHasACode(t *testing.T) {
	s := newServer(t, fakeRealm{logout: func(identity.Secret) error { return fmt.Errorf("ask the realm: %w", context.DeadlineExceeded) }})
	check(t, s.anonymous(`mutation { logout(refreshToken: "t") }`),
		`{"errors":[{"message":"The request took too long","path":["logout"],"locations":[{"line":1,"column":12}],"extensions":{"code":"TIMEOUT"}}],"data":null}`)
	if lines := s.logged(t); len(lines) != 1 || lines[0]["level"] != "WARN" || lines[0]["path"] != "logout" {
		t.Errorf("logged %v", lines)
	}
}

// An outage that ended in a timeout is an outage.
func TestTheRealmsReasonComesBeforeTheDeadline(t *testing.T) {
	e, _ := newErrors(false)
	got := e.Present(context.Background(), fmt.Errorf("%w: %w", identity.ErrProviderUnavailable, context.DeadlineExceeded))
	if got.Extensions["reason"] != "IDENTITY_PROVIDER_UNAVAILABLE" {
		t.Errorf("%v", got.Extensions)
	}
}

func TestDetailIsForDevelopersAlone(t *testing.T) {
	refusal := fmt.Errorf("verify: %w", &identity.Error{Reason: identity.ErrTokenNotAccepted, Detail: "iss is X; accepted: Y"})
	for local, want := range map[bool]string{
		false: `{"message":"Token is not meant for this API","extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_NOT_ACCEPTED"}}`,
		true:  `{"message":"Token is not meant for this API","extensions":{"code":"UNAUTHENTICATED","detail":"iss is X; accepted: Y","reason":"TOKEN_NOT_ACCEPTED"}}`,
	} {
		e, _ := newErrors(local)
		check(t, shown(t, e.Present(context.Background(), refusal)), want)
	}
	// The rest is for nobody, on a developer's machine either.
	e, _ := newErrors(true)
	check(t, shown(t, e.Present(context.Background(), &identity.Error{Reason: identity.ErrBadCredentials, Detail: canary})),
		`{"message":"Username or password is incorrect!","extensions":{"code":"INVALID_CREDENTIALS"}}`)
	check(t, shown(t, e.Present(context.Background(), errDatabase)),
		`{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}`)
	check(t, shown(t, e.Present(context.Background(), identity.ErrTokenMissing)),
		`{"message":"Not authenticated","extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`)
}

func TestDetailReachesMe(t *testing.T) {
	s := newServer(t, fakeRealm{})
	s.errors.Local = true
	s.SetErrorPresenter(s.errors.Present)
	check(t, s.ask(nil, &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp was yesterday"}, `{ me { id } }`, nil),
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
		s.errors.Local = local
		s.SetErrorPresenter(s.errors.Present)
		check(t, s.ask(nil, nil, `mutation { login(username: "alice", password: "secret", otp: "") { accessToken } }`, nil), want)
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
		if line["msg"] != "panic" || line["level"] != "ERROR" || line["panic"] != kind || line["path"] != "logout" || line["requestId"] != requestID {
			t.Errorf("%s: logged %v", kind, line)
		}
		if stack, _ := line["stack"].(string); !strings.Contains(stack, "graph.(*mutationResolver).Logout") {
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
		"assignment to entry in nil map":                                   func() { nilMap["x"] = 1 },
		"interface conversion: interface {} is string, not int":            func() { _ = value.(int) },
	} {
		s := newServer(t, fakeRealm{logout: func(identity.Secret) error { broken(); return nil }})
		s.anonymous(`mutation { logout(refreshToken: "t") }`)
		if lines := s.logged(t); len(lines) != 1 || lines[0]["panic"] != want || strings.Contains(s.log.String(), canary) {
			t.Errorf("logged %v, want %q", lines, want)
		}
	}
}

func TestPresentOutsideAField(t *testing.T) {
	e, _ := newErrors(false)
	check(t, shown(t, e.Present(context.Background(), e.Recover(context.Background(), canary))),
		`{"message":"Internal error","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}`)
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

// gqlgen may be given a field context without a field, in tests and by extensions.
func TestPresentWithAHollowFieldContext(t *testing.T) {
	e, _ := newErrors(false)
	ctx := graphql.WithFieldContext(context.Background(), &graphql.FieldContext{})
	if got := e.Present(ctx, identity.ErrTokenMissing); got.Extensions["reason"] != "TOKEN_MISSING" {
		t.Errorf("%v", got.Extensions)
	}
}

// A value that the schema's type doesn't take, where no check before the execution has seen it: the
// client's fault, and nobody's to read.
func TestArgumentsThatDontFit(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.anonymous(`mutation { login(username: {}, password: "` + canary + `") { tokenType } }`)
	check(t, got, `{"errors":[{"message":"Request malformed!","path":["login"],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`)
	if s.log.Len() != 0 {
		t.Errorf("logged %s, want nothing: it is the client's business", s.log.String())
	}
}
