package apierror

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
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/cloakql/cloakql/identity"
)

const (
	canary    = "c4nary-p4ssw0rd"
	requestID = "REQUESTID"
)

var errDatabase = errors.New("dial tcp 10.0.0.7: connection refused")

// newPresenter returns a presenter with these rows of an application. It also returns the log.
func newPresenter(detail bool, rows ...Row) (*Presenter, *bytes.Buffer) {
	var log bytes.Buffer
	return &Presenter{
		Rows: rows, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Detail: detail, RequestID: func(context.Context) string { return requestID },
	}, &log
}

// checkEqual reports an error if got isn't want.
func checkEqual(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}

// errorJSON returns err in JSON, as clients get it.
func errorJSON(t testing.TB, err *gqlerror.Error) string {
	t.Helper()
	text, marshalErr := json.Marshal(err)
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	return string(text)
}

// contract repeats the values in the table, with the level of each log line. A change of these
// values affects every client.
var contract = []contractRow{
	{identity.ErrTokenMissing, "UNAUTHENTICATED", "TOKEN_MISSING", "Not authenticated", ""},
	{identity.ErrTokenMalformed, "UNAUTHENTICATED", "TOKEN_MALFORMED", "Token is malformed", ""},
	{identity.ErrTokenTooLarge, "UNAUTHENTICATED", "TOKEN_TOO_LARGE", "Token is too large", ""},
	{identity.ErrTokenNotAccepted, "UNAUTHENTICATED", "TOKEN_NOT_ACCEPTED",
		"Token is not meant for this API", ""},
	{identity.ErrTokenNotYetValid, "UNAUTHENTICATED", "TOKEN_NOT_YET_VALID",
		"Token isn't valid yet", ""},
	{identity.ErrTokenExpired, "UNAUTHENTICATED", "TOKEN_EXPIRED", "Token has expired", ""},
	{identity.ErrTokenRevoked, "UNAUTHENTICATED", "TOKEN_REVOKED",
		"Your session has ended: sign in again", ""},
	{identity.ErrKeyUnknown, "UNAUTHENTICATED", "KEY_UNKNOWN",
		"Token signature couldn't be verified", ""},
	{identity.ErrTokenSignature, "UNAUTHENTICATED", "TOKEN_SIGNATURE",
		"Token signature couldn't be verified", ""},
	{identity.ErrKeysUnavailable, "SERVICE_UNAVAILABLE", "KEYS_UNAVAILABLE",
		"Tokens can't be verified right now", ""},
	{identity.ErrRoleMissing, "FORBIDDEN", "ROLE_MISSING",
		"You aren't allowed to use this field", ""},
	{identity.ErrScopeMissing, "FORBIDDEN", "SCOPE_MISSING",
		"You aren't allowed to use this field", ""},
	{identity.ErrGroupMissing, "FORBIDDEN", "GROUP_MISSING",
		"You aren't allowed to use this field", ""},
	{identity.ErrOrganizationMissing, "FORBIDDEN", "ORGANIZATION_MISSING",
		"You aren't allowed to use this field", ""},
	{identity.ErrClaimMissing, "FORBIDDEN", "CLAIM_MISSING",
		"You aren't allowed to use this field", ""},
	{identity.ErrNotOwner, "FORBIDDEN", "NOT_OWNER",
		"You aren't allowed to use this field", ""},
	{identity.ErrImpersonated, "FORBIDDEN", "IMPERSONATED",
		"Not allowed while acting as somebody else", ""},
	{identity.ErrStepUpRequired, "UNAUTHENTICATED", "STEP_UP_REQUIRED",
		"Confirm your identity to continue", ""},
	{identity.ErrBadInput, "BAD_USER_INPUT", "", "Request malformed!", ""},
	{identity.ErrBadCredentials, "INVALID_CREDENTIALS", "", "Username or password is incorrect!",
		""},
	{identity.ErrAccountDisabled, "ACCOUNT_DISABLED", "", "Your account is disabled", ""},
	{identity.ErrAccountNotReady, "ACCOUNT_NOT_READY", "",
		"Finish setting up your account in the browser", ""},
	{identity.ErrLoginNotAllowed, "LOGIN_NOT_ALLOWED", "DIRECT_GRANT_DISABLED",
		"Password sign-in is not enabled", "ERROR"},
	{identity.ErrRefreshExpired, "INVALID_REFRESH_TOKEN", "EXPIRED", "Sign in again", ""},
	{identity.ErrSessionEnded, "INVALID_REFRESH_TOKEN", "SESSION_ENDED", "Sign in again", ""},
	{identity.ErrRefreshReused, "INVALID_REFRESH_TOKEN", "REUSED", "Sign in again", ""},
	{identity.ErrRefreshInvalid, "INVALID_REFRESH_TOKEN", "INVALID", "Sign in again", ""},
	{identity.ErrProviderMisconfigured, "SERVICE_UNAVAILABLE", "IDENTITY_PROVIDER_MISCONFIGURED",
		"Sign-in is not available", "ERROR"},
	{identity.ErrProviderUnavailable, "SERVICE_UNAVAILABLE", "IDENTITY_PROVIDER_UNAVAILABLE",
		"Sign-in is not available", "WARN"},
	{identity.ErrStoreUnavailable, "SERVICE_UNAVAILABLE", "STORE_UNAVAILABLE", "Try again", ""},
	{identity.ErrRefreshInterrupted, "SERVICE_UNAVAILABLE", "REFRESH_INTERRUPTED", "Try again", ""},
	{identity.ErrBusy, "SERVICE_UNAVAILABLE", "BUSY", "Try again", ""},
	{identity.ErrRateLimited, "RATE_LIMITED", "", "Too many attempts", ""},
	{errIntrospectionDisabled, "INTROSPECTION_DISABLED", "", "Introspection is off", ""},
	{context.DeadlineExceeded, "TIMEOUT", "", "The request took too long", "WARN"},
}

