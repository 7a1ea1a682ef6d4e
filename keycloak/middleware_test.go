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

// callerOf sends a request through the middleware and returns what the handler learns of its
// caller.
func callerOf(t *testing.T, log *logBook, verifier *Verifier,
	authorization ...string) (user *identity.User, err error) {
	t.Helper()
	ran := false
	server := httptest.NewServer(Middleware(verifier,
		log.logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		user, err = identity.Require(r.Context())
		w.WriteHeader(http.StatusTeapot)
	})))
	defer server.Close()
	request, requestErr := http.NewRequestWithContext(t.Context(), "POST", server.URL,
		strings.NewReader("{}"))
	if requestErr != nil {
		t.Fatal(requestErr)
	}
	request.Header["Authorization"] = authorization
	response, requestErr := http.DefaultClient.Do(request)
	if requestErr != nil {
		t.Fatal(requestErr)
	}
	response.Body.Close()
	server.Close() // the handler has returned
	if !ran || response.StatusCode != http.StatusTeapot ||
		response.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("the handler ran: %v; the answer is %d %v, and must be the handler's only", ran,
			response.StatusCode, response.Header)
	}
	return user, err
}

func TestAuthorizationHeaders(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	token := key.token(alice(t))
	expired := key.token(with(t, alice(t), object{"exp": 0}))
	for _, tt := range []struct {
		name          string
		authorization []string
		want          error
	}{
		{"a good token", []string{"Bearer " + token}, nil},
		{"bearer", []string{"bearer " + token}, nil},
		{"BEARER", []string{"BEARER " + token}, nil},
		{"more blanks", []string{"Bearer    " + token}, nil},
		{"a tab", []string{"Bearer\t" + token}, nil},
		{"blanks around", []string{"  Bearer " + token + " "}, nil},

		// Absent is not invalid.
		{"none", nil, identity.ErrTokenMissing},
		{"empty", []string{""}, identity.ErrTokenMissing},
		{"blanks", []string{"   "}, identity.ErrTokenMissing},
		{"Basic", []string{"Basic YWxpY2U6YWxpY2U="}, identity.ErrTokenMissing},
		{"DPoP", []string{"DPoP " + token}, identity.ErrTokenMissing},
		{"a token without a scheme", []string{token}, identity.ErrTokenMissing},
		{"a scheme that begins like ours", []string{"Bearers " + token}, identity.ErrTokenMissing},
		{"no blank after the scheme", []string{"Bearer" + token}, identity.ErrTokenMissing},
		{"a comma for the blank", []string{"Bearer," + token}, identity.ErrTokenMissing},
		{"a quoted scheme", []string{`"Bearer" ` + token}, identity.ErrTokenMissing},
		// A list is one header of the scheme that it begins with; the token in it makes nobody a
		// caller.
		{"a list that begins with Basic", []string{"Basic YWxpY2U6YWxpY2U=, Bearer " + token}, identity.ErrTokenMissing},

		// Invalid is not absent.
		{"Bearer alone", []string{"Bearer"}, identity.ErrTokenMalformed},
		{"Bearer and a blank", []string{"Bearer "}, identity.ErrTokenMalformed},
		{"null, as careless clients send", []string{"Bearer null"}, identity.ErrTokenMalformed},
		{"undefined", []string{"Bearer undefined"}, identity.ErrTokenMalformed},
		{"two tokens", []string{"Bearer " + token + " " + token}, identity.ErrTokenMalformed},
		{"Bearer twice", []string{"Bearer Bearer " + token}, identity.ErrTokenMalformed},
		{"a list of two", []string{"Bearer " + token + ", Bearer " + token}, identity.ErrTokenMalformed},
		{"a list without a blank", []string{"Bearer " + token + "," + token}, identity.ErrTokenMalformed},
		{"a list that ends with Basic", []string{"Bearer " + token + ", Basic YWxpY2U6YWxpY2U="}, identity.ErrTokenMalformed},
		{"a quoted token", []string{`Bearer "` + token + `"`}, identity.ErrTokenMalformed},
		{"two headers", []string{"Bearer " + token, "Bearer " + token}, identity.ErrTokenMalformed},
		{"two headers, Bearer and Basic", []string{"Bearer " + token, "Basic YWxpY2U6YWxpY2U="}, identity.ErrTokenMalformed},
		{"two headers, Basic and Bearer", []string{"Basic YWxpY2U6YWxpY2U=", "Bearer " + token}, identity.ErrTokenMalformed},
		{"two headers, one empty", []string{"", "Bearer " + token}, identity.ErrTokenMalformed},
		{"two headers without a token", []string{"Basic YWxpY2U6YWxpY2U=", "Digest x"}, identity.ErrTokenMalformed},
		{"an expired token", []string{"Bearer " + expired}, identity.ErrTokenExpired},
		{"a token too large", []string{"Bearer " + strings.Repeat("x", 17<<10)}, identity.ErrTokenTooLarge},
		{"a spoilt signature", []string{"Bearer " + spoilSignature(token)}, identity.ErrTokenSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logBook
			user, err := callerOf(t, &log, verifier, tt.authorization...)
			if !errors.Is(err, tt.want) {
				t.Errorf("identity.Require() = %v, want %v", err, tt.want)
			}
			if tt.want == nil && (user == nil || *user.Username != "alice") ||
				tt.want != nil && user != nil {
				t.Errorf("the caller is %+v", user)
			}
			if tt.want == nil || errors.Is(tt.want, identity.ErrTokenMissing) {
				if text := log.String(); text != "" {
					t.Errorf("logged %q about nothing", text)
				}
			}
			checkNoToken(t, log.String(), token, expired)
		})
	}
}

