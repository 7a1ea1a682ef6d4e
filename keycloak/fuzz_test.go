package keycloak

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// bearerToken returns a token only if there is a single Authorization header, with the scheme
// Bearer and a token without spaces.
func FuzzBearerToken(f *testing.F) {
	for _, header := range []string{"", "Bearer a.b.c", "bearer  x", "BEARER", "Basic eDp5",
		"Bearer a b", "Bearer\ta", "Bearer a,b", "\u00a0Bearer\u2003x", "Bearer \xff"} {
		f.Add(header, header, uint8(1))
		f.Add(header, "Bearer x", uint8(2))
	}
	f.Fuzz(func(t *testing.T, firstHeader, secondHeader string, count uint8) {
		headers := []string{firstHeader, secondHeader}[:count%3]
		token, err := bearerToken(headers)
		switch {
		case err != nil && !errors.Is(err, identity.ErrTokenMalformed):
			t.Errorf("bearerToken(%q) = %v, want %v", headers, err, identity.ErrTokenMalformed)
		case err != nil && token != "":
			t.Errorf("bearerToken(%q) = %q, %v; want no token with an error", headers, token, err)
		case len(headers) == 2 && err == nil:
			t.Errorf("bearerToken(%q) = %q, want an error for two headers", headers, token)
		case token == "":
			return
		}
		spacedHeader := strings.ReplaceAll(strings.Trim(firstHeader, " \t"), "\t", " ")
		scheme, _, _ := strings.Cut(spacedHeader, " ")
		if strings.ContainsAny(token, " \t") ||
			!strings.HasSuffix(strings.TrimRight(firstHeader, " \t"), token) ||
			!strings.EqualFold(scheme, "Bearer") {
			t.Errorf("bearerToken(%q) = %q, want the token after the scheme Bearer", headers, token)
		}
	})
}

// parseTokenResponse returns either tokens or an error with exactly one reason, for every response.
func FuzzTokenResponse(f *testing.F) {
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 0, -1} {
		for _, body := range []string{tokenResponse,
			`{"error":"invalid_grant","error_description":"Account disabled"}`,
			`{"error":"invalid_client"}`, `null`, `[]`, "", "<html>"} {
			f.Add(status, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, rules := range [][]refusalRule{loginRefusalRules, refreshRefusalRules} {
			checkOneReason(t, refusalError(response{status: status, body: body}, rules))
			token, _, err := parseTokenResponse(response{status: status, body: body}, rules)
			switch {
			case err != nil:
				checkOneReason(t, err)
				if token != nil {
					t.Errorf("got tokens together with the error %v, want nil", err)
				}
			case status != 200 || token.AccessToken.Reveal() == "" || token.Scope == nil ||
				token.ExpiresIn < 0:
				t.Errorf("the response %d %q became the tokens %+v, want an error", status, body,
					token)
			}
		}
	})
}

// checkRefreshToken accepts only the canonical encoding of a refresh token: the same text that
// comes back after decoding its parts and encoding them again.
func FuzzCheckRefreshToken(f *testing.F) {
	for _, token := range []string{sessionRefreshToken("s1", "1").Reveal(), "AA.AA.AA", "AB.AA.AA",
		"AA.AA.",
		"a.b.c", "AAAA.AAAA.AA-_", "AAAA.AAAA.AA+/", "AAAA.AAAA.AAAA\n", "A A.AA.AA", "..", ""} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		err := checkRefreshToken(identity.NewSecret(token))
		var parts []string
		for _, part := range strings.Split(token, ".") {
			content, _ := base64.RawURLEncoding.DecodeString(part)
			parts = append(parts, base64.RawURLEncoding.EncodeToString(content))
		}
		isCanonical := len(parts) == 3 && !slices.Contains(parts, "") &&
			strings.Join(parts, ".") == token
		switch {
		case isCanonical != (err == nil):
			t.Errorf("checkRefreshToken(%q) = %v; canonical: %v, want nil only for a canonical "+
				"token", token, err,
				isCanonical)
		case err != nil && !errors.Is(err, identity.ErrRefreshInvalid):
			t.Errorf("checkRefreshToken(%q) = %v, want %v", token, err, identity.ErrRefreshInvalid)
		case err != nil && len(token) > 3 && strings.Contains(err.Error(), token):
			t.Errorf("the error %q quotes the token, want no quote", err)
		}
	})
}
