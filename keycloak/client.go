package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/internal/jose"
)

// A ClientConfig describes a confidential client of a realm. Realm, ClientID and ClientSecret are
// needed.
type ClientConfig struct {
	Realm        Realm
	ClientID     string
	ClientSecret identity.Secret
	LoginScope   string        // what Login asks for; DefaultLoginScope if empty
	Timeout      time.Duration // of one call to Keycloak, for its caller; DefaultTimeout if zero
	// Transport makes the HTTP calls; NewTransport() if nil. Redirects are never followed, and
	// callers wait no longer than Timeout, whatever the transport does.
	Transport http.RoundTripper
	// slog.Default() if nil; a line for each refresh token that is presented again
	Log *slog.Logger

	// RefreshGrace is for how long the answer of a refresh is handed out again to whoever presents
	// the same token from the same network: identity.Address in an IPv4 /24 or an IPv6 /48. It ends
	// sooner when the new refresh token is presented. Callers without an address count as one
	// network. It is DefaultRefreshGrace if zero, and not at all if negative.
	RefreshGrace time.Duration

	// RefreshGraceAnyNetwork hands it out whatever the network, for people whose address changes
	// within the grace, and so to a thief elsewhere as well.
	RefreshGraceAnyNetwork bool

	// How many calls of each kind may be under way at once; DefaultMaxCalls if zero. Each kind has
	// its own, so that a storm of sign-ins doesn't hold up refreshes and sign-outs. One call
	// more fails at once. A network holds a quarter of them at most, where the caller's address is
	// known (identity.Address).
	MaxLogins, MaxRefreshes, MaxLogouts int

	// RefusalPause is how long after a refused sign-in the next one of that account waits;
	// DefaultRefusalPause if zero, none if negative. It should be longer than the realm's quick
	// login check (quickLoginCheckMilliSeconds, 1 s by default): two failures of an account within
	// that lock the account for a minute.
	RefusalPause time.Duration

	// ForwardAddress tells Keycloak the address of whoever signs in (identity.Address), for its
	// events and its rules, in X-Forwarded-For. Keycloak must be told to read it
	// (proxy-headers=xforwarded), and from this server alone (proxy-trusted-addresses); it ignores
	// it otherwise.
	ForwardAddress bool
}

// The defaults of a ClientConfig.
const (
	DefaultLoginScope = "openid profile email"
	DefaultTimeout    = 8 * time.Second

	// DefaultRefreshGrace is enough for two tabs of a browser that refresh at the same moment.
	DefaultRefreshGrace = 10 * time.Second

	// DefaultMaxCalls is the default of MaxLogins, MaxRefreshes and MaxLogouts. Keycloak hashes
	// passwords with argon2id, some ten milliseconds of a core each; more at once wait there, not
	// here.
	DefaultMaxCalls = 64

	// DefaultRefusalPause is Keycloak's quick login check, which is a second by default, and half
	// of one: Keycloak counts a failure a moment after its answer.
	DefaultRefusalPause = 1500 * time.Millisecond
)

const (
	// maxTimeouts bounds a call, in timeouts. Its caller is answered after one; Keycloak doesn't
	// stop then, so the call keeps its places in the pool and the queue until Keycloak has
	// answered, or until this bound.
	maxTimeouts = 3
	// maxQueueHold bounds how long a refusal that is held back blocks its account's queue, before
	// the pause. The owner waits behind it.
	maxQueueHold = 1500 * time.Millisecond
)

// A Client signs people in and out of a realm, on behalf of one client of it. Make it with
// NewClient; it is safe for concurrent use. Its methods fail with the errors of package identity:
//
//   - ErrProviderUnavailable when Keycloak is down, slow (identity.TimedOut), or answers with
//     something that isn't its own
//   - ErrProviderMisconfigured when a setting here, or a switch in the realm, is wrong;
//     identity.Detail names it
//   - ErrBusy when as many calls of the kind are under way as ClientConfig allows
//   - a RateLimitError when the caller's network has its share of those
//
// and with the refusals that each method names. No error holds a password or a token. What Keycloak
// said, and where it was asked, isn't in the text of an error, which a client may read, but in its
// identity.Detail.
type Client struct {
	config    ClientConfig
	http      *http.Client
	calls     *sync.WaitGroup // sign-ins and sign-outs under way, their callers there or not
	logins    *semaphore
	accounts  *accounts
	queue     *loginQueue
	timing    *loginTiming
	logouts   *semaphore
	exchanges *exchanges
}

var errNoClient = &identity.Error{Reason: identity.ErrProviderMisconfigured,
	Detail: "the zero Client has no realm: make it with keycloak.NewClient"}

