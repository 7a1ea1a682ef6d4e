package keycloak

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Warnings about strangers' tokens don't suppress those about tokens that the realm signed, which
// may point to a wrong setting.
func TestBackchannelLogout_warnings(t *testing.T) {
	for name, changes := range map[string]object{
		"another client":  {"aud": "shop"},
		"another issuer":  {"iss": "http://localhost:8080/realms/other"},
		"expired":         {"exp": noonPlus(-time.Hour), "iat": noonPlus(-2 * time.Hour)},
		"used before":     {},
		"another purpose": {"events": object{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLogoutTest(t, VerifierConfig{})
			signed := logoutTokenOf(rs256(), logoutClaimsJSON(changes))
			// The first logout token loads the keys.
			l.send(t, logoutTokenOf(rs256(), logoutClaimsJSON(object{})))
			forged := []string{"x", corruptSignature(signed),
				logoutTokenOf(unknownSigningKey(1), logoutClaimsJSON(object{})),
				rs256().token(aliceClaims(t)), // an access token is the realm's, but anyone has one
				logoutTokenOf(rs256().withKID("ed-1"), logoutClaimsJSON(changes))}
			for range 20 {
				for _, token := range forged {
					if status, _ := l.send(t, token); status != http.StatusBadRequest {
						t.Errorf("%s: a forged token gets %d, want 400", name, status)
					}
				}
			}
			if status, _ := l.send(t, signed); status != http.StatusBadRequest {
				t.Errorf("%s: got %d, want 400", name, status)
			}
			checkWarnings(t, name, l.log.String(), 1, 1)
			l.send(t, signed)
			l.send(t, forged[0])
			checkWarnings(t, name+" within a second", l.log.String(), 1, 1)
			time.Sleep(time.Second)
			l.send(t, forged[0])
			l.send(t, signed)
			checkWarnings(t, name+" a second later", l.log.String(), 2, 2)
			if want := "signed=true suppressed=1"; !strings.Contains(l.log.String(), want) {
				t.Errorf("%s: the log lacks %q:\n%s", name, want, l.log.String())
			}
		})
	}
}

// checkWarnings checks how many warnings about logout tokens a log has: about those that the realm
// signed, and about others.
func checkWarnings(t *testing.T, description, log string, wantSigned, wantOther int) {
	t.Helper()
	for signed, want := range map[bool]int{true: wantSigned, false: wantOther} {
		if got := strings.Count(log, fmt.Sprint("signed=", signed)); got != want {
			t.Errorf("%s: there are %d warnings with signed=%v, want %d:\n%s", description, got,
				signed, want, log)
		}
	}
}

// Invalid tokens cause no fetch of keys, even to find out who signed them.
func TestBackchannelLogout_warningsFetchNothing(t *testing.T) {
	endpoint := &certsEndpoint{respond: serveKeys(rs256())}
	l := newLogoutTest(t, VerifierConfig{Issuers: []Issuer{{
		Keys: NewKeySet(localRealm(t), KeySetConfig{Transport: endpoint,
			Log: (&logBuffer{}).logger()})}}})
	l.send(t, logoutTokenOf(rs256(), logoutClaimsJSON(object{"aud": "shop"})))
	if got := len(endpoint.requestTimes()); got != 0 {
		t.Errorf("keys were fetched %d times, want never", got)
	}
	checkWarnings(t, "no keys in memory", l.log.String(), 0, 1)
}
