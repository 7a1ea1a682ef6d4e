package keycloak

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

const (
	// maxAnswerBytes bounds the answers that are kept for one token, so that one user can't fill
	// the cache.
	maxAnswerBytes = 16 << 10

	answerOverheadBytes = 160 // estimated, in addition to the request and the answer
)

// Answers keeps encoded responses to requests with one access token, together with the token in the
// token cache. They are dropped when the token leaves the cache: when it expires, when its key
// leaves the key set, or when the cache needs the memory. An answer may depend only on the request
// and the token, because every later request with the same content and the same token gets it. The
// zero value works without a token cache. Answers is safe for concurrent use.
type Answers struct {
	cache *tokenCache
	token string

	mu    sync.Mutex                   // held by add
	kept  atomic.Pointer[[]keptAnswer] // replaced, never changed; at most a hundred
	bytes atomic.Int64                 // estimated memory of kept
}

type keptAnswer struct {
	request string
	answer  any
}

type answersKey struct{}

// AnswersFromContext returns the answers kept for the access token of a request. It returns nil if
// there is no valid token or no cache, or if VerifierConfig.KeepAnswers isn't set. Middleware puts
// the answers into ctx.
func AnswersFromContext(ctx context.Context) *Answers {
	answers, _ := ctx.Value(answersKey{}).(*Answers)
	return answers
}

// Get returns the answer to a request, or nil if there is none. It takes no lock.
func (a *Answers) Get(request []byte) any {
	if kept := a.kept.Load(); kept != nil {
		for _, k := range *kept {
			if k.request == string(request) {
				return k.answer
			}
		}
	}
	return nil
}

// Put keeps the answer to a request, unless the request has an answer or the token's answers would
// take more than 16 KiB. size is the answer's size in bytes. Put copies request. Get returns answer
// itself, not a copy, so the caller must not change it afterwards.
func (a *Answers) Put(request []byte, answer any, size int) {
	if a.add(request, answer, len(request)+size+answerOverheadBytes) {
		a.cache.updateWeight(a.token)
	}
}

// add adds an answer if there is room for it, and reports whether it did.
func (a *Answers) add(request []byte, answer any, size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	bytes := int(a.bytes.Load())
	if size > maxAnswerBytes-bytes || a.Get(request) != nil {
		return false
	}
	kept := []keptAnswer{{string(request), answer}}
	if current := a.kept.Load(); current != nil {
		kept = append(kept, *current...)
	}
	a.kept.Store(&kept)
	a.bytes.Store(int64(bytes + size))
	return true
}

// weight returns the estimated memory of the answers. It is 0 if a is nil.
func (a *Answers) weight() int {
	if a == nil {
		return 0
	}
	return int(a.bytes.Load())
}

// updateWeight makes the cache weigh a token's entry again, unless the token has left the cache.
func (c *tokenCache) updateWeight(token string) {
	if c == nil {
		return
	}
	c.tokens.ComputeIfPresent(token, func(entry *verifiedToken) (*verifiedToken, otter.ComputeOp) {
		return entry, otter.WriteOp
	})
	c.tokens.CleanUp() // as in put
}
