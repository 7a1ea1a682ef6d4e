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
	authReq   *authRequest
	sessionID string
	expiresAt time.Time
}

// maxCodes is the maximum number of authorization codes of a realm.
const maxCodes = 5_000

// newAuthCode creates an authorization code. It consists of a random ID, the session's ID and the
// client's ID.
func (r *Realm) newAuthCode(authReq *authRequest, s *session, now time.Time) string {
	evict(r.authCodes, maxCodes, func(code *authCode) time.Time {
		return code.expiresAt
	}, func(code *authCode) bool { return !now.Before(code.expiresAt) })
	id := uuid.NewString()
	r.authCodes[id] = &authCode{authReq, s.id,
		now.Add(seconds(valueOr(r.settings.AccessCodeLifespan, 60)))}
	return id + "." + s.id + "." + authReq.client.ID
}

// ensureClientSession returns the session's client session for a request, and creates it if
// necessary. The refresh tokens of an active client session stay valid.
func (r *Realm) ensureClientSession(s *session, authReq *authRequest,
	now time.Time) *clientSession {
	cs := s.clients[authReq.client.ClientID]
	if cs == nil || !r.clientSessionActive(cs, s, now) {
		return s.newClientSession(authReq.client, authReq.scope, now)
	}
	cs.scope, cs.lastUsed = authReq.scope, now
	return cs
}

// codeGrant exchanges a code for tokens (RFC 6749 4.1.3). A code can't be used again, even after an
// error. If the code is unknown, it may have been used before, so codeGrant removes the client from
// the session that the code names (OAuth2CodeParser, Keycloak 26.7.4).
func (req *request) codeGrant(caller *client) (*unsignedResponse, *oauthError) {
	r := req.realm
	rawCode, hasCode := req.param("code")
	if !hasCode {
		return nil, newOAuthError(400, "invalid_request", "Missing parameter: code")
	}
	errInvalidCode := invalidGrant("Code not valid")
	parts := strings.SplitN(rawCode, ".", 3)
	if len(parts) < 3 {
		return nil, errInvalidCode
	}
	s := r.sessions[parts[1]]
	if s == nil || !r.sessionActive(s, req.now) || r.users[s.user.ID] == nil {
		return nil, errInvalidCode
	}
	var cs *clientSession
	for _, other := range s.clients {
		if other.client.ID == parts[2] {
			cs = other
		}
	}
	code := r.authCodes[parts[0]]
	delete(r.authCodes, parts[0])
	if code == nil || code.sessionID != s.id || cs == nil || !req.now.Before(code.expiresAt) {
		if cs != nil {
			delete(s.clients, cs.client.ClientID)
		}
		return nil, errInvalidCode
	}
	if err := req.checkCode(caller, code, s); err != nil {
		return nil, err
	}
	g := &grant{
		realm: r, client: caller, user: s.user, session: s, clientSession: cs,
		scope: code.authReq.scope, nonce: code.authReq.parameter("nonce"), grantTypeShortcut: "ac",
		now: req.now,
	}
	return g.issueForBrowserSession()
}

// checkCode returns an error if the token request doesn't match the code's authorization request.
func (req *request) checkCode(caller *client, code *authCode, s *session) *oauthError {
	redirectURI, hasRedirectURI := req.param("redirect_uri")
	verifier, hasVerifier := req.param("code_verifier")
	switch {
	case !s.user.Enabled:
		return invalidGrant("User disabled")
	case code.authReq.parameters.Has("redirect_uri") &&
		(!hasRedirectURI || redirectURI != code.authReq.parameter("redirect_uri")):
		return invalidGrant("Incorrect redirect_uri")
	case code.authReq.client != caller:
		return invalidGrant("Auth error: Found different client_id in clientSession")
	case !caller.allowsStandardFlow:
		return invalidGrant("Client not allowed to exchange code")
	}
	if err := code.authReq.checkVerifier(verifier, hasVerifier); err != nil {
		return err
	}
	consentedScopes := s.user.consents[caller.ClientID]
	if caller.ConsentRequired &&
		slices.ContainsFunc(req.realm.consentScopes(code.authReq.scope), func(name string) bool {
			return !slices.Contains(consentedScopes, name)
		}) {
		return newOAuthError(400, "invalid_scope",
			"Client no longer has requested consent from user")
	}
	return nil
}

// checkVerifier checks a code verifier against the code challenge of the authorization request (RFC
// 7636 4.6).
func (authReq *authRequest) checkVerifier(verifier string, hasVerifier bool) *oauthError {
	challenge := authReq.parameter("code_challenge")
	computedChallenge := verifier
	if authReq.parameter("code_challenge_method") == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		computedChallenge = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	switch {
	case challenge == "" && hasVerifier:
		return invalidGrant(
			"PKCE code verifier specified but challenge not present in authorization")
	case challenge == "":
		return nil
	case !hasVerifier:
		return invalidGrant("PKCE code verifier not specified")
	case !pkcePattern.MatchString(verifier):
		return invalidGrant("PKCE verification failed: Invalid code verifier")
	case subtle.ConstantTimeCompare([]byte(computedChallenge), []byte(challenge)) != 1:
		return invalidGrant("PKCE verification failed: Code mismatch")
	}
	return nil
}

// issueForBrowserSession issues the tokens of a grant with a browser session. If the scope includes
// offline_access, the tokens belong to an offline session with the same ID.
func (g *grant) issueForBrowserSession() (*unsignedResponse, *oauthError) {
	g.session.lastUsed, g.clientSession.lastUsed = g.now, g.now
	if g.hasScope("offline_access") {
		if !g.allowsOffline() {
			return nil, newOAuthError(400, "not_allowed",
				"Offline tokens not allowed for the user or client")
		}
		g.switchToOffline()
	}
	return g.issue(!g.client.attributeIsFalse("use.refresh.tokens")), nil
}

// switchToOffline moves the grant to an offline session. It deletes the browser session if the
// sign-in created it only for offline access.
func (g *grant) switchToOffline() {
	online, cs := g.session, g.clientSession
	offline := g.realm.offlineSessions[online.id]
	if offline == nil || offline.user != online.user || !g.realm.sessionActive(offline, g.now) {
		offline = g.realm.addSession(&session{id: online.id, user: online.user, offline: true,
			authTime: online.authTime}, g.now)
		maps.Copy(offline.notes, online.notes)
	}
	if g.clientSession = offline.clients[g.client.ClientID]; g.clientSession == nil {
		g.clientSession = offline.newClientSession(g.client, g.scope, g.now)
	}
	offline.lastUsed, g.session = g.now, offline
	g.clientSession.scope, g.clientSession.loa, g.clientSession.acr = g.scope, cs.loa, cs.acr
	g.clientSession.organizationID = cs.organizationID
	g.clientSession.lastUsed = g.now
	if cs.createdForOffline {
		g.realm.deleteSession(online)
	}
}
