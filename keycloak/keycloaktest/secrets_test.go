package keycloaktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Import drops the private keys in a realm file, and the other secrets that the fake doesn't use.
func TestImport_dropsSecrets(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	if err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString(der)
	file := strings.ReplaceAll(`{
		"realm": "shop", "enabled": true, "privateKey": "SECRET", "codeSecret": "SECRET", "smtpServer": {"from": "a@example.com", "password": "SECRET"},
		"components": {
			"org.keycloak.keys.KeyProvider": [
				{"name": "rsa", "providerId": "rsa", "config": {"privateKey": ["SECRET"], "certificate": ["SECRET"]}},
				{"name": "es", "providerId": "ecdsa-generated", "config": {"ecdsaPrivateKey": ["SECRET"]}},
				{"name": "hmac", "providerId": "hmac-generated", "config": {"secret": ["SECRET"], "algorithm": ["HS512"]}},
				{"name": "aes", "providerId": "aes-generated", "config": {"secret": ["SECRET"]}}],
			"org.keycloak.storage.UserStorageProvider": [{"providerId": "ldap", "config": {"enabled": ["false"], "editMode": ["READ_ONLY"], "bindCredential": ["SECRET"]}}]},
		"identityProviders": [{"alias": "google", "providerId": "google", "config": {"clientSecret": "SECRET"}}],
		"clients": [{"clientId": "web", "secret": "s", "registrationAccessToken": "SECRET", "attributes": {"saml.signing.private.key": "SECRET", "private.key": "SECRET"}}],
		"users": [{"username": "alice", "enabled": true, "credentials": [
			{"type": "password", "secretData": "{\"value\":\"SECRET\",\"salt\":\"SECRET\"}", "credentialData": "{\"algorithm\":\"argon2\"}"},
			{"type": "webauthn", "secretData": "{\"value\":\"SECRET\"}", "credentialData": "{}"}]}]}`, "SECRET", secret)
	kc, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer kc.Close()
	realm, err := kc.Import([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"clients[].registrationAccessToken", "clients[web].attributes[private.key]",
		"clients[web].attributes[saml.signing.private.key]", "codeSecret",
		"components[org.keycloak.keys.KeyProvider][aes].secret",
		"components[org.keycloak.keys.KeyProvider][es].ecdsaPrivateKey",
		"components[org.keycloak.keys.KeyProvider][hmac].secret",
		"components[org.keycloak.keys.KeyProvider][rsa].certificate",
		"components[org.keycloak.keys.KeyProvider][rsa].privateKey",
		"components[org.keycloak.storage.UserStorageProvider]", "identityProviders[].config",
		"identityProviders[].providerId", "privateKey", "smtpServer",
		"users[alice].credentials (a hashed password)", "users[alice].credentials (type webauthn)",
	}
	if got := realm.Ignored(); !slices.Equal(got, want) {
		t.Errorf("Ignored() = %q,\nwant %q", got, want)
	}
	// The search skips the running server, because other goroutines use it.
	seen := map[uintptr]bool{reflect.ValueOf(kc).Pointer(): true}
	if contains(reflect.ValueOf(realm), secret, seen) {
		t.Error("the realm contains a private key or secret from the file, want none")
	}
}

// contains reports whether text is anywhere in v. It follows pointers, except for the addresses in
// seen.
func contains(v reflect.Value, text string, seen map[uintptr]bool) bool {
	switch v.Kind() {
	case reflect.String:
		return strings.Contains(v.String(), text)
	case reflect.Pointer, reflect.Map:
		if v.IsNil() || seen[v.Pointer()] {
			return false
		}
		seen[v.Pointer()] = true
		if v.Kind() == reflect.Pointer {
			return contains(v.Elem(), text, seen)
		}
		for _, key := range v.MapKeys() {
			if contains(key, text, seen) || contains(v.MapIndex(key), text, seen) {
				return true
			}
		}
	case reflect.Interface:
		return !v.IsNil() && contains(v.Elem(), text, seen)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if contains(v.Index(i), text, seen) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if contains(v.Field(i), text, seen) {
				return true
			}
		}
	}
	return false
}
