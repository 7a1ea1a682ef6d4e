package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// An attemptRecorder is a limiter that allows a number of attempts, and records each attempt with
// its outcome.
type attemptRecorder struct {
	remaining int      // number of attempts that it still allows
	attempts  []string // such as "login alice: <nil>"
}

// limiter returns a fakeLimiter that records in r.
func (r *attemptRecorder) limiter() fakeLimiter {
	return fakeLimiter{reserve: func(field, subject string) (func(error), error) {
		if r.remaining--; r.remaining < 0 {
			r.attempts = append(r.attempts, field+" "+subject+": refused")
			return nil, &identity.RateLimitError{RetryAfter: 1500 * time.Millisecond}
		}
		return func(err error) {
			r.attempts = append(r.attempts, fmt.Sprintf("%s %s: %v", field, subject, err))
		}, nil
	}}
}

// refusingRealm returns a realm that refuses every call. It counts the calls in calls.
func refusingRealm(calls *int) fakeRealm {
	return fakeRealm{
		login: func(identity.Credentials) (*identity.OpenIDToken, error) {
			*calls++
			return nil, identity.ErrBadCredentials
		},
		refresh: func(identity.Secret) (*identity.OpenIDToken, error) {
			*calls++
			return nil, identity.ErrRefreshInvalid
		},
		logout: func(identity.Secret) error { *calls++; return identity.ErrRefreshInvalid },
	}
}

// Each run of a field login, refresh or logout is one attempt, however the document selects the
// field.
func TestLimiter_fields(t *testing.T) {
	for name, tt := range map[string]struct {
		query string
		want  []string
	}{
		"one field": {`mutation { login(username: "a", password: "p") { scope } }`,
			[]string{"login a"}},
		"aliases": {`mutation { x: login(username: "a", password: "1") { scope } y: ` +
			`login(username: "a", password: "2") { scope } z: login(username: "b", password: ` +
			`"3") { scope } }`, []string{"login a", "login a", "login b"}},
		"fragments": {`mutation { ...F ... on Mutation { y: login(username: "b", password: "2") { scope } } ...G }
			fragment F on Mutation { x: login(username: "a", password: "1") { scope } ...G }
			fragment G on Mutation { z: login(username: "c", password: "3") { scope } }`, []string{"login a", "login c", "login b"}},
		"merged fields": {`mutation { login(username: "a", password: "p") { scope } ` +
			`login(username: "a", password: "p") { tokenType } }`, []string{"login a"}},
		"@skip and @include": {
			`mutation { login(username: "a", password: "p") @skip(if: true) { scope } x: ` +
				`login(username: "b", password: "p") @include(if: true) { scope } }`,
			[]string{"login b"},
		},
		"refresh and logout": {
			`mutation { refresh(refreshToken: "r") { scope } x: refresh(refreshToken: "s") { ` +
				`scope } y: logout(refreshToken: "t") }`,
			[]string{"refresh r", "refresh s", "logout t"},
		},
		"bad input": {`mutation { login(username: "", password: "p") { scope } ` +
			`refresh(refreshToken: "") { scope } }`, nil},
	} {
		calls, rec := 0, &attemptRecorder{remaining: 100}
		// Every field fails and is non-null, so data is null. Still, all fields run.
		s := newLimitedServer(t, refusingRealm(&calls), rec.limiter())
		response := s.sendWithoutToken(tt.query)
		var got []string // without outcomes
		for _, attempt := range rec.attempts {
			fieldAndSubject, _, _ := strings.Cut(attempt, ":")
			got = append(got, fieldAndSubject)
		}
		if calls != len(tt.want) || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got the attempts %q and %d calls to the realm, want %q and %d\n%s",
				name, got, calls, tt.want, len(tt.want), response)
		}
	}
}

// If the limiter refuses an attempt, the realm isn't called. The error says only when to retry.
func TestLimiter_refused(t *testing.T) {
	for _, query := range []string{
		`mutation { login(username: "alice", password: "` + canary + `") { scope } }`,
		`mutation { login(username: "unknown", password: "` + canary + `") { scope } }`,
		`mutation { refresh(refreshToken: "` + canary + `") { scope } }`,
		`mutation { logout(refreshToken: "` + canary + `") }`,
	} {
		s := newLimitedServer(t, fakeRealm{}, (&attemptRecorder{}).limiter())
		field, _, _ := strings.Cut(strings.TrimPrefix(query, "mutation { "), "(")
		checkEqual(t, s.sendWithoutToken(query), fmt.Sprintf(
			`{"errors":[{"message":"Too many `+
				`attempts","path":[%q],"locations":[{"line":1,"column":12}],"extensions":{"code":"RATE_LIMITED","retryAfter":2}}],"data":null}`, field))
		if s.log.Len() != 0 {
			t.Errorf("logged %s, want nothing", s.log.String())
		}
	}
}

// The done function of an attempt gets the realm's error unchanged.
func TestLimiter_done(t *testing.T) {
	wrappedErr := fmt.Errorf("log in: %w", identity.ErrBadCredentials)
	for want, err := range map[string]error{"login alice: <nil>": nil,
		"login alice: log in: bad credentials": wrappedErr} {
		rec := &attemptRecorder{remaining: 1}
		s := newLimitedServer(t,
			fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
				return tokenResponse(), err
			}}, rec.limiter())
		s.sendWithoutToken(`mutation { login(username: "alice", password: "p") { scope } }`)
		if len(rec.attempts) != 1 || rec.attempts[0] != want {
			t.Errorf("the limiter recorded %q, want %q", rec.attempts, want)
		}
	}
}

// If the realm panics, the outcome is unknown. So done isn't called, and the attempt stays counted.
func TestLimiter_panic(t *testing.T) {
	rec := &attemptRecorder{remaining: 1}
	s := newLimitedServer(t,
		fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) { panic("x") }},
		rec.limiter())
	s.sendWithoutToken(`mutation { login(username: "alice", password: "p") { scope } }`)
	if len(rec.attempts) != 0 || rec.remaining != 0 {
		t.Errorf("the limiter recorded %q, and %d attempts are left; want nothing and 0",
			rec.attempts, rec.remaining)
	}
}
