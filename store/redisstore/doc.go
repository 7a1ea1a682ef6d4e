// Package redisstore implements the interfaces of package store with Redis, for several processes
// that share one store. It needs Redis 6.2 or later, or a server that is compatible with it.
//
// Every operation is one Lua script, which Redis runs atomically, so it needs one round trip. All
// keys start with the same hash tag, so in a cluster they are on one node. Redis's clock is the
// store's clock.
//
// # While Redis doesn't respond
//
// A call waits at most Config.Timeout. Then it fails with store.ErrUnavailable, and so do all calls
// of the next second, without waiting. After that second, one call tries again on a new connection.
// If it succeeds, the store is available again; if not, another second begins.
//
// An error that Redis returns for one script, such as that its memory is full, is
// store.ErrUnavailable too. Other calls are then still made.
//
// # What Redis has to be configured for
//
//   - maxmemory-policy noeviction: otherwise Redis forgets the levels of buckets and the calls in
//     flight when its memory is full.
//   - Redis replicates asynchronously, and by default it saves its data every few minutes. If a
//     crash or a failover loses the latest writes, a Client that knew of them notices that in most
//     cases, and its Begin fails until what was lost no longer matters (see Calls). Other Clients
//     may not notice it: those that started after the loss, those that didn't know of the lost
//     calls, and all of them if as many calls of Begin came after the loss as were lost. Then a
//     call may be made twice. Events that were lost may go unnoticed in the same way, if others
//     were added before the next Read. A loss of all data is noticed by every Client that has
//     called Begin or Read before.
//
// The user needs these permissions; +cluster|slots only in a cluster:
//
//	~{cloakql}:* +eval +evalsha +cluster|slots +del +exists +get +hdel +hget +hgetall +hincrby
//	+hmget +hset +hsetnx +hstrlen +pexpire +pttl +set +time +zadd +zcard +zrange +zrangebyscore
//	+zrem +zrevrange +zscore
//
// # What someone who can read Redis learns
//
// Results of calls are encrypted and authenticated (AES-256-GCM), together with their key, so that
// a result can't be read, changed or moved to another key. Keys are what callers make them, which
// is digests. Documents and events are stored as they are. Someone who can write to Redis can end
// sessions with a made-up event, and empty or fill buckets, but gets no session.
package redisstore
