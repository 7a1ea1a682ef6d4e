package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// someone returns a connection of somebody else who can read and write the server.
func someone(t *testing.T, server *redistest.Server) *redis.Client {
	t.Helper()
	connection := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2})
	t.Cleanup(func() { connection.Close() })
	return connection
}

// dump returns all keys of a server with their values.
func dump(t *testing.T, server *redistest.Server) string {
	t.Helper()
	var all strings.Builder
	connection, ctx := someone(t, server), context.Background()
	for _, key := range connection.Keys(ctx, "*").Val() {
		all.WriteString(key + "\n")
		var values []string
		switch connection.Type(ctx, key).Val() {
		case "string":
			values = []string{connection.Get(ctx, key).Val()}
		case "hash":
			for field, value := range connection.HGetAll(ctx, key).Val() {
				values = append(values, field, value)
			}
		case "zset":
			values = connection.ZRange(ctx, key, 0, -1).Val()
		default:
			t.Fatalf("the key %s has an unexpected type", key)
		}
		all.WriteString(strings.Join(values, "\n"))
	}
	return all.String()
}

// Every key expires, except for those of the documents, whose size is bounded, and two of constant
// size.
func TestKeysExpire(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	for _, operation := range operations {
		if err := operation.call(t.Context(), client.Store()); err != nil {
			t.Fatalf("%s: %v", operation.name, err)
		}
	}
	err := client.Store().Calls.Finish(t.Context(), store.CallKey{Subject: store.Key{2}},
		store.CallID{2}, []byte("x"), store.Key{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Store().Turns.Take(t.Context(), onlyTurn); err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, client); err != nil { // Refund has removed the keys
		t.Fatal(err)
	}
	connection := someone(t, server)
	seen := map[string]bool{}
	for _, key := range connection.Keys(t.Context(), "*").Val() {
		part, ok := strings.CutPrefix(key, client.prefix)
		if !ok {
			t.Errorf("the key %s lacks the prefix %s", key, client.prefix)
		}
		kind, _, _ := strings.Cut(part, ":")
		seen[kind] = true
		expires := connection.PTTL(t.Context(), key).Val() > 0
		if want := kind != "d" && part != "epoch" && part != "e:latest"; expires != want {
			t.Errorf("the key %s expires: %t, want %t", key, expires, want)
		}
	}
	for _, kind := range []string{"b", "c", "r", "u", "g", "t", "d", "e", "epoch"} {
		if !seen[kind] {
			t.Errorf("there is no key of the kind %s", kind)
		}
	}
}

// Used subjects are forgotten some time after their time is over, while others are marked.
func TestCalls_forgotten(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	calls := client.Store().Calls
	begin := func(subject store.Key, keep time.Duration) {
		t.Helper()
		_, err := calls.Begin(t.Context(), store.CallKey{Subject: subject}, store.CallID{1},
			time.Minute, keep)
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range 100 {
		begin(store.Key{1, byte(n)}, time.Millisecond)
	}
	eventually(t, "forgotten", func() error {
		begin(store.Key{2}, time.Minute)
		used, groups := server.CLI("ZCARD", client.key("u")), server.CLI("HLEN", client.key("g"))
		if used != "1" || groups != "1" {
			return fmt.Errorf("%s subjects and %s groups are stored, want 1 and 1", used, groups)
		}
		return nil
	})
}

// The first group of a subject is forgotten together with the subject.
func TestCalls_forgottenGroup(t *testing.T) {
	t.Parallel()
	calls := open(t, redistest.Start(t).URL(), nil).Store().Calls
	begin := func(group byte, keep time.Duration) store.Call {
		t.Helper()
		key := store.CallKey{Subject: store.Key{1}, Group: store.Key{group}}
		call, err := calls.Begin(t.Context(), key, store.CallID{group}, time.Minute, keep)
		if err != nil {
			t.Fatal(err)
		}
		return call
	}
	if err := calls.MarkUsed(t.Context(), store.Key{2}, time.Minute); err != nil { // keeps the keys
		t.Fatal(err)
	}
	begin(1, time.Millisecond)
	eventually(t, "forgotten", func() error {
		used, err := calls.IsUsed(t.Context(), store.Key{1})
		if used {
			return errors.New("the subject is used")
		}
		return err
	})
	if call := begin(2, time.Minute); call.OtherGroup {
		t.Error("Begin() says that another group was first, but its call is forgotten")
	}
	if call := begin(1, time.Minute); !call.OtherGroup {
		t.Error("Begin() doesn't say that another group was first")
	}
}

// finishCall makes a call with a result that is kept.
func finishCall(
	t *testing.T, calls store.Calls, key store.CallKey, id store.CallID, result string,
) {
	t.Helper()
	call, err := calls.Begin(t.Context(), key, id, time.Minute, time.Minute)
	if err != nil || call.State != store.CallStarted {
		t.Fatalf("Begin() = %+v, %v, want a started call", call, err)
	}
	err = calls.Finish(t.Context(), key, id, []byte(result), store.Key{7}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
}

// Redis has no result in plain text, neither as a value nor as a key.
func TestCalls_encrypted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	calls := open(t, server.URL(), nil).Store().Calls
	const result = "eyJhbGciOiJSUzI1NiJ9.the-tokens"
	finishCall(t, calls, store.CallKey{Subject: store.Key{1}}, store.CallID{1}, result)
	err := calls.Finish(t.Context(), store.CallKey{Subject: store.Key{2}}, store.CallID{2},
		[]byte(result), store.Key{}, 0) // goes to another key
	if err != nil {
		t.Fatal(err)
	}
	all := dump(t, server)
	if strings.Count(all, "result\n") != 2 {
		t.Fatalf("Redis has not two results:\n%q", all)
	}
	for _, part := range []string{result, result[:10], "the-tokens"} {
		if strings.Contains(all, part) {
			t.Errorf("Redis has %q", part)
		}
	}
}

// A result that somebody has changed or moved isn't returned.
func TestCalls_tampered(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	s, redis := client.Store(), someone(t, server)
	first, second := store.CallKey{Subject: store.Key{1}}, store.CallKey{Subject: store.Key{2}}
	firstID, secondID := store.CallID{1}, store.CallID{2}
	finishCall(t, s.Calls, first, firstID, "the first result")
	finishCall(t, s.Calls, second, secondID, "the second result")
	firstKey, secondKey := calls{client}.callKey(first), calls{client}.callKey(second)
	firstHash := redis.HGetAll(t.Context(), firstKey).Val()
	secondHash := redis.HGetAll(t.Context(), secondKey).Val()
	set := func(key, field, value string) {
		t.Helper()
		if err := redis.HSet(t.Context(), key, field, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, key store.CallKey, id store.CallID) {
		t.Helper()
		call, err := s.Calls.Begin(t.Context(), key, store.CallID{9}, time.Minute, time.Minute)
		if !errors.Is(err, store.ErrUnavailable) || call.Result != nil {
			t.Errorf("%s: Begin() = %+v, %v, want %v", name, call, err, store.ErrUnavailable)
		}
		call, err = s.Calls.Wait(t.Context(), key, id)
		if !errors.Is(err, store.ErrUnavailable) || call.Result != nil {
			t.Errorf("%s: Wait() = %+v, %v, want %v", name, call, err, store.ErrUnavailable)
		}
	}
	set(firstKey, "result", secondHash["result"])
	set(secondKey, "result", firstHash["result"])
	check("swapped results", first, firstID)
	check("swapped results", second, secondID)

	for field, value := range secondHash { // the whole hash, with the other ID
		set(firstKey, field, value)
	}
	check("moved hash", first, secondID)

	for field, value := range firstHash { // its own, but of another attempt
		set(firstKey, field, value)
	}
	set(firstKey, "id", secondHash["id"])
	check("other attempt", first, secondID)

	set(secondKey, "result", secondHash["result"])
	set(secondKey, "successor", "")
	check("no successor", second, secondID)

	set(secondKey, "successor", secondHash["successor"])
	call, err := s.Calls.Wait(t.Context(), second, secondID)
	if err != nil || string(call.Result) != "the second result" {
		t.Errorf("with the original values: Wait() = %+v, %v, want the result", call, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("Check() = %v, want nil: Redis responds", err)
	}
}

// A text that somebody has replaced isn't returned, and Put replaces it.
func TestDocuments_tampered(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := open(t, server.URL(), nil)
	documents, redis := client.Store().Documents, someone(t, server)
	if err := documents.Put(t.Context(), "{me{username}}"); err != nil {
		t.Fatal(err)
	}
	key := client.key("d:texts")
	ids := redis.HKeys(t.Context(), key).Val()
	if len(ids) != 1 {
		t.Fatalf("Redis has %d texts, want 1", len(ids))
	}
	redis.HSet(t.Context(), key, ids[0], "mutation{logout}")
	id := store.DocumentID{}
	copyHex(t, id[:], ids[0])
	if text, ok, err := documents.Get(t.Context(), id); ok || text != "" || err != nil {
		t.Errorf("Get() = %q, %t, %v, want none", text, ok, err)
	}
	if err := documents.Put(t.Context(), "{me{username}}"); err != nil {
		t.Fatal(err)
	}
	if text, ok, err := documents.Get(t.Context(), id); text != "{me{username}}" {
		t.Errorf("Get() = %q, %t, %v, want the text", text, ok, err)
	}
}
