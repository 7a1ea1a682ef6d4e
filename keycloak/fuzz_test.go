package keycloak

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

func FuzzBearer(f *testing.F) {
	for _, header := range []string{"", "Bearer a.b.c", "bearer  x", "BEARER", "Basic eDp5", "Bearer a b", "Bearer\ta", "Bearer a,b", "\u00a0Bearer\u2003x", "Bearer \xff"} {
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
		if strings.ContainsAny(token, " \t") || !strings.HasSuffix(strings.TrimRight(first, " \t"), token) || !strings.EqualFold(scheme, "Bearer") {
			t.Errorf("bearer(%q) = %q", headers, token)
		}
	})
}

// Whatever a realm answers is one error of identity's, or tokens.
func FuzzRefusal(f *testing.F) {
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 0, -1} {
		for _, body := range []string{tokens, `{"error":"invalid_grant","error_description":"Account disabled"}`, `{"error":"invalid_client"}`, `null`, `[]`, "", "<html>"} {
			f.Add(status, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, rows := range [][]meaning{loginRefusals, refreshRefusals} {
			checkOneMeaning(t, refusal(answer{status: status, body: body}, rows))
			token, err := readToken(answer{status: status, body: body}, rows)
			switch {
			case err != nil:
				checkOneMeaning(t, err)
				if token != nil {
					t.Error("tokens and an error")
				}
			case status != 200 || token.AccessToken.Reveal() == "" || token.Scope == nil || token.ExpiresIn < 0:
				t.Errorf("%d %q gives %+v", status, body, token)
			}
		}
	})
}
