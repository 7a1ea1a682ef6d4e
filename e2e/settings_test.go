package e2e

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(text string) int { n, _ := strconv.Atoi(text); return n }

// Keycloak's public host name is localhost, but the server reaches it under another, as behind a
// proxy or in a cluster.
func TestInternalURL(t *testing.T) {
	t.Parallel()
	r := newRealm(t, shared, nil)
	user, _ := r.newUser(t, nil)
	inside := &keycloak{url: strings.Replace(shared.url, "localhost", "127.0.0.1", 1)}
	public := shared.url + "/realms/" + r.name
	realmName := "KEYCLOAK_REALM_NAME=" + r.name

	one := serve(t, inside, realmName, "KEYCLOAK_ISSUER="+public)
	if name, response := one.me(t, one.mustLogin(t, user, "secret").AccessToken); name != user {
		t.Errorf("me with KEYCLOAK_ISSUER is %q, want the user\n%s", name, response.body)
	}
	two := serve(t, inside, realmName, "KEYCLOAK_ISSUER=https://sso.example.com/realms/x, "+public)
	if name, response := two.me(t, two.mustLogin(t, user, "secret").AccessToken); name != user {
		t.Errorf("me with two issuers is %q, want the user\n%s", name, response.body)
	}

	unset := serve(t, inside, realmName)
	_, response := unset.me(t, unset.mustLogin(t, user, "secret").AccessToken)
	wantCode(t, "me without KEYCLOAK_ISSUER", response, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED")
	// The log says so at startup, and again for the rejected token.
	unset.wantLog(t, "set KEYCLOAK_ISSUER to the issuer that it names\" issuer="+public)
	unset.wantLog(t,
		`iss is "`+public+`"; accepted: ["`+inside.url+"/realms/"+r.name+`"] (KEYCLOAK_ISSUER)`)
}

// A realm with another client, another algorithm, and names and passwords that are easily encoded
// wrongly.
func TestUnusualRealm(t *testing.T) {
	t.Parallel()
	const secret, password = `s&e+c%r"e\t ü$x`, `pä& +%"\ß€𝄞`
	r := newRealm(t, shared, object{
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
	token := s.mustLogin(t, user, password)
	header, _, _ := strings.Cut(token.AccessToken, ".")
	if !strings.Contains(decodeSegment(t, header), `"ES256"`) {
		t.Fatalf("the token's header is %s, want ES256", decodeSegment(t, header))
	}
	// Keycloak created this realm's key for ES256 just now, for this token. The server, which has
	// just started, fetches keys at most once a second.
	eventually(t, "the new key is fetched", func() bool {
		_, response := s.me(t, token.AccessToken)
		return response.code() == ""
	})
	response := s.query(t, token.AccessToken, `{ me { username name familyName } }`, nil)
	for _, want := range []string{`"username":"jürgen-øst"`, `"familyName":"O'Brien-Søn"`, "李"} {
		if !strings.Contains(response.body, want) {
			t.Errorf("me lacks %s in\n%s", want, response.body)
		}
	}
	// With the secret in a file, as orchestrators mount it, and the e-mail address in another case.
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

// In production there is no introspection, there are no suggestions, and other origins are
// rejected.
func TestProduction(t *testing.T) {
	t.Parallel()
	s := serve(t, shared, "RUNTIME_ENV=production")
	wantCode(t, "introspection", s.query(t, "", `{ __schema { types { name } } }`, nil),
		"INTROSPECTION_DISABLED")
	if response := s.query(t, "", `{ me { usernam } }`, nil); strings.Contains(response.body,
		"Did you mean") {
		t.Errorf("the response suggests a field: %s", response.body)
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
