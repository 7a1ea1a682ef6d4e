package e2e

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// totp returns the six-digit one-time code for a time, as in RFC 6238. The key is the bytes of the
// secret, as in Keycloak.
func totp(secret string, t time.Time) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(t.Unix()/30)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[offset:])&0x7fffffff)%1_000_000)
}

// otpCredentials returns a password and a device for one-time codes, as the credentials of a user
// in a realm file.
func otpCredentials(password, secret string) []object {
	return []object{
		{"type": "password", "value": password, "temporary": false},
		{
			"type": "otp", "secretData": string(must(json.Marshal(object{"value": secret}))),
			"credentialData": `{"subType":"totp","digits":6,"counter":0,"period":30,"algorithm":"HmacSHA1"}`,
		},
	}
}
