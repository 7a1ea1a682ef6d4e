package keycloak

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

const (
	// refreshLease is how long other processes wait for an exchange whose process no longer renews
	// its lease.
	refreshLease = 10 * time.Second
	// leaseRenewInterval leaves time for several renewals until the lease ends.
	leaseRenewInterval = 2 * time.Second
	// storeGiveUpTime is how long refreshes fail after the store became unavailable. Then the
	// leases that other processes had before have ended, and this process exchanges without it.
	storeGiveUpTime = 15 * time.Second
	// maxUnstoredResults limits the results that wait until the store is available again.
	maxUnstoredResults = 1000
	storeRetryInterval = time.Second
	// unstoredTime is for how long a result may still be stored. Other processes refuse refreshes
	// for storeGiveUpTime, and find the lease for as long after its end.
	unstoredTime = storeGiveUpTime + refreshLease
	// minLateKeep is how long a response is kept at least that is stored late.
	minLateKeep = 5 * time.Second
	// maxCloseTime limits the last attempt to store results.
	maxCloseTime = time.Second
	// waitMargin lets callers time out before the exchange that waits for another process.
	waitMargin = time.Second
)

// A sharedRefresher makes sure that each refresh token is exchanged once per network in all
// processes that share a store. The refresher uses it for each exchange that it starts.
type sharedRefresher struct {
	calls   store.Calls
	keys    storeKeys
	keep    time.Duration // how long a token response may be repeated
	maxWait time.Duration // for another process's exchange
	log     *slog.Logger
	stats   *clientStats
	health  storeHealth
	cached  func() []unstoredResult // the results in this process that may be repeated

	probe store.CallKey // of this process

	closed     chan struct{}
	background sync.WaitGroup // the goroutines of storeUnstored and probeStore
	stop       context.CancelFunc
	stopped    context.Context // for the background's calls to the store

	mu        sync.Mutex       // guards the fields below
	isClosed  bool             // no more goroutines
	isProbing bool             // a goroutine runs
	unstored  []unstoredResult // retried in the background; a goroutine runs while there are any
}

// An unstoredResult is a result that the store didn't accept.
type unstoredResult struct {
	key       store.CallKey
	id        store.CallID
	result    exchangeResult
	at        time.Time // when the exchange ended
	keep      time.Duration
	successor store.Key
}

// newSharedRefresher returns nil if config has no store.
func newSharedRefresher(config ClientConfig, stats *clientStats) *sharedRefresher {
	if config.Calls == nil {
		return nil
	}
	s := &sharedRefresher{
		calls: config.Calls, keys: newStoreKeys(config), log: config.Log, stats: stats,
		closed:  make(chan struct{}),
		keep:    min(max(config.RefreshGrace, 0), store.MaxCallTime),
		maxWait: config.Timeout + waitMargin,
		health: storeHealth{log: config.Log, message: "the shared store fails: for 15 s, " +
			"refreshes are refused; then this process exchanges refresh tokens without it"},
	}
	rand.Read(s.probe.Subject[:])
	s.stopped, s.stop = context.WithCancel(context.Background())
	return s
}

// A sharedExchange is what a sharedRefresher may do for an exchange.
type sharedExchange struct {
	// exchangeToken calls Keycloak.
	exchangeToken func(context.Context) (*identity.OpenIDToken, error)
	// release is called before the exchange waits for another process, which has a slot of its own.
	// The next token of the session may come before this process has the other's result.
	release func()
}

