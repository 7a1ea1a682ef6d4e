package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The server rejects each kind of Keycloak token that isn't an access token for its API, and
// returns the reason. It accepts access tokens until shortly after they expire.
func TestMe_rejectedTokens(t *testing.T) {
	t.Parallel()
	lightweightClient := apiClient(object{"clientId": "lightweight",
		"attributes": object{"client.use.lightweight.access.token.enabled": "true"}})
	unmappedClient := apiClient(object{"clientId": "unmapped", "protocolMappers": []object{}})
	k := isolatedKeycloak(t)
	r := newRealm(t, k, object{"clients": []object{apiClient(nil), lightweightClient,
		unmappedClient}})
	s := r.serve(t)
	user, _ := r.newUser(t, nil)
	userTokens := s.mustLogin(t, user, "secret")
	otherUser, _ := realm{k, "local"}.newUser(t, nil)
	foreignToken := serve(t, k).mustLogin(t, otherUser, "secret").AccessToken

	lightweightUser, _ := r.newUser(t, nil)
	lightweightServer := r.serve(t, "KEYCLOAK_CLIENT_ID=lightweight")
	lightweightToken := lightweightServer.mustLogin(t, lightweightUser, "secret").AccessToken
	// Without an audience mapper, a token is accepted only by a server for the client that it was
	// issued to, and only if that server has no KEYCLOAK_AUDIENCE.
	unmappedUser, _ := r.newUser(t, nil)
	unmappedServer := r.serve(t, "KEYCLOAK_CLIENT_ID=unmapped")
	unmappedToken := unmappedServer.mustLogin(t, unmappedUser, "secret").AccessToken
	if name, response := unmappedServer.me(t, unmappedToken); name != unmappedUser {
		t.Errorf("me without an audience mapper is %q, want %q\n%s", name, unmappedUser,
			response.body)
	}
	audienceServer := r.serve(t, "KEYCLOAK_CLIENT_ID=unmapped", "KEYCLOAK_AUDIENCE=unmapped")

	headerSegment, rest, _ := strings.Cut(userTokens.AccessToken, ".")
	header, err := base64.RawURLEncoding.DecodeString(headerSegment)
	if err != nil {
		t.Fatal(err)
	}
	var fields struct{ Kid string }
	json.Unmarshal(header, &fields)
	unknownKeyToken := base64.RawURLEncoding.EncodeToString(
		bytes.Replace(header, []byte(fields.Kid), []byte("another-key"), 1)) + "." + rest
	signature := userTokens.AccessToken[strings.LastIndex(userTokens.AccessToken, ".")+1:]
	badSignature := strings.Replace(userTokens.AccessToken, "."+signature, ".A"+signature[1:], 1)
	if signature[0] == 'A' {
		badSignature = strings.Replace(userTokens.AccessToken, "."+signature, ".B"+signature[1:], 1)
	}
	// Nothing listens on port 1, not even the fake of another test.
	downServer := serve(t, &keycloak{url: "http://127.0.0.1:1"},
		"KEYCLOAK_ISSUER="+r.k.url+"/realms/"+r.name)

	for _, tt := range []struct {
		name, token string
		server      *server
		code        string
		detail      string // shown only with RUNTIME_ENV=local
	}{
		{"ID token", userTokens.IdToken, s, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED", `typ is "ID"`},
		{"refresh token", userTokens.RefreshToken, s, "UNAUTHENTICATED/TOKEN_SIGNATURE", "HS512"},
		{"token of another realm", foreignToken, s, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED",
			"KEYCLOAK_ISSUER"},
		{"lightweight token", lightweightToken, lightweightServer,
			"UNAUTHENTICATED/TOKEN_NOT_ACCEPTED", "lightweight"},
		{"token without an audience", unmappedToken, audienceServer,
			"UNAUTHENTICATED/TOKEN_NOT_ACCEPTED", "Audience"},
		{"unknown key", unknownKeyToken, s, "UNAUTHENTICATED/KEY_UNKNOWN", "another-key"},
		{"changed signature", badSignature, s, "UNAUTHENTICATED/TOKEN_SIGNATURE", "doesn't match"},
		{"Keycloak down from the start", userTokens.AccessToken, downServer,
			"SERVICE_UNAVAILABLE/KEYS_UNAVAILABLE", "can't be fetched"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, response := tt.server.me(t, tt.token)
			wantCode(t, "me", response, tt.code)
			if detail := response.Errors[0].Extensions.Detail; !strings.Contains(detail,
				tt.detail) {
				t.Errorf("detail is %q, want %q in it", detail, tt.detail)
			}
		})
	}

	prodServer := r.serve(t, "RUNTIME_ENV=prod")
	_, response := prodServer.me(t, userTokens.IdToken)
	wantCode(t, "me in production", response, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED")
	if strings.Contains(response.body, "detail") {
		t.Errorf("me in production: got %s, want no detail in it", response.body)
	}

	login := func() tokens { return s.mustLogin(t, user, "secret") }
	// Tokens expire after a second, but the server allows 30 s of leeway for clocks that differ.
	r.update(t, object{"accessTokenLifespan": 1})
	for tooSlow := true; tooSlow; { // retry if it took longer than the leeway
		start := time.Now()
		lateTokens := k.agedTokens(2*time.Second, login)
		name, response := s.me(t, lateTokens.AccessToken)
		if tooSlow = time.Since(start) > 25*time.Second; !tooSlow && name != user {
			t.Errorf("me within the leeway is %q, want %q\n%s", name, user, response.body)
		}
	}
	expiredTokens := k.agedTokens(33*time.Second, login)
	_, response = s.me(t, expiredTokens.AccessToken)
	wantCode(t, "me with an expired token", response, "UNAUTHENTICATED/TOKEN_EXPIRED")
	// An expired ID token isn't reported as expired, since refreshing wouldn't help.
	_, response = s.me(t, expiredTokens.IdToken)
	wantCode(t, "me with an expired ID token", response, "UNAUTHENTICATED/TOKEN_NOT_ACCEPTED")
	// Public fields run even with an expired token.
	_, response = decodeTokens(t, "refresh",
		s.query(t, expiredTokens.AccessToken, refreshQuery,
			object{"r": expiredTokens.RefreshToken}))
	wantCode(t, "refresh with an expired token in the header", response, "")
}
