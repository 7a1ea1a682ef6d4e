package graph

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloakql/cloakql/identity"
)

// tokenFields selects every field of a token response.
const tokenFields = `{ tokenType accessToken expiresIn refreshToken refreshExpiresIn idToken ` +
	`scope }`

// tokenResponse returns a token response with every field.
func tokenResponse() *identity.OpenIDToken {
	return &identity.OpenIDToken{
		TokenType: "Bearer", AccessToken: identity.NewSecret("access"), ExpiresIn: 300,
		RefreshToken: ptr(identity.NewSecret("refresh")), RefreshExpiresIn: ptr(1800),
		IDToken: ptr(identity.NewSecret("id")), Scope: []string{"openid", "email"},
	}
}

// tokenResponseJSON is the result of tokenFields for tokenResponse.
const tokenResponseJSON = `{"tokenType":"Bearer","accessToken":"access","expiresIn":300,"refreshToken":"refresh","refreshExpiresIn":1800,"idToken":"id","scope":["openid","email"]}`

// login passes its arguments to the realm unchanged, and returns all tokens.
func TestLogin_arguments(t *testing.T) {
	const password = "a&b+c%20d\"e\\f ü🔑 "
	for _, otp := range []any{nil, "123456"} {
		var got identity.Credentials
		s := newServer(t,
			fakeRealm{login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
				got = c
				return tokenResponse(), nil
			}})
		checkEqual(t,
			s.send(nil, nil,
				`mutation ($u: String!, $p: String!, $o: String) { login(username: $u, password: `+
					`$p, otp: $o) `+tokenFields+` }`,
				map[string]any{"u": " Alice@Example.org", "p": password, "o": otp}),
			`{"data":{"login":`+tokenResponseJSON+`}}`)
		want, _ := otp.(string)
		if got.Username != " Alice@Example.org" || got.Password.Reveal() != password ||
			got.OTP.Reveal() != want {
			t.Errorf("the realm got %q, %q and %q, want the arguments unchanged", got.Username,
				got.Password.Reveal(), got.OTP.Reveal())
		}
	}
}

// login works with literals instead of variables, and without the argument otp.
func TestLogin_literalsWithoutOTP(t *testing.T) {
	s := newServer(t, fakeRealm{login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
		if c.Username != "alice" || c.Password.Reveal() != "p" || c.OTP.Reveal() != "" {
			t.Errorf("the realm got %q, %q and %q, want alice, p and no code", c.Username,
				c.Password.Reveal(), c.OTP.Reveal())
		}
		return tokenResponse(), nil
	}})
	checkEqual(t, s.sendWithoutToken(`mutation { login(username: "alice", password: "p") { `+
		`accessToken } }`),
		`{"data":{"login":{"accessToken":"access"}}}`)
}

// refresh and logout pass the refresh token to the realm unchanged.
func TestRefresh_Logout_token(t *testing.T) {
	s := newServer(t, fakeRealm{
		refresh: func(token identity.Secret) (*identity.OpenIDToken, error) {
			if token.Reveal() != "old" {
				t.Errorf("the realm got %q, want old", token.Reveal())
			}
			return tokenResponse(), nil
		},
		logout: func(token identity.Secret) error {
			if token.Reveal() != "newest" {
				t.Errorf("the realm got %q, want newest", token.Reveal())
			}
			return nil
		},
	})
	checkEqual(t, s.sendWithoutToken(`mutation { refresh(refreshToken: "old") `+tokenFields+` }`),
		`{"data":{"refresh":`+tokenResponseJSON+`}}`)
	checkEqual(t, s.sendWithoutToken(`mutation { logout(refreshToken: "newest") }`),
		`{"data":{"logout":true}}`)
}

// If the realm returns no refresh token, refreshToken and refreshExpiresIn are null. If the realm
// returns a refresh token that doesn't expire, only refreshExpiresIn is null.
func TestRefresh_missingValues(t *testing.T) {
	response := &identity.OpenIDToken{TokenType: "Bearer", AccessToken: identity.NewSecret("a"),
		Scope: []string{}}
	s := newServer(t,
		fakeRealm{refresh: func(identity.Secret) (*identity.OpenIDToken, error) {
			return response, nil
		}})
	checkEqual(t, s.sendWithoutToken(`mutation { refresh(refreshToken: "t") `+tokenFields+` }`),
		`{"data":{"refresh":{"tokenType":"Bearer","accessToken":"a","expiresIn":0,"refreshToken":null,"refreshExpiresIn":null,"idToken":null,"scope":[]}}}`)
	response.RefreshToken = ptr(identity.NewSecret("endless"))
	checkEqual(t,
		s.sendWithoutToken(`mutation { refresh(refreshToken: "t") { refreshToken `+
			`refreshExpiresIn } }`),
		`{"data":{"refresh":{"refreshToken":"endless","refreshExpiresIn":null}}}`)
}