// A contractRow holds what clients and the log must show for err.
type contractRow struct {
	err                             error
	code, reason, message, logLevel string // logLevel is empty if the error isn't logged
}

// Present returns and logs the error of each row as contract says, also if the error is wrapped.
func TestPresenter_Present_everyRow(t *testing.T) {
	for _, tt := range contract {
		for form, err := range map[string]error{
			"unwrapped": tt.err,
			"wrapped": fmt.Errorf("sign in: %w",
				fmt.Errorf("token endpoint: %w", tt.err)),
			"joined":               errors.Join(errors.New("first"), tt.err),
			"located":              &gqlerror.Error{Message: tt.err.Error(), Err: tt.err},
			"located, wrapped":     gqlerror.WrapPath(nil, fmt.Errorf("sign in: %w", tt.err)),
			"in an identity.Error": &identity.Error{Reason: tt.err, Detail: canary},
		} {
			p, log := newPresenter(false)
			got := p.Present(t.Context(), err)
			want := map[string]any{"code": tt.code}
			if tt.reason != "" {
				want["reason"] = tt.reason
			}
			if got.Message != tt.message || fmt.Sprint(got.Extensions) != fmt.Sprint(want) {
				t.Errorf("%s, %s: got %q %v, want %q %v", tt.err, form, got.Message, got.Extensions,
					tt.message, want)
			}
			if logged := log.String(); tt.logLevel == "" && logged != "" {
				t.Errorf("%s, %s: logged %s, want nothing, because it is the client's error",
					tt.err,
					form, logged)
			} else if tt.logLevel != "" &&
				(strings.Count(logged, "\n") != 1 ||
					!strings.Contains(logged, "level="+tt.logLevel) ||
					!strings.Contains(logged, "code="+tt.code) ||
					!strings.Contains(logged, "requestId="+requestID)) {
				t.Errorf("%s, %s: logged %q, want one line at %s with code and request ID", tt.err,
					form, logged, tt.logLevel)
			}
		}
	}
	for _, row := range table {
		if !slices.ContainsFunc(contract, func(tt contractRow) bool { return tt.err == row.Err }) {
			t.Errorf("the row %s of apierror/table.go (%q) is missing in this test's contract: "+
				"add it", strings.TrimSuffix(string(row.Code)+"/"+string(row.Reason), "/"),
				row.Err)
		}
	}
	for _, tt := range contract {
		if !slices.ContainsFunc(table, func(row Row) bool { return row.Err == tt.err }) {
			t.Errorf("the row %s of this test (%q) is missing in apierror/table.go",
				strings.TrimSuffix(tt.code+"/"+tt.reason, "/"), tt.err)
		}
	}
}

// Each row has a code and a message. No two rows have the same code and reason, so that clients can
// tell all errors apart.
func TestRows_unique(t *testing.T) {
	seen := map[[2]string]error{}
	for _, row := range table {
		key := [2]string{string(row.Code), string(row.Reason)}
		if otherErr, ok := seen[key]; ok {
			t.Errorf("the rows of %q and %q are both %s/%s", otherErr, row.Err, row.Code,
				row.Reason)
		}
		seen[key] = row.Err
		if row.Code == "" || row.Message == "" {
			t.Errorf("the row of %q has the code %q and the message %q, want both set", row.Err,
				row.Code,
				row.Message)
		}
	}
}

