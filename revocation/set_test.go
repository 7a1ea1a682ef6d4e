package revocation

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

var noon = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

// A testSet is a Set with a fake clock and a log.
type testSet struct {
	*Set
	now time.Time
	log strings.Builder
}

// newTestSet returns an empty set with room for maxEntries. Its clock shows noon.
func newTestSet(maxEntries int) *testSet {
	s := &testSet{now: noon}
	s.Set = &Set{MaxEntries: maxEntries, Now: func() time.Time { return s.now },
		Log: slog.New(slog.NewTextHandler(&s.log, nil))}
	return s
}

// issuedAt returns a token of this session and user that was issued at this time and is valid for
// five minutes.
func issuedAt(session, subject string, at time.Time) Token {
	return Token{SessionID: session, Subject: subject, IssuedAt: at,
		ExpiresAt: at.Add(5 * time.Minute)}
}

// check checks the error of Check.
func (s *testSet) check(t *testing.T, description string, token Token, want error) {
	t.Helper()
	err := s.Check(token)
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: Check() = %v, want %v", description, err, want)
	}
	if _, ok := errors.AsType[*identity.Error](err); err != nil && !ok {
		t.Errorf("%s: Check() = %#v, want an *identity.Error", description, err)
	}
}

func TestSet_session(t *testing.T) {
	s := newTestSet(0)
	token := issuedAt("s1", "alice", noon.Add(-time.Minute))
	s.check(t, "an active session", token, nil)
	s.Add(End{SessionID: "s1", Subject: "alice", At: noon})
	s.check(t, "an ended session", token, identity.ErrTokenRevoked)
	s.check(t, "a token issued while Keycloak ended the session",
		issuedAt("s1", "alice", noon.Add(time.Second)), identity.ErrTokenRevoked)
	s.check(t, "the last token that counts as issued meanwhile",
		issuedAt("s1", "alice", noon.Add(10*time.Second)), identity.ErrTokenRevoked)
	s.check(t, "a new session with the same ID",
		issuedAt("s1", "alice", noon.Add(11*time.Second)), nil)
	s.check(t, "another session of the user", issuedAt("s2", "alice", noon), nil)
	s.check(t, "a token without a session", issuedAt("", "alice", noon), nil)
	s.check(t, "a user whose ID is the session's", issuedAt("s2", "s1", noon), nil)
	if detail := identity.Detail(s.Check(token)); !strings.Contains(detail, "s1 ended at "+
		"2026-01-01T12:00:00Z") {
		t.Errorf("the detail is %q, want the session and the time", detail)
	}
}

// The end of a session doesn't end the offline session with the same ID, so tokens that Keycloak
// issues later are accepted.
func TestSet_offline(t *testing.T) {
	s := newTestSet(0)
	s.Add(End{SessionID: "s1", At: noon})
	for _, tt := range []struct {
		at   time.Time
		want error
	}{
		{noon.Add(-time.Second), identity.ErrTokenRevoked},
		{noon, identity.ErrTokenRevoked},
		{noon.Add(time.Second), nil},
	} {
		token := issuedAt("s1", "alice", tt.at)
		token.Offline = true
		s.check(t, "an offline token issued at "+tt.at.Format(time.TimeOnly), token, tt.want)
	}
}

