package keycloaktest

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A session is a user's single sign-on session, with the clients that take part in it. Its realm's
// lock guards it.
type session struct {
	id       string // sid, 24 characters
	user     *user
	offline  bool
	started  time.Time
	used     time.Time // when it was refreshed last
	authTime time.Time // zero for a password grant: no login page was shown
	clients  map[string]*clientSession
	notes    map[string]string
	shortenedSession
}

// A clientSession is what one client has of a session.
type clientSession struct {
	client  *client
	started time.Time
	used    time.Time
	// as granted: names of client scopes, with openid when it was asked for
	scope []string
	// of authentication, as Keycloak counts: 1 at a login page, 0 by single sign-on
	level  string
	first  bool              // its session began with it, for offline access
	reuses map[string]*reuse // by reuse_id
	shortenedSession
}

// A shortenedSession was begun when it could last longer: the realm's settings were changed since
// its last use. Keycloak has it still then, and says so.
type shortenedSession struct {
	at    time.Time // when the settings were changed
	until time.Time // when it would have ended by the old ones
}

// onlyShortened reports whether only the change of settings ended a session of that last use.
func (s shortenedSession) onlyShortened(used, now time.Time) bool {
	return !s.at.IsZero() && !s.at.Before(used) && now.Before(s.until)
}

// shortenAgain is what is remembered at another change, of a session that would end at until now.
func (s shortenedSession) shortenAgain(used, now, until time.Time) shortenedSession {
	if !s.at.IsZero() && !s.at.Before(used) && s.until.After(until) {
		until = s.until
	}
	return shortenedSession{now, until}
}

// A reuse follows one line of single-use refresh tokens.
type reuse struct {
	id   string // of the token that was presented last
	uses int
	at   int64 // when a token was presented last that wasn't the one before, in seconds
}

// maxSessions is how many sessions a realm keeps; beyond that, the ones that were used longest ago
// go.
const maxSessions = 20_000

func (r *Realm) newSession(u *user, offline bool, now time.Time) *session {
	return r.keepSession(&session{id: opaque(24), user: u, offline: offline}, now)
}

// keepSession begins a session.
func (r *Realm) keepSession(s *session, now time.Time) *session {
	s.started, s.used, s.clients, s.notes = now, now, map[string]*clientSession{},
		map[string]string{}
	kept := r.sessions
	if s.offline {
		kept = r.offline
	}
	forgetOld(kept, maxSessions, func(s *session) time.Time {
		return s.used
	}, func(s *session) bool { return !r.alive(s, now) })
	kept[s.id] = s
	return s
}

// attach makes a client take part in a session, anew if it did before.
func (s *session) attach(c *client, scope []string, now time.Time) *clientSession {
	cs := &clientSession{client: c, started: now, used: now, scope: scope, level: "1",
		reuses: map[string]*reuse{}}
	s.clients[c.ClientID] = cs
	return cs
}

func (r *Realm) sessionOf(id string, offline bool) *session {
	if offline {
		return r.offline[id]
	}
	return r.sessions[id]
}

// liveSession is the session of an access or ID token of a client, which doesn't say whether it was
// an offline one: the online session where it goes on with the client, or else the offline one of
// its id. Where neither goes on, it is one of those that are left.
func (r *Realm) liveSession(id, clientID string, now time.Time) *session {
	online, offline := r.sessions[id], r.offline[id]
	switch {
	case online == nil:
		return offline
	case r.alive(online, now) && online.clients[clientID] != nil, offline == nil,
		!r.alive(offline, now):
		return online
	}
	return offline
}

func (r *Realm) endSession(s *session) {
	if s.offline {
		delete(r.offline, s.id)
	} else {
		delete(r.sessions, s.id)
	}
}

// alive reports whether neither the idle timeout nor the longest life of a session has passed.
func (r *Realm) alive(s *session, now time.Time) bool {
	return now.Unix() < r.ends(s).Unix() // Keycloak counts in seconds
}

// ends is when a session ends by the settings of now, unless it is used before.
func (r *Realm) ends(s *session) time.Time {
	idle, maxLifespan := r.lifespans(s.offline)
	end := s.used.Add(idle)
	if maxLifespan > 0 {
		end = earlier(end, s.started.Add(maxLifespan))
	}
	return end
}

// clientAlive is alive for a client's part.
func (r *Realm) clientAlive(cs *clientSession, s *session, now time.Time) bool {
	end := r.clientEnds(cs, s)
	return end.IsZero() || now.Unix() < end.Unix()
}

// clientEnds is ends for a client's part; zero when it has no end of its own.
func (r *Realm) clientEnds(cs *clientSession, s *session) time.Time {
	idle, maxLifespan := r.clientLifespans(cs.client, s.offline)
	var end time.Time
	if idle > 0 {
		end = cs.used.Add(idle)
	}
	if maxLifespan > 0 && (end.IsZero() || cs.started.Add(maxLifespan).Before(end)) {
		end = cs.started.Add(maxLifespan)
	}
	return end
}

// settingsChange is told before the lifespans may change: sessions remember how long they would
// have lasted.
func (r *Realm) settingsChange(now time.Time) {
	for _, kept := range []map[string]*session{r.sessions, r.offline} {
		for _, s := range kept {
			s.shortenedSession = s.shortenAgain(s.used, now, r.ends(s))
			for _, part := range s.clients {
				until := r.clientEnds(part, s)
				if until.IsZero() {
					until = r.ends(s)
				}
				part.shortenedSession = part.shortenAgain(part.used, now, until)
			}
		}
	}
}

