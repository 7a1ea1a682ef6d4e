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

const allOfToken = `{ tokenType accessToken expiresIn refreshToken refreshExpiresIn idToken scope }`

func tokens() *identity.OpenIDToken {
	return &identity.OpenIDToken{
		TokenType: "Bearer", AccessToken: identity.NewSecret("access"), ExpiresIn: 300,
		RefreshToken: ptr(identity.NewSecret("refresh")), RefreshExpiresIn: ptr(1800),
		IDToken: ptr(identity.NewSecret("id")), Scope: []string{"openid", "email"},
	}
}

const allOfTokens = `{"tokenType":"Bearer","accessToken":"access","expiresIn":300,"refreshToken":"refresh","refreshExpiresIn":1800,"idToken":"id","scope":["openid","email"]}`

func TestLoginHandsTheArgumentsOn(t *testing.T) {
	const hostile = "a&b+c%20d\"e\\f ü🔑 "
	for _, otp := range []any{nil, "123456"} {
		var got identity.Credentials
		s := newServer(t,
			fakeRealm{login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
				got = c
				return tokens(), nil
			}})
		check(t,
			s.ask(nil, nil,
				`mutation ($u: String!, $p: String!, $o: String) { login(username: $u, password: $p, otp: $o) `+allOfToken+` }`,
				map[string]any{"u": " Alice@Example.org", "p": hostile, "o": otp}),
			`{"data":{"login":`+allOfTokens+`}}`)
		want, _ := otp.(string)
		if got.Username != " Alice@Example.org" || got.Password.Reveal() != hostile ||
			got.OTP.Reveal() != want {
			t.Errorf("the realm got %q, %q, %q", got.Username, got.Password.Reveal(),
				got.OTP.Reveal())
		}
	}
}

func TestLoginWithoutACodeAndWithLiterals(t *testing.T) {
	s := newServer(t, fakeRealm{login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
		if c.Username != "alice" || c.Password.Reveal() != "p" || c.OTP.Reveal() != "" {
			t.Errorf("the realm got %q, %q, %q", c.Username, c.Password.Reveal(), c.OTP.Reveal())
		}
		return tokens(), nil
	}})
	check(t, s.anonymous(`mutation { login(username: "alice", password: "p") { accessToken } }`),
		`{"data":{"login":{"accessToken":"access"}}}`)
}

func TestRefreshAndLogoutHandTheTokenOn(t *testing.T) {
	s := newServer(t, fakeRealm{
		refresh: func(token identity.Secret) (*identity.OpenIDToken, error) {
			if token.Reveal() != "old" {
				t.Errorf("the realm got %q", token.Reveal())
			}
			return tokens(), nil
		},
		logout: func(token identity.Secret) error {
			if token.Reveal() != "newest" {
				t.Errorf("the realm got %q", token.Reveal())
			}
			return nil
		},
	})
	check(t, s.anonymous(`mutation { refresh(refreshToken: "old") `+allOfToken+` }`),
		`{"data":{"refresh":`+allOfTokens+`}}`)
	check(t, s.anonymous(`mutation { logout(refreshToken: "newest") }`), `{"data":{"logout":true}}`)
}

// Where the realm gives no refresh token, or one without end, there is nothing to count down.
func TestWhatTheRealmLeavesOutIsNull(t *testing.T) {
	bare := &identity.OpenIDToken{TokenType: "Bearer", AccessToken: identity.NewSecret("a"),
		Scope: []string{}}
	s := newServer(t,
		fakeRealm{refresh: func(identity.Secret) (*identity.OpenIDToken, error) {
			return bare, nil
		}})
	check(t, s.anonymous(`mutation { refresh(refreshToken: "t") `+allOfToken+` }`),
		`{"data":{"refresh":{"tokenType":"Bearer","accessToken":"a","expiresIn":0,"refreshToken":null,"refreshExpiresIn":null,"idToken":null,"scope":[]}}}`)
	bare.RefreshToken = ptr(identity.NewSecret("endless"))
	check(t,
		s.anonymous(`mutation { refresh(refreshToken: "t") { refreshToken refreshExpiresIn } }`),
		`{"data":{"refresh":{"refreshToken":"endless","refreshExpiresIn":null}}}`)
}

// The realm's methods are nil: a call would panic, and show.
func TestBadInputNeverReachesTheRealm(t *testing.T) {
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
		check(t, s.anonymous(query), fmt.Sprintf(
			`{"errors":[{"message":"Request malformed!","path":[%q],"locations":[{"line":1,"column":12}],"extensions":{"code":"BAD_USER_INPUT"}}],"data":null}`, field))
		if s.log.Len() != 0 {
			t.Errorf("logged %s", s.log.String())
		}
	}
}