// exchange calls exchangeToken, unless another process has called or is calling it for the same
// token and network. Then it returns that process's result. Some other errors come from the store:
//
//   - ErrStoreUnavailable while the store is unavailable, for storeGiveUpTime
//   - ErrRefreshInterrupted if the other process ended before it stored the result
func (s *sharedRefresher) exchange(ctx context.Context, e *exchange, refreshToken identity.Secret,
	do sharedExchange) exchangeResult {
	key := store.CallKey{Subject: s.keys.refreshToken(refreshToken),
		Group: s.keys.tokenNetwork(refreshToken, e.network)}
	var id store.CallID
	rand.Read(id[:])
	call, err := s.begin(ctx, key, id)
	downFor := s.record(ctx, err)
	switch {
	case err != nil && downFor < storeGiveUpTime:
		s.stats.storeRefusals.Add(1)
		// The store may have started the call: end it, so that other processes don't wait for it.
		s.storeLater(key, id, exchangeResult{err: identity.ErrRefreshInterrupted})
		return exchangeResult{err: &identity.Error{Reason: identity.ErrStoreUnavailable,
			Detail: err.Error()}}
	case err != nil:
		s.stats.storeFallbacks.Add(1)
		e.callKey, e.callID = key, id
		result := newExchangeResult(do.exchangeToken(ctx))
		s.storeLater(key, id, result)
		return result
	}
	switch {
	case call.State == store.CallInFlight:
		do.release()
		s.logRepeat(ctx, e)
		return s.wait(ctx, e, key, call.ID)
	case call.State == store.CallDone && call.Result != nil:
		s.logRepeat(ctx, e)
		return decodeResult(call)
	case call.State == store.CallDone:
		s.logRefusedRepeat(ctx, e, reasonSuperseded)
		return newExchangeResult(do.exchangeToken(ctx))
	}
	if call.OtherGroup {
		s.logRefusedRepeat(ctx, e, reasonOtherNetwork)
	}
	e.callKey, e.callID = key, id
	stopRenewing := s.renew(ctx, key, id)
	result := newExchangeResult(do.exchangeToken(ctx))
	stopRenewing()
	err = s.finish(ctx, s.unstoredResult(key, id, result), result.encode())
	if isStoreFailure(err) {
		s.storeLater(key, id, result)
	}
	return result
}

// record is storeHealth.record, for the error of Begin or Finish. A store that fails may lose its
// data, so record lets this process store its results again.
func (s *sharedRefresher) record(ctx context.Context, err error) (downFor time.Duration) {
	downFor, isFirst := s.health.record(ctx, err)
	if isFirst {
		for _, u := range s.cached() {
			s.addUnstored(u, maxUnstoredResults)
		}
	}
	if isFirst && !errors.Is(err, store.ErrDataLost) {
		s.startProbing()
	}
	return downFor
}

// recordFailure is record for the error of another operation. If that succeeds, Begin may still
// fail, for example because the store is full.
func (s *sharedRefresher) recordFailure(ctx context.Context, err error) (downFor time.Duration) {
	if !isStoreFailure(err) {
		return 0
	}
	return s.record(ctx, err)
}

// startProbing calls the store in the background until a call succeeds, so that downFor tells how
// long the store has been unavailable even if there is no refresh for a while.
func (s *sharedRefresher) startProbing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed || s.isProbing {
		return
	}
	s.isProbing = true
	s.background.Go(s.probeStore) // ends with close, or when the store is available
}

func (s *sharedRefresher) probeStore() {
	for {
		select {
		case <-time.After(storeRetryInterval):
		case <-s.closed:
			return
		}
		if !s.health.isDown() {
			s.mu.Lock()
			isDone := !s.health.isDown()
			s.isProbing = !isDone
			s.mu.Unlock()
			if isDone {
				return
			}
		}
		var id store.CallID
		rand.Read(id[:])
		ctx, cancel := context.WithTimeout(s.stopped, storeTimeout)
		_, err := s.calls.Begin(ctx, s.probe, id, storeRetryInterval, 0)
		cancel()
		s.record(s.stopped, err)
	}
}

func newExchangeResult(token *identity.OpenIDToken, err error) exchangeResult {
	return exchangeResult{token: token, err: err}
}

func (s *sharedRefresher) begin(ctx context.Context, key store.CallKey,
	id store.CallID) (store.Call, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.calls.Begin(ctx, key, id, refreshLease, s.keep)
}

