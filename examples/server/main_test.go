package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cloakql/cloakql"
	"github.com/cloakql/cloakql/identity"
	"github.com/cloakql/cloakql/keycloak"
	"github.com/cloakql/cloakql/keycloak/keycloaktest"

	"example.com/notes/notes"
)

// Users can sign in, and add and list their own notes. Requests without a token for this API are
// rejected.
func TestServer(t *testing.T) {
	kc, store, send := newTestServer(t)
	aliceToken := must(kc.Realm("notes").SignIn("notes-api", "alice")).AccessToken
	bobToken := must(kc.Realm("notes").SignIn("notes-api", "bob")).AccessToken
	billingToken := must(kc.Realm("notes").Mint(keycloaktest.TokenSpec{
		Claims: map[string]any{"aud": "billing"},
	}))

	wantResponse := func(token, query, want string) {
		t.Helper()
		if got := send(token, query); got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
	const login, addNote = `mutation { login(username: "alice", password: "pa55word") { tokenType } }`, `mutation { addNote(text: "milk") { id text } }`
	wantResponse("", login, `{"data":{"login":{"tokenType":"Bearer"}}}`)
	wantResponse(aliceToken, `{ me { username } }`, `{"data":{"me":{"username":"alice"}}}`)
	wantResponse(aliceToken, addNote, `{"data":{"addNote":{"id":"1","text":"milk"}}}`)
	wantResponse(aliceToken, `{ notes { text } }`, `{"data":{"notes":[{"text":"milk"}]}}`)
	wantResponse(bobToken, `{ notes { text } }`, `{"data":{"notes":[]}}`)
	wantResponse("", `{ notes { text } }`, `{"errors":[{"message":"Not authenticated","path":["notes"],"locations":[{"line":1,"column":3}],`+
		`"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}],"data":null}`)
	wantResponse(billingToken, `{ notes { text } }`, `{"errors":[{"message":"Token is not meant for this API","path":["notes"],"locations":[{"line":1,"column":3}],`+
		`"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_NOT_ACCEPTED"}}],"data":null}`)
	for range 99 {
		must(store.Add(t.Context(), kc.Realm("notes").User("alice").ID(), "more"))
	}
	wantResponse(aliceToken, addNote, `{"errors":[{"message":"You can't keep more than 100 notes","path":["addNote"],"locations":[{"line":1,"column":12}],`+
		`"extensions":{"code":"NOTEBOOK_FULL"}}],"data":null}`)
}

// newTestServer starts a server, with a realm and a store of its own. send returns the response to
// an operation.
func newTestServer(t *testing.T) (_ *keycloaktest.Server, _ notes.Store,
	send func(token, operation string) string) {
	kc := keycloaktest.New(t, keycloaktest.RealmSpec{ // a Keycloak in this process, for this test
		Name:    "notes",
		Clients: []keycloaktest.ClientSpec{{ID: "notes-api", Secret: "s3cret"}},
		Users: []keycloaktest.UserSpec{
			{Name: "alice", Password: "pa55word"}, {Name: "bob"},
			{Name: "carol", Roles: []string{"admin"}},
		},
	}.File())
	store := must(notes.Open(filepath.Join(t.TempDir(), "notes.db")))
	t.Cleanup(func() { store.Close() })
	server := must(newServer(cloakql.Config{
		Realm: must(keycloak.NewRealm(kc.URL, "notes")),
		Client: keycloak.ClientConfig{
			ClientID: "notes-api", ClientSecret: identity.NewSecret("s3cret"),
		},
		Log: slog.New(slog.DiscardHandler),
	}, store))
	return kc, store, func(token, operation string) string {
		body := strings.NewReader(`{"query":` + strconv.Quote(operation) + `}`)
		request := httptest.NewRequest(http.MethodPost, "/graphql", body)
		request.Header.Set("Content-Type", "application/json")
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response := httptest.NewRecorder()
		server.Handler().ServeHTTP(response, request)
		return strings.TrimSpace(response.Body.String())
	}
}

// must returns value, and panics if err isn't nil.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
