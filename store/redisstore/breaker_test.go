package redisstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/store"
)

// newTestBreaker returns a breaker whose clients have no server, and what it logs.
func newTestBreaker(t *testing.T) (*breaker, *bytes.Buffer) {
	var log bytes.Buffer
	open := func() redis.UniversalClient {
		return redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	}
	b := &breaker{open: open, interval: retryInterval, redis: open(),
		log: slog.New(slog.NewTextHandler(&log, nil))}
	t.Cleanup(func() { b.close() })
	return b, &log
}

// After a failure, calls fail at once for a second, and then one call tries again.
func TestBreaker(t *testing.T) {
	b, _ := newTestBreaker(t)
	now, fault := time.Unix(1, 0), errors.New("connection refused")
	admit := func() redis.UniversalClient {
		t.Helper()
		client, err := b.admit(now)
		if err != nil {
			t.Fatalf("admit() = %v, want a client", err)
		}
		return client
	}
	checkRefused := func() {
		t.Helper()
		if client, err := b.admit(now); client != nil || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("admit() = %v, %v, want %v", client, err, store.ErrUnavailable)
		}
		if err := b.check(now); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("check() = %v, want %v", err, store.ErrUnavailable)
		}
	}
	first, concurrent := admit(), admit()
	if err := b.report(first, nil, now); err != nil || b.check(now) != nil {
		t.Errorf("report() of a success = %v, check() = %v, want nil", err, b.check(now))
	}
	if err := b.report(first, fault, now); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("report() of a failure = %v, want %v", err, store.ErrUnavailable)
	}
	checkRefused()
	now = now.Add(retryInterval - 1)
	checkRefused()
	now = now.Add(1)
	second := admit()
	if second == first {
		t.Error("the call that tries again has the old client, want a new one")
	}
	checkRefused() // only one call tries
	if b.report(concurrent, nil, now); b.check(now) == nil {
		t.Error("the success of a call with the old client made the store available")
	}
	b.report(second, fault, now)
	checkRefused()
	now = now.Add(retryInterval)
	third := admit()
	if err := b.report(third, nil, now); err != nil || b.check(now) != nil {
		t.Errorf("after a success: %v, check() = %v, want nil", err, b.check(now))
	}
	if b.report(first, fault, now); b.check(now) != nil {
		t.Error("the failure of a call with the old client made the store unavailable")
	}
	if admit() != third {
		t.Error("after a success, calls have another client")
	}
	if got, want := b.currentStats(), (Stats{Calls: 5, Failed: 3, Refused: 4}); got != want {
		t.Errorf("the counts are %+v, want %+v", got, want)
	}
	b.close()
	checkRefused()
}

// A script that Redis refuses doesn't keep other calls from Redis, but check reports it.
func TestBreaker_refusals(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"OOM command not allowed when used memory > 'maxmemory'. script: abc, on @user_script:1.",
			true},
		{"ERR Error running script (call to f_abc): @user_script:1: -OOM command not allowed",
			true},
		{"MISCONF Redis is configured to save RDB snapshots, but ...", true},
		{"WRONGTYPE Operation against a key holding the wrong kind of value", true},
		{"READONLY You can't write against a read only replica. script: abc, on @user_script:1.",
			false},
		{"BUSY Redis is busy running a script. You can only call SCRIPT KILL", false},
		{"WRONGPASS invalid username-password pair or user is disabled.", false},
		{"NOAUTH Authentication required.", false},
		{"LOADING Redis is loading the dataset in memory", false},
		{"ERR max number of clients reached", false},
		{"CLUSTERDOWN The cluster is down", false},
	} {
		if got := isRefusal(replyError(tt.text)); got != tt.want {
			t.Errorf("isRefusal(%q) = %t, want %t", tt.text, got, tt.want)
		}
	}
	b, _ := newTestBreaker(t)
	now := time.Unix(1000, 0)
	client, _ := b.admit(now)
	err := b.report(client, replyError("OOM command not allowed"), now)
	if !errors.Is(err, store.ErrUnavailable) || b.check(now) == nil {
		t.Errorf("report() = %v, check() = %v, want %v", err, b.check(now), store.ErrUnavailable)
	}
	if _, err := b.admit(now); err != nil {
		t.Errorf("admit() after a refusal = %v, want nil", err)
	}
	if err := b.check(now.Add(refusalMemory)); err != nil {
		t.Errorf("check() after %v = %v, want nil", refusalMemory, err)
	}
}

// A replyError is an error that Redis has returned.
type replyError string

func (e replyError) Error() string { return string(e) }

// RedisError implements redis.Error.
func (replyError) RedisError() {}

// The log gets at most one line a minute about failures.
func TestBreaker_log(t *testing.T) {
	b, log := newTestBreaker(t)
	now, fault := time.Unix(1000, 0), errors.New("connection refused")
	for range 300 { // half a second for each
		if client, err := b.admit(now); err == nil {
			b.report(client, fault, now)
		}
		now = now.Add(retryInterval / 2)
	}
	if got := strings.Count(log.String(), "the shared store is unavailable"); got != 3 {
		t.Errorf("%d lines in 150 s, want 3:\n%s", got, log)
	}
	if client, err := b.admit(now); err == nil {
		b.report(client, nil, now)
	}
	if !strings.Contains(log.String(), `msg="the shared store is available again" after=2m30s`) {
		t.Errorf("no line about the end of the failure:\n%s", log)
	}
}