// If an argument is malformed, the realm isn't called: a call to this fake realm would panic.
func TestResolvers_malformedArgument(t *testing.T) {
	for _, query := range []string{
		`mutation { login(username: "", password: "` + canary + `") { scope } }`,
		`mutation { login(username: "alice", password: "") { scope } }`,
		`mutation { login(username: "alice", password: "` + canary + `", otp: "") { scope } }`,
		`mutation { login(username: "alice\u0000", password: "` + canary + `") { scope } }`,
		`mutation { login(username: "alice", password: "` + canary + `\n") { scope } }`,
		`mutation { login(username: "alice", password: "` + strings.Repeat(canary, 300) +
			`") { scope } }`,
		`mutation { login(username: "` + strings.Repeat(canary, 100) +
			`", password: "p") { scope } }`,
		`mutation { login(username: "alice", password: "p", otp: "` + strings.Repeat(canary, 10) +
			`") { scope } }`,
		`mutation { refresh(refreshToken: "") { scope } }`,
		`mutation { refresh(refreshToken: "` + strings.Repeat(canary, 3000) + `") { scope } }`,
		`mutation { logout(refreshToken: "") }`,
		`mutation { logout(refreshToken: "` + canary + `\t") }`,
	} {
		s := newServer(t, fakeRealm{})
		field, _, _ := strings.Cut(strings.TrimPrefix(query, "mutation { "), "(")
		checkEqual(t, s.sendWithoutToken(query), fmt.Sprintf(
			`{"errors":[{"message":"Request `+
				`malformed!","path":[%q],"locations":[{"line":1,"column":12}],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`, field))
		if s.log.Len() != 0 {
			t.Errorf("logged %s, want nothing", s.log.String())
		}
	}
}

// If the realm refuses a login, clients get the code of the realm's error, but not its text.
func TestLogin_refused(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{identity.ErrBadCredentials,
			`{"message":"Username or password is ` +
				`incorrect!","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID_CREDENTIALS"}}`},
		{identity.ErrAccountDisabled,
			`{"message":"Your account is ` +
				`disabled","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"ACCOUNT_DISABLED"}}`},
		{identity.ErrProviderMisconfigured,
			`{"message":"Sign-in is not ` +
				`available","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"SERVICE_UNAVAILABLE","reason":"IDENTITY_PROVIDER_MISCONFIGURED"}}`},
	} {
		s := newServer(t,
			fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
				return nil, fmt.Errorf("log in: %w: realm responded %s", tt.err, canary)
			}})
		checkEqual(t, s.sendWithoutToken(`mutation { login(username: "alice", password: "p") { `+
			`scope } }`),
			`{"errors":[`+tt.want+`],"data":null}`)
	}
}

// If the realm is unavailable, logout fails instead of returning true.
func TestLogout_failed(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error { return identity.ErrProviderUnavailable }})
	got := s.sendWithoutToken(`mutation { logout(refreshToken: "t") }`)
	if strings.Contains(got, "true") || !strings.Contains(got, "IDENTITY_PROVIDER_UNAVAILABLE") {
		t.Errorf("got %s, want an error and no result", got)
	}
}

