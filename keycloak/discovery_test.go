package keycloak

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// discoveries answers with each of answers in turn, and with the last one from then on.
func discoveries(t *testing.T, calls *int,
	answers ...func() (*http.Response, error)) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		if want := localIssuer + "/.well-known/openid-configuration"; r.URL.String() != want {
			t.Errorf("asked %s, want %s", r.URL, want)
		}
		*calls++
		return answers[min(*calls, len(answers))-1]()
	})
}

func say(status int, body string) func() (*http.Response, error) {
	return func() (*http.Response, error) { return respond(status, body) }
}

func TestWarnIssuer(t *testing.T) {
	const named = `{"issuer":"https://sso.example.com/realms/local","jwks_uri":"https://sso.example.com/never/called"}`
	for _, tt := range []struct {
		name     string
		accepted []string
		warns    bool
	}{
		{"another issuer", []string{localIssuer}, true},
		{"the issuer", []string{"https://sso.example.com/realms/local"}, false},
		{"the issuer among others", []string{localIssuer, "https://sso.example.com/realms/local"}, false},
		{"the issuer in another case", []string{"https://SSO.example.com/realms/local"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls int
			var book logBook
			WarnIssuer(t.Context(), localRealm(t), tt.accepted,
				discoveries(t, &calls, say(200, named)), book.logger())
			text := book.String()
			if !tt.warns && text != "" {
				t.Errorf("logged %q, want silence", text)
			}
			if tt.warns &&
				(strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN")) {
				t.Errorf("logged %q, want one warning", text)
			}
			for _, word := range []string{"Issuer.Names",
				"issuer=https://sso.example.com/realms/local", tt.accepted[0]} {
				if tt.warns && !strings.Contains(text, word) {
					t.Errorf("logged %q, which doesn't name %q", text, word)
				}
			}
			if calls != 1 {
				t.Errorf("asked %d times, want once", calls)
			}
		})
	}
}

func TestWarnIssuerTriesUntilItHasAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		var book logBook
		begin := time.Now()
		WarnIssuer(t.Context(), localRealm(t), []string{localIssuer}, discoveries(t, &calls,
			func() (*http.Response, error) { return nil, errors.New("connection refused") },
			say(404, `{"error":"Realm does not exist"}`),
			say(503, ""),
			say(200, "<html>"),
			say(200, `{"issuer":""}`),
			say(200, `[]`),
			say(200, `{"issuer":"https://sso.example.com/realms/local"}`),
		), book.logger())
		if calls != 7 || strings.Count(book.String(), "Issuer.Names") != 1 {
			t.Errorf("asked %d times and logged %q; want 7 times and one warning", calls,
				book.String())
		}
		if took := time.Since(begin); took != 6*maxRetry {
			t.Errorf("took %v, want %v between two tries", took, maxRetry)
		}
	})
}

func TestWarnIssuerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		var book logBook
		ctx, cancel := context.WithTimeout(t.Context(), 58*time.Second)
		defer cancel()
		WarnIssuer(ctx, localRealm(t), []string{localIssuer}, discoveries(t, &calls, say(503, "")),
			book.logger())
		if ctx.Err() == nil || calls != 12 || book.String() != "" {
			t.Errorf(
				"returned after %d calls with %v, logged %q; want 12 calls in a minute, and silence", calls, ctx.Err(), book.String())
		}
	})
}

// A server that never answers must not hold the question for ever.
func TestWarnIssuerBoundsEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		hangs := roundTrip(func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 2 {
				return respond(200, `{"issuer":"`+localIssuer+`"}`)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		begin := time.Now()
		WarnIssuer(t.Context(), localRealm(t), []string{localIssuer}, hangs, (&logBook{}).logger())
		if took := time.Since(begin); tries != 2 || took != fetchTimeout+maxRetry {
			t.Errorf("took %v and %d tries", took, tries)
		}
	})
}
