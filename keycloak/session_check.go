package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A SessionCheckConfig configures a SessionChecker. Client and End are required.
type SessionCheckConfig struct {
	// Client calls Keycloak. Its client must be in the audience of the tokens (aud), because
	// Keycloak tells only these whether a token is active.
	Client *Client

	// End is called for each token that Keycloak no longer accepts, before Check returns. It must
	// be safe for concurrent use.
	End func(SessionEnd)

	// Wait makes Check wait until Keycloak has answered, and fail if Keycloak can't be asked.
	// Otherwise Check returns at once, and tokens are checked in the background.
	Wait bool

	// Interval is how long an answer counts; DefaultCheckInterval if it isn't positive.
	Interval time.Duration

	// Timeout is how long a call to Keycloak may take, and how long Check waits;
	// DefaultCheckTimeout if it isn't positive.
	Timeout time.Duration

	// MaxPerSecond limits the tokens that are checked in a second; DefaultChecksPerSecond if it
	// isn't positive.
	MaxPerSecond int

	// Log gets at most one line a minute about tokens that weren't checked, and one for each token
	// that Keycloak no longer accepts; slog.Default() if nil.
	Log *slog.Logger

	Now func() time.Time // time.Now if nil
}

// The defaults of a SessionCheckConfig.
const (
	DefaultCheckInterval = 30 * time.Second
	DefaultCheckTimeout  = 3 * time.Second

	// DefaultChecksPerSecond is enough for 15,000 sessions that are in use at the same time, with
	// the default interval.
	DefaultChecksPerSecond = 500
)

const (
	maxCheckCalls   = 4    // checks in progress
	maxQueuedChecks = 1000 // two seconds of work at the default rate

	// maxChecksPerSubject limits the checks of one user that wait or are in progress, so that a
	// user with many tokens can't fill the queue.
	maxChecksPerSubject = 16

	// maxCheckFailures is the number of failures in a row after which no check starts for
	// checkPause.
	maxCheckFailures = maxCheckCalls
	checkPause       = time.Second

	// checkRetryDelay is how long a token isn't checked again after a failed check.
	checkRetryDelay = time.Second
)

// A SessionChecker asks Keycloak whether the sessions in use are still active (token introspection,
// RFC 7662). Keycloak doesn't announce that a user was disabled or deleted, that a token was
// revoked (RFC 7009), or that an administrator has set not-before. Make it with NewSessionChecker,
// and set Issuer.CheckSession to its method Check. It is safe for concurrent use.
//
// A token is checked when it is used and the last answer is older than Interval. The issue of the
// token counts as an answer, because Keycloak issues tokens only for active sessions. Tokens of one
// session that were issued in the same second share their checks. Other tokens of the session are
// checked by themselves, because each token can be revoked by itself. Concurrent checks of a token
// are one call.
//
// If Keycloak says that the token isn't active, End is called with the session and the time at
// which the token was issued: the tokens of the session that were issued until then are revoked,
// and later ones are not. Without a valid answer, no token is revoked.
//
// At most four checks run at once, and a thousand wait. At most sixteen of all these are of one
// subject. Beyond that, a check is skipped, and with Wait, Check fails with ErrBusy. The next use
// of the token tries again. While Keycloak can't be asked, there are a few attempts per second.
type SessionChecker struct {
	config SessionCheckConfig
	recent checkTable

	done, ended, failed, skipped atomic.Int64 // for Stats
	skipLog, failureLog          logLimiter

	mu          sync.Mutex // guards the fields below
	inFlight    map[checkKey]*sessionCheck
	bySubject   map[string]int // the number of checks in inFlight
	queue       []*sessionCheck
	workers     int
	nextStart   time.Time // the earliest start of the next check
	failures    int       // in a row
	pausedUntil time.Time
	lastErr     error // of the last failure
	isClosed    bool
	group       sync.WaitGroup
}

// A sessionCheck is in progress until done is closed.
type sessionCheck struct {
	key     checkKey
	session TokenSession
	token   identity.Secret
	done    chan struct{}
	err     error // written before done is closed
}

// SessionCheckStats counts since the checker was made.
type SessionCheckStats struct {
	Done    int64 // checks that Keycloak answered
	Ended   int64 // of these, tokens that weren't active
	Failed  int64 // checks without a valid answer
	Skipped int64 // checks that didn't start: the queue was full, or earlier checks failed
}

