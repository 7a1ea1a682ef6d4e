package keycloaktest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// logout is the end session endpoint: with a refresh token it is Keycloak's own call for clients,
// without one it is RP-initiated logout, for browsers (rplogout.go).
func (r *Realm) logout(c *call) answer {
	token, sent := c.param("refresh_token")
	if c.Method != http.MethodPost || !sent {
		return r.browserLogout(c)
	}
	notices, out := r.clientLogout(c, token)
	r.notify(notices)
	return out
}

func (r *Realm) clientLogout(c *call, token string) ([]notice, answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused := r.insecure(c); refused != nil {
		return nil, refused.plain()
	}
	by, refused := c.authenticated()
	if refused != nil {
		return nil, refused.plain()
	}
	if by.BearerOnly {
		return nil, refuse(400, "invalid_client", "Bearer-only not allowed").plain()
	}
	if refused := c.allowed(by); refused != nil {
		return nil, refused.plain()
	}
	held, refused := r.readRefresh(token, by)
	if refused != nil {
		return nil, refused.plain()
	}
	if text(held, "azp") != by.ClientID {
		return nil, invalidGrant(
			"Invalid refresh token. Token client and authorized client don't match").plain()
	}
	done := secured(answer{status: 204}).with("Cache-Control", noCache)
	s := r.sessionOf(text(held, "sid"), text(held, "typ") == "Offline")
	if s == nil {
		return nil, done
	}
	return r.end(s, c.now), done
}

// end ends a session for all its clients, and returns whom to tell. The caller holds the lock;
// notify is called without it.
func (r *Realm) end(s *session, now time.Time) []notice {
	var notices []notice
	for _, part := range s.clients {
		if n, wanted := r.notice(part.client, s, now); wanted {
			notices = append(notices, n)
		}
	}
	r.endSession(s)
	return notices
}

// A notice is a back-channel logout (OpenID Connect Back-Channel Logout 1.0) that a client gets.
type notice struct {
	url   string
	token unsigned
}

const (
	// backchannelTimeout is how long a client has to take its notice: logout waits for it.
	backchannelTimeout = 5 * time.Second
	maxNotices         = 16 // under way at once, for one logout
)

// newCaller makes what posts notices: nothing but the URLs of the realm file is called, neither a
// proxy of the environment nor an address that a client sends it on to.
func newCaller() *http.Client {
	return &http.Client{
		Timeout: backchannelTimeout, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func (r *Realm) notice(c *client, s *session, now time.Time) (notice, bool) {
	to := c.Attributes["backchannel.logout.url"]
	if to == "" || c.FrontchannelLogout {
		return notice{}, false
	}
	if strings.HasPrefix(to, "/") {
		to = strings.TrimSuffix(c.RootURL, "/") + to
	}
	events := claims{"http://schemas.openid.net/event/backchannel-logout": claims{}}
	if c.attribute("backchannel.logout.revoke.offline.tokens") {
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
	return notice{to, g.unsigned(payload, "logout.token.signed.response.alg", "logout+jwt")}, true
}

// notify tells the clients, several at once, and waits for them, or for the server's end. What they
// answer changes nothing.
func (r *Realm) notify(notices []notice) {
	var told sync.WaitGroup
	free := make(chan struct{}, maxNotices)
	for _, n := range notices {
		free <- struct{}{}
		told.Go(func() {
			defer func() { <-free }()
			r.server.tell(n)
		})
	}
	told.Wait()
}

func (s *Server) tell(n notice) {
	form := url.Values{"logout_token": {n.token.sign()}}
	request, err := http.NewRequestWithContext(s.gone, http.MethodPost, n.url,
		strings.NewReader(form.Encode()))
	if err != nil {
		return // no URL
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if response, err := s.calls.Do(request); err == nil {
		response.Body.Close()
	}
}
