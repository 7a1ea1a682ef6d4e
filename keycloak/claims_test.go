package keycloak

import (
	"reflect"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// verifyPayload returns the user of a valid token with this payload.
func verifyPayload(t *testing.T, payload string) *identity.User {
	t.Helper()
	key := edDSA()
	user, err := newVerifier(t, newKeys(t, jwksOf(key)), VerifierConfig{}).Verify(t.Context(),
		key.token(payload))
	if err != nil {
		t.Fatal(err)
	}
	return user
}

// Verify fills all fields of the User from a person's token. AuthenticatedAt stays nil, because a
// token from a password grant has no auth_time.
func TestUser_person(t *testing.T) {
	payload := aliceClaims(t)
	want := &identity.User{
		ID: "0b2a8b0f-6a0f-4f7b-9a53-2d4d5f1f5c11", Username: new("alice"),
		Email: new("alice@example.com"), EmailVerified: new(true),
		Name: new("Alice Archer"), GivenName: new("Alice"), FamilyName: new("Archer"),
		RealmRoles: []string{"default-roles-local", "user"},
		ClientRoles: []identity.ClientRoles{ // sorted, because Keycloak guarantees no order
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
	if got := verifyPayload(t, payload); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\n     %+v\nwant %+v\n     %+v", got, got.Token, want, want.Token)
	}
}

// AuthenticatedAt is the token's auth_time. Keycloak sets it only for a sign-in in a browser.
func TestUser_authTime(t *testing.T) {
	session := verifyPayload(t,
		patch(t, aliceClaims(t), object{"auth_time": noonPlus(-time.Hour)})).Token.Session
	if session.AuthenticatedAt == nil || !session.AuthenticatedAt.Equal(noon.Add(-time.Hour)) {
		t.Errorf("AuthenticatedAt = %v, want an hour before noon", session.AuthenticatedAt)
	}
}

// A service account has a username, but neither a session nor personal data.
func TestUser_serviceAccount(t *testing.T) {
	user := verifyPayload(t, readTestdata(t, "service-account.json"))
	if user.Token.Session != nil {
		t.Errorf("Session = %+v, want nil", user.Token.Session)
	}
	if user.Username == nil || *user.Username != "service-account-local-api" || user.Email != nil ||
		user.Name != nil {
		t.Errorf("got %+v, want the username of the service account, and no email or name", user)
	}
	if user.EmailVerified == nil || *user.EmailVerified {
		t.Errorf("EmailVerified = %v, want false", user.EmailVerified)
	}
	if user.Groups == nil || len(user.Groups) != 0 {
		t.Errorf("Groups = %#v, want an empty list", user.Groups)
	}
}

// The error for a lightweight access token tells the operator how to fix it.
func TestVerify_lightweightToken(t *testing.T) {
	key := edDSA()
	// Such a token has no aud. It passes the audience check by its azp, but it has no sub either.
	verifier := newVerifier(t, newKeys(t, jwksOf(key)),
		VerifierConfig{AuthorizedParty: "local-api"})
	_, err := verifier.Verify(t.Context(), key.token(readTestdata(t, "lightweight.json")))
	checkVerifyError(t, err, identity.ErrTokenNotAccepted, "sub is missing", "client scope basic",
		"lightweight")
}

// An optional claim of the wrong type counts as missing, because a mapper can write any JSON value
// into a token.
func TestUser_claimsOfWrongType(t *testing.T) {
	optionalClaims := object{
		"preferred_username": absent, "email": absent, "email_verified": absent, "name": absent,
		"given_name": absent, "family_name": absent,
		"realm_access": absent, "resource_access": absent, "groups": absent, "scope": absent,
		"acr": absent,
		"sid": absent, "jti": absent, "auth_time": absent,
	}
	for _, value := range []any{absent, nil, true, 5, "", []any{}, []any{1, nil}, object{},
		object{"roles": nil}, object{"roles": object{}}, object{"roles": []any{"a", 1}}} {
		changes := object{}
		for name := range optionalClaims {
			changes[name] = value
		}
		payload := patch(t, aliceClaims(t), changes)
		t.Run(payload, func(t *testing.T) {
			user := verifyPayload(t, payload)
			if len(user.RealmRoles)+len(user.Groups)+len(user.Token.Scope) != 0 ||
				user.Token.Session != nil {
				t.Errorf("got %+v %+v, want no roles, groups, scopes or session", user, user.Token)
			}
			for _, roles := range user.ClientRoles {
				if len(roles.Roles) != 0 {
					t.Errorf("got the client roles %+v, want none", roles)
				}
			}
			if user.RealmRoles == nil || user.ClientRoles == nil || user.Groups == nil ||
				user.Token.Scope == nil {
				t.Errorf("got %+v, want empty lists instead of nil", user)
			}
			if _, ok := value.(string); !ok &&
				(user.Username != nil || user.Email != nil || user.Name != nil ||
					user.GivenName != nil || user.FamilyName != nil || user.Token.ACR != nil) {
				t.Errorf("got %+v, want nil for each optional string", user)
			}
			if _, ok := value.(bool); !ok && user.EmailVerified != nil {
				t.Errorf("EmailVerified = %v, want nil", *user.EmailVerified)
			}
		})
	}
}

// A string in place of a list isn't read as a list of one element. Otherwise a wrong mapper could
// grant a role.
func TestUser_stringForList(t *testing.T) {
	user := verifyPayload(t, patch(t, aliceClaims(t), object{
		"realm_access":    object{"roles": "admin"},
		"resource_access": object{"local-api": object{"roles": "admin"}}, "groups": "/staff",
	}))
	if len(user.RealmRoles) != 0 || len(user.Groups) != 0 || len(user.ClientRoles) != 1 ||
		len(user.ClientRoles[0].Roles) != 0 {
		t.Errorf("got the realm roles %q, client roles %q and groups %q; want none",
			user.RealmRoles,
			user.ClientRoles, user.Groups)
	}
}

// An auth_time of the wrong type counts as missing; the session remains.
func TestUser_invalidAuthTime(t *testing.T) {
	for _, value := range []any{nil, "1767268740", -1, object{}} {
		session := verifyPayload(
			t, patch(t, aliceClaims(t), object{"auth_time": value})).Token.Session
		if session == nil || session.AuthenticatedAt != nil {
			t.Errorf("auth_time %v: got the session %+v, want one without AuthenticatedAt", value,
				session)
		}
	}
}

// Claims is exactly the signed payload: its white space, order, numbers and escapes are unchanged.
func TestUser_claimsVerbatim(t *testing.T) {
	payload := " {\"z\" : 1.50e1, \"a\":\"\\u0041\" ,\"n\":12345678901234567890123," +
		aliceClaims(t)[1:] + "\n"
	if got := string(verifyPayload(t, payload).Token.Claims); got != payload {
		t.Errorf("Claims = %q, want %q", got, payload)
	}
}