// If a panic or an error contains the password, neither the response nor the log contains it.
func TestLogin_passwordInPanic(t *testing.T) {
	for name, realm := range map[string]fakeRealm{
		"panic with the password": {login: func(c identity.Credentials) (*identity.OpenIDToken,
			error) {
			panic("bad: " + c.Password.Reveal())
		}},
		"panic with printed credentials": {login: func(c identity.Credentials) (
			*identity.OpenIDToken, error) {
			panic(fmt.Sprintf("%+v", c))
		}},
		"panic with credentials": {login: func(c identity.Credentials) (*identity.OpenIDToken,
			error) {
			panic(c)
		}},
		"panic with an error": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
			panic(errors.New(c.Password.Reveal()))
		}},
		"returned error": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
			return nil, fmt.Errorf("log in with %+v", c)
		}},
	} {
		for argument, send := range map[string]func(*server) string{
			"variable": func(s *server) string {
				return s.send(nil, nil,
					`mutation ($p: String!) { login(username: "alice", password: $p, otp: "`+canary+
						`") { scope } }`, map[string]any{"p": canary})
			},
			"literal": func(s *server) string {
				return s.sendWithoutToken(`mutation { login(username: "alice", password: "` +
					canary +
					`") { scope } }`)
			},
		} {
			s := newServer(t, realm)
			got := send(s)
			if strings.Contains(got, canary) || !strings.Contains(got, "INTERNAL_SERVER_ERROR") {
				t.Errorf("%s, %s: got %s, want INTERNAL_SERVER_ERROR without the password", name,
					argument, got)
			}
			if s.log.Len() == 0 || strings.Contains(s.log.String(), canary) {
				t.Errorf("%s, %s: logged %s, want a line without the password", name, argument,
					s.log.String())
			}
		}
	}
}

// If two login fields conflict, validation fails and the realm isn't called. The test doesn't check
// the error's message, because package graphqlhttp sets it, and this server doesn't use the
// package.
func TestLogin_fieldConflict(t *testing.T) {
	realmCalled := false
	s := newServer(t, fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
		realmCalled = true
		return tokenResponse(), nil
	}})
	got := s.sendWithoutToken(
		`mutation { login(username: "a", password: "p") { scope } login(username: "b", password: ` +
			`"p") { scope } }`)
	if realmCalled || !strings.Contains(got, `"errors"`) ||
		!strings.Contains(got, `"data":null`) {
		t.Errorf("got %s, and the realm was called: %t; want an error and no call", got,
			realmCalled)
	}
}

// Mutations run one after another, in the order of the document.
func TestLogin_order(t *testing.T) {
	var usernames []string
	s := newServer(t, fakeRealm{login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
		usernames = append(usernames, c.Username)
		return tokenResponse(), nil
	}})
	checkEqual(t,
		s.sendWithoutToken(
			`mutation { x: login(username: "a", password: "p") { scope } y: login(username: "b", `+
				`password: "p") { scope } }`),
		`{"data":{"x":{"scope":["openid","email"]},"y":{"scope":["openid","email"]}}}`)
	if fmt.Sprint(usernames) != "[a b]" {
		t.Errorf("the realm was called in the order %v, want [a b]", usernames)
	}
}