// wait waits for the result of another process's exchange.
func (s *sharedRefresher) wait(ctx context.Context, e *exchange, key store.CallKey,
	id store.CallID) exchangeResult {
	waitCtx, cancel := context.WithTimeout(ctx, s.maxWait)
	defer cancel()
	call, err := s.calls.Wait(waitCtx, key, id)
	switch {
	case waitCtx.Err() != nil && err != nil: // the callers don't wait any longer
		return exchangeResult{err: &identity.Error{Reason: identity.ErrProviderUnavailable,
			TimedOut: true, Detail: "another process is exchanging the refresh token"}}
	case err != nil:
		s.recordFailure(ctx, err)
		s.stats.storeRefusals.Add(1)
		return exchangeResult{err: &identity.Error{Reason: identity.ErrStoreUnavailable,
			Detail: err.Error()}}
	case call.State != store.CallDone:
		s.stats.interrupted.Add(1)
		s.log.LogAttrs(ctx, slog.LevelWarn, "another process was exchanging a refresh token and "+
			"ended: whether Keycloak has accepted the token is unknown", sessionAttr(e.session))
		return exchangeResult{err: &identity.Error{Reason: identity.ErrRefreshInterrupted,
			Detail: "the process that was exchanging the refresh token no longer renews its lease"}}
	}
	return decodeResult(call)
}

