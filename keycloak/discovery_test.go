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

// discoveryEndpoint returns a transport that returns the responses one after another, then repeats
// the last one. It counts the requests in requestCount.
func discoveryEndpoint(t *testing.T, requestCount *int,
	responses ...func() (*http.Response, error)) http.RoundTripper {
	return roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if want := localIssuer + "/.well-known/openid-configuration"; r.URL.String() != want {
			t.Errorf("got a request for %s, want %s", r.URL, want)
		}
		*requestCount++
		return responses[min(*requestCount, len(responses))-1]()
	})
}

// responseFunc returns a function that returns this response, for discoveryEndpoint.
func responseFunc(status int, body string) func() (*http.Response, error) {
	return func() (*http.Response, error) { return newResponse(status, body) }
}

// WarnIssuer logs a warning if the realm's issuer isn't accepted, and nothing otherwise.
func TestWarnIssuer(t *testing.T) {
	const document = `{"issuer":"https://sso.example.com/realms/local","jwks_uri":"https://sso.example.com/never/called"}`
	for _, tt := range []struct {
		name            string
		acceptedIssuers []string
		wantWarning     bool
	}{
		{"only another issuer is accepted", []string{localIssuer}, true},
		{"the issuer is accepted", []string{"https://sso.example.com/realms/local"}, false},
		{"the issuer and another are accepted",
			[]string{localIssuer, "https://sso.example.com/realms/local"}, false},
		{"the issuer is accepted only in another case",
			[]string{"https://SSO.example.com/realms/local"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var requestCount int
			var log logBuffer
			WarnIssuer(t.Context(), localRealm(t), tt.acceptedIssuers,
				discoveryEndpoint(t, &requestCount, responseFunc(200, document)), log.logger())
			text := log.String()
			if !tt.wantWarning && text != "" {
				t.Errorf("logged %q, want nothing", text)
			}
			if tt.wantWarning &&
				(strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN")) {
				t.Errorf("logged %q, want one warning", text)
			}
			for _, part := range []string{"Issuer.Names",
				"issuer=https://sso.example.com/realms/local", tt.acceptedIssuers[0]} {
				if tt.wantWarning && !strings.Contains(text, part) {
					t.Errorf("logged %q, want it to contain %q", text, part)
				}
			}
			if requestCount != 1 {
				t.Errorf("%d requests, want 1", requestCount)
			}
		})
	}
}

// WarnIssuer retries until a response contains the issuer.
func TestWarnIssuer_retries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requestCount int
		var log logBuffer
		start := time.Now()
		endpoint := discoveryEndpoint(t, &requestCount,
			func() (*http.Response, error) { return nil, errors.New("connection refused") },
			responseFunc(404, `{"error":"Realm does not exist"}`),
			responseFunc(503, ""),
			responseFunc(200, "<html>"),
			responseFunc(200, `{"issuer":""}`),
			responseFunc(200, `[]`),
			responseFunc(200, `{"issuer":"https://sso.example.com/realms/local"}`),
		)
		WarnIssuer(t.Context(), localRealm(t), []string{localIssuer}, endpoint, log.logger())
		if requestCount != 7 || strings.Count(log.String(), "Issuer.Names") != 1 {
			t.Errorf("%d requests, logged %q; want 7 requests and one warning", requestCount,
				log.String())
		}
		if duration := time.Since(start); duration != 6*maxRetryDelay {
			t.Errorf("7 requests took %v, want %v: %v between requests", duration, 6*maxRetryDelay,
				maxRetryDelay)
		}
	})
}

// WarnIssuer returns without a warning when its context is done.
func TestWarnIssuer_contextDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requestCount int
		var log logBuffer
		ctx, cancel := context.WithTimeout(t.Context(), 58*time.Second)
		defer cancel()
		WarnIssuer(ctx, localRealm(t), []string{localIssuer},
			discoveryEndpoint(t, &requestCount, responseFunc(503, "")), log.logger())
		if ctx.Err() == nil || requestCount != 12 || log.String() != "" {
			t.Errorf("%d requests, context error %v, logged %q; want 12 requests, a context error "+
				"and no log", requestCount, ctx.Err(), log.String())
		}
	})
}

// Each request of WarnIssuer has a timeout, so a server that never responds doesn't block the next
// request.
func TestWarnIssuer_requestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requestCount := 0
		transport := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if requestCount++; requestCount == 2 {
				return newResponse(200, `{"issuer":"`+localIssuer+`"}`)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		start := time.Now()
		WarnIssuer(t.Context(), localRealm(t), []string{localIssuer}, transport,
			(&logBuffer{}).logger())
		want := fetchTimeout + maxRetryDelay
		if duration := time.Since(start); requestCount != 2 || duration != want {
			t.Errorf("%d requests in %v, want 2 in %v", requestCount, duration, want)
		}
	})
}