// An exact end revokes no token that was issued later. It doesn't shorten an end that isn't exact.
func TestSet_exact(t *testing.T) {
	s := newTestSet(0)
	s.Add(End{SessionID: "s1", At: noon, Exact: true})
	s.check(t, "issued before", issuedAt("s1", "alice", noon.Add(-time.Minute)),
		identity.ErrTokenRevoked)
	s.check(t, "issued in the same second", issuedAt("s1", "alice", noon),
		identity.ErrTokenRevoked)
	s.check(t, "issued after", issuedAt("s1", "alice", noon.Add(time.Second)), nil)
	offline := issuedAt("s1", "alice", noon)
	offline.Offline = true
	s.check(t, "an offline token", offline, identity.ErrTokenRevoked)
	if detail := identity.Detail(s.Check(offline)); !strings.Contains(detail,
		"session s1 issued until 2026-01-01T12:00:00Z") {
		t.Errorf("the detail is %q, want the session and the time", detail)
	}

	later := issuedAt("s1", "alice", noon.Add(20*time.Second))
	s.Add(End{SessionID: "s1", At: noon.Add(15 * time.Second)})
	s.check(t, "within the margin of another end", later, identity.ErrTokenRevoked)
	s.Add(End{SessionID: "s1", At: noon.Add(16 * time.Second), Exact: true})
	s.check(t, "after both kinds of ends", later, identity.ErrTokenRevoked)
	later.Offline = true
	s.check(t, "an offline token issued after both", later, nil)
	s.check(t, "issued after the margin", issuedAt("s1", "alice", noon.Add(26*time.Second)), nil)

	s.Add(End{Subject: "bob", At: noon, Exact: true})
	s.check(t, "a user's token", issuedAt("s2", "bob", noon), identity.ErrTokenRevoked)
	s.check(t, "a user's later token", issuedAt("s2", "bob", noon.Add(time.Second)), nil)
}

func TestSet_user(t *testing.T) {
	s := newTestSet(0)
	s.Add(End{Subject: "alice", At: noon})
	errRevoked := identity.ErrTokenRevoked
	for name, tt := range map[string]struct {
		token Token
		want  error
	}{
		"issued before":             {issuedAt("s1", "alice", noon.Add(-time.Second)), errRevoked},
		"issued in the same second": {issuedAt("s1", "alice", noon), errRevoked},
		"issued after":              {issuedAt("s1", "alice", noon.Add(time.Second)), nil},
		"no session":                {issuedAt("", "alice", noon), errRevoked},
		"no iat":                    {Token{SessionID: "s1", Subject: "alice"}, errRevoked},
		"another user":              {issuedAt("s1", "bob", noon), nil},
		"session ID of the user's":  {issuedAt("alice", "bob", noon), nil},
	} {
		s.check(t, name, tt.token, tt.want)
	}
	// The latest end counts, in whatever order the ends are added.
	s.Add(End{Subject: "alice", At: noon.Add(time.Minute)})
	s.Add(End{Subject: "alice", At: noon.Add(-time.Minute)})
	s.check(t, "issued before the latest end", issuedAt("s2", "alice", noon.Add(time.Minute)),
		identity.ErrTokenRevoked)
	s.check(t, "issued after the latest end", issuedAt("s2", "alice", noon.Add(time.Minute+1e9)),
		nil)
	if s.Len() != 1 {
		t.Errorf("Len() = %d, want 1", s.Len())
	}
}

func TestSet_zeroValue(t *testing.T) {
	var s Set
	if err := s.Check(Token{}); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
	s.Add(End{})
	if s.Len() != 0 {
		t.Errorf("after the end of nothing, Len() = %d, want 0", s.Len())
	}
	s.Add(End{SessionID: "s1"})
	token := issuedAt("s1", "alice", time.Now())
	token.Offline = true // so that the time of the end counts
	if err := s.Check(token); !errors.Is(err, identity.ErrTokenRevoked) {
		t.Errorf("after an end without a time, Check() = %v, want ErrTokenRevoked", err)
	}
}

