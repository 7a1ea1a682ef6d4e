package revocation

import (
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloakql/cloakql/identity"
)

const (
	// DefaultMaxTokenLifetime is the default of Set.MaxTokenLifetime.
	DefaultMaxTokenLifetime = 24 * time.Hour

	// DefaultMaxEntries is the default of Set.MaxEntries. This many sessions take about 8 MB
	// (BenchmarkSet_memory).
	DefaultMaxEntries = 100_000

	// minTokenLifetime is how long an end is kept while only shorter-lived tokens are known: twelve
	// times Keycloak's default Access Token Lifespan.
	minTokenLifetime = time.Hour

	// clockTolerance allows for clocks that differ, and for the verifier's leeway, which is at most
	// five minutes.
	clockTolerance = 10 * time.Minute

	// endMargin is how long after the end of a session its tokens are still revoked: Keycloak may
	// announce the end before it refuses to refresh.
	endMargin = 10 * time.Second

	maxIDBytes       = 255
	shardCount       = 1 << 10
	overflowBuckets  = 1 << 16
	minSweepInterval = time.Second
)

// A Token identifies the session of an access token.
type Token struct {
	SessionID string    // the claim sid; "" if there is none
	Subject   string    // the claim sub
	IssuedAt  time.Time // the claim iat; zero if there is none
	ExpiresAt time.Time // the claim exp
	// Offline means that the token has the scope offline_access: its refresh token keeps working
	// when the user's session ends.
	Offline bool
}

// An End says that a session ended, or all sessions of a user.
type End struct {
	// SessionID is the ID of the session. If it is empty, all sessions ended that
	// Subject had at At.
	SessionID string
	Subject   string    // ignored if SessionID isn't empty
	At        time.Time // when the session ended, in whole seconds; now if zero
	// Exact means that tokens issued after At aren't revoked, not even shortly after it: the
	// session may continue. Ends of all sessions of a user are always exact.
	Exact bool
}

// A Set has the ended sessions and users of one realm. The zero value is an empty set that is ready
// to use. Set its fields only before the first call. It is safe for concurrent use.
//
// A token is revoked if its session ended, or all sessions of its user, unless it was issued later.
// Keycloak may use the ID of an ended session again: for a user who signs in on a login page that
// was open meanwhile, and for an offline session, which continues when the online session ends.
// Times are compared in whole seconds, as tokens have them, so a token that was issued in the
// second of the end is revoked. Unless the end is exact, a token of an online session is revoked
// even if it was issued up to ten seconds after the end, because Keycloak may announce the end
// before it refuses to refresh.
//
// The set is in memory, and its size is bounded. It never forgets an end silently. When it can't
// know whether a token was revoked, Check fails with ErrTokenExpired. The client then refreshes: if
// the session has ended, Keycloak refuses, and otherwise the new token is accepted. That happens in
// two cases:
//
//   - The set drops an entry when the tokens from before the end must have expired. It learns how
//     long tokens live from those that Check gets: it keeps an entry for the lifetime of the
//     longest-lived one, but for at least an hour and at most MaxTokenLifetime, and for ten minutes
//     more. If a token from before the end of a dropped entry is still valid nevertheless, it may
//     be a token of that session.
//   - If there are MaxEntries sessions in the set, or MaxEntries users, a further one marks one of
//     65,536 buckets, chosen by a keyed hash of its ID. Each token from before that end whose
//     session or user falls into the bucket may be revoked.
//
// Add may be called again for the same end, and in any order. So each of several processes can have
// a Set, and add the ends that the others learn of.
type Set struct {
	// MaxTokenLifetime limits how long an end is kept; DefaultMaxTokenLifetime if it isn't
	// positive.
	MaxTokenLifetime time.Duration
	// MaxEntries limits the number of sessions, and that of users; DefaultMaxEntries if it isn't
	// positive.
	MaxEntries int
	// Log gets a line when the set is full for the first time; slog.Default() if nil.
	Log *slog.Logger
	Now func() time.Time // time.Now if nil

	once            sync.Once
	sessions, users table
	tokenLifetime   atomic.Int64 // of the longest-lived token so far, in seconds
	logFull         sync.Once
}

// init sets the defaults before the first use.
func (s *Set) init() {
	s.once.Do(func() {
		if s.MaxTokenLifetime <= 0 {
			s.MaxTokenLifetime = DefaultMaxTokenLifetime
		}
		if s.MaxEntries <= 0 {
			s.MaxEntries = DefaultMaxEntries
		}
		if s.Log == nil {
			s.Log = slog.Default()
		}
		if s.Now == nil {
			s.Now = time.Now
		}
		s.sessions.seed, s.users.seed = maphash.MakeSeed(), maphash.MakeSeed()
	})
}

