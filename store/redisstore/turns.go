package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/cloakql/cloakql/store"
)

// turns implements store.Turns. Each key is a hash. Its fields are the places in the queue: the
// number in the queue, when the place expires, and the group. The lowest number has the turn. The
// field "free" is the time when the next turn may begin.
type turns struct{ *Client }

const (
	placeTime     = 10 * time.Second // until a place expires if it isn't renewed
	renewInterval = 3 * time.Second  // of the caller that has the turn
	maxTurnQueue  = 100              // the maximum of MaxQueue and MaxGroup
)

// takeScript takes a place, or renews it, and returns 1 if it is the caller's turn, 0 if the caller
// has to wait, and -1 if the queue is full.
var takeScript = newScript(`
local place, group, maxQueue, maxGroup = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local placeTime = tonumber(ARGV[5])
local fields = redis.call('HGETALL', KEYS[1])
local count, groupCount, highest, first, mine, free = 0, 0, 0, nil, nil, 0
for i = 1, #fields, 2 do
  if fields[i] == 'free' then
    free = tonumber(fields[i + 1])
  else
    local number, expires, itsGroup = string.match(fields[i + 1], '^(%d+) (%d+) (%x*)$')
    number = tonumber(number)
    if tonumber(expires) <= now then
      redis.call('HDEL', KEYS[1], fields[i])
    else
      count = count + 1
      if itsGroup == group then groupCount = groupCount + 1 end
      highest = math.max(highest, number)
      first = math.min(first or number, number)
      if fields[i] == place then mine = number end
    end
  end
end
if not mine then
  if count >= maxQueue or (group ~= '' and groupCount >= maxGroup) then return -1 end
  mine = highest + 1
  first = first or mine
end
redis.call('HSET', KEYS[1], place,
  string.format('%d %s %s', mine, text(now + placeTime), group))
expire(KEYS[1], math.max(placeTime, free - now))
return (mine == first and now >= free) and 1 or 0
`)

// renewTurnScript renews a place.
var renewTurnScript = newScript(`
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then return 0 end
local number, group = string.match(value, '^(%d+) %d+ (%x*)$')
local placeTime = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], number .. ' ' .. text(now + placeTime) .. ' ' .. group)
expire(KEYS[1], placeTime)
return 1
`)

// leaveScript gives up a place. The next turn begins after a pause.
var leaveScript = newScript(`
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
local pause = tonumber(ARGV[2])
if pause > 0 then
  redis.call('HSET', KEYS[1], 'free', text(now + pause))
  expire(KEYS[1], math.max(pause, tonumber(ARGV[3])))
elseif redis.call('HLEN', KEYS[1]) == 1 and redis.call('HEXISTS', KEYS[1], 'free') == 1 then
  redis.call('DEL', KEYS[1]) -- the pause is over, because the caller had its turn after it
end
return 1
`)

// Take implements store.Turns.
func (t turns) Take(ctx context.Context, request store.TurnRequest) (func(time.Duration), error) {
	for _, max := range []int{request.MaxQueue, request.MaxGroup} {
		if max < 1 || max > maxTurnQueue {
			return nil, fmt.Errorf("store: a turn has MaxQueue %d and MaxGroup %d: expected 1 to %d",
				request.MaxQueue, request.MaxGroup, maxTurnQueue)
		}
	}
	keys, place := []string{t.key("t:" + hex.EncodeToString(request.Key[:]))}, rand.Text()
	err := poll(ctx, func() (bool, error) {
		turn, err := t.runNumber(ctx, takeScript, keys, place, subjectText(request.Group),
			request.MaxQueue, request.MaxGroup, microseconds(placeTime))
		if turn < 0 {
			return false, store.ErrQueueFull
		}
		return turn == 1, err
	})
	if err != nil {
		if err != store.ErrQueueFull {
			t.background.Go(func() { t.leave(keys, place, 0) })
		}
		return nil, err
	}
	left := make(chan struct{})
	t.background.Go(func() { t.renew(left, keys, place) })
	var once sync.Once
	return func(pause time.Duration) {
		once.Do(func() {
			close(left)
			t.background.Go(func() { t.leave(keys, place, min(pause, store.MaxPause)) })
		})
	}, nil
}

// renew renews the place of a caller that has the turn, until it leaves.
func (t turns) renew(left <-chan struct{}, keys []string, place string) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for {
		select {
		case <-left:
			return
		case <-t.stopped.Done():
			return
		case <-ticker.C:
			t.runNumber(t.stopped, renewTurnScript, keys, place, microseconds(placeTime))
		}
	}
}

// leave gives up a place. While Redis fails, it tries again until the place has expired.
func (t turns) leave(keys []string, place string, pause time.Duration) {
	// Close waits for the first attempt.
	ctx := context.WithoutCancel(t.stopped)
	for deadline := time.Now().Add(placeTime); time.Now().Before(deadline); {
		_, err := t.runNumber(ctx, leaveScript, keys, place, microseconds(pause),
			microseconds(placeTime))
		if err == nil {
			return
		}
		select {
		case <-t.stopped.Done():
			return
		case <-time.After(retryInterval):
		}
	}
}
