package contract

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// discovered are the members of the discovery document where the stand-in equals Keycloak.
var discovered = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "introspection_endpoint",
	"userinfo_endpoint", "end_session_endpoint", "jwks_uri", "revocation_endpoint",
	"device_authorization_endpoint", "acr_values_supported", "claim_types_supported",
	"claims_supported", "code_challenge_methods_supported", "scopes_supported",
	"authorization_response_iss_parameter_supported", "backchannel_logout_supported",
	"backchannel_logout_session_supported",
}

// discoveredPart are the members where the stand-in has a part of Keycloak's list, and at least
// these values.
var discoveredPart = map[string][]string{
	"grant_types_supported": {"authorization_code", "client_credentials", "password", "refresh_token",
		"urn:ietf:params:oauth:grant-type:device_code"},
	"response_types_supported":                      {"code"},
	"response_modes_supported":                      {"query", "fragment", "form_post"},
	"subject_types_supported":                       {"public"},
	"prompt_values_supported":                       {"login", "none"},
	"id_token_signing_alg_values_supported":         {"ES256", "EdDSA", "PS256", "RS256"},
	"token_endpoint_auth_methods_supported":         {"client_secret_basic", "client_secret_post"},
	"introspection_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post"},
	"revocation_endpoint_auth_methods_supported":    {"client_secret_basic", "client_secret_post"},
}

// The discovery document, at all its addresses.
func TestDiscovery(t *testing.T) {
	run(t, "discovery", func(g *group) {
		const path = "/.well-known/openid-configuration"
		r := g.realm(realmFile(nil))
		g.exchange("openid-configuration", func(x *exchange) {
			a := x.get(r.url(path))
			x.showHead(a)
			x.showMembers(a, discovered...)
			for _, name := range sortedKeys(discoveredPart) {
				for _, element := range discoveredPart[name] {
					list, _ := a.member(name).([]any)
					x.note("%s has %s: %t", name, element, slices.Contains(list, any(element)))
				}
			}
		})
		g.exchange("nothing beyond Keycloak", func(x *exchange) {
			var members object
			x.must(json.Unmarshal([]byte(x.get(r.url(path)).body), &members))
			var lines []string
			for _, name := range sortedKeys(members) {
				lines = append(lines, name+": "+typeOf(members[name]))
				list, _ := members[name].([]any)
				for _, element := range list {
					lines = append(lines, fmt.Sprintf("%s: has %v", name, element))
				}
			}
			slices.Sort(lines)
			x.showAllowed(lines)
		})
		g.exchange("oauth-authorization-server", func(x *exchange) {
			want := x.get(r.url(path)).body
			for _, address := range []string{
				r.url("/.well-known/oauth-authorization-server"),
				x.kc.base() + "/.well-known/oauth-authorization-server/realms/" + r.name,
			} {
				a := x.get(address)
				x.showHead(a)
				x.note("the same document: %t", a.body == want)
			}
		})
		g.exchange("openid-configuration is not at the root", func(x *exchange) {
			x.show(x.get(x.kc.base() + path + "/realms/" + r.name))
		})
		g.exchange("oauth-authorization-server at the root, unknown realm", func(x *exchange) {
			x.show(x.get(x.kc.base() +
				"/.well-known/oauth-authorization-server/realms/no-such-realm"))
		})
		custom := g.realm(acrRealm())
		g.exchange("acr values of the realm", func(x *exchange) {
			x.showMembers(x.get(custom.url(path)), "acr_values_supported", "scopes_supported")
		})
	})
}

