package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// A ledger allows some attempts, and notes each with what came of it.
type ledger struct {
	allowed int
	lines   []string
}

func (l *ledger) budget() fakeBudget {
	return fakeBudget{take: func(field, of string) (func(error), error) {
		if l.allowed--; l.allowed < 0 {
			l.lines = append(l.lines, field+" "+of+": refused")
			return nil, &identity.RateLimitError{RetryAfter: 1500 * time.Millisecond}
		}
		return func(err error) {
			l.lines = append(l.lines, fmt.Sprintf("%s %s: %v", field, of, err))
		}, nil
	}}
}

// refusing is a realm that says no to everyone, and counts how often it is asked.
func refusing(asked *int) fakeRealm {
	return fakeRealm{
		login: func(identity.Credentials) (*identity.OpenIDToken, error) {
			*asked++
			return nil, identity.ErrBadCredentials
		},
		refresh: func(identity.Secret) (*identity.OpenIDToken, error) {
			*asked++
			return nil, identity.ErrRefreshInvalid
		},
		logout: func(identity.Secret) error { *asked++; return identity.ErrRefreshInvalid },
	}
}

// However a field is written, it is an attempt each time that it runs.
func TestEveryFieldThatRunsIsAnAttempt(t *testing.T) {
	for name, tt := range map[string]struct {
		query string
		want  []string
	}{
		"once": {`mutation { login(username: "a", password: "p") { scope } }`,
			[]string{"login a"}},
		"aliases": {`mutation { x: login(username: "a", password: "1") { scope } y: login(username: "a", password: "2") { scope } z: login(username: "b", password: "3") { scope } }`, []string{"login a", "login a", "login b"}},
		"fragments": {`mutation { ...F ... on Mutation { y: login(username: "b", password: "2") { scope } } ...G }
			fragment F on Mutation { x: login(username: "a", password: "1") { scope } ...G }
			fragment G on Mutation { z: login(username: "c", password: "3") { scope } }`, []string{"login a", "login c", "login b"}},
		"one field that is written twice runs once": {`mutation { login(username: "a", password: "p") { scope } login(username: "a", password: "p") { tokenType } }`, []string{"login a"}},
		"skipped": {
			`mutation { login(username: "a", password: "p") @skip(if: true) { scope } x: login(username: "b", password: "p") @include(if: true) { scope } }`, []string{"login b"},
		},
		"other fields": {
			`mutation { refresh(refreshToken: "r") { scope } x: refresh(refreshToken: "s") { scope } y: logout(refreshToken: "t") }`, []string{"refresh r", "refresh s", "logout t"},
		},
		"no attempt at all": {`mutation { login(username: "", password: "p") { scope } refresh(refreshToken: "") { scope } }`, nil},
	} {
		asked, ledger := 0, &ledger{allowed: 100}
		// login is never null, so one failure empties the whole answer; the others run all the
		// same.
		s := newServerWithin(t, refusing(&asked), ledger.budget())
		got := s.anonymous(tt.query)
		var took []string
		for _, line := range ledger.lines {
			what, _, _ := strings.Cut(line, ":")
			took = append(took, what)
		}
		if asked != len(tt.want) || !slices.Equal(took, tt.want) {
			t.Errorf("%s: took %q, asked %d times, want %q\n%s", name, took, asked, tt.want, got)
		}
	}
}

// A refused attempt doesn't reach the realm, and the answer says when to come back, and nothing
// else.
func TestARefusedAttemptAsksNobody(t *testing.T) {
	for _, query := range []string{
		`mutation { login(username: "alice", password: "` + canary + `") { scope } }`,
		`mutation { login(username: "nobody", password: "` + canary + `") { scope } }`,
		`mutation { refresh(refreshToken: "` + canary + `") { scope } }`,
		`mutation { logout(refreshToken: "` + canary + `") }`,
	} {
		ledger := &ledger{}
		s := newServerWithin(t, fakeRealm{}, ledger.budget())
		field, _, _ := strings.Cut(strings.TrimPrefix(query, "mutation { "), "(")
		check(t, s.anonymous(query), fmt.Sprintf(
			`{"errors":[{"message":"Too many attempts","path":[%q],"locations":[{"line":1,"column":12}],"extensions":{"code":"RATE_LIMITED","retryAfter":2}}],"data":null}`, field))
		if s.log.Len() != 0 {
			t.Errorf("logged %s", s.log.String())
		}
	}
}

// The budget hears what the realm said, as it said it.
func TestTheBudgetHearsWhatCameOfIt(t *testing.T) {
	wrapped := fmt.Errorf("log in: %w", identity.ErrBadCredentials)
	for want, answer := range map[string]error{"login alice: <nil>": nil,
		"login alice: log in: bad credentials": wrapped} {
		ledger := &ledger{allowed: 1}
		s := newServerWithin(t,
			fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
				return tokens(), answer
			}}, ledger.budget())
		s.anonymous(`mutation { login(username: "alice", password: "p") { scope } }`)
		if len(ledger.lines) != 1 || ledger.lines[0] != want {
			t.Errorf("the budget heard %q, want %q", ledger.lines, want)
		}
	}
}

// Nobody knows what a panic was about: what was taken for it isn't given back.
func TestAPanicSettlesNothing(t *testing.T) {
	ledger := &ledger{allowed: 1}
	s := newServerWithin(t,
		fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) { panic("oh") }},
		ledger.budget())
	s.anonymous(`mutation { login(username: "alice", password: "p") { scope } }`)
	if len(ledger.lines) != 0 || ledger.allowed != 0 {
		t.Errorf("the budget heard %q, and %d attempts are left", ledger.lines, ledger.allowed)
	}
}
