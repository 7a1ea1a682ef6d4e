package keycloak

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

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
			t.Errorf("bearer(%q) gives %q and %v", headers, token, err)
		case len(headers) == 2 && err == nil:
			t.Errorf("bearer(%q) chose one of two", headers)
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

// Whatever a realm answers is one error of identity's, or tokens.
func FuzzRefusal(f *testing.F) {
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 0, -1} {
		for _, body := range []string{tokens,
			`{"error":"invalid_grant","error_description":"Account disabled"}`,
			`{"error":"invalid_client"}`, `null`, `[]`, "", "<html>"} {
			f.Add(status, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, rows := range [][]refusalRule{loginRefusals, refreshRefusals} {
			checkOneMeaning(t, refusal(response{status: status, body: body}, rows))
			token, err := readToken(response{status: status, body: body}, rows)
			switch {
			case err != nil:
				checkOneMeaning(t, err)
				if token != nil {
					t.Error("tokens and an error")
				}
			case status != 200 || token.AccessToken.Reveal() == "" || token.Scope == nil ||
				token.ExpiresIn < 0:
				t.Errorf("%d %q gives %+v", status, body, token)
			}
		}
	})
}

// A refresh token that passes has no second spelling: what its parts say, written down again, is
// the same text.
func FuzzRefreshToken(f *testing.F) {
	for _, token := range []string{ofSession("s1", "1").Reveal(), "AA.AA.AA", "AB.AA.AA", "AA.AA.",
		"a.b.c", "AAAA.AAAA.AA-_", "AAAA.AAAA.AA+/", "AAAA.AAAA.AAAA\n", "A A.AA.AA", "..", ""} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		err := checkRefreshToken(identity.NewSecret(token))
		var again []string
		for _, part := range strings.Split(token, ".") {
			content, _ := base64.RawURLEncoding.DecodeString(part)
			again = append(again, base64.RawURLEncoding.EncodeToString(content))
		}
		canonical := len(again) == 3 && !slices.Contains(again, "") &&
			strings.Join(again, ".") == token
		switch {
		case canonical != (err == nil):
			t.Errorf("checkRefreshToken(%q) = %v; canonical: %v", token, err, canonical)
		case err != nil && !errors.Is(err, identity.ErrRefreshInvalid):
			t.Errorf("checkRefreshToken(%q) = %v, want %v", token, err, identity.ErrRefreshInvalid)
		case err != nil && len(token) > 3 && strings.Contains(err.Error(), token):
			t.Errorf("the error repeats %q", token)
		}
	})
}
