package store

import (
	"context"
	"errors"
	"time"
)

// A CallKey identifies a call that should be made once. Each group makes the call for itself.
type CallKey struct {
	Subject Key // what the call uses up, such as a digest of a refresh token
	Group   Key // who may have the result, such as a digest of the caller's network
}

// A CallID identifies one attempt to make a call. It is random.
type CallID [16]byte

// A Call is the state of a call.
type Call struct {
	State CallState
	ID    CallID // of the attempt that is in flight or done

	// Result and Successor are those of Finish, and Age is how long ago Finish was called. They are
	// set if State is CallDone.
	Result    []byte
	Successor Key
	Age       time.Duration

	// OtherGroup means that the first group that called Begin for the Subject was another one.
	// Begin sets it while the Subject is marked as used.
	OtherGroup bool
}

// A CallState says what the caller of Begin or Wait has to do.
type CallState int

// The states of a call.
const (
	// CallStarted means that the caller has to make the call. Until it calls Finish, it has to call
	// Renew before each end of the lease.
	CallStarted CallState = iota + 1
	// CallInFlight means that another caller is making the call: call Wait.
	CallInFlight
	// CallDone means that Result has the result.
	CallDone
	// CallAbandoned means that the lease and LeaseGrace ended without a result: the process that
	// made the call has probably died. The result of the call is unknown. Only Wait returns this
	// state.
	CallAbandoned
)

// Limits of the arguments of Calls.
const (
	MaxCallTime    = 5 * time.Minute // of a lease, and of how long a result is kept
	MaxResultBytes = 256 << 10
)

// Times after the end of a lease. Its owner may still be there: the store may have been unavailable
// when the owner wanted to renew the lease or to store its result.
const (
	// LeaseGrace is by how long the first Begin or Wait after the end of a lease extends it.
	LeaseGrace = 3 * time.Second
	// LeaseMemory is how long after the end of a lease that is still possible.
	LeaseMemory = 15 * time.Second
)

// MinWaitTime is how long Wait still returns a result after Finish, even if it isn't kept.
const MinWaitTime = 5 * time.Second

// Errors of Calls.
var (
	// ErrLeaseLost means that the lease has ended, or that another call has begun since.
	ErrLeaseLost = errors.New("the lease of the call has ended")
	// ErrTooLarge means that a result or a document has more bytes than allowed.
	ErrTooLarge = errors.New("the value is too large")
)

// Calls makes sure that a call which must not be made twice is made once, by one of several
// processes, and gives its result to the others. A caller that starts a call has a lease, which it
// renews while the call is in flight. If the caller dies, the lease ends. The first Begin or Wait
// that notices it extends the lease once, by LeaseGrace, unless it ended more than LeaseMemory ago.
// So others learn at most LeaseGrace after the lease that the call is abandoned, and the caller's
// result counts although the store was unavailable when the lease ended.
//
//	call, err := calls.Begin(ctx, key, id, lease, keep)
//	switch call.State {
//	case store.CallStarted:  // make the call, with Renew from time to time, then call Finish
//	case store.CallInFlight: // call, err = calls.Wait(ctx, key, call.ID)
//	case store.CallDone:     // use call.Result
//	}
//
// Atomicity: of any number of concurrent calls of Begin with one key, from one or more processes,
// exactly one gets CallStarted, until the lease and LeaseGrace end or the result is forgotten.
//
// Secrecy: results may contain tokens. An implementation that stores them outside the process
// encrypts and authenticates them, together with their key.
//
// Bounds: every entry expires: a call LeaseMemory after its lease, a result when it is no longer
// kept, a used Subject after the keep of the call that marked it. Leases are positive; leases and
// keeps are at most MaxCallTime, results at most MaxResultBytes. A store that is full doesn't keep
// a result, and never treats a used Subject as unused.
//
// Clock: a store uses one clock. A shared store uses its own, because its callers' clocks differ.
//
// Errors: if the store fails, the error wraps ErrUnavailable. For as long as a lease or a result
// that a store has lost could have lasted, Begin starts no call, because otherwise a call would be
// made twice: it returns ErrDataLost, unless the call is in flight or has a result. IsUsed then
// returns ErrDataLost for a Subject that isn't known to be used. Callers may store their results
// again with Finish.
//
// All methods are safe for concurrent use. They return ctx.Err() soon after ctx is done.
type Calls interface {
	// Begin starts a call, unless one with the same key is in flight or has a result. If it returns
	// CallStarted, the call has the given id and lease. In every case, it marks key.Subject as used
	// for the duration keep, as MarkUsed does. keep may be 0.
	//
	// A result whose Successor is used is not returned: its state is CallDone, but Result is nil.
	// The same holds if the call with this id has finished before: Begin may arrive late.
	Begin(ctx context.Context, key CallKey, id CallID, lease, keep time.Duration) (Call, error)

	// Renew extends the lease of the caller's call: it ends lease from now. If the lease has ended,
	// or the store has lost it, Renew starts it again. It returns ErrLeaseLost if another call with
	// the same key is in flight or has a result, or if this call is done.
	Renew(ctx context.Context, key CallKey, id CallID, lease time.Duration) error

	// Finish stores the result of the caller's call, which isn't empty. Callers of Wait get it, and
	// Begin returns it for the duration keep. If keep is 0, only callers of Wait get it: the next
	// Begin starts another call. successor is the Subject that the result allows to use next; Begin
	// no longer returns the result when that is used. The zero Key means that there is none.
	//
	// It returns ErrLeaseLost if another call with the same key is in flight or has a result. If
	// only the lease has ended, or the store doesn't know the call, it stores the result. A caller
	// may repeat Finish after an error, because it doesn't know whether the result was stored.
	Finish(ctx context.Context, key CallKey, id CallID, result []byte, successor Key,
		keep time.Duration) error

	// Wait waits until the call with this id is done or abandoned. If it is done, Wait returns its
	// result, even if the result's Successor is used by now or another call has begun since. An
	// unknown call is abandoned.
	Wait(ctx context.Context, key CallKey, id CallID) (Call, error)

	// MarkUsed records that a Subject was used, and forgets it after keep. It never shortens the
	// time for which an earlier call marked the Subject.
	MarkUsed(ctx context.Context, subject Key, keep time.Duration) error

	// IsUsed reports whether a Subject was used.
	IsUsed(ctx context.Context, subject Key) (bool, error)
}
