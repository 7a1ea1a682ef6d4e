// Package store defines storage that several processes may share. For each use it has a small
// interface with a contract, and an in-memory implementation for a single process:
//
//   - Buckets stores token buckets, which limit how often something may happen (buckets.go).
//     MemoryBuckets is its in-memory implementation (memory_buckets.go).
//
// Package storetest has the tests that every implementation must pass.
//
// The package imports nothing from this module, and doesn't know what its users store.
package store
