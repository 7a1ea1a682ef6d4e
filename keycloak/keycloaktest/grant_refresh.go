package keycloaktest

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

func invalidGrant(description string) *refusal { return refuse(400, "invalid_grant", description) }

// refreshGrant exchanges a refresh token (RFC 6749 6). Where the realm makes refresh tokens
// single-use, a second use costs the client its part of the session (TokenManager, Keycloak
// 26.7.4).
func (c *call) refreshGrant(by *client) (*issue, *refusal) {
	r := c.realm
	token, sent := c.param("refresh_token")
	if !sent {
		return nil, refuse(400, "invalid_request", "No refresh token")
	}
	parameter, narrowed := c.param("scope")
	if narrowed {
		if _, refused := r.scopesFor(by, parameter, true); refused != nil {
			return nil, refused
		}
	}
	held, refused := r.readRefresh(token, by)
	if refused != nil {
		return nil, refused
	}
	if expired(held, c.now) {
		return nil, invalidGrant("Token is not active")
	}
	issuedAt := unix(held, "iat")
	if issuedAt < r.settings.NotBefore {
		return nil, invalidGrant("Stale token")
	}
	if text(held, "azp") != by.ClientID {
		return nil, invalidGrant(
			"Invalid refresh token. Token client and authorized client don't match")
	}
	offline := text(held, "typ") == "Offline"
	s := r.sessionOf(text(held, "sid"), offline)
	if s == nil || !r.alive(s, c.now) || r.users[s.user.ID] == nil {
		if s != nil {
			r.endSession(s)
		}
		if offline {
			return nil, invalidGrant("Offline user session not found")
		}
		return nil, invalidGrant("Session not active")
	}
	if !s.user.Enabled {
		return nil, invalidGrant("User disabled")
	}
	part := s.clients[by.ClientID]
	if part == nil {
		return nil, invalidGrant("Session doesn't have required client")
	}
	if !r.clientAlive(part, s, c.now) {
		delete(s.clients, by.ClientID)
		if offline {
			return nil, invalidGrant("Session doesn't have required client")
		}
		return nil, invalidGrant("Client session not active")
	}
	if issuedAt < by.NotBefore || issuedAt < s.user.NotBefore {
		return nil, invalidGrant("Stale token")
	}
	line := text(held, "reuse_id")
	if r.settings.RevokeRefreshToken {
		refused := s.spend(by, part, line, text(held, "jti"), issuedAt,
			r.settings.RefreshTokenMaxReuse, c.now.Unix())
		if refused != nil {
			return nil, refused
		}
	}
	// A name that wasn't granted at first is ignored; an optional one that isn't named now is left
	// out, this time.
	g := &grant{realm: r, client: by, user: s.user, session: s, part: part, kind: "rt", now: c.now,
		reuseID: line}
	g.granted = slices.DeleteFunc(strings.Fields(text(held, "scope")), func(name string) bool {
		return name != "openid" && r.scopes[name] == nil
	})
	if refused := r.supportsGranted(by, g.granted); refused != nil {
		return nil, refused
	}
	if offline && !g.mayGoOffline() {
		return nil, invalidGrant(
			"Offline session invalid because offline access not granted anymore")
	}
	g.shown = offline // the answer of an offline session names all that was granted
	g.scope = slices.DeleteFunc(slices.Clone(g.granted), func(name string) bool {
		return narrowed && !slices.Contains(by.defaultScopes, name) &&
			!slices.Contains(strings.Fields(parameter), name)
	})
	s.used, part.used = c.now, c.now
	return g.issue(!by.isFalse("use.refresh.tokens")), nil
}

// spend counts a use of a single-use refresh token and refuses one too many. Times are whole
// seconds: within the same one, a token that is two generations old passes for the newest.
func (s *session) spend(by *client, part *clientSession, line, id string, issuedAt int64,
	maxUses int,
	now int64) *refusal {
	if line == "" {
		line = uuid.NewString()
	}
	known := part.reuses[line]
	if known == nil {
		forgetOld(part.reuses, maxReuseLines, func(r *reuse) time.Time {
			return time.Unix(r.at, 0)
		}, func(*reuse) bool { return false })
		known = &reuse{}
		part.reuses[line] = known
	}
	if known.id != "" && known.id != id && issuedAt < known.at {
		delete(s.clients, by.ClientID)
		return invalidGrant("Stale token")
	}
	if known.id != id {
		known.id, known.uses, known.at = id, 0, now
	}
	if known.uses > maxUses {
		delete(s.clients, by.ClientID)
		return invalidGrant("Maximum allowed refresh token reuse exceeded")
	}
	known.uses++
	return nil
}

// maxReuseLines bounds what one client's part of a session remembers of refresh tokens.
const maxReuseLines = 100

// readRefresh reads a refresh token of this realm, whatever its age and client.
func (r *Realm) readRefresh(token string, by *client) (claims, *refusal) {
	held, err := r.verified(token)
	if err != nil || text(held, "typ") != "Refresh" && text(held, "typ") != "Offline" {
		return nil, invalidGrant("Invalid refresh token")
	}
	if iss := text(held, "iss"); iss != r.Issuer() {
		return nil, invalidGrant("Invalid token issuer. Expected '" + r.Issuer() + "'")
	}
	return held, nil
}

// withoutControls drops control characters, as the token endpoint does before it looks at a token.
func withoutControls(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}

// canonical returns the one spelling of a token for all those that Keycloak takes: with dots at the
// end, and in the signature with padding, the other alphabet, or bits that stand for nothing. It is
// empty for what is no such token.
func canonical(token string) string {
	token = strings.TrimRight(token, ".")
	last := strings.LastIndexByte(token, '.') + 1
	signature, _, _ := strings.Cut(token[last:], "=")
	decoded, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/",
		"_").Replace(signature))
	if err != nil || strings.ContainsAny(token, "\r\n") { // Go's decoder skips line breaks
		return ""
	}
	return token[:last] + base64.RawURLEncoding.EncodeToString(decoded)
}
