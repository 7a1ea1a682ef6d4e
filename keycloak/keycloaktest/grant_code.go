package keycloaktest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// An authorization is a code that a client may exchange, once.
type authorization struct {
	asked   *authRequest
	session string
	expires time.Time
}

// maxCodes is how many codes a realm keeps.
const maxCodes = 5_000

// newCode gives a request its code: a random id, the session's and the client's.
func (r *Realm) newCode(asked *authRequest, s *session, now time.Time) string {
	forgetOld(r.codes, maxCodes, func(a *authorization) time.Time {
		return a.expires
	}, func(a *authorization) bool { return !now.Before(a.expires) })
	id := uuid.NewString()
	r.codes[id] = &authorization{asked, s.id,
		now.Add(seconds(or(r.settings.AccessCodeLifespan, 60)))}
	return id + "." + s.id + "." + asked.client.ID
}

// join makes a request's client take part in a session. A part that is there already stays, and
// with it the refresh tokens that were given out.
func (r *Realm) join(s *session, asked *authRequest, now time.Time) *clientSession {
	part := s.clients[asked.client.ClientID]
	if part == nil || !r.clientAlive(part, s, now) {
		return s.attach(asked.client, asked.scope, now)
	}
	part.scope, part.used = asked.scope, now
	return part
}

// codeGrant exchanges a code (RFC 6749 4.1.3). Whatever goes wrong after the code was found costs
// the code; a code that isn't there costs the client its part of the session that the code names,
// because it may have been used already (OAuth2CodeParser, Keycloak 26.7.4).
func (c *call) codeGrant(by *client) (*issue, *refusal) {
	r := c.realm
	code, sent := c.param("code")
	if !sent {
		return nil, refuse(400, "invalid_request", "Missing parameter: code")
	}
	invalid := invalidGrant("Code not valid")
	parts := strings.SplitN(code, ".", 3)
	if len(parts) < 3 {
		return nil, invalid
	}
	s := r.sessions[parts[1]]
	if s == nil || !r.alive(s, c.now) || r.users[s.user.ID] == nil {
		return nil, invalid
	}
	var part *clientSession
	for _, of := range s.clients {
		if of.client.ID == parts[2] {
			part = of
		}
	}
	a := r.codes[parts[0]]
	delete(r.codes, parts[0])
	if a == nil || a.session != s.id || part == nil || !c.now.Before(a.expires) {
		if part != nil {
			delete(s.clients, part.client.ClientID)
		}
		return nil, invalid
	}
	if refused := c.checkExchange(by, a, s); refused != nil {
		return nil, refused
	}
	g := &grant{realm: r, client: by, user: s.user, session: s, part: part, scope: a.asked.scope,
		kind: "ac", nonce: a.asked.value("nonce"), now: c.now}
	return g.issueOnline()
}

// checkExchange refuses a code for what it was asked with.
func (c *call) checkExchange(by *client, a *authorization, s *session) *refusal {
	redirect, given := c.param("redirect_uri")
	verifier, proved := c.param("code_verifier")
	switch {
	case !s.user.Enabled:
		return invalidGrant("User disabled")
	case a.asked.parameters.Has("redirect_uri") &&
		(!given || redirect != a.asked.value("redirect_uri")):
		return invalidGrant("Incorrect redirect_uri")
	case a.asked.client != by:
		return invalidGrant("Auth error: Found different client_id in clientSession")
	case !by.standardFlow:
		return invalidGrant("Client not allowed to exchange code")
	}
	if refused := a.asked.checkVerifier(verifier, proved); refused != nil {
		return refused
	}
	consented := s.user.consents[by.ClientID]
	if by.ConsentRequired &&
		slices.ContainsFunc(c.realm.shownScopes(a.asked.scope), func(name string) bool {
			return !slices.Contains(consented, name)
		}) {
		return refuse(400, "invalid_scope", "Client no longer has requested consent from user")
	}
	return nil
}

// checkVerifier compares a verifier with the request's challenge (RFC 7636 4.6).
func (q *authRequest) checkVerifier(verifier string, given bool) *refusal {
	challenge := q.value("code_challenge")
	proof := verifier
	if q.value("code_challenge_method") == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		proof = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	switch {
	case challenge == "" && given:
		return invalidGrant(
			"PKCE code verifier specified but challenge not present in authorization")
	case challenge == "":
		return nil
	case !given:
		return invalidGrant("PKCE code verifier not specified")
	case !unreserved.MatchString(verifier):
		return invalidGrant("PKCE verification failed: Invalid code verifier")
	case subtle.ConstantTimeCompare([]byte(proof), []byte(challenge)) != 1:
		return invalidGrant("PKCE verification failed: Code mismatch")
	}
	return nil
}

// issueOnline makes the tokens of a grant with a browser's session, or, for offline access, with an
// offline session of the same id.
func (g *grant) issueOnline() (*issue, *refusal) {
	g.session.used, g.part.used = g.now, g.now
	if g.has("offline_access") {
		if !g.mayGoOffline() {
			return nil, refuse(400, "not_allowed",
				"Offline tokens not allowed for the user or client")
		}
		g.goOffline()
	}
	return g.issue(!g.client.isFalse("use.refresh.tokens")), nil
}

// goOffline gives the client an offline session. The browser's ends when it began for nothing else,
// and nothing has used it since.
func (g *grant) goOffline() {
	online, part := g.session, g.part
	offline := g.realm.offline[online.id]
	if offline == nil || offline.user != online.user || !g.realm.alive(offline, g.now) {
		offline = g.realm.keepSession(&session{id: online.id, user: online.user, offline: true,
			authTime: online.authTime}, g.now)
		maps.Copy(offline.notes, online.notes)
	}
	if g.part = offline.clients[g.client.ClientID]; g.part == nil {
		g.part = offline.attach(g.client, g.scope, g.now)
	}
	offline.used, g.session = g.now, offline
	g.part.scope, g.part.level, g.part.used = g.scope, part.level, g.now
	if part.first {
		g.realm.endSession(online)
	}
}
