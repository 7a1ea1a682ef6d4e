package keycloak

import (
	"reflect"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

func verified(t *testing.T, payload string) *identity.User {
	t.Helper()
	key := edDSA()
	user, err := newVerifier(t, newKeys(t, certsOf(key)), VerifierConfig{}).Verify(t.Context(),
		key.token(payload))
	if err != nil {
		t.Fatal(err)
	}
	return user
}

func TestUserOfAPerson(t *testing.T) {
	payload := alice(t)
	want := &identity.User{
		ID: "0b2a8b0f-6a0f-4f7b-9a53-2d4d5f1f5c11", Username: new("alice"),
		Email: new("alice@example.com"), EmailVerified: new(true),
		Name: new("Alice Archer"), GivenName: new("Alice"), FamilyName: new("Archer"),
		RealmRoles: []string{"default-roles-local", "user"},
		ClientRoles: []identity.ClientRoles{ // sorted, since Keycloak's order is not a contract
			{Client: "account", Roles: []string{"manage-account", "view-profile"}},
			{Client: "local-api", Roles: []string{"reader"}},
		},
		Groups: []string{"/staff"},
		Token: &identity.TokenInfo{
			Scope: []string{"openid", "profile", "email"}, ExpiresAt: noon.Add(4 * time.Minute),
			ACR:     new("silver"),
			Session: &identity.Session{ID: "q1c9HhvZ3rXxkUe7a0uWZJ2b"},
			Claims:  identity.Claims(payload),
		},
	}
	if got := verified(t, payload); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\n     %+v\nwant %+v\n     %+v", got, got.Token, want, want.Token)
	}
}

func TestUserWhoSignedInThroughABrowser(t *testing.T) {
	session := verified(t,
		with(t, alice(t), object{"auth_time": noonPlus(-time.Hour)})).Token.Session
	if session.AuthenticatedAt == nil || !session.AuthenticatedAt.Equal(noon.Add(-time.Hour)) {
		t.Errorf("AuthenticatedAt = %v, want an hour before noon", session.AuthenticatedAt)
	}
}

func TestUserOfAServiceAccount(t *testing.T) {
	user := verified(t, fromFile(t, "service-account.json"))
	if user.Token.Session != nil {
		t.Errorf("Session = %+v, want none", user.Token.Session)
	}
	if user.Username == nil || *user.Username != "service-account-local-api" || user.Email != nil ||
		user.Name != nil {
		t.Errorf("got %+v", user)
	}
	if user.EmailVerified == nil || *user.EmailVerified {
		t.Error("EmailVerified is not false")
	}
	if user.Groups == nil || len(user.Groups) != 0 {
		t.Errorf("Groups = %#v, want an empty list", user.Groups)
	}
}

func TestLightweightTokenIsRefusedWithItsRemedy(t *testing.T) {
	key := edDSA()
	// Without aud, such a token passes by its azp alone, and then has nobody it speaks for.
	verifier := newVerifier(t, newKeys(t, certsOf(key)),
		VerifierConfig{AuthorizedParty: "local-api"})
	_, err := verifier.Verify(t.Context(), key.token(fromFile(t, "lightweight.json")))
	checkRefusal(t, err, identity.ErrTokenNotAccepted, "sub is missing", "client scope basic",
		"lightweight")
}

// Mappers can write anything into a token. The user is one who doesn't have what can't be read.
func TestUserOfOddClaims(t *testing.T) {
	bare := object{
		"preferred_username": absent, "email": absent, "email_verified": absent, "name": absent,
		"given_name": absent, "family_name": absent,
		"realm_access": absent, "resource_access": absent, "groups": absent, "scope": absent, "acr": absent,
		"sid": absent, "jti": absent, "auth_time": absent,
	}
	for _, odd := range []any{absent, nil, true, 5, "", []any{}, []any{1, nil}, object{},
		object{"roles": nil}, object{"roles": object{}}, object{"roles": []any{"a", 1}}} {
		changes := object{}
		for name := range bare {
			changes[name] = odd
		}
		payload := with(t, alice(t), changes)
		t.Run(payload, func(t *testing.T) {
			user := verified(t, payload)
			if len(user.RealmRoles)+len(user.Groups)+len(user.Token.Scope) != 0 ||
				user.Token.Session != nil {
				t.Errorf("got %+v %+v", user, user.Token)
			}
			for _, roles := range user.ClientRoles {
				if len(roles.Roles) != 0 {
					t.Errorf("got the roles %+v", roles)
				}
			}
			if user.RealmRoles == nil || user.ClientRoles == nil || user.Groups == nil ||
				user.Token.Scope == nil {
				t.Errorf("a list is nil: %+v", user)
			}
			if _, ok := odd.(string); !ok &&
				(user.Username != nil || user.Email != nil || user.Name != nil ||
					user.GivenName != nil || user.FamilyName != nil || user.Token.ACR != nil) {
				t.Errorf("a text is there: %+v", user)
			}
			if _, ok := odd.(bool); !ok && user.EmailVerified != nil {
				t.Errorf("EmailVerified = %v", *user.EmailVerified)
			}
		})
	}
}

// A text where a list belongs is not a list of one: nobody gains a role by a mapper's slip.
func TestUserOfATextForAList(t *testing.T) {
	user := verified(t, with(t, alice(t), object{
		"realm_access":    object{"roles": "admin"},
		"resource_access": object{"local-api": object{"roles": "admin"}}, "groups": "/staff",
	}))
	if len(user.RealmRoles) != 0 || len(user.Groups) != 0 || len(user.ClientRoles) != 1 ||
		len(user.ClientRoles[0].Roles) != 0 {
		t.Errorf("got the roles %q and %q, and the groups %q; want none", user.RealmRoles,
			user.ClientRoles, user.Groups)
	}
}

func TestAuthTimeThatIsNoDate(t *testing.T) {
	for _, odd := range []any{nil, "1767268740", -1, object{}} {
		session := verified(t, with(t, alice(t), object{"auth_time": odd})).Token.Session
		if session == nil || session.AuthenticatedAt != nil {
			t.Errorf("auth_time %v gives %+v; want a session without a date", odd, session)
		}
	}
}

func TestClaimsAreWhatWasSigned(t *testing.T) {
	// Blanks, order, number spellings and escapes are all kept.
	payload := " {\"z\" : 1.50e1, \"a\":\"\\u0041\" ,\"n\":12345678901234567890123," +
		alice(t)[1:] + "\n"
	if got := string(verified(t, payload).Token.Claims); got != payload {
		t.Errorf("Claims = %q, want %q", got, payload)
	}
}
