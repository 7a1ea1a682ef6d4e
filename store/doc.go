// Package store defines interfaces of stores that several processes may share. For each interface,
// it documents a contract and has an in-memory implementation for a single process:
//
//   - Buckets stores token buckets, which limit how often something may happen (buckets.go).
//   - Calls makes a call once in all processes, and stores its result (calls.go).
//   - Turns gives turns to callers, one after another (turns.go).
//   - Documents stores texts by their SHA-256 (documents.go).
//   - Events tells every process what one of them has learned (events.go).
//
// The implementations in memory are MemoryBuckets, MemoryCalls, MemoryTurns, MemoryDocuments and
// MemoryEvents. Package redisstore implements the interfaces with Redis. Package storetest has the
// tests that every implementation must pass.
//
// The package imports no other package of this module, and doesn't know what its callers store.
package store
