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
)

// everywhere is how many times the attempts of one network an account has from all of them
// together: as many networks have to keep at it before somebody elsewhere is refused.
const everywhere = 5

const (
	storeTimeout = 250 * time.Millisecond // for one question to a shared store
	storePause   = time.Second            // without questions, after one that failed
	storeWarning = time.Minute            // between two lines in the log about it
)

// A Config says how many attempts there are. A zero Rate is its default.
type Config struct {
	// Account is for failing sign-ins under one name from one network, an IPv4 /24 or an IPv6 /48;
	// from all networks together a name has five times as many, and five times as fast. 10, one
	// more each minute.
	Account Rate

	// AccountSlow is for the same, and for a longer time: what a name has in a day. Where the
	// password is known, each attempt is a guess at a one-time code. 20, one more each 15 minutes.
	AccountSlow Rate

	// Address is for failing sign-ins from one address, an IPv4 or an IPv6 /64, whatever the names;
	// a network of them, an IPv4 /24 or an IPv6 /48, has five times as many, and five times as
	// fast. Sign-ins under way count until they are answered, so it shouldn't be smaller than the
	// number that may be under way at once. 100, one more each 6 s.
	Address Rate

	// Token is for refusals of one refresh token from one address; refresh and logout have one
	// each. All who present one token at the same moment count until they are answered. 30, one
	// more each 10 s.
	Token Rate

	// TokenAddress is for tokens from one address that the realm never gave; refresh and logout
	// have one each. One that has merely expired isn't counted: a whole office has some on a Monday
	// morning. 100, one more each second.
	TokenAddress Rate

	// Attempts is for all that comes from one address, whatever becomes of it; sign-ins, refreshes
	// and sign-outs have one each. An office or a server in front of this one is one address, so it
	// is generous. 1,000, five more each second.
	Attempts Rate

	// Store keeps the counts; NewMemory(0) if nil. While a Store fails, attempts are counted in
	// this process's memory, from nothing: neither everybody is refused, nor is anybody unbounded.
	Store Store

	Log *slog.Logger // slog.Default() if nil; a line a minute while Store fails
}

// Budgets counts attempts. Make it with New; it is safe for concurrent use.
//
// Each method takes one attempt out of every budget that it concerns, or fails with an
// *identity.RateLimitError and takes none; or fails with ctx's error. settle must be told once what
// came of the attempt. What is given back then:
//
//   - all of it for a success, and for a refusal after the password proved right: nothing was
//     guessed
//   - all of it when the realm didn't judge: it is down, or has refused this server
//   - what the name or the token has when the realm is busy or timed out; the address pays, since
//     it kept a place
//   - nothing when it said no, when the caller left or the request's time was over before it could
//     say, and for errors that nobody knows
//
// Attempts has nothing given back.
//
// An attempt that isn't settled stays taken. The address comes from identity.Address; requests
// without one share that of nobody.
type Budgets struct {
	config Config
	store  Store // nil where local is all
	local  *Memory

	mu     sync.Mutex // guards the fields below
	paused time.Time  // until then the store isn't asked
	warned time.Time
}

var errNoBudgets = errors.New("throttle: the zero Budgets has no limits: make it with throttle.New")

