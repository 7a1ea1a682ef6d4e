package e2e

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// itoa returns n in decimal.
func itoa(n int) string { return strconv.Itoa(n) }

// atoi parses a decimal number, and returns 0 if text isn't one.
func atoi(text string) int { n, _ := strconv.Atoi(text); return n }

// With KEYCLOAK_ISSUER, the server accepts tokens that name Keycloak's public host, although the
// server itself reaches Keycloak at another host, as in a cluster.
func TestInternalURL(t *testing.T) {
	t.Parallel()
	r := newRealm(t, sharedKeycloak, nil)
	user, _ := r.newUser(t, nil)
	internalURL := strings.Replace(sharedKeycloak.url, "localhost", "127.0.0.1", 1)
	internalKeycloak := &keycloak{url: internalURL}
	publicIssuer := sharedKeycloak.url + "/realms/" + r.name
	realmName := "KEYCLOAK_REALM_NAME=" + r.name

	oneIssuerServer := serve(t, internalKeycloak, realmName, "KEYCLOAK_ISSUER="+publicIssuer)
	token := oneIssuerServer.mustLogin(t, user, "secret").AccessToken
	if name, response := oneIssuerServer.me(t, token); name != user {
		t.Errorf("me with KEYCLOAK_ISSUER is %q, want %q\n%s", name, user, response.body)
	}
	twoIssuersServer := serve(t, internalKeycloak, realmName,
		"KEYCLOAK_ISSUER=https://sso.example.com/realms/x, "+publicIssuer)
	token = twoIssuersServer.mustLogin(t, user, "secret").AccessToken
	if name, response := twoIssuersServer.me(t, token); name != user {
		t.Errorf("me with two issuers is %q, want %q\n%s", name, user, response.body)
	}

	noIssuerServer := serve(t, internalKeycloak, realmName)
	_, response := noIssuerServer.me(t, noIssuerServer.mustLogin(t, user, "secret").AccessToken)
	wantCode(t, "me without KEYCLOAK_ISSUER", response, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED")
	// The log names the setting at startup, and again when the token is rejected.
	noIssuerServer.wantLog(t,
		"set KEYCLOAK_ISSUER to the realm's issuer\" issuer="+publicIssuer)
	noIssuerServer.wantLog(t,
		`iss is "`+publicIssuer+`"; accepted: ["`+internalKeycloak.url+"/realms/"+r.name+
			`"] (KEYCLOAK_ISSUER)`)
}

// A user can sign in, query me, refresh and sign out in a realm with another client and another
// algorithm, even if names, secrets and passwords contain characters that are easily encoded
// wrongly.
func TestUnusualRealm(t *testing.T) {
	t.Parallel()
	const secret, password = `s&e+c%r"e\t ü$x`, `pä& +%"\ß€𝄞`
	r := newRealm(t, sharedKeycloak, object{
		"defaultSignatureAlgorithm": "ES256",
		"clients": []object{
			apiClient(object{"clientId": "shop backend/ü", "secret": secret,
				"protocolMappers": []object{}}),
		},
	})
	user, _ := r.newUser(t, object{
		"username": "jürgen-øst", "firstName": "Jürgen 李", "lastName": "O'Brien-Søn",
		"email":       "juergen@example.com",
		"credentials": []object{{"type": "password", "value": password, "temporary": false}},
	})
	s := r.serve(t, "KEYCLOAK_CLIENT_ID=shop backend/ü", "KEYCLOAK_CLIENT_SECRET_KEY="+secret)
	got := s.mustLogin(t, user, password)
	header, _, _ := strings.Cut(got.AccessToken, ".")
	if !strings.Contains(decodeSegment(t, header), `"ES256"`) {
		t.Fatalf("the token's header is %s, want ES256", decodeSegment(t, header))
	}
	// Keycloak created this realm's key for ES256 just now, for this token. The server, which has
	// just started, fetches keys at most once a second.
	waitUntil(t, "the new key is fetched", func() bool {
		_, response := s.me(t, got.AccessToken)
		return response.code() == ""
	})
	response := s.query(t, got.AccessToken, `{ me { username name familyName } }`, nil)
	for _, want := range []string{`"username":"jürgen-øst"`, `"familyName":"O'Brien-Søn"`, "李"} {
		if !strings.Contains(response.body, want) {
			t.Errorf("me: got %s, want %s in it", response.body, want)
		}
	}
	// Read the secret from a file, as orchestrators mount it, and sign in with the e-mail address
	// in another case.
	file := t.TempDir() + "/secret"
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = r.serve(t, "KEYCLOAK_CLIENT_ID=shop backend/ü", "KEYCLOAK_CLIENT_SECRET_KEY=",
		"KEYCLOAK_CLIENT_SECRET_KEY_FILE="+file)
	refreshed, response := s.refresh(t,
		s.mustLogin(t, "Juergen@Example.com", password).RefreshToken)
	wantCode(t, "refresh", response, "")
	wantCode(t, "logout", s.logout(t, refreshed.RefreshToken), "")
}

// In production, the server rejects introspection and other origins, and doesn't suggest names.
func TestProduction(t *testing.T) {
	t.Parallel()
	s := serve(t, sharedKeycloak, "RUNTIME_ENV=production")
	wantCode(t, "introspection", s.query(t, "", `{ __schema { types { name } } }`, nil),
		"INTROSPECTION_DISABLED")
	if response := s.query(t, "", `{ me { usernam } }`, nil); strings.Contains(response.body,
		"Did you mean") {
		t.Errorf("unknown field: got %s, want no suggestion", response.body)
	}
	request, _ := http.NewRequest(http.MethodOptions, s.url+"/graphql", nil)
	request.Header.Set("Origin", "http://localhost:5173")
	request.Header.Set("Access-Control-Request-Method", "POST")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if origin := response.Header.Get("Access-Control-Allow-Origin"); origin != "" {
		t.Errorf("origin %s is allowed without CORS_ORIGINS, want it rejected", origin)
	}
}
