package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

const (
	// callTimeoutFactor limits the time of a call to Keycloak, in multiples of Timeout. The caller
	// gets an error after one Timeout, but Keycloak keeps working, so the call keeps its slot and
	// its place in the queue until Keycloak responds or this limit is reached.
	callTimeoutFactor = 3
	// maxQueueDelay limits how long a delayed refusal blocks its account's queue, not counting
	// RefusalPause: the account's owner may be next in the queue.
	maxQueueDelay = 1500 * time.Millisecond
)

// A Client signs people in and out of a realm, using one of the realm's clients. Make it with
// NewClient. It is safe for concurrent use. Its methods return these errors of package identity:
//
//   - ErrProviderUnavailable if Keycloak is down or slow (identity.TimedOut), or if the response
//     doesn't come from Keycloak
//   - ErrProviderMisconfigured if a setting here or in the realm is wrong; identity.Detail names it
//   - ErrBusy if ClientConfig's limit for this kind of call is reached
//   - a RateLimitError if the caller's network has reached its share of that limit
//
// and the errors that each method names. No error contains a password or a token. The text of an
// error is safe to show to clients; Keycloak's response and URL are only in its identity.Detail.
type Client struct {
	config      ClientConfig
	httpClient  *http.Client
	calls       *sync.WaitGroup // sign-ins and sign-outs in flight, even after ctx ended
	loginSlots  *semaphore
	accounts    *accountIndex
	loginQueue  *loginQueue
	loginTiming *loginTiming
	logoutSlots *semaphore
	refresher   *refresher
	notBefore   *notBeforeReports
	stats       *clientStats
}

var errNoClient = &identity.Error{Reason: identity.ErrProviderMisconfigured,
	Detail: "the zero Client has no realm: make it with keycloak.NewClient"}

