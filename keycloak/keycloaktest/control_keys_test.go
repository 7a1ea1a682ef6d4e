package keycloaktest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/MicahParks/jwkset"

	"github.com/cloakql/cloakql/keycloak/keycloaktest"
)

// publishedKIDs returns the kids in the realm's key set. It checks that the key set contains no
// private keys.
func publishedKIDs(t *testing.T, realm *keycloaktest.Realm) []string {
	t.Helper()
	var set jwkset.JWKSMarshal
	must(t, json.Unmarshal([]byte(get(t, oidcURL(realm, "/certs")).wantOK(t).text), &set))
	var kids []string
	for _, key := range set.Keys {
		if key.D != "" || key.K != "" {
			t.Errorf("key set has the private part of key %s, want only public parts", key.KID)
		}
		kids = append(kids, key.KID)
	}
	return kids
}

// Keys returns all keys of the realm, including the HMAC key, which isn't published.
func TestRealm_Keys(t *testing.T) {
	_, realm := startShop(t)
	keys := realm.Keys()
	mustFindKey := func(algorithm, use string) keycloaktest.Key {
		i := slices.IndexFunc(keys, func(k keycloaktest.Key) bool {
			return k.Algorithm == algorithm && k.Use == use
		})
		if i < 0 {
			t.Fatalf("Keys() = %v, want a key with algorithm %s and use %s", keys, algorithm, use)
		}
		return keys[i]
	}
	rsaKey, hmacKey := mustFindKey("RS256", "sig"), mustFindKey("HS512", "sig")
	mustFindKey("RSA-OAEP", "enc")
	if rsaKey.Passive || rsaKey.Priority != 100 || realm.SigningKeyID("RS256") != rsaKey.ID ||
		signInKID(t, realm) != rsaKey.ID {
		t.Errorf("access tokens are signed by %v, want %+v with priority 100",
			signInKID(t, realm), rsaKey)
	}
	if realm.SigningKeyID("HS512") != hmacKey.ID {
		t.Errorf("refresh tokens are signed by %s, want %s", realm.SigningKeyID("HS512"),
			hmacKey.ID)
	}
	if kids := publishedKIDs(t, realm); !slices.Contains(kids, rsaKey.ID) ||
		slices.Contains(kids, hmacKey.ID) {
		t.Errorf("published keys are %v, want %s and not the HMAC key %s", kids, rsaKey.ID,
			hmacKey.ID)
	}
	keys[0].ID = "changed"
	if realm.Keys()[0].ID == "changed" {
		t.Error("changing the result of Keys changes the realm's keys, want a copy")
	}
}

// SigningKeyID generates a key if the realm has none for the algorithm, but only for an algorithm
// that Keycloak supports.
func TestRealm_SigningKeyID(t *testing.T) {
	_, realm := startShop(t)
	count := len(realm.Keys())
	for _, algorithm := range []string{"RS256", "HS512", "none", "RSA-OAEP", ""} {
		kid := realm.SigningKeyID(algorithm)
		if wantKey := algorithm == "RS256" || algorithm == "HS512"; wantKey != (kid != "") ||
			len(realm.Keys()) != count {
			t.Errorf("SigningKeyID(%q) = %q, want a key: %t; the realm then has %d keys, want %d",
				algorithm, kid, wantKey, len(realm.Keys()), count)
		}
	}
	kid1, kid2 := realm.SigningKeyID("EdDSA"), realm.SigningKeyID("EdDSA")
	if kids := publishedKIDs(t, realm); kid1 != kid2 || !slices.Contains(kids, kid1) {
		t.Errorf("SigningKeyID(EdDSA) = %s, then %s, want the same key twice, published in %v",
			kid1,
			kid2, kids)
	}
}

