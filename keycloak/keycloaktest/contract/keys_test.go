package contract

import (
	"slices"
	"testing"
)

// Keys that are added, disabled and removed, and what the tokens that they signed are good for.
func TestKeys(t *testing.T) {
	run(t, "keys", func(g *group) {
		file := realmFile(nil,
			clientFile("seeing", object{"protocolMappers": []object{audienceMapper("seeing")}}))
		creds := []string{"client_id", "seeing", "client_secret", "seeing-secret"}
		newer := keyProvider{name: "newer", provider: "rsa-generated",
			config: map[string]string{"priority": "200"}}
		// after records what tokens are still good for, and which key signs the next ones.
		after := func(x *exchange, r *realm, tokens response) {
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcomeActive("introspection",
				x.introspect(r, "seeing", tokens.field("access_token")))
			next := x.refresh(r, tokens, creds...)
			x.outcome("refresh", next)
			if next.status == 200 {
				x.note("signed by the same key: %t", keyOf(next) == keyOf(tokens))
				x.note("the refresh token by the same key: %t",
					keyOfToken(next, "refresh_token") == keyOfToken(tokens, "refresh_token"))
				x.outcome("userinfo with the next", x.userinfo(r, next))
			}
		}
		g.exchange("newer key", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			before := x.get(r.url("")).field("public_key")
			x.addKey(r, newer)
			x.show(x.get(r.oidc("/certs")))
			x.note("realm info has the same key: %t",
				x.get(r.url("")).field("public_key") == before)
			after(x, r, tokens)
		})
		g.exchange("key of lower priority", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			x.addKey(r,
				keyProvider{name: "older", provider: "rsa-generated",
					config: map[string]string{"priority": "1"}})
			x.showKeys(r)
			after(x, r, tokens)
		})
		replaceKey := func(name string, end func(x *exchange, r *realm, old keyProvider)) {
			g.exchange(name, func(x *exchange) {
				r := x.realm(file)
				tokens := x.login(x.user(r, nil), creds...)
				old := x.keyProvider(r, "given")
				x.addKey(r, newer)
				end(x, r, old)
				x.showKeys(r)
				after(x, r, tokens)
			})
		}
		replaceKey("old key is passive", func(x *exchange, r *realm, old keyProvider) {
			old.config = map[string]string{"active": "false"}
			x.must(x.kc.patchKeyProvider(r.name, old))
		})
		replaceKey("old key is disabled", func(x *exchange, r *realm, old keyProvider) {
			old.config = map[string]string{"enabled": "false"}
			x.must(x.kc.patchKeyProvider(r.name, old))
		})
		replaceKey("old key is removed", func(x *exchange, r *realm, old keyProvider) {
			x.must(x.kc.removeKeyProvider(r.name, old.id))
		})
		g.exchange("last key is removed", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			x.must(x.kc.removeKeyProvider(r.name, x.keyProvider(r, "given").id))
			after(x, r, tokens)
			x.showKeys(r)
		})
		g.exchange("hint signed by a removed key", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			x.addKey(r, newer)
			x.must(x.kc.removeKeyProvider(r.name, x.keyProvider(r, "given").id))
			x.showEnd(x.browser().open(r.logoutURL("id_token_hint", tokens.field("id_token"))))
		})
		g.exchange("HMAC key is removed", func(x *exchange) {
			r := x.realm(file)
			u := x.user(r, nil)
			b := x.browser()
			code := b.login(u, "client_id", "seeing").redirected().Get("code")
			tokens := x.token(r, codeGrant(code, creds...)).ok()
			x.must(x.kc.removeKeyProvider(r.name, x.keyProvider(r, "hmac-generated-hs512").id))
			x.show(x.refresh(r, tokens, creds...))
			x.outcome("userinfo", x.userinfo(r, tokens))
			x.outcome("logout", x.logout(r, tokens.field("refresh_token"), creds...))
			x.outcomeActive("introspection of the refresh token",
				x.introspect(r, "seeing", tokens.field("refresh_token"), "token_type_hint",
					"refresh_token"))
			x.showEnd(b.open(r.authURL("prompt", "none")))
			next := x.login(u, creds...)
			x.outcome("refresh of a new login", x.refresh(r, next, creds...))
			x.showProviders(r)
		})
		g.exchange("newer HMAC key", func(x *exchange) {
			r := x.realm(file)
			tokens := x.login(x.user(r, nil), creds...)
			x.addKey(r,
				keyProvider{name: "newer", provider: "hmac-generated",
					config: map[string]string{"priority": "200", "algorithm": "HS512"}})
			after(x, r, tokens)
		})
		for _, curve := range []struct{ alg, provider, member, value string }{
			{"ES256", "ecdsa-generated", "ecdsaEllipticCurveKey", "P-256"},
			{"EdDSA", "eddsa-generated", "eddsaEllipticCurveKey", "Ed25519"},
			{"PS256", "rsa-generated", "algorithm", "PS256"},
		} {
			g.exchange("client that wants "+curve.alg, func(x *exchange) {
				r := x.realm(file)
				u := x.user(r, nil)
				x.addKey(r,
					keyProvider{name: "curve", provider: curve.provider,
						config: map[string]string{"priority": "200", curve.member: curve.value}})
				r.patchClient(x, "seeing",
					object{"attributes": object{"access.token.signed.response.alg": curve.alg}})
				x.show(x.get(r.oidc("/certs")))
				tokens := x.login(u, creds...)
				x.note("access token %s, ID token %s", algorithmOf(tokens, "access_token"),
					algorithmOf(tokens, "id_token"))
				x.note("access token %s", x.signatureOf(tokens, "access_token"))
				after(x, r, tokens)
			})
		}
		g.exchange("client that wants ES256, without a key for it", func(x *exchange) {
			r := x.realm(file)
			r.patchClient(x, "seeing",
				object{"attributes": object{"access.token.signed.response.alg": "ES256"}})
			tokens := x.login(x.user(r, nil), creds...)
			x.note("access token %s %s", algorithmOf(tokens, "access_token"),
				x.signatureOf(tokens, "access_token"))
			x.showProviders(r)
		})
	})
}