// renew renews the lease of a call until stop is called.
func (s *sharedRefresher) renew(ctx context.Context, key store.CallKey,
	id store.CallID) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(leaseRenewInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			callCtx, cancelCall := context.WithTimeout(ctx, storeTimeout)
			err := s.calls.Renew(callCtx, key, id, refreshLease)
			cancelCall()
			if ctx.Err() != nil || errors.Is(err, store.ErrLeaseLost) {
				return
			}
			s.recordFailure(ctx, err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// finish stores the result of a call. encoded is the encoded result.
func (s *sharedRefresher) finish(ctx context.Context, u unstoredResult, encoded []byte) error {
	callCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	keep := u.keep
	if age := time.Since(u.at); keep > 0 && age > 0 {
		keep = max(keep-age, min(keep, minLateKeep))
	}
	err := s.calls.Finish(callCtx, u.key, u.id, encoded, u.successor, keep)
	if errors.Is(err, store.ErrTooLarge) {
		// Others can't have the response, but needn't wait for it.
		failure := exchangeResult{err: &identity.Error{Reason: identity.ErrRefreshInterrupted,
			Detail: "Keycloak's response is too large for the shared store"}}
		err = s.calls.Finish(callCtx, u.key, u.id, failure.encode(), store.Key{}, 0)
	}
	s.record(ctx, err)
	return err
}

// unstoredResult returns what finish stores of a result. Failures aren't kept: the next refresh
// calls Keycloak.
func (s *sharedRefresher) unstoredResult(key store.CallKey, id store.CallID,
	result exchangeResult) unstoredResult {
	u := unstoredResult{key: key, id: id, result: result, at: time.Now()}
	if result.err == nil {
		u.keep = s.keep
		u.successor = s.successor(result.token, key.Subject)
	}
	return u
}

// successor returns the key of the refresh token in a response to subject's token. A realm without
// single-use tokens may return the presented refresh token again: then presenting it supersedes
// nothing, and successor returns the zero Key.
func (s *sharedRefresher) successor(token *identity.OpenIDToken, subject store.Key) store.Key {
	if token == nil || token.RefreshToken == nil {
		return store.Key{}
	}
	if key := s.keys.refreshToken(*token.RefreshToken); key != subject {
		return key
	}
	return store.Key{}
}

// storeLater stores a result in the background as soon as the store is available, unless it would
// be forgotten by then.
func (s *sharedRefresher) storeLater(key store.CallKey, id store.CallID, result exchangeResult) {
	limit := maxUnstoredResults
	if result.err != nil { // failures must not displace responses
		limit /= 2
	}
	s.addUnstored(s.unstoredResult(key, id, result), limit)
}

// addUnstored stores a result in the background, unless limit results are unstored already.
func (s *sharedRefresher) addUnstored(u unstoredResult, limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed || len(s.unstored) >= limit {
		return
	}
	s.unstored = append(s.unstored, u)
	if len(s.unstored) == 1 {
		// Ends with close, or when all results are stored or forgotten.
		s.background.Go(s.storeUnstored)
	}
}

// storeUnstored stores the unstored results, with a pause after each failure. After close, it tries
// once.
func (s *sharedRefresher) storeUnstored() {
	ctx := s.stopped
	for isClosed := false; ; {
		select {
		case <-time.After(storeRetryInterval):
		case <-s.closed:
			isClosed = true
		}
		for s.storeOldest(ctx) {
			if s.dropUnstored(1) == 0 {
				return
			}
		}
		if isClosed && s.dropUnstored(maxUnstoredResults) == 0 {
			return
		}
	}
}

// dropUnstored drops the oldest unstored results, at most n, and returns how many are left.
func (s *sharedRefresher) dropUnstored(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unstored = s.unstored[min(n, len(s.unstored)):]; len(s.unstored) == 0 {
		s.unstored = nil
	}
	return len(s.unstored)
}

// close stops the background work, and waits for it for at most maxCloseTime. Results that the
// store doesn't accept until then are lost for other processes.
func (s *sharedRefresher) close() {
	s.mu.Lock()
	if !s.isClosed {
		s.isClosed = true
		close(s.closed)
	}
	s.mu.Unlock()
	timer := time.AfterFunc(maxCloseTime, s.stop)
	defer timer.Stop()
	s.background.Wait()
	s.stop()
}

// storeOldest stores the first unstored result, unless it is too old. It returns false if the store
// is still unavailable.
func (s *sharedRefresher) storeOldest(ctx context.Context) bool {
	s.mu.Lock()
	u := s.unstored[0]
	s.mu.Unlock()
	age := time.Since(u.at)
	if age >= max(u.keep, unstoredTime) {
		return true
	}
	err := s.markKeyUsed(ctx, u.key.Subject)
	if err == nil {
		u.result.age = age
		err = s.finish(ctx, u, u.result.encode())
	}
	return !isStoreFailure(err)
}

// markUsed records that a refresh token was presented for something other than an exchange.
func (s *sharedRefresher) markUsed(ctx context.Context, refreshToken identity.Secret) {
	s.markKeyUsed(ctx, s.keys.refreshToken(refreshToken))
}

func (s *sharedRefresher) markKeyUsed(ctx context.Context, key store.Key) error {
	if s.keep == 0 { // no response is kept, so no token supersedes one
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := s.calls.MarkUsed(ctx, key, s.keep)
	s.recordFailure(ctx, err)
	return err
}

// isSuperseded reports whether the new refresh token in a cached response was presented, to any
// process. It returns ErrStoreUnavailable while the store is unavailable, for storeGiveUpTime.
func (s *sharedRefresher) isSuperseded(ctx context.Context, e *exchange,
	refreshToken identity.Secret) (bool, error) {
	successor := s.successor(e.token, s.keys.refreshToken(refreshToken))
	if successor == (store.Key{}) {
		return false, nil
	}
	callCtx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	used, err := s.calls.IsUsed(callCtx, successor)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil {
		return used, nil
	}
	downFor := s.recordFailure(ctx, err)
	if downFor < storeGiveUpTime {
		s.stats.storeRefusals.Add(1)
		return false, &identity.Error{Reason: identity.ErrStoreUnavailable, Detail: err.Error()}
	}
	s.stats.storeFallbacks.Add(1)
	return false, nil // as far as this process knows
}

// logRepeat logs that the response to another process's exchange is repeated.
func (s *sharedRefresher) logRepeat(ctx context.Context, e *exchange) {
	s.stats.repeats.Add(1)
	logRepeat(ctx, s.log, e.session, e.network)
}

// logRefusedRepeat logs that a response isn't repeated, unless the refresher has logged it.
func (s *sharedRefresher) logRefusedRepeat(ctx context.Context, e *exchange, reason string) {
	if e.refusalLogged {
		return
	}
	s.stats.refusedRepeats.Add(1)
	logRefusedRepeat(ctx, s.log, reason, e.session, e.network)
}
