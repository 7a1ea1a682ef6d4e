package keycloaktest

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A session is a user's single sign-on session. It has a client session for each client that the
// user signed in to. The realm's lock guards it.
type session struct {
	id        string // sid, 24 characters
	user      *user
	offline   bool
	startedAt time.Time
	lastUsed  time.Time // time of the last sign-in or refresh
	authTime  time.Time // time of the sign-in; zero after a password grant, which has no login page
	clients   map[string]*clientSession
	notes     map[string]string
	// levelTimes has the Unix time at which each level of authentication was last reached. It is
	// nil if the browser flow has no levels.
	levelTimes map[int]int64
	shortenedSession
}

// A clientSession is the part of a session that belongs to one client.
type clientSession struct {
	client    *client
	startedAt time.Time
	lastUsed  time.Time
	// scope lists the granted client scopes, and openid if requested.
	scope []string
	// loa is the level of authentication. If the browser flow has no levels, it is 1 after the
	// login page, and 0 after single sign-on.
	loa int
	acr acrRequest // of the authorization request
	// organizationID is the organization that the user selected, if the request didn't name one.
	organizationID string
	// createdForOffline is true if the session was created only for offline access.
	createdForOffline bool
	tokenFamilies     map[string]*tokenFamily // by reuse_id
	shortenedSession
}

// A shortenedSession records whether a change of settings after the session's last use made it end
// early. Keycloak still knows such a session, and returns a different error for it.
type shortenedSession struct {
	changedAt   time.Time // when the settings changed
	originalEnd time.Time // when the session would have ended under the old settings
}

// isShortened reports whether a session would still be active under the old settings. lastUsed is
// the session's last use.
func (s shortenedSession) isShortened(lastUsed, now time.Time) bool {
	return !s.changedAt.IsZero() && !s.changedAt.Before(lastUsed) && now.Before(s.originalEnd)
}

// withChange returns the record with another change of settings. lastUsed is the session's last
// use, and end is when the session would have ended without this change.
func (s shortenedSession) withChange(lastUsed, now, end time.Time) shortenedSession {
	if !s.changedAt.IsZero() && !s.changedAt.Before(lastUsed) && s.originalEnd.After(end) {
		end = s.originalEnd
	}
	return shortenedSession{now, end}
}

// A tokenFamily tracks the use of single-use refresh tokens that descend from one sign-in.
type tokenFamily struct {
	lastTokenID        string // the jti of the last token used
	lastTokenUseCount  int    // how often the last token was used
	lastTokenFirstUsed int64  // when the last token was first used, in Unix seconds
}

// maxSessions is the maximum number of sessions of a realm. Beyond it, the least recently used
// sessions are evicted.
const maxSessions = 20_000

// newSession starts a session with a new ID.
func (r *Realm) newSession(u *user, offline bool, now time.Time) *session {
	return r.addSession(&session{id: randomString(24), user: u, offline: offline}, now)
}

// addSession starts a session.
func (r *Realm) addSession(s *session, now time.Time) *session {
	s.startedAt, s.lastUsed, s.clients, s.notes = now, now, map[string]*clientSession{},
		map[string]string{}
	sessions := r.sessions
	if s.offline {
		sessions = r.offlineSessions
	}
	evict(sessions, maxSessions, func(s *session) time.Time {
		return s.lastUsed
	}, func(s *session) bool { return !r.sessionActive(s, now) })
	sessions[s.id] = s
	return s
}

// newClientSession adds a client to the session. It replaces the client's earlier client session.
func (s *session) newClientSession(c *client, scope []string, now time.Time) *clientSession {
	cs := &clientSession{client: c, startedAt: now, lastUsed: now, scope: scope, loa: 1,
		tokenFamilies: map[string]*tokenFamily{}}
	s.clients[c.ClientID] = cs
	return cs
}

// sessionByID returns the online or offline session with this ID, or nil.
func (r *Realm) sessionByID(id string, offline bool) *session {
	if offline {
		return r.offlineSessions[id]
	}
	return r.sessions[id]
}

// sessionForToken returns the session of a client's access or ID token. The token doesn't say
// whether its session is offline. So sessionForToken returns the online session with this ID if it
// is active and has the client, or else the offline session if that is active, or else any session
// with this ID, or nil.
func (r *Realm) sessionForToken(id, clientID string, now time.Time) *session {
	online, offline := r.sessions[id], r.offlineSessions[id]
	switch {
	case online == nil:
		return offline
	case r.sessionActive(online, now) && online.clients[clientID] != nil, offline == nil,
		!r.sessionActive(offline, now):
		return online
	}
	return offline
}

// isTokenOlder reports whether a token is from an ended session with the same ID. A browser that
// signs in on a login page from before the end gets a session with the ID of the ended one.
func (s *session) isTokenOlder(payload claims) bool {
	return timeClaim(payload, "iat")+1 < s.startedAt.Unix() // a tolerance of a second
}

