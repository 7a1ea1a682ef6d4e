package main

import (
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A caller gets only the fields whose rules the token satisfies.
func TestRules(t *testing.T) {
	kc, _, send := newTestServer(t)
	realm := kc.Realm("notes")
	alice := must(realm.SignIn("notes-api", "alice")).AccessToken
	bob := must(realm.SignIn("notes-api", "bob")).AccessToken
	admin := must(realm.SignIn("notes-api", "carol")).AccessToken
	// tokenSignedInAt returns a token of alice, a member of acme, who signed in at this time.
	tokenSignedInAt := func(signIn time.Time) string {
		return must(realm.Mint(keycloaktest.TokenSpec{Claims: map[string]any{
			"sub": realm.User("alice").ID(), "aud": "notes-api",
			"organization": []string{"acme"}, "sid": "1", "auth_time": signIn,
		}}))
	}
	recentToken := tokenSignedInAt(time.Now())
	oldToken := tokenSignedInAt(time.Now().Add(-time.Hour))

	for _, tt := range []struct{ token, operation, want string }{
		{alice, `mutation { addNote(text: "milk") { id } }`, `{"addNote":{"id":"1"}}`},
		{alice, `{ allNotes { text } }`, `"code":"FORBIDDEN","reason":"ROLE_MISSING"`},
		{admin, `{ allNotes { text } }`, `{"allNotes":[{"text":"milk"}]}`},

		{alice, `{ note(id: 1) { text } }`, `{"note":{"text":"milk"}}`},
		{admin, `{ note(id: 1) { text } }`, `{"note":{"text":"milk"}}`},
		{bob, `{ note(id: 1) { text } }`, `"code":"FORBIDDEN","reason":"NOT_OWNER"`},
		// A note that doesn't exist.
		{bob, `{ note(id: 2) { text } }`, `"code":"FORBIDDEN","reason":"NOT_OWNER"`},

		{recentToken, `mutation { addTeamNote(organization: "acme", text: "tea") { id } }`,
			`"id":"2"`},
		{recentToken, `{ teamNotes(organization: "acme") { text } }`, `[{"text":"tea"}]`},
		{recentToken, `{ teamNotes(organization: "other") { text } }`, `ORGANIZATION_MISSING`},
		{alice, `{ teamNotes(organization: "acme") { text } }`, `ORGANIZATION_MISSING`},

		{oldToken, `mutation { deleteNotes }`, `"maxAge":300,"reason":"STEP_UP_REQUIRED"`},
		{recentToken, `mutation { deleteNotes }`, `{"data":{"deleteNotes":1}}`},
	} {
		if got := send(tt.token, tt.operation); !strings.Contains(got, tt.want) {
			t.Errorf("%s:\n got %s\nwant %s", tt.operation, got, tt.want)
		}
	}
}
