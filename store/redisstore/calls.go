package redisstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/cloakql/cloakql/store"
)

// calls implements store.Calls with these keys:
//
//   - c:<subject><group>, a hash, is the latest attempt of a call: its id and its state, and until
//     when that holds; if the state is done, also the result, its successor, and when it was done
//   - r:<id>, a hash, is the result of an attempt for callers of Wait, if c doesn't keep it
//     for store.MinWaitTime
//   - u, a sorted set, has the used subjects; the score is when they are forgotten
//   - g, a hash, has the first group that called Begin for a used subject
//   - epoch is the lossDetector's
//
// After a loss of data, Begin starts no call for the longest lease or keep that this process has
// used, at least 10 seconds.
type calls struct{ *Client }

// States of an attempt in the replies of scripts. In Redis, there is also the state "over": the
// attempt is done, but its result isn't kept.
const (
	stateStarted   = "started"
	stateInFlight  = "in flight"
	stateDone      = "done"
	stateAbandoned = "abandoned"
	stateLost      = "lost" // Redis lost its data
)

// luaUsed is Lua that marks a subject as used, forgets some of the subjects whose time is over, and
// returns whether the subject is used.
const luaUsed = `
local function isUsed(used, subject)
  return tonumber(redis.call('ZSCORE', used, subject) or 0) > now
end
local function markUsed(used, groups, subject, duration)
  local wasUsed = isUsed(used, subject)
  if wasUsed then
    duration = math.max(duration, tonumber(redis.call('ZSCORE', used, subject)) - now)
  end
  if duration <= 0 then return false end
  redis.call('ZADD', used, text(now + duration), subject)
  if not wasUsed then redis.call('HDEL', groups, subject) end
  local over = redis.call('ZRANGEBYSCORE', used, '-inf', text(now), 'LIMIT', 0, 32)
  if #over > 0 then
    redis.call('ZREM', used, unpack(over))
    redis.call('HDEL', groups, unpack(over))
  end
  local latest = redis.call('ZREVRANGE', used, 0, 0, 'WITHSCORES')[2]
  expire(used, tonumber(latest) - now)
  return true
end
`

// luaHasLease is Lua that returns whether the lease of a call in flight continues. If it has ended,
// it is extended once.
const luaHasLease = `
local function hasLease(call, leaseEnd, isExtended, grace, memory)
  leaseEnd = tonumber(leaseEnd)
  if leaseEnd > now then return true end
  if isExtended or leaseEnd + memory <= now then return false end
  redis.call('HSET', call, 'until', text(now + grace), 'extended', '1')
  expire(call, grace + memory)
  return true
end
`

var beginScript = newScript(luaUsed + luaHasLease + `
local call, used, groups, epoch = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local subject, group, id = ARGV[1], ARGV[2], ARGV[3]
local lease, keep, memory = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local knownEpoch, knownCount, newEpoch = ARGV[7], tonumber(ARGV[8]), ARGV[9]
local mayStart, grace = ARGV[10] == '1', tonumber(ARGV[11])

redis.call('HSETNX', epoch, 'id', newEpoch)
local epochID = redis.call('HGET', epoch, 'id')
local count = tonumber(redis.call('HGET', epoch, 'count') or 0)
if knownEpoch ~= '' and (epochID ~= knownEpoch or count < knownCount) then
  mayStart = false
else
  count = redis.call('HINCRBY', epoch, 'count', 1)
end

local otherGroup = 0
if markUsed(used, groups, subject, keep) then
  redis.call('HSETNX', groups, subject, group)
  redis.call('PEXPIRE', groups, redis.call('PTTL', used))
  if redis.call('HGET', groups, subject) ~= group then otherGroup = 1 end
end

local last = redis.call('HMGET', call, 'id', 'state', 'until', 'result', 'successor', 'doneAt',
  'extended')
local isCurrent = last[1] and tonumber(last[3]) > now
if isCurrent and last[2] == 'done' then
  local hasResult = 1
  if last[5] ~= '' and isUsed(used, last[5]) then hasResult, last[4] = 0, '' end
  return {'done', epochID, count, otherGroup, last[1], hasResult, last[4], last[5],
    now - tonumber(last[6])}
end
if last[2] == 'in flight' and last[1] ~= id and hasLease(call, last[3], last[7], grace, memory) then
  return {'in flight', epochID, count, otherGroup, last[1]}
end
if last[1] == id and last[2] ~= 'in flight' then -- finished before
  return {'done', epochID, count, otherGroup, id, 0, '', '', 0}
end
if not mayStart then return {'lost', epochID, count} end
redis.call('DEL', call)
redis.call('HSET', call, 'id', id, 'state', 'in flight', 'until', text(now + lease))
expire(call, lease + memory)
return {'started', epochID, count, otherGroup, id}
`)

