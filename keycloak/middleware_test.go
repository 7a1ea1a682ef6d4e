package keycloak

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// Middleware distinguishes a missing token from an invalid one, for many forms of the Authorization
// header.
func TestMiddleware_authorization(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	token := key.token(aliceClaims(t))
	expiredToken := key.token(patch(t, aliceClaims(t), object{"exp": 0}))
	for _, tt := range []struct {
		name          string
		authorization []string
		want          error
	}{
		{"a good token", []string{"Bearer " + token}, nil},
		{"bearer in lowercase", []string{"bearer " + token}, nil},
		{"bearer in capitals", []string{"BEARER " + token}, nil},
		{"several spaces after the scheme", []string{"Bearer    " + token}, nil},
		{"a tab after the scheme", []string{"Bearer\t" + token}, nil},
		{"spaces around the header", []string{"  Bearer " + token + " "}, nil},

		// In these rows, the token is missing rather than invalid.
		{"no header", nil, identity.ErrTokenMissing},
		{"an empty header", []string{""}, identity.ErrTokenMissing},
		{"a header of only spaces", []string{"   "}, identity.ErrTokenMissing},
		{"the scheme Basic", []string{"Basic YWxpY2U6YWxpY2U="}, identity.ErrTokenMissing},
		{"the scheme DPoP", []string{"DPoP " + token}, identity.ErrTokenMissing},
		{"a token without a scheme", []string{token}, identity.ErrTokenMissing},
		{"the scheme Bearers", []string{"Bearers " + token}, identity.ErrTokenMissing},
		{"no space after the scheme", []string{"Bearer" + token}, identity.ErrTokenMissing},
		{"a comma instead of the space", []string{"Bearer," + token}, identity.ErrTokenMissing},
		{"a quoted scheme", []string{`"Bearer" ` + token}, identity.ErrTokenMissing},
		// The first scheme counts for the whole header, so the token in it is ignored.
		{"one header that lists Basic, then Bearer",
			[]string{"Basic YWxpY2U6YWxpY2U=, Bearer " + token}, identity.ErrTokenMissing},

		// In these rows, the token is invalid rather than missing.
		{"Bearer without a token", []string{"Bearer"}, identity.ErrTokenMalformed},
		{"Bearer with a space, but without a token", []string{"Bearer "},
			identity.ErrTokenMalformed},
		{"Bearer null, from a careless client", []string{"Bearer null"},
			identity.ErrTokenMalformed},
		{"Bearer undefined, from a careless client", []string{"Bearer undefined"},
			identity.ErrTokenMalformed},
		{"two tokens separated by a space", []string{"Bearer " + token + " " + token},
			identity.ErrTokenMalformed},
		{"the scheme Bearer twice", []string{"Bearer Bearer " + token}, identity.ErrTokenMalformed},
		{"one header that lists two tokens", []string{"Bearer " + token + ", Bearer " + token},
			identity.ErrTokenMalformed},
		{"two tokens separated by a comma", []string{"Bearer " + token + "," + token},
			identity.ErrTokenMalformed},
		{"one header that lists Bearer, then Basic",
			[]string{"Bearer " + token + ", Basic YWxpY2U6YWxpY2U="}, identity.ErrTokenMalformed},
		{"a quoted token", []string{`Bearer "` + token + `"`}, identity.ErrTokenMalformed},
		{"two headers", []string{"Bearer " + token, "Bearer " + token}, identity.ErrTokenMalformed},
		{"two headers, Bearer and Basic", []string{"Bearer " + token, "Basic YWxpY2U6YWxpY2U="},
			identity.ErrTokenMalformed},
		{"two headers, Basic and Bearer", []string{"Basic YWxpY2U6YWxpY2U=", "Bearer " + token},
			identity.ErrTokenMalformed},
		{"two headers, one empty", []string{"", "Bearer " + token}, identity.ErrTokenMalformed},
		{"two headers without a token", []string{"Basic YWxpY2U6YWxpY2U=", "Digest x"},
			identity.ErrTokenMalformed},
		{"an expired token", []string{"Bearer " + expiredToken}, identity.ErrTokenExpired},
		{"a token that is too large", []string{"Bearer " + strings.Repeat("x", 17<<10)},
			identity.ErrTokenTooLarge},
		{"a wrong signature", []string{"Bearer " + corruptSignature(token)},
			identity.ErrTokenSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logBuffer
			user, err := callMiddleware(t, &log, verifier, tt.authorization...)
			if !errors.Is(err, tt.want) {
				t.Errorf("identity.Require() = %v, want %v", err, tt.want)
			}
			if tt.want == nil && (user == nil || *user.Username != "alice") ||
				tt.want != nil && user != nil {
				t.Errorf("identity.Require() = %+v, %v; want either alice or an error", user, err)
			}
			if tt.want == nil || errors.Is(tt.want, identity.ErrTokenMissing) {
				if text := log.String(); text != "" {
					t.Errorf("logged %q, want nothing", text)
				}
			}
			checkNoToken(t, log.String(), token, expiredToken)
		})
	}
}

