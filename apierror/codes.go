package apierror

import "github.com/vektah/gqlparser/v2/gqlerror"

// A Code is the extensions.code of an error. Clients branch on it, so codes are a contract.
type Code string

// CloakQL's codes. If Apollo Server has a code for the same case, CloakQL uses that code.
const (
	// Codes of field errors.

	CodeUnauthenticated       Code = "UNAUTHENTICATED"
	CodeForbidden             Code = "FORBIDDEN"
	CodeBadUserInput          Code = "BAD_USER_INPUT"
	CodeInvalidCredentials    Code = "INVALID_CREDENTIALS"
	CodeAccountDisabled       Code = "ACCOUNT_DISABLED"
	CodeAccountNotReady       Code = "ACCOUNT_NOT_READY"
	CodeLoginNotAllowed       Code = "LOGIN_NOT_ALLOWED"
	CodeInvalidRefreshToken   Code = "INVALID_REFRESH_TOKEN"
	CodeRateLimited           Code = "RATE_LIMITED"
	CodeServiceUnavailable    Code = "SERVICE_UNAVAILABLE"
	CodeTimeout               Code = "TIMEOUT"
	CodeIntrospectionDisabled Code = "INTROSPECTION_DISABLED"
	CodeInternalServerError   Code = "INTERNAL_SERVER_ERROR"

	// Codes of requests that are rejected before any field runs.

	CodeBadRequest                 Code = "BAD_REQUEST"
	CodeParseFailed                Code = "GRAPHQL_PARSE_FAILED"
	CodeValidationFailed           Code = "GRAPHQL_VALIDATION_FAILED"
	CodeOperationTooLarge          Code = "OPERATION_TOO_LARGE"
	CodeOperationResolutionFailure Code = "OPERATION_RESOLUTION_FAILURE"
	CodeOperationNotAllowed        Code = "OPERATION_NOT_ALLOWED"
	CodePersistedQueryNotFound     Code = "PERSISTED_QUERY_NOT_FOUND"
	CodePersistedQueryNotSupported Code = "PERSISTED_QUERY_NOT_SUPPORTED"

	// Codes of responses that are too large.

	CodeErrorsLeftOut    Code = "ERRORS_LEFT_OUT"
	CodeResponseTooLarge Code = "RESPONSE_TOO_LARGE"
)

// A Reason is the extensions.reason of an error. It distinguishes cases that have the same Code.
// Reasons are a contract too.
type Reason string

// The reasons of CodeUnauthenticated.
const (
	ReasonTokenMissing     Reason = "TOKEN_MISSING"
	ReasonTokenMalformed   Reason = "TOKEN_MALFORMED"
	ReasonTokenTooLarge    Reason = "TOKEN_TOO_LARGE"
	ReasonTokenNotAccepted Reason = "TOKEN_NOT_ACCEPTED"
	ReasonTokenNotYetValid Reason = "TOKEN_NOT_YET_VALID"
	ReasonTokenExpired     Reason = "TOKEN_EXPIRED"
	ReasonTokenRevoked     Reason = "TOKEN_REVOKED"
	ReasonKeyUnknown       Reason = "KEY_UNKNOWN"
	ReasonTokenSignature   Reason = "TOKEN_SIGNATURE"
	ReasonStepUpRequired   Reason = "STEP_UP_REQUIRED"
)

// The reasons of CodeForbidden.
const (
	ReasonRoleMissing         Reason = "ROLE_MISSING"
	ReasonScopeMissing        Reason = "SCOPE_MISSING"
	ReasonGroupMissing        Reason = "GROUP_MISSING"
	ReasonOrganizationMissing Reason = "ORGANIZATION_MISSING"
	ReasonClaimMissing        Reason = "CLAIM_MISSING"
	ReasonNotOwner            Reason = "NOT_OWNER"
	ReasonImpersonated        Reason = "IMPERSONATED"
)

// The reasons of CodeLoginNotAllowed, CodeInvalidRefreshToken and CodeServiceUnavailable.
const (
	ReasonDirectGrantDisabled   Reason = "DIRECT_GRANT_DISABLED"
	ReasonExpired               Reason = "EXPIRED"
	ReasonSessionEnded          Reason = "SESSION_ENDED"
	ReasonReused                Reason = "REUSED"
	ReasonInvalid               Reason = "INVALID"
	ReasonKeysUnavailable       Reason = "KEYS_UNAVAILABLE"
	ReasonProviderMisconfigured Reason = "IDENTITY_PROVIDER_MISCONFIGURED"
	ReasonProviderUnavailable   Reason = "IDENTITY_PROVIDER_UNAVAILABLE"
	ReasonStoreUnavailable      Reason = "STORE_UNAVAILABLE"
	ReasonRefreshInterrupted    Reason = "REFRESH_INTERRUPTED"
	ReasonBusy                  Reason = "BUSY"
)

// The reasons of CodeOperationTooLarge. Each names the limit that was exceeded.
const (
	ReasonBytes         Reason = "BYTES"
	ReasonTokens        Reason = "TOKENS"
	ReasonNesting       Reason = "NESTING"
	ReasonNames         Reason = "NAMES"
	ReasonStrings       Reason = "STRINGS"
	ReasonNumbers       Reason = "NUMBERS"
	ReasonDepth         Reason = "DEPTH"
	ReasonFields        Reason = "FIELDS"
	ReasonRootFields    Reason = "ROOT_FIELDS"
	ReasonAliases       Reason = "ALIASES"
	ReasonOperations    Reason = "OPERATIONS"
	ReasonFragments     Reason = "FRAGMENTS"
	ReasonDirectives    Reason = "DIRECTIVES"
	ReasonArguments     Reason = "ARGUMENTS"
	ReasonVariables     Reason = "VARIABLES"
	ReasonValues        Reason = "VALUES"
	ReasonIntrospection Reason = "INTROSPECTION"
	ReasonCoercions     Reason = "COERCIONS"
)

// New returns an error as clients see it: with a message, extensions.code and, unless reason is
// empty, extensions.reason. The message must be safe to show to clients.
func New(code Code, reason Reason, message string) *gqlerror.Error {
	extensions := map[string]any{"code": string(code)}
	if reason != "" {
		extensions["reason"] = string(reason)
	}
	return &gqlerror.Error{Message: message, Extensions: extensions}
}