// Everything before the password proved right answers alike, byte for byte; the rest has its code.
func TestTheRealmsRefusals(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{identity.ErrBadCredentials, `{"message":"Username or password is incorrect!","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"INVALID_CREDENTIALS"}}`},
		{identity.ErrAccountDisabled, `{"message":"Your account is disabled","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"ACCOUNT_DISABLED"}}`},
		{identity.ErrProviderMisconfigured, `{"message":"Sign-in is not available","path":["login"],"locations":[{"line":1,"column":12}],"extensions":{"code":"SERVICE_UNAVAILABLE","reason":"IDENTITY_PROVIDER_MISCONFIGURED"}}`},
	} {
		s := newServer(t,
			fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
				return nil, fmt.Errorf("log in: %w: realm says %s", tt.err, canary)
			}})
		check(t, s.anonymous(`mutation { login(username: "alice", password: "p") { scope } }`),
			`{"errors":[`+tt.want+`],"data":null}`)
	}
}

// logout says true only when the session has ended.
func TestLogoutIsNeverTrueAndAnError(t *testing.T) {
	s := newServer(t,
		fakeRealm{logout: func(identity.Secret) error { return identity.ErrProviderUnavailable }})
	got := s.anonymous(`mutation { logout(refreshToken: "t") }`)
	if strings.Contains(got, "true") || !strings.Contains(got, "IDENTITY_PROVIDER_UNAVAILABLE") {
		t.Errorf("%s", got)
	}
}

// A password that someone put into a panic reaches nobody.
func TestAPasswordInAPanicReachesNobody(t *testing.T) {
	for name, realm := range map[string]fakeRealm{
		"revealed": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) { panic("bad: " + c.Password.Reveal()) }},
		"printed": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
			panic(fmt.Sprintf("%+v", c))
		}},
		"as it is": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) { panic(c) }},
		"error": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
			panic(errors.New(c.Password.Reveal()))
		}},
		// Nor one that was printed with care into an error.
		"returned": {login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
			return nil, fmt.Errorf("log in with %+v", c)
		}},
	} {
		for how, ask := range map[string]func(*server) string{
			"variable": func(s *server) string {
				return s.ask(nil, nil,
					`mutation ($p: String!) { login(username: "alice", password: $p, otp: "`+canary+
						`") { scope } }`, map[string]any{"p": canary})
			},
			"literal": func(s *server) string {
				return s.anonymous(`mutation { login(username: "alice", password: "` + canary +
					`") { scope } }`)
			},
		} {
			s := newServer(t, realm)
			got := ask(s)
			if strings.Contains(got, canary) || !strings.Contains(got, "INTERNAL_SERVER_ERROR") {
				t.Errorf("%s, %s: %s", name, how, got)
			}
			if s.log.Len() == 0 || strings.Contains(s.log.String(), canary) {
				t.Errorf("%s, %s: logged %s", name, how, s.log.String())
			}
		}
	}
}

// Two fields of one name can't both be answered: the document is refused, and the realm not asked.
// The words for it are graphqlhttp's, which isn't here.
func TestAFieldConflictAsksNobody(t *testing.T) {
	asked := false
	s := newServer(t, fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
		asked = true
		return tokens(), nil
	}})
	got := s.anonymous(
		`mutation { login(username: "a", password: "p") { scope } login(username: "b", password: "p") { scope } }`)
	if asked || !strings.Contains(got, `"errors"`) || !strings.Contains(got, `"data":null`) {
		t.Errorf("asked: %t, %s", asked, got)
	}
}

// Mutations run one after the other, in the order of the document.
func TestTwoLoginsUnderTwoNames(t *testing.T) {
	var order []string
	s := newServer(t, fakeRealm{login: func(c identity.Credentials) (*identity.OpenIDToken, error) {
		order = append(order, c.Username)
		return tokens(), nil
	}})
	check(t,
		s.anonymous(
			`mutation { x: login(username: "a", password: "p") { scope } y: login(username: "b", password: "p") { scope } }`),
		`{"data":{"x":{"scope":["openid","email"]},"y":{"scope":["openid","email"]}}}`)
	if fmt.Sprint(order) != "[a b]" {
		t.Errorf("the realm was asked in the order %v", order)
	}
}

