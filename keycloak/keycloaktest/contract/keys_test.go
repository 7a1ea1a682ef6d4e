package contract

import (
	"slices"
	"testing"
)

// TestKeys records which tokens stay valid after keys are added, disabled and removed.
func TestKeys(t *testing.T) {
	run(t, "keys", func(suite *testSuite) {
		representation := realmJSON(nil,
			clientJSON("server", object{"protocolMappers": []object{audienceMapper("server")}}))
		creds := clientParams("server")
		newerKey := keyProvider{name: "newer", provider: "rsa-generated",
			config: map[string]string{"priority": "200"}}
		// recordTokens records which requests still accept the tokens, and whether the same keys
		// sign new tokens.
		recordTokens := func(s *scenario, r *realm, tokens response) {
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordActiveState("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			refreshed := s.refresh(r, tokens, creds...)
			s.recordOutcome("refresh", refreshed)
			if refreshed.status == 200 {
				s.note("signed by the same key: %t",
					kidOf(refreshed.field("access_token")) == kidOf(tokens.field("access_token")))
				s.note("the refresh token by the same key: %t",
					kidOf(refreshed.field("refresh_token")) == kidOf(tokens.field("refresh_token")))
				s.recordOutcome("userinfo with the next", s.userinfo(r, refreshed))
			}
		}
		suite.add("newer key", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			oldPublicKey := s.get(r.url("")).field("public_key")
			s.addKey(r, newerKey)
			s.record(s.get(r.endpoint("/certs")))
			s.note("realm info has the same key: %t",
				s.get(r.url("")).field("public_key") == oldPublicKey)
			recordTokens(s, r, tokens)
		})
		suite.add("key of lower priority", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			s.addKey(r,
				keyProvider{name: "older", provider: "rsa-generated",
					config: map[string]string{"priority": "1"}})
			s.recordKeys(r)
			recordTokens(s, r, tokens)
		})
		addReplacedKey := func(name string,
			retire func(s *scenario, r *realm, oldKey keyProvider)) {
			suite.add(name, func(s *scenario) {
				r := s.importRealm(representation)
				tokens := s.login(s.addUser(r, nil), creds...)
				oldKey := s.keyProvider(r, "given")
				s.addKey(r, newerKey)
				retire(s, r, oldKey)
				s.recordKeys(r)
				recordTokens(s, r, tokens)
			})
		}
		addReplacedKey("old key is passive", func(s *scenario, r *realm, oldKey keyProvider) {
			oldKey.config = map[string]string{"active": "false"}
			s.must(s.kc.patchKeyProvider(r.name, oldKey))
		})
		addReplacedKey("old key is disabled", func(s *scenario, r *realm, oldKey keyProvider) {
			oldKey.config = map[string]string{"enabled": "false"}
			s.must(s.kc.patchKeyProvider(r.name, oldKey))
		})
		addReplacedKey("old key is removed", func(s *scenario, r *realm, oldKey keyProvider) {
			s.must(s.kc.removeKeyProvider(r.name, oldKey.id))
		})
		suite.add("last key is removed", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			s.must(s.kc.removeKeyProvider(r.name, s.keyProvider(r, "given").id))
			recordTokens(s, r, tokens)
			s.recordKeys(r)
		})
		suite.add("hint signed by a removed key", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			s.addKey(r, newerKey)
			s.must(s.kc.removeKeyProvider(r.name, s.keyProvider(r, "given").id))
			s.recordPageOrRedirect(
				s.newBrowser().open(r.logoutURL("id_token_hint", tokens.field("id_token"))))
		})
		suite.add("HMAC key is removed", func(s *scenario) {
			r := s.importRealm(representation)
			u := s.addUser(r, nil)
			b := s.newBrowser()
			code := b.login(u, "client_id", "server").redirectQuery().Get("code")
			tokens := s.token(r, codeGrant(code, creds...)).mustOK()
			s.must(s.kc.removeKeyProvider(r.name, s.keyProvider(r, "hmac-generated-hs512").id))
			s.record(s.refresh(r, tokens, creds...))
			s.recordOutcome("userinfo", s.userinfo(r, tokens))
			s.recordOutcome("logout", s.logout(r, tokens.field("refresh_token"), creds...))
			s.recordActiveState("introspection of the refresh token",
				s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
			s.recordPageOrRedirect(b.open(r.authURL("prompt", "none")))
			newTokens := s.login(u, creds...)
			s.recordOutcome("refresh of a new login", s.refresh(r, newTokens, creds...))
			s.recordProviders(r)
		})
		suite.add("newer HMAC key", func(s *scenario) {
			r := s.importRealm(representation)
			tokens := s.login(s.addUser(r, nil), creds...)
			s.addKey(r,
				keyProvider{name: "newer", provider: "hmac-generated",
					config: map[string]string{"priority": "200", "algorithm": "HS512"}})
			recordTokens(s, r, tokens)
		})
		for _, row := range []struct{ alg, provider, setting, value string }{
			{"ES256", "ecdsa-generated", "ecdsaEllipticCurveKey", "P-256"},
			{"EdDSA", "eddsa-generated", "eddsaEllipticCurveKey", "Ed25519"},
			{"PS256", "rsa-generated", "algorithm", "PS256"},
		} {
			suite.add("client that wants "+row.alg, func(s *scenario) {
				r := s.importRealm(representation)
				u := s.addUser(r, nil)
				s.addKey(r,
					keyProvider{name: "curve", provider: row.provider,
						config: map[string]string{"priority": "200", row.setting: row.value}})
				r.patchClient(s, "server",
					object{"attributes": object{"access.token.signed.response.alg": row.alg}})
				s.record(s.get(r.endpoint("/certs")))
				tokens := s.login(u, creds...)
				s.note("access token %s, ID token %s", algorithmOf(tokens, "access_token"),
					algorithmOf(tokens, "id_token"))
				s.note("access token %s", s.describeSignatureOf(tokens, "access_token"))
				recordTokens(s, r, tokens)
			})
		}
		suite.add("client that wants ES256, without a key for it", func(s *scenario) {
			r := s.importRealm(representation)
			r.patchClient(s, "server",
				object{"attributes": object{"access.token.signed.response.alg": "ES256"}})
			tokens := s.login(s.addUser(r, nil), creds...)
			s.note("access token %s %s", algorithmOf(tokens, "access_token"),
				s.describeSignatureOf(tokens, "access_token"))
			s.recordProviders(r)
		})
	})
}