// NewClient checks config and returns a Client. It sends no request, so a wrong secret shows only
// at the first Login.
func NewClient(config ClientConfig) (*Client, error) {
	if config.Realm == (Realm{}) || config.ClientID == "" || config.ClientSecret.Reveal() == "" {
		return nil, errors.New("keycloak: a client needs a realm, a client id and its secret")
	}
	if config.LoginScope == "" {
		config.LoginScope = DefaultLoginScope
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	for _, limit := range []*int{&config.MaxLogins, &config.MaxRefreshes, &config.MaxLogouts} {
		if *limit <= 0 {
			*limit = DefaultMaxCalls
		}
	}
	if config.RefreshGrace == 0 {
		config.RefreshGrace = DefaultRefreshGrace
	}
	if config.RefusalPause == 0 {
		config.RefusalPause = DefaultRefusalPause
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	stats := new(clientStats)
	c := &Client{
		stats: stats, config: config, httpClient: newHTTPClient(config.Transport),
		loginSlots: newSemaphore(config.MaxLogins), accounts: newAccountIndex(),
		loginQueue:  newLoginQueue(config, stats),
		loginTiming: new(loginTiming), calls: new(sync.WaitGroup),
		logoutSlots: newSemaphore(config.MaxLogouts), notBefore: new(notBeforeReports),
	}
	c.refresher = newRefresher(c.exchangeToken, config.RefreshGrace)
	c.refresher.semaphore, c.refresher.anyNetwork = newSemaphore(config.MaxRefreshes),
		config.RefreshGraceAnyNetwork
	c.refresher.log, c.refresher.stats = config.Log, stats
	c.refresher.checkRevoked = config.CheckRevoked
	if shared := newSharedRefresher(config, stats); shared != nil {
		shared.cached, c.refresher.shared = c.refresher.cached, shared
	}
	return c, nil
}

// Login exchanges a user's credentials for tokens with the resource owner password credentials
// grant, RFC 6749 section 4.3. Its errors are ErrBadCredentials, ErrAccountDisabled,
// ErrAccountNotReady, and ErrLoginNotAllowed if direct access grants are off for the client.
//
// Sign-ins of one account run one after another, first come, first served: with brute-force
// protection on, Keycloak 26.7.4 refuses all but one of several concurrent sign-ins of an account,
// even with the right password, and with the error for a wrong password. After a refusal, the next
// sign-in starts RefusalPause later. At most four sign-ins of one account queue behind the running
// one, and at most two of these five come from one network. Each waits for at most Timeout; the
// call to Keycloak then gets its own Timeout. A sixth sign-in, or a sign-in that waited too long,
// fails with ErrBusy. When ctx ends, Login returns but its call continues: Keycloak would finish
// the sign-in anyway, and the account's next sign-in must not run at the same time.
//
// ErrBadCredentials is delayed until the call has taken as long as other sign-ins do: Keycloak
// refuses accounts without a password faster, and timing must not reveal those accounts.
// During the delay, the call no longer counts toward MaxLogins, but still counts toward its
// network's share.
func (c *Client) Login(ctx context.Context,
	credentials identity.Credentials) (*identity.OpenIDToken, error) {
	if c.httpClient == nil {
		return nil, fmt.Errorf("keycloak: login: %w", errNoClient)
	}
	token, err := c.login(ctx, credentials)
	if err != nil {
		return nil, fmt.Errorf("keycloak: login: %w", err)
	}
	return token, nil
}

func (c *Client) login(ctx context.Context,
	credentials identity.Credentials) (*identity.OpenIDToken, error) {
	queueCtx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	leaveQueue, err := c.loginQueue.enter(queueCtx, nameDigest(credentials.Username),
		c.accounts.queueKey(credentials))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil: // not ErrProviderUnavailable: Keycloak wasn't called
		return nil, &identity.Error{Reason: identity.ErrBusy,
			Detail: "other sign-ins of this account are in flight"}
	}
	// Acquire the slot last: queued sign-ins of one account must not use up the slots of others.
	slot, err := c.loginSlots.acquire(ctx)
	if err != nil {
		leaveQueue(0)
		return nil, err
	}
	form := url.Values{
		"grant_type": {"password"},
		"username":   {credentials.Username},
		"password":   {credentials.Password.Reveal()},
		"scope":      {c.config.LoginScope},
	}
	if otp := credentials.OTP.Reveal(); otp != "" {
		form.Set("otp", otp)
	}
	start := time.Now()
	return await(ctx, c, func(ctx context.Context) (*identity.OpenIDToken, error) {
		defer slot.release()
		token, err := c.requestTokens(ctx, form, loginRefusalRules)
		slot.releaseKeepingShare()
		isRefused := errors.Is(err, identity.ErrBadCredentials)
		if isDecision(err) {
			c.loginTiming.record(networkOf(ctx), time.Since(start), isRefused)
		}
		switch {
		case err == nil:
			c.accounts.learn(credentials, token)
			leaveQueue(0)
		case isRefused:
			// The timing of other calls must not reveal how long Keycloak took, so also delay
			// the start of the account's next sign-in and the release of the network's share.
			targetDuration := min(c.loginTiming.targetDuration(), c.config.Timeout/2)
			leaveQueue(time.Until(start.Add(min(targetDuration, maxQueueDelay))) +
				max(0, c.config.RefusalPause))
			time.Sleep(time.Until(start.Add(targetDuration)))
		case identity.TimedOut(err): // Keycloak may count the sign-in as a failure
			leaveQueue(c.config.RefusalPause)
		default:
			leaveQueue(0)
		}
		return token, err
	})
}

// isDecision reports whether err, which may be nil, is Keycloak's decision about a sign-in. Other
// errors mean that there was no decision.
func isDecision(err error) bool {
	return err == nil || errors.Is(err, identity.ErrBadCredentials) ||
		errors.Is(err, identity.ErrAccountDisabled) ||
		errors.Is(err, identity.ErrAccountNotReady)
}

// Refresh exchanges a refresh token for new tokens, RFC 6749 section 6. Calls with the same token
// from one network share one exchange, which continues when a caller's ctx ends. Within
// RefreshGrace, a later call gets the same new tokens, until the new refresh token is presented.
// Its errors are ErrRefreshExpired, ErrSessionEnded, ErrRefreshReused and ErrRefreshInvalid. With
// ClientConfig.Calls, they are also ErrStoreUnavailable, and ErrRefreshInterrupted if another
// process ended before it stored the result of its exchange. The caller may try again after both.
func (c *Client) Refresh(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	if c.httpClient == nil {
		return nil, fmt.Errorf("keycloak: refresh: %w", errNoClient)
	}
	if err := checkRefreshToken(refreshToken); err != nil {
		return nil, fmt.Errorf("keycloak: refresh: %w", err)
	}
	waitCtx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	token, err := c.refresher.refresh(waitCtx, refreshToken)
	if err != nil && ctx.Err() == nil && waitCtx.Err() != nil {
		err = c.timeoutError()
	}
	if err != nil {
		return nil, fmt.Errorf("keycloak: refresh: %w", err)
	}
	return token, nil
}

// Logout ends the session of a refresh token, for every client of the realm that shares it. It
// succeeds if the session has already ended, and returns ErrRefreshInvalid if Keycloak doesn't know
// the token. Once the call to Keycloak has started, it continues even if ctx ends: people often
// close the tab as they sign out.
func (c *Client) Logout(ctx context.Context, refreshToken identity.Secret) error {
	if c.httpClient == nil {
		return fmt.Errorf("keycloak: logout: %w", errNoClient)
	}
	if err := checkRefreshToken(refreshToken); err != nil {
		return fmt.Errorf("keycloak: logout: %w", err)
	}
	if err := c.logout(ctx, refreshToken); err != nil {
		return fmt.Errorf("keycloak: logout: %w", err)
	}
	return nil
}

// checkRefreshToken rejects tokens in any encoding except the one that Keycloak issues, a JWS of
// three parts. Keycloak 26.7.4 also accepts padding, + and / or stray bits in the signature, and
// control characters anywhere, so one token has any number of encodings. The shared exchange and
// the rate limits compare tokens as text, and would treat each encoding as a different token.
func checkRefreshToken(refreshToken identity.Secret) error {
	parts, err := jose.DecodeCompact(refreshToken.Reveal())
	if err != nil || len(parts[0]) == 0 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return &identity.Error{Reason: identity.ErrRefreshInvalid,
			Detail: "the refresh token is not three parts of base64url without padding, " +
				"unlike Keycloak's refresh tokens"}
	}
	return nil
}

