package contract

import (
	"net/http"
	"testing"
)

// TestImpersonation records the tokens that an application gets while an administrator impersonates
// a user.
func TestImpersonation(t *testing.T) {
	run(t, "impersonation", func(suite *testSuite) {
		noteMapper := func(note, claim string) object {
			return mapperJSON(claim, "oidc-usersessionmodel-note-mapper",
				object{"user.session.note": note, "claim.name": claim, "jsonType.label": "String",
					"access.token.claim": "true", "id.token.claim": "true"})
		}
		r := suite.addRealm(realmJSON(nil,
			clientJSON("plain", object{"protocolMappers": []object{audienceMapper("plain")}}),
			clientJSON("acting", object{"protocolMappers": []object{audienceMapper("acting"),
				noteMapper("IMPERSONATOR_ID", "act.sub"),
				noteMapper("IMPERSONATOR_USERNAME", "actor")}})))
		for _, client := range []string{"plain", "acting"} {
			suite.add(client, func(s *scenario) {
				u, administrator := s.addUser(r, nil), s.addUser(r, nil)
				s.must(s.kc.grantRole(administrator.userRef,
					roleRef{"realm-management", "impersonation"}))
				tokens := s.impersonate(u, administrator, client)
				s.recordToken(tokens, "access_token")
				s.recordToken(tokens, "id_token")
				s.recordIntrospection(r, client, tokens)
				s.recordFields(s.userinfo(r, tokens).mustOK(), "act", "actor", "sub")
				refreshed := s.refresh(r, tokens, clientParams(client)...).mustOK()
				s.recordClaims(refreshed, "access_token", "acr", "act", "actor", "jti")
				s.recordIntrospection(r, client, refreshed)
				own := s.login(u, clientParams(client)...)
				s.recordClaims(own, "access_token", "act", "actor")
				s.recordIntrospection(r, client, own)
			})
		}
	})
}

// recordIntrospection records who acts as the user, according to introspection.
func (s *scenario) recordIntrospection(r *realm, client string, tokens response) {
	s.Helper()
	s.recordFields(s.introspect(r, client, tokens.field("access_token")).mustOK(), "active", "act",
		"actor")
}

// impersonate returns the tokens that a client gets while the administrator impersonates the user
// in the browser.
func (s *scenario) impersonate(u, administrator *user, client string) response {
	s.Helper()
	if fake, ok := s.kc.(*fakeServer); ok {
		w := window{s.kc.now(), s.kc.now(), s.waited}
		tokens, err := fake.mustRealm(u.realm.name).Impersonate(client, u.username,
			administrator.username)
		s.must(err)
		body := string(mustMarshal(object{"access_token": tokens.AccessToken,
			"id_token": tokens.IDToken, "refresh_token": tokens.RefreshToken}))
		s.storeWindows(body, w)
		return response{scenario: s, status: http.StatusOK, body: body, window: w}
	}
	b := s.newBrowser()
	s.sendWith(b.client, http.MethodPost,
		s.kc.baseURL()+"/admin/realms/"+u.realm.name+"/users/"+u.id+"/impersonation", "",
		"Authorization", "Bearer "+s.login(administrator).field("access_token"),
		"Accept", "application/json").mustOK()
	redirect := b.open(u.realm.authURL("client_id", client, "prompt", "none"))
	return s.token(u.realm,
		codeGrant(redirect.redirectQuery().Get("code"), clientParams(client)...)).mustOK()
}