var renewScript = newScript(`
local last = redis.call('HMGET', KEYS[1], 'id', 'state', 'until')
if last[1] == ARGV[1] then
  if last[2] ~= 'in flight' then return 0 end
elseif last[1] and tonumber(last[3]) > now then
  return 0
end
local lease = tonumber(ARGV[2])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'state', 'in flight', 'until', text(now + lease))
expire(KEYS[1], lease + tonumber(ARGV[3]))
return 1
`)

var finishScript = newScript(`
local call, attempt = KEYS[1], KEYS[2]
local id, result, successor, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local waitTime, memory = tonumber(ARGV[5]), tonumber(ARGV[6])
local last = redis.call('HMGET', call, 'id', 'state', 'until')
local isOther = last[1] and last[1] ~= id
if isOther and tonumber(last[3]) > now then return 0 end
if last[1] == id and last[2] ~= 'in flight' then return 1 end -- finished before
local values = {'id', id, 'result', result, 'successor', successor, 'doneAt', text(now)}
-- The other call's lease may still be extended, unless there is a result to keep.
if not (isOther and last[2] == 'in flight' and keep <= 0) then
  redis.call('DEL', call)
  if keep > 0 then
    redis.call('HSET', call, 'state', 'done', 'until', text(now + keep), unpack(values))
  else
    redis.call('HSET', call, 'state', 'over', 'until', text(now), 'id', id)
  end
  expire(call, keep + memory)
end
if keep < waitTime then
  redis.call('HSET', attempt, unpack(values))
  expire(attempt, waitTime)
end
return 1
`)

var waitScript = newScript(luaHasLease + `
local call, attempt, id = KEYS[1], KEYS[2], ARGV[1]
local fields = {'id', 'result', 'successor', 'doneAt', 'state', 'until', 'extended'}
local last = redis.call('HMGET', attempt, unpack(fields))
if not last[1] then last = redis.call('HMGET', call, unpack(fields)) end
if last[1] == id and last[4] then
  return {'done', last[2], last[3], now - tonumber(last[4])}
end
if last[1] == id and last[5] == 'in flight' and
  hasLease(call, last[6], last[7], tonumber(ARGV[2]), tonumber(ARGV[3])) then
  return {'in flight'}
end
return {'abandoned'}
`)

var markUsedScript = newScript(luaUsed + `
markUsed(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]))
return 0
`)

var isUsedScript = newScript(luaUsed + `
local used, epoch = KEYS[1], KEYS[2]
if redis.call('EXISTS', epoch) == 0 then redis.call('HSET', epoch, 'id', ARGV[2]) end
local found = redis.call('HMGET', epoch, 'id', 'count')
return {isUsed(used, ARGV[1]) and 1 or 0, found[1], tonumber(found[2] or 0)}
`)

// callKey returns the Redis key of a call.
func (c calls) callKey(key store.CallKey) string {
	return c.key("c:" + hex.EncodeToString(key.Subject[:]) + hex.EncodeToString(key.Group[:]))
}

// attemptKey returns the Redis key of the result of an attempt.
func (c calls) attemptKey(id store.CallID) string { return c.key("r:" + hex.EncodeToString(id[:])) }

