package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/cloakql/cloakql/identity"
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
	if redis.Prefix == "" {
		redis.Prefix = defaultPrefix(raw.realmName, raw.Server.Client.ClientID)
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
		redis.SealSecrets = []redisstore.Secret{derivedKey(raw.Server.Client.ClientSecret)}
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

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// defaultPrefix returns the default of STORE_PREFIX. If the names have other characters than a
// prefix may have, it has a hash of them.
func defaultPrefix(realm, client string) string {
	prefix := "cloakql:" + realm + ":" + client
	if prefixPattern.MatchString(prefix) {
		return prefix
	}
	sum := sha256.Sum256([]byte(realm + "\x00" + client))
	return "cloakql:" + hex.EncodeToString(sum[:16])
}

// derivedKey returns the default of STORE_KEY.
func derivedKey(clientSecret identity.Secret) redisstore.Secret {
	return redisstore.NewSecret("cloakql store key, derived from: " + clientSecret.Reveal())
}
