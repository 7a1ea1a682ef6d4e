package keycloak

import (
	"cmp"
	"context"
	"crypto/sha256"
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
		token := rs256().token(patch(t, aliceClaims(t), tt.changes))
		_, err := v.Verify(t.Context(), token)
		checkVerifyError(t, err, nil)
		if tt.want.SessionID == "" {
			sum := sha256.Sum256([]byte(token))
			tt.want.SessionID = "token:" + base64url(sum[:])
		}
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

// CheckSession is called on each use of a token that CheckRevoked accepts, with the session and the
// whole token. Its error rejects the request; only a revoked token leaves the cache.
func TestVerifier_CheckSession(t *testing.T) {
	for name, cacheBytes := range map[string]int{"with cache": 0, "without cache": -1} {
		var revokedErr, checkErr error
		var calls int
		var ctx context.Context
		token := rs256().token(aliceClaims(t))
		v := newVerifier(t, nil, VerifierConfig{CacheBytes: cacheBytes, Issuers: []Issuer{{
			Keys:         newKeys(t, jwksOf(rs256())),
			CheckRevoked: func(TokenSession) error { return revokedErr },
			CheckSession: func(got context.Context, session TokenSession,
				accessToken identity.Secret) error {
				calls++
				if got != ctx || session.SessionID != aliceSession ||
					accessToken.Reveal() != token {
					t.Errorf("%s: CheckSession got the session %+v and another context or token",
						name, session)
				}
				return checkErr
			},
		}}})
		ctx = context.WithValue(t.Context(), answersKey{}, nil)
		for _, tt := range []struct {
			revokedErr, checkErr error
			wantCalls            int
		}{
			{nil, nil, 1}, {nil, nil, 1},
			{nil, identity.ErrKeysUnavailable, 1}, {nil, identity.ErrBusy, 1},
			{nil, identity.ErrTokenRevoked, 1}, {nil, nil, 1},
			{identity.ErrTokenRevoked, nil, 0},
		} {
			calls, revokedErr, checkErr = 0, nil, nil
			want := cmp.Or(tt.revokedErr, tt.checkErr)
			if tt.revokedErr != nil {
				revokedErr = &identity.Error{Reason: tt.revokedErr, Detail: "ended"}
			}
			if tt.checkErr != nil {
				checkErr = &identity.Error{Reason: tt.checkErr, Detail: "checked"}
			}
			_, err := v.Verify(ctx, token)
			checkVerifyError(t, err, want)
			if calls != tt.wantCalls {
				t.Errorf("%s: CheckSession was called %d times, want %d", name, calls,
					tt.wantCalls)
			}
			if cacheBytes == 0 {
				_, isCached := v.cache.tokens.GetIfPresent(token)
				if want := !errors.Is(want, identity.ErrTokenRevoked); isCached != want {
					t.Errorf("%s: after %v, the token is cached: %v, want %v", name, err, isCached,
						want)
				}
			}
		}
	}
}

// CheckSession adds no allocation to the verification of a cached token.
func TestVerifier_CheckSession_allocations(t *testing.T) {
	count := func(config SessionCheckConfig, checks bool) float64 {
		issuer := Issuer{Keys: newKeys(t, jwksOf(rs256()))}
		if checks {
			issuer.CheckSession = must(NewSessionChecker(config)).Check
		}
		v := newVerifier(t, nil, VerifierConfig{Issuers: []Issuer{issuer}})
		token := rs256().token(aliceClaims(t))
		return testing.AllocsPerRun(1000, func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("Verify() = %v, want nil", err)
			}
		})
	}
	client := newClient(t, jsonHandler(200, `{"active":true}`))
	config := SessionCheckConfig{Client: client, End: func(SessionEnd) {}, Wait: true,
		Now: func() time.Time { return noon }}
	if got, want := count(config, true), count(config, false); got != want {
		t.Errorf("with CheckSession, Verify() makes %v allocations, without it %v", got, want)
	}
}

// When a session can't be checked, the response is 503: the caller is still signed in.
func TestProtect_CheckSession(t *testing.T) {
	for reason, want := range map[error]int{
		identity.ErrKeysUnavailable: http.StatusServiceUnavailable,
		identity.ErrBusy:            http.StatusServiceUnavailable,
		identity.ErrTokenRevoked:    http.StatusUnauthorized,
	} {
		v := newVerifier(t, nil, VerifierConfig{Issuers: []Issuer{{
			Keys: newKeys(t, jwksOf(rs256())),
			CheckSession: func(context.Context, TokenSession, identity.Secret) error {
				return &identity.Error{Reason: reason}
			}}}})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+rs256().token(aliceClaims(t)))
		w := httptest.NewRecorder()
		Protect(v, (&logBuffer{}).logger())(http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%v: got %d, want %d", reason, w.Code, want)
		}
	}
}
