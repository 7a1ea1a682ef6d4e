package apierror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"

	"github.com/cloakql/cloakql/identity"
)

// errIntrospectionDisabled is the error of __schema and __type if introspection is off. It replaces
// gqlgen's own error, which has no variable that errors.Is could match.
var errIntrospectionDisabled = errors.New("introspection is off")

// A Row maps an error to the code, reason and message that clients see. An application needs a row
// for each error that its clients should tell apart:
//
//	apierror.Row{Err: ErrOutOfStock, Code: "OUT_OF_STOCK", Message: "This is sold out"}
//
// The text of the error itself never reaches a client.
type Row struct {
	// Err is a variable of the application, such as ErrOutOfStock. The row matches an error if
	// errors.Is(error, Err) is true. To match an error type, give the type a method Unwrap that
	// returns such a variable.
	Err error
	// Code consists of capitals, digits and underscores. It may be one of CloakQL's codes.
	Code Code
	// Reason distinguishes the cases of a code. It is optional, and has the format of Code.
	Reason Reason
	// Message is for people. It is the same for every error that this row matches.
	Message string
	// Level is the level at which the error is logged, with its text and its detail for operators.
	// If Level is zero, which is slog.LevelInfo, the error isn't logged.
	Level slog.Level
}

const notAllowed = "You aren't allowed to use this field"

// table has a row for every error that CloakQL's fields may return.
var table = []Row{
	{identity.ErrTokenMissing, CodeUnauthenticated, ReasonTokenMissing, "Not authenticated", 0},
	{identity.ErrTokenMalformed, CodeUnauthenticated, ReasonTokenMalformed, "Token is malformed",
		0},
	{identity.ErrTokenTooLarge, CodeUnauthenticated, ReasonTokenTooLarge, "Token is too large", 0},
	{identity.ErrTokenNotAccepted, CodeUnauthenticated, ReasonTokenNotAccepted,
		"Token is not meant for this API", 0},
	{identity.ErrTokenNotYetValid, CodeUnauthenticated, ReasonTokenNotYetValid,
		"Token isn't valid yet", 0},
	{identity.ErrTokenExpired, CodeUnauthenticated, ReasonTokenExpired, "Token has expired", 0},
	{identity.ErrTokenRevoked, CodeUnauthenticated, ReasonTokenRevoked,
		"Your session has ended: sign in again", 0},
	{identity.ErrKeyUnknown, CodeUnauthenticated, ReasonKeyUnknown,
		"Token signature couldn't be verified", 0},
	{identity.ErrTokenSignature, CodeUnauthenticated, ReasonTokenSignature,
		"Token signature couldn't be verified", 0},
	{identity.ErrKeysUnavailable, CodeServiceUnavailable, ReasonKeysUnavailable,
		"Tokens can't be verified right now", 0},

	{identity.ErrRoleMissing, CodeForbidden, ReasonRoleMissing, notAllowed, 0},
	{identity.ErrScopeMissing, CodeForbidden, ReasonScopeMissing, notAllowed, 0},
	{identity.ErrGroupMissing, CodeForbidden, ReasonGroupMissing, notAllowed, 0},
	{identity.ErrOrganizationMissing, CodeForbidden, ReasonOrganizationMissing, notAllowed, 0},
	{identity.ErrClaimMissing, CodeForbidden, ReasonClaimMissing, notAllowed, 0},
	{identity.ErrNotOwner, CodeForbidden, ReasonNotOwner, notAllowed, 0},
	{identity.ErrImpersonated, CodeForbidden, ReasonImpersonated,
		"Not allowed while acting as somebody else", 0},
	{identity.ErrStepUpRequired, CodeUnauthenticated, ReasonStepUpRequired,
		"Confirm your identity to continue", 0},

	{identity.ErrBadInput, CodeBadUserInput, "", "Request malformed!", 0},
	{identity.ErrBadCredentials, CodeInvalidCredentials, "", "Username or password is incorrect!",
		0},
	{identity.ErrAccountDisabled, CodeAccountDisabled, "", "Your account is disabled", 0},
	{identity.ErrAccountNotReady, CodeAccountNotReady, "",
		"Finish setting up your account in the browser", 0},
	{identity.ErrLoginNotAllowed, CodeLoginNotAllowed, ReasonDirectGrantDisabled,
		"Password sign-in is not enabled", slog.LevelError},
	{identity.ErrRefreshExpired, CodeInvalidRefreshToken, ReasonExpired, "Sign in again", 0},
	{identity.ErrSessionEnded, CodeInvalidRefreshToken, ReasonSessionEnded, "Sign in again", 0},
	{identity.ErrRefreshReused, CodeInvalidRefreshToken, ReasonReused, "Sign in again", 0},
	{identity.ErrRefreshInvalid, CodeInvalidRefreshToken, ReasonInvalid, "Sign in again", 0},
	{identity.ErrProviderMisconfigured, CodeServiceUnavailable, ReasonProviderMisconfigured,
		"Sign-in is not available", slog.LevelError},
	{identity.ErrProviderUnavailable, CodeServiceUnavailable, ReasonProviderUnavailable,
		"Sign-in is not available", slog.LevelWarn},
	// These aren't logged, because there could be any number of log lines, and the log line of the
	// request has the code anyway. Package keycloak logs the first two at most once a minute.
	{identity.ErrStoreUnavailable, CodeServiceUnavailable, ReasonStoreUnavailable, "Try again", 0},
	{identity.ErrRefreshInterrupted, CodeServiceUnavailable, ReasonRefreshInterrupted,
		"Try again", 0},
	{identity.ErrBusy, CodeServiceUnavailable, ReasonBusy, "Try again", 0},
	{identity.ErrRateLimited, CodeRateLimited, "", "Too many attempts", 0},

	{errIntrospectionDisabled, CodeIntrospectionDisabled, "", "Introspection is off", 0},
	{context.DeadlineExceeded, CodeTimeout, "", "The request took too long", slog.LevelWarn},
}

// Rows returns a copy of CloakQL's own rows. There is one row for each error of package identity,
// one for the error if introspection is off, and one for context.DeadlineExceeded.
func Rows() []Row { return slices.Clone(table) }

var codePattern = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// check returns an error if r isn't valid as a row of an application.
func (r Row) check() error {
	switch {
	case r.Err == nil:
		return errors.New("has no Err: expected a variable of the application, such as " +
			"ErrOutOfStock")
	case slices.ContainsFunc(table, func(row Row) bool { return errors.Is(row.Err, r.Err) }):
		return errors.New("replaces one of CloakQL's rows, which clients rely on: " +
			"expected an error of the application, which may wrap this one")
	case !codePattern.MatchString(string(r.Code)):
		return fmt.Errorf("has the Code %q: expected at most 64 capitals, digits and underscores, "+
			"such as OUT_OF_STOCK", r.Code)
	case r.Reason != "" && !codePattern.MatchString(string(r.Reason)):
		return fmt.Errorf(
			"has the Reason %q: expected at most 64 capitals, digits and underscores, "+
				"or none", r.Reason)
	case r.Message == "":
		return errors.New("has no Message: expected a sentence for people")
	}
	return nil
}

// validateRows returns an error that lists all invalid rows of an application.
func validateRows(rows []Row) error {
	var errs []error
	for i, row := range rows {
		err := row.check()
		if err == nil &&
			slices.ContainsFunc(rows[:i], func(r Row) bool { return errors.Is(row.Err, r.Err) }) {
			err = errors.New(
				"is never used: a row before it has the same Err, or an Err that this Err wraps")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("apierror: row %d (%v) %w", i, row.Err, err))
		}
	}
	return errors.Join(errs...)
}
