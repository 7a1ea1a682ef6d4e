package store

import (
	"testing"
	"time"
)

// bucketN returns a bucket with a different key for each n.
func bucketN(n int, burst int, every time.Duration) Bucket {
	b := Bucket{Burst: burst, Every: every}
	for i := range 8 {
		b.Key[i] = byte(n >> (8 * i))
	}
	return b
}

// reserve calls Reserve, which must not return an error.
func reserve(t testing.TB, m *MemoryBuckets, buckets ...Bucket) Decision {
	t.Helper()
	decision, err := m.Reserve(t.Context(), buckets)
	if err != nil {
		t.Fatal(err)
	}
	return decision
}

// drain makes up to maxCount reservations, and stops when one is refused. It returns how many were
// allowed, and the RetryAfter of the refused reservation.
func drain(
	t testing.TB, m *MemoryBuckets, bucket Bucket, maxCount int,
) (allowedCount int, retryAfter time.Duration) {
	t.Helper()
	for ; allowedCount < maxCount; allowedCount++ {
		if decision := reserve(t, m, bucket); !decision.Allowed {
			return allowedCount, decision.RetryAfter
		}
	}
	return allowedCount, 0
}

// isStored reports whether a bucket has its own key in m. If not, it uses an overflow bucket.
func isStored(m *MemoryBuckets, bucket Bucket) bool {
	_, ok := m.fullAt[bucket.Key]
	return ok
}