// NewSessionChecker checks config and returns a SessionChecker.
func NewSessionChecker(config SessionCheckConfig) (*SessionChecker, error) {
	if config.Client == nil || config.Client.httpClient == nil || config.End == nil {
		return nil, errors.New("keycloak: a session checker needs a Client and an End")
	}
	if config.Interval <= 0 {
		config.Interval = DefaultCheckInterval
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultCheckTimeout
	}
	if config.MaxPerSecond <= 0 {
		config.MaxPerSecond = DefaultChecksPerSecond
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &SessionChecker{config: config, inFlight: map[checkKey]*sessionCheck{},
		bySubject: map[string]int{}}
	c.skipLog.interval, c.failureLog.interval = time.Minute, time.Minute
	c.recent.init(config.Interval)
	return c, nil
}

// Check is for Issuer.CheckSession. With Wait, it returns an identity.Error if Keycloak no longer
// accepts the token (ErrTokenRevoked), if Keycloak can't be asked (ErrKeysUnavailable), or if too
// many checks are in progress (ErrBusy). If ctx ends first, it returns ctx.Err(). Without Wait, it
// returns nil at once; if the token isn't active, End has been called soon afterwards.
func (c *SessionChecker) Check(ctx context.Context, session TokenSession,
	accessToken identity.Secret) error {
	if c == nil || c.config.Client == nil {
		return uncheckedError("the zero SessionChecker has no Client: make it with " +
			"keycloak.NewSessionChecker")
	}
	now := c.config.Now()
	age := now.Sub(session.IssuedAt)
	if age >= 0 && age < c.config.Interval {
		return nil
	}
	key := checkKey{session.SessionID, session.IssuedAt.Unix()}
	if c.recent.isRecent(key, now) {
		return nil
	}
	check, err := c.start(key, session, accessToken)
	switch {
	case !c.config.Wait:
		return nil
	case err != nil, check == nil:
		return err
	}
	timer := time.NewTimer(c.config.Timeout)
	defer timer.Stop()
	select {
	case <-check.done:
		return check.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return c.timeoutError()
	}
}

func (c *SessionChecker) timeoutError() error {
	err := uncheckedError("no response within %v (SessionCheckConfig.Timeout)", c.config.Timeout)
	err.TimedOut = true
	return err
}

// start joins the check of a token that is in progress, or queues one. It returns nil and no error
// if a check has succeeded meanwhile.
func (c *SessionChecker) start(key checkKey, session TokenSession,
	accessToken identity.Secret) (*sessionCheck, error) {
	check, err := c.joinOrQueue(key, session, accessToken)
	if err != nil {
		c.skip(1, err)
	}
	return check, err
}

func (c *SessionChecker) joinOrQueue(key checkKey, session TokenSession,
	accessToken identity.Secret) (*sessionCheck, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if check := c.inFlight[key]; check != nil {
		return check, nil
	}
	now := c.config.Now()
	if c.recent.isRecent(key, now) {
		return nil, nil
	}
	switch {
	case c.isClosed:
		return nil, uncheckedError("the server is stopping")
	case time.Now().Before(c.pausedUntil):
		return nil, c.lastErr
	case c.recent.hasFailed(key, now):
		return nil, uncheckedError("a check of this token failed less than %v ago",
			checkRetryDelay)
	case c.bySubject[session.Subject] >= maxChecksPerSubject:
		return nil, &identity.Error{Reason: identity.ErrBusy,
			Detail: fmt.Sprintf("%d checks of one user's sessions are waiting",
				maxChecksPerSubject)}
	case len(c.queue) >= maxQueuedChecks:
		return nil, &identity.Error{Reason: identity.ErrBusy,
			Detail: fmt.Sprintf("%d checks of sessions are waiting", len(c.queue))}
	}
	check := &sessionCheck{key: key, session: session, token: accessToken,
		done: make(chan struct{})}
	c.inFlight[key] = check
	c.bySubject[session.Subject]++
	c.queue = append(c.queue, check)
	if c.workers < maxCheckCalls {
		c.workers++
		c.group.Go(c.work) // ends when the queue is empty
	}
	return check, nil
}

// skip counts checks that didn't start because of err. The caller must not hold mu: the log may be
// slow.
func (c *SessionChecker) skip(count int, err error) {
	c.skipped.Add(int64(count))
	if _, ok := c.skipLog.allow(time.Now()); ok {
		c.config.Log.Warn("sessions aren't checked with Keycloak in time", "total",
			c.skipped.Load(), "detail", identity.Detail(err))
	}
}

// work runs checks until the queue is empty.
func (c *SessionChecker) work() {
	for {
		check, startAt := c.next()
		if check == nil {
			return
		}
		time.Sleep(time.Until(startAt))
		c.run(check)
	}
}

// next takes a check from the queue, and says when it may start. It returns nil if the queue is
// empty, and then the worker has to end.
func (c *SessionChecker) next() (*sessionCheck, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.queue = nil
		c.workers--
		return nil, time.Time{}
	}
	check := c.queue[0]
	c.queue = c.queue[1:]
	startAt := latest(time.Now(), c.nextStart)
	c.nextStart = startAt.Add(time.Second / time.Duration(c.config.MaxPerSecond))
	return check, startAt
}