// An entry is dropped when all tokens from before its end have expired. A token that is still valid
// then lives longer than the set knew, and counts as expired.
func TestSet_dropsOldEntries(t *testing.T) {
	for name, tt := range map[string]struct {
		knownExpiry time.Time // of a token that was issued at noon and checked before
		max         time.Duration
		want        time.Duration // how long an entry is kept
	}{
		"short tokens": {noon.Add(5 * time.Minute), 0, 70 * time.Minute},
		"long tokens":  {noon.Add(10 * time.Hour), 0, 10*time.Hour + 10*time.Minute},
		"tokens over the max": {noon.Add(10 * time.Hour), 2 * time.Hour,
			2*time.Hour + 10*time.Minute},
		"tokens of many years": {noon.AddDate(7000, 0, 0), 0, 24*time.Hour + 10*time.Minute},
	} {
		s := newTestSet(0)
		s.MaxTokenLifetime = tt.max
		s.check(t, name, Token{SessionID: "s0", IssuedAt: noon, ExpiresAt: tt.knownExpiry}, nil)
		for i := range 5000 { // a few in every shard
			s.Add(End{SessionID: fmt.Sprint("s", i+1), At: noon})
		}
		// More ends make the set drop old entries.
		endMore := func(prefix string) {
			for i := range 20_000 {
				s.Add(End{SessionID: fmt.Sprint(prefix, i), At: s.now})
			}
		}
		token := issuedAt("s1", "alice", noon)
		s.now = noon.Add(tt.want)
		endMore("a")
		if s.Len() != 25_000 {
			t.Errorf("%s: %v after the end, the set has %d entries, want 25000", name, tt.want,
				s.Len())
		}
		s.check(t, name+": kept", token, identity.ErrTokenRevoked)
		s.check(t, name+": another session", issuedAt("s0", "bob", noon), nil)

		s.now = s.now.Add(time.Second)
		endMore("b")
		if s.Len() != 40_000 {
			t.Errorf("%s: the set has %d entries, want 40000", name, s.Len())
		}
		s.check(t, name+": dropped", token, identity.ErrTokenExpired)
		s.check(t, name+": another session from before the end", issuedAt("s0", "bob", noon),
			identity.ErrTokenExpired)
		s.check(t, name+": no iat", Token{SessionID: "s0"}, identity.ErrTokenExpired)
		s.check(t, name+": after the end", issuedAt("s0", "bob", noon.Add(time.Second)), nil)
		s.check(t, name+": no session", issuedAt("", "bob", noon), nil)
	}
}

// When the set is full, further ends make some tokens of other sessions count as expired. No end is
// forgotten, and the log says so once.
func TestSet_full(t *testing.T) {
	const maxEntries, furtherEnds = 1000, 5000
	s := newTestSet(maxEntries)
	for i := range maxEntries + furtherEnds {
		s.Add(End{SessionID: fmt.Sprint("s", i), At: noon})
	}
	if s.Len() != maxEntries {
		t.Errorf("Len() = %d, want %d", s.Len(), maxEntries)
	}
	if got := strings.Count(s.log.String(), "more sessions have ended than"); got != 1 {
		t.Errorf("the log says %d times that the set is full, want once:\n%s", got, s.log.String())
	}
	revoked, expired := 0, 0
	for i := range maxEntries + furtherEnds {
		switch err := s.Check(issuedAt(fmt.Sprint("s", i), "alice", noon)); {
		case errors.Is(err, identity.ErrTokenRevoked):
			revoked++
		case errors.Is(err, identity.ErrTokenExpired):
			expired++
		}
	}
	if revoked != maxEntries || expired != furtherEnds {
		t.Errorf("%d tokens are revoked and %d expired, want %d and %d", revoked, expired,
			maxEntries, furtherEnds)
	}
	// Other sessions: those that share a bucket have to refresh once.
	const others = 10_000
	expired = 0
	for i := range others {
		if s.Check(issuedAt(fmt.Sprint("other", i), "bob", noon)) != nil {
			expired++
		}
		s.check(t, "refreshed", issuedAt(fmt.Sprint("other", i), "bob", noon.Add(time.Second)), nil)
	}
	if share := float64(expired) / others; share > 0.1 { // 7 % are expected
		t.Errorf("%.0f %% of the other sessions have to refresh, want less than 10 %%", 100*share)
	}
	s.check(t, "a token without a session", issuedAt("", "bob", noon), nil)
	// Users have room of their own.
	s.Add(End{Subject: "alice", At: noon})
	s.check(t, "a user", issuedAt("", "alice", noon), identity.ErrTokenRevoked)
	// A later end of a known session needs no room.
	s.Add(End{SessionID: "s1", At: noon.Add(time.Minute)})
	token := issuedAt("s1", "alice", noon.Add(time.Minute))
	token.Offline = true
	s.check(t, "a known session", token, identity.ErrTokenRevoked)
	// Once the entries are old, there is room again.
	s.now = noon.Add(2 * time.Hour)
	s.Add(End{SessionID: "new", At: s.now})
	s.check(t, "a session that ended later", issuedAt("new", "alice", s.now),
		identity.ErrTokenRevoked)
	if s.Len() != 2 {
		t.Errorf("two hours later, Len() = %d, want 2", s.Len())
	}
}

