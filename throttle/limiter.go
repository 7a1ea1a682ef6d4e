package throttle

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// globalFactor is how many times the limit for all networks together is as high as the limit for
// one network. So attackers need five networks to lock out a user in another network. The limit for
// a network is also globalFactor times the limit for one of its addresses.
const globalFactor = 5

const (
	storeRetryInterval = time.Second // after a failed call, until the next call
	storeLogInterval   = time.Minute // between log lines about failed calls
)

// DefaultStoreTimeout is the default of Config.StoreTimeout.
const DefaultStoreTimeout = 250 * time.Millisecond

// A Config sets the limits. A zero Rate stands for the rate in Defaults.
type Config struct {
	// Account limits failed sign-ins to one account from one network, an IPv4 /24 or an IPv6 /48.
	// For all networks together, the burst and the rate are five times as high.
	Account Rate

	// AccountSlow limits the same attempts over a longer time, such as a day. The longer limit
	// protects one-time codes: an attacker who knows the password can guess one code per attempt,
	// all day.
	AccountSlow Rate

	// Address limits failed sign-ins from one address, an IPv4 address or an IPv6 /64, to all
	// accounts together. For a network, an IPv4 /24 or an IPv6 /48, the burst and the rate are five
	// times as high. Sign-ins in flight count as failed, so Burst should be at least the number of
	// sign-ins that may be in flight at once.
	Address Rate

	// Token limits failed attempts with one refresh token from one address. Refresh and Logout are
	// counted separately. Attempts in flight count as failed.
	Token Rate

	// TokenAddress limits attempts from one address with tokens that the realm never issued.
	// Refresh and Logout are counted separately. Attempts with expired tokens don't count: on a
	// Monday morning, everyone in an office may have an expired token.
	TokenAddress Rate

	// Attempts limits all attempts from one address, with any outcome. Login, Refresh and Logout
	// are counted separately. The default is generous, because all users of an office, or of a
	// server in front of this one, may have the same address.
	Attempts Rate

	// Store stores the counts. If Store is nil, this process counts in its own memory. While Store
	// fails, this process also counts in its own memory, starting from zero. Then each limit has
	// half the burst and half the rate, because other processes count for themselves too.
	Store store.Buckets

	// StoreTimeout limits one call to Store; DefaultStoreTimeout if it isn't positive.
	StoreTimeout time.Duration

	Log *slog.Logger // slog.Default() if nil; at most one line a minute while Store fails
}

// Defaults returns a Config with the default limits.
func Defaults() Config {
	return Config{
		Account:      Rate{10, time.Minute},
		AccountSlow:  Rate{20, 15 * time.Minute},
		Address:      Rate{100, 6 * time.Second},
		Token:        Rate{30, 10 * time.Second},
		TokenAddress: Rate{100, time.Second},
		Attempts:     Rate{1000, 200 * time.Millisecond},
	}
}

// A Limiter limits attempts to sign in, refresh and sign out. Make one with New. It is safe for
// concurrent use.
//
// Login, Refresh and Logout reserve an attempt before the realm is called. They take one token from
// every bucket that the attempt counts against. If one of these is empty, they take none and return
// an *identity.RateLimitError. If ctx is done, they return its error. The address comes from
// identity.Address; all requests without an address share the same limits.
//
// After the realm's response, call done once with the outcome, which is the realm's error or nil.
// Later calls do nothing. Except for the token of Config.Attempts, which is never refunded, done
// refunds:
//
//   - all tokens if the attempt succeeded, or failed although the password was right, because then
//     nothing was guessed
//   - all tokens if the realm checked nothing for this attempt, because it is down or rejects this
//     server, or because the store that several processes share is down
//   - only the tokens of the account or of the refresh token if the realm was busy or timed out.
//     The attempt still counts for the address, because it took capacity that others could have
//     used
//   - no tokens if the realm refused, if the request was canceled or its deadline passed before the
//     realm responded, or if the error is unknown
//
// If done isn't called, the attempt stays counted.
type Limiter struct {
	config      Config
	sharedStore store.Buckets        // may be nil
	localStore  *store.MemoryBuckets // in this process

	mu         sync.Mutex // guards the fields below
	retryAt    time.Time  // when the shared store may be called again
	lastLogged time.Time  // when a failure of the shared store was last logged
}

var errZeroLimiter = errors.New(
	"throttle: the zero Limiter has no limits: make it with throttle.New")