// usedKeys returns the Redis keys of the used subjects and their groups.
func (c calls) usedKeys() []string { return []string{c.key("u"), c.key("g")} }

// epochKey returns the Redis key of the epoch.
func (c *Client) epochKey() string { return c.key("epoch") }

// subjectText returns a subject as it is in Redis. The zero Key is the empty text.
func subjectText(subject store.Key) string {
	if subject == (store.Key{}) {
		return ""
	}
	return hex.EncodeToString(subject[:])
}

// sealContext returns what is authenticated with a result.
func (c calls) sealContext(key store.CallKey, id, successor string) string {
	return c.callKey(key) + " " + id + " " + successor
}

// validateTime returns an error if a lease or a keep is out of bounds.
func validateTime(name string, d, min time.Duration) error {
	if d < min || d > store.MaxCallTime {
		return fmt.Errorf("store: the %s of a call is %v: expected %v to %v", name, d, min,
			store.MaxCallTime)
	}
	return nil
}

// Begin implements store.Calls.
func (c calls) Begin(
	ctx context.Context, key store.CallKey, id store.CallID, lease, keep time.Duration,
) (store.Call, error) {
	if err := validateTime("lease", lease, 1); err != nil {
		return store.Call{}, err
	}
	if err := validateTime("keep", keep, 0); err != nil {
		return store.Call{}, err
	}
	known, newEpoch, mayStart := c.losses.begin(max(lease, keep), time.Now())
	mayStartText := "0"
	if mayStart {
		mayStartText = "1"
	}
	keys := append(append([]string{c.callKey(key)}, c.usedKeys()...), c.epochKey())
	reply, err := c.runList(ctx, 3, beginScript, keys, hex.EncodeToString(key.Subject[:]),
		hex.EncodeToString(key.Group[:]), hex.EncodeToString(id[:]), microseconds(lease),
		microseconds(keep), microseconds(store.LeaseMemory), known.id, known.count, newEpoch,
		mayStartText, microseconds(store.LeaseGrace))
	if err != nil {
		return store.Call{}, err
	}
	current := epoch{id: asText(reply[1]), count: asNumber(reply[2])}
	c.losses.observe(known, current, c.config.Log, time.Now())
	state := asText(reply[0])
	if state == stateLost {
		return store.Call{}, store.ErrDataLost
	}
	if len(reply) < 5 {
		return store.Call{}, c.unexpected(reply)
	}
	call := store.Call{OtherGroup: asNumber(reply[3]) == 1}
	if call.ID, err = c.parseID(reply[4]); err != nil {
		return store.Call{}, err
	}
	switch {
	case state == stateStarted:
		call.State = store.CallStarted
	case state == stateInFlight:
		call.State = store.CallInFlight
	case state == stateDone && len(reply) == 9:
		call.State = store.CallDone
		call.Age = time.Duration(asNumber(reply[8])) * time.Microsecond
		hasResult := asNumber(reply[5]) == 1
		if err := c.setResult(&call, key, reply[6], reply[7], hasResult); err != nil {
			return store.Call{}, err
		}
	default:
		return store.Call{}, c.unexpected(reply)
	}
	return call, nil
}

// parseID parses the ID of an attempt.
func (c calls) parseID(element any) (store.CallID, error) {
	id, err := hex.DecodeString(asText(element))
	if err != nil || len(id) != len(store.CallID{}) {
		return store.CallID{}, c.unexpected(element)
	}
	return store.CallID(id), nil
}

// setResult sets the Successor of a call and, if it has one, the Result.
func (c calls) setResult(
	call *store.Call, key store.CallKey, sealed, successor any, hasResult bool,
) error {
	text := asText(successor)
	if text != "" {
		id, err := c.parseID(text)
		if err != nil {
			return err
		}
		call.Successor = store.Key(id)
	}
	if !hasResult {
		return nil
	}
	context := c.sealContext(key, hex.EncodeToString(call.ID[:]), text)
	result, err := c.sealer.open([]byte(asText(sealed)), context)
	if err != nil {
		return c.breaker.refuse(err, time.Now())
	}
	call.Result = result
	return nil
}