func (x *exchange) addKey(r *realm, p keyProvider) {
	x.Helper()
	_, err := x.kc.addKeyProvider(r.name, p)
	x.must(err)
}

// keyProvider returns the key provider with this name.
func (x *exchange) keyProvider(r *realm, name string) keyProvider {
	x.Helper()
	providers, err := x.kc.keyProviders(r.name)
	x.must(err)
	i := slices.IndexFunc(providers, func(p keyProvider) bool { return p.name == name })
	if i < 0 {
		x.Fatalf("no key provider %q", name)
	}
	return providers[i]
}

// showProviders records the names of the realm's key providers.
func (x *exchange) showProviders(r *realm) {
	x.Helper()
	providers, err := x.kc.keyProviders(r.name)
	x.must(err)
	var names []string
	for _, p := range providers {
		names = append(names, p.provider+" "+p.name)
	}
	slices.Sort(names)
	x.note("key providers: %q", names)
}

// showKeys records the use and the algorithm of the published keys.
func (x *exchange) showKeys(r *realm) {
	var keys []string
	for _, k := range x.published(r.url("")) {
		keys = append(keys, k.Use+" "+k.Alg)
	}
	slices.Sort(keys)
	x.note("published: %q", keys)
}

func keyOf(tokens response) string { return keyOfToken(tokens, "access_token") }

// keyOfToken returns the ID of the key that signed a token of a response.
func keyOfToken(tokens response, name string) string {
	decoded, _ := decodeToken(tokens.field(name))
	return decoded.kid
}

func algorithmOf(tokens response, name string) string {
	decoded, _ := decodeToken(tokens.field(name))
	return decoded.alg
}

// signatureOf says whether a published key signed a token of a response.
func (x *exchange) signatureOf(tokens response, name string) string {
	decoded, _ := decodeToken(tokens.field(name))
	return x.signature(tokens.field(name), decoded)
}
