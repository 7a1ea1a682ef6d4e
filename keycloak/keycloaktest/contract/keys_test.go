package contract

import (
	"slices"
	"testing"
)

// TestKeys records which tokens stay valid after keys are added, disabled and removed.
func TestKeys(t *testing.T) {
	run(t, "keys", func(g *group) {
		file := realmFile(nil,
			clientFile("server", object{"protocolMappers": []object{audienceMapper("server")}}))
		creds := credsOf("server")
		newerKey := keyProvider{name: "newer", provider: "rsa-generated",
			config: map[string]string{"priority": "200"}}
		// showTokens records which requests still accept the tokens, and which key signs new
		// tokens.
		showTokens := func(s *scenario, r *realm, tokens response) {
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcomeActive("introspection",
				s.introspect(r, "server", tokens.field("access_token")))
			next := s.refresh(r, tokens, creds...)
			s.outcome("refresh", next)
			if next.status == 200 {
				s.note("signed by the same key: %t", keyOf(next) == keyOf(tokens))
				s.note("the refresh token by the same key: %t",
					keyOfToken(next, "refresh_token") == keyOfToken(tokens, "refresh_token"))
				s.outcome("userinfo with the next", s.userinfo(r, next))
			}
		}
		g.scenario("newer key", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			before := s.get(r.url("")).field("public_key")
			s.addKey(r, newerKey)
			s.show(s.get(r.oidc("/certs")))
			s.note("realm info has the same key: %t",
				s.get(r.url("")).field("public_key") == before)
			showTokens(s, r, tokens)
		})
		g.scenario("key of lower priority", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			s.addKey(r,
				keyProvider{name: "older", provider: "rsa-generated",
					config: map[string]string{"priority": "1"}})
			s.showKeys(r)
			showTokens(s, r, tokens)
		})
		replaceKey := func(name string, end func(s *scenario, r *realm, old keyProvider)) {
			g.scenario(name, func(s *scenario) {
				r := s.realm(file)
				tokens := s.login(s.user(r, nil), creds...)
				old := s.keyProvider(r, "given")
				s.addKey(r, newerKey)
				end(s, r, old)
				s.showKeys(r)
				showTokens(s, r, tokens)
			})
		}
		replaceKey("old key is passive", func(s *scenario, r *realm, old keyProvider) {
			old.config = map[string]string{"active": "false"}
			s.must(s.kc.patchKeyProvider(r.name, old))
		})
		replaceKey("old key is disabled", func(s *scenario, r *realm, old keyProvider) {
			old.config = map[string]string{"enabled": "false"}
			s.must(s.kc.patchKeyProvider(r.name, old))
		})
		replaceKey("old key is removed", func(s *scenario, r *realm, old keyProvider) {
			s.must(s.kc.removeKeyProvider(r.name, old.id))
		})
		g.scenario("last key is removed", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			s.must(s.kc.removeKeyProvider(r.name, s.keyProvider(r, "given").id))
			showTokens(s, r, tokens)
			s.showKeys(r)
		})
		g.scenario("hint signed by a removed key", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			s.addKey(r, newerKey)
			s.must(s.kc.removeKeyProvider(r.name, s.keyProvider(r, "given").id))
			s.showFinal(s.browser().open(r.logoutURL("id_token_hint", tokens.field("id_token"))))
		})
		g.scenario("HMAC key is removed", func(s *scenario) {
			r := s.realm(file)
			u := s.user(r, nil)
			b := s.browser()
			code := b.login(u, "client_id", "server").redirectQuery().Get("code")
			tokens := s.token(r, codeGrant(code, creds...)).ok()
			s.must(s.kc.removeKeyProvider(r.name, s.keyProvider(r, "hmac-generated-hs512").id))
			s.show(s.refresh(r, tokens, creds...))
			s.outcome("userinfo", s.userinfo(r, tokens))
			s.outcome("logout", s.logout(r, tokens.field("refresh_token"), creds...))
			s.outcomeActive("introspection of the refresh token",
				s.introspect(r, "server", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
			s.showFinal(b.open(r.authURL("prompt", "none")))
			next := s.login(u, creds...)
			s.outcome("refresh of a new login", s.refresh(r, next, creds...))
			s.showProviders(r)
		})
		g.scenario("newer HMAC key", func(s *scenario) {
			r := s.realm(file)
			tokens := s.login(s.user(r, nil), creds...)
			s.addKey(r,
				keyProvider{name: "newer", provider: "hmac-generated",
					config: map[string]string{"priority": "200", "algorithm": "HS512"}})
			showTokens(s, r, tokens)
		})
		for _, key := range []struct{ alg, provider, setting, value string }{
			{"ES256", "ecdsa-generated", "ecdsaEllipticCurveKey", "P-256"},
			{"EdDSA", "eddsa-generated", "eddsaEllipticCurveKey", "Ed25519"},
			{"PS256", "rsa-generated", "algorithm", "PS256"},
		} {
			g.scenario("client that wants "+key.alg, func(s *scenario) {
				r := s.realm(file)
				u := s.user(r, nil)
				s.addKey(r,
					keyProvider{name: "curve", provider: key.provider,
						config: map[string]string{"priority": "200", key.setting: key.value}})
				r.patchClient(s, "server",
					object{"attributes": object{"access.token.signed.response.alg": key.alg}})
				s.show(s.get(r.oidc("/certs")))
				tokens := s.login(u, creds...)
				s.note("access token %s, ID token %s", algorithmOf(tokens, "access_token"),
					algorithmOf(tokens, "id_token"))
				s.note("access token %s", s.describeSignatureOf(tokens, "access_token"))
				showTokens(s, r, tokens)
			})
		}
		g.scenario("client that wants ES256, without a key for it", func(s *scenario) {
			r := s.realm(file)
			r.patchClient(s, "server",
				object{"attributes": object{"access.token.signed.response.alg": "ES256"}})
			tokens := s.login(s.user(r, nil), creds...)
			s.note("access token %s %s", algorithmOf(tokens, "access_token"),
				s.describeSignatureOf(tokens, "access_token"))
			s.showProviders(r)
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

// showProviders records the names of the realm's key providers.
func (s *scenario) showProviders(r *realm) {
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

// showKeys records the use and the algorithm of the published keys.
func (s *scenario) showKeys(r *realm) {
	var keys []string
	for _, k := range s.publishedKeys(r.url("")) {
		keys = append(keys, k.Use+" "+k.Alg)
	}
	slices.Sort(keys)
	s.note("published: %q", keys)
}

// keyOf returns the ID of the key that signed the access token of a response.
func keyOf(tokens response) string { return keyOfToken(tokens, "access_token") }

// keyOfToken returns the ID of the key that signed the token in this field of a response.
func keyOfToken(tokens response, name string) string {
	decoded, _ := decodeToken(tokens.field(name))
	return decoded.kid
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