// Renew implements store.Calls.
func (c calls) Renew(
	ctx context.Context, key store.CallKey, id store.CallID, lease time.Duration,
) error {
	if err := validateTime("lease", lease, 1); err != nil {
		return err
	}
	return c.runOwned(ctx, renewScript, []string{c.callKey(key)}, hex.EncodeToString(id[:]),
		microseconds(lease), microseconds(store.LeaseMemory))
}

// runOwned is run for a script that returns 0 if the lease is lost.
func (c calls) runOwned(ctx context.Context, s script, keys []string, args ...any) error {
	ok, err := c.runNumber(ctx, s, keys, args...)
	if err == nil && ok == 0 {
		return store.ErrLeaseLost
	}
	return err
}

// Finish implements store.Calls.
func (c calls) Finish(
	ctx context.Context, key store.CallKey, id store.CallID, result []byte, successor store.Key,
	keep time.Duration,
) error {
	if err := validateTime("keep", keep, 0); err != nil {
		return err
	}
	if len(result) > store.MaxResultBytes {
		return store.ErrTooLarge
	}
	idText, successorText := hex.EncodeToString(id[:]), subjectText(successor)
	sealed := c.sealer.seal(result, c.sealContext(key, idText, successorText))
	return c.runOwned(ctx, finishScript, []string{c.callKey(key), c.attemptKey(id)}, idText, sealed,
		successorText, microseconds(keep), microseconds(store.MinWaitTime),
		microseconds(store.LeaseMemory))
}

// Wait implements store.Calls.
func (c calls) Wait(
	ctx context.Context, key store.CallKey, id store.CallID,
) (call store.Call, err error) {
	keys := []string{c.callKey(key), c.attemptKey(id)}
	err = poll(ctx, func() (pollResult, error) {
		reply, err := c.runList(ctx, 1, waitScript, keys, hex.EncodeToString(id[:]),
			microseconds(store.LeaseGrace), microseconds(store.LeaseMemory))
		if err != nil {
			return 0, err
		}
		call = store.Call{ID: id}
		switch state := asText(reply[0]); {
		case state == stateInFlight:
			return pollLater, nil
		case state == stateAbandoned:
			call.State = store.CallAbandoned
			return pollDone, nil
		case state == stateDone && len(reply) == 4:
			call.State = store.CallDone
			call.Age = time.Duration(asNumber(reply[3])) * time.Microsecond
			return pollDone, c.setResult(&call, key, reply[1], reply[2], true)
		}
		return 0, c.unexpected(reply)
	})
	if err != nil {
		return store.Call{}, err
	}
	return call, nil
}

// MarkUsed implements store.Calls.
func (c calls) MarkUsed(ctx context.Context, subject store.Key, keep time.Duration) error {
	if err := validateTime("keep", keep, 0); err != nil {
		return err
	}
	_, err := c.runNumber(ctx, markUsedScript, c.usedKeys(),
		hex.EncodeToString(subject[:]), microseconds(keep))
	return err
}

// IsUsed implements store.Calls.
func (c calls) IsUsed(ctx context.Context, subject store.Key) (bool, error) {
	known, newEpoch := c.losses.known()
	reply, err := c.runList(ctx, 3, isUsedScript, []string{c.usedKeys()[0], c.epochKey()},
		hex.EncodeToString(subject[:]), newEpoch)
	if err != nil {
		return false, err
	}
	current := epoch{id: asText(reply[1]), count: asNumber(reply[2])}
	c.losses.observe(known, current, c.config.Log, time.Now())
	used := asNumber(reply[0]) == 1
	if !used && c.losses.hasLost(time.Now()) {
		return false, store.ErrDataLost
	}
	return used, nil
}
