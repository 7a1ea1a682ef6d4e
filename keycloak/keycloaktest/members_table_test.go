package keycloaktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// recordOf are the records of the tables by their names.
func recordOf(t *testing.T) map[string]*record {
	t.Helper()
	found := map[string]*record{}
	var visit func(s *shape)
	visit = func(s *shape) {
		switch {
		case s == nil || s.record != nil && found[s.record.name] != nil:
		case s.record != nil:
			found[s.record.name] = s.record
			for _, member := range s.record.members {
				visit(member.shape)
			}
		default:
			visit(s.items)
			visit(s.values)
		}
	}
	visit(&shape{record: tables().realm})
	return found
}

// testdata/members.txt is what Jackson finds in the representations of keycloak-core 26.7.4,
// ignored names included: whatever Keycloak takes has a fate here, and nothing else does.
func TestTablesHaveKeycloaksMembers(t *testing.T) {
	file, err := os.ReadFile("testdata/members.txt")
	if err != nil {
		t.Fatal(err)
	}
	records := recordOf(t)
	for _, line := range strings.Split(strings.TrimSpace(string(file)), "\n") {
		name, members, _ := strings.Cut(line, ": ")
		if records[name] == nil {
			t.Errorf("no table of %s", name)
			continue
		}
		want, got := strings.Fields(members), sortedNames(records[name].members)
		for _, member := range want {
			if !slices.Contains(got, member) {
				t.Errorf("%s.%s has no fate", name, member)
			}
		}
		for _, member := range got {
			if !slices.Contains(want, member) {
				t.Errorf("%s.%s is no member of Keycloak's", name, member)
			}
		}
	}
}

// A member that is read must have a field, or it would be lost without a word; and a field that
// nothing is read into is always empty.
func TestTablesMatchRepresentations(t *testing.T) {
	var compare func(path string, s *shape, kind reflect.Type)
	seen := map[reflect.Type]bool{}
	compare = func(path string, s *shape, kind reflect.Type) {
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case s.items != nil && kind.Kind() == reflect.Slice:
			compare(path+"[]", s.items, kind.Elem())
		case s.values != nil && kind.Kind() == reflect.Map:
			compare(path+"[]", s.values, kind.Elem())
		case s.record != nil && kind.Kind() == reflect.Struct:
			if seen[kind] && kind.Name() != "" {
				return
			}
			seen[kind] = true
			fields := map[string]reflect.Type{}
			for f := range kind.Fields() {
				if name := f.Tag.Get("json"); name != "" {
					fields[name] = f.Type
				}
			}
			for name, member := range s.record.members {
				switch field, there := fields[name]; {
				case member.fate == isRead && !there:
					t.Errorf("%s.%s is read, and has no field", path, name)
				case member.fate != isRead && there:
					t.Errorf("%s.%s has a field, and isn't read", path, name)
				case there:
					compare(path+"."+name, member.shape, field)
				}
				delete(fields, name)
			}
			for name := range fields {
				t.Errorf("%s.%s has a field, and no fate", path, name)
			}
		case s.scalar == nil || kind.Kind() == reflect.Struct:
			t.Errorf("%s is a %s, and of another shape in the table", path, kind)
		}
	}
	compare("realm", &shape{record: tables().realm}, reflect.TypeFor[realmRepresentation]())
}

// What is read of a file, a realm keeps for as long as it lives, and prints if somebody prints it.
func TestPrivateKeysAreNotKept(t *testing.T) {
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
		"clients[].registrationAccessToken", "clients[web].attributes[private.key]", "clients[web].attributes[saml.signing.private.key]", "codeSecret",
		"components[org.keycloak.keys.KeyProvider][aes].secret", "components[org.keycloak.keys.KeyProvider][es].ecdsaPrivateKey",
		"components[org.keycloak.keys.KeyProvider][hmac].secret", "components[org.keycloak.keys.KeyProvider][rsa].certificate",
		"components[org.keycloak.keys.KeyProvider][rsa].privateKey", "components[org.keycloak.storage.UserStorageProvider]", "identityProviders[].config", "identityProviders[].providerId",
		"privateKey", "smtpServer", "users[alice].credentials (a hashed password)", "users[alice].credentials (type webauthn)",
	}
	if got := realm.Ignored(); !slices.Equal(got, want) {
		t.Errorf("left aside are %q,\nwant %q", got, want)
	}
	server := map[uintptr]bool{reflect.ValueOf(kc).Pointer(): true} // it is at work, and keeps nothing of a file itself
	if holds(reflect.ValueOf(realm), secret, server) {
		t.Error("the realm keeps what must not be kept")
	}
}

// holds says whether a text is anywhere in a value.
func holds(v reflect.Value, text string, seen map[uintptr]bool) bool {
	switch v.Kind() {
	case reflect.String:
		return strings.Contains(v.String(), text)
	case reflect.Pointer, reflect.Map:
		if v.IsNil() || seen[v.Pointer()] {
			return false
		}
		seen[v.Pointer()] = true
		if v.Kind() == reflect.Pointer {
			return holds(v.Elem(), text, seen)
		}
		for _, key := range v.MapKeys() {
			if holds(key, text, seen) || holds(v.MapIndex(key), text, seen) {
				return true
			}
		}
	case reflect.Interface:
		return !v.IsNil() && holds(v.Elem(), text, seen)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if holds(v.Index(i), text, seen) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if holds(v.Field(i), text, seen) {
				return true
			}
		}
	}
	return false
}
