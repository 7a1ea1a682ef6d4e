package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A script is a Lua script that Redis runs.
type script struct{ source, hash string }

// newScript returns a script that may use the variables of scriptStart.
func newScript(source string) script {
	source = scriptStart + source
	hash := sha1.Sum([]byte(source))
	return script{source: source, hash: hex.EncodeToString(hash[:])}
}

// scriptStart is the start of each script. Times are microseconds since 1970. Lua's numbers have 53
// bits, which is enough for times until the year 2255. Lua writes large numbers as 1.7e+15, so they
// need text.
const scriptStart = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
local function expire(key, duration)
  redis.call('PEXPIRE', key, text(math.ceil(duration / 1000)))
end
`

// A noRetry is a command that a cluster client doesn't repeat after a network error, because the
// script may have run. The client still follows redirections, because then the script has not run.
type noRetry struct{ *redis.Cmd }

// NoRetry implements redis.Cmder.
func (noRetry) NoRetry() bool { return true }

// run runs a script and returns its reply. Its errors are ctx.Err() or store.ErrUnavailable.
func (c *Client) run(ctx context.Context, s script, keys []string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, err := c.breaker.admit(time.Now())
	if err != nil {
		return nil, err
	}
	callCtx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	reply, err := evaluate(callCtx, client, "evalsha", s.hash, keys, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // the script didn't run
		reply, err = evaluate(callCtx, client, "eval", s.source, keys, args)
	}
	if err != nil { // because of ctx, the error says nothing about Redis
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The connection has the deadline of ctx, and may notice it before ctx does.
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return nil, context.DeadlineExceeded
		}
	}
	return reply, c.breaker.report(client, err, time.Now())
}

// runList is run for a script that returns a list of at least n elements.
func (c *Client) runList(
	ctx context.Context, n int, s script, keys []string, args ...any,
) ([]any, error) {
	reply, err := c.run(ctx, s, keys, args...)
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) < n {
		return nil, c.unexpected(reply)
	}
	return list, nil
}

// runNumber is run for a script that returns a number.
func (c *Client) runNumber(
	ctx context.Context, s script, keys []string, args ...any,
) (int64, error) {
	reply, err := c.run(ctx, s, keys, args...)
	if err != nil {
		return 0, err
	}
	number, ok := reply.(int64)
	if !ok {
		return 0, c.unexpected(reply)
	}
	return number, nil
}

// unexpected returns the error for a reply that isn't one of the script's.
func (c *Client) unexpected(reply any) error {
	return c.breaker.refuse(fmt.Errorf("unexpected reply of type %T", reply), time.Now())
}

// evaluate sends one command that runs a script, and returns its reply.
func evaluate(
	ctx context.Context, client redis.UniversalClient, command, script string, keys []string,
	args []any,
) (any, error) {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, command, script, len(keys))
	for _, key := range keys {
		words = append(words, key)
	}
	cmd := redis.NewCmd(ctx, append(words, args...)...)
	client.Process(ctx, noRetry{cmd})
	return cmd.Result()
}

// microseconds returns d in microseconds, rounded up.
func microseconds(d time.Duration) int64 {
	return int64((d + time.Microsecond - 1) / time.Microsecond)
}

// asText returns an element of a script's reply as a text. Numbers are texts too.
func asText(element any) string {
	switch element := element.(type) {
	case string:
		return element
	case int64:
		return strconv.FormatInt(element, 10)
	}
	return ""
}

// asNumber returns an element of a script's reply as a whole number.
func asNumber(element any) int64 {
	number, err := strconv.ParseInt(asText(element), 10, 64)
	if err != nil {
		return 0
	}
	return number
}
