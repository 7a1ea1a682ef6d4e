package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/cloakql/cloakql/store"
)

// turns implements store.Turns. Each key is a hash, whose fields are the places in the queue: the
// number in the queue, when the place expires, and the group. The lowest number has the turn. A
// caller that leaves with a pause keeps its place, which expires at the end of the pause.
type turns struct{ *Client }

const (
	placeTime     = 10 * time.Second // until a place expires if it isn't renewed
	renewInterval = 3 * time.Second  // of the caller that has the turn
)

// takeScript takes a place, or renews it. It returns how many callers are ahead in the queue, or -1
// if the queue is full.
var takeScript = newScript(`
local place, group, maxQueue, maxGroup = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local fields = redis.call('HGETALL', KEYS[1])
local numbers, groupCount, highest, mine, last = {}, 0, 0, nil, now + tonumber(ARGV[5])
for i = 1, #fields, 2 do
  local number, expires, itsGroup = string.match(fields[i + 1], '^(%d+) (%d+) (%x*)$')
  number, expires = tonumber(number), tonumber(expires)
  if expires <= now then
    redis.call('HDEL', KEYS[1], fields[i])
  else
    numbers[#numbers + 1] = number
    if itsGroup == group then groupCount = groupCount + 1 end
    highest, last = math.max(highest, number), math.max(last, expires)
    if fields[i] == place then mine = number end
  end
end
if not mine then
  if #numbers >= maxQueue or (group ~= '' and groupCount >= maxGroup) then return -1 end
  mine = highest + 1
end
redis.call('HSET', KEYS[1], place,
  text(mine) .. ' ' .. text(now + tonumber(ARGV[5])) .. ' ' .. group)
expire(KEYS[1], last - now)
local ahead = 0
for _, number in ipairs(numbers) do
  if number < mine then ahead = ahead + 1 end
end
return ahead
`)

// keepScript changes when a place expires.
var keepScript = newScript(`
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then return 0 end
local number, group = string.match(value, '^(%d+) %d+ (%x*)$')
local duration = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], number .. ' ' .. text(now + duration) .. ' ' .. group)
if redis.call('PTTL', KEYS[1]) * 1000 < duration then expire(KEYS[1], duration) end
return 1
`)

// leaveScript gives up a place.
var leaveScript = newScript(`return redis.call('HDEL', KEYS[1], ARGV[1])`)

// Take implements store.Turns.
func (t turns) Take(ctx context.Context, request store.TurnRequest) (func(time.Duration), error) {
	if err := request.Validate(); err != nil {
		return nil, err
	}
	keys, place := []string{t.key("t:" + hex.EncodeToString(request.Key[:]))}, rand.Text()
	err := poll(ctx, func() (pollResult, error) {
		ahead, err := t.runNumber(ctx, takeScript, keys, place, subjectText(request.Group),
			request.MaxQueue, request.MaxGroup, microseconds(placeTime))
		switch {
		case err != nil:
			return 0, err
		case ahead < 0:
			return 0, store.ErrQueueFull
		case ahead == 0:
			return pollDone, nil
		case ahead == 1:
			return pollSoon, nil
		}
		return pollLater, nil
	})
	if err != nil {
		if err != store.ErrQueueFull {
			t.leave(keys, place, 0)
		}
		return nil, err
	}
	renewing, stop := context.WithCancel(t.stopped)
	t.goBackground(func() { t.renew(renewing, keys, place) })
	var once sync.Once
	return func(pause time.Duration) {
		once.Do(func() {
			stop()
			t.goBackground(func() { t.leave(keys, place, min(pause, store.MaxPause)) })
		})
	}, nil
}

// renew renews the place of a caller that has the turn, until ctx is done.
func (t turns) renew(ctx context.Context, keys []string, place string) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.runNumber(ctx, keepScript, keys, place, microseconds(placeTime))
		}
	}
}

// leave gives up a place after a pause. If Redis fails, it tries again in the background until the
// place has expired.
func (t turns) leave(keys []string, place string, pause time.Duration) {
	end := time.Now().Add(pause)
	try := func() bool {
		// Close lets the first attempt finish.
		ctx, pause := context.WithoutCancel(t.stopped), time.Until(end)
		var err error
		if pause > 0 {
			_, err = t.runNumber(ctx, keepScript, keys, place, microseconds(pause))
		} else {
			_, err = t.runNumber(ctx, leaveScript, keys, place)
		}
		return err == nil
	}
	if try() {
		return
	}
	t.goBackground(func() {
		for deadline := time.Now().Add(placeTime); time.Now().Before(deadline); {
			select {
			case <-t.stopped.Done():
				return
			case <-time.After(retryInterval):
			}
			if try() {
				return
			}
		}
	})
}