// NewClient checks config and returns a client for it. It sends no request: a wrong secret shows at
// the first Login.
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
	for _, max := range []*int{&config.MaxLogins, &config.MaxRefreshes, &config.MaxLogouts} {
		if *max <= 0 {
			*max = DefaultMaxCalls
		}
	}
	if config.RefreshGrace == 0 {
		config.RefreshGrace = DefaultRefreshGrace
	}
	if config.RefusalPause == 0 {
		config.RefusalPause = DefaultRefusalPause
	}
	c := &Client{
		config: config, http: newHTTPClient(config.Transport),
		logins: newSemaphore(config.MaxLogins), accounts: newAccounts(), queue: newLoginQueue(),
		timing: new(loginTiming), calls: new(sync.WaitGroup),
		logouts: newSemaphore(config.MaxLogouts),
	}
	c.exchanges = newExchanges(c.exchange, config.RefreshGrace)
	c.exchanges.semaphore, c.exchanges.anyNetwork = newSemaphore(config.MaxRefreshes),
		config.RefreshGraceAnyNetwork
	if config.Log != nil {
		c.exchanges.log = config.Log
	}
	return c, nil
}

// Login trades a person's credentials for tokens by the resource owner password credentials grant,
// RFC 6749 section 4.3. It fails with ErrBadCredentials, ErrAccountDisabled, ErrAccountNotReady, or
// ErrLoginNotAllowed when direct access grants are off for the client.
//
// Sign-ins of one account are exchanged one after another, in the order in which they came: with
// brute-force protection on, Keycloak 26.7.4 refuses all but one of those that it has at the same
// moment, right passwords too, with the words for a wrong one. The next one comes RefusalPause
// after a refusal. At most four sign-ins of one account queue behind the running one, and at most
// two of them come from one network. Each waits for at most Timeout; the call to Keycloak then gets
// its own Timeout. A fifth, or one that waited too long, fails with ErrBusy. A caller who leaves is
// let go, and the exchange goes on: Keycloak doesn't stop either, and the next one must not meet
// it.
//
// ErrBadCredentials comes no sooner than other judged sign-ins take: Keycloak refuses an account
// without a password sooner than others, and time must not tell which accounts those are. Until
// then it counts to its network's share of MaxLogins, and to no other.
func (c *Client) Login(ctx context.Context,
	credentials identity.Credentials) (*identity.OpenIDToken, error) {
	if c.http == nil {
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
	waiting, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	leaveQueue, err := c.queue.enter(waiting, c.accounts.lookup(credentials))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil: // Keycloak wasn't asked, so it did nothing wrong
		return nil, &identity.Error{Reason: identity.ErrBusy,
			Detail: "others of this account are under way"}
	}
	// Waiting sign-ins hold no place: five of one account would take those of five accounts.
	slot, err := c.logins.acquire(ctx)
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
	begin := time.Now()
	return await(ctx, c, func(ctx context.Context) (*identity.OpenIDToken, error) {
		defer slot.release()
		token, err := c.tokens(ctx, form, loginRefusals)
		slot.free()
		refused := errors.Is(err, identity.ErrBadCredentials)
		if judged(err) {
			c.timing.observe(networkOf(ctx), time.Since(begin), refused)
		}
		switch {
		case err == nil:
			c.accounts.learn(credentials, token)
			leaveQueue(0)
		case refused:
			// What the caller could see besides the answer has the same pace: when the account's
			// next sign-in begins, and when the network's next place is free.
			held := min(c.timing.target(), c.config.Timeout/2)
			leaveQueue(time.Until(begin.Add(min(held, maxQueueHold))) +
				max(0, c.config.RefusalPause))
			time.Sleep(time.Until(begin.Add(held)))
		case identity.TimedOut(err): // Keycloak may count it as a failure
			leaveQueue(c.config.RefusalPause)
		default:
			leaveQueue(0)
		}
		return token, err
	})
}

// judged reports whether Keycloak judged a sign-in that ended so.
func judged(err error) bool {
	return err == nil || errors.Is(err, identity.ErrBadCredentials) ||
		errors.Is(err, identity.ErrAccountDisabled) ||
		errors.Is(err, identity.ErrAccountNotReady)
}