// New checks config and returns a Limiter.
func New(config Config) (*Limiter, error) {
	defaults := Defaults()
	for _, r := range []struct {
		name         string
		rate         *Rate
		defaultValue Rate
	}{
		{"Account", &config.Account, defaults.Account},
		{"AccountSlow", &config.AccountSlow, defaults.AccountSlow},
		{"Address", &config.Address, defaults.Address},
		{"Token", &config.Token, defaults.Token},
		{"TokenAddress", &config.TokenAddress, defaults.TokenAddress},
		{"Attempts", &config.Attempts, defaults.Attempts},
	} {
		if *r.rate == (Rate{}) {
			*r.rate = r.defaultValue
		}
		if err := r.rate.check(r.name); err != nil {
			return nil, err
		}
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	l := &Limiter{config: config, sharedStore: config.Store}
	if memory, ok := config.Store.(*store.MemoryBuckets); ok && memory != nil { // it can't fail
		l.sharedStore, l.localStore = nil, memory
	}
	if l.localStore == nil {
		l.localStore = &store.MemoryBuckets{}
	}
	return l, nil
}

// Login reserves a sign-in. It counts by Credentials.AccountKey and by the client's address.
func (l *Limiter) Login(
	ctx context.Context, credentials identity.Credentials,
) (done func(error), err error) {
	account, address := credentials.AccountKey(), addressPrefix(identity.Address(ctx))
	network, anyNetwork := identity.NetworkOf(identity.Address(ctx)), netip.Prefix{}
	c := l.config
	// If several buckets are empty, the error has the RetryAfter of the first of them. The buckets
	// of the address come first, because they reveal nothing about the account.
	return l.reserve(ctx, []charge{
		{keyOf("login attempts", address, ""), c.Attempts, alwaysCounts},
		{keyOf("login network", network, ""), c.Address.times(globalFactor), isGuessOrTookCapacity},
		{keyOf("login address", address, ""), c.Address, isGuessOrTookCapacity},
		{keyOf("login account network", network, account), c.Account, isGuess},
		{keyOf("login account network slow", network, account), c.AccountSlow, isGuess},
		{keyOf("login account", anyNetwork, account), c.Account.times(globalFactor), isGuess},
		{keyOf("login account slow", anyNetwork, account), c.AccountSlow.times(globalFactor),
			isGuess},
	})
}

// Refresh reserves a refresh.
func (l *Limiter) Refresh(
	ctx context.Context, refreshToken identity.Secret,
) (done func(error), err error) {
	return l.reserveWithRefreshToken(ctx, "refresh", refreshToken)
}

// Logout reserves a sign-out.
func (l *Limiter) Logout(
	ctx context.Context, refreshToken identity.Secret,
) (done func(error), err error) {
	return l.reserveWithRefreshToken(ctx, "logout", refreshToken)
}

// reserveWithRefreshToken reserves an attempt with a refresh token. It counts by the whole token,
// because nothing has verified the token's claims.
func (l *Limiter) reserveWithRefreshToken(
	ctx context.Context, operation string, refreshToken identity.Secret,
) (done func(error), err error) {
	address := addressPrefix(identity.Address(ctx))
	return l.reserve(ctx, []charge{
		{keyOf(operation+" attempts", address, ""), l.config.Attempts, alwaysCounts},
		{keyOf(operation+" address", address, ""), l.config.TokenAddress, isForgedOrTookCapacity},
		{keyOf(operation+" token", address, refreshToken.Reveal()), l.config.Token, isGuess},
	})
}

// A charge is one token that an attempt takes from one bucket. It is refunded unless counts returns
// true for the outcome.
type charge struct {
	key    store.Key
	rate   Rate
	counts func(outcome error) bool
}

// bucket returns the bucket that the charge takes a token from: a tighter one while the shared
// store fails.
func (c charge) bucket(isFallback bool) store.Bucket {
	rate := c.rate
	if isFallback {
		rate = rate.tighter()
	}
	return store.Bucket{Key: c.key, Burst: rate.Burst, Every: rate.Every}
}

// alwaysCounts returns true: every outcome counts.
func alwaysCounts(error) bool { return true }

// isGuess reports whether an attempt with this outcome counts as a guess, because the realm refused
// it or may have refused it.
func isGuess(err error) bool {
	switch {
	case err == nil, errors.Is(err, identity.ErrAccountDisabled),
		errors.Is(err, identity.ErrAccountNotReady):
		return false // the password was right
	case errors.Is(err, identity.ErrProviderUnavailable),
		errors.Is(err, identity.ErrProviderMisconfigured),
		errors.Is(err, identity.ErrLoginNotAllowed), errors.Is(err, identity.ErrBusy),
		errors.Is(err, identity.ErrRateLimited), errors.Is(err, identity.ErrBadInput),
		errors.Is(err, identity.ErrStoreUnavailable),
		errors.Is(err, identity.ErrRefreshInterrupted):
		return false // the realm didn't check the password or the token
	}
	// context.Canceled and context.DeadlineExceeded count, because the realm may have counted a
	// failure. Clients can cause both: by disconnecting, or by sending so many fields in one
	// request that some of them exceed the deadline.
	return true
}

// tookCapacity reports whether an attempt with this outcome took capacity that others could have
// used, or failed because there was none.
func tookCapacity(err error) bool {
	return identity.TimedOut(err) || errors.Is(err, identity.ErrBusy)
}

// isGuessOrTookCapacity reports whether a sign-in with this outcome counts for its address and its
// network.
func isGuessOrTookCapacity(err error) bool { return isGuess(err) || tookCapacity(err) }

// isForgedOrTookCapacity reports whether a refresh or a logout with this outcome counts for its
// address: because the realm never issued the token, or because the attempt took capacity. Keycloak
// checks a token's signature first. So ErrRefreshExpired, ErrSessionEnded and ErrRefreshReused show
// that Keycloak issued the token.
func isForgedOrTookCapacity(err error) bool {
	isIssued := errors.Is(err, identity.ErrRefreshExpired) ||
		errors.Is(err, identity.ErrSessionEnded) || errors.Is(err, identity.ErrRefreshReused)
	return tookCapacity(err) || isGuess(err) && !isIssued
}

// reserve makes all charges or none, with one call to the store. done makes a second call if there
// are charges to refund.
func (l *Limiter) reserve(ctx context.Context, charges []charge) (done func(error), err error) {
	if l.localStore == nil {
		return nil, errZeroLimiter
	}
	decision, isFallback, err := l.reserveTokens(ctx, charges)
	if err != nil {
		return nil, err
	}
	if !decision.Allowed {
		return nil, &identity.RateLimitError{RetryAfter: decision.RetryAfter}
	}
	var once sync.Once
	return func(outcome error) {
		once.Do(func() {
			refunds := make([]store.Bucket, 0, len(charges))
			for _, c := range charges {
				if !c.counts(outcome) {
					refunds = append(refunds, c.bucket(isFallback))
				}
			}
			if len(refunds) > 0 {
				l.refund(ctx, isFallback, refunds)
			}
		})
	}, nil
}

// reserveTokens takes a token from the bucket of each charge, or none if one bucket is empty. It
// uses the shared store, or this process's memory if there is no shared store or the shared store
// fails. isFallback reports whether it failed.
func (l *Limiter) reserveTokens(
	ctx context.Context, charges []charge,
) (decision store.Decision, isFallback bool, err error) {
	buckets := make([]store.Bucket, len(charges))
	for i, c := range charges {
		buckets[i] = c.bucket(false)
	}
	if l.sharedStore == nil {
		decision, err := l.localStore.Reserve(ctx, buckets)
		return decision, false, err
	}
	if l.mayCallSharedStore() {
		callCtx, cancel := context.WithTimeout(ctx, l.storeTimeout())
		decision, err := l.sharedStore.Reserve(callCtx, buckets)
		cancel()
		switch {
		case err == nil:
			return decision, false, nil
		case ctx.Err() != nil: // the request ended, so the store may be fine
			return store.Decision{}, false, ctx.Err()
		}
		l.suspendSharedStore(ctx, err)
	}
	for i, c := range charges {
		buckets[i] = c.bucket(true)
	}
	decision, err = l.localStore.Reserve(ctx, buckets)
	return decision, true, err
}

// refund puts a token back into each bucket, in the store where the tokens were reserved. It does
// so even if ctx is done.
func (l *Limiter) refund(ctx context.Context, isFallback bool, buckets []store.Bucket) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.storeTimeout())
	defer cancel()
	if l.sharedStore == nil || isFallback {
		l.localStore.Refund(ctx, buckets) // never fails
		return
	}
	if err := l.sharedStore.Refund(ctx, buckets); err != nil {
		l.suspendSharedStore(ctx, err)
	}
}

