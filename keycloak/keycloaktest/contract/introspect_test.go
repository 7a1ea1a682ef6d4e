package contract

import (
	"net/http"
	"testing"
)

// TestIntrospect records token introspection (RFC 7662).
func TestIntrospect(t *testing.T) {
	run(t, "introspect", func(suite *testSuite) {
		groupsMapper := mapperJSON("groups", "oidc-group-membership-mapper", object{
			"claim.name": "groups", "full.path": "true", "access.token.claim": "true",
			"introspection.token.claim": "true"})
		serverClient := clientJSON("server",
			object{"protocolMappers": []object{audienceMapper("server"), groupsMapper}})
		r := suite.addRealm(realmJSON(object{
			"revokeRefreshToken": true,
			"groups":             []object{{"name": "staff"}},
			"roles":              object{"realm": []object{{"name": "clerk"}}},
		}, serverClient,
			clientJSON("lightweight", object{
				"attributes": object{"client.use.lightweight.access.token.enabled": "true"},
				"protocolMappers": []object{audienceMapper("lightweight"),
					audienceMapper("server")},
			}),
			clientJSON("brief", object{
				"attributes":      object{"access.token.lifespan": "10"},
				"protocolMappers": []object{audienceMapper("brief")},
			}),
			clientJSON("robot",
				object{"serviceAccountsEnabled": true,
					"protocolMappers": []object{audienceMapper("robot")}}),
			clientJSON("bearer", object{"bearerOnly": true}),
		))
		creds := clientParams("server")
		addIntrospectTokens(suite, r, creds)
		addIntrospectInactive(suite, r, creds)
		addRejectedIntrospections(suite, r, creds)
		addIntrospectAudience(suite)
	})
}

// addIntrospectAudience adds scenarios in which the audience of a token changes after its issue.
func addIntrospectAudience(suite *testSuite) {
	mapper := merge(audienceMapper("hidden"), object{})
	mapper["config"] = merge(mapper["config"].(object),
		object{"introspection.token.claim": "false"})
	representation := realmJSON(object{
		"roles": object{"client": object{"server": []object{{"name": "clerk"}}}},
	}, clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}}),
		clientJSON("hidden", object{"protocolMappers": []object{mapper}}),
		clientJSON("other", object{"protocolMappers": []object{audienceMapper("other")}}))
	r := suite.addRealm(representation)
	clerk := roleRef{client: "server", name: "clerk"}
	suite.add("audience: a mapper that isn't for introspection", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), clientParams("hidden")...)
		s.recordFields(s.introspect(r, "hidden", tokens.field("access_token")), "active", "aud")
	})
	suite.add("audience: a role given after the token", func(s *scenario) {
		u := s.addUser(r, nil)
		tokens := s.login(u, clientParams("other")...)
		s.must(s.kc.grantRole(u.userRef, clerk))
		s.recordActiveState("by the role's client",
			s.introspect(r, "server", tokens.field("access_token")))
		s.recordFields(s.introspect(r, "other", tokens.field("access_token")), "active", "aud")
	})
	suite.add("audience: a role removed after the token", func(s *scenario) {
		u := s.addUser(r, nil)
		s.must(s.kc.grantRole(u.userRef, clerk))
		tokens := s.login(u, clientParams("other")...)
		s.must(s.kc.revokeRole(u.userRef, clerk))
		s.recordFields(s.introspect(r, "server", tokens.field("access_token")), "active", "aud")
	})
	suite.add("audience: a mapper removed after the token", func(s *scenario) {
		r := s.importRealm(representation)
		tokens := s.login(s.addUser(r, nil), clientParams("other")...)
		r.patchClient(s, "other", object{"protocolMappers": []object{}})
		s.recordFields(s.introspect(r, "other", tokens.field("access_token")), "active", "aud")
	})
	suite.add("audience: an ID token", func(s *scenario) {
		u := s.addUser(r, nil)
		s.must(s.kc.grantRole(u.userRef, clerk))
		tokens := s.login(u, clientParams("hidden")...)
		s.recordFields(s.introspect(r, "hidden", tokens.field("id_token")), "active", "aud")
		s.recordActiveState("by the role's client",
			s.introspect(r, "server", tokens.field("id_token")))
	})
}

