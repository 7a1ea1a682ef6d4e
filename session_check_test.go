package cloakql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql"
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