// New checks config and returns budgets that are full.
func New(config Config) (*Budgets, error) {
	for _, r := range []struct {
		name   string
		rate   *Rate
		preset Rate
	}{
		{"Account", &config.Account, Rate{10, time.Minute}},
		{"AccountSlow", &config.AccountSlow, Rate{20, 15 * time.Minute}},
		{"Address", &config.Address, Rate{100, 6 * time.Second}},
		{"Token", &config.Token, Rate{30, 10 * time.Second}},
		{"TokenAddress", &config.TokenAddress, Rate{100, time.Second}},
		{"Attempts", &config.Attempts, Rate{1000, 200 * time.Millisecond}},
	} {
		if *r.rate == (Rate{}) {
			*r.rate = r.preset
		}
		if err := r.rate.check(r.name); err != nil {
			return nil, err
		}
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	b := &Budgets{config: config, store: config.Store}
	if memory, ok := config.Store.(*Memory); ok { // it doesn't fail
		b.store, b.local = nil, memory
	}
	if b.local == nil {
		b.local = NewMemory(0)
	}
	return b, nil
}

// Login takes a sign-in under a name. The budgets of the name know it by Credentials.Account.
func (b *Budgets) Login(ctx context.Context, credentials identity.Credentials) (settle func(error), err error) {
	account, address := credentials.Account(), identity.Address(ctx)
	network := identity.NetworkOf(address)
	// In this order: who is refused by one takes nothing from the next, not even for a moment. So
	// nobody makes keys of names past the budget of the address, and no network hurts another past
	// its share.
	return b.take(ctx, []draw{
		{keyOf("login attempts", addressOf(address), ""), b.config.Attempts, always},
		{keyOf("login network", network, ""), b.config.Address.times(everywhere), guessedOrSlow},
		{keyOf("login address", addressOf(address), ""), b.config.Address, guessedOrSlow},
		{keyOf("login account network", network, account), b.config.Account, guessed},
		{keyOf("login account network slow", network, account), b.config.AccountSlow, guessed},
		{keyOf("login account", netip.Prefix{}, account), b.config.Account.times(everywhere), guessed},
		{keyOf("login account slow", netip.Prefix{}, account), b.config.AccountSlow.times(everywhere), guessed},
	})
}

// Refresh takes an exchange of a refresh token.
func (b *Budgets) Refresh(ctx context.Context, refreshToken identity.Secret) (settle func(error), err error) {
	return b.token(ctx, "refresh", refreshToken)
}

// Logout takes a sign-out.
func (b *Budgets) Logout(ctx context.Context, refreshToken identity.Secret) (settle func(error), err error) {
	return b.token(ctx, "logout", refreshToken)
}

// token counts by the whole token: its claims are unverified.
func (b *Budgets) token(ctx context.Context, field string, refreshToken identity.Secret) (settle func(error), err error) {
	address := addressOf(identity.Address(ctx))
	return b.take(ctx, []draw{
		{keyOf(field+" attempts", address, ""), b.config.Attempts, always},
		{keyOf(field+" address", address, ""), b.config.TokenAddress, forgedOrSlow},
		{keyOf(field+" token", address, refreshToken.Reveal()), b.config.Token, guessed},
	})
}

// A draw is one out of one budget.
type draw struct {
	key    Key
	rate   Rate
	counts func(error) bool // reports whether an attempt with this end stays taken
}

func always(error) bool { return true }

// guessed reports whether an attempt with this end counts: the realm said no, or nobody can tell.
func guessed(err error) bool {
	switch {
	case err == nil, errors.Is(err, identity.ErrAccountDisabled), errors.Is(err, identity.ErrAccountNotReady):
		return false // whoever asked has what the account takes
	case errors.Is(err, identity.ErrProviderUnavailable), errors.Is(err, identity.ErrProviderMisconfigured), errors.Is(err, identity.ErrLoginNotAllowed),
		errors.Is(err, identity.ErrBusy), errors.Is(err, identity.ErrRateLimited), errors.Is(err, identity.ErrBadInput):
		return false // the realm judged nothing
	}
	// context.Canceled and context.DeadlineExceeded too: the realm may have counted a failure.
	// Whoever leaves chooses when, and whoever puts many fields into a request chooses which of
	// them its deadline cuts off.
	return true
}

// busyOrSlow reports whether an attempt with this end took a place that others may have wanted, or
// came when there was none.
func busyOrSlow(err error) bool {
	return identity.TimedOut(err) || errors.Is(err, identity.ErrBusy)
}

func guessedOrSlow(err error) bool { return guessed(err) || busyOrSlow(err) }

// forgedOrSlow reports whether a token isn't one that the realm gave, or the attempt was as
// busyOrSlow says. Keycloak looks at the signature before all else.
func forgedOrSlow(err error) bool {
	known := errors.Is(err, identity.ErrRefreshExpired) || errors.Is(err, identity.ErrSessionEnded) || errors.Is(err, identity.ErrRefreshReused)
	return busyOrSlow(err) || guessed(err) && !known
}

// take makes all draws, or none.
func (b *Budgets) take(ctx context.Context, draws []draw) (settle func(error), err error) {
	if b.local == nil {
		return nil, errNoBudgets
	}
	type drawn struct {
		draw
		taken Taken
		from  Store
	}
	made := make([]drawn, 0, len(draws))
	giveBack := func(d drawn) { b.give(ctx, d.from, d.draw, d.taken) }
	for _, d := range draws {
		taken, from, err := b.takeOne(ctx, d)
		if err == nil && taken.Wait > 0 {
			err = &identity.RateLimitError{RetryAfter: taken.Wait}
		}
		if err != nil {
			for _, d := range made {
				giveBack(d)
			}
			return nil, err
		}
		made = append(made, drawn{d, taken, from})
	}
	return func(end error) {
		for _, d := range made {
			if !d.counts(end) {
				giveBack(d)
			}
		}
	}, nil
}

// takeOne asks the store, or the memory of this process while there is no store that answers. It
// returns which of the two it was.
func (b *Budgets) takeOne(ctx context.Context, d draw) (Taken, Store, error) {
	if b.store != nil && b.asking() {
		bounded, cancel := context.WithTimeout(ctx, storeTimeout)
		taken, err := b.store.Take(bounded, d.key, d.rate)
		cancel()
		switch {
		case err == nil:
			return taken, b.store, nil
		case ctx.Err() != nil: // the caller has gone, and the store did nothing wrong
			return Taken{}, nil, ctx.Err()
		}
		b.failed(ctx, err)
	}
	taken, err := b.local.Take(ctx, d.key, d.rate)
	return taken, b.local, err
}

// give puts back where it was taken, also for a caller who has gone.
func (b *Budgets) give(ctx context.Context, store Store, d draw, taken Taken) {
	if store == b.local {
		b.local.Give(ctx, d.key, d.rate, taken)
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := store.Give(bounded, d.key, d.rate, taken); err != nil {
		b.failed(ctx, err)
	}
}

// asking tells whether the store is worth a question: one that hangs must not hold up every
// request.
func (b *Budgets) asking() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !time.Now().Before(b.paused)
}

func (b *Budgets) failed(ctx context.Context, err error) {
	b.mu.Lock()
	now := time.Now()
	b.paused = now.Add(storePause)
	warn := b.warned.IsZero() || now.Sub(b.warned) >= storeWarning
	if warn {
		b.warned = now
	}
	b.mu.Unlock()
	if warn {
		b.config.Log.WarnContext(ctx, "the store of attempts fails: this process counts by itself", "error", err)
	}
}

// keyOf digests what is counted. The parts can't be taken for one another: a kind is followed by a
// zero byte, a prefix by its length, and what comes last is of any length.
func keyOf(kind string, of netip.Prefix, text string) Key {
	var buffer [256]byte
	address := of.Addr().As16()
	content := append(append(append(buffer[:0], kind...), 0), address[:]...)
	content = append(append(content, byte(of.Bits())), text...)
	sum := sha256.Sum256(content)
	return Key(sum[:len(Key{})])
}

// addressOf is what counts as one address: an IPv4, or an IPv6 /64, which is the least that a
// network is given, and whose addresses its owner may change at will.
func addressOf(address netip.Addr) netip.Prefix {
	address, bits := address.Unmap(), 64
	if address.Is4() {
		bits = 32
	}
	prefix, _ := address.Prefix(bits) // the zero Prefix for nobody's address
	return prefix
}