// After RotateKeys, the new key signs new tokens, and tokens signed by the old key stay valid.
func TestRealm_RotateKeys(t *testing.T) {
	kc, realm := startShop(t)
	oldKID := realm.SigningKeyID("RS256")
	oldTokens := signIn(t, realm)
	newKID, err := realm.RotateKeys("RS256")
	must(t, err)
	if newKID == oldKID || realm.SigningKeyID("RS256") != newKID || signInKID(t, realm) != newKID {
		t.Errorf("tokens are signed by %s, want the new key %s", signInKID(t, realm), newKID)
	}
	if kids := publishedKIDs(t, realm); !slices.Contains(kids, oldKID) ||
		!slices.Contains(kids, newKID) {
		t.Errorf("published keys are %v, want both %s and %s", kids, oldKID, newKID)
	}
	for order, token := range map[string]string{"before": oldTokens.AccessToken,
		"after": signIn(t, realm).AccessToken} {
		if _, err := verify(t, kc, realm, token); err != nil {
			t.Errorf("verify of a token issued %s the rotation returns %v, want no error", order,
				err)
		}
		wantUserinfoOK(t, realm, token)
	}
	// Refresh tokens are signed by the key for HS512.
	_, err = realm.RotateKeys("HS512")
	must(t, err)
	refresh(t, realm, oldTokens.RefreshToken).wantOK(t)
	kid := parseHeader(t, signIn(t, realm).RefreshToken)["kid"]
	if kid != realm.SigningKeyID("HS512") {
		t.Errorf("refresh token is signed by %v, want %s", kid, realm.SigningKeyID("HS512"))
	}
	_, err = realm.AddKey(keycloaktest.Key{Algorithm: "RS256", Priority: 500})
	must(t, err)
	for range 3 { // the newest key signs, even if an older key has a high priority
		newestKID, err := realm.RotateKeys("RS256")
		must(t, err)
		if realm.SigningKeyID("RS256") != newestKID {
			t.Errorf("SigningKeyID(RS256) = %s, want the newest key, %s",
				realm.SigningKeyID("RS256"), newestKID)
		}
	}
}

// Servers share their initial keys, but not the keys that RotateKeys generates.
func TestRealm_RotateKeys_notShared(t *testing.T) {
	_, realm1 := startShop(t)
	_, realm2 := startShop(t)
	if realm1.SigningKeyID("RS256") != realm2.SigningKeyID("RS256") {
		t.Error("two servers have different initial keys, want the shared key")
	}
	kid1, err := realm1.RotateKeys("RS256")
	must(t, err)
	kid2, err := realm2.RotateKeys("RS256")
	must(t, err)
	if kid1 == kid2 {
		t.Error("RotateKeys returns the same key in two servers, want different keys")
	}
	// A shared key that one server makes passive stays active in other servers.
	sharedKID := realm2.Keys()[0].ID
	must(t, realm1.SetKeyPassive(sharedKID, true))
	if realm2.Keys()[0].Passive {
		t.Error("SetKeyPassive affects a key of another server, want no effect")
	}
}

// Of the active keys for an algorithm, the key with the highest priority signs. Of several such
// keys, the newest signs.
func TestRealm_AddKey(t *testing.T) {
	kc, realm := startShop(t)
	initialKID := realm.SigningKeyID("RS256")
	lowPriorityKID, err := realm.AddKey(keycloaktest.Key{Algorithm: "RS256", Priority: 50})
	must(t, err)
	if realm.SigningKeyID("RS256") != initialKID {
		t.Error("an added key with a lower priority signs, want the initial key to sign")
	}
	samePriorityKID, err := realm.AddKey(keycloaktest.Key{Algorithm: "RS256", Priority: 100})
	must(t, err)
	if realm.SigningKeyID("RS256") != samePriorityKID {
		t.Error("an added key with the same priority doesn't sign, want the newest key to sign")
	}
	passiveKID, err := realm.AddKey(
		keycloaktest.Key{Algorithm: "RS256", Priority: 200, Passive: true})
	must(t, err)
	if realm.SigningKeyID("RS256") != samePriorityKID {
		t.Error("a passive key signs, want the active key to sign")
	}
	if kids := publishedKIDs(t, realm); !slices.Contains(kids, lowPriorityKID) ||
		!slices.Contains(kids, passiveKID) {
		t.Errorf("published keys are %v, want %s and %s among them", kids, lowPriorityKID,
			passiveKID)
	}
	want := keycloaktest.Key{ID: passiveKID, Algorithm: "RS256", Use: "sig", Priority: 200,
		Passive: true}
	if keys := realm.Keys(); !slices.Contains(keys, want) {
		t.Errorf("Keys() = %v, want %v among them", keys, want)
	}
	if _, err := verify(t, kc, realm, signIn(t, realm).AccessToken); err != nil {
		t.Error(err)
	}
	for _, algorithm := range []string{"", "none", "RSA-OAEP", "rs256"} {
		_, err := realm.AddKey(keycloaktest.Key{Algorithm: algorithm})
		wantError(t, err, "isn't a signature algorithm of Keycloak")
		_, err = realm.RotateKeys(algorithm)
		wantError(t, err, "isn't a signature algorithm of Keycloak")
	}
}