// An end that found no room is known even if an earlier end of the same user is added later, when
// there is room.
func TestSet_fullThenEarlierEnd(t *testing.T) {
	s := newTestSet(1)
	s.Add(End{Subject: "bob", At: noon.Add(-3 * time.Hour)})
	s.Add(End{Subject: "carol", At: noon.Add(-3 * time.Hour)}) // sweeps: bob's end is too old
	s.Add(End{Subject: "alice", At: noon})                     // no room, and no second sweep
	token := issuedAt("", "alice", noon.Add(-time.Minute))
	s.check(t, "an end without room", token, identity.ErrTokenExpired)
	s.now = noon.Add(2 * time.Second)
	s.Add(End{Subject: "alice", At: noon.Add(-2 * time.Minute)}) // sweeps: carol's end is too old
	s.check(t, "after an earlier end", token, identity.ErrTokenExpired)
}

// An ID that is too long isn't stored, but its tokens are still rejected.
func TestSet_longID(t *testing.T) {
	s := newTestSet(0)
	id := strings.Repeat("s", 256)
	s.Add(End{SessionID: id, At: noon})
	s.check(t, "a long ID", issuedAt(id, "alice", noon), identity.ErrTokenExpired)
	if s.Len() != 0 {
		t.Errorf("Len() = %d, want 0", s.Len())
	}
}

// Once Add has returned, every Check sees the end, also while other goroutines add ends.
func TestSet_concurrent(t *testing.T) {
	s := newTestSet(2000)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 500 {
				id := fmt.Sprint(worker, "-", i)
				err := s.Check(issuedAt(id+"-active", "alice", noon.Add(time.Second)))
				if err != nil {
					t.Errorf("Check() of an active session = %v, want nil", err)
				}
				s.Add(End{SessionID: id, At: noon})
				if s.Check(issuedAt(id, "alice", noon)) == nil {
					t.Errorf("Check() of the ended session %s = nil, want an error", id)
				}
			}
		})
	}
	group.Wait()
	if s.Len() != 2000 {
		t.Errorf("Len() = %d, want 2000", s.Len())
	}
}

// Check makes no allocation if the token isn't revoked.
func TestSet_Check_allocations(t *testing.T) {
	s := newTestSet(0)
	for i := range 1000 {
		s.Add(End{SessionID: fmt.Sprint("s", i), At: noon})
		s.Add(End{Subject: fmt.Sprint("u", i), At: noon})
	}
	token := issuedAt("active", "alice", noon)
	if got := testing.AllocsPerRun(100, func() {
		if s.Check(token) != nil {
			t.Error("Check() returned an error, want nil")
		}
	}); got != 0 {
		t.Errorf("Check() makes %v allocations, want 0", got)
	}
}

// BenchmarkSet_Check checks tokens on all processors at once, while the set is full.
func BenchmarkSet_Check(b *testing.B) {
	s := newFullSet()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		token := issuedAt(newID(), newID(), noon)
		for pb.Next() {
			if s.Check(token) != nil {
				b.Error("Check() returned an error, want nil")
			}
		}
	})
}

// BenchmarkSet_Add ends sessions while the set is full, except for the one to add.
func BenchmarkSet_Add(b *testing.B) {
	s := newFullSet()
	s.MaxEntries += 1 << 40
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Add(End{SessionID: newID(), At: noon})
	}
}

// BenchmarkSet_memory reports the memory of a full set.
func BenchmarkSet_memory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := newFullSet()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(s.Len()), "B/session")
		runtime.KeepAlive(s)
	}
}

// newFullSet returns a set with DefaultMaxEntries sessions.
func newFullSet() *Set {
	s := newTestSet(0).Set
	for range DefaultMaxEntries {
		s.Add(End{SessionID: newID(), At: noon})
	}
	return s
}

// newID returns a random ID as long as Keycloak's.
func newID() string { return fmt.Sprintf("%016x%08x", rand.Uint64(), rand.Uint32()) }
