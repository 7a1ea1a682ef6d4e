// Package store defines interfaces of stores that several processes may share. For each interface,
// it documents a contract and has an in-memory implementation for a single process:
//
//   - Buckets stores token buckets, which limit how often something may happen (buckets.go).
//     MemoryBuckets is its in-memory implementation (memory_buckets.go).
//
// Package storetest has the tests that every implementation must pass.
//
// The package imports no other package of this module, and doesn't know what its callers store.
package store
