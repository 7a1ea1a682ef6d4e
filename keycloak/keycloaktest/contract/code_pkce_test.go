package contract

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

var codeVerifier = strings.Repeat("verifier-", 5)

// codeChallenge returns the S256 challenge of RFC 7636.
func codeChallenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// codePKCE declares scenarios that exchange a code whose authorization request had a challenge (RFC
// 7636).
func codePKCE(g *group, r *realm) {
	s256 := []string{"code_challenge", codeChallenge(codeVerifier), "code_challenge_method", "S256"}
	pkce := func(name string, challenge []string, verifier string) {
		g.scenario(name, func(s *scenario) {
			code := s.code(s.user(r, nil), challenge...)
			first := s.token(r, codeGrant(code, "code_verifier", verifier))
			if s.outcome("exchange", first); first.status == 200 {
				return
			}
			s.outcome("right request after it",
				s.token(r, codeGrant(code, "code_verifier", codeVerifier)))
		})
	}
	pkce("S256: right verifier", s256, codeVerifier)
	pkce("S256: wrong verifier", s256, strings.Repeat("w", 43))
	pkce("S256: the challenge as verifier", s256, codeChallenge(codeVerifier))
	pkce("S256: 42 characters", s256, strings.Repeat("w", 42))
	pkce("S256: 129 characters", s256, strings.Repeat("w", 129))
	pkce("S256: empty verifier", s256, "")
	pkce("S256: bad characters", s256, strings.Repeat("!", 43))
	g.scenario("S256: no verifier", func(s *scenario) {
		code := s.code(s.user(r, nil), s256...)
		s.show(s.token(r, codeGrant(code)))
		s.outcome("right request after it",
			s.token(r, codeGrant(code, "code_verifier", codeVerifier)))
	})
	pkce("plain: right verifier",
		[]string{"code_challenge", codeVerifier, "code_challenge_method", "plain"}, codeVerifier)
	pkce("plain by default", []string{"code_challenge", codeVerifier}, codeVerifier)
	pkce("plain: wrong verifier",
		[]string{"code_challenge", codeVerifier, "code_challenge_method", "plain"},
		strings.Repeat("w", 43))
}

// TestCode_challenge records authorization requests with a code challenge (RFC 7636).
func TestCode_challenge(t *testing.T) {
	run(t, "code-challenge", func(g *group) {
		clientRequiring := func(id, method string) object {
			return clientFile(id,
				object{"attributes": object{"pkce.code.challenge.method": method}})
		}
		r := g.realm(realmFile(nil,
			clientRequiring("s256", "S256"), clientRequiring("plain", "plain")))
		challenge := codeChallenge(codeVerifier)
		for _, row := range []struct {
			name  string
			pairs []string
		}{
			{"api: no challenge", nil},
			{"api: challenge without a method", []string{"code_challenge", challenge}},
			{"api: S256", []string{"code_challenge", challenge, "code_challenge_method", "S256"}},
			{"api: method without a challenge", []string{"code_challenge_method", "S256"}},
			{"api: unknown method", []string{"code_challenge", challenge, "code_challenge_method", "S512"}},
			{"api: method in lower case", []string{"code_challenge", challenge, "code_challenge_method", "s256"}},
			{"api: short challenge", []string{"code_challenge", "short", "code_challenge_method", "S256"}},
			{"api: long challenge", []string{"code_challenge", strings.Repeat("a", 129), "code_challenge_method", "plain"}},
			{"api: bad characters", []string{"code_challenge", challenge[1:] + "!", "code_challenge_method", "S256"}},
			{"s256: no challenge", nil},
			{"s256: challenge without a method", []string{"code_challenge", challenge}},
			{"s256: S256", []string{"code_challenge", challenge, "code_challenge_method", "S256"}},
			{"s256: plain", []string{"code_challenge", challenge, "code_challenge_method", "plain"}},
			{"s256: unknown method", []string{"code_challenge", challenge, "code_challenge_method", "S512"}},
			{"s256: method without a challenge", []string{"code_challenge_method", "S256"}},
			{"s256: short challenge", []string{"code_challenge", "short", "code_challenge_method", "S256"}},
			{"plain: S256", []string{"code_challenge", challenge, "code_challenge_method", "S256"}},
			{"plain: plain", []string{"code_challenge", challenge, "code_challenge_method", "plain"}},
		} {
			g.scenario(row.name, func(s *scenario) {
				client, _, _ := strings.Cut(row.name, ":")
				s.showFinal(s.browser().open(r.authURL(append(row.pairs, "client_id", client)...)))
			})
		}
	})
}

// showFinal records in one line the final response to an authorization request: a page, or a
// redirect to the client.
func (s *scenario) showFinal(resp response) {
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