// addKey adds a key provider to the realm.
func (s *scenario) addKey(r *realm, p keyProvider) {
	s.Helper()
	_, err := s.kc.addKeyProvider(r.name, p)
	s.must(err)
}

// keyProvider returns the key provider with this name.
func (s *scenario) keyProvider(r *realm, name string) keyProvider {
	s.Helper()
	providers, err := s.kc.keyProviders(r.name)
	s.must(err)
	i := slices.IndexFunc(providers, func(p keyProvider) bool { return p.name == name })
	if i < 0 {
		s.Fatalf("no key provider %q", name)
	}
	return providers[i]
}

// recordProviders records the types and the names of the realm's key providers.
func (s *scenario) recordProviders(r *realm) {
	s.Helper()
	providers, err := s.kc.keyProviders(r.name)
	s.must(err)
	var names []string
	for _, p := range providers {
		names = append(names, p.provider+" "+p.name)
	}
	slices.Sort(names)
	s.note("key providers: %q", names)
}

// recordKeys records the use and the algorithm of each published key.
func (s *scenario) recordKeys(r *realm) {
	var keys []string
	for _, k := range s.publishedKeys(r.url("")) {
		keys = append(keys, k.Use+" "+k.Alg)
	}
	slices.Sort(keys)
	s.note("published: %q", keys)
}

// algorithmOf returns the signature algorithm of the token in this field of a response.
func algorithmOf(tokens response, name string) string {
	decoded, _ := decodeToken(tokens.field(name))
	return decoded.alg
}

// describeSignatureOf describes the signature of the token in this field of a response.
func (s *scenario) describeSignatureOf(tokens response, name string) string {
	decoded, _ := decodeToken(tokens.field(name))
	return s.describeSignature(tokens.field(name), decoded)
}
