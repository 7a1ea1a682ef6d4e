package contract

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"testing"
	"time"
)

// A totp is a credential for one-time codes (RFC 6238). Keycloak's key is the text of the secret,
// not decoded from base32.
type totp struct {
	secret    string
	algorithm string
	digits    int
	period    int64
}

var usualTOTP = totp{"otp-secret-of-a-test", "HmacSHA1", 6, 30}

// credentials returns a password and the totp for a realm file.
func (o totp) credentials() []object {
	secret, _ := json.Marshal(object{"value": o.secret})
	data, _ := json.Marshal(object{"subType": "totp", "algorithm": o.algorithm, "digits": o.digits,
		"period": o.period})
	return []object{
		{"type": "password", "value": "secret", "temporary": false},
		{"type": "otp", "userLabel": "phone", "secretData": string(secret), "credentialData": string(data)},
	}
}

// code returns the code that is this many time steps from now. The first call waits for the next
// step if this one is nearly over. If the exchange doesn't end within the step, it runs again.
func (o totp) code(x *exchange, steps int64) string {
	if len(x.limits) == 0 {
		left := o.period - x.kc.now().Unix()%o.period
		if left < o.period/2 {
			x.wait(sec(int(left)))
			left = o.period
		}
		x.within(sec(int(left) - 1))
	}
	return o.at(x.kc.now().Unix()/o.period + steps)
}

// at returns the code of a time step. See https://www.rfc-editor.org/rfc/rfc4226#section-5.3.
func (o totp) at(step int64) string {
	newHash := map[string]func() hash.Hash{"HmacSHA1": sha1.New,
		"HmacSHA256": sha256.New}[o.algorithm]
	mac := hmac.New(newHash, []byte(o.secret))
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	number := uint64(binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff)
	limit := uint64(1)
	for range o.digits {
		limit *= 10
	}
	return fmt.Sprintf("%0*d", o.digits, number%limit)
}

// The password grant with one-time codes.
func TestOTP(t *testing.T) {
	run(t, "otp", func(g *group) {
		r := g.realm(realmFile(nil))
		withOTP := object{"credentials": usualTOTP.credentials()}
		o := usualTOTP
		// step logs in with the code of another time step.
		step := func(name string, n int64) {
			g.exchange(name, func(x *exchange) {
				u := x.user(r, withOTP)
				x.outcome("login", x.token(r, passwordGrant(u, "otp", o.code(x, n))))
			})
		}
		step("current step", 0)
		step("previous step", -1)
		step("next step", 1)
		step("two steps ago", -2)
		step("three steps ago", -3)
		step("three steps ahead", 3)
		login := func(name string, settings object, pairs ...string) {
			g.exchange(name, func(x *exchange) {
				x.outcome("login", x.token(r, passwordGrant(x.user(r, settings), pairs...)))
			})
		}
		g.exchange("no code", func(x *exchange) {
			x.show(x.token(r, passwordGrant(x.user(r, withOTP))))
		})
		login("empty code", withOTP, "otp", "")
		login("not digits", withOTP, "otp", "abcdef")
		login("user without OTP", nil, "otp", "123456")
		g.exchange("wrong code", func(x *exchange) {
			u := x.user(r, withOTP)
			wrong := "000000"
			if o.code(x, 0) == wrong || o.code(x, 1) == wrong || o.code(x, -1) == wrong {
				wrong = "000001"
			}
			x.outcome("login", x.token(r, passwordGrant(u, "otp", wrong)))
			x.outcome("then the right one", x.token(r, passwordGrant(u, "otp", o.code(x, 0))))
		})
		g.exchange("right code, wrong password", func(x *exchange) {
			u := x.user(r, withOTP)
			code := o.code(x, 0)
			x.outcome("login", x.token(r, passwordGrant(u, "otp", code, "password", "wrong")))
			x.outcome("the same code, right password", x.token(r, passwordGrant(u, "otp", code)))
		})
		g.exchange("replayed", func(x *exchange) {
			u := x.user(r, withOTP)
			code := o.code(x, 0)
			x.outcome("first", x.token(r, passwordGrant(u, "otp", code)))
			x.outcome("again", x.token(r, passwordGrant(u, "otp", code)))
			x.outcome("the code of the step before",
				x.token(r, passwordGrant(u, "otp", o.code(x, -1))))
			x.outcome("the code of the next step",
				x.token(r, passwordGrant(u, "otp", o.code(x, 1))))
		})
		g.exchange("parameter totp", func(x *exchange) {
			u := x.user(r, withOTP)
			x.outcome("alone", x.token(r, passwordGrant(u, "totp", o.code(x, 0))))
			x.outcome("otp wins",
				x.token(r, passwordGrant(u, "totp", o.code(x, 1), "otp", "000000")))
			x.outcome("otp wins",
				x.token(r, passwordGrant(u, "totp", "000000", "otp", o.code(x, 1))))
		})
		g.exchange("spaces around", func(x *exchange) {
			x.outcome("login",
				x.token(r, passwordGrant(x.user(r, withOTP), "otp", " "+o.code(x, 0)+" ")))
		})
		g.exchange("another algorithm, length and period than the realm's", func(x *exchange) {
			o := totp{"another-otp-secret", "HmacSHA256", 8, 60}
			u := x.user(r, object{"credentials": o.credentials()})
			x.outcome("login", x.token(r, passwordGrant(u, "otp", o.code(x, 0))))
		})
		g.exchange("disabled user", func(x *exchange) {
			u := x.user(r, merge(withOTP, object{"enabled": false}))
			x.outcome("right code", x.token(r, passwordGrant(u, "otp", o.code(x, 0))))
			x.outcome("no code", x.token(r, passwordGrant(u)))
		})
		// An import ignores an OTP policy without a type.
		policy := object{"otpPolicyCodeReusable": true, "otpPolicyLookAheadWindow": 0}
		for _, p := range []object{policy, merge(policy, object{"otpPolicyType": "totp"})} {
			reusable := g.realm(realmFile(p))
			g.exchange(fmt.Sprint("reusable codes, no look-ahead, type ", p["otpPolicyType"]),
				func(x *exchange) {
					u := x.user(reusable, withOTP)
					code := o.code(x, 0)
					x.outcome("first", x.token(reusable, passwordGrant(u, "otp", code)))
					x.outcome("again", x.token(reusable, passwordGrant(u, "otp", code)))
					x.outcome("the step before",
						x.token(reusable, passwordGrant(u, "otp", o.code(x, -1))))
				})
		}
		g.exchange("CONFIGURE_TOTP required", func(x *exchange) {
			u := x.user(r, object{"requiredActions": []string{"CONFIGURE_TOTP"}})
			x.outcome("login", x.token(r, passwordGrant(u)))
		})
	})
}

// sec returns n seconds.
func sec(n int) time.Duration { return time.Duration(n) * time.Second }

// halfHash returns the at_hash for an access token that is signed with a 256-bit algorithm.
func halfHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
