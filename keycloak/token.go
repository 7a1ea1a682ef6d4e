package keycloak

import (
	"errors"
	"fmt"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
	"github.com/cloakql/cloakql/internal/strictjson"
)

// Algorithms returns the names of the signature algorithms that a Verifier can accept, RFC 7518
// section 3.1 and RFC 8037. All are asymmetric.
func Algorithms() []string { return jose.Algorithms() }

// An accessToken is a parsed token that hasn't been verified.
type accessToken struct {
	*jose.JWS
	claims claims
}

// accessTokenTypes are the accepted values of typ in the header of an access token: RFC 9068,
// section 4, and RFC 8725, section 3.11. It may be absent.
var accessTokenTypes = []string{"", "JWT", "at+jwt"}

// parseToken parses an access token and checks its header, but not its signature or claims. It
// returns the errors of parseJWS.
func parseToken(rawToken string, algorithms []string) (*accessToken, error) {
	token := &accessToken{}
	var err error
	token.JWS, err = parseJWS(rawToken, algorithms, accessTokenTypes, token.claims.setMember)
	if err != nil {
		return nil, err
	}
	return token, nil
}

// parseJWS calls jose.Parse. It returns ErrTokenMalformed; ErrTokenSignature if the algorithm isn't
// accepted; or ErrTokenNotAccepted if typ in the header isn't accepted.
func parseJWS(rawToken string, algorithms, types []string,
	visit func(name []byte, value strictjson.Value)) (*jose.JWS, error) {
	jws, err := jose.Parse(rawToken, algorithms, types, visit)
	if err == nil {
		return jws, nil
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