// lifespans are the idle timeout and the longest life of sessions; no longest life is 0.
func (r *Realm) lifespans(offline bool) (idle, maxLifespan time.Duration) {
	set := r.settings
	if !offline {
		return lifespan(set.SSOSessionIdleTimeout, 1800), lifespan(set.SSOSessionMaxLifespan, 36000)
	}
	idle = lifespan(set.OfflineSessionIdleTimeout, 2592000)
	if set.OfflineMaxLifespanEnabled {
		maxLifespan = lifespan(set.OfflineSessionMaxLifespan, 5184000)
	}
	return idle, maxLifespan
}

// lifespan is that of a session: 0 means Keycloak's default.
func lifespan(set *int, absent int) time.Duration {
	if n := or(set, 0); n > 0 {
		return seconds(n)
	}
	return seconds(absent)
}

// clientLifespans are those of a client's part; 0 means that of the session.
func (r *Realm) clientLifespans(c *client, offline bool) (idle, maxLifespan time.Duration) {
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

// accessExpiry is when an access token that is issued now expires: never after the session.
func (r *Realm) accessExpiry(c *client, s *session, cs *clientSession, now time.Time) time.Time {
	lifespan := or(r.settings.AccessTokenLifespan, 300)
	if own, err := strconv.Atoi(c.Attributes["access.token.lifespan"]); err == nil {
		lifespan = own
	}
	if lifespan == -1 { // as long as a session
		lifespan = or(r.settings.SSOSessionMaxLifespan, 36000)
	}
	expiry := now.Add(seconds(lifespan))
	// of a service account's, which has no session
	started, clientStarted, offline := now, now, false
	if s != nil {
		started, clientStarted, offline = s.started, cs.started, s.offline
	}
	_, maxLifespan := r.lifespans(offline)
	_, clientMost := r.clientLifespans(c, offline)
	if offline && !r.settings.OfflineMaxLifespanEnabled {
		// the realm's doesn't count
		clientMost = seconds(realmfile.IntAttribute(c.Attributes, "client.offline.session.max.lifespan",
			0))
	}
	if maxLifespan > 0 {
		expiry = earlier(expiry, started.Add(maxLifespan))
	}
	if clientMost > 0 {
		expiry = earlier(expiry, clientStarted.Add(clientMost))
	}
	return expiry
}

// refreshExpiry is when a refresh token that is issued now expires; zero for never.
func (r *Realm) refreshExpiry(c *client, s *session, cs *clientSession, now time.Time) time.Time {
	idle, maxLifespan := r.lifespans(s.offline)
	clientIdle, clientMost := r.clientLifespans(c, s.offline)
	if s.offline && !r.settings.OfflineMaxLifespanEnabled { // only the session ends
		return time.Time{}
	}
	if clientIdle > 0 { // even where it is longer
		idle = clientIdle
	}
	expiry := now.Add(idle)
	if maxLifespan > 0 {
		expiry = earlier(expiry, s.started.Add(maxLifespan))
	}
	if clientMost > 0 {
		expiry = earlier(expiry, cs.started.Add(clientMost))
	}
	return expiry
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// scopesFor resolves a scope parameter: the client's default scopes, the optional ones that it
// names, and openid. It fails where the parameter names anything else.
func (r *Realm) scopesFor(c *client, parameter string, given bool) ([]string, *refusal) {
	granted := slices.Clone(c.defaultScopes)
	if !given {
		return granted, r.supportsGranted(c, granted)
	}
	words := strings.Split(parameter, " ") // one blank between names, or it is refused
	for parameter != "" && len(words) > 0 && words[len(words)-1] == "" {
		words = words[:len(words)-1] // blanks at the end are nothing
	}
	refused := len(words) == 0 && parameter == ""
	for _, word := range words {
		one := strings.HasPrefix(word, organization+":")
		if (one || word == organization) && c.knowsOrganizations() {
			if !r.settings.OrganizationsEnabled {
				continue // nobody is in one
			}
			if one {
				return nil, lacks("scope " + word)
			}
		}
		known := word == "openid" || slices.Contains(c.defaultScopes, word) ||
			slices.Contains(c.optionalScopes, word)
		if !known {
			refused = true
			break
		}
		if !slices.Contains(granted, word) {
			granted = append(granted, word)
		}
	}
	if refused {
		return nil, refuse(400, "invalid_scope", "Invalid scopes: "+parameter)
	}
	return granted, r.supportsGranted(c, granted)
}

// supportsGranted refuses, by name, what the tokens of these scopes would have and the stand-in
// can't do.
func (r *Realm) supportsGranted(c *client, granted []string) *refusal {
	wanted := realmfile.UseTokens
	if slices.Contains(granted, "openid") {
		wanted |= realmfile.UseIDToken
	}
	if refused := r.supports(c, wanted); refused != nil {
		return refused
	}
	if r.settings.OrganizationsEnabled && r.settings.HasOrganizations {
		for _, name := range granted {
			if s := r.scopes[name]; s != nil && s.hasMapper("oidc-organization-membership-mapper") {
				return refuse(501, notInStandIn,
					"client scope "+name+": organizations are not supported")
			}
		}
	}
	return r.supportsScopes(granted, wanted)
}

// organization is the scope of the organizations that a user is in, all of them or, behind a colon,
// one. A realm without organizations takes it, and grants nothing.
const organization = "organization"

func (c *client) knowsOrganizations() bool {
	return slices.Contains(c.defaultScopes, organization) ||
		slices.Contains(c.optionalScopes, organization)
}

// opaque is a random text of n characters, of the letters and digits that Keycloak uses.
func opaque(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	out := make([]byte, n)
	rand.Read(out) // never fails (crypto/rand)
	for i := range out {
		out[i] = alphabet[out[i]%64]
	}
	return string(out)
}