// Add adds an end. From then on, Check fails for the tokens of the session or user. If SessionID
// and Subject are empty, Add does nothing.
func (s *Set) Add(end End) {
	s.init()
	table, id := &s.sessions, end.SessionID
	if id == "" {
		table, id = &s.users, end.Subject
	}
	if id == "" {
		return
	}
	now := s.Now()
	if end.At.IsZero() {
		end.At = now
	}
	dropBefore := now.Add(-s.keepTime() - clockTolerance).Unix()
	times := endTimes{ended: end.At.Unix()}
	if end.Exact && end.SessionID != "" {
		times = endTimes{exact: end.At.Unix()}
	}
	if !table.add(id, times, dropBefore, now, s.MaxEntries) {
		s.logFull.Do(func() {
			s.Log.Warn("more sessions have ended than there is room for: some access tokens of "+
				"other sessions count as expired, and their clients have to refresh them",
				"sessions", s.sessions.len(), "users", s.users.len(), "max", s.MaxEntries)
		})
	}
}

// MarkDropped records that ends until this time may be missing in the set. Check then fails with
// ErrTokenExpired for all tokens that were issued until then.
func (s *Set) MarkDropped(until time.Time) {
	s.init()
	s.sessions.markDropped(until.Unix())
	s.users.markDropped(until.Unix())
}

// Ends returns the ends in the set, in any order.
func (s *Set) Ends() []End {
	s.init()
	ends := make([]End, 0, s.Len())
	for id, times := range s.sessions.all() {
		if times.ended != 0 {
			ends = append(ends, End{SessionID: id, At: time.Unix(times.ended, 0)})
		}
		if times.exact != 0 {
			ends = append(ends, End{SessionID: id, At: time.Unix(times.exact, 0), Exact: true})
		}
	}
	for id, times := range s.users.all() {
		ends = append(ends, End{Subject: id, At: time.Unix(times.ended, 0)})
	}
	return ends
}

// maxKeepTime returns how long tokens may live.
func (s *Set) maxKeepTime() time.Duration {
	s.init()
	return s.MaxTokenLifetime
}

// keepTime returns how long tokens live as far as the set knows.
func (s *Set) keepTime() time.Duration {
	s.init()
	return min(max(time.Duration(s.tokenLifetime.Load())*time.Second, minTokenLifetime),
		s.MaxTokenLifetime)
}

// Check returns an *identity.Error if the token was revoked, or may have been revoked: the Reason
// is ErrTokenRevoked or ErrTokenExpired. Otherwise it returns nil. It takes no lock.
func (s *Set) Check(token Token) error {
	s.init()
	issuedAt := token.IssuedAt.Unix() // before any end if there is no iat
	s.learnLifetime(issuedAt, token.ExpiresAt.Unix())
	unsure := false
	if token.SessionID != "" {
		times, found, maybe := s.sessions.find(token.SessionID, issuedAt)
		lastIssue := times.ended
		if !token.Offline {
			lastIssue += int64(endMargin / time.Second)
		}
		if found && times.ended != 0 && issuedAt <= lastIssue {
			return revokedError("the session %s ended at %s", token.SessionID, times.ended)
		}
		if found && times.exact != 0 && issuedAt <= times.exact {
			return revokedError("the tokens of the session %s issued until %s were revoked",
				token.SessionID, times.exact)
		}
		unsure = maybe
	}
	times, found, maybe := s.users.find(token.Subject, issuedAt)
	if found && issuedAt <= times.ended {
		return revokedError("all sessions of the user %s ended at %s", token.Subject, times.ended)
	}
	if unsure || maybe {
		return &identity.Error{Reason: identity.ErrTokenExpired,
			Detail: "its session may have ended: more sessions have ended than the server can " +
				"remember, or none of the tokens seen so far was valid for so long"}
	}
	return nil
}

// learnLifetime updates tokenLifetime. Times are in Unix seconds.
func (s *Set) learnLifetime(issuedAt, expiresAt int64) {
	if issuedAt < 0 { // no iat
		return
	}
	for {
		longest := s.tokenLifetime.Load()
		lifetime := min(expiresAt-issuedAt, int64(s.MaxTokenLifetime/time.Second))
		if lifetime <= longest || s.tokenLifetime.CompareAndSwap(longest, lifetime) {
			return
		}
	}
}

func revokedError(format, id string, endedAt int64) error {
	return &identity.Error{Reason: identity.ErrTokenRevoked, Detail: fmt.Sprintf(format, id,
		time.Unix(endedAt, 0).UTC().Format(time.RFC3339))}
}

// Len returns the number of sessions and users in the set.
func (s *Set) Len() int { return s.sessions.len() + s.users.len() }

// endTimes has the latest ends of a session or user, in Unix seconds; 0 if there is none.
type endTimes struct {
	ended int64
	exact int64 // of ends that are exact
}

func (t endTimes) latest() int64 { return max(t.ended, t.exact) }

// merge returns the later ends of both.
func (t endTimes) merge(other endTimes) endTimes {
	return endTimes{max(t.ended, other.ended), max(t.exact, other.exact)}
}