// storeTimeout returns the time limit for one call to the shared store.
func (l *Limiter) storeTimeout() time.Duration {
	if l.config.StoreTimeout <= 0 {
		return DefaultStoreTimeout
	}
	return l.config.StoreTimeout
}

// mayCallSharedStore reports whether the shared store may be called. It returns false for
// storeRetryInterval after a failure, so that a store that hangs doesn't delay every request.
func (l *Limiter) mayCallSharedStore() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.retryAt)
}

// suspendSharedStore suspends calls to the shared store for storeRetryInterval. It logs err at most
// once per storeLogInterval.
func (l *Limiter) suspendSharedStore(ctx context.Context, err error) {
	l.mu.Lock()
	now := time.Now()
	l.retryAt = now.Add(storeRetryInterval)
	shouldLog := l.lastLogged.IsZero() || now.Sub(l.lastLogged) >= storeLogInterval
	if shouldLog {
		l.lastLogged = now
	}
	l.mu.Unlock()
	if shouldLog {
		l.config.Log.WarnContext(ctx,
			"the shared store of attempts fails: this process counts in its own memory, with "+
				"half of each limit",
			"error", err)
	}
}

// keyOf returns a digest of its arguments. Different arguments have different encodings: the name
// of the limit ends with a zero byte, the prefix has a fixed length, and the subject comes last.
func keyOf(limit string, prefix netip.Prefix, subject string) store.Key {
	var buffer [256]byte
	address := prefix.Addr().As16()
	input := append(append(append(buffer[:0], limit...), 0), address[:]...)
	input = append(append(input, byte(prefix.Bits())), subject...)
	sum := sha256.Sum256(input)
	return store.Key(sum[:len(store.Key{})])
}

// addressPrefix returns the prefix that counts as one address: an IPv4 address or an IPv6 /64. A
// /64 is the smallest network that providers assign, and its owner may use any address in it. For
// the zero Addr, addressPrefix returns the zero Prefix.
func addressPrefix(address netip.Addr) netip.Prefix {
	address, bits := address.Unmap(), 64
	if address.Is4() {
		bits = 32
	}
	prefix, _ := address.Prefix(bits)
	return prefix
}
