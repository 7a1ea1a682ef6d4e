package keycloak

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// A result that another process decodes has the same fields, or the same reason and detail.
func TestExchangeResult_encode(t *testing.T) {
	full := &identity.OpenIDToken{
		TokenType: "Bearer", AccessToken: identity.NewSecret("a.b.c"), ExpiresIn: 300,
		RefreshToken: new(identity.NewSecret("r")), RefreshExpiresIn: new(1800),
		IDToken: new(identity.NewSecret("i \u2028 <&>")), Scope: []string{"openid", "email"},
	}
	for _, token := range []*identity.OpenIDToken{full, {TokenType: "bearer",
		AccessToken: identity.NewSecret("a"), Scope: []string{}}} {
		result := exchangeResult{token: token, age: 1500 * time.Millisecond}
		got := decodeResult(store.Call{Result: result.encode(), Age: 3 * time.Second})
		if got.err != nil || !reflect.DeepEqual(got.token, token) ||
			got.age != 4500*time.Millisecond || !got.fromStore {
			t.Errorf("decodeResult() = %+v, want the token %+v and the age 4.5s", got, token)
		}
	}
	for _, err := range []error{
		identity.ErrSessionEnded,
		&identity.Error{Reason: identity.ErrProviderUnavailable, Detail: "down", TimedOut: true},
		&Refusal{Status: 400, Code: "invalid_grant", Description: "Stale token",
			err: identity.ErrRefreshReused},
		&identity.RateLimitError{RetryAfter: 3 * time.Second},
		identity.ErrRefreshExpired, identity.ErrRefreshInvalid, identity.ErrRefreshInterrupted,
		identity.ErrProviderMisconfigured, identity.ErrBusy,
	} {
		got := decodeResult(store.Call{Result: exchangeResult{err: err}.encode()})
		if got.token != nil || got.err.Error() != err.Error() ||
			identity.Detail(got.err) != identity.Detail(err) ||
			identity.TimedOut(got.err) != identity.TimedOut(err) ||
			!errors.Is(got.err, reasonOf(err)) {
			t.Errorf("decodeResult() = %#v, want %#v", got.err, err)
		}
	}
	long := &identity.Error{Reason: identity.ErrProviderUnavailable,
		Detail: strings.Repeat("x", 1<<20)}
	if n := len(exchangeResult{err: long}.encode()); n > 2*maxStoredDetail {
		t.Errorf("a failure with a long detail is encoded in %d bytes, want at most %d", n,
			2*maxStoredDetail)
	}
}

// reasonOf returns the error of package identity that err wraps.
func reasonOf(err error) error {
	for unwrapped := errors.Unwrap(err); unwrapped != nil; unwrapped = errors.Unwrap(err) {
		err = unwrapped
	}
	return err
}

// A result that this release can't read is an error that clients may retry.
func TestDecodeResult_unknown(t *testing.T) {
	for _, result := range []string{"", "{}", "null", "[]", `{"f":{"e":"a new reason"}}`,
		`{"t":5}`, "\xff", `{"t":{"a":5}}`} {
		got := decodeResult(store.Call{Result: []byte(result)})
		if got.token != nil || !errors.Is(got.err, identity.ErrRefreshInterrupted) {
			t.Errorf("decodeResult(%q) = %+v, want %v", result, got, identity.ErrRefreshInterrupted)
		}
	}
}
