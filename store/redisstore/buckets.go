package redisstore

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/cloakql/cloakql/store"
)

// buckets implements store.Buckets. A key has the time when the bucket will be full, as
// store.MemoryBuckets does, and expires at that time. Times are rounded to microseconds.
type buckets struct{ *Client }

// reserveScript takes a token from the bucket of each key, or none if one of them is empty. For
// each key, the arguments are Every and the time to fill the bucket. It returns 0, or the time
// until the first empty bucket gains a token.
var reserveScript = newScript(`
local fullAt = {}
for i, key in ipairs(KEYS) do
  local every, refill = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  fullAt[i] = math.max(tonumber(redis.call('GET', key) or now), now) + every
  if fullAt[i] - now > refill then return fullAt[i] - now - refill end
end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, text(fullAt[i]), 'PX', text(math.ceil((fullAt[i] - now) / 1000)))
end
return 0
`)

// refundScript puts a token back into the bucket of each key. For each key, the argument is Every.
var refundScript = newScript(`
for i, key in ipairs(KEYS) do
  local fullAt = tonumber(redis.call('GET', key) or 0) - tonumber(ARGV[i])
  if fullAt > now then
    redis.call('SET', key, text(fullAt), 'PX', text(math.ceil((fullAt - now) / 1000)))
  else
    redis.call('DEL', key)
  end
end
return 0
`)

// bucketKeys returns the Redis keys of buckets.
func (b buckets) bucketKeys(buckets []store.Bucket) []string {
	keys := make([]string, len(buckets))
	for i, bucket := range buckets {
		keys[i] = b.key("b:" + hex.EncodeToString(bucket.Key[:]))
	}
	return keys
}

// Reserve implements store.Buckets.
func (b buckets) Reserve(ctx context.Context, buckets []store.Bucket) (store.Decision, error) {
	args := make([]any, 0, 2*len(buckets))
	for _, bucket := range buckets {
		if err := bucket.Validate(); err != nil {
			return store.Decision{}, err
		}
		every := microseconds(bucket.Every)
		args = append(args, every, every*int64(bucket.Burst))
	}
	if len(buckets) == 0 {
		return store.Decision{Allowed: true}, ctx.Err()
	}
	wait, err := b.runNumber(ctx, reserveScript, b.bucketKeys(buckets), args...)
	if err != nil {
		return store.Decision{}, err
	}
	if wait > 0 {
		return store.Decision{RetryAfter: time.Duration(wait) * time.Microsecond}, nil
	}
	return store.Decision{Allowed: true}, nil
}

// Refund implements store.Buckets.
func (b buckets) Refund(ctx context.Context, buckets []store.Bucket) error {
	if len(buckets) == 0 {
		return ctx.Err()
	}
	args := make([]any, len(buckets))
	for i, bucket := range buckets {
		args[i] = microseconds(bucket.Every)
	}
	_, err := b.runNumber(ctx, refundScript, b.bucketKeys(buckets), args...)
	return err
}