// AddKey returns an error if the realm has 100 keys, so that a test with an endless loop can't use
// up the memory.
func TestRealm_AddKey_limit(t *testing.T) {
	_, realm := startShop(t)
	var err error
	n := 0
	for ; err == nil && n <= 200; n++ {
		_, err = realm.AddKey(keycloaktest.Key{Algorithm: "EdDSA"})
	}
	wantError(t, err, "a realm has at most 100 keys")
	if len(realm.Keys()) != 100 {
		t.Errorf("realm has %d keys, want 100", len(realm.Keys()))
	}
}

// A passive key no longer signs, but the tokens that it signed stay valid. SetKeyPassive can also
// make the key active again.
func TestRealm_SetKeyPassive(t *testing.T) {
	kc, realm := startShop(t)
	firstKID := realm.SigningKeyID("RS256")
	oldTokens := signIn(t, realm)
	secondKID, err := realm.AddKey(keycloaktest.Key{Algorithm: "RS256"})
	must(t, err)
	must(t, realm.SetKeyPassive(firstKID, true))
	if signInKID(t, realm) != secondKID {
		t.Error("a passive key signs, want the active key to sign")
	}
	if _, err := verify(t, kc, realm, oldTokens.AccessToken); err != nil {
		t.Errorf("verify of a token signed by a passive key returns %v, want no error", err)
	}
	wantUserinfoOK(t, realm, oldTokens.AccessToken)
	must(t, realm.SetKeyPassive(firstKID, false))
	if signInKID(t, realm) != firstKID {
		t.Error("a reactivated key doesn't sign, want it to sign")
	}
	wantError(t, realm.SetKeyPassive("no-such-key", true), `the realm has no key "no-such-key"`)
}

// RemoveKey invalidates the tokens that the key signed. The realm generates a new key when
// necessary.
func TestRealm_RemoveKey(t *testing.T) {
	kc, realm := startShop(t)
	kid := realm.SigningKeyID("RS256")
	oldTokens := signIn(t, realm)
	must(t, realm.RemoveKey(kid))
	if slices.Contains(publishedKIDs(t, realm), kid) {
		t.Error("a removed key is published, want only the other keys")
	}
	_, err := verify(t, kc, realm, oldTokens.AccessToken)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		t.Errorf("verifying a token signed by a removed key returns %v, want %v", err,
			jwkset.ErrKeyNotFound)
	}
	wantUserinfoError(t, realm, oldTokens.AccessToken, "Token verification failed")
	refresh(t, realm, oldTokens.RefreshToken).wantOK(t) // signed by another key
	wantError(t, realm.RemoveKey(kid), "the realm has no key")
	if _, err := verify(t, kc, realm, signIn(t, realm).AccessToken); err != nil ||
		signInKID(t, realm) == kid {
		t.Errorf("verify of a new token returns %v, and %v signs, want no error and a new key", err,
			signInKID(t, realm))
	}
	must(t, realm.RemoveKey(realm.SigningKeyID("HS512")))
	refresh(t, realm, oldTokens.RefreshToken).wantOAuthError(t, 400, "Invalid refresh token")
}

// Realms of different servers start with the same key unless OwnKeys is set.
func TestConfig_OwnKeys(t *testing.T) {
	t.Parallel()
	file := keycloaktest.RealmSpec{Name: "shop"}.File()
	// newServerKID starts a server and returns the ID of its signing key.
	newServerKID := func(ownKeys bool) string {
		kc, err := keycloaktest.Start(keycloaktest.Config{Realms: [][]byte{file}, OwnKeys: ownKeys})
		if err != nil {
			t.Fatal(err)
		}
		defer kc.Close()
		return kc.Realm("shop").SigningKeyID("RS256")
	}
	sharedKID := newServerKID(false)
	if got := newServerKID(false); got != sharedKID {
		t.Errorf("second server's key is %s, want the first server's key %s", got, sharedKID)
	}
	if got := newServerKID(true); got == sharedKID {
		t.Error("a server with OwnKeys has the shared key, want a different key")
	}
}