func (c *Client) logout(ctx context.Context, refreshToken identity.Secret) error {
	// The call continues when ctx ends, so don't start it if ctx has already ended.
	if err := ctx.Err(); err != nil {
		return err
	}
	slot, err := c.logoutSlots.acquire(ctx)
	if err != nil {
		return err
	}
	_, err = await(context.WithoutCancel(ctx), c,
		func(ctx context.Context) (_ struct{}, err error) {
			defer slot.release()
			defer c.recoverPanic(ctx, &err)
			c.refresher.markUsed(ctx, refreshToken)
			form := url.Values{"refresh_token": {refreshToken.Reveal()}}
			resp, err := c.call(ctx, c.config.Realm.logoutURL(), form)
			if err != nil {
				return struct{}{}, err
			}
			if resp.status != http.StatusNoContent {
				// Keycloak 26.7.4 returns 204 for an ended session, too. If another release returns
				// an error, the result is the same.
				err := refusalError(resp, refreshRefusalRules)
				if !errors.Is(err, identity.ErrSessionEnded) {
					return struct{}{}, err
				}
			} else {
				c.reportSessionEnd(refreshToken)
			}
			c.refresher.endSession(refreshToken)
			return struct{}{}, nil
		})
	return err
}

// reportSessionEnd calls SessionEnded with the session of a refresh token. Call it after Keycloak
// has ended the session: Keycloak has then verified the token's signature, so the token really
// belongs to the session that its payload names. A forged token could name any session.
//
// It isn't called for an offline token: the user's online session, which has the same ID, may
// continue.
func (c *Client) reportSessionEnd(refreshToken identity.Secret) {
	claims := readRefreshClaims(refreshToken)
	if claims.Session == "" || claims.Type == "Offline" || c.config.SessionEnded == nil {
		return
	}
	at := time.Now().Truncate(time.Second)
	// Keycloak's clock may be ahead of this one.
	if issuedAt := time.Unix(claims.IssuedAt, 0); issuedAt.After(at) {
		at = issuedAt
	}
	c.config.SessionEnded(SessionEnd{SessionID: claims.Session, At: at})
}