// The published key set.
func TestCerts(t *testing.T) {
	run(t, "certs", func(g *group) {
		r := g.realm(realmFile(nil))
		g.exchange("certs of one key type", func(x *exchange) {
			x.show(x.get(r.oidc("/certs/rsa")))
		})
		g.exchange("keys", func(x *exchange) {
			r := x.realm(realmFile(generatedKeys))
			x.show(x.get(r.oidc("/certs")))
			keys := x.published(r.url(""))
			slices.SortFunc(keys, func(a, b jwk) int { return strings.Compare(b.Use, a.Use) })
			for _, k := range keys {
				x.note("%s %s: %s", k.Use, k.Alg, certificateProblems(k, r.name))
			}
			for _, p := range []keyProvider{
				{name: "es256", provider: "ecdsa-generated", config: map[string]string{"ecdsaEllipticCurveKey": "P-256"}},
				{name: "es512", provider: "ecdsa-generated", config: map[string]string{"ecdsaEllipticCurveKey": "P-521"}},
				{name: "eddsa", provider: "eddsa-generated", config: map[string]string{"eddsaEllipticCurveKey": "Ed25519"}},
				{name: "ps256", provider: "rsa-generated", config: map[string]string{"algorithm": "PS256", "keySize": "2048"}},
			} {
				p.config["priority"] = "50"
				_, err := x.kc.addKeyProvider(r.name, p)
				x.must(err)
			}
			x.show(x.get(r.oidc("/certs")))
		})
		g.only("keycloak", "a key given in the realm file", func(x *exchange) {
			key := newSigningKey()
			r := x.realm(realmFile(object{"components": object{keyProviderType: []object{{
				"name": "given", "providerId": "rsa",
				"config": object{"privateKey": []string{key.pem}, "priority": []string{"100"}},
			}}}}))
			x.show(x.get(r.oidc("/certs")))
			public, err := x509.MarshalPKIXPublicKey(&key.private.PublicKey)
			x.must(err)
			sum := sha256.Sum256(public)
			want := base64.RawURLEncoding.EncodeToString(sum[:])
			x.note("the id is the SHA-256 of the public key: %t",
				x.published(r.url(""))[0].Kid == want)
			a := x.login(x.user(r, nil))
			x.note("it signs: %t", kidOf(a.field("access_token")) == want)
			x.showClaims(a, "refresh_token", "typ")
			x.outcome("refresh", x.refresh(r, a))
		})
	})
}

// The realm info, with the public key of the realm.
func TestRealmInfo(t *testing.T) {
	run(t, "realm-info", func(g *group) {
		r := g.realm(realmFile(nil))
		g.exchange("info", func(x *exchange) { x.show(x.get(r.url(""))) })
		g.exchange("the public key is the signing key", func(x *exchange) {
			x.note("%t", infoHas(x, r, kidOf(x.login(x.user(r, nil)).field("access_token"))))
		})
	})
}

// infoHas reports whether the realm info has the key with this ID.
func infoHas(x *exchange, r *realm, kid string) bool {
	der, err := base64.StdEncoding.DecodeString(x.get(r.url("")).field("public_key"))
	x.must(err)
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]) == kid
}

// certificateProblems checks a JWK against its certificate.
func certificateProblems(k jwk, realm string) string {
	if len(k.X5C) != 1 {
		return fmt.Sprintf("%d certificates", len(k.X5C))
	}
	der, err := base64.StdEncoding.DecodeString(k.X5C[0])
	if err != nil {
		return err.Error()
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return err.Error()
	}
	var problems []string
	check := func(name string, ok bool) {
		if !ok {
			problems = append(problems, name)
		}
	}
	sha1sum, sha256sum, kid := sha1.Sum(der), sha256.Sum256(der),
		sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	check("x5t", k.X5T == base64.RawURLEncoding.EncodeToString(sha1sum[:]))
	check("x5t#S256", k.X5TS256 == base64.RawURLEncoding.EncodeToString(sha256sum[:]))
	check("kid", k.Kid == base64.RawURLEncoding.EncodeToString(kid[:]))
	key, ok := k.public().(interface{ Equal(crypto.PublicKey) bool })
	check("key", ok && key.Equal(certificate.PublicKey))
	check("subject "+certificate.Subject.String(), certificate.Subject.String() == "CN="+realm)
	check("self-signed",
		certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate,
			certificate.Signature) == nil)
	if problems == nil {
		return "kid, x5t, x5t#S256, key and subject are those of the certificate"
	}
	return "wrong: " + strings.Join(problems, ", ")
}

// typeOf returns the JSON type of a value.
func typeOf(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case object:
		return "object"
	}
	return fmt.Sprintf("%T", value)
}
