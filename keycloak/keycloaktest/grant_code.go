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

// An authCode is an authorization code, which a client may exchange once.
type authCode struct {
	request   *authRequest
	sessionID string
	expiresAt time.Time
}

// maxCodes is the maximum number of codes of a realm.
const maxCodes = 5_000

// newCode creates an authorization code, which consists of a random ID, the session's ID and the
// client's ID.
func (r *Realm) newCode(request *authRequest, s *session, now time.Time) string {
	evict(r.codes, maxCodes, func(a *authCode) time.Time {
		return a.expiresAt
	}, func(a *authCode) bool { return !now.Before(a.expiresAt) })
	id := uuid.NewString()
	r.codes[id] = &authCode{request, s.id,
		now.Add(seconds(valueOr(r.settings.AccessCodeLifespan, 60)))}
	return id + "." + s.id + "." + request.client.ID
}

// join adds a request's client to a session. If the client already takes part in the session, its
// refresh tokens stay valid.
func (r *Realm) join(s *session, request *authRequest, now time.Time) *clientSession {
	cs := s.clients[request.client.ClientID]
	if cs == nil || !r.clientAlive(cs, s, now) {
		return s.attach(request.client, request.scope, now)
	}
	cs.scope, cs.lastUsed = request.scope, now
	return cs
}

// codeGrant exchanges a code for tokens (RFC 6749 4.1.3). A code can't be used again, even after an
// error. An unknown code may have been used before, so codeGrant then removes the client from the
// session that the code names (OAuth2CodeParser, Keycloak 26.7.4).
func (req *request) codeGrant(caller *client) (*unsignedResponse, *oauthError) {
	r := req.realm
	code, sent := req.param("code")
	if !sent {
		return nil, newOAuthError(400, "invalid_request", "Missing parameter: code")
	}
	invalid := invalidGrant("Code not valid")
	parts := strings.SplitN(code, ".", 3)
	if len(parts) < 3 {
		return nil, invalid
	}
	s := r.sessions[parts[1]]
	if s == nil || !r.alive(s, req.now) || r.users[s.user.ID] == nil {
		return nil, invalid
	}
	var cs *clientSession
	for _, other := range s.clients {
		if other.client.ID == parts[2] {
			cs = other
		}
	}
	a := r.codes[parts[0]]
	delete(r.codes, parts[0])
	if a == nil || a.sessionID != s.id || cs == nil || !req.now.Before(a.expiresAt) {
		if cs != nil {
			delete(s.clients, cs.client.ClientID)
		}
		return nil, invalid
	}
	if err := req.checkCode(caller, a, s); err != nil {
		return nil, err
	}
	g := &grant{
		realm: r, client: caller, user: s.user, session: s, clientSession: cs,
		scope: a.request.scope, shortcut: "ac", nonce: a.request.value("nonce"), now: req.now,
	}
	return g.issueOnline()
}

// checkCode returns an error if the token request doesn't match the code's authorization request.
func (req *request) checkCode(caller *client, a *authCode, s *session) *oauthError {
	redirect, sent := req.param("redirect_uri")
	verifier, hasVerifier := req.param("code_verifier")
	switch {
	case !s.user.Enabled:
		return invalidGrant("User disabled")
	case a.request.parameters.Has("redirect_uri") &&
		(!sent || redirect != a.request.value("redirect_uri")):
		return invalidGrant("Incorrect redirect_uri")
	case a.request.client != caller:
		return invalidGrant("Auth error: Found different client_id in clientSession")
	case !caller.standardFlow:
		return invalidGrant("Client not allowed to exchange code")
	}
	if err := a.request.checkVerifier(verifier, hasVerifier); err != nil {
		return err
	}
	consented := s.user.consents[caller.ClientID]
	if caller.ConsentRequired &&
		slices.ContainsFunc(req.realm.shownScopes(a.request.scope), func(name string) bool {
			return !slices.Contains(consented, name)
		}) {
		return newOAuthError(400, "invalid_scope", "Client no longer has requested consent from user")
	}
	return nil
}

// checkVerifier checks a code verifier against the code challenge of the authorization request (RFC
// 7636 4.6).
func (auth *authRequest) checkVerifier(verifier string, sent bool) *oauthError {
	challenge := auth.value("code_challenge")
	computed := verifier
	if auth.value("code_challenge_method") == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		computed = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	switch {
	case challenge == "" && sent:
		return invalidGrant(
			"PKCE code verifier specified but challenge not present in authorization")
	case challenge == "":
		return nil
	case !sent:
		return invalidGrant("PKCE code verifier not specified")
	case !pkcePattern.MatchString(verifier):
		return invalidGrant("PKCE verification failed: Invalid code verifier")
	case subtle.ConstantTimeCompare([]byte(computed), []byte(challenge)) != 1:
		return invalidGrant("PKCE verification failed: Code mismatch")
	}
	return nil
}

// issueOnline issues the tokens of a grant with a browser session. If the scope includes offline
// access, the tokens belong to an offline session with the same ID.
func (g *grant) issueOnline() (*unsignedResponse, *oauthError) {
	g.session.lastUsed, g.clientSession.lastUsed = g.now, g.now
	if g.has("offline_access") {
		if !g.offlineAllowed() {
			return nil, newOAuthError(400, "not_allowed",
				"Offline tokens not allowed for the user or client")
		}
		g.switchToOffline()
	}
	return g.issue(!g.client.isFalse("use.refresh.tokens")), nil
}

// switchToOffline moves the grant to an offline session. It deletes the browser session if this
// sign-in created it.
func (g *grant) switchToOffline() {
	online, cs := g.session, g.clientSession
	offline := g.realm.offline[online.id]
	if offline == nil || offline.user != online.user || !g.realm.alive(offline, g.now) {
		offline = g.realm.addSession(&session{id: online.id, user: online.user, offline: true,
			authTime: online.authTime}, g.now)
		maps.Copy(offline.notes, online.notes)
	}
	if g.clientSession = offline.clients[g.client.ClientID]; g.clientSession == nil {
		g.clientSession = offline.attach(g.client, g.scope, g.now)
	}
	offline.lastUsed, g.session = g.now, offline
	g.clientSession.scope, g.clientSession.level = g.scope, cs.level
	g.clientSession.lastUsed = g.now
	if cs.startedSession {
		g.realm.deleteSession(online)
	}
}