// run asks Keycloak about a token, and ends the check.
func (c *SessionChecker) run(check *sessionCheck) {
	wasAsked := false
	err := checkAudience(check.token, c.config.Client.config.ClientID)
	if err == nil {
		wasAsked = true
		check.err, err = c.ask(check)
	}
	if err != nil {
		check.err = err
		c.failed.Add(1)
		c.recent.setFailed(check.key, c.config.Now().Add(checkRetryDelay))
		if _, ok := c.failureLog.allow(time.Now()); ok {
			c.config.Log.Warn("a session can't be checked with Keycloak", "total",
				c.failed.Load(), "detail", identity.Detail(err))
		}
	}
	c.finish(check, err, wasAsked)
}

// ask asks Keycloak about a token. It returns the error for the check's callers if Keycloak has
// answered, and otherwise err.
func (c *SessionChecker) ask(check *sessionCheck) (revokedErr, err error) {
	defer func() { // on this goroutine, a panic would end the process
		if value := recover(); value != nil {
			logPanic(context.Background(), c.config.Log, value)
			revokedErr, err = nil, uncheckedError("the check panicked")
		}
	}()
	startedAt := c.config.Now()
	isActive, err := c.introspect(check.token)
	if err != nil {
		return nil, err
	}
	c.done.Add(1)
	if isActive {
		c.recent.setChecked(check.key, startedAt)
		return nil, nil
	}
	c.ended.Add(1)
	return c.endSession(check.session, startedAt), nil
}

// endSession reports the end of a token, and returns the error for its callers.
func (c *SessionChecker) endSession(session TokenSession, now time.Time) error {
	end := SessionEnd{SessionID: session.SessionID, Subject: session.Subject,
		At: session.IssuedAt, Exact: true}
	if session.IssuedAt.IsZero() { // no iat
		end.At = now.Truncate(time.Second)
	}
	c.config.End(end)
	c.config.Log.Info("Keycloak no longer accepts a token", sessionAttr(session.SessionID),
		slog.String("subject", session.Subject), slog.Time("issued", end.At))
	return &identity.Error{Reason: identity.ErrTokenRevoked,
		Detail: "Keycloak says that the token isn't active (token introspection)"}
}

// finish ends a check. err is set if it failed. After a few failures of Keycloak in a row, finish
// ends all queued checks, and no check starts for a moment.
func (c *SessionChecker) finish(check *sessionCheck, err error, wasAsked bool) {
	droppedCount := 0
	c.mu.Lock()
	c.end(check)
	switch {
	case !wasAsked:
	case err == nil:
		c.failures = 0
	default:
		c.lastErr = err
		if c.failures++; c.failures >= maxCheckFailures {
			c.pausedUntil = time.Now().Add(checkPause)
			droppedCount = c.dropQueue(err)
		}
	}
	c.mu.Unlock()
	if droppedCount > 0 {
		c.skip(droppedCount, err)
	}
}

// end lets the callers of a check continue. The caller holds mu.
func (c *SessionChecker) end(check *sessionCheck) {
	delete(c.inFlight, check.key)
	subject := check.session.Subject
	if c.bySubject[subject]--; c.bySubject[subject] == 0 {
		delete(c.bySubject, subject)
	}
	close(check.done)
}

// dropQueue ends all queued checks with err, and returns how many there were. The caller holds mu,
// and has to call skip afterwards.
func (c *SessionChecker) dropQueue(err error) int {
	dropped := c.queue
	c.queue = nil
	for _, check := range dropped {
		check.err = err
		c.end(check)
	}
	return len(dropped)
}

// Stats returns how many checks there were.
func (c *SessionChecker) Stats() SessionCheckStats {
	if c == nil {
		return SessionCheckStats{}
	}
	return SessionCheckStats{Done: c.done.Load(), Ended: c.ended.Load(), Failed: c.failed.Load(),
		Skipped: c.skipped.Load()}
}

// Close drops the queued checks and waits for those in progress, or until ctx ends. Afterwards no
// check starts: with Wait, tokens that have to be checked are rejected.
func (c *SessionChecker) Close(ctx context.Context) error {
	if c == nil || c.config.Client == nil {
		return nil
	}
	err := uncheckedError("the server is stopping")
	c.mu.Lock()
	c.isClosed = true
	droppedCount := c.dropQueue(err)
	c.mu.Unlock()
	if droppedCount > 0 {
		c.skip(droppedCount, err)
	}
	done := make(chan struct{})
	go func() { // ends with the last check; each has a deadline
		c.group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// uncheckedError returns the error for a token that couldn't be checked. To clients it means the
// same as keys that can't be fetched: they are still signed in, and may try again.
func uncheckedError(format string, args ...any) *identity.Error {
	return &identity.Error{Reason: identity.ErrKeysUnavailable,
		Detail: "the session couldn't be checked: " + fmt.Sprintf(format, args...)}
}