// A table has the times at which sessions or users ended. Readers take no lock,
// because the maps of the shards never change. To add an entry, a writer replaces the map of one
// shard with a copy that lacks the entries that are too old. A shard of a full table has about a
// hundred entries.
type table struct {
	seed   maphash.Seed // secret, so that nobody can choose IDs that share a bucket
	shards [shardCount]atomic.Pointer[map[string]endTimes]

	// droppedUntil is the latest end of a dropped entry, and 0 if no entry was dropped.
	droppedUntil atomic.Int64
	// overflow has the latest end of the entries in each bucket, or 0. It is nil until the table is
	// full for the first time.
	overflow atomic.Pointer[[overflowBuckets]atomic.Int64]
	count    atomic.Int64

	mu        sync.Mutex // held by writers
	lastSweep time.Time
}

func (t *table) len() int { return int(t.count.Load()) }

// all iterates over the entries.
func (t *table) all() iter.Seq2[string, endTimes] {
	return func(yield func(string, endTimes) bool) {
		for i := range t.shards {
			if entries := t.shards[i].Load(); entries != nil {
				for id, times := range *entries {
					if !yield(id, times) {
						return
					}
				}
			}
		}
	}
}

// markDropped records that entries which ended until this time may be missing.
func (t *table) markDropped(until int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.droppedUntil.Store(max(t.droppedUntil.Load(), until))
}

// find returns when the session or user with this ID ended. maybe is set if the session or user may
// have a later end that isn't in the shards, and a token that was issued at issuedAt is from before
// it.
func (t *table) find(id string, issuedAt int64) (times endTimes, found, maybe bool) {
	hash := maphash.String(t.seed, id)
	if entries := t.shards[hash%shardCount].Load(); entries != nil {
		times, found = (*entries)[id]
	}
	latestEnd := t.droppedUntil.Load()
	if overflow := t.overflow.Load(); overflow != nil {
		latestEnd = max(latestEnd, overflow[bucketOf(hash)].Load())
	}
	return times, found, latestEnd != 0 && issuedAt <= latestEnd
}

// bucketOf uses other bits of the hash than the shard's.
func bucketOf(hash uint64) uint64 { return hash / shardCount % overflowBuckets }

// add stores that the session or user with this ID ended. It returns false if there is no room for
// a new entry; then it has marked a bucket.
func (t *table) add(id string, times endTimes, dropBefore int64, now time.Time,
	maxEntries int) bool {
	hash := maphash.String(t.seed, id)
	t.mu.Lock()
	defer t.mu.Unlock()
	shard := &t.shards[hash%shardCount]
	var entries map[string]endTimes
	if current := shard.Load(); current != nil {
		entries = *current
	}
	previous, exists := entries[id]
	merged := previous.merge(times)
	if exists && merged == previous {
		return true
	}
	if !exists && t.len() >= maxEntries {
		t.sweep(dropBefore, now)
		if current := shard.Load(); current != nil {
			entries = *current
		}
	}
	if len(id) > maxIDBytes || !exists && t.len() >= maxEntries {
		t.markBucket(bucketOf(hash), times.latest())
		return false
	}
	entries = t.clone(entries, dropBefore)
	entries[id] = merged
	t.replace(shard, entries)
	return true
}

// markBucket stores that an entry without room ended. The caller holds mu.
func (t *table) markBucket(bucket uint64, endedAt int64) {
	overflow := t.overflow.Load()
	if overflow == nil {
		overflow = new([overflowBuckets]atomic.Int64)
		t.overflow.Store(overflow)
	}
	overflow[bucket].Store(max(overflow[bucket].Load(), endedAt))
}

// sweep drops all entries that ended before dropBefore. It does nothing if the last sweep was less
// than a second ago. The caller holds mu.
func (t *table) sweep(dropBefore int64, now time.Time) {
	if now.Sub(t.lastSweep) < minSweepInterval {
		return
	}
	t.lastSweep = now
	for i := range t.shards {
		if current := t.shards[i].Load(); current != nil {
			t.replace(&t.shards[i], t.clone(*current, dropBefore))
		}
	}
}

// clone returns a copy of a shard's entries without those that ended before dropBefore. The caller
// holds mu, and passes the copy to replace.
func (t *table) clone(entries map[string]endTimes, dropBefore int64) map[string]endTimes {
	kept := make(map[string]endTimes, len(entries)+1)
	maps.Copy(kept, entries)
	maps.DeleteFunc(kept, func(_ string, times endTimes) bool {
		if times.latest() >= dropBefore {
			return false
		}
		t.droppedUntil.Store(max(t.droppedUntil.Load(), times.latest()))
		return true
	})
	return kept
}

// replace replaces a shard's entries. The caller holds mu.
func (t *table) replace(shard *atomic.Pointer[map[string]endTimes],
	entries map[string]endTimes) {
	previousCount := 0
	if current := shard.Load(); current != nil {
		previousCount = len(*current)
	}
	shard.Store(&entries)
	t.count.Add(int64(len(entries) - previousCount))
}
