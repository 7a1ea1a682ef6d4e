package keycloak

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// notBeforeResponse returns a token response for a user, with an access token that was issued now.
func notBeforeResponse(subject string, notBefore any) string {
	token := refreshTokenOf(object{"sub": subject, "iat": time.Now().Unix(), "typ": "Bearer"})
	return toJSON(object{"access_token": token.Reveal(), "token_type": "Bearer", "expires_in": 300,
		"refresh_token": sessionRefreshToken("s1", "1").Reveal(), "not-before-policy": notBefore})
}

// A recent not-before in the response to a sign-in or a refresh ends the user's tokens from before
// it. Tokens that were issued in the same second stay valid, as in Keycloak.
func TestClient_notBefore(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for name, tt := range map[string]struct {
		subject   string
		notBefore any
		want      time.Time // zero if SessionEnded isn't called
	}{
		"none":         {aliceID, 0, time.Time{}},
		"absent":       {aliceID, nil, time.Time{}},
		"a minute ago": {aliceID, now.Add(-time.Minute).Unix(), now.Add(-time.Minute - 1e9)},
		"23 hours ago": {aliceID, now.Add(-23 * time.Hour).Unix(),
			now.Add(-23*time.Hour - 1e9)},
		"25 hours ago":      {aliceID, now.Add(-25 * time.Hour).Unix(), time.Time{}},
		"now":               {aliceID, now.Unix(), now.Add(-time.Second)},
		"in the future":     {aliceID, now.Add(time.Hour).Unix(), now},
		"in the year 9999":  {aliceID, int64(year10000 - 1), now},
		"in the year 10000": {aliceID, int64(year10000), time.Time{}},
		"negative":          {aliceID, -1, time.Time{}},
		"a text":            {aliceID, "now", time.Time{}},
		"no subject":        {"", now.Unix(), time.Time{}},
	} {
		for _, call := range []string{"login", "refresh"} {
			var ends []SessionEnd
			client := newClient(t, jsonHandler(200, notBeforeResponse(tt.subject, tt.notBefore)),
				func(c *ClientConfig) {
					c.SessionEnded = func(end SessionEnd) { ends = append(ends, end) }
				})
			if err := clientCalls[call](t.Context(), client); err != nil {
				t.Fatalf("%s: %s: got %v, want nil", name, call, err)
			}
			switch {
			case tt.want.IsZero() && len(ends) > 0:
				t.Errorf("%s: %s: SessionEnded got %+v, want no call", name, call, ends)
			case tt.want.IsZero():
			case len(ends) != 1, ends[0].Subject != aliceID, ends[0].SessionID != "",
				!ends[0].Exact, ends[0].At.Sub(tt.want).Abs() > 2*time.Second,
				name != "in the future" && name != "in the year 9999" && name != "now" &&
					!ends[0].At.Equal(tt.want):
				t.Errorf("%s: %s: SessionEnded got %+v, want %s at %v", name, call, ends, aliceID,
					tt.want)
			}
		}
	}
}

// A not-before is reported once for each user, until there is a later one. A not-before in the
// future is reported with each token, because it revokes the new tokens, too.
func TestClient_notBefore_once(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		notBefore []int64
		want      int
	}{
		{[]int64{-60, -60, -60}, 1}, {[]int64{-60, -30, -30, -60}, 2}, {[]int64{60, 60}, 2},
	} {
		count := 0
		client := newClient(t, nil, func(c *ClientConfig) {
			c.SessionEnded = func(SessionEnd) { count++ }
		})
		for _, offset := range tt.notBefore {
			token, notBefore, err := parseTokenResponse(response{status: 200,
				body: []byte(notBeforeResponse(aliceID, now.Unix()+offset))}, nil)
			if err != nil {
				t.Fatal(err)
			}
			client.reportNotBefore(token, notBefore)
		}
		if count != tt.want {
			t.Errorf("the offsets %v: SessionEnded was called %d times, want %d", tt.notBefore,
				count, tt.want)
		}
	}
}

// Without SessionEnded, and for an access token that isn't a JWT, nothing happens.
func TestClient_notBefore_ignored(t *testing.T) {
	client := newClient(t, nil)
	client.reportNotBefore(&identity.OpenIDToken{AccessToken: identity.NewSecret("x.y.z")},
		time.Now().Unix())
	client = newClient(t, nil, func(c *ClientConfig) {
		c.SessionEnded = func(end SessionEnd) {
			t.Errorf("SessionEnded got %+v, want no call", end)
		}
	})
	client.reportNotBefore(&identity.OpenIDToken{AccessToken: identity.NewSecret("x")},
		time.Now().Unix())
}

// The memory for reported users is bounded. A user who was forgotten is reported again.
func TestNotBeforeReports_bounded(t *testing.T) {
	var reports notBeforeReports
	for i := range 3 * maxReportedUsers {
		if !reports.isNew(fmt.Sprint("user", i), 1) {
			t.Fatalf("the user %d isn't new", i)
		}
	}
	if got := len(reports.current) + len(reports.previous); got > 2*maxReportedUsers {
		t.Errorf("there are %d users, want at most %d", got, 2*maxReportedUsers)
	}
	if !reports.isNew("user0", 1) || reports.isNew(fmt.Sprint("user", 3*maxReportedUsers-1), 1) {
		t.Error("the oldest user is remembered, or the latest is forgotten")
	}
}