func addIntrospectTokens(suite *testSuite, r *realm, creds []string) {
	suite.add("access token", func(s *scenario) {
		u := s.addUser(r, object{"groups": []string{"/staff"}})
		s.record(s.introspect(r, "server", s.login(u, creds...).field("access_token")))
	})
	suite.add("access token, basic authentication", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), creds...)
		s.recordActiveState("introspection",
			s.post(r.endpoint("/token/introspect"), form("token", tokens.field("access_token")),
				"Authorization", basicAuth("server", "server-secret")))
	})
	suite.add("access token of a code", func(s *scenario) {
		code := s.code(s.addUser(r, nil), "client_id", "server")
		resp := s.introspect(r, "server",
			s.token(r, codeGrant(code, creds...)).mustOK().field("access_token"))
		s.note("active %t, auth_time there: %t, acr %v", resp.value("active"),
			resp.value("auth_time") != nil, resp.value("acr"))
	})
	suite.add("access token without openid", func(s *scenario) {
		tokens := s.token(r, passwordGrant(s.addUser(r, nil), creds...)).mustOK()
		resp := s.introspect(r, "server", tokens.field("access_token"))
		s.note("active %t, scope %s", resp.value("active"),
			s.normalizeValue("scope", resp.field("scope")))
	})
	suite.add("access token of another client", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		s.record(s.introspect(r, "server", tokens.field("access_token")))
	})
	suite.add("own access token, not in its audience", func(s *scenario) {
		s.record(s.introspect(r, "api", s.login(s.addUser(r, nil)).field("access_token")))
	})
	suite.add("ID token", func(s *scenario) {
		s.record(s.introspect(r, "server", s.login(s.addUser(r, nil), creds...).field("id_token")))
	})
	suite.add("refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), creds...)
		s.recordBody(s.introspect(r, "server", tokens.field("refresh_token")))
		s.record(s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
			"refresh_token"))
	})
	suite.add("used refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), creds...)
		refreshed := s.refresh(r, tokens, creds...).mustOK()
		s.recordActiveState("used",
			s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
				"refresh_token"))
		s.recordActiveState("newer",
			s.introspect(r, "server", refreshed.field("refresh_token"), "token_type_hint",
				"refresh_token"))
		s.recordActiveState("older access token",
			s.introspect(r, "server", tokens.field("access_token")))
	})
	suite.add("another client's refresh token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil))
		s.recordActiveState("introspection",
			s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
				"refresh_token"))
	})
	suite.add("hints", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), creds...)
		s.recordActiveState("access_token",
			s.introspect(r, "server", tokens.field("access_token"), "token_type_hint",
				"access_token"))
		s.recordActiveState("refresh_token for an access token",
			s.introspect(r, "server", tokens.field("access_token"), "token_type_hint",
				"refresh_token"))
		s.record(s.introspect(r, "server", tokens.field("access_token"), "token_type_hint",
			"bogus"))
	})
	suite.add("lightweight token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), clientParams("lightweight")...)
		s.recordToken(tokens, "access_token")
		s.record(s.introspect(r, "lightweight", tokens.field("access_token")))
		s.recordActiveState("by another audience",
			s.introspect(r, "server", tokens.field("access_token")))
		s.recordActiveState("by no audience", s.introspect(r, "api", tokens.field("access_token")))
	})
	suite.add("role given after the token", func(s *scenario) {
		u := s.addUser(r, nil)
		tokens := s.login(u, creds...)
		s.must(s.kc.grantRole(u.userRef, roleRef{name: "clerk"}))
		resp := s.introspect(r, "server", tokens.field("access_token"))
		s.note("realm_access now %s", s.render("", resp.value("realm_access"), timing{}, ""))
	})
	suite.add("user changed after the token", func(s *scenario) {
		u := s.addUser(r, nil)
		tokens := s.login(u, creds...)
		s.must(s.kc.patchUser(u.userRef, object{"firstName": "New"}))
		resp := s.introspect(r, "server", tokens.field("access_token"))
		s.note("given_name now %v", resp.value("given_name"))
	})
	suite.add("service account", func(s *scenario) {
		tokens := s.token(r, clientCredentialsGrant("robot")).mustOK()
		s.record(s.introspect(r, "robot", tokens.field("access_token")))
	})
	suite.add("offline token", func(s *scenario) {
		tokens := s.login(s.addUser(r, nil), append(creds, "scope", "openid offline_access")...)
		s.recordActiveState("access token", s.introspect(r, "server", tokens.field("access_token")))
		s.recordBody(s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
			"refresh_token"))
	})
}