func (r *Realm) deleteSession(s *session) {
	if s.offline {
		delete(r.offlineSessions, s.id)
	} else {
		delete(r.sessions, s.id)
	}
}

// sessionActive reports whether a session is within its idle timeout and its maximum lifespan.
func (r *Realm) sessionActive(s *session, now time.Time) bool {
	return now.Unix() < r.sessionEnd(s).Unix() // Keycloak counts in seconds
}

// sessionEnd returns when a session ends unless it is used again.
func (r *Realm) sessionEnd(s *session) time.Time {
	idleTimeout, maxLifespan := r.sessionLifespans(s.offline)
	end := s.lastUsed.Add(idleTimeout)
	if maxLifespan > 0 {
		end = minTime(end, s.startedAt.Add(maxLifespan))
	}
	return end
}

// clientSessionActive reports whether a client session is within its own idle timeout and its own
// maximum lifespan.
func (r *Realm) clientSessionActive(cs *clientSession, s *session, now time.Time) bool {
	end := r.clientSessionEnd(cs, s)
	return end.IsZero() || now.Unix() < end.Unix()
}

// clientSessionEnd returns when a client session ends unless it is used again. It returns the zero
// time if the client session ends only with the session.
func (r *Realm) clientSessionEnd(cs *clientSession, s *session) time.Time {
	idleTimeout, maxLifespan := r.clientSessionLifespans(cs.client, s.offline)
	var end time.Time
	if idleTimeout > 0 {
		end = cs.lastUsed.Add(idleTimeout)
	}
	if maxLifespan > 0 && (end.IsZero() || cs.startedAt.Add(maxLifespan).Before(end)) {
		end = cs.startedAt.Add(maxLifespan)
	}
	return end
}

// recordLifespans records when sessions end under the current settings. Call it before a change of
// settings.
func (r *Realm) recordLifespans(now time.Time) {
	for _, sessions := range []map[string]*session{r.sessions, r.offlineSessions} {
		for _, s := range sessions {
			s.shortenedSession = s.withChange(s.lastUsed, now, r.sessionEnd(s))
			for _, cs := range s.clients {
				end := r.clientSessionEnd(cs, s)
				if end.IsZero() {
					end = r.sessionEnd(s)
				}
				cs.shortenedSession = cs.withChange(cs.lastUsed, now, end)
			}
		}
	}
}

// sessionLifespans returns the idle timeout and maximum lifespan of sessions; 0 means no maximum.
func (r *Realm) sessionLifespans(offline bool) (idleTimeout, maxLifespan time.Duration) {
	settings := r.settings
	if !offline {
		return lifespan(settings.SSOSessionIdleTimeout, 1800),
			lifespan(settings.SSOSessionMaxLifespan, 36000)
	}
	idleTimeout = lifespan(settings.OfflineSessionIdleTimeout, 2592000)
	if settings.OfflineMaxLifespanEnabled {
		maxLifespan = lifespan(settings.OfflineSessionMaxLifespan, 5184000)
	}
	return idleTimeout, maxLifespan
}

// lifespan returns a session lifespan: value, or fallback if value is missing or 0.
func lifespan(value *int, fallback int) time.Duration {
	if n := valueOr(value, 0); n > 0 {
		return seconds(n)
	}
	return seconds(fallback)
}

// clientSessionLifespans returns the idle timeout and maximum lifespan of client sessions; 0 means
// that only the session's lifespan applies.
func (r *Realm) clientSessionLifespans(c *client,
	offline bool) (idleTimeout, maxLifespan time.Duration) {
	if offline {
		return seconds(realmfile.IntAttribute(c.Attributes, "client.offline.session.idle.timeout",
				r.settings.ClientOfflineIdleTimeout)),
			seconds(realmfile.IntAttribute(c.Attributes, "client.offline.session.max.lifespan",
				r.settings.ClientOfflineMaxLifespan))
	}
	return seconds(realmfile.IntAttribute(c.Attributes, "client.session.idle.timeout",
			r.settings.ClientSessionIdleTimeout)),
		seconds(realmfile.IntAttribute(c.Attributes, "client.session.max.lifespan",
			r.settings.ClientSessionMaxLifespan))
}

