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

// retryAfter matches seconds of the real clock; package throttle's tests check the exact number.
var retryAfter = regexp.MustCompile(`"retryAfter":[1-9][0-9]?\b`)

// guess returns a sign-in request.
func guess(name, password string) exchange {
	return exchange{
		query:     `mutation($u: String!, $p: String!) { login(username: $u, password: $p) { tokenType } }`,
		variables: map[string]any{"u": name, "p": password},
	}
}

// Existing and unknown usernames get byte-identical responses, both before the budget is used up
// and after, when even the right password is refused.
func TestRateLimit_knownAndUnknownNames(t *testing.T) {
	kc := newShop(t, "hush")
	s := newSite(t, goodConfig(t, at(kc), "LOGIN_REFUSAL_PAUSE=0"), nil)
	names := []string{"alice", "nobody", "locked", "disabled"}
	responses := make([][]string, len(names))
	t.Run("guess", func(t *testing.T) {
		for n, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // guesses only wait for guesses at the same account
				for i := range 12 {
					_, body := s.do(t, guess([]string{name, strings.ToUpper(name)}[i%2], "wrong"))
					responses[n] = append(responses[n],
						retryAfter.ReplaceAllString(body, `"retryAfter":N`))
				}
				_, body := s.do(t, guess(name, "hush"))
				responses[n] = append(responses[n],
					retryAfter.ReplaceAllString(body, `"retryAfter":N`))
			})
		}
	})
	for n, name := range names {
		if !slices.Equal(responses[n], responses[0]) {
			t.Errorf("%s gets\n%s\nand alice\n%s", name, responses[n], responses[0])
		}
	}
	for i, body := range responses[0] {
		want := `{"errors":[{"message":"Username or password is incorrect!","path":["login"],"locations":[{"line":1,"column":38}],"extensions":{"code":"INVALID_CREDENTIALS"}}],"data":null}`
		if i >= 10 {
			want = `{"errors":[{"message":"Too many attempts","path":["login"],"locations":[{"line":1,"column":38}],"extensions":{"code":"RATE_LIMITED","retryAfter":N}}],"data":null}`
		}
		if strings.TrimSpace(body) != want {
			t.Errorf("response %d\n got %s\nwant %s", i, body, want)
		}
	}
	if n := kc.Count("/token"); n != 10*len(names) {
		t.Errorf("Keycloak received %d logins, want 10 for each name", n)
	}
}

// A request with several attempts is refused as a whole, however it is written.
func TestRateLimit_aliases(t *testing.T) {
	kc := newShop(t, "hush")
	s := newSite(t, goodConfig(t, at(kc)), nil)
	for _, query := range []string{
		"mutation { ...F } fragment F on Mutation { " +
			numbered(15,
				"x%d: login(username: \"alice\", password: \"guess %[1]d\") { tokenType } ") + "}",
		"mutation { " +
			numbered(2,
				"... on Mutation { x%d: login(username: \"alice\", password: \"a\") @skip(if: false) { tokenType } } ") + "}",
		"mutation { " + numbered(2, "x%d: refresh(refreshToken: \"a\") { tokenType } ") + "}",
	} {
		if _, body := s.do(t, exchange{query: query}); !strings.Contains(body, "ROOT_FIELDS") ||
			kc.Count("/token") != 0 {
			t.Errorf("Keycloak received %d requests: %s", kc.Count("/token"), body)
		}
	}
	if _, body := s.do(t,
		exchange{query: "mutation { " + numbered(2, "x%d: logout(refreshToken: \"a\") ") +
			"}"}); !strings.Contains(body, "ROOT_FIELDS") || kc.Count("/logout") != 0 {
		t.Errorf("Keycloak received %d requests: %s", kc.Count("/logout"), body)
	}
	limited := 0
	for range 40 {
		_, body := s.do(t,
			exchange{
				query: `mutation { logout(refreshToken: "AAAA.AAAA.AAAA") }`,
			})
		if strings.Contains(body, "RATE_LIMITED") {
			limited++
		}
	}
	if n := kc.Count("/logout"); n != 30 || limited != 10 {
		t.Errorf("%d logouts reached Keycloak and %d were rate limited, want 30 and 10", n, limited)
	}
}

// Behind a trusted proxy, each client has its own budget. Without one, X-Forwarded-For is ignored.
func TestRateLimit_clientsBehindProxy(t *testing.T) {
	refused := func(t *testing.T, setting ...string) (refused int) {
		kc := newShop(t, "hush")
		s := newSite(t, goodConfig(t, append(setting, at(kc), "RUNTIME_ENV=prod",
			"LOGIN_ADDRESS_LIMIT=3/1h", "MAX_LOGINS=3")...), nil)
		for i := range 6 {
			request, err := http.NewRequest(http.MethodPost, s.url+"/graphql",
				strings.NewReader(fmt.Sprintf(
					`{"query":"mutation { login(username: \"user %d\", password: \"p\") { tokenType } }"}`, i)))
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
				refused++
				if response.Header.Get("Retry-After") == "" {
					t.Error("RATE_LIMITED without Retry-After")
				}
			}
		}
		if warned := strings.Count(s.log.String(), "AddressConfig.Trusted"); warned != 1-min(1,
			len(setting)) {
			t.Errorf("%v: %d lines about untrusted proxies", setting, warned)
		}
		return refused
	}
	if n := refused(t, "TRUSTED_PROXIES=10.0.0.0/8, 127.0.0.1"); n != 0 {
		t.Errorf("behind a trusted proxy, %d of 6 clients were refused, want none", n)
	}
	if n := refused(t); n != 3 {
		t.Errorf("without one, %d of 6 were refused, want the 3 beyond the address's budget", n)
	}
}