// checkNoToken holds that a log has neither a token's payload nor its signature.
func checkNoToken(t *testing.T, log string, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		_, payload, signature := splitToken(token)
		if strings.Contains(log, payload[:40]) || strings.Contains(log, signature[:40]) {
			t.Errorf("a token is in the log: %s", log)
		}
	}
}

// A token for somebody else is most often a wrong setting: whoever runs the server must be told
// which.
func TestATokenThatIsNotAcceptedIsLogged(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)),
		VerifierConfig{AuthorizedParties: []string{localAudience}})
	for _, tt := range []struct {
		name   string
		change object
		level  string
		says   []string
	}{
		{"issuer", object{"iss": "https://public.example.com/realms/local"}, "WARN", []string{"https://public.example.com/realms/local", localIssuer, "Issuer.Names"}},
		{"audience", object{"aud": "account"}, "WARN", []string{"account", localAudience, "VerifierConfig.Audience", "mapper of type Audience"}},
		{"an ID token", object{"typ": "ID"}, "WARN", []string{"ID", "Bearer"}},
		{"lightweight", object{"sub": absent}, "WARN", []string{"client scope basic"}},
		{"of another client", object{"azp": "other"}, "WARN", []string{"other", "VerifierConfig.AuthorizedParties"}},
		{"not yet valid", object{"nbf": 9e9}, "WARN", []string{"nbf", "clocks"}},
		{"issued later", object{"iat": 9e9}, "WARN", []string{"iat", "clocks"}},
		{"of many roles", object{"groups": strings.Repeat("x", 17<<10)}, "WARN", []string{"VerifierConfig.MaxBytes"}},
		// These happen all day, and point at no setting.
		{"expired", object{"exp": 0}, "DEBUG", []string{"token has expired"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logBook
			token := key.token(with(t, alice(t), tt.change))
			callerOf(t, &log, verifier, "Bearer "+token)
			text := log.String()
			if strings.Count(text, "\n") != 1 {
				t.Errorf("logged %q, want one line", text)
			}
			for _, word := range append(tt.says, "level="+tt.level) {
				if !strings.Contains(text, word) {
					t.Errorf("logged %q, which doesn't say %q", text, word)
				}
			}
			checkNoToken(t, text, token)
		})
	}
}

