package contract

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

// codeVerifier is the PKCE code verifier of the tests.
var codeVerifier = strings.Repeat("verifier-", 5)

// codeChallenge returns the S256 code challenge for a verifier (RFC 7636).
func codeChallenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// addCodePKCE adds scenarios that exchange a code after an authorization request with a code
// challenge (RFC 7636).
func addCodePKCE(suite *testSuite, r *realm) {
	s256Params := []string{"code_challenge", codeChallenge(codeVerifier),
		"code_challenge_method", "S256"}
	addExchange := func(name string, challenge []string, verifier string) {
		suite.add(name, func(s *scenario) {
			code := s.code(s.addUser(r, nil), challenge...)
			first := s.token(r, codeGrant(code, "code_verifier", verifier))
			if s.recordOutcome("exchange", first); first.status == 200 {
				return
			}
			s.recordOutcome("right request after it",
				s.token(r, codeGrant(code, "code_verifier", codeVerifier)))
		})
	}
	addExchange("S256: right verifier", s256Params, codeVerifier)
	addExchange("S256: wrong verifier", s256Params, strings.Repeat("w", 43))
	addExchange("S256: the challenge as verifier", s256Params, codeChallenge(codeVerifier))
	addExchange("S256: 42 characters", s256Params, strings.Repeat("w", 42))
	addExchange("S256: 129 characters", s256Params, strings.Repeat("w", 129))
	addExchange("S256: empty verifier", s256Params, "")
	addExchange("S256: bad characters", s256Params, strings.Repeat("!", 43))
	suite.add("S256: no verifier", func(s *scenario) {
		code := s.code(s.addUser(r, nil), s256Params...)
		s.record(s.token(r, codeGrant(code)))
		s.recordOutcome("right request after it",
			s.token(r, codeGrant(code, "code_verifier", codeVerifier)))
	})
	addExchange("plain: right verifier",
		[]string{"code_challenge", codeVerifier, "code_challenge_method", "plain"}, codeVerifier)
	addExchange("plain by default", []string{"code_challenge", codeVerifier}, codeVerifier)
	addExchange("plain: wrong verifier",
		[]string{"code_challenge", codeVerifier, "code_challenge_method", "plain"},
		strings.Repeat("w", 43))
}

// TestCode_challenge records authorization requests with a code challenge (RFC 7636).
func TestCode_challenge(t *testing.T) {
	run(t, "code-challenge", func(suite *testSuite) {
		clientRequiringPKCE := func(id, method string) object {
			return clientJSON(id,
				object{"attributes": object{"pkce.code.challenge.method": method}})
		}
		r := suite.addRealm(realmJSON(nil,
			clientRequiringPKCE("s256", "S256"), clientRequiringPKCE("plain", "plain")))
		challenge := codeChallenge(codeVerifier)
		for _, row := range []struct {
			name  string
			pairs []string
		}{
			{"api: no challenge", nil},
			{"api: challenge without a method", []string{"code_challenge", challenge}},
			{"api: S256", []string{"code_challenge", challenge, "code_challenge_method", "S256"}},
			{"api: method without a challenge", []string{"code_challenge_method", "S256"}},
			{"api: unknown method",
				[]string{"code_challenge", challenge, "code_challenge_method", "S512"}},
			{"api: method in lower case",
				[]string{"code_challenge", challenge, "code_challenge_method", "s256"}},
			{"api: short challenge",
				[]string{"code_challenge", "short", "code_challenge_method", "S256"}},
			{"api: long challenge",
				[]string{"code_challenge", strings.Repeat("a", 129), "code_challenge_method",
					"plain"}},
			{"api: bad characters",
				[]string{"code_challenge", challenge[1:] + "!", "code_challenge_method", "S256"}},
			{"s256: no challenge", nil},
			{"s256: challenge without a method", []string{"code_challenge", challenge}},
			{"s256: S256", []string{"code_challenge", challenge, "code_challenge_method", "S256"}},
			{"s256: plain", []string{"code_challenge", challenge, "code_challenge_method",
				"plain"}},
			{"s256: unknown method",
				[]string{"code_challenge", challenge, "code_challenge_method", "S512"}},
			{"s256: method without a challenge", []string{"code_challenge_method", "S256"}},
			{"s256: short challenge",
				[]string{"code_challenge", "short", "code_challenge_method", "S256"}},
			{"plain: S256", []string{"code_challenge", challenge, "code_challenge_method", "S256"}},
			{"plain: plain", []string{"code_challenge", challenge, "code_challenge_method",
				"plain"}},
		} {
			suite.add(row.name, func(s *scenario) {
				client, _, _ := strings.Cut(row.name, ":")
				address := r.authURL(append(row.pairs, "client_id", client)...)
				s.recordPageOrRedirect(s.newBrowser().open(address))
			})
		}
	})
}

// recordPageOrRedirect records a response to a browser in one line: the text of a page, or the URL
// of a redirect.
func (s *scenario) recordPageOrRedirect(resp response) {
	s.out.WriteString(resp.formatRequest())
	switch location := resp.header.Get("Location"); {
	case location != "":
		s.note("%d %s", resp.status, s.formatURL(location))
	case resp.isPage():
		beforeForms, _, _ := strings.Cut(s.formatPage(resp), "\nform ")
		s.note("%d %s", resp.status, strings.TrimSpace(beforeForms))
	default:
		s.note("%d %s", resp.status, strings.TrimSpace(s.formatJSON(resp.body, resp.window)))
	}
}
