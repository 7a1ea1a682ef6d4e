package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// MinSealSecretBytes is the minimum length of each of Config.SealSecrets.
const MinSealSecretBytes = 16

// A sealed value consists of sealVersion, the ID of the key, and what AES-GCM returns: a random
// nonce, the ciphertext and the tag.
const (
	sealVersion = 1
	keyIDBytes  = 4
)

var errSealed = errors.New("a result in the shared store can't be decrypted: either the " +
	"processes have different secrets, or somebody has changed it")

// A sealer encrypts and decrypts results.
type sealer struct{ keys []sealKey } // the first one encrypts

// A sealKey is a key that was derived from a secret, and its ID.
type sealKey struct {
	id   [keyIDBytes]byte
	aead cipher.AEAD
}

// newSealer returns a sealer with a key for each secret.
func newSealer(secrets []Secret) (*sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret to encrypt results with")
	}
	s := &sealer{}
	for i, secret := range secrets {
		text := []byte(secret.reveal())
		if len(text) < MinSealSecretBytes {
			return nil, fmt.Errorf("secret %d to encrypt results with has %d bytes: expected at "+
				"least %d", i+1, len(text), MinSealSecretBytes)
		}
		const info = "cloakql store results 1 "
		key, err := hkdf.Key(sha256.New, text, nil, info+"key", 32)
		if err != nil {
			return nil, err
		}
		id, err := hkdf.Key(sha256.New, text, nil, info+"id", keyIDBytes)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, sealKey{id: [keyIDBytes]byte(id), aead: aead})
	}
	return s, nil
}

// seal encrypts a value. open needs the same context.
func (s *sealer) seal(value []byte, context string) []byte {
	key := s.keys[0]
	sealed := append([]byte{sealVersion}, key.id[:]...)
	return key.aead.Seal(sealed, nil, value, []byte(context))
}

// open decrypts what seal has returned. The result isn't nil, even if the value is empty.
func (s *sealer) open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) < 1+keyIDBytes || sealed[0] != sealVersion {
		return nil, errSealed
	}
	id, ciphertext := [keyIDBytes]byte(sealed[1:]), sealed[1+keyIDBytes:]
	for _, key := range s.keys {
		if key.id != id {
			continue
		}
		if value, err := key.aead.Open([]byte{}, nil, ciphertext, []byte(context)); err == nil {
			return value, nil
		}
	}
	return nil, errSealed
}
