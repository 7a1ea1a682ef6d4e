package cloakql_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
)

// With SessionCheck, the server learns that a user was disabled, which Keycloak doesn't announce:
// at once with Wait, and otherwise with the request after the next.
func TestSessionCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		check    *keycloak.SessionCheckConfig
		wantEnds bool
	}{
		"off":    {nil, false},
		"sample": {&keycloak.SessionCheckConfig{Interval: time.Nanosecond}, true},
		"always": {&keycloak.SessionCheckConfig{Interval: time.Nanosecond, Wait: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRevocationTest(t, func(c *cloakql.Config) { c.SessionCheck = tt.check })
			tokens := signIn(t, r.kc)
			r.wantMe("before", tokens.AccessToken, false)
			err := r.kc.Realm("shop").User("alice").Update([]byte(`{"enabled":false}`))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.wantEnds {
				r.wantMe("afterwards", tokens.AccessToken, false)
				return
			}
			isRevoked := func() bool {
				_, body := r.server.do(t, testRequest{query: "{ me { username } }",
					authorization: "Bearer " + tokens.AccessToken})
				return strings.Contains(body, revokedMe)
			}
			if tt.check.Wait && !isRevoked() {
				t.Error("the first request afterwards wasn't refused")
			}
			waitFor(t, "the server to refuse the session", isRevoked)
		})
	}
}

// An application's own Issuer.CheckSession is called in addition to the session checker.
func TestSessionCheck_ownCheck(t *testing.T) {
	var refuses atomic.Bool
	r := newRevocationTest(t, func(c *cloakql.Config) {
		c.SessionCheck = &keycloak.SessionCheckConfig{Interval: time.Nanosecond, Wait: true}
		c.Tokens.Issuers[0].CheckSession = func(context.Context, keycloak.TokenSession,
			identity.Secret) error {
			if refuses.Load() {
				return &identity.Error{Reason: identity.ErrTokenRevoked}
			}
			return nil
		}
	})
	first, second := signIn(t, r.kc), signIn(t, r.kc)
	r.wantMe("before", first.AccessToken, false)
	refuses.Store(true)
	r.wantMe("while the application refuses", first.AccessToken, true)
	refuses.Store(false)
	r.wantMe("another session", second.AccessToken, false)
	if err := r.kc.Realm("shop").User("alice").Update([]byte(`{"enabled":false}`)); err != nil {
		t.Fatal(err)
	}
	r.wantMe("after the user was disabled", second.AccessToken, true)
}

// SessionCheck needs a client to ask Keycloak with.
func TestSessionCheck_noClient(t *testing.T) {
	config := cloakql.Config{Realm: testConfig(t).Realm, Schema: guardedSchema,
		Tokens:       keycloak.VerifierConfig{Audience: []string{"shop-api"}},
		SessionCheck: &keycloak.SessionCheckConfig{}}
	_, err := cloakql.New(config)
	if err == nil || !strings.Contains(err.Error(), "SessionCheck") {
		t.Errorf("New() = %v, want an error that names SessionCheck", err)
	}
}
