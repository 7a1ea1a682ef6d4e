package keycloaktest

import (
	"cmp"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
)

// A pageRequest is one request of a person's browser: a call, with the cookies that its answer sets
// and the clients that are told of sessions it ended. It is answered under the realm's lock.
type pageRequest struct {
	*call
	cookies []*http.Cookie
	notices []notice
	entered bool // the browser had no login before
}

// browse answers a browser under the realm's lock, and tells the clients without it.
func (r *Realm) browse(c *call, serve func(*pageRequest) answer) answer {
	v := &pageRequest{call: c}
	out := v.locked(serve)
	r.notify(v.notices)
	out.cookie = v.cookies
	return out
}

func (v *pageRequest) locked(serve func(*pageRequest) answer) answer {
	v.realm.mu.Lock()
	defer v.realm.mu.Unlock()
	return serve(v)
}

// parameters are those of the query, or of the form that was posted.
func (v *pageRequest) parameters() url.Values {
	if v.Method == http.MethodPost {
		return v.form
	}
	return v.URL.Query()
}

// Keycloak's cookies. They are Secure even over plain HTTP, which browsers let pass on loopback.
const (
	loginCookie = "AUTH_SESSION_ID"      // the sign-in under way, or the session that came of it
	hashCookie  = "KC_AUTH_SESSION_HASH" // for scripts of Keycloak's pages
	// the request, to begin again with when the sign-in is forgotten
	restartCookie  = "KC_RESTART"
	identityCookie = "KEYCLOAK_IDENTITY" // single sign-on: a signed token
	sessionCookie  = "KEYCLOAK_SESSION"  // for scripts that watch the session
)

func (v *pageRequest) set(cookie http.Cookie) {
	cookie.Path, cookie.Secure, cookie.SameSite = v.realm.basePath()+"/", true,
		http.SameSiteNoneMode
	v.cookies = append(v.cookies, &cookie)
}

// drop removes cookies that the browser has.
func (v *pageRequest) drop(names ...string) {
	for _, name := range names {
		if _, err := v.Cookie(name); err == nil {
			v.cookies = append(v.cookies,
				&http.Cookie{Name: name, Path: v.realm.basePath() + "/", MaxAge: -1})
		}
	}
}