func TestMeWithoutATokenIsAnErrorForEachAlias(t *testing.T) {
	s := newServer(t, fakeRealm{})
	got := s.anonymous(`{ a: me { id } b: me { id } }`)
	for _, want := range []string{
		`{"message":"Not authenticated","path":["a"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`{"message":"Not authenticated","path":["b"],"locations":[{"line":1,"column":16}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"}}`,
		`"data":{"a":null,"b":null}`,
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%s\nwant once %s", got, want)
		}
	}
}

// A denied me is an error even where the schema's guard is gone.
func TestMeDeniesByItself(t *testing.T) {
	for _, want := range []error{identity.ErrTokenMissing, identity.ErrTokenExpired} {
		ctx := context.Background()
		if want != identity.ErrTokenMissing {
			ctx = identity.NewContext(ctx, nil, want)
		}
		if user, err := (&Resolver{}).Query().Me(ctx); user != nil || !errors.Is(err, want) {
			t.Errorf("Me() = %v, %v, want %v", user, err, want)
		}
	}
}

// login works while an expired header is still attached; me doesn't, and says why.
func TestABadTokenStopsGuardedFieldsAlone(t *testing.T) {
	s := newServer(t,
		fakeRealm{login: func(identity.Credentials) (*identity.OpenIDToken, error) {
			return tokens(), nil
		}})
	expired := &identity.Error{Reason: identity.ErrTokenExpired, Detail: "exp was yesterday"}
	check(t, s.ask(nil, expired, `mutation { login(username: "a", password: "p") { scope } }`, nil),
		`{"data":{"login":{"scope":["openid","email"]}}}`)
	check(t, s.ask(nil, expired, `{ me { id } __typename }`, nil),
		`{"errors":[{"message":"Token has expired","path":["me"],"locations":[{"line":1,"column":3}],"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_EXPIRED"}}],"data":{"me":null,"__typename":"Query"}}`)
}

const allOfMe = `{ me { id username email emailVerified name givenName familyName realmRoles clientRoles { client roles } groups
  token { scope expiresAt acr session { id authenticatedAt } claims } } }`

func TestMeShowsEveryField(t *testing.T) {
	s := newServer(t, fakeRealm{})
	alice := &identity.User{
		ID: "0b7c", Username: ptr("alice"), Email: ptr("alice@example.org"),
		EmailVerified: ptr(false),
		Name:          ptr("Alice Ü. 🔑"), GivenName: ptr("Alice"), FamilyName: ptr("<b>&"),
		RealmRoles: []string{"user", "admin"}, Groups: []string{"/staff"},
		ClientRoles: []identity.ClientRoles{{Client: "account", Roles: []string{"view"}},
			{Client: "api", Roles: []string{}}},
		Token: &identity.TokenInfo{
			Scope: []string{"openid"}, ExpiresAt: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
			ACR: ptr("1"),
			Session: &identity.Session{ID: "s1",
				AuthenticatedAt: ptr(time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC))},
			Claims: identity.Claims(`{"sub":"0b7c"}`),
		},
	}
	check(t, s.ask(alice, nil, allOfMe, nil),
		`{"data":{"me":{"id":"0b7c","username":"alice","email":"alice@example.org","emailVerified":false,`+
			`"name":"Alice Ü. 🔑","givenName":"Alice","familyName":"\u003cb\u003e\u0026","realmRoles":["user","admin"],`+
			`"clientRoles":[{"client":"account","roles":["view"]},{"client":"api","roles":[]}],"groups":["/staff"],`+
			`"token":{"scope":["openid"],"expiresAt":"2026-01-02T15:04:05Z","acr":"1","session":{"id":"s1","authenticatedAt":"2026-01-02T15:00:00Z"},"claims":{"sub":"0b7c"}}}}}`)
}

func TestMeOfAServiceAccountLeavesOutWhatTheTokenDoes(t *testing.T) {
	s := newServer(t, fakeRealm{})
	robot := &identity.User{
		ID: "robot", RealmRoles: []string{}, ClientRoles: []identity.ClientRoles{},
		Groups: []string{},
		Token: &identity.TokenInfo{Scope: []string{},
			ExpiresAt: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), Claims: identity.Claims(`{}`)},
	}
	check(t, s.ask(robot, nil, allOfMe, nil),
		`{"data":{"me":{"id":"robot","username":null,"email":null,"emailVerified":null,"name":null,"givenName":null,"familyName":null,`+
			`"realmRoles":[],"clientRoles":[],"groups":[],"token":{"scope":[],"expiresAt":"2026-01-02T15:04:05Z","acr":null,"session":null,"claims":{}}}}}`)
	robot.Token = nil
	check(t, s.ask(robot, nil, `{ me { token { scope } } }`, nil), `{"data":{"me":{"token":null}}}`)
}

// Claims come out as they were signed: no number is rounded, no member moved.
func TestClaimsPassUnchanged(t *testing.T) {
	const claims = `{"z":1,"a":12345678901234567890123,"f":1.0,"e":1e400,"nested":{"list":[null,true,{"x":"ü\u0041"}]},"z2":""}`
	s := newServer(t, fakeRealm{})
	alice := &identity.User{ID: "alice",
		Token: &identity.TokenInfo{Claims: identity.Claims(claims)}}
	check(t, s.ask(alice, nil, `{ me { token { claims } } }`, nil),
		`{"data":{"me":{"token":{"claims":`+claims+`}}}}`)
}