// checkNoToken checks that the log contains neither the payload nor the signature of a token.
func checkNoToken(t *testing.T, log string, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		_, payload, signature := splitToken(token)
		if strings.Contains(log, payload[:40]) || strings.Contains(log, signature[:40]) {
			t.Errorf("the log contains a token: %s", log)
		}
	}
}

// If Middleware rejects a token that Keycloak issued, a setting is usually wrong. The log names the
// setting.
func TestMiddleware_logsRejectedToken(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)),
		VerifierConfig{AuthorizedParties: []string{localAudience}})
	for _, tt := range []struct {
		name   string
		change object
		level  string
		parts  []string // of the log line
	}{
		{"another issuer", object{"iss": "https://public.example.com/realms/local"}, "WARN",
			[]string{"https://public.example.com/realms/local", localIssuer, "Issuer.Names"}},
		{"another audience", object{"aud": "account"}, "WARN",
			[]string{"account", localAudience, "VerifierConfig.Audience",
				"mapper of type Audience"}},
		{"an ID token", object{"typ": "ID"}, "WARN", []string{"ID", "Bearer"}},
		{"a lightweight token", object{"sub": absent}, "WARN", []string{"client scope basic"}},
		{"another client", object{"azp": "other"}, "WARN",
			[]string{"other", "VerifierConfig.AuthorizedParties"}},
		{"not yet valid", object{"nbf": 9e9}, "WARN", []string{"nbf", "clocks"}},
		{"issued in the future", object{"iat": 9e9}, "WARN", []string{"iat", "clocks"}},
		{"a groups claim that is too long", object{"groups": strings.Repeat("x", 17<<10)}, "WARN",
			[]string{"VerifierConfig.MaxBytes"}},
		// Tokens expire all the time, so this is logged only at level DEBUG.
		{"expired", object{"exp": 0}, "DEBUG", []string{"token has expired"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logBuffer
			token := key.token(patch(t, aliceClaims(t), tt.change))
			callMiddleware(t, &log, verifier, "Bearer "+token)
			text := log.String()
			if strings.Count(text, "\n") != 1 {
				t.Errorf("logged %q, want one line", text)
			}
			for _, part := range append(tt.parts, "level="+tt.level) {
				if !strings.Contains(text, part) {
					t.Errorf("logged %q, want it to contain %q", text, part)
				}
			}
			checkNoToken(t, text, token)
		})
	}
}

// Middleware logs a warning if a token's algorithm isn't in VerifierConfig.Algorithms.
func TestMiddleware_logsAlgorithm(t *testing.T) {
	key := edDSA()
	var log logBuffer
	_, err := callMiddleware(t, &log,
		newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{Algorithms: []string{"RS256"}}),
		"Bearer "+key.token(aliceClaims(t)))
	for _, part := range []string{"level=WARN", "EdDSA", "accepted: RS256",
		"VerifierConfig.Algorithms"} {
		if text := log.String(); !strings.Contains(text, part) ||
			!errors.Is(err, identity.ErrTokenSignature) {
			t.Errorf("got %v and logged %q; want %v, and %q in the log", err, text,
				identity.ErrTokenSignature, part)
		}
	}
}

