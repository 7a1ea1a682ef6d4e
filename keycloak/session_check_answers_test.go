package keycloak

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// An answer that isn't understood revokes no token. With Wait, the request fails.
func TestSessionChecker_invalidAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		detail string
	}{
		"empty":         {200, ``, "not a JSON object with active"},
		"HTML":          {200, `<html>` + canary, "not a JSON object with active"},
		"a list":        {200, `[{"active":false}]`, "not a JSON object with active"},
		"no member":     {200, `{"Active":false}`, "not a JSON object with active"},
		"null":          {200, `{"active":null}`, "not a JSON object with active"},
		"a text":        {200, `{"active":"false"}`, "not a JSON object with active"},
		"a number":      {200, `{"active":0}`, "not a JSON object with active"},
		"twice":         {200, `{"active":false,"active":false}`, "not a JSON object"},
		"cut short":     {200, `{"active":false`, "not a JSON object with active"},
		"text after it": {200, `{"active":false}}`, "not a JSON object with active"},
		"too large":     {200, `{"active":false` + strings.Repeat(" ", 1<<20) + `}`, "larger"},
		"a JWT":         {200, `eyJhbGciOiJSUzI1NiJ9.e30.` + canary, "not a JSON object"},
		"created":       {201, `{"active":false}`, "response 201"},
		"a redirect":    {302, `{"active":false}`, "redirect"},
		"wrong secret": {401, oauthError("invalid_client", "Client authentication failed."),
			"secret is wrong"},
		"unknown client": {401, oauthError("invalid_client",
			"Invalid client or Invalid client credentials"), "ClientID"},
		"public client":   {403, oauthError("invalid_request", "Client not allowed."), "public"},
		"unknown refusal": {400, oauthError(canary, canary), "[an unknown error"},
		"realm disabled": {403, oauthError("access_denied", "Realm not enabled"),
			"enable the realm"},
		"not Keycloak": {404, `{"active":false}`, "not one of Keycloak's"},
		"server error": {500, `{"active":false}`, "response 500"},
	} {
		for _, wait := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := newCheckTest(t, wait)
				c.endpoint.setResponse(tt.status, tt.body)
				err := c.use("s1")
				synctest.Wait()
				if wait {
					checkUnchecked(t, err, tt.detail)
				} else if err != nil {
					t.Errorf("%s: Check() = %v, want nil", name, err)
				}
				if ends := c.takeEnds(); len(ends) > 0 {
					t.Errorf("%s: the ends are %+v, want none", name, ends)
				}
				if got := c.Stats(); got.Failed != 1 || got.Done != 0 {
					t.Errorf("%s: Stats() = %+v, want one failure", name, got)
				}
				if log := c.log.String(); !strings.Contains(log, tt.detail) ||
					strings.Contains(log, canary) {
					t.Errorf("%s: the log is %q, want %q and no secret", name, log, tt.detail)
				}
				// The next use tries again, but not at once.
				c.use("s1")
				synctest.Wait()
				c.checkCalls(name+": at once", 1)
				time.Sleep(checkRetryDelay)
				c.endpoint.setResponse(200, `{"active":true}`)
				if err := c.use("s1"); err != nil {
					t.Errorf("%s: after a second, Check() = %v, want nil", name, err)
				}
				synctest.Wait()
				c.checkCalls(name+": later", 2)
			})
		}
	}
}

// oauthError returns the body of an error response.
func oauthError(code, description string) string {
	return toJSON(object{"error": code, "error_description": description})
}

// Keycloak says that a token is inactive to clients that aren't in its audience, so it isn't asked.
func TestSessionChecker_audience(t *testing.T) {
	for name, tt := range map[string]struct {
		audience any
		isAsked  bool
	}{
		"the client":         {localAudience, true},
		"the client in list": {[]string{"account", localAudience}, true},
		"another API":        {[]string{"account", "shop"}, false},
		"none":               {nil, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCheckTest(t, true)
			c.endpoint.setResponse(200, `{"active":false}`)
			for i := range 10 { // more than the failures after which checks pause
				err := c.Check(t.Context(), TokenSession{SessionID: fmt.Sprint("s", i)},
					checkedToken("s1", tt.audience))
				if tt.isAsked != errors.Is(err, identity.ErrTokenRevoked) {
					t.Errorf("%s: Check() = %v", name, err)
				}
				if !tt.isAsked {
					checkUnchecked(t, err, `which lacks "local-api"`)
				}
			}
			if got := c.endpoint.callCount(); got > 0 != tt.isAsked {
				t.Errorf("%s: Keycloak was asked %d times, want asked: %v", name, got, tt.isAsked)
			}
			err := c.Check(t.Context(), TokenSession{SessionID: "other"},
				checkedToken("other", localAudience))
			if !errors.Is(err, identity.ErrTokenRevoked) {
				t.Errorf("%s: another session: Check() = %v, want ErrTokenRevoked", name, err)
			}
		})
	}
}
