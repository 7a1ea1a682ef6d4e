package keycloak

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
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
		Groups: []string{"/staff"}, Organizations: []identity.Organization{},
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
		VerifierConfig{AnyAudienceFor: "local-api"})
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
		"acr": absent, "organization": absent,
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
			for _, organization := range user.Organizations {
				if organization.ID != nil || organization.Groups == nil ||
					len(organization.Groups) != 0 {
					t.Errorf("got the organization %+v, want it without ID and groups",
						organization)
				}
			}
			if user.RealmRoles == nil || user.ClientRoles == nil || user.Groups == nil ||
				user.Organizations == nil || user.Token.Scope == nil {
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
		"organization": "acme",
	}))
	if len(user.RealmRoles) != 0 || len(user.Groups) != 0 || len(user.ClientRoles) != 1 ||
		len(user.ClientRoles[0].Roles) != 0 || len(user.Organizations) != 0 {
		t.Errorf("got the realm roles %q, client roles %q, groups %q and organizations %+v; "+
			"want none", user.RealmRoles, user.ClientRoles, user.Groups, user.Organizations)
	}
}

// Organizations has the organizations of the claim organization in both of Keycloak's forms, each
// once and ordered by alias. What isn't clearly a membership, an ID or a group is left out.
func TestUser_organizations(t *testing.T) {
	organization := func(alias string, id *string, groups ...string) identity.Organization {
		return identity.Organization{Alias: alias, ID: id, Groups: append([]string{}, groups...)}
	}
	acme, blue := organization("acme", nil), organization("blue", nil)
	for _, tt := range []struct {
		claim string
		want  []identity.Organization
	}{
		{`["acme"]`, []identity.Organization{acme}},
		{`["blue","acme"]`, []identity.Organization{acme, blue}},
		{`["blue","acme","blue","acme"]`, []identity.Organization{acme, blue}},
		{`["blue","Acme","acme"," acme"]`, []identity.Organization{organization(" acme", nil),
			organization("Acme", nil), acme, blue}},
		{`[]`, nil},
		{`["acme",5]`, nil},
		{`["acme",null]`, nil},
		{`["acme",["blue"]]`, nil},
		{`[{"acme":{}}]`, nil},

		{`{"acme":{}}`, []identity.Organization{acme}},
		{`{"blue":{},"acme":{}}`, []identity.Organization{acme, blue}},
		{` { "blue" : { "id" : "b1" } , "acme" : { "groups" : [ "/staff/ops" , "/a" ] } } `,
			[]identity.Organization{organization("acme", nil, "/staff/ops", "/a"),
				organization("blue", new("b1"))}},
		{`{"acme":{"id":"a1","groups":["/staff"],"tier":["gold"],"alias":["blue"]}}`,
			[]identity.Organization{organization("acme", new("a1"), "/staff")}},
		{`{"\u0061cme":{"\u0069d":"a\u0031"}}`,
			[]identity.Organization{organization("acme", new("a1"))}},
		{`{"acme":{"id":["a1"],"groups":"/staff"}}`, []identity.Organization{acme}},
		{`{"acme":{"id":null,"groups":["/staff",1]}}`, []identity.Organization{acme}},
		{`{"acme":{"id":{"id":"a1"},"groups":{"groups":["/staff"]}}}`,
			[]identity.Organization{acme}},
		{`{"acme":{"attributes":{"id":"a1","groups":["/staff"]}}}`,
			[]identity.Organization{acme}},
		{`{"acme":null,"blue":{}}`, []identity.Organization{blue}},
		{`{"acme":false,"blue":{}}`, []identity.Organization{blue}},
		{`{"acme":"a1","blue":{}}`, []identity.Organization{blue}},
		{`{"acme":["/staff"],"blue":{}}`, []identity.Organization{blue}},
		{`{}`, nil},

		{`null`, nil},
		{`true`, nil},
		{`1`, nil},
		{`"acme"`, nil},
		{`"[\"acme\"]"`, nil},
		{`"{\"acme\":{}}"`, nil},
	} {
		user := verifyPayload(t, `{"organization":`+tt.claim+","+aliceClaims(t)[1:])
		want := append([]identity.Organization{}, tt.want...)
		if !reflect.DeepEqual(user.Organizations, want) {
			t.Errorf("organization %s: got %s, want %s", tt.claim, toJSON(user.Organizations),
				toJSON(want))
		}
	}
}

// A token of the largest accepted size can have many organizations and groups, in any order and
// repeated. All of them are read.
func TestUser_manyOrganizations(t *testing.T) {
	const n = 700
	var aliases, groups []string
	members := object{}
	for i := range n {
		aliases = append(aliases, fmt.Sprint("o", (i*37)%n))
		members[aliases[i]] = object{}
		groups = append(groups, fmt.Sprint("/", i))
	}
	for _, tt := range []struct {
		name                          string
		claim                         any
		wantOrganizations, wantGroups int
	}{
		{"list", aliases, n, 0},
		{"list with duplicates", append(slices.Clone(aliases), aliases...), n, 0},
		{"one alias many times", slices.Repeat([]string{"a"}, 2*n), 1, 0},
		{"map", members, n, 0},
		{"groups", object{"acme": object{"groups": groups}}, 1, n},
		{"attributes", object{"acme": members}, 1, 0},
	} {
		user := verifyPayload(t, patch(t, aliceClaims(t), object{"organization": tt.claim}))
		sorted := slices.IsSortedFunc(user.Organizations, func(a, b identity.Organization) int {
			return strings.Compare(a.Alias, b.Alias)
		})
		if len(user.Organizations) != tt.wantOrganizations || !sorted ||
			len(user.Organizations[0].Groups) != tt.wantGroups {
			t.Errorf("%s: got %d organizations, sorted: %t; want %d, sorted, the first with %d "+
				"groups", tt.name, len(user.Organizations), sorted, tt.wantOrganizations,
				tt.wantGroups)
		}
	}
}

// Impersonated is true if the token has the claim act with any value other than null.
func TestUser_impersonated(t *testing.T) {
	for _, tt := range []struct {
		claims string
		want   bool
	}{
		{`"act":{"sub":"admin"}`, true},
		{`"act":{"sub":"admin","act":{"sub":"root"}}`, true},
		{`"act" : {}`, true},
		{`"act":[]`, true},
		{`"act":"admin"`, true},
		{`"act":""`, true},
		{`"act":"null"`, true},
		{`"act":false`, true},
		{`"act":0`, true},
		{`"\u0061ct":{}`, true},
		{`"act":null`, false},
		{`"act" : null `, false},
		{`"Act":{"sub":"admin"}`, false},
		{`"may_act":{"sub":"admin"}`, false},
		{`"details":{"act":{"sub":"admin"}}`, false},
	} {
		user := verifyPayload(t, "{"+tt.claims+","+aliceClaims(t)[1:])
		if user.Token.Impersonated != tt.want {
			t.Errorf("%s: Impersonated = %t, want %t", tt.claims, user.Token.Impersonated, tt.want)
		}
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