// await runs work on a goroutine and returns its result. It returns early when ctx ends, and with
// timeoutError after Timeout. In both cases work continues, and Client.Close waits for it.
func await[T any](ctx context.Context, c *Client,
	work func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1) // buffered, because the receiver may be gone
	c.calls.Go(func() {          // ends with work, whose duration Client.call limits
		value, err := work(context.WithoutCancel(ctx))
		done <- result{value, err}
	})
	timer := time.NewTimer(c.config.Timeout)
	defer timer.Stop()
	var zero T
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-timer.C:
		return zero, c.timeoutError()
	}
}

// recoverPanic logs a panic and turns it into an error. Calls run on goroutines that outlive their
// callers, where a panic would end the process.
func (c *Client) recoverPanic(ctx context.Context, err *error) {
	if value := recover(); value != nil {
		logPanic(ctx, c.config.Log, value)
		*err = unavailableError("the call to Keycloak panicked")
	}
}

// logPanic logs the type of a panic's value, and the stack. It doesn't log the value, which may
// contain a password or a token.
func logPanic(ctx context.Context, log *slog.Logger, value any) {
	log.ErrorContext(ctx, "panic in a call to Keycloak", "panic", fmt.Sprintf("%T", value),
		"stack", string(debug.Stack()))
}

func (c *Client) timeoutError() error {
	return &identity.Error{
		Reason: identity.ErrProviderUnavailable, TimedOut: true,
		Detail: fmt.Sprintf("no response within %v (ClientConfig.Timeout)", c.config.Timeout),
	}
}

// Close waits until all calls in flight are done, including those whose callers have returned, or
// until ctx ends. Call it when no more requests come in: a refresh that is cut off halfway may cost
// a user the session.
func (c *Client) Close(ctx context.Context) error {
	if c.httpClient == nil {
		return nil
	}
	if c.refresher.shared != nil {
		defer c.refresher.shared.close()
	}
	done := make(chan struct{})
	go func() { // ends with the last call; each has a deadline
		c.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
		return c.refresher.waitIdle(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) exchangeToken(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	return c.requestTokens(ctx, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken.Reveal()},
	}, refreshRefusalRules)
}

// requestTokens calls the token endpoint.
func (c *Client) requestTokens(ctx context.Context, form url.Values,
	rules []refusalRule) (token *identity.OpenIDToken, err error) {
	defer c.recoverPanic(ctx, &err)
	resp, err := c.call(ctx, c.config.Realm.tokenURL(), form)
	if err != nil {
		return nil, err
	}
	token, notBefore, err := parseTokenResponse(resp, rules)
	if err == nil {
		c.reportNotBefore(token, notBefore)
	}
	return token, err
}

// call posts a form with the client's credentials in it. Keycloak prefers form values to HTTP
// Basic, which would need the double encoding of RFC 6749 section 2.3.1. call doesn't fall back to
// HTTP Basic: that would double the calls with a wrong secret. If Keycloak accepts the secret only
// in a header, the error's detail says what to change (clientErrorRules). The call
// takes at most callTimeoutFactor times Timeout.
func (c *Client) call(ctx context.Context, url string, form url.Values) (response, error) {
	callCtx, cancel := context.WithTimeout(ctx, callTimeoutFactor*c.config.Timeout)
	defer cancel()
	c.addCredentials(form)
	resp, err := c.post(callCtx, url, form)
	switch {
	case err != nil && callCtx.Err() != nil:
		return response{}, c.timeoutError()
	case err != nil:
		return response{}, unavailableError("%s", err.Error())
	}
	return resp, nil
}

// addCredentials adds the client's credentials to a form.
func (c *Client) addCredentials(form url.Values) {
	form.Set("client_id", c.config.ClientID)
	form.Set("client_secret", c.config.ClientSecret.Reveal())
}

// post sends a form. With ForwardAddress it also sends the caller's address, but nothing else
// from the incoming request.
func (c *Client) post(ctx context.Context, url string, form url.Values) (response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url,
		strings.NewReader(form.Encode()))
	if err != nil {
		return response{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if address := identity.Address(ctx); c.config.ForwardAddress && address.IsValid() {
		request.Header.Set("X-Forwarded-For", address.String())
	}
	return send(c.httpClient, request)
}