// Every error of package identity has a row. Otherwise it would become INTERNAL_SERVER_ERROR.
func TestRows_coverIdentityErrors(t *testing.T) {
	text, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../identity/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	errorCount := 0
	ast.Inspect(file, func(n ast.Node) bool {
		value, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, name := range value.Names {
			errorCount++
			if !strings.Contains(string(text), "{identity."+name.Name+",") {
				t.Errorf("identity.%s has no row in the table", name.Name)
			}
		}
		return true
	})
	if errorCount < 20 {
		t.Errorf("found %d errors in package identity, want at least 20", errorCount)
	}
}

// If an error wraps both ErrProviderUnavailable and DeadlineExceeded, because a call to the realm
// timed out, clients see the reason IDENTITY_PROVIDER_UNAVAILABLE.
func TestPresenter_Present_outageBeforeDeadline(t *testing.T) {
	p, _ := newPresenter(false)
	got := p.Present(t.Context(),
		fmt.Errorf("%w: %w", identity.ErrProviderUnavailable, context.DeadlineExceeded))
	if got.Extensions["reason"] != "IDENTITY_PROVIDER_UNAVAILABLE" {
		t.Errorf("got the extensions %v, want the reason IDENTITY_PROVIDER_UNAVAILABLE",
			got.Extensions)
	}
}

// With Detail, clients see why a token was rejected. They don't see details of sign-ins or of
// internal errors.
func TestPresenter_Detail(t *testing.T) {
	tokenErr := fmt.Errorf("verify: %w",
		&identity.Error{Reason: identity.ErrTokenNotAccepted, Detail: "iss is X; accepted: Y"})
	for detail, want := range map[bool]string{
		false: `{"message":"Token is not meant for this ` +
			`API","extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_NOT_ACCEPTED"}}`,
		true: `{"message":"Token is not meant for this ` +
			`API","extensions":{"code":"UNAUTHENTICATED","detail":"iss is X; accepted: ` +
			`Y","reason":"TOKEN_NOT_ACCEPTED"}}`,
	} {
		p, _ := newPresenter(detail)
		checkEqual(t, errorJSON(t, p.Present(t.Context(), tokenErr)), want)
	}
	p, _ := newPresenter(true)
	checkEqual(t,
		errorJSON(t,
			p.Present(t.Context(),
				&identity.Error{Reason: identity.ErrBadCredentials, Detail: canary})),
		`{"message":"Username or password is `+
			`incorrect!","extensions":{"code":"INVALID_CREDENTIALS"}}`)
	checkEqual(t, errorJSON(t, p.Present(t.Context(), errDatabase)),
		`{"message":"Internal `+
			`error","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}`)
	checkEqual(t, errorJSON(t, p.Present(t.Context(), identity.ErrTokenMissing)),
		`{"message":"Not `+
			`authenticated","extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`)
}

// A panic outside a field becomes an internal error without a path.
func TestPresenter_Present_outsideField(t *testing.T) {
	p, _ := newPresenter(false)
	checkEqual(t, errorJSON(t, p.Present(t.Context(), p.Recover(t.Context(), canary))),
		`{"message":"Internal `+
			`error","extensions":{"code":"INTERNAL_SERVER_ERROR","requestId":"REQUESTID"}}`)
}

// Present doesn't panic if the FieldContext has no field, as in tests and in extensions.
func TestPresenter_Present_fieldContextWithoutField(t *testing.T) {
	p, _ := newPresenter(false)
	ctx := graphql.WithFieldContext(t.Context(), &graphql.FieldContext{})
	got := p.Present(ctx, identity.ErrTokenMissing)
	if got.Extensions["reason"] != "TOKEN_MISSING" {
		t.Errorf("got the extensions %v, want the reason TOKEN_MISSING", got.Extensions)
	}
}

// retryAfter is the time to wait in whole seconds. It is rounded up, so that the next attempt isn't
// too early.
func TestPresenter_Present_retryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]int{
		0: 1, -time.Second: 1, 1: 1, time.Second: 1, time.Second + 1: 2,
		59*time.Second + 500*time.Millisecond: 60, time.Hour: 3600,
	} {
		p, _ := newPresenter(false)
		got := p.Present(t.Context(),
			fmt.Errorf("wrapped: %w", &identity.RateLimitError{RetryAfter: wait}))
		if got.Extensions["retryAfter"] != want {
			t.Errorf("RetryAfter %v: got the extensions %v, want retryAfter %d", wait,
				got.Extensions, want)
		}
	}
	p, _ := newPresenter(false) // errors of other rows don't have retryAfter
	if got := p.Present(t.Context(),
		errors.Join(identity.ErrBadCredentials,
			&identity.RateLimitError{RetryAfter: 1})); len(got.Extensions) != 1 {
		t.Errorf("got the extensions %v, want only a code", got.Extensions)
	}
}
