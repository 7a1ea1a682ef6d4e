package redisstore

import (
	"context"
	"time"

	"github.com/cloakql/cloakql/store"
)

// events implements store.Events with these keys: e:positions and e:expiries, sorted sets of the
// events whose scores are their position and when they expire; e:latest, a hash with the latest
// position, the position of the latest event that was dropped, and when the last of the dropped
// events would have expired.
//
// The position of an event is when it was added, or one more than the latest position if that is
// greater. So if Redis loses its latest data, new events don't get the positions of lost ones.
type events struct{ *Client }

var appendScript = newScript(`
local positions, expiries, latest = KEYS[1], KEYS[2], KEYS[3]
local maxEvents = tonumber(ARGV[1])
local last = redis.call('HMGET', latest, 'position', 'dropped', 'droppedExpires')
local position, dropped = tonumber(last[1] or 0), tonumber(last[2] or 0)
local droppedExpires = tonumber(last[3] or 0)
local count = redis.call('ZCARD', positions)
local function remove(events)
  redis.call('ZREM', positions, unpack(events))
  redis.call('ZREM', expiries, unpack(events))
  count = count - #events
end
local function removeExpired()
  local expired = redis.call('ZRANGEBYSCORE', expiries, '-inf', text(now), 'LIMIT', 0, 500)
  if #expired > 0 then remove(expired) end
end
removeExpired()
for i = 3, #ARGV, 2 do
  local event, expiry = ARGV[i], now + tonumber(ARGV[i + 1])
  local lastExpiry = tonumber(redis.call('ZSCORE', expiries, event) or 0)
  if lastExpiry > now then
    if expiry > lastExpiry then redis.call('ZADD', expiries, text(expiry), event) end
  else
    if lastExpiry > 0 then remove({event}) end
    if count >= maxEvents then removeExpired() end
    if count >= maxEvents then
      local oldest = redis.call('ZRANGE', positions, 0, 0, 'WITHSCORES')
      local expires = tonumber(redis.call('ZSCORE', expiries, oldest[1]) or 0)
      dropped, droppedExpires = tonumber(oldest[2]), math.max(droppedExpires, expires)
      remove({oldest[1]})
    end
    position = math.max(position + 1, now)
    redis.call('ZADD', positions, text(position), event)
    redis.call('ZADD', expiries, text(expiry), event)
    count = count + 1
  end
end
redis.call('HSET', latest, 'position', text(position), 'dropped', text(dropped),
  'droppedExpires', text(droppedExpires))
local maxKeep = tonumber(ARGV[2])
expire(positions, maxKeep)
expire(expiries, maxKeep)
return 0
`)

var readScript = newScript(`
local positions, expiries, latest, epoch = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local cursorEpoch, after, newEpoch = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local maxBatch = tonumber(ARGV[4])
if redis.call('EXISTS', epoch) == 0 then redis.call('HSET', epoch, 'id', newEpoch) end
local found = redis.call('HMGET', epoch, 'id', 'count')
local last = redis.call('HMGET', latest, 'position', 'dropped', 'droppedExpires')
local lost = 0
if cursorEpoch ~= '' and (cursorEpoch ~= found[1] or after > tonumber(last[1] or 0)) then
  lost = 1
end
if cursorEpoch ~= found[1] or lost == 1 then after = 0 end
local missedAgo = -1
if tonumber(last[2] or 0) > after and tonumber(last[3]) > now then
  missedAgo = now - tonumber(last[2])
end
local events, more = {}, 0
local list = redis.call('ZRANGEBYSCORE', positions, '(' .. text(after), '+inf', 'WITHSCORES',
  'LIMIT', 0, maxBatch + 1)
for i = 1, #list, 2 do
  if i > 2 * maxBatch then more = 1 break end
  if tonumber(redis.call('ZSCORE', expiries, list[i]) or 0) > now then
    events[#events + 1] = list[i]
  end
  after = tonumber(list[i + 1])
end
return {found[1], tonumber(found[2] or 0), lost, after, more, missedAgo, events}
`)

// eventKeys returns the Redis keys of the events.
func (e events) eventKeys() []string {
	return []string{e.key("e:positions"), e.key("e:expiries"), e.key("e:latest")}
}

// Append implements store.Events.
func (e events) Append(ctx context.Context, events ...store.Event) error {
	if err := store.ValidateEvents(events); err != nil {
		return err
	}
	if len(events) == 0 {
		return ctx.Err()
	}
	args := make([]any, 0, 2+2*len(events))
	args = append(args, e.config.MaxEvents, microseconds(store.MaxEventTime))
	for _, event := range events {
		args = append(args, event.Data, microseconds(event.Keep))
	}
	_, err := e.runNumber(ctx, appendScript, e.eventKeys(), args...)
	return err
}

// Read implements store.Events.
func (e events) Read(ctx context.Context, after store.Cursor) (store.Batch, error) {
	known, newEpoch := e.losses.known()
	reply, err := e.runList(ctx, 7, readScript, append(e.eventKeys(), e.epochKey()),
		after.Epoch, after.Position, newEpoch, store.MaxBatch)
	if err != nil {
		return store.Batch{}, err
	}
	data, ok := reply[6].([]any)
	if !ok {
		return store.Batch{}, e.unexpected(reply)
	}
	current := epoch{id: asText(reply[0]), count: asNumber(reply[1])}
	e.losses.observe(known, current, e.config.Log, time.Now())
	batch := store.Batch{
		Lost: asNumber(reply[2]) == 1, More: asNumber(reply[4]) == 1,
		Cursor: store.Cursor{Epoch: current.id, Position: asNumber(reply[3])},
	}
	for _, element := range data {
		batch.Events = append(batch.Events, asText(element))
	}
	if missedAgo := asNumber(reply[5]); missedAgo >= 0 {
		batch.MissedUntil = time.Now().Add(-time.Duration(missedAgo) * time.Microsecond)
	}
	return batch, nil
}
