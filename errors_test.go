package cloakql_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"
	"github.com/cloakql/cloakql/revocation"
)

// TestErrorTable provokes every error in apierror/table.go. It checks the code, reason, message,
// path and status of each response, and whether the response has data. It also checks that
// docs/errors.md documents exactly these errors.
func TestErrorTable(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	brokenKeycloak := newFakeKeycloak(t, clientSecret)
	hungKeycloak := newFakeKeycloak(t, clientSecret)
	brokenKeycloak.Fail(keycloaktest.Fault{Endpoint: "/certs", Status: 500})
	brokenKeycloak.Fail(keycloaktest.Fault{Endpoint: "/token", Status: 502,
		Body: "<html>Bad Gateway</html>"})
	hungKeycloak.Fail(keycloaktest.Fault{Hang: true})
	localConfig := testConfig(t, withKeycloak(kc))
	prodConfig := testConfig(t, withKeycloak(kc), "RUNTIME_ENV=prod")
	shortTimeoutConfig := testConfig(t, withKeycloak(hungKeycloak), "RUNTIME_ENV=prod")
	shortTimeoutConfig.GraphQL.Timeout = 20 * time.Millisecond
	localConfig.Revoked = &revocation.Set{}
	localConfig.Revoked.Add(revocation.End{SessionID: "ended"})
	s := newTestServer(t, localConfig, nil)
	brokenKeycloakServer := newTestServer(t, testConfig(t, withKeycloak(brokenKeycloak)), nil)

	login := func(username string) testRequest {
		return testRequest{
			query: `mutation($u: String!) { login(username: $u, password: "shop-secret") { ` +
				`tokenType } }`,
			variables: map[string]any{"u": username},
		}
	}
	refresh := func(token string) testRequest {
		return testRequest{query: `mutation($r: String!) { refresh(refreshToken: $r) { tokenType ` +
			`} }`,
			variables: map[string]any{"r": token}}
	}
	me := func(authorization string) testRequest {
		return testRequest{query: `{ me { id } }`, authorization: authorization}
	}
	validToken := bearer(t, kc, keycloaktest.TokenSpec{})
	refreshTokens := refusedTokens(t, kc, localConfig)
	// The forged signature is as long as a real one.
	forgedToken := validToken[:strings.LastIndex(validToken, ".")+1] + strings.Repeat("A", 342)

	persistedQueryBody := `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` +
		strings.Repeat("ab", 32) + `"}}}`
	manifestFile := filepath.Join(t.TempDir(), "manifest.json")
	err := os.WriteFile(manifestFile,
		[]byte(
			`{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"me","name":"Me","type":"query","body":"query Me { me { id } }"}]}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	manifestServer := newTestServer(t,
		testConfig(t, withKeycloak(kc), "TRUSTED_DOCUMENTS="+manifestFile), nil)
	rateLimitedServer := newTestServer(t,
		testConfig(t, withKeycloak(kc), "LOGIN_ACCOUNT_LIMIT=1/1h"), nil)
	rateLimitedServer.do(t,
		testRequest{query: `mutation { login(username: "Alice", password: "wrong") { tokenType } ` +
			`}`})

	guardedConfig := testConfig(t, withKeycloak(kc))
	guardedConfig.Schema = guardedSchema
	guardedServer := newTestServer(t, guardedConfig, nil)
	queryAs := func(query, authorization string) testRequest {
		return testRequest{query: query, authorization: authorization}
	}
	const notAllowed = "You aren't allowed to use this field"

	documentedMessages, provokedCodes := documentedErrors(t), map[string]bool{}
	const noPath = "" // for errors without a path, most of which prevent any field from running
	for _, tt := range []struct {
		server  *testServer
		request testRequest
		status  int
		code    string
		message string
		path    string
	}{
		{s, me(""), 200, "UNAUTHENTICATED/TOKEN_MISSING", "Not authenticated", "me"},
		{s, me("Basic YTpi"), 200, "UNAUTHENTICATED/TOKEN_MISSING", "Not authenticated", "me"},
		{s, me("Bearer null"), 200, "UNAUTHENTICATED/TOKEN_MALFORMED", "Token is malformed", "me"},
		{s, me("Bearer " + strings.Repeat("a", 16<<10+1)), 200, "UNAUTHENTICATED/TOKEN_TOO_LARGE",
			"Token is too large", "me"},
		{s, me(bearer(t, kc,
			keycloaktest.TokenSpec{Claims: map[string]any{"iss": "https://elsewhere"}})), 200,
			"UNAUTHENTICATED/TOKEN_NOT_ACCEPTED", "Token is not meant for this API", "me"},
		{s, me(bearer(t, kc,
			keycloaktest.TokenSpec{Claims: map[string]any{"nbf": time.Now().Unix() +
				600}})), 200, "UNAUTHENTICATED/TOKEN_NOT_YET_VALID", "Token isn't valid yet", "me"},
		{s, me(bearer(t, kc, keycloaktest.TokenSpec{Lifetime: -time.Minute})), 200,
			"UNAUTHENTICATED/TOKEN_EXPIRED", "Token has expired", "me"},
		{s, me(bearer(t, kc, keycloaktest.TokenSpec{Claims: map[string]any{"sid": "ended"}})), 200,
			"UNAUTHENTICATED/TOKEN_REVOKED", "Your session has ended: sign in again", "me"},
		{s, me(bearer(t, kc, keycloaktest.TokenSpec{Header: map[string]any{"kid": "unknown"}})),
			200, "UNAUTHENTICATED/KEY_UNKNOWN", "Token signature couldn't be verified", "me"},
		{s, me(forgedToken), 200, "UNAUTHENTICATED/TOKEN_SIGNATURE",
			"Token signature couldn't be verified", "me"},
		{brokenKeycloakServer, me(bearer(t, brokenKeycloak, keycloaktest.TokenSpec{})), 200,
			"SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE", "Tokens can't be verified right now", "me"},

		{guardedServer, queryAs(`{ anyRole }`, validToken), 200, "FORBIDDEN/ROLE_MISSING",
			notAllowed, "anyRole"},
		{guardedServer, queryAs(`{ allScopes }`, validToken), 200, "FORBIDDEN/SCOPE_MISSING",
			notAllowed, "allScopes"},
		{guardedServer, queryAs(`{ group }`, validToken), 200, "FORBIDDEN/GROUP_MISSING",
			notAllowed, "group"},
		{guardedServer, queryAs(`{ organization }`, validToken), 200,
			"FORBIDDEN/ORGANIZATION_MISSING", notAllowed, "organization"},
		{guardedServer, queryAs(`{ claim }`, validToken), 200, "FORBIDDEN/CLAIM_MISSING",
			notAllowed, "claim"},
		{guardedServer, queryAs(`{ owned(userId: "x") }`, validToken), 200, "FORBIDDEN/NOT_OWNER",
			notAllowed, "owned"},
		{guardedServer, queryAs(`{ notImpersonated }`, bearer(t, kc, keycloaktest.TokenSpec{
			Claims: map[string]any{"act": map[string]any{"sub": "someone"}}})), 200,
			"FORBIDDEN/IMPERSONATED", "Not allowed while acting as somebody else",
			"notImpersonated"},
		{guardedServer, queryAs(`{ strong }`, validToken), 200, "UNAUTHENTICATED/STEP_UP_REQUIRED",
			"Confirm your identity to continue", "strong"},
		// If one field of a mutation is denied, no field runs.
		{guardedServer, queryAs(`mutation { write erase }`, validToken), 200,
			"FORBIDDEN/ROLE_MISSING", notAllowed, "erase"},

		{s, login(""), 200, "BAD_USER_INPUT", "Request malformed!", "login"},
		{s, refresh("tab\there"), 200, "BAD_USER_INPUT", "Request malformed!", "refresh"},
		{s, login("wrong-password"), 200, "INVALID_CREDENTIALS",
			"Username or password is incorrect!", "login"},
		{s, login("disabled"), 200, "ACCOUNT_DISABLED", "Your account is disabled", "login"},
		{s, login("unready"), 200, "ACCOUNT_NOT_READY",
			"Finish setting up your account in the browser", "login"},
		{newTestServer(t, testConfig(t, withKeycloak(kc), "KEYCLOAK_CLIENT_ID=no-direct-grants"),
			nil), login("alice"), 200, "LOGIN_NOT_ALLOWED/DIRECT_GRANT_DISABLED",
			"Password sign-in is not enabled", "login"},
		{s, refresh(refreshTokens["expired"]), 200, "INVALID_REFRESH_TOKEN/EXPIRED",
			"Sign in again", "refresh"},
		{s, refresh(refreshTokens["session ended"]), 200, "INVALID_REFRESH_TOKEN/SESSION_ENDED",
			"Sign in again", "refresh"},
		{s, refresh(refreshTokens["client detached"]), 200, "INVALID_REFRESH_TOKEN/SESSION_ENDED",
			"Sign in again", "refresh"},
		{s, refresh(refreshTokens["reused"]), 200, "INVALID_REFRESH_TOKEN/REUSED", "Sign in again",
			"refresh"},
		{s, refresh("rubbish"), 200, "INVALID_REFRESH_TOKEN/INVALID", "Sign in again", "refresh"},
		{s, testRequest{query: `mutation { logout(refreshToken: "rubbish") }`}, 200,
			"INVALID_REFRESH_TOKEN/INVALID", "Sign in again", "logout"},
		{newTestServer(t, testConfig(t, withKeycloak(kc), "KEYCLOAK_CLIENT_SECRET_KEY=wrong"), nil),
			login("alice"), 200, "SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_MISCONFIGURED",
			"Sign-in is not available", "login"},
		{brokenKeycloakServer, login("alice"), 200,
			"SERVICE_UNAVAILABLE/IDENTITY_PROVIDER_UNAVAILABLE", "Sign-in is not available",
			"login"},
		{newTestServer(t, prodConfig,
			realmFunc(func(context.Context) error { return identity.ErrBusy })), login("alice"),
			200, "SERVICE_UNAVAILABLE/BUSY", "Try again", "login"},
		{newTestServer(t, prodConfig, realmFunc(func(context.Context) error {
			return identity.ErrStoreUnavailable
		})), refresh("rubbish"), 200, "SERVICE_UNAVAILABLE/STORE_UNAVAILABLE", "Try again",
			"refresh"},
		{newTestServer(t, prodConfig, realmFunc(func(context.Context) error {
			return identity.ErrRefreshInterrupted
		})), refresh("rubbish"), 200, "SERVICE_UNAVAILABLE/REFRESH_INTERRUPTED", "Try again",
			"refresh"},

		{s, testRequest{query: "{ me { " + strings.Repeat("id ", 1_000) + "} }"}, 200,
			"OPERATION_TOO_LARGE/TOKENS",
			"The document is too large: it has at least 1001 tokens; the limit is 1000", noPath},
		{s, testRequest{query: strings.Repeat("{ me ", 40)}, 200, "OPERATION_TOO_LARGE/NESTING",
			"The document is too deep: at least 33 brackets are open at once; the limit is 32",
			noPath},
		{s, testRequest{query: `{ ` + strings.Repeat("a", 129) + `: me { id } }`}, 200,
			"OPERATION_TOO_LARGE/NAMES",
			"A name in the document is too long: it has 129 bytes; the limit is 128", noPath},
		{s, testRequest{query: `mutation { logout(refreshToken: "` + strings.Repeat("a", 17_000) +
			`") }`}, 200, "OPERATION_TOO_LARGE/STRINGS",
			"A string in the document is too long: it has at least 16385 bytes; the limit is 16384",
			noPath},
		{s, testRequest{query: `mutation { logout(refreshToken: ` + strings.Repeat("1", 65) +
			`) }`}, 200, "OPERATION_TOO_LARGE/NUMBERS",
			"A number in the document is too long: it has 65 bytes; the limit is 64", noPath},
		{s, testRequest{query: strings.Repeat("{ me ", 18) + strings.Repeat("}", 18)}, 200,
			"OPERATION_TOO_LARGE/DEPTH",
			"The document is too deep: its fields nest to depth 18; the limit is 15", noPath},
		{s, testRequest{query: `{ __type(name: "User") { fields { type { fields { type { fields ` +
			`{ name } } } } } } }`}, 200, "OPERATION_TOO_LARGE/INTROSPECTION",
			"The document is too deep: introspection lists are nested 3 deep; the limit is 2",
			noPath},
		{s, testRequest{query: `{ me { ` + strings.Repeat("...F ", 199) +
			`} } fragment F on User { id name email username groups realmRoles }`}, 200,
			"OPERATION_TOO_LARGE/FIELDS",
			"The document is too large: with fragments expanded, it has 1400 fields and " +
				"fragments; the limit is 1000", noPath},
		{s, testRequest{query: `mutation { a: login(username: "a", password: "a") { tokenType } ` +
			`b: login(username: "a", password: "b") { tokenType } }`}, 200,
			"OPERATION_TOO_LARGE/ROOT_FIELDS",
			"The document is too large: with fragments expanded, an operation has the root field " +
				"\"login\" 2 times; the limit is 1", noPath},
		{s, testRequest{query: `{ me { ` + repeatf(101, "a%d: id ") + `} }`}, 200,
			"OPERATION_TOO_LARGE/ALIASES",
			"The document is too large: with fragments expanded, it has 101 aliases; the limit " +
				"is 100", noPath},
		{s, testRequest{query: repeatf(21, "query Q%d { me { id } } ")}, 200,
			"OPERATION_TOO_LARGE/OPERATIONS",
			"The document is too large: it has at least 21 operations; the limit is 20", noPath},
		{s, testRequest{query: `{ me { id } } ` + repeatf(51, "fragment F%d on User { id } ")}, 200,
			"OPERATION_TOO_LARGE/FRAGMENTS",
			"The document is too large: it defines at least 51 fragments; the limit is 50", noPath},
		{s, testRequest{query: `{ me { id ` + strings.Repeat("@include(if: true) ", 6) + `} }`},
			200, "OPERATION_TOO_LARGE/DIRECTIVES", "The document is too large: it has at least 6 " +
				"directives in one place; the limit is 5", noPath},
		{s, testRequest{query: `{ me(` + repeatf(51, "a%d: 1 ") + `) { id } }`}, 200,
			"OPERATION_TOO_LARGE/ARGUMENTS",
			"The document is too large: it has at least 51 arguments or object fields in one " +
				"place; the limit is 50", noPath},
		{s, testRequest{query: `query(` + repeatf(51, "$a%d: Int ") + `) { me { id } }`}, 200,
			"OPERATION_TOO_LARGE/VARIABLES",
			"The document is too large: an operation defines at least 51 variables; the limit is " +
				"50", noPath},
		{s, testRequest{query: `mutation { logout(refreshToken: [` + strings.Repeat("1 ", 251) +
			`]) }`}, 200, "OPERATION_TOO_LARGE/VALUES",
			"The document is too large: with fragments expanded, it has 252 values; the limit is " +
				"250", noPath},
		{s, testRequest{query: `query($a: String!) { ` + repeatf(7, "a%d: me(x: $a) { id } ") + `}`,
			variables: map[string]any{"a": make([]int,
				900)}}, 200, "OPERATION_TOO_LARGE/COERCIONS", "The variables are used too often: " +
			"their uses expand to 6307 values; the limit is 5000", noPath},
		{newTestServer(t, testConfig(t, withKeycloak(kc), "LIMIT_VARIABLE_BYTES=1024"), nil),
			testRequest{query: `mutation($a: String!) { logout(refreshToken: $a) }`,
				variables: map[string]any{"a": strings.Repeat("a",
					1025)}}, 200, "OPERATION_TOO_LARGE/BYTES", "The variables are too large: " +
				"they have at least 1026 bytes; the limit is 1024", noPath},
		{newTestServer(t, testConfig(t, withKeycloak(kc), "MAX_RESPONSE_BYTES=1024"), nil),
			testRequest{query: `{ ` + repeatf(9, "a%d: me { token { claims } } ") + `}`,
				authorization: validToken}, 200, "RESPONSE_TOO_LARGE", "The response is larger " +
				"than 1024 bytes: ask for less at once", noPath},
		{newTestServer(t, testConfig(t, withKeycloak(kc), "LIMIT_ROOT_FIELDS=200",
			"LIMIT_ALIASES=200"), nil),
			testRequest{query: `{ ` + repeatf(103, "a%d: me { id } ") +
				`}`}, 200, "ERRORS_LEFT_OUT", "Errors beyond the first 100 are left out: 3 more",
			noPath},
		{manifestServer, testRequest{query: `{ me { name } }`}, 200, "OPERATION_NOT_ALLOWED",
			"This server runs only registered operations", noPath},
		{rateLimitedServer, login("alice"), 200, "RATE_LIMITED", "Too many attempts", "login"},
		{s, testRequest{query: `{ me { `}, 200, "GRAPHQL_PARSE_FAILED",
			"Syntax error: Expected Name, found <EOF>", noPath},
		{s, testRequest{query: `{ me { zzz } }`}, 200, "GRAPHQL_VALIDATION_FAILED",
			`Cannot query field "zzz" on type "User".`, noPath},
		{s, testRequest{query: `{ me { zzz } }`, accept: "application/graphql-response+json"}, 400,
			"GRAPHQL_VALIDATION_FAILED", `Cannot query field "zzz" on type "User".`, noPath},
		{s, testRequest{query: `mutation($u: String!) { logout(refreshToken: $u) }`,
			variables: map[string]any{"u": 5}}, 200, "BAD_USER_INPUT", "Request malformed! The " +
			"variable $u doesn't fit its type", noPath},
		{s, testRequest{query: `query A { me { id } } query B { me { id } }`}, 200,
			"OPERATION_RESOLUTION_FAILURE",
			"operationName is missing: the document has more than one operation", noPath},
		{s, testRequest{body: persistedQueryBody}, 200, "PERSISTED_QUERY_NOT_FOUND",
			"PersistedQueryNotFound", noPath},
		{newTestServer(t, testConfig(t, withKeycloak(kc), "PERSISTED_QUERIES_BYTES=0"), nil),
			testRequest{body: persistedQueryBody}, 200, "PERSISTED_QUERY_NOT_SUPPORTED",
			"PersistedQueryNotSupported", noPath},
		{newTestServer(t, prodConfig, nil), testRequest{query: `{ __schema { types { name } } }`},
			200, "INTROSPECTION_DISABLED", "Introspection is off", "__schema"},
		{newTestServer(t, shortTimeoutConfig, nil), login("alice"), 200, "TIMEOUT",
			"The request took too long", "login"},
		{s, testRequest{body: `{"query"`}, 400, "BAD_REQUEST", "The body must be a JSON object",
			noPath},
		{s, testRequest{method: "DELETE"}, 405, "BAD_REQUEST",
			"Method not allowed: use POST, or GET for queries", noPath},
		{s, testRequest{query: "{ me { id } }", accept: "text/html"}, 406, "BAD_REQUEST",
			"Accept must admit application/graphql-response+json or application/json", noPath},
		{s, testRequest{body: `{"query":"` + strings.Repeat(" ", 64<<10) + `"}`}, 413,
			"BAD_REQUEST", "The body is larger than 65536 bytes", noPath},
		{s, testRequest{query: "{ me { id } }", contentType: "text/plain"}, 415, "BAD_REQUEST",
			"Content-Type must be application/json", noPath},
		{newTestServer(t, prodConfig,
			realmFunc(func(context.Context) error { return errors.New("dial 10.0.0.7: refused") })),
			login("alice"), 200, "INTERNAL_SERVER_ERROR", "Internal error", "login"},
		{newTestServer(t, prodConfig, realmFunc(func(context.Context) error { panic("secret") })),
			login("alice"), 200, "INTERNAL_SERVER_ERROR", "Internal error", "login"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			if tt.code == "UNAUTHENTICATED/KEY_UNKNOWN" ||
				tt.code == "UNAUTHENTICATED/TOKEN_SIGNATURE" {
				// This request makes the server cache the keys, so that the error can only be about
				// the token of the next request.
				tt.server.do(t, me(validToken))
			}
			response, body := tt.server.do(t, tt.request)
			var got struct {
				Data   *json.RawMessage
				Errors []struct {
					Message    string
					Path       []any
					Extensions map[string]any
				}
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Errors) == 0 {
				t.Fatalf("got %s (error: %v), want a response with errors", body, err)
			}
			gotError := got.Errors[0]
			if tt.code == "ERRORS_LEFT_OUT" { // it comes last, in place of the omitted errors
				gotError = got.Errors[len(got.Errors)-1]
			}
			code := strings.TrimSuffix(fmt.Sprintf("%v/%v", gotError.Extensions["code"],
				cmp.Or[any](gotError.Extensions["reason"], "")), "/")
			if code != tt.code || gotError.Message != tt.message ||
				response.StatusCode != tt.status {
				t.Errorf("got %d %s %q, want %d %s %q", response.StatusCode, code, gotError.Message,
					tt.status, tt.code, tt.message)
			}
			var path []any
			if tt.path != noPath {
				path = []any{tt.path}
			}
			if !reflect.DeepEqual(gotError.Path, path) {
				t.Errorf("path is %v, want %v", gotError.Path, path)
			}
			// RESPONSE_TOO_LARGE and ERRORS_LEFT_OUT have data but no path.
			wantData := tt.path != noPath || tt.code == "RESPONSE_TOO_LARGE" ||
				tt.code == "ERRORS_LEFT_OUT"
			if hasData := strings.Contains(body, `"data":`); hasData != wantData {
				t.Errorf("response has data: %t, want %t\n%s", hasData, wantData, body)
			}
			// Only INTERNAL_SERVER_ERROR has a requestId. It equals the header X-Request-Id.
			if id := gotError.Extensions["requestId"]; id != nil &&
				id != response.Header.Get("X-Request-Id") ||
				(id == nil) == (code == "INTERNAL_SERVER_ERROR") {
				t.Errorf("requestId of %s is %v, want it only in INTERNAL_SERVER_ERROR, and "+
					"equal to "+
					"the header's %s", code, id, response.Header.Get("X-Request-Id"))
			}
			// docs/errors.md has the exact message, or a description of several messages. A
			// description starts in lower case, and isn't compared.
			if !slices.ContainsFunc(documentedMessages[tt.code], func(text string) bool {
				return text == tt.message || text[:1] == strings.ToLower(text[:1])
			}) {
				t.Errorf("docs/errors.md documents %s as %q, want %q", tt.code,
					documentedMessages[tt.code],
					tt.message)
			}
			provokedCodes[tt.code] = true
		})
	}
	for code := range documentedMessages {
		if !provokedCodes[code] {
			t.Errorf("docs/errors.md documents %s, but no test case provokes it", code)
		}
	}
	for _, code := range tableErrors() {
		// The loop above reports documented codes.
		if !provokedCodes[code] && documentedMessages[code] == nil {
			t.Errorf("apierror/table.go has %s, but no test case provokes it", code)
		}
	}
}

