package keycloak

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// newRevokedVerifier returns a Verifier that rejects all tokens once isRevoked is set. last has the
// session of the last checked token.
func newRevokedVerifier(t *testing.T, config VerifierConfig) (v *Verifier, isRevoked *atomic.Bool,
	last *atomic.Pointer[TokenSession]) {
	t.Helper()
	isRevoked, last = &atomic.Bool{}, &atomic.Pointer[TokenSession]{}
	config.Issuers = []Issuer{{Keys: newKeys(t, jwksOf(rs256())),
		CheckRevoked: func(session TokenSession) error {
			last.Store(&session)
			if isRevoked.Load() {
				return &identity.Error{Reason: identity.ErrTokenRevoked, Detail: "ended"}
			}
			return nil
		}}}
	return newVerifier(t, nil, config), isRevoked, last
}

// CheckRevoked decides about each use of a token, cached or not.
func TestVerifier_CheckRevoked(t *testing.T) {
	for name, cacheBytes := range map[string]int{"with cache": 0, "without cache": -1} {
		v, isRevoked, last := newRevokedVerifier(t, VerifierConfig{CacheBytes: cacheBytes})
		token := rs256().token(aliceClaims(t))
		for range 2 {
			_, err := v.Verify(t.Context(), token)
			checkVerifyError(t, err, nil)
		}
		want := TokenSession{SessionID: aliceSession, Subject: aliceID,
			IssuedAt: noon.Add(-time.Minute), ExpiresAt: noon.Add(4 * time.Minute)}
		if got := *last.Load(); got != want {
			t.Errorf("%s: CheckRevoked got %+v, want %+v", name, got, want)
		}
		isRevoked.Store(true)
		for range 2 {
			_, err := v.Verify(t.Context(), token)
			checkVerifyError(t, err, identity.ErrTokenRevoked, "ended")
		}
		isRevoked.Store(false)
		_, err := v.Verify(t.Context(), token)
		checkVerifyError(t, err, nil)
	}
}

// CheckRevoked isn't called for a token that another check rejects: a stranger can't find out which
// sessions have ended.
func TestVerifier_CheckRevoked_last(t *testing.T) {
	v, isRevoked, last := newRevokedVerifier(t, VerifierConfig{})
	isRevoked.Store(true)
	for name, token := range map[string]string{
		"wrong signature": corruptSignature(rs256().token(aliceClaims(t))),
		"another key":     edDSA().token(aliceClaims(t)),
		"expired": rs256().token(patch(t, aliceClaims(t),
			object{"exp": noonPlus(-time.Hour)})),
	} {
		if _, err := v.Verify(t.Context(), token); errors.Is(err, identity.ErrTokenRevoked) ||
			err == nil {
			t.Errorf("%s: Verify() = %v, want another error than ErrTokenRevoked", name, err)
		}
	}
	if got := last.Load(); got != nil {
		t.Errorf("CheckRevoked was called with %+v, want no call", *got)
	}
}

// The sessions of a service account's token and of an offline token.
func TestVerifier_CheckRevoked_session(t *testing.T) {
	v, _, last := newRevokedVerifier(t, VerifierConfig{})
	for name, tt := range map[string]struct {
		changes object
		want    TokenSession
	}{
		"no session": {object{"sid": absent, "iat": absent}, TokenSession{}},
		"offline": {object{"scope": "openid offline_access", "iat": absent},
			TokenSession{SessionID: aliceSession, Offline: true}},
	} {
		_, err := v.Verify(t.Context(), rs256().token(patch(t, aliceClaims(t), tt.changes)))
		checkVerifyError(t, err, nil)
		tt.want.Subject, tt.want.ExpiresAt = aliceID, noon.Add(4*time.Minute)
		if got := *last.Load(); got != tt.want {
			t.Errorf("%s: CheckRevoked got %+v, want %+v", name, got, tt.want)
		}
	}
}

// When a token is revoked, the answers that are kept for it are dropped.
func TestVerifier_CheckRevoked_answers(t *testing.T) {
	v, isRevoked, _ := newRevokedVerifier(t, VerifierConfig{KeepAnswers: true})
	token := rs256().token(aliceClaims(t))
	send := func() (answers *Answers) {
		handler := Middleware(v, (&logBuffer{}).logger())(http.HandlerFunc(
			func(_ http.ResponseWriter, r *http.Request) {
				answers = AnswersFromContext(r.Context())
			}))
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		handler.ServeHTTP(httptest.NewRecorder(), r)
		return answers
	}
	send().Put([]byte("question"), "answer", 6)
	if got := send().Get([]byte("question")); got != "answer" {
		t.Fatalf("the kept answer is %v, want answer", got)
	}
	isRevoked.Store(true)
	if answers := send(); answers != nil {
		t.Error("a revoked token has answers, want none")
	}
	isRevoked.Store(false) // a new entry in the cache
	if got := send().Get([]byte("question")); got != nil {
		t.Errorf("the answer after the revocation is %v, want none", got)
	}
}
