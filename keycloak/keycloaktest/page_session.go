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

// A pageRequest is a request from a user's browser. It is served under the realm's lock, and
// collects the cookies to set and the back-channel logouts to send.
type pageRequest struct {
	*request
	cookies                []*http.Cookie
	notices                []logoutNotice
	createdRootAuthSession bool // this request created the rootAuthSession
}

// servePage calls serve under the realm's lock, and then sends the notices without the lock.
func (r *Realm) servePage(req *request, serve func(*pageRequest) response) response {
	pageReq := &pageRequest{request: req}
	resp := pageReq.serveLocked(serve)
	r.sendNotices(pageReq.notices)
	resp.cookies = pageReq.cookies
	return resp
}

func (req *pageRequest) serveLocked(serve func(*pageRequest) response) response {
	req.realm.mu.Lock()
	defer req.realm.mu.Unlock()
	return serve(req)
}

// parameters returns the form of a POST request, or the query of any other request.
func (req *pageRequest) parameters() url.Values {
	if req.Method == http.MethodPost {
		return req.form
	}
	return req.URL.Query()
}

// Keycloak's cookies. They are Secure even over plain HTTP; browsers accept that on loopback.
const (
	authSessionCookie = "AUTH_SESSION_ID"      // ID of the rootAuthSession, then of the session
	sessionHashCookie = "KC_AUTH_SESSION_HASH" // for scripts on Keycloak's pages
	restartCookie     = "KC_RESTART"           // authorization request, to restart a sign-in
	identityCookie    = "KEYCLOAK_IDENTITY"    // single sign-on: a signed token
	sessionCookie     = "KEYCLOAK_SESSION"     // for scripts that monitor the session
)

func (req *pageRequest) setCookie(cookie http.Cookie) {
	cookie.Path, cookie.Secure, cookie.SameSite = req.realm.basePath()+"/", true,
		http.SameSiteNoneMode
	req.cookies = append(req.cookies, &cookie)
}

// deleteCookies deletes the named cookies that the browser sent.
func (req *pageRequest) deleteCookies(names ...string) {
	for _, name := range names {
		if _, err := req.Cookie(name); err == nil {
			req.cookies = append(req.cookies,
				&http.Cookie{Name: name, Path: req.realm.basePath() + "/", MaxAge: -1})
		}
	}
}

// cookie returns the value of a cookie, or "".
func (req *pageRequest) cookie(name string) string {
	cookie, err := req.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// basePath returns the path of the realm's issuer URL.
func (r *Realm) basePath() string {
	address, err := url.Parse(r.Issuer())
	if err != nil {
		return "/realms/" + r.escapedName()
	}
	return address.EscapedPath()
}

// A rootAuthSession is a browser's sign-in or sign-out in progress: Keycloak's root authentication
// session. The session that it creates has the same ID, so a browser has only one session.
type rootAuthSession struct {
	id           string
	lastUsed     time.Time // when the newest authSession started
	authSessions map[string]*authSession
}

// An authSession is an authorization request in progress in a browser tab: Keycloak's
// authentication session.
type authSession struct {
	id          string
	sessionCode string // the session_code that the next form must have
	root        *rootAuthSession
	client      *client
	authReq     *authRequest
	step        string // the user's next step
	message     string // shown on the next page

	user            *user    // the user, if known; at the password step, only this user may sign in
	ssoSession      *session // used for single sign-on; nil if the user entered a password
	consentGiven    bool     // the user consented to the requested scopes
	actionStatus    string   // result of the action in kc_action: success, cancelled, error
	actionShown     bool     // the page of the action in kc_action was shown
	levelProgress            // of the browser flow
	logoutState     string   // the state parameter of a logout
	hintedSessionID string   // the session ID in the id_token_hint of a logout
}

const (
	maxRootAuthSessions = 2_000 // per realm
	maxAuthSessions     = 50    // per rootAuthSession
)

// loginLifespan returns the maximum duration of a sign-in.
func (r *Realm) loginLifespan() time.Duration {
	return seconds(valueOr(r.settings.AccessCodeLifespanLogin, 1800))
}

// activeRootAuthSession returns the rootAuthSession with this ID, or nil if it is unknown or
// expired.
func (r *Realm) activeRootAuthSession(id string, now time.Time) *rootAuthSession {
	root := r.rootAuthSessions[id]
	if root == nil || !now.Before(root.lastUsed.Add(r.loginLifespan())) {
		return nil
	}
	return root
}

// rootAuthSession returns the browser's root authentication session. If there is none, it creates a
// root authentication session and sets the cookie. If the browser has an active session, the new
// rootAuthSession gets the session's ID.
func (req *pageRequest) rootAuthSession() *rootAuthSession {
	r, id := req.realm, req.cookie(authSessionCookie)
	if root := r.activeRootAuthSession(id, req.now); root != nil {
		root.lastUsed = req.now
		return root
	}
	if s := r.sessions[id]; s == nil || !r.sessionActive(s, req.now) {
		id = randomString(24)
	} else if !s.user.Enabled {
		req.notices = append(req.notices, r.endSession(s, req.now)...)
		id = randomString(24)
	}
	evict(r.rootAuthSessions, maxRootAuthSessions, func(root *rootAuthSession) time.Time {
		return root.lastUsed
	}, func(root *rootAuthSession) bool { return r.activeRootAuthSession(root.id, req.now) == nil })
	root := &rootAuthSession{id: id, lastUsed: req.now, authSessions: map[string]*authSession{}}
	r.rootAuthSessions[id] = root
	req.createdRootAuthSession = true
	req.setCookie(http.Cookie{Name: authSessionCookie, Value: id, HttpOnly: true})
	return root
}

// evict makes room in a map of at most limit items: it deletes the expired items and, if that isn't
// enough, the older half of the items. timeOf returns the time by which items are ordered.
func evict[T any](items map[string]T, limit int, timeOf func(T) time.Time, expired func(T) bool) {
	if len(items) < limit {
		return
	}
	maps.DeleteFunc(items, func(_ string, item T) bool { return expired(item) })
	if len(items) < limit {
		return
	}
	keysByTime := slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		return cmp.Or(timeOf(items[a]).Compare(timeOf(items[b])), cmp.Compare(a, b))
	})
	for _, key := range keysByTime[:len(keysByTime)/2] {
		delete(items, key)
	}
}