func (v *pageRequest) cookie(name string) string {
	cookie, err := v.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// basePath is the path of the realm's public address.
func (r *Realm) basePath() string {
	address, err := url.Parse(r.Issuer())
	if err != nil {
		return "/realms/" + r.escapedName()
	}
	return address.EscapedPath()
}

// A login is a browser in which somebody signs in or out: Keycloak's root authentication session.
// Its id becomes that of the session, so that a browser has one.
type login struct {
	id           string
	used         time.Time // when a tab was opened last
	authSessions map[string]*authSession
}

// An authSession is one request of a client, on its way from the login page to the answer.
type authSession struct {
	id     string
	code   string // that the next form must bring: session_code
	login  *login
	client *client
	asked  *authRequest
	step   string // what the person is to do next
	note   string // what the next page says first

	user   *user    // who signs in; at the password's step only where it can't be anybody else
	by     *session // of single sign-on; nil after a password
	agreed bool     // to what the client asks for
	action string   // how the action that the client asked for ended: success, cancelled, error
	seen   bool     // the page of that action was
	state  string   // of a logout
	hint   string   // the session that a logout's ID token names
}

const (
	maxLogins       = 2_000
	maxAuthSessions = 50
)

// loginLifespan is how long a sign-in may take.
func (r *Realm) loginLifespan() time.Duration {
	return seconds(or(r.settings.AccessCodeLifespanLogin, 1800))
}

func (r *Realm) loginOf(id string, now time.Time) *login {
	l := r.logins[id]
	if l == nil || !now.Before(l.used.Add(r.loginLifespan())) {
		return nil
	}
	return l
}

// enter is the login of the browser, a new one where it has none, which the browser learns. A
// browser with a session goes on with its id.
func (v *pageRequest) enter() *login {
	r, id := v.realm, v.cookie(loginCookie)
	if l := r.loginOf(id, v.now); l != nil {
		l.used = v.now
		return l
	}
	if s := r.sessions[id]; s == nil || !r.alive(s, v.now) {
		id = opaque(24)
	} else if !s.user.Enabled {
		v.notices = append(v.notices, r.end(s, v.now)...)
		id = opaque(24)
	}
	forgetOld(r.logins, maxLogins, func(l *login) time.Time { return l.used }, func(l *login) bool {
		return r.loginOf(l.id, v.now) == nil
	})
	l := &login{id: id, used: v.now, authSessions: map[string]*authSession{}}
	r.logins[id] = l
	v.entered = true
	v.set(http.Cookie{Name: loginCookie, Value: id, HttpOnly: true})
	return l
}

// forgetOld makes room in a map that is full: what has expired goes, and when that is nothing, the
// older half.
func forgetOld[T any](kept map[string]T, max int, age func(T) time.Time, expired func(T) bool) {
	if len(kept) < max {
		return
	}
	maps.DeleteFunc(kept, func(_ string, item T) bool { return expired(item) })
	if len(kept) < max {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(kept), func(a, b string) int {
		return cmp.Or(age(kept[a]).Compare(age(kept[b])), cmp.Compare(a, b))
	})
	for _, key := range oldest[:len(oldest)/2] {
		delete(kept, key)
	}
}

// open begins a tab in the browser's login.
func (v *pageRequest) open(asked *authRequest) *authSession {
	l := v.enter()
	if len(l.authSessions) >= maxAuthSessions {
		clear(l.authSessions)
	}
	t := &authSession{id: opaque(11), login: l, client: asked.client, asked: asked}
	l.authSessions[t.id] = t
	return t
}

// close ends a tab, and with the last one the login.
func (v *pageRequest) close(t *authSession) {
	delete(t.login.authSessions, t.id)
	if len(t.login.authSessions) == 0 {
		delete(v.realm.logins, t.login.id)
		v.drop(restartCookie)
	}
}

// authSessionOf is the authSession that a request names, if its browser has it.
func (v *pageRequest) authSessionOf(query url.Values) *authSession {
	l := v.realm.loginOf(v.cookie(loginCookie), v.now)
	if l == nil {
		return nil
	}
	t := l.authSessions[query.Get("tab_id")]
	if t == nil || t.client.ClientID != query.Get("client_id") {
		return nil
	}
	return t
}

// remember gives the browser what it needs to begin again.
func (v *pageRequest) remember(t *authSession) {
	if v.entered {
		v.set(http.Cookie{Name: hashCookie, Value: hashOf(t.login.id), MaxAge: 60})
	}
	if !t.asked.prompts("none") {
		v.set(http.Cookie{Name: restartCookie,
			Value:    base64.RawURLEncoding.EncodeToString([]byte(t.asked.parameters.Encode())),
			HttpOnly: true})
	}
}

func hashOf(id string) string {
	sum := sha512.Sum384([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// identify gives the browser single sign-on by a session.
func (v *pageRequest) identify(s *session) {
	r := v.realm
	_, maxLifespan := r.lifespans(false)
	identity := claims{
		"exp": v.now.Add(maxLifespan).Unix(), "iat": v.now.Unix(), "jti": uuid.NewString(),
		"iss": r.Issuer(), "sub": s.user.ID,
		"typ": "Serialized-ID", "sid": s.id,
	}
	v.set(http.Cookie{Name: identityCookie,
		Value: unsigned{"JWT", identity, r.keys.signing("HS512")}.sign(), HttpOnly: true})
	v.set(http.Cookie{Name: sessionCookie, Value: hashOf(s.id),
		MaxAge: int(maxLifespan / time.Second)})
}

// identity is the session of single sign-on, if it goes on.
func (v *pageRequest) identity() *session {
	r := v.realm
	held, err := r.verified(v.cookie(identityCookie))
	if err == nil && text(held, "typ") == "Serialized-ID" && text(held, "iss") == r.Issuer() &&
		v.now.Unix() < unix(held, "exp") {
		s, issuedAt := r.sessions[text(held, "sid")], unix(held, "iat")
		if s != nil && r.alive(s, v.now) && s.user.Enabled && issuedAt >= s.user.NotBefore &&
			issuedAt >= r.settings.NotBefore {
			return s
		}
	}
	v.drop(identityCookie, sessionCookie)
	return nil
}

// clientData is what Keycloak's addresses carry, so that a forgotten sign-in can still lead back to
// the client.
type clientData struct {
	Redirect     string `json:"ru,omitempty"`
	ResponseType string `json:"rt,omitempty"`
	ResponseMode string `json:"rm,omitempty"`
	State        string `json:"st,omitempty"`
}

func (t *authSession) clientData() string {
	q := t.asked
	return base64.RawURLEncoding.EncodeToString(
		must(
			json.Marshal(clientData{q.redirect, q.value("response_type"), q.value("response_mode"),
				q.value("state")})))
}