// If the request has no token, every selection of the field me fails with TOKEN_MISSING.
func TestMe_anonymous(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.sendWithoutToken(`{ a: me { id } b: me { id } }`)
	for _, want := range []string{
		`{"message":"Not ` +
			`authenticated","path":["a"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`{"message":"Not ` +
			`authenticated","path":["b"],"locations":[{"line":1,"column":16}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`"data":{"a":null,"b":null}`,
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("got %s\nwant it to contain once %s", got, want)
		}
	}
}

// Even if @auth isn't enforced, the resolver of me fails for unauthenticated callers.
func TestMe_withoutDirective(t *testing.T) {
	for _, want := range []error{identity.ErrTokenMissing, identity.ErrTokenExpired} {
		ctx := context.Background()
		if want != identity.ErrTokenMissing {
			ctx = identity.NewContext(ctx, nil, want)
		}
		if user, err := (&Resolver{}).Query().Me(ctx); user != nil || !errors.Is(err, want) {
			t.Errorf("Me() = %v, %v, want no user and %v", user, err, want)
		}
	}
}

// If the token of a request is invalid, only guarded fields fail: login works even if the client
// still sends an expired token, but me fails with the reason.
func TestResolvers_invalidToken(t *testing.T) {
	s := newServer(t,
		fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
			return tokenResponse(), nil
		}})
	expiredErr := &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp was yesterday"}
	checkEqual(t, s.send(nil, expiredErr,
		`mutation { login(username: "a", password: "p") { scope } }`, nil),
		`{"data":{"login":{"scope":["openid","email"]}}}`)
	checkEqual(t, s.send(nil, expiredErr, `{ me { id } __typename }`, nil),
		`{"errors":[{"message":"Token has `+
			`expired","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_EXPIRED"}}],"data":{"me":null,"__typename":"Query"}}`)
}

// meFields selects every field of me.
const meFields = `{ me { id username email emailVerified name givenName familyName realmRoles clientRoles { client roles } groups
  organizations { alias id groups }
  token { scope expiresAt acr session { id authenticatedAt } impersonated claims } } }`

// me returns every field of a user with all claims.
func TestMe_everyField(t *testing.T) {
	s := newServer(t, fakeRealm{})
	alice := &identity.User{
		ID: "0b7c", Username: ptr("alice"), Email: ptr("alice@example.org"),
		EmailVerified: ptr(false),
		Name:          ptr("Alice Ü. 🔑"), GivenName: ptr("Alice"), FamilyName: ptr("<b>&"),
		RealmRoles: []string{"user", "admin"}, Groups: []string{"/staff"},
		ClientRoles: []identity.ClientRoles{{Client: "account", Roles: []string{"view"}},
			{Client: "api", Roles: []string{}}},
		Organizations: []identity.Organization{
			{Alias: "acme", ID: ptr("a1"), Groups: []string{"/ops"}},
			{Alias: "blue", Groups: []string{}}},
		Token: &identity.TokenInfo{
			Scope: []string{"openid"}, ExpiresAt: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
			ACR: ptr("1"),
			Session: &identity.Session{ID: "s1",
				AuthenticatedAt: ptr(time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC))},
			Impersonated: true,
			Claims:       identity.Claims(`{"sub":"0b7c"}`),
		},
	}
	checkEqual(t, s.send(alice, nil, meFields, nil),
		`{"data":{"me":{"id":"0b7c","username":"alice","email":"alice@example.org","emailVerified":false,`+
			`"name":"Alice Ü. `+
			`🔑","givenName":"Alice","familyName":"\u003cb\u003e\u0026","realmRoles":["user","admin"],`+
			`"clientRoles":[{"client":"account","roles":["view"]},{"client":"api","roles":[]}],"groups":["/staff"],`+
			`"organizations":[{"alias":"acme","id":"a1","groups":["/ops"]},{"alias":"blue","id":null,"groups":[]}],`+
			`"token":{"scope":["openid"],"expiresAt":"2026-01-02T15:04:05Z","acr":"1","session":{"id":"s1","authenticatedAt":"2026-01-02T15:00:00Z"},"impersonated":true,"claims":{"sub":"0b7c"}}}}}`)
}

// For a service account without roles, the optional fields of me are null, and its lists are empty.
func TestMe_serviceAccount(t *testing.T) {
	s := newServer(t, fakeRealm{})
	account := &identity.User{
		ID: "robot", RealmRoles: []string{}, ClientRoles: []identity.ClientRoles{},
		Groups: []string{}, Organizations: []identity.Organization{},
		Token: &identity.TokenInfo{Scope: []string{},
			ExpiresAt: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Claims: identity.Claims(`{}`)},
	}
	checkEqual(t, s.send(account, nil, meFields, nil),
		`{"data":{"me":{"id":"robot","username":null,"email":null,"emailVerified":null,"name":null,"givenName":null,"familyName":null,`+
			`"realmRoles":[],"clientRoles":[],"groups":[],"organizations":[],"token":{"scope":[],"expiresAt":"2026-01-02T15:04:05Z","acr":null,"session":null,"impersonated":false,"claims":{}}}}}`)
	account.Token = nil
	checkEqual(t, s.send(account, nil, `{ me { token { scope } } }`, nil),
		`{"data":{"me":{"token":null}}}`)
}

// The field claims returns the claims exactly as they were signed: numbers aren't rounded, and the
// order of fields doesn't change.
func TestMe_claims(t *testing.T) {
	const claims = `{"z":1,"a":12345678901234567890123,"f":1.0,"e":1e400,"nested":{"list":[null,true,{"x":"ü\u0041"}]},"z2":""}`
	s := newServer(t, fakeRealm{})
	alice := &identity.User{ID: "alice",
		Token: &identity.TokenInfo{Claims: identity.Claims(claims)}}
	checkEqual(t, s.send(alice, nil, `{ me { token { claims } } }`, nil),
		`{"data":{"me":{"token":{"claims":`+claims+`}}}}`)
}
