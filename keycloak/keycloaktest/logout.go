package keycloaktest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// logout serves the end session endpoint. A POST with a refresh token is Keycloak's logout for
// clients; any other request is RP-initiated logout in a browser (page_logout.go).
func (r *Realm) logout(req *request) response {
	token, hasToken := req.param("refresh_token")
	if req.Method != http.MethodPost || !hasToken {
		return r.browserLogout(req)
	}
	notices, resp := r.clientLogout(req, token)
	r.sendNotices(notices)
	return resp
}

// clientLogout ends the session of a refresh token. It returns the back-channel logouts to send,
// and the response.
func (r *Realm) clientLogout(req *request, token string) ([]logoutNotice, response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkTLS(req); err != nil {
		return nil, err.plainResponse()
	}
	caller, err := req.authenticateClient()
	if err != nil {
		return nil, err.plainResponse()
	}
	if caller.BearerOnly {
		return nil, newOAuthError(400, "invalid_client", "Bearer-only not allowed").plainResponse()
	}
	if err := req.checkOrigin(caller); err != nil {
		return nil, err.plainResponse()
	}
	payload, err := r.verifyRefreshToken(token)
	if err != nil {
		return nil, err.plainResponse()
	}
	if stringClaim(payload, "azp") != caller.ClientID {
		return nil, invalidGrant(
			"Invalid refresh token. Token client and authorized client don't match").plainResponse()
	}
	noContent := withSecurityHeaders(response{status: 204}).withHeader("Cache-Control", noCache)
	s := r.sessionByID(stringClaim(payload, "sid"), stringClaim(payload, "typ") == "Offline")
	if s == nil {
		return nil, noContent
	}
	// This also ends the sign-ins in the browser's other tabs.
	delete(r.rootAuthSessions, s.id)
	return r.endSession(s, req.now), noContent
}

// endSession ends a session and returns the back-channel logouts to send. The caller holds the
// realm's lock, and must release it before calling sendNotices.
func (r *Realm) endSession(s *session, now time.Time) []logoutNotice {
	var notices []logoutNotice
	for _, cs := range s.clients {
		if n, ok := r.newNotice(cs.client, s, now); ok {
			notices = append(notices, n)
		}
	}
	r.deleteSession(s)
	return notices
}

// A logoutNotice is a back-channel logout request (OpenID Connect Back-Channel Logout 1.0).
type logoutNotice struct {
	url   string
	token unsignedToken
}

const (
	noticeTimeout        = 5 * time.Second
	maxConcurrentNotices = 16 // per logout
)

// newNoticeClient returns the HTTP client that sends notices. It uses no proxy and follows no
// redirects, so that it connects only to URLs in the realm file.
func newNoticeClient() *http.Client {
	return &http.Client{
		Timeout: noticeTimeout, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// newNotice returns the notice to a client that a session has ended. ok is false if the client has
// no back-channel logout.
func (r *Realm) newNotice(c *client, s *session, now time.Time) (n logoutNotice, ok bool) {
	address := c.Attributes["backchannel.logout.url"]
	if address == "" || c.FrontchannelLogout {
		return logoutNotice{}, false
	}
	if strings.HasPrefix(address, "/") {
		address = strings.TrimSuffix(c.RootURL, "/") + address
	}
	events := claims{"http://schemas.openid.net/event/backchannel-logout": claims{}}
	if c.attributeIsTrue("backchannel.logout.revoke.offline.tokens") {
		events["revoke_offline_access"] = true
	}
	payload := claims{
		"exp": now.Add(2 * time.Minute).Unix(), "iat": now.Unix(), "jti": uuid.NewString(),
		"iss": r.Issuer(), "aud": c.ClientID,
		"sub": s.user.ID, "typ": "Logout", "events": events,
	}
	if c.Attributes["backchannel.logout.session.required"] == "true" {
		payload["sid"] = s.id
	}
	g := &grant{realm: r, client: c, user: s.user, now: now}
	token := g.newUnsignedToken(payload, "logout.token.signed.response.alg", "logout+jwt")
	return logoutNotice{address, token}, true
}

// sendNotices sends notices concurrently and waits until they are sent or the server is closed. It
// ignores the responses.
func (r *Realm) sendNotices(notices []logoutNotice) {
	var wg sync.WaitGroup
	semaphore := make(chan struct{}, maxConcurrentNotices)
	for _, n := range notices {
		semaphore <- struct{}{}
		wg.Go(func() {
			defer func() { <-semaphore }()
			r.server.sendNotice(n)
		})
	}
	wg.Wait()
}

func (s *Server) sendNotice(n logoutNotice) {
	form := url.Values{"logout_token": {n.token.sign()}}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, n.url,
		strings.NewReader(form.Encode()))
	if err != nil {
		return // invalid URL
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err := s.noticeClient.Do(req); err == nil {
		resp.Body.Close()
	}
}
