package redisstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cloakql/cloakql/internal/redistest"
	"github.com/cloakql/cloakql/store"
)

// testSecret is a secret for Config.SealSecrets.
var testSecret = NewSecret("a secret of the tests, not of users")

func TestMain(m *testing.M) {
	DisableLibraryLog()
	os.Exit(m.Run())
}

// open returns a client of the server at a URL, and closes it when the test ends. change may change
// its configuration; it may be nil.
func open(t testing.TB, url string, change func(*Config)) *Client {
	t.Helper()
	// Tests that expect no fault must not fail on a busy machine.
	config := Config{URL: NewSecret(url), SealSecrets: []Secret{testSecret}, Prefix: rand.Text(),
		Timeout: 20 * time.Second, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	c, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openTwo returns two clients of the same store, as two processes have.
func openTwo(t testing.TB, url string) (a, b store.Store) {
	t.Helper()
	prefix := rand.Text()
	setPrefix := func(config *Config) { config.Prefix = prefix }
	return open(t, url, setPrefix).Store(), open(t, url, setPrefix).Store()
}

// A shifter moves the times in the store into the past, so that the store's clock seems to move
// forward.
type shifter struct {
	testing.TB
	client *Client
	redis  *redis.Client
}

// newShifter returns a shifter for the store of a client.
func newShifter(t testing.TB, server *redistest.Server, client *Client) *shifter {
	connection := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2})
	t.Cleanup(func() { connection.Close() })
	return &shifter{TB: t, client: client, redis: connection}
}

// advance moves the times of buckets, turns and events into the past by d.
func (s *shifter) advance(d time.Duration) {
	s.Helper()
	ctx := context.Background()
	keys, err := s.redis.Keys(ctx, s.client.key("*")).Result()
	if err != nil {
		s.Fatal(err)
	}
	check := func(err error) {
		s.Helper()
		if err != nil && err != redis.Nil {
			s.Fatal(err)
		}
	}
	for _, key := range keys {
		switch part := strings.TrimPrefix(key, s.client.prefix); {
		case strings.HasPrefix(part, "b:"):
			value, err := s.redis.Get(ctx, key).Int64()
			check(err)
			left, err := s.redis.PTTL(ctx, key).Result()
			check(err)
			if left -= d; left <= 0 {
				check(s.redis.Del(ctx, key).Err())
				continue
			}
			check(s.redis.Set(ctx, key, value-d.Microseconds(), left).Err())
		case strings.HasPrefix(part, "t:"):
			for place, value := range s.redis.HGetAll(ctx, key).Val() {
				words := strings.Split(value, " ") // the number, when it expires, the group
				expires, err := strconv.ParseInt(words[1], 10, 64)
				check(err)
				words[1] = strconv.FormatInt(expires-d.Microseconds(), 10)
				check(s.redis.HSet(ctx, key, place, strings.Join(words, " ")).Err())
			}
		case part == "e:expiries":
			scores, err := s.redis.ZRangeWithScores(ctx, key, 0, -1).Result()
			check(err)
			for n := range scores {
				scores[n].Score -= float64(d.Microseconds())
			}
			check(s.redis.ZAdd(ctx, key, scores...).Err())
		case part == "e:latest":
			value, err := s.redis.HGet(ctx, key, "droppedExpires").Int64()
			check(err)
			check(s.redis.HSet(ctx, key, "droppedExpires",
				strconv.FormatInt(value-d.Microseconds(), 10)).Err())
		}
	}
}

// withSuffix returns a URL whose scheme has a suffix, such as +cluster.
func withSuffix(url, suffix string) string {
	scheme, rest, _ := strings.Cut(url, ":")
	return scheme + suffix + ":" + rest
}

// copyHex decodes a hexadecimal text into dst.
func copyHex(t testing.TB, dst []byte, text string) {
	t.Helper()
	if n, err := hex.Decode(dst, []byte(text)); err != nil || n != len(dst) {
		t.Fatalf("%q isn't the hexadecimal form of %d bytes", text, len(dst))
	}
}

// eventually calls f until it returns nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = f(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: %v after a minute", what, err)
}

// withPassword returns a URL with another password.
func withPassword(text, password string) string {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	u.User = nil
	if password != "" {
		u.User = url.UserPassword("", password)
	}
	return u.String()
}

// A lockedBuffer is a bytes.Buffer that is safe for concurrent use.
type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
