package redisstore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// An operation is a call of one method of the store.
type operation struct {
	name string
	call func(context.Context, store.Store) error
}

// operations has a call of each method. They don't wait, and may be repeated.
var operations = []operation{
	{"Buckets.Reserve", func(ctx context.Context, s store.Store) error {
		_, err := s.Buckets.Reserve(ctx, testBuckets(7))
		return err
	}},
	{"Buckets.Refund", func(ctx context.Context, s store.Store) error {
		return s.Buckets.Refund(ctx, testBuckets(7))
	}},
	{"Calls.Begin", func(ctx context.Context, s store.Store) error {
		_, err := s.Calls.Begin(ctx, store.CallKey{}, store.CallID{1}, time.Minute, time.Minute)
		return err
	}},
	{"Calls.Renew", func(ctx context.Context, s store.Store) error {
		err := s.Calls.Renew(ctx, store.CallKey{}, store.CallID{1}, time.Minute)
		return ignore(err, store.ErrLeaseLost)
	}},
	{"Calls.Finish", func(ctx context.Context, s store.Store) error {
		return s.Calls.Finish(ctx, store.CallKey{}, store.CallID{1}, []byte("x"), store.Key{},
			time.Minute)
	}},
	{"Calls.Wait", func(ctx context.Context, s store.Store) error {
		_, err := s.Calls.Wait(ctx, store.CallKey{}, store.CallID{1})
		return err
	}},
	{"Calls.MarkUsed", func(ctx context.Context, s store.Store) error {
		return s.Calls.MarkUsed(ctx, store.Key{2}, time.Minute)
	}},
	{"Calls.IsUsed", func(ctx context.Context, s store.Store) error {
		_, err := s.Calls.IsUsed(ctx, store.Key{2})
		return err
	}},
	{"Documents.Put", func(ctx context.Context, s store.Store) error {
		return s.Documents.Put(ctx, "{me{username}}")
	}},
	{"Documents.Get", func(ctx context.Context, s store.Store) error {
		_, _, err := s.Documents.Get(ctx, store.DocumentID{})
		return err
	}},
	{"Events.Append", func(ctx context.Context, s store.Store) error {
		return s.Events.Append(ctx, store.Event{Data: "x", Keep: time.Hour},
			store.Event{Data: "y", Keep: time.Hour})
	}},
	{"Events.Read", func(ctx context.Context, s store.Store) error {
		_, err := s.Events.Read(ctx, store.Cursor{})
		return err
	}},
}

// testBuckets returns a number of buckets.
func testBuckets(count int) []store.Bucket {
	var buckets []store.Bucket
	for n := range count {
		buckets = append(buckets,
			store.Bucket{Key: store.Key{byte(n)}, Burst: 1000, Every: time.Hour})
	}
	return buckets
}

// ignore returns err, or nil if err is target.
func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

// A roundTrips counts the commands of a client. It implements redis.Hook.
type roundTrips struct {
	redis.Hook
	count atomic.Int32
}

// ProcessHook implements redis.Hook.
func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.count.Add(1)
		return next(ctx, cmd)
	}
}

// DialHook implements redis.Hook.
func (r *roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (r *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Each operation is one command, and one more if Redis doesn't know the script yet.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	s, counter := client.Store(), &roundTrips{}
	if err := client.breaker.redis.Ping(t.Context()).Err(); err != nil { // connects
		t.Fatal(err)
	}
	client.breaker.redis.AddHook(counter)
	check := func(name string, want int32, call func() error) {
		t.Helper()
		counter.count.Store(0)
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := counter.count.Load(); got != want {
			t.Errorf("%s took %d round trips, want %d", name, got, want)
		}
	}
	for _, operation := range operations {
		check(operation.name+", first", 2, func() error { return operation.call(t.Context(), s) })
		check(operation.name, 1, func() error { return operation.call(t.Context(), s) })
	}
	check("no buckets", 0, func() error {
		_, err := s.Buckets.Reserve(t.Context(), nil)
		return err
	})
	for n := range 2 {
		var leave func(time.Duration)
		check("Turns.Take", int32(2-n), func() (err error) {
			turn := store.TurnRequest{Key: store.Key{byte(n)}, MaxQueue: 1, MaxGroup: 1}
			leave, err = s.Turns.Take(t.Context(), turn)
			return err
		})
		counter.count.Store(0)
		leave(0)
		eventually(t, "leave", func() error {
			if counter.count.Load() != int32(2-n) {
				return errors.New("the command isn't sent yet")
			}
			return nil
		})
	}
	server.CLI("SCRIPT", "FLUSH")
	check("after SCRIPT FLUSH", 2, func() error { return operations[0].call(t.Context(), s) })
}

// Canceled calls return ctx.Err(), take no effect, and say nothing about Redis.
func TestCanceled(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, operation := range operations {
		if err := operation.call(ctx, client.Store()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want %v", operation.name, err, context.Canceled)
		}
	}
	if got := client.Stats(); got.Calls != 0 || got.Failed != 0 {
		t.Errorf("the counts are %+v, want no call", got)
	}
	server.Pause()
	defer server.Resume()
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := operations[0].call(ctx, client.Store())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call with a deadline while Redis doesn't respond = %v, want %v", err,
			context.DeadlineExceeded)
	}
	if got := client.Stats(); got.Failed != 0 || client.Store().Check(t.Context()) != nil {
		t.Errorf("the counts are %+v, want no failure", got)
	}
}

// After Close, calls fail.
func TestClient_Close(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	s := client.Store()
	turn := store.TurnRequest{Key: store.Key{1}, MaxQueue: 1, MaxGroup: 1}
	leave, err := s.Turns.Take(t.Context(), turn)
	if err != nil {
		t.Fatal(err)
	}
	leave(0)
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if got := server.CLI("KEYS", "*"); got != "" {
		t.Errorf("Redis has the keys %q, want none: Close waits for leave", got)
	}
	leave(0)
	for _, operation := range operations {
		if err := operation.call(t.Context(), s); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s = %v, want %v", operation.name, err, store.ErrUnavailable)
		}
	}
	if err := client.Close(); err != nil {
		t.Errorf("the second Close() = %v", err)
	}
}

// Benchmark_operations measures each operation on a real server.
func Benchmark_operations(b *testing.B) {
	server := redistest.Start(b)
	s := open(b, server.URL(), nil).Store()
	for _, operation := range operations {
		b.Run(operation.name, func(b *testing.B) {
			for b.Loop() {
				if err := operation.call(b.Context(), s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
