package keycloak

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// An exchangeResult is the result of an exchange: a token or an error.
type exchangeResult struct {
	token *identity.OpenIDToken
	err   error
	age   time.Duration // how long ago the exchange ended
	// fromStore means that another process made the exchange.
	fromStore bool
}

// A storedResult is an exchangeResult in the form in which processes share it.
type storedResult struct {
	AgeMillis int64          `json:"m,omitempty"` // age when it was stored
	Token     *storedToken   `json:"t,omitempty"`
	Failure   *storedFailure `json:"f,omitempty"`
	RetryIn   *time.Duration `json:"r,omitempty"` // of a RateLimitError
}

// A storedToken has the fields of an identity.OpenIDToken.
type storedToken struct {
	Type             string   `json:"y"`
	AccessToken      string   `json:"a"`
	ExpiresIn        int      `json:"e"`
	RefreshToken     *string  `json:"r,omitempty"`
	RefreshExpiresIn *int     `json:"x,omitempty"`
	IDToken          *string  `json:"i,omitempty"`
	Scope            []string `json:"s,omitempty"`
}

// A storedFailure has the fields of an identity.Error.
type storedFailure struct {
	Reason   string `json:"e"` // a key of storedReasons
	Detail   string `json:"d,omitempty"`
	TimedOut bool   `json:"o,omitempty"`
}

// storedReasons has the errors of an exchange. Processes of different versions share the keys, so
// they don't change.
var storedReasons = map[string]error{
	"expired": identity.ErrRefreshExpired, "ended": identity.ErrSessionEnded,
	"reused": identity.ErrRefreshReused, "invalid": identity.ErrRefreshInvalid,
	"unavailable":   identity.ErrProviderUnavailable,
	"misconfigured": identity.ErrProviderMisconfigured,
	"interrupted":   identity.ErrRefreshInterrupted, "busy": identity.ErrBusy,
	"rate": identity.ErrRateLimited,
}

// maxStoredDetail limits the detail of a failure, in bytes.
const maxStoredDetail = 2 << 10

var errUnknownResult = &identity.Error{Reason: identity.ErrRefreshInterrupted,
	Detail: "another process stored a result that this release of CloakQL can't read"}

// encode returns a result in the form in which processes share it.
func (r exchangeResult) encode() []byte {
	stored := storedResult{AgeMillis: r.age.Milliseconds()}
	if rateLimitErr, ok := errors.AsType[*identity.RateLimitError](r.err); ok {
		stored.RetryIn = &rateLimitErr.RetryAfter
	} else if r.err != nil {
		stored.Failure = &storedFailure{Reason: "unavailable", TimedOut: identity.TimedOut(r.err)}
		for name, reason := range storedReasons {
			if errors.Is(r.err, reason) {
				stored.Failure.Reason = name
			}
		}
		detail := identity.Detail(r.err)
		stored.Failure.Detail = detail[:min(len(detail), maxStoredDetail)]
	} else {
		stored.Token = &storedToken{Type: r.token.TokenType,
			AccessToken: r.token.AccessToken.Reveal(), ExpiresIn: r.token.ExpiresIn,
			RefreshToken: reveal(r.token.RefreshToken), RefreshExpiresIn: r.token.RefreshExpiresIn,
			IDToken: reveal(r.token.IDToken), Scope: r.token.Scope}
	}
	encoded, err := json.Marshal(stored)
	if err != nil { // can't happen: strings and numbers
		return []byte("{}")
	}
	return encoded
}

// decodeResult returns the result in a call that is done.
func decodeResult(call store.Call) exchangeResult {
	var stored storedResult
	result := exchangeResult{fromStore: true}
	err := json.Unmarshal(call.Result, &stored)
	result.age = call.Age + time.Duration(stored.AgeMillis)*time.Millisecond
	switch {
	case err != nil:
		result.err = errUnknownResult
	case stored.RetryIn != nil:
		result.err = &identity.RateLimitError{RetryAfter: *stored.RetryIn}
	case stored.Failure != nil:
		reason := storedReasons[stored.Failure.Reason]
		if reason == nil {
			result.err = errUnknownResult
			break
		}
		result.err = &identity.Error{Reason: reason, Detail: stored.Failure.Detail,
			TimedOut: stored.Failure.TimedOut}
	case stored.Token != nil:
		result.token = &identity.OpenIDToken{TokenType: stored.Token.Type,
			AccessToken: identity.NewSecret(stored.Token.AccessToken),
			ExpiresIn:   stored.Token.ExpiresIn, RefreshToken: newSecret(stored.Token.RefreshToken),
			RefreshExpiresIn: stored.Token.RefreshExpiresIn,
			IDToken:          newSecret(stored.Token.IDToken),
			Scope:            append([]string{}, stored.Token.Scope...)}
	default:
		result.err = errUnknownResult
	}
	return result
}

// reveal returns the text of a secret, or nil if there is none.
func reveal(secret *identity.Secret) *string {
	if secret == nil {
		return nil
	}
	return new(secret.Reveal())
}

// newSecret returns a secret, or nil if there is no text.
func newSecret(text *string) *identity.Secret {
	if text == nil {
		return nil
	}
	return new(identity.NewSecret(*text))
}

// withAge returns a copy of a token response, with its lifetimes reduced by the response's age.
func withAge(token *identity.OpenIDToken, age time.Duration) *identity.OpenIDToken {
	copied := *token
	ageSeconds := int(age / time.Second)
	copied.ExpiresIn = max(0, token.ExpiresIn-ageSeconds)
	if token.RefreshExpiresIn != nil {
		lifetime := max(0, *token.RefreshExpiresIn-ageSeconds)
		copied.RefreshExpiresIn = &lifetime
	}
	return &copied
}

// estimateSize returns the approximate memory size of a token response.
func estimateSize(token *identity.OpenIDToken) int {
	if token == nil {
		return 0
	}
	size := 512 + len(token.AccessToken.Reveal())
	for _, secret := range []*identity.Secret{token.RefreshToken, token.IDToken} {
		if secret != nil {
			size += len(secret.Reveal())
		}
	}
	return size
}
