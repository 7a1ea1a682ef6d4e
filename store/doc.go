// Package store holds the state that several processes share. It has a small interface for each
// use, with the contract that an implementation must keep, and an implementation in the memory of
// one process:
//
//   - Buckets keeps token buckets, which limit how often something may happen (buckets.go).
//     MemoryBuckets is the implementation for a single process (memory_buckets.go).
//
// Package storetest has the tests that every implementation must pass.
//
// The package imports nothing of this module, and doesn't know what its users count or keep.
package store