// accessExpiry returns when a new access token expires: at the latest when its session reaches its
// maximum lifespan.
func (r *Realm) accessExpiry(c *client, s *session, cs *clientSession, now time.Time) time.Time {
	lifespanSeconds := valueOr(r.settings.AccessTokenLifespan, 300)
	if n, err := strconv.Atoi(c.Attributes["access.token.lifespan"]); err == nil {
		lifespanSeconds = n
	}
	if lifespanSeconds == -1 { // the session's maximum lifespan
		lifespanSeconds = valueOr(r.settings.SSOSessionMaxLifespan, 36000)
	}
	expiry := now.Add(seconds(lifespanSeconds))
	// A service account may have no session.
	startedAt, clientStartedAt, offline := now, now, false
	if s != nil {
		startedAt, clientStartedAt, offline = s.startedAt, cs.startedAt, s.offline
	}
	_, maxLifespan := r.sessionLifespans(offline)
	_, clientMaxLifespan := r.clientSessionLifespans(c, offline)
	if offline && !r.settings.OfflineMaxLifespanEnabled {
		// The realm's maximum lifespan doesn't apply.
		clientMaxLifespan = seconds(realmfile.IntAttribute(c.Attributes,
			"client.offline.session.max.lifespan",
			0))
	}
	if maxLifespan > 0 {
		expiry = minTime(expiry, startedAt.Add(maxLifespan))
	}
	if clientMaxLifespan > 0 {
		expiry = minTime(expiry, clientStartedAt.Add(clientMaxLifespan))
	}
	return expiry
}

// refreshExpiry returns when a new refresh token expires; zero means never.
func (r *Realm) refreshExpiry(c *client, s *session, cs *clientSession, now time.Time) time.Time {
	idleTimeout, maxLifespan := r.sessionLifespans(s.offline)
	clientIdleTimeout, clientMaxLifespan := r.clientSessionLifespans(c, s.offline)
	if s.offline && !r.settings.OfflineMaxLifespanEnabled { // expires only with its session
		return time.Time{}
	}
	if clientIdleTimeout > 0 { // even if it is longer than the session's idle timeout
		idleTimeout = clientIdleTimeout
	}
	expiry := now.Add(idleTimeout)
	if maxLifespan > 0 {
		expiry = minTime(expiry, s.startedAt.Add(maxLifespan))
	}
	if clientMaxLifespan > 0 {
		expiry = minTime(expiry, cs.startedAt.Add(clientMaxLifespan))
	}
	return expiry
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// resolveScopes returns the scopes granted for a scope parameter: the client's default scopes, plus
// openid and the client's optional scopes if value names them. Any other name is an error.
func (r *Realm) resolveScopes(c *client, value string, hasScope bool) ([]string, *oauthError) {
	scopes := slices.Clone(c.defaultScopes)
	if !hasScope {
		return scopes, r.checkGrantSupported(c, scopes)
	}
	names := strings.Split(value, " ") // Keycloak rejects two spaces in a row
	for value != "" && len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1] // trailing spaces are allowed
	}
	hasInvalidName := len(names) == 0 && value == ""
	var organizationScope *scope // the client scope of an organization scope
	for _, name := range names {
		namesOrganization := strings.HasPrefix(name, builtinOrganizationScope+":")
		if (namesOrganization || name == builtinOrganizationScope) &&
			c.mayRequest(builtinOrganizationScope) && !r.settings.OrganizationsEnabled {
			continue // no user is in an organization
		}
		isKnown := name == "openid" || c.mayRequest(name)
		if s, ok := r.organizationScope(name); ok && c.mayRequest(s.clientScope.Name) {
			isDefault := slices.Contains(c.defaultScopes, s.clientScope.Name)
			switch {
			case organizationScope != nil && organizationScope != s.clientScope:
				return nil, unsupportedError("request for two client scopes for organizations: " +
					value)
			case isDefault && !isKnown:
				return nil, unsupportedError("scope " + name + " of a client that has the scope " +
					s.clientScope.Name + " by default")
			}
			isKnown, organizationScope = true, s.clientScope
		}
		if !isKnown {
			hasInvalidName = true
			break
		}
		if !slices.Contains(scopes, name) {
			scopes = append(scopes, name)
		}
	}
	if hasInvalidName || !r.checkOrganizationScopes(c, scopes) {
		return nil, newOAuthError(400, "invalid_scope", "Invalid scopes: "+value)
	}
	return scopes, r.checkGrantSupported(c, scopes)
}

// checkGrantSupported returns an error if tokens with these scopes depend on an unsupported
// feature.
func (r *Realm) checkGrantSupported(c *client, scopes []string) *oauthError {
	use := realmfile.UseTokens
	if slices.Contains(scopes, "openid") {
		use |= realmfile.UseIDToken
	}
	if err := r.checkSupported(c, use); err != nil {
		return err
	}
	return r.checkScopesSupported(scopes, use)
}

// builtinOrganizationScope is Keycloak's built-in organization scope. If organizations are
// disabled, a realm accepts it, and also organization:alias, but grants neither.
const builtinOrganizationScope = "organization"

// randomString returns a random string of n characters from Keycloak's alphabet.
func randomString(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	chars := make([]byte, n)
	rand.Read(chars) // never fails (crypto/rand)
	for i := range chars {
		chars[i] = alphabet[chars[i]%64]
	}
	return string(chars)
}
