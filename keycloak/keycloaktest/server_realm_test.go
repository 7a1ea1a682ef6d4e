package keycloaktest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// A token of one realm must be worthless in another, or what mixes realms up is never found out.
func TestServer_realmsHaveDifferentKeys(t *testing.T) {
	kc := keycloaktest.New(t, shopNamed("one"), shopNamed("two"), shopNamed("three"))
	owner := map[string]string{}
	for _, name := range []string{"one", "two", "three"} {
		for _, algorithm := range []string{"RS256", "HS512"} {
			kid := kc.Realm(name).SigningKey(algorithm)
			if other, taken := owner[kid]; taken {
				t.Errorf("the realms %s and %s share a key of %s", other, name, algorithm)
			}
			owner[kid] = name
		}
	}
	one, two := kc.Realm("one"), kc.Realm("two")
	tokens := signIn(t, one)
	wantUserinfo(t, one, tokens.AccessToken, "")
	wantUserinfo(t, two, tokens.AccessToken, "Token verification failed")
	refresh(t, two, tokens.RefreshToken).wantRefused(t, 400, "Invalid refresh token")
	refresh(t, one, tokens.RefreshToken).wantOK(t)
}

// masked is the realm shop as an export writes it: without its clients' secrets.
func shopMasked(name string) []byte {
	return []byte(strings.Replace(string(shopNamed(name)), `"shop-api-secret"`, `"**********"`, 1))
}

func TestConfig_ClientSecrets(t *testing.T) {
	secrets := map[string]string{"shop-api": "shop-api-secret"}
	kc, err := keycloaktest.Start(keycloaktest.Config{
		Realms: [][]byte{shopMasked("one"), shopMasked("two")}, ClientSecrets: secrets})
	must(t, err)
	defer kc.Close()
	for _, name := range []string{"one", "two"} {
		login(t, kc.Realm(name), "alice", "alice-password").wantOK(t)
	}
	imported, err := kc.Import(shopMasked("three"), keycloaktest.WithClientSecrets(secrets))
	must(t, err)
	login(t, imported, "alice", "alice-password").wantOK(t)

	// A secret that nobody gave is no secret: not even its mask opens the client.
	closed, err := kc.Import(shopMasked("four"))
	must(t, err)
	for _, secret := range []string{"shop-api-secret", "**********", ""} {
		login(t, closed, "alice", "alice-password", "client_secret", secret).
			wantRefused(t, 501,
				"client shop-api: its secret is masked in the realm file: give it with "+
					"WithClientSecrets")
	}
	must(t, closed.UpdateClient("shop-api", []byte(`{"secret": "shop-api-secret"}`)))
	login(t, closed, "alice", "alice-password").wantOK(t)
}

func TestServer_Remove(t *testing.T) {
	kc := keycloaktest.New(t)
	realm, err := kc.Import(shop.File())
	must(t, err)
	if kc.Realm("shop") != realm || realm.Name() != "shop" {
		t.Error("the realm isn't the one that Realm gives")
	}
	kid := realm.SigningKey("RS256")
	tokens := signIn(t, realm)
	_, err = kc.Import(shop.File())
	wantError(t, err, "there is a realm shop already")
	// The attempt must leave the realm alone, its sessions and keys too.
	wantUserinfo(t, realm, tokens.AccessToken, "")

	if !kc.Remove("shop") || kc.Remove("shop") || kc.Realm("shop") != nil {
		t.Error("the realm isn't removed, or twice")
	}
	if r := get(t, oidcURL(realm, "/certs")); r.status != http.StatusNotFound {
		t.Errorf("a realm that was removed answers %v", r)
	}
	again, err := kc.Import(shop.File())
	must(t, err)
	if again.SigningKey("RS256") == kid {
		t.Error("a realm made anew has the keys of the old one, whose tokens would be taken")
	}
	wantUserinfo(t, again, tokens.AccessToken, "Token verification failed")

	// Who holds the old realm must hear that it is gone, and not change what nobody sees.
	of := func(_ string, err error) error { return err }
	for name, err := range map[string]error{
		"AddKey":        of(realm.AddKey(keycloaktest.Key{Algorithm: "EdDSA"})),
		"RotateKeys":    of(realm.RotateKeys("RS256")),
		"SetKeyPassive": realm.SetKeyPassive(kid, true), "RemoveKey": realm.RemoveKey(kid),
		"UpdateClient": realm.UpdateClient("shop-api", []byte(`{}`)),
		"Update":       realm.Update([]byte(`{}`)),
	} {
		if err == nil || err.Error() != "keycloaktest: the realm was removed" {
			t.Errorf("%s of a realm that was removed says %v", name, err)
		}
	}
}
