package keycloak

import (
	"context"
	"sync"

	"github.com/maypok86/otter/v2"
)

const (
	// maxAnswerBytes bounds the answers that are kept for one token, so that one user can't fill
	// the cache.
	maxAnswerBytes = 16 << 10

	answerOverheadBytes = 160 // estimated, in addition to the request and the answer
)

// Answers keeps encoded answers beside a token in the token cache. They are dropped with the token:
// when it expires, its key leaves the key set, or the cache needs the memory. An answer may depend
// only on the token, because every request with the token gets it. The zero value belongs to no
// token. It is safe for concurrent use.
type Answers struct {
	cache *tokenCache
	token string

	mu        sync.RWMutex // guards the fields below
	byRequest map[string]any
	bytes     int // estimated memory of byRequest
}

type answersKey struct{}

// AnswersFromContext returns the answers kept for the access token of a request, or nil if there is
// no valid token, no cache, or VerifierConfig.KeepAnswers isn't set. Middleware puts them into ctx.
func AnswersFromContext(ctx context.Context) *Answers {
	answers, _ := ctx.Value(answersKey{}).(*Answers)
	return answers
}

// Get returns the answer to a request, or nil if there is none.
func (a *Answers) Get(request []byte) any {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byRequest[string(request)]
}

// Put keeps the answer to a request, unless the request has an answer or the token's answers would
// take more than 16 KiB. size is the answer's size in bytes. Put copies request. Get returns the
// answer itself to all requests, so it must not change.
func (a *Answers) Put(request []byte, answer any, size int) {
	if a.add(request, answer, len(request)+size+answerOverheadBytes) {
		a.cache.updateWeight(a.token)
	}
}

// add adds an answer if there is room for it, and reports whether it did.
func (a *Answers) add(request []byte, answer any, size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if size > maxAnswerBytes-a.bytes || a.byRequest[string(request)] != nil {
		return false
	}
	if a.byRequest == nil {
		a.byRequest = map[string]any{}
	}
	a.byRequest[string(request)] = answer
	a.bytes += size
	return true
}

// weight returns the estimated memory of the answers. It is 0 if a is nil.
func (a *Answers) weight() int {
	if a == nil {
		return 0
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.bytes
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