func addIntrospectInactive(suite *testSuite, r *realm, creds []string) {
	addInactive := func(name string, invalidate func(s *scenario, u *user, tokens response)) {
		suite.add(name, func(s *scenario) {
			u := s.addUser(r, nil)
			tokens := s.login(u, creds...)
			invalidate(s, u, tokens)
			s.recordActiveState("access token",
				s.introspect(r, "server", tokens.field("access_token")))
			s.recordActiveState("refresh token",
				s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
		})
	}
	suite.add("invalid tokens", func(s *scenario) {
		s.record(s.introspect(r, "server", "garbage"))
		s.recordActiveState("empty", s.introspect(r, "server", ""))
		s.recordActiveState("unsigned", s.introspect(r, "server", unsignedToken(r.url(""))))
	})
	suite.add("expired", func(s *scenario) {
		done := s.setDeadline(seconds(9))
		tokens := s.login(s.addUser(r, nil), clientParams("brief")...)
		s.recordActiveState("at once", s.introspect(r, "brief", tokens.field("access_token")))
		done()
		s.wait(seconds(12))
		s.record(s.introspect(r, "brief", tokens.field("access_token")))
	})
	addInactive("logged out", func(s *scenario, u *user, tokens response) {
		s.logout(r, tokens.field("refresh_token"), creds...)
	})
	addInactive("access token revoked", func(s *scenario, u *user, tokens response) {
		s.revoke(r, tokens.field("access_token"), creds...)
	})
	addInactive("refresh token revoked", func(s *scenario, u *user, tokens response) {
		s.revoke(r, tokens.field("refresh_token"), creds...)
	})
	addInactive("session ended", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.endSession(sessionRef{realm: r.name, sid: tokens.field("session_state")}))
	})
	addInactive("user disabled", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
	})
	addInactive("user deleted", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.deleteUser(u.userRef))
	})
	addInactive("user enabled again", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.patchUser(u.userRef, object{"enabled": false}))
		s.must(s.kc.patchUser(u.userRef, object{"enabled": true}))
	})
	addInactive("password reset", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.resetPassword(u.userRef, "another"))
	})
	addInactive("required action added", func(s *scenario, u *user, tokens response) {
		s.must(s.kc.patchUser(u.userRef,
			object{"requiredActions": []string{"UPDATE_PASSWORD"}}))
	})
	for _, checkbox := range []string{"on", "off"} {
		addInactive("password changed, sign out from other devices "+checkbox,
			func(s *scenario, u *user, tokens response) {
				b := s.newBrowser()
				b.login(u, "client_id", "server")
				page := b.open(r.authURL("client_id", "server", "kc_action", "UPDATE_PASSWORD"))
				s.recordPageOrRedirect(b.submit(page, "password-new", "another",
					"password-confirm", "another", "logout-sessions", checkbox))
			})
	}
	suite.add("a session isn't used by introspection", func(s *scenario) {
		r := s.importRealm(realmJSON(object{"ssoSessionIdleTimeout": 10},
			clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}})))
		done := s.setDeadline(seconds(9))
		tokens := s.login(s.addUser(r, nil), creds...)
		s.wait(seconds(6))
		s.recordActiveState("after 6 s", s.introspect(r, "server", tokens.field("access_token")))
		done()
		s.wait(seconds(6))
		s.recordActiveState("after 12 s", s.introspect(r, "server", tokens.field("access_token")))
	})
}

func addRejectedIntrospections(suite *testSuite, r *realm, creds []string) {
	addRejectedRequest := func(name string, send func(s *scenario, token string) response) {
		suite.add("refused: "+name, func(s *scenario) {
			s.record(send(s, s.login(s.addUser(r, nil), creds...).field("access_token")))
		})
	}
	addRejectedRequest("wrong secret", func(s *scenario, token string) response {
		return s.introspect(r, "server", token, "client_secret", "wrong")
	})
	addRejectedRequest("no secret", func(s *scenario, token string) response {
		return s.post(r.endpoint("/token/introspect"), form("client_id", "server", "token", token))
	})
	addRejectedRequest("wrong secret, basic authentication",
		func(s *scenario, token string) response {
			return s.post(r.endpoint("/token/introspect"), form("token", token), "Authorization",
				basicAuth("server", "wrong"))
		})
	addRejectedRequest("unknown client", func(s *scenario, token string) response {
		return s.introspect(r, "nope", token)
	})
	addRejectedRequest("no client", func(s *scenario, token string) response {
		return s.post(r.endpoint("/token/introspect"), form("token", token))
	})
	addRejectedRequest("bearer instead of a client", func(s *scenario, token string) response {
		return s.post(r.endpoint("/token/introspect"), form("token", token), "Authorization",
			"Bearer "+token)
	})
	addRejectedRequest("public client", func(s *scenario, token string) response {
		return s.post(r.endpoint("/token/introspect"), form("client_id", "spa", "token", token))
	})
	suite.add("bearer-only client", func(s *scenario) {
		token := s.login(s.addUser(r, nil), creds...).field("access_token")
		s.record(s.introspect(r, "bearer", token))
	})
	addRejectedRequest("no token", func(s *scenario, token string) response {
		return s.post(r.endpoint("/token/introspect"), clientForm("server"))
	})
	addRejectedRequest("token twice", func(s *scenario, token string) response {
		values := withParams(clientForm("server"), "token", token)
		values.Add("token", token)
		return s.post(r.endpoint("/token/introspect"), values)
	})
	addRejectedRequest("GET", func(s *scenario, token string) response {
		return s.send(http.MethodGet, r.endpoint("/token/introspect"), "")
	})
}