// newAuthSession starts an authSession for a request.
func (req *pageRequest) newAuthSession(authReq *authRequest) *authSession {
	root := req.rootAuthSession()
	if len(root.authSessions) >= maxAuthSessions {
		clear(root.authSessions)
	}
	as := &authSession{id: randomString(11), root: root, client: authReq.client, authReq: authReq}
	root.authSessions[as.id] = as
	return as
}

// closeAuthSession ends an authSession. If it was the browser's last, the rootAuthSession ends too.
func (req *pageRequest) closeAuthSession(as *authSession) {
	delete(as.root.authSessions, as.id)
	if len(as.root.authSessions) == 0 {
		delete(req.realm.rootAuthSessions, as.root.id)
		req.deleteCookies(restartCookie)
	}
}

// findAuthSession returns the authSession that a query names, or nil if the browser doesn't have
// it.
func (req *pageRequest) findAuthSession(query url.Values) *authSession {
	root := req.realm.activeRootAuthSession(req.cookie(authSessionCookie), req.now)
	if root == nil {
		return nil
	}
	as := root.authSessions[query.Get("tab_id")]
	if as == nil || as.client.ClientID != query.Get("client_id") {
		return nil
	}
	return as
}

// setSessionHashCookie sets the cookie with the hash of the rootAuthSession's ID, if this request
// created the rootAuthSession.
func (req *pageRequest) setSessionHashCookie(as *authSession) {
	if req.createdRootAuthSession {
		req.setCookie(http.Cookie{Name: sessionHashCookie, Value: sessionHash(as.root.id),
			MaxAge: 60})
	}
}

// setRestartCookie sets the cookie from which an expired sign-in can restart. For a new
// rootAuthSession, it also sets the cookie with the hash of the ID.
func (req *pageRequest) setRestartCookie(as *authSession) {
	req.setSessionHashCookie(as)
	if !as.authReq.hasPrompt("none") {
		req.setCookie(http.Cookie{Name: restartCookie,
			Value:    base64.RawURLEncoding.EncodeToString([]byte(as.authReq.parameters.Encode())),
			HttpOnly: true})
	}
}

// sessionHash returns the hash of a session's ID, which some cookies contain.
func sessionHash(id string) string {
	sum := sha512.Sum384([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// setIdentityCookies sets the cookies that sign the browser in to a session.
func (req *pageRequest) setIdentityCookies(s *session) {
	r := req.realm
	_, maxLifespan := r.sessionLifespans(false)
	identityClaims := claims{
		"exp": req.now.Add(maxLifespan).Unix(), "iat": req.now.Unix(), "jti": uuid.NewString(),
		"iss": r.Issuer(), "sub": s.user.ID,
		"typ": "Serialized-ID", "sid": s.id,
	}
	req.setCookie(http.Cookie{Name: identityCookie,
		Value:    unsignedToken{"JWT", identityClaims, r.keySet.signingKey("HS512")}.sign(),
		HttpOnly: true})
	req.setCookie(http.Cookie{Name: sessionCookie, Value: sessionHash(s.id),
		MaxAge: int(maxLifespan / time.Second)})
}

// ssoSession returns the browser's session for single sign-on, or nil if there is none or it has
// ended.
func (req *pageRequest) ssoSession() *session {
	r := req.realm
	payload, err := r.verifyToken(req.cookie(identityCookie))
	if err == nil && stringClaim(payload, "typ") == "Serialized-ID" &&
		stringClaim(payload, "iss") == r.Issuer() && req.now.Unix() < timeClaim(payload, "exp") {
		s, issuedAt := r.sessions[stringClaim(payload, "sid")], timeClaim(payload, "iat")
		if s != nil && r.sessionActive(s, req.now) && s.user.Enabled &&
			issuedAt >= s.user.NotBefore && issuedAt >= r.settings.NotBefore {
			return s
		}
	}
	req.deleteCookies(identityCookie, sessionCookie)
	return nil
}

// clientData is the content of the client_data parameter. It lets the form of a completed sign-in
// redirect to the client.
type clientData struct {
	Redirect     string `json:"ru,omitempty"`
	ResponseType string `json:"rt,omitempty"`
	ResponseMode string `json:"rm,omitempty"`
	State        string `json:"st,omitempty"`
}

func (as *authSession) clientData() string {
	authReq := as.authReq
	return base64.RawURLEncoding.EncodeToString(must(json.Marshal(clientData{authReq.redirectURI,
		authReq.parameter("response_type"), authReq.parameter("response_mode"),
		authReq.parameter("state")})))
}
