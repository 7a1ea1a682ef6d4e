package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/cloakql/cloakql/store/redisstore"
)

const (
	storeName    = "STORE"
	storeKeyName = "STORE_KEY"
)

// finishStore sets the configuration of the shared store, and checks it.
func (raw *rawSettings) finishStore(p *problems) {
	redis := &raw.Redis
	if raw.storeURL.Reveal() == "" {
		raw.checkNoStore(p)
		*redis = redisstore.Config{}
		return
	}
	redis.URL = redisstore.NewSecret(raw.storeURL.Reveal())
	raw.Server.Attempts.StoreTimeout = redis.Timeout
	if redis.Prefix == "" {
		redis.Prefix = defaultPrefix(raw.Server.Realm.Issuer(), raw.Server.Client.ClientID)
	}
	for key := range strings.SplitSeq(raw.storeKeys.Reveal(), ",") {
		if key = strings.TrimSpace(key); key != "" {
			redis.SealSecrets = append(redis.SealSecrets, redisstore.NewSecret(key))
		}
	}
	if len(redis.SealSecrets) == 0 {
		if p.hasAny(secretName, secretName+"_FILE") {
			return
		}
		secret := raw.Server.Client.ClientSecret.Reveal()
		if len(secret) < redisstore.MinSealSecretBytes {
			p.add(storeKeyName, "is missing: %s is shorter than %d bytes, so no key can be "+
				"derived from it. Expected a secret of at least %[2]d bytes", secretName,
				redisstore.MinSealSecretBytes)
			return
		}
		redis.SealSecrets = []redisstore.Secret{redisstore.NewSecret(secret)}
	}
	client, err := redisstore.Open(*redis)
	if err != nil {
		p.addEach(storeName, err)
		return
	}
	client.Close()
}

// checkNoStore reports settings that need STORE.
func (raw *rawSettings) checkNoStore(p *problems) {
	for name, isSet := range map[string]bool{
		"STORE_PASSWORD_FILE": raw.Redis.PasswordFile != "",
		"STORE_PREFIX":        raw.Redis.Prefix != "",
		storeKeyName:          raw.storeKeys.Reveal() != "",
	} {
		if isSet {
			p.add(name, "is set, but %s isn't: expected the URL of Redis there", storeName)
		}
	}
}

// defaultPrefix returns the default of STORE_PREFIX. It has a hash of the realm's URL and of the
// client ID: realms with the same name at different Keycloaks have different prefixes.
func defaultPrefix(realm, client string) string {
	sum := sha256.Sum256([]byte(realm + "\x00" + client))
	return "cloakql:" + hex.EncodeToString(sum[:8])
}