// Some clients send tokens without a scheme, or with the scheme JWT or Token, which other servers
// accept. Middleware treats the token as missing, and the error's detail tells the developer why.
func TestMiddleware_schemeNotBearer(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	token := key.token(aliceClaims(t))
	for header, wantHint := range map[string]bool{
		token: true, "JWT " + token: true, "Token " + token: true, "Bearer:" + token: true,
		"Basic YTpi": true,
		"":           false, " ": false, "Bearer": false, "bearer " + token: false,
	} {
		var log logBuffer
		_, err := callMiddleware(t, &log, verifier, header)
		if got := strings.Contains(identity.Detail(err), "expected Bearer"); got != wantHint {
			t.Errorf("Authorization: %.12s: got %v with the detail %q; \"expected Bearer\" in it: "+
				"%v, want %v", header, err, identity.Detail(err), got, wantHint)
		}
		if wantHint &&
			(!errors.Is(err, identity.ErrTokenMissing) || log.String() != "" ||
				strings.Contains(identity.Detail(err), token)) {
			t.Errorf("Authorization: %.12s: got %v, logged %q; want %v, an empty log and no "+
				"token in the detail", header, err, log.String(), identity.ErrTokenMissing)
		}
	}
}

// Long claims of a token can neither fill the log nor forge a line in it.
func TestMiddleware_logsLongClaims(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	var log logBuffer
	longClaim := "\nlevel=ERROR msg=forged" + strings.Repeat("x", 4000)
	callMiddleware(t, &log, verifier,
		"Bearer "+key.token(patch(t, aliceClaims(t), object{"aud": longClaim, "azp": longClaim})))
	if text := log.String(); strings.Count(text, "\n") != 1 || len(text) > 1500 {
		t.Errorf("logged %d lines and %d bytes, want one line of at most 1500: %s",
			strings.Count(text, "\n"), len(text), text)
	}
}

// Middleware logs at most one warning per second and cause, because anyone can send thousands of
// bad tokens.
func TestMiddleware_logRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := edDSA()
		verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
		var log logBuffer
		handler := Middleware(verifier,
			slog.New(slog.NewTextHandler(&log, nil)))(http.NotFoundHandler())
		token := key.token(patch(t, aliceClaims(t), object{"iss": "https://evil.example"}))
		for range 3000 { // in three seconds
			request := httptest.NewRequest("GET", "/", nil)
			request.Header.Set("Authorization", "Bearer "+token)
			handler.ServeHTTP(httptest.NewRecorder(), request)
			time.Sleep(time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		// Many warnings about one claim must not suppress those about another.
		request := httptest.NewRequest("GET", "/", nil)
		request.Header.Set("Authorization",
			"Bearer "+key.token(patch(t, aliceClaims(t), object{"aud": "account"})))
		handler.ServeHTTP(httptest.NewRecorder(), request)
		if !strings.Contains(log.String(), "VerifierConfig.Audience") {
			t.Errorf("logged %s, want a warning about the audience", log.String())
		}
		if len(lines) != 3 || !strings.Contains(lines[0], "suppressed=0") ||
			!strings.Contains(lines[2], "suppressed=999") {
			t.Errorf("logged %q; want three warnings, the last with 999 suppressed", lines)
		}
	})
}

// Concurrent requests don't get each other's users.
func TestMiddleware_concurrent(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{})
	handler := Middleware(verifier,
		(&logBuffer{}).logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, err := identity.Require(r.Context()); err == nil {
			fmt.Fprint(w, user.ID)
		}
	}))
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 20 {
				want := ""
				request := httptest.NewRequest("GET", "/", nil)
				if i > 0 { // subtest 0 sends no token
					want = fmt.Sprint("user ", i)
					request.Header.Set("Authorization",
						"Bearer "+key.token(patch(t, aliceClaims(t), object{"sub": want})))
				}
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, request)
				if got := recorder.Body.String(); got != want {
					t.Errorf("the user is %q, want %q", got, want)
				}
			}
		})
	}
}
