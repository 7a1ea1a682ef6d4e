package keycloak

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

const (
	// storeTimeout limits a call to the shared store. A store has a shorter limit of its own.
	storeTimeout = time.Second
	// storeLogInterval is the least time between two log lines about one kind of failure.
	storeLogInterval = time.Minute
)

// A storeHealth records whether a shared store is available, and logs failures.
type storeHealth struct {
	log     *slog.Logger
	message string // of the log line

	mu         sync.Mutex // guards the fields below
	downSince  time.Time  // the first failure since the latest success; zero if there is none
	hasLost    bool       // the store lost data; until a call succeeds
	lastLogged time.Time
}

// isStoreFailure reports whether err, which a store returned, means that the store failed.
func isStoreFailure(err error) bool {
	return err != nil && !errors.Is(err, store.ErrLeaseLost) &&
		!errors.Is(err, store.ErrTooLarge) && !errors.Is(err, store.ErrQueueFull)
}

// record records the error of a call to the store, which is nil if the call succeeded. It returns
// how long the store has been unavailable, and whether this is the first failure since a success. A
// store that lost its data is available.
func (h *storeHealth) record(ctx context.Context,
	err error) (downFor time.Duration, isFirst bool) {
	now := time.Now()
	h.mu.Lock()
	if isLoss := errors.Is(err, store.ErrDataLost); isLoss || !isStoreFailure(err) {
		isFirst = isLoss && !h.hasLost
		h.downSince, h.hasLost = time.Time{}, isLoss
		h.mu.Unlock()
		return 0, isFirst
	}
	if isFirst = h.downSince.IsZero(); isFirst {
		h.downSince = now
	}
	downFor = now.Sub(h.downSince)
	shouldLog := h.lastLogged.IsZero() || now.Sub(h.lastLogged) >= storeLogInterval
	if shouldLog {
		h.lastLogged = now
	}
	h.mu.Unlock()
	if shouldLog {
		h.log.LogAttrs(ctx, slog.LevelWarn, h.message, slog.Any("error", err),
			slog.Duration("downFor", downFor.Round(time.Second)))
	}
	return downFor, isFirst
}

// isDown reports whether no call has succeeded since a failure.
func (h *storeHealth) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.downSince.IsZero()
}

// storeKeys makes the keys of a Client's entries in a shared store. They depend on the realm and
// the client, so that Clients may share a store.
type storeKeys struct {
	prefix string // names the realm and the client
	secret []byte
}

func newStoreKeys(config ClientConfig) storeKeys {
	return storeKeys{prefix: config.Realm.Issuer() + "\x00" + config.ClientID + "\x00",
		secret: []byte(config.ClientSecret.Reveal())}
}

// refreshToken returns the key of a refresh token. The token is random enough that the key doesn't
// reveal it.
func (k storeKeys) refreshToken(token identity.Secret) store.Key {
	sum := sha256.Sum256([]byte("refresh token\x00" + k.prefix + token.Reveal()))
	return store.Key(sum[:len(store.Key{})])
}

// tokenNetwork returns the key of a network that presents a refresh token. It is the zero Key if
// the network isn't known. It doesn't depend on the client's secret, so that processes agree while
// the secret is replaced.
func (k storeKeys) tokenNetwork(token identity.Secret, network netip.Prefix) store.Key {
	if !network.IsValid() {
		return store.Key{}
	}
	return keyedDigest([]byte(token.Reveal()), "network", network.String())
}

// network returns the key of a network that signs in. It is the zero Key if the network isn't
// known.
func (k storeKeys) network(network netip.Prefix) store.Key {
	if !network.IsValid() {
		return store.Key{}
	}
	return keyedDigest(k.secret, "network", k.prefix+network.String())
}

// account returns the key of an account.
func (k storeKeys) account(account digest) store.Key {
	return keyedDigest(k.secret, "account", k.prefix+string(account[:]))
}

// keyedDigest returns a digest of a value that could be guessed. A reader of the store doesn't know
// the secret, and so can't check a guess.
func keyedDigest(secret []byte, kind, value string) store.Key {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("cloakql store " + kind + "\x00" + value))
	return store.Key(mac.Sum(nil)[:len(store.Key{})])
}
