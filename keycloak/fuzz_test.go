package keycloak

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// bearer returns a token only from a single Authorization header of the scheme Bearer, and the
// token has no spaces.
func FuzzBearer(f *testing.F) {
	for _, header := range []string{"", "Bearer a.b.c", "bearer  x", "BEARER", "Basic eDp5",
		"Bearer a b", "Bearer\ta", "Bearer a,b", "\u00a0Bearer\u2003x", "Bearer \xff"} {
		f.Add(header, header, uint8(1))
		f.Add(header, "Bearer x", uint8(2))
	}
	f.Fuzz(func(t *testing.T, first, second string, count uint8) {
		headers := []string{first, second}[:count%3]
		token, err := bearer(headers)
		switch {
		case err != nil && !errors.Is(err, identity.ErrTokenMalformed):
			t.Errorf("bearer(%q) = %v", headers, err)
		case err != nil && token != "":
			t.Errorf("bearer(%q) = %q and %v", headers, token, err)
		case len(headers) == 2 && err == nil:
			t.Errorf("bearer(%q) succeeded with two headers", headers)
		case token == "":
			return
		}
		scheme, _, _ := strings.Cut(strings.ReplaceAll(strings.Trim(first, " \t"), "\t", " "), " ")
		if strings.ContainsAny(token, " \t") ||
			!strings.HasSuffix(strings.TrimRight(first, " \t"), token) ||
			!strings.EqualFold(scheme, "Bearer") {
			t.Errorf("bearer(%q) = %q", headers, token)
		}
	})
}

// Every response becomes either tokens or exactly one error of package identity.
func FuzzRefusal(f *testing.F) {
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 0, -1} {
		for _, body := range []string{tokens,
			`{"error":"invalid_grant","error_description":"Account disabled"}`,
			`{"error":"invalid_client"}`, `null`, `[]`, "", "<html>"} {
			f.Add(status, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, rules := range [][]refusalRule{loginRefusals, refreshRefusals} {
			checkOneReason(t, refusal(response{status: status, body: body}, rules))
			token, err := readToken(response{status: status, body: body}, rules)
			switch {
			case err != nil:
				checkOneReason(t, err)
				if token != nil {
					t.Errorf("got tokens with the error %v", err)
				}
			case status != 200 || token.AccessToken.Reveal() == "" || token.Scope == nil ||
				token.ExpiresIn < 0:
				t.Errorf("%d %q became %+v", status, body, token)
			}
		}
	})
}

// checkRefreshToken accepts only the canonical encoding of a refresh token: decoding and encoding
// its parts returns the same token.
func FuzzRefreshToken(f *testing.F) {
	for _, token := range []string{refreshTokenOf("s1", "1").Reveal(), "AA.AA.AA", "AB.AA.AA",
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
		canonical := len(parts) == 3 && !slices.Contains(parts, "") &&
			strings.Join(parts, ".") == token
		switch {
		case canonical != (err == nil):
			t.Errorf("checkRefreshToken(%q) = %v, but canonical is %v", token, err, canonical)
		case err != nil && !errors.Is(err, identity.ErrRefreshInvalid):
			t.Errorf("checkRefreshToken(%q) = %v, want %v", token, err, identity.ErrRefreshInvalid)
		case err != nil && len(token) > 3 && strings.Contains(err.Error(), token):
			t.Errorf("the error quotes the token %q", token)
		}
	})
}
