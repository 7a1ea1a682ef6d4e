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

// equalFields are the fields of the discovery document that have the same value on the fake and on
// Keycloak.
var equalFields = []string{
	"issuer", "authorization_endpoint", "token_endpoint", "introspection_endpoint",
	"userinfo_endpoint", "end_session_endpoint", "jwks_uri", "revocation_endpoint",
	"device_authorization_endpoint", "acr_values_supported", "claim_types_supported",
	"claims_supported", "code_challenge_methods_supported", "scopes_supported",
	"authorization_response_iss_parameter_supported", "backchannel_logout_supported",
	"backchannel_logout_session_supported",
}

// partialLists are the fields of the discovery document for which the fake lists fewer values than
// Keycloak. The map has the values that both must list.
var partialLists = map[string][]string{
	"grant_types_supported": {"authorization_code", "client_credentials", "password",
		"refresh_token",
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

// TestDiscovery records the discovery document at each of its URLs.
func TestDiscovery(t *testing.T) {
	run(t, "discovery", func(suite *testSuite) {
		const path = "/.well-known/openid-configuration"
		r := suite.addRealm(realmJSON(nil))
		suite.add("openid-configuration", func(s *scenario) {
			resp := s.get(r.url(path))
			s.recordHeaders(resp)
			s.recordFields(resp, equalFields...)
			for _, name := range sortedKeys(partialLists) {
				for _, element := range partialLists[name] {
					list, _ := resp.value(name).([]any)
					s.note("%s has %s: %t", name, element, slices.Contains(list, any(element)))
				}
			}
		})
		suite.add("no field or value that Keycloak doesn't have", func(s *scenario) {
			var fields object
			s.must(json.Unmarshal([]byte(s.get(r.url(path)).body), &fields))
			var lines []string
			for _, name := range sortedKeys(fields) {
				lines = append(lines, name+": "+jsonType(fields[name]))
				list, _ := fields[name].([]any)
				for _, element := range list {
					lines = append(lines, fmt.Sprintf("%s: has %v", name, element))
				}
			}
			slices.Sort(lines)
			s.recordFeatures(lines)
		})
		suite.add("oauth-authorization-server", func(s *scenario) {
			want := s.get(r.url(path)).body
			for _, address := range []string{
				r.url("/.well-known/oauth-authorization-server"),
				s.kc.baseURL() + "/.well-known/oauth-authorization-server/realms/" + r.name,
			} {
				resp := s.get(address)
				s.recordHeaders(resp)
				s.note("the same document: %t", resp.body == want)
			}
		})
		suite.add("openid-configuration is not at the root", func(s *scenario) {
			s.record(s.get(s.kc.baseURL() + path + "/realms/" + r.name))
		})
		suite.add("oauth-authorization-server at the root, unknown realm", func(s *scenario) {
			s.record(s.get(s.kc.baseURL() +
				"/.well-known/oauth-authorization-server/realms/no-such-realm"))
		})
		acrRealm := suite.addRealm(acrRealmJSON())
		suite.add("acr values of the realm", func(s *scenario) {
			s.recordFields(s.get(acrRealm.url(path)), "acr_values_supported", "scopes_supported")
		})
	})
}

// TestCerts records the published key set.
func TestCerts(t *testing.T) {
	run(t, "certs", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		suite.add("certs of one key type", func(s *scenario) {
			s.record(s.get(r.endpoint("/certs/rsa")))
		})
		suite.add("keys", func(s *scenario) {
			r := s.importRealm(realmJSON(generatedKeys))
			s.record(s.get(r.endpoint("/certs")))
			keys := s.publishedKeys(r.url(""))
			slices.SortFunc(keys, func(a, b jwk) int { return strings.Compare(b.Use, a.Use) })
			for _, k := range keys {
				s.note("%s %s: %s", k.Use, k.Alg, compareCertificate(k, r.name))
			}
			for _, p := range []keyProvider{
				{name: "es256", provider: "ecdsa-generated",
					config: map[string]string{"ecdsaEllipticCurveKey": "P-256"}},
				{name: "es512", provider: "ecdsa-generated",
					config: map[string]string{"ecdsaEllipticCurveKey": "P-521"}},
				{name: "eddsa", provider: "eddsa-generated",
					config: map[string]string{"eddsaEllipticCurveKey": "Ed25519"}},
				{name: "ps256", provider: "rsa-generated",
					config: map[string]string{"algorithm": "PS256", "keySize": "2048"}},
			} {
				p.config["priority"] = "50"
				_, err := s.kc.addKeyProvider(r.name, p)
				s.must(err)
			}
			s.record(s.get(r.endpoint("/certs")))
		})
		suite.addForServer("keycloak", "a key given in the realm file", func(s *scenario) {
			key := newSigningKey()
			r := s.importRealm(realmJSON(object{"components": object{keyProviderType: []object{{
				"name": "given", "providerId": "rsa",
				"config": object{"privateKey": []string{key.pem}, "priority": []string{"100"}},
			}}}}))
			s.record(s.get(r.endpoint("/certs")))
			publicKey, err := x509.MarshalPKIXPublicKey(&key.privateKey.PublicKey)
			s.must(err)
			sum := sha256.Sum256(publicKey)
			wantID := base64.RawURLEncoding.EncodeToString(sum[:])
			s.note("the id is the SHA-256 of the public key: %t",
				s.publishedKeys(r.url(""))[0].Kid == wantID)
			resp := s.login(s.addUser(r, nil))
			s.note("it signs: %t", kidOf(resp.field("access_token")) == wantID)
			s.recordClaims(resp, "refresh_token", "typ")
			s.recordOutcome("refresh", s.refresh(r, resp))
		})
	})
}

// TestRealmInfo records the realm info, which has the public key of the realm.
func TestRealmInfo(t *testing.T) {
	run(t, "realm-info", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		suite.add("info", func(s *scenario) { s.record(s.get(r.url(""))) })
		suite.add("the public key is the signing key", func(s *scenario) {
			tokens := s.login(s.addUser(r, nil))
			s.note("%t", realmInfoHasKey(s, r, kidOf(tokens.field("access_token"))))
		})
	})
}

// realmInfoHasKey reports whether the realm info has the key with this ID.
func realmInfoHasKey(s *scenario, r *realm, kid string) bool {
	der, err := base64.StdEncoding.DecodeString(s.get(r.url("")).field("public_key"))
	s.must(err)
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]) == kid
}

// compareCertificate compares a JWK with its certificate, and describes the differences.
func compareCertificate(k jwk, realm string) string {
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
	var differences []string
	check := func(name string, ok bool) {
		if !ok {
			differences = append(differences, name)
		}
	}
	sha1Sum, sha256Sum, keySum := sha1.Sum(der), sha256.Sum256(der),
		sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	check("x5t", k.X5T == base64.RawURLEncoding.EncodeToString(sha1Sum[:]))
	check("x5t#S256", k.X5TS256 == base64.RawURLEncoding.EncodeToString(sha256Sum[:]))
	check("kid", k.Kid == base64.RawURLEncoding.EncodeToString(keySum[:]))
	key, ok := k.publicKey().(interface{ Equal(crypto.PublicKey) bool })
	check("key", ok && key.Equal(certificate.PublicKey))
	check("subject "+certificate.Subject.String(), certificate.Subject.String() == "CN="+realm)
	check("self-signed",
		certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate,
			certificate.Signature) == nil)
	if differences == nil {
		return "kid, x5t, x5t#S256, key and subject are those of the certificate"
	}
	return "wrong: " + strings.Join(differences, ", ")
}

// jsonType returns the JSON type of a value.
func jsonType(value any) string {
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