// Refresh trades a refresh token for new tokens, RFC 6749 section 6. Calls with one and the same
// token from one network share one exchange, which goes on when a caller leaves; its answer is
// handed out again within RefreshGrace, until the new refresh token is presented. It fails with
// ErrRefreshExpired, ErrSessionEnded, ErrRefreshReused or ErrRefreshInvalid.
func (c *Client) Refresh(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	if c.http == nil {
		return nil, fmt.Errorf("keycloak: refresh: %w", errNoClient)
	}
	if err := checkRefreshToken(refreshToken); err != nil {
		return nil, fmt.Errorf("keycloak: refresh: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	token, err := c.exchanges.do(waiting, refreshToken)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		err = c.timedOut()
	}
	if err != nil {
		return nil, fmt.Errorf("keycloak: refresh: %w", err)
	}
	return token, nil
}

// Logout ends the session of a refresh token, for every client of the realm that shares it. That
// the session had ended before is no error. It fails with ErrRefreshInvalid when Keycloak doesn't
// know the token. It goes on when ctx ends: whoever signs out often closes the tab next.
func (c *Client) Logout(ctx context.Context, refreshToken identity.Secret) error {
	if c.http == nil {
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

// checkRefreshToken refuses, before Keycloak is asked, what isn't in the one spelling that Keycloak
// gives its refresh tokens: a JWS of three parts. Keycloak 26.7.4 reads a token with padding, with
// + and / or stray bits in its signature, and with control characters anywhere, so that one token
// has any number of spellings. Whatever goes by the text of a token, as the shared exchange and the
// budgets do, takes each for another token.
func checkRefreshToken(refreshToken identity.Secret) error {
	parts, err := jose.DecodeCompact(refreshToken.Reveal())
	if err != nil || len(parts[0]) == 0 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return &identity.Error{Reason: identity.ErrRefreshInvalid,
			Detail: "it is not three parts of base64url in their one spelling, as Keycloak's are"}
	}
	return nil
}

func (c *Client) logout(ctx context.Context, refreshToken identity.Secret) error {
	// it outlives its caller, and isn't begun for one who has gone
	if err := ctx.Err(); err != nil {
		return err
	}
	slot, err := c.logouts.acquire(ctx)
	if err != nil {
		return err
	}
	_, err = await(context.WithoutCancel(ctx), c,
		func(ctx context.Context) (_ struct{}, err error) {
			defer slot.release()
			defer recovered(&err)
			c.exchanges.markUsed(refreshToken)
			form := url.Values{"refresh_token": {refreshToken.Reveal()}}
			got, err := c.call(ctx, c.config.Realm.logoutURL(), form)
			if err != nil {
				return struct{}{}, err
			}
			if got.status != http.StatusNoContent {
				// 26.7.4 says 204 of an ended session too; should another release refuse, it is no
				// error here.
				if err := refusal(got, refreshRefusals); !errors.Is(err, identity.ErrSessionEnded) {
					return struct{}{}, err
				}
			}
			c.exchanges.endSession(refreshToken)
			return struct{}{}, nil
		})
	return err
}

// await runs work, which Client.Close waits for, and returns what it returns. A caller who leaves
// is let go, and one who has waited for Timeout is told that Keycloak timed out; work goes on in
// both cases.
func await[T any](ctx context.Context, c *Client,
	work func(context.Context) (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	ended := make(chan outcome, 1) // there may be no receiver any more
	c.calls.Go(func() {            // ends with work, which bounds its time by call
		value, err := work(context.WithoutCancel(ctx))
		ended <- outcome{value, err}
	})
	timer := time.NewTimer(c.config.Timeout)
	defer timer.Stop()
	var none T
	select {
	case out := <-ended:
		return out.value, out.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-timer.C:
		return none, c.timedOut()
	}
}

// recovered turns a panic into an error. Calls run on goroutines that outlive their callers, where
// one panic would end the process.
func recovered(err *error) {
	if recover() != nil {
		*err = unavailable("asking Keycloak panicked")
	}
}

func (c *Client) timedOut() error {
	return &identity.Error{
		Reason: identity.ErrProviderUnavailable, TimedOut: true,
		Detail: fmt.Sprintf("no answer within %v (ClientConfig.Timeout)", c.config.Timeout),
	}
}

// Close waits until the exchanges that callers have left are done, or ctx ends. Call it when no
// more requests come in: an exchange cut off in the middle may cost a person the session.
func (c *Client) Close(ctx context.Context) error {
	if c.http == nil {
		return nil
	}
	ended := make(chan struct{})
	go func() { // ends with the last call, each of which has a deadline
		c.calls.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return c.exchanges.wait(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) exchange(ctx context.Context,
	refreshToken identity.Secret) (*identity.OpenIDToken, error) {
	return c.tokens(ctx, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken.Reveal()},
	}, refreshRefusals)
}

// tokens asks the token endpoint.
func (c *Client) tokens(ctx context.Context, form url.Values,
	refusals []refusalRule) (token *identity.OpenIDToken, err error) {
	defer recovered(&err)
	got, err := c.call(ctx, c.config.Realm.tokenURL(), form)
	if err != nil {
		return nil, err
	}
	return readToken(got, refusals)
}

// call posts a form with the client's own credentials, as form values: Keycloak prefers those to
// Basic, which would need the double encoding of RFC 6749 section 2.3.1. A client that takes a
// secret in a header only gets a hint for the log (clientErrors): trying both ways would double the
// calls of every wrong secret. It takes no longer than maxTimeouts.
func (c *Client) call(ctx context.Context, url string, form url.Values) (response, error) {
	bounded, cancel := context.WithTimeout(ctx, maxTimeouts*c.config.Timeout)
	defer cancel()
	form.Set("client_id", c.config.ClientID)
	form.Set("client_secret", c.config.ClientSecret.Reveal())
	got, err := c.post(bounded, url, form)
	switch {
	case err != nil && bounded.Err() != nil:
		return response{}, c.timedOut()
	case err != nil:
		return response{}, unavailable("%s", err.Error())
	}
	return got, nil
}

// post sends a form. Of the request that it is sent for, the client's address alone goes along, and
// only if told to.
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
	return send(c.http, request)
}
