package keycloaktest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// Realms of a server have different keys, so that tests find code that accepts another realm's
// tokens.
func TestServer_realmKeys(t *testing.T) {
	kc := keycloaktest.New(t, shopFileNamed("one"), shopFileNamed("two"), shopFileNamed("three"))
	realmByKID := map[string]string{}
	for _, name := range []string{"one", "two", "three"} {
		for _, algorithm := range []string{"RS256", "HS512"} {
			kid := kc.Realm(name).SigningKeyID(algorithm)
			if otherRealm, ok := realmByKID[kid]; ok {
				t.Errorf("realms %s and %s share a key for %s, want different keys", otherRealm,
					name, algorithm)
			}
			realmByKID[kid] = name
		}
	}
	realm1, realm2 := kc.Realm("one"), kc.Realm("two")
	tokens := signIn(t, realm1)
	wantUserinfoOK(t, realm1, tokens.AccessToken)
	wantUserinfoError(t, realm2, tokens.AccessToken, "Token verification failed")
	refresh(t, realm2, tokens.RefreshToken).wantOAuthError(t, 400, "Invalid refresh token")
	refresh(t, realm1, tokens.RefreshToken).wantOK(t)
}

// maskedShopFile is like shopFileNamed, with masked client secrets as in an export.
func maskedShopFile(name string) []byte {
	return []byte(strings.Replace(string(shopFileNamed(name)), `"shop-api-secret"`,
		`"**********"`, 1))
}

// ClientSecrets and WithClientSecrets replace masked client secrets. The asterisks of a masked
// secret aren't accepted as a secret.
func TestConfig_ClientSecrets(t *testing.T) {
	secrets := map[string]string{"shop-api": "shop-api-secret"}
	kc, err := keycloaktest.Start(keycloaktest.Config{
		Realms: [][]byte{maskedShopFile("one"), maskedShopFile("two")}, ClientSecrets: secrets})
	must(t, err)
	defer kc.Close()
	for _, name := range []string{"one", "two"} {
		passwordGrant(t, kc.Realm(name), "alice", "alice-password").wantOK(t)
	}
	importedRealm, err := kc.Import(maskedShopFile("three"),
		keycloaktest.WithClientSecrets(secrets))
	must(t, err)
	passwordGrant(t, importedRealm, "alice", "alice-password").wantOK(t)

	// If a masked secret isn't replaced, no secret is accepted.
	maskedRealm, err := kc.Import(maskedShopFile("four"))
	must(t, err)
	for _, secret := range []string{"shop-api-secret", "**********", ""} {
		passwordGrant(t, maskedRealm, "alice", "alice-password", "client_secret", secret).
			wantOAuthError(t, 501,
				"client shop-api: its secret is masked in the realm file: set it with "+
					"WithClientSecrets")
	}
	must(t, maskedRealm.UpdateClient("shop-api", []byte(`{"secret": "shop-api-secret"}`)))
	passwordGrant(t, maskedRealm, "alice", "alice-password").wantOK(t)
}

// Remove removes a realm with its keys. While a realm exists, importing it again is an error; after
// Remove, it can be imported again and gets new keys.
func TestServer_Remove(t *testing.T) {
	kc := keycloaktest.New(t)
	realm, err := kc.Import(shop.File())
	must(t, err)
	if kc.Realm("shop") != realm || realm.Name() != "shop" {
		t.Errorf("Realm(shop) = %p with the name %s, want %p and shop", kc.Realm("shop"),
			realm.Name(), realm)
	}
	kid := realm.SigningKeyID("RS256")
	tokens := signIn(t, realm)
	_, err = kc.Import(shop.File())
	wantError(t, err, "there is a realm shop already")
	// The failed import doesn't affect the existing realm.
	wantUserinfoOK(t, realm, tokens.AccessToken)

	firstResult, secondResult := kc.Remove("shop"), kc.Remove("shop")
	if !firstResult || secondResult || kc.Realm("shop") != nil {
		t.Errorf("Remove(shop) returns %t, then %t, and Realm(shop) = %v, want true, false and nil",
			firstResult, secondResult, kc.Realm("shop"))
	}
	if r := get(t, oidcURL(realm, "/certs")); r.status != http.StatusNotFound {
		t.Errorf("request to a removed realm returns %v, want 404", r)
	}
	reimportedRealm, err := kc.Import(shop.File())
	must(t, err)
	if reimportedRealm.SigningKeyID("RS256") == kid {
		t.Error("the new realm has the removed realm's key, want a new key")
	}
	wantUserinfoError(t, reimportedRealm, tokens.AccessToken, "Token verification failed")

	// Methods of the removed realm return an error.
	errorOf := func(_ string, err error) error { return err }
	for name, err := range map[string]error{
		"AddKey":        errorOf(realm.AddKey(keycloaktest.Key{Algorithm: "EdDSA"})),
		"RotateKeys":    errorOf(realm.RotateKeys("RS256")),
		"SetKeyPassive": realm.SetKeyPassive(kid, true), "RemoveKey": realm.RemoveKey(kid),
		"UpdateClient": realm.UpdateClient("shop-api", []byte(`{}`)),
		"Update":       realm.Update([]byte(`{}`)),
	} {
		if err == nil || err.Error() != "keycloaktest: the realm was removed" {
			t.Errorf("%s of a removed realm returns %v, want %q", name, err,
				"keycloaktest: the realm was removed")
		}
	}
}
