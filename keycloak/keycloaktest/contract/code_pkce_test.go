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

// codePKCE declares exchanges of codes whose authorization requests had a challenge (RFC 7636).
func codePKCE(g *group, r *realm) {
	s256 := []string{"code_challenge", codeChallenge(codeVerifier), "code_challenge_method", "S256"}
	pkce := func(name string, challenge []string, verifier string) {
		g.exchange(name, func(x *exchange) {
			code := x.code(x.user(r, nil), challenge...)
			first := x.token(r, codeGrant(code, "code_verifier", verifier))
			if x.outcome("exchange", first); first.status == 200 {
				return
			}
			x.outcome("right request after it",
				x.token(r, codeGrant(code, "code_verifier", codeVerifier)))
		})
	}
	pkce("S256: right verifier", s256, codeVerifier)
	pkce("S256: wrong verifier", s256, strings.Repeat("w", 43))
	pkce("S256: the challenge as verifier", s256, codeChallenge(codeVerifier))
	pkce("S256: 42 characters", s256, strings.Repeat("w", 42))
	pkce("S256: 129 characters", s256, strings.Repeat("w", 129))
	pkce("S256: empty verifier", s256, "")
	pkce("S256: bad characters", s256, strings.Repeat("!", 43))
	g.exchange("S256: no verifier", func(x *exchange) {
		code := x.code(x.user(r, nil), s256...)
		x.show(x.token(r, codeGrant(code)))
		x.outcome("right request after it",
			x.token(r, codeGrant(code, "code_verifier", codeVerifier)))
	})
	pkce("plain: right verifier",
		[]string{"code_challenge", codeVerifier, "code_challenge_method", "plain"}, codeVerifier)
	pkce("plain by default", []string{"code_challenge", codeVerifier}, codeVerifier)
	pkce("plain: wrong verifier",
		[]string{"code_challenge", codeVerifier, "code_challenge_method", "plain"},
		strings.Repeat("w", 43))
}

// Authorization requests with a code challenge (RFC 7636).
func TestCode_challenge(t *testing.T) {
	run(t, "code-challenge", func(g *group) {
		forced := func(id, method string) object {
			return clientFile(id,
				object{"attributes": object{"pkce.code.challenge.method": method}})
		}
		r := g.realm(realmFile(nil, forced("s256", "S256"), forced("plain", "plain")))
		good := codeChallenge(codeVerifier)
		for _, row := range []struct {
			name  string
			pairs []string
		}{
			{"api: no challenge", nil},
			{"api: challenge without a method", []string{"code_challenge", good}},
			{"api: S256", []string{"code_challenge", good, "code_challenge_method", "S256"}},
			{"api: method without a challenge", []string{"code_challenge_method", "S256"}},
			{"api: unknown method", []string{"code_challenge", good, "code_challenge_method", "S512"}},
			{"api: method in lower case", []string{"code_challenge", good, "code_challenge_method", "s256"}},
			{"api: short challenge", []string{"code_challenge", "short", "code_challenge_method", "S256"}},
			{"api: long challenge", []string{"code_challenge", strings.Repeat("a", 129), "code_challenge_method", "plain"}},
			{"api: bad characters", []string{"code_challenge", good[1:] + "!", "code_challenge_method", "S256"}},
			{"s256: no challenge", nil},
			{"s256: challenge without a method", []string{"code_challenge", good}},
			{"s256: S256", []string{"code_challenge", good, "code_challenge_method", "S256"}},
			{"s256: plain", []string{"code_challenge", good, "code_challenge_method", "plain"}},
			{"s256: unknown method", []string{"code_challenge", good, "code_challenge_method", "S512"}},
			{"s256: method without a challenge", []string{"code_challenge_method", "S256"}},
			{"s256: short challenge", []string{"code_challenge", "short", "code_challenge_method", "S256"}},
			{"plain: S256", []string{"code_challenge", good, "code_challenge_method", "S256"}},
			{"plain: plain", []string{"code_challenge", good, "code_challenge_method", "plain"}},
		} {
			g.exchange(row.name, func(x *exchange) {
				client, _, _ := strings.Cut(row.name, ":")
				x.showEnd(x.browser().open(r.authURL(append(row.pairs, "client_id", client)...)))
			})
		}
	})
}

// showEnd records in one line how an authorization request ended: at a page, or with a redirect.
func (x *exchange) showEnd(a response) {
	x.out.WriteString(a.requestText())
	switch location := a.header.Get("Location"); {
	case location != "":
		x.note("%d %s", a.status, x.address(location))
	case a.isPage():
		x.note("%d %s", a.status, strings.TrimSpace(strings.SplitN(x.page(a), "\nform ", 2)[0]))
	default:
		x.note("%d %s", a.status, strings.TrimSpace(x.json(a.body, a.window)))
	}
}