// A wrong password, an unknown user, a locked account, and a wrong password for a disabled account
// get byte-identical responses, so that an attacker can't tell them apart.
func TestLogin_identicalFailures(t *testing.T) {
	s := newTestServer(t, testConfig(t, withKeycloak(newFakeKeycloak(t, clientSecret))), nil)
	var firstBody string
	for _, name := range []string{"wrong-password", "unknown", "locked",
		"disabled-wrong-password"} {
		_, body := s.do(t,
			testRequest{
				query: `mutation($u: String!) { login(username: $u, password: "shop-secret") { ` +
					`tokenType } }`, variables: map[string]any{"u": name},
			})
		if firstBody = cmp.Or(firstBody, body); body != firstBody ||
			!strings.Contains(body, "INVALID_CREDENTIALS") {
			t.Errorf("login of %s: got\n%swant the same as for wrong-password:\n%s", name, body,
				firstBody)
		}
	}
}

// A request with an invalid token can still use public fields; only guarded fields fail.
func TestPublicFields_invalidToken(t *testing.T) {
	kc := newFakeKeycloak(t, clientSecret)
	s := newTestServer(t, testConfig(t, withKeycloak(kc)), nil)
	expiredToken := bearer(t, kc, keycloaktest.TokenSpec{Lifetime: -time.Minute})
	_, body := s.do(t,
		testRequest{query: `mutation { login(username: "alice", password: "shop-secret") { ` +
			`tokenType } }`,
			authorization: expiredToken})
	if want := `{"data":{"login":{"tokenType":"Bearer"}}}` + "\n"; body != want {
		t.Errorf("login with an expired token: got %s, want %s", body, want)
	}
	_, body = s.do(t, testRequest{query: `{ __typename }`, authorization: expiredToken})
	if want := `{"data":{"__typename":"Query"}}` + "\n"; body != want {
		t.Errorf("__typename with an expired token: got %s, want %s", body, want)
	}
	_, body = s.do(t,
		testRequest{query: `{ a: me { id } b: me { id } }`, authorization: expiredToken})
	if strings.Count(body, "TOKEN_EXPIRED") != 2 ||
		!strings.Contains(body, `"data":{"a":null,"b":null}`) {
		t.Errorf("two guarded fields with an expired token: got %s, want null and TOKEN_EXPIRED "+
			"twice", body)
	}
}

// The detail of an error, which only a local server shows, names the setting to check.
func TestErrorDetail_namesSettings(t *testing.T) {
	kc := newFakeKeycloak(t, "alice-password")
	s := newTestServer(t, testConfig(t, withKeycloak(kc)), nil)
	_, body := s.do(t, testRequest{query: "{ me { id } }",
		authorization: bearer(t, kc,
			keycloaktest.TokenSpec{Claims: map[string]any{"aud": "billing"}})})
	if !strings.Contains(body, "(KEYCLOAK_AUDIENCE)") || strings.Contains(body, "VerifierConfig") {
		t.Errorf("got %s, want a response that names KEYCLOAK_AUDIENCE", body)
	}
}
