package keycloak

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/store"
)

// A ClientConfig describes a confidential client of a realm. Realm, ClientID and ClientSecret are
// required.
type ClientConfig struct {
	Realm        Realm
	ClientID     string
	ClientSecret identity.Secret
	LoginScope   string // the scope that Login requests; DefaultLoginScope if empty
	// Timeout is how long a caller waits for one call to Keycloak; DefaultTimeout if it isn't
	// positive.
	Timeout time.Duration
	// Transport makes the HTTP calls; NewTransport() if nil. Redirects are never followed, and
	// callers wait no longer than Timeout even if the transport ignores its context.
	Transport http.RoundTripper
	// Log gets a line for each refresh token that is presented again, and one for each panic in a
	// call; slog.Default() if nil.
	Log *slog.Logger

	// RefreshGrace is how long an exchanged refresh token keeps working: a caller that presents it
	// again from the same network (an IPv4 /24 or IPv6 /48 of identity.Address) gets the same new
	// tokens. The period ends early when the new refresh token is presented. All callers without a
	// known address count as one network. Zero means DefaultRefreshGrace; a negative value turns
	// the grace period off.
	RefreshGrace time.Duration

	// RefreshGraceAnyNetwork makes RefreshGrace apply on any network, for users whose address
	// changes within the grace period. A thief on another network can then get the tokens, too.
	RefreshGraceAnyNetwork bool

	// MaxLogins, MaxRefreshes and MaxLogouts limit the calls of each kind that are in flight;
	// DefaultMaxCalls for each that isn't positive. The limits are separate so that a flood of
	// sign-ins doesn't hold up refreshes and sign-outs. A call over its limit fails at once. If
	// callers' addresses are known (identity.Address), one network may use at most a quarter of
	// each limit.
	MaxLogins, MaxRefreshes, MaxLogouts int

	// SessionEnded, if set, is called when Logout has ended a session, and when the response to a
	// sign-in or a refresh says that the user's tokens from before a recent time were revoked
	// (not-before of the realm, the client or the user). It must be safe for concurrent use.
	SessionEnded func(SessionEnd)

	// CheckRevoked, if set, is called with the session of a response before Refresh returns it. If
	// it returns an error that wraps identity.ErrTokenRevoked, Refresh returns ErrSessionEnded
	// instead. It must be fast, and safe for concurrent use.
	CheckRevoked func(TokenSession) error

	// Calls and Turns, if set, are stores that several processes share, each with a Client of this
	// realm and client ID. Then a refresh token is exchanged once per network in all of them, and
	// the sign-ins of an account run one after another: in all of them those with the same name,
	// and those with the username or the email address in the Clients through which the account has
	// signed in before. If Calls and Turns are nil, that holds for this Client only.
	// docs/decisions/0024-refresh-across-processes.md describes failures.
	//
	// While Calls is unavailable, Refresh fails with ErrStoreUnavailable for 15 s, and then
	// exchanges tokens as if Calls were nil. While Turns is unavailable, Login works as if it were
	// nil. Log gets a line for each, at most one a minute.
	Calls store.Calls
	Turns store.Turns

	// RefusalPause is how long an account's next sign-in waits after a refused one;
	// DefaultRefusalPause if zero. If it is negative, there is no pause. It should be longer than
	// the realm's quick login check (quickLoginCheckMilliSeconds, 1 s by default): two failures of
	// an account within that time lock the account for a minute. It is at most store.MaxPause.
	RefusalPause time.Duration

	// ForwardAddress sends the address of the user who signs in (identity.Address) to Keycloak in
	// X-Forwarded-For, for its events and rules. Keycloak ignores the header unless it is
	// configured to read it (proxy-headers=xforwarded), and should trust the header only if it
	// comes from this server (proxy-trusted-addresses).
	ForwardAddress bool
}

// The defaults of a ClientConfig.
const (
	DefaultLoginScope = "openid profile email"
	DefaultTimeout    = 8 * time.Second

	// DefaultRefreshGrace is enough for two tabs of a browser that refresh at the same moment.
	DefaultRefreshGrace = 10 * time.Second

	// DefaultMaxCalls is the default of MaxLogins, MaxRefreshes and MaxLogouts. Keycloak hashes
	// passwords with argon2id, about ten milliseconds of CPU time each: a larger number of
	// concurrent calls would only wait in Keycloak.
	DefaultMaxCalls = 64

	// DefaultRefusalPause is half a second longer than Keycloak's default quick login check, since
	// Keycloak records a failure shortly after its response.
	DefaultRefusalPause = 1500 * time.Millisecond
)
