package cloakql_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// retryAfterPattern matches the retryAfter of a response. These tests don't compare the number,
// which depends on the real clock; the tests of package throttle do.
var retryAfterPattern = regexp.MustCompile(`"retryAfter":[1-9][0-9]?\b`)

// loginRequest returns a login mutation for a username and a password.
func loginRequest(name, password string) testRequest {
	return testRequest{
		query: `mutation($u: String!, $p: String!) { login(username: $u, password: $p) { ` +
			`tokenType } }`,
		variables: map[string]any{"u": name, "p": password},
	}
}

// Existing and unknown usernames get byte-identical responses, both below the limit and over it,
// where even the right password is refused.
func TestRateLimit_knownAndUnknownNames(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	s := newTestServer(t, testConfig(t, withKeycloak(kc), "LOGIN_REFUSAL_PAUSE=0"), nil)
	names := []string{"alice", "nobody", "locked", "disabled"}
	responses := make([][]string, len(names))
	t.Run("guess", func(t *testing.T) {
		for n, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // sign-ins wait only for sign-ins of the same account
				for i := range 12 {
					spelling := []string{name, strings.ToUpper(name)}[i%2]
					_, body := s.do(t, loginRequest(spelling, "wrong"))
					responses[n] = append(responses[n],
						retryAfterPattern.ReplaceAllString(body, `"retryAfter":N`))
				}
				_, body := s.do(t, loginRequest(name, clientSecret))
				responses[n] = append(responses[n],
					retryAfterPattern.ReplaceAllString(body, `"retryAfter":N`))
			})
		}
	})
	for n, name := range names {
		if !slices.Equal(responses[n], responses[0]) {
			t.Errorf("%s gets\n%s\nwant the same as alice:\n%s", name, responses[n], responses[0])
		}
	}
	for i, body := range responses[0] {
		want := `{"errors":[{"message":"Username or password is ` +
			`incorrect!","path":["login"],"locations":[{"line":1,"column":38}],"extensions":{"code":"INVALID_CREDENTIALS"}}],"data":null}`
		if i >= 10 {
			want = `{"errors":[{"message":"Too many ` +
				`attempts","path":["login"],"locations":[{"line":1,"column":38}],"extensions":{"code":"RATE_LIMITED","retryAfter":N}}],"data":null}`
		}
		if strings.TrimSpace(body) != want {
			t.Errorf("response %d\n got %s\nwant %s", i, body, want)
		}
	}
	if n := kc.Count("/token"); n != 10*len(names) {
		t.Errorf("Keycloak received %d logins, want %d: 10 for each name", n, 10*len(names))
	}
}

// A request with several attempts is refused before Keycloak is called, even if it uses aliases,
// fragments or inline fragments. Attempts in separate requests count one by one.
func TestRateLimit_aliases(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	s := newTestServer(t, testConfig(t, withKeycloak(kc)), nil)
	for _, query := range []string{
		"mutation { ...F } fragment F on Mutation { " +
			repeatf(15,
				"x%d: login(username: \"alice\", password: \"guess %[1]d\") { tokenType } ") + "}",
		"mutation { " +
			repeatf(2,
				"... on Mutation { x%d: login(username: \"alice\", password: \"a\") @skip(if: "+
					"false) { tokenType } } ") + "}",
		"mutation { " + repeatf(2, "x%d: refresh(refreshToken: \"a\") { tokenType } ") + "}",
	} {
		if _, body := s.do(t, testRequest{query: query}); !strings.Contains(body, "ROOT_FIELDS") ||
			kc.Count("/token") != 0 {
			t.Errorf("Keycloak received %d requests, want 0; got %s, want ROOT_FIELDS",
				kc.Count("/token"), body)
		}
	}
	if _, body := s.do(t,
		testRequest{query: "mutation { " + repeatf(2, "x%d: logout(refreshToken: \"a\") ") +
			"}"}); !strings.Contains(body, "ROOT_FIELDS") || kc.Count("/logout") != 0 {
		t.Errorf("Keycloak received %d requests, want 0; got %s, want ROOT_FIELDS",
			kc.Count("/logout"), body)
	}
	limitedCount := 0
	for range 40 {
		_, body := s.do(t,
			testRequest{
				query: `mutation { logout(refreshToken: "AAAA.AAAA.AAAA") }`,
			})
		if strings.Contains(body, "RATE_LIMITED") {
			limitedCount++
		}
	}
	if n := kc.Count("/logout"); n != 30 || limitedCount != 10 {
		t.Errorf("%d logouts reached Keycloak and %d were rate limited, want 30 and 10", n,
			limitedCount)
	}
}

// Behind a trusted proxy, each client has its own limit. Without a trusted proxy, the server
// ignores X-Forwarded-For.
func TestRateLimit_clientsBehindProxy(t *testing.T) {
	countRefused := func(t *testing.T, settings ...string) (refusedCount int) {
		kc := newFakeKeycloak(t, clientSecret)
		s := newTestServer(t, testConfig(t, append(settings, withKeycloak(kc), "RUNTIME_ENV=prod",
			"LOGIN_ADDRESS_LIMIT=3/1h", "MAX_LOGINS=3")...), nil)
		for i := range 6 {
			request, err := http.NewRequest(http.MethodPost, s.url+"/graphql",
				strings.NewReader(fmt.Sprintf(
					`{"query":"mutation { login(username: \"user %d\", password: \"p\") { `+
						`tokenType } }"}`, i)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.9, 203.0.113.%d", i))
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if strings.Contains(string(body), "RATE_LIMITED") {
				refusedCount++
				if response.Header.Get("Retry-After") == "" {
					t.Error("got RATE_LIMITED without Retry-After, want the header")
				}
			}
		}
		wantWarnings := 0
		if len(settings) == 0 {
			wantWarnings = 1
		}
		warnings := strings.Count(s.log.String(), "AddressConfig.Trusted")
		if warnings != wantWarnings {
			t.Errorf("%v: got %d warnings about an untrusted proxy, want %d", settings, warnings,
				wantWarnings)
		}
		return refusedCount
	}
	if n := countRefused(t, "TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.1"); n != 0 {
		t.Errorf("behind a trusted proxy, %d of 6 clients were refused, want 0", n)
	}
	if n := countRefused(t); n != 3 {
		t.Errorf("without a trusted proxy, %d of 6 clients were refused, want 3: together they "+
			"have one limit", n)
	}
}