// A realm can sign with an algorithm that nobody may verify with here, or that
// VerifierConfig.Algorithms leaves out.
func TestMiddleware_warns_of_the_algorithm(t *testing.T) {
	key := edDSA()
	var log logBook
	_, err := callerOf(t, &log,
		newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{Algorithms: []string{"RS256"}}),
		"Bearer "+key.token(alice(t)))
	for _, word := range []string{"level=WARN", "EdDSA", "accepted: RS256",
		"VerifierConfig.Algorithms"} {
		if text := log.String(); !strings.Contains(text, word) ||
			!errors.Is(err, identity.ErrTokenSignature) {
			t.Errorf("%v; logged %q, want %q in it", err, text, word)
		}
	}
}

// Clients send tokens as they are, or after JWT or Token, since other servers take them so. That is
// no token for us, and the developer learns why.
func TestMiddleware_says_that_the_scheme_is_not_Bearer(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	token := key.token(alice(t))
	for header, want := range map[string]bool{
		token: true, "JWT " + token: true, "Token " + token: true, "Bearer:" + token: true,
		"Basic YTpi": true,
		"":           false, " ": false, "Bearer": false, "bearer " + token: false,
	} {
		var log logBook
		_, err := callerOf(t, &log, verifier, header)
		if got := strings.Contains(identity.Detail(err), "expected Bearer"); got != want {
			t.Errorf("Authorization: %.12s: %v with the detail %q; want it to name Bearer: %v",
				header, err, identity.Detail(err), want)
		}
		if want &&
			(!errors.Is(err, identity.ErrTokenMissing) || log.String() != "" ||
				strings.Contains(identity.Detail(err), token)) {
			t.Errorf("Authorization: %.12s: %v, logged %q; want ErrTokenMissing and no line",
				header, err, log.String())
		}
	}
}

// What a stranger writes into a token must neither fill the log nor make lines of its own.
func TestAStrangersTextInTheLog(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	var log logBook
	long := "\nlevel=ERROR msg=forged" + strings.Repeat("x", 4000)
	callerOf(t, &log, verifier,
		"Bearer "+key.token(with(t, alice(t), object{"aud": long, "azp": long})))
	if text := log.String(); strings.Count(text, "\n") != 1 || len(text) > 1500 {
		t.Errorf("logged %d lines, %d bytes: %s", strings.Count(text, "\n"), len(text), text)
	}
}

// Anyone can send tokens of a made-up issuer, a thousand a second; the log must not grow with them.
func TestWarningsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := edDSA()
		verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
		var log logBook
		handler := Middleware(verifier,
			slog.New(slog.NewTextHandler(&log, nil)))(http.NotFoundHandler())
		foreign := key.token(with(t, alice(t), object{"iss": "https://evil.example"}))
		for range 3000 { // in three seconds
			request := httptest.NewRequest("GET", "/", nil)
			request.Header.Set("Authorization", "Bearer "+foreign)
			handler.ServeHTTP(httptest.NewRecorder(), request)
			time.Sleep(time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		// A flood about one claim must not hide a mistake in another.
		request := httptest.NewRequest("GET", "/", nil)
		request.Header.Set("Authorization",
			"Bearer "+key.token(with(t, alice(t), object{"aud": "account"})))
		handler.ServeHTTP(httptest.NewRecorder(), request)
		if !strings.Contains(log.String(), "VerifierConfig.Audience") {
			t.Errorf("the log doesn't warn of the audience: %s", log.String())
		}
		if len(lines) != 3 || !strings.Contains(lines[0], "suppressed=0") ||
			!strings.Contains(lines[2], "suppressed=999") {
			t.Errorf("logged %q; want three warnings, the last with 999 suppressed", lines)
		}
	})
}

// The middleware is one for all requests; callers must not see each other.
func TestMiddlewareKeepsRequestsApart(t *testing.T) {
	key := edDSA()
	verifier := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{})
	handler := Middleware(verifier,
		(&logBook{}).logger())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
				if i > 0 { // 0 has no token
					want = fmt.Sprint("user ", i)
					request.Header.Set("Authorization",
						"Bearer "+key.token(with(t, alice(t), object{"sub": want})))
				}
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, request)
				if got := recorder.Body.String(); got != want {
					t.Errorf("the caller is %q, want %q", got, want)
				}
			}
		})
	}
}
