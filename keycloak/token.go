package keycloak

import (
	"errors"
	"fmt"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// Algorithms returns the names of the signature algorithms that a Verifier can accept, RFC 7518
// section 3.1 and RFC 8037. All are asymmetric.
func Algorithms() []string { return jose.Algorithms() }

// An accessToken is a parsed token that hasn't been verified.
type accessToken struct {
	*jose.JWS
	claims claims
}

// parseToken parses a token and checks its header, but not its signature or claims. It returns
// ErrTokenMalformed; ErrTokenSignature if the algorithm isn't accepted; or ErrTokenNotAccepted if
// the header's typ isn't the type of an access token.
func parseToken(rawToken string, algorithms []string) (*accessToken, error) {
	token := &accessToken{}
	var err error
	if token.JWS, err = jose.Parse(rawToken, algorithms, token.claims.setMember); err == nil {
		return token, nil
	}
	joseErr, _ := errors.AsType[*jose.Error](err)
	switch joseErr.Reason {
	case jose.ReasonAlgorithm:
		return nil, signatureError(
			"%v (VerifierConfig.Algorithms; the client's Access token signature algorithm in "+
				"Keycloak)", err)
	case jose.ReasonType:
		return nil, notAcceptedError("%v", err)
	}
	return nil, malformedError("%v", err)
}

func malformedError(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrTokenMalformed, Detail: fmt.Sprintf(format, args...)}
}

func notAcceptedError(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrTokenNotAccepted,
		Detail: fmt.Sprintf(format, args...)}
}

func signatureError(format string, args ...any) error {
	return &identity.Error{Reason: identity.ErrTokenSignature, Detail: fmt.Sprintf(format, args...)}
}
