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

// A totp is a credential for one-time codes (RFC 6238). Keycloak uses the secret's bytes as the
// HMAC key, without base32-decoding them.
type totp struct {
	secret    string
	algorithm string
	digits    int
	period    int64
}

// defaultTOTP has the parameters of a realm's default OTP policy.
var defaultTOTP = totp{"otp-secret-of-a-test", "HmacSHA1", 6, 30}

// credentials returns a password and the one-time code credential, for a realm file.
func (t totp) credentials() []object {
	secret, _ := json.Marshal(object{"value": t.secret})
	data, _ := json.Marshal(object{"subType": "totp", "algorithm": t.algorithm, "digits": t.digits,
		"period": t.period})
	return []object{
		{"type": "password", "value": "secret", "temporary": false},
		{"type": "otp", "userLabel": "phone", "secretData": string(secret), "credentialData": string(data)},
	}
}

// code returns the code for the time step that is steps from the current one. The first call in a
// scenario waits for the next time step if less than half of the current one is left. A scenario
// that doesn't end within that time step runs again.
func (t totp) code(s *scenario, steps int64) string {
	if len(s.deadlines) == 0 {
		left := t.period - s.kc.now().Unix()%t.period
		if left < t.period/2 {
			s.wait(sec(int(left)))
			left = t.period
		}
		s.deadline(sec(int(left) - 1))
	}
	return t.codeAt(s.kc.now().Unix()/t.period + steps)
}

// codeAt returns the code for a time step. See https://www.rfc-editor.org/rfc/rfc4226#section-5.3.
func (t totp) codeAt(step int64) string {
	newHash := map[string]func() hash.Hash{"HmacSHA1": sha1.New,
		"HmacSHA256": sha256.New}[t.algorithm]
	mac := hmac.New(newHash, []byte(t.secret))
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	number := uint64(binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff)
	limit := uint64(1)
	for range t.digits {
		limit *= 10
	}
	return fmt.Sprintf("%0*d", t.digits, number%limit)
}

// TestOTP records the password grant with one-time codes.
func TestOTP(t *testing.T) {
	run(t, "otp", func(g *group) {
		r := g.realm(realmFile(nil))
		otp := defaultTOTP
		withOTP := object{"credentials": otp.credentials()}
		// step signs in with the code for the time step that is n from the current one.
		step := func(name string, n int64) {
			g.scenario(name, func(s *scenario) {
				u := s.user(r, withOTP)
				s.outcome("login", s.token(r, passwordGrant(u, "otp", otp.code(s, n))))
			})
		}
		step("current step", 0)
		step("previous step", -1)
		step("next step", 1)
		step("two steps ago", -2)
		step("three steps ago", -3)
		step("three steps ahead", 3)
		login := func(name string, settings object, pairs ...string) {
			g.scenario(name, func(s *scenario) {
				s.outcome("login", s.token(r, passwordGrant(s.user(r, settings), pairs...)))
			})
		}
		g.scenario("no code", func(s *scenario) {
			s.show(s.token(r, passwordGrant(s.user(r, withOTP))))
		})
		login("empty code", withOTP, "otp", "")
		login("not digits", withOTP, "otp", "abcdef")
		login("user without OTP", nil, "otp", "123456")
		g.scenario("wrong code", func(s *scenario) {
			u := s.user(r, withOTP)
			wrong := "000000"
			if otp.code(s, 0) == wrong || otp.code(s, 1) == wrong || otp.code(s, -1) == wrong {
				wrong = "000001"
			}
			s.outcome("login", s.token(r, passwordGrant(u, "otp", wrong)))
			s.outcome("then the right one", s.token(r, passwordGrant(u, "otp", otp.code(s, 0))))
		})
		g.scenario("right code, wrong password", func(s *scenario) {
			u := s.user(r, withOTP)
			code := otp.code(s, 0)
			s.outcome("login", s.token(r, passwordGrant(u, "otp", code, "password", "wrong")))
			s.outcome("the same code, right password", s.token(r, passwordGrant(u, "otp", code)))
		})
		g.scenario("replayed", func(s *scenario) {
			u := s.user(r, withOTP)
			code := otp.code(s, 0)
			s.outcome("first", s.token(r, passwordGrant(u, "otp", code)))
			s.outcome("again", s.token(r, passwordGrant(u, "otp", code)))
			s.outcome("the code of the step before",
				s.token(r, passwordGrant(u, "otp", otp.code(s, -1))))
			s.outcome("the code of the next step",
				s.token(r, passwordGrant(u, "otp", otp.code(s, 1))))
		})
		g.scenario("parameter totp", func(s *scenario) {
			u := s.user(r, withOTP)
			s.outcome("alone", s.token(r, passwordGrant(u, "totp", otp.code(s, 0))))
			s.outcome("otp wins",
				s.token(r, passwordGrant(u, "totp", otp.code(s, 1), "otp", "000000")))
			s.outcome("otp wins",
				s.token(r, passwordGrant(u, "totp", "000000", "otp", otp.code(s, 1))))
		})
		g.scenario("spaces around", func(s *scenario) {
			s.outcome("login",
				s.token(r, passwordGrant(s.user(r, withOTP), "otp", " "+otp.code(s, 0)+" ")))
		})
		g.scenario("another algorithm, length and period than the realm's", func(s *scenario) {
			otp := totp{"another-otp-secret", "HmacSHA256", 8, 60}
			u := s.user(r, object{"credentials": otp.credentials()})
			s.outcome("login", s.token(r, passwordGrant(u, "otp", otp.code(s, 0))))
		})
		g.scenario("disabled user", func(s *scenario) {
			u := s.user(r, merge(withOTP, object{"enabled": false}))
			s.outcome("right code", s.token(r, passwordGrant(u, "otp", otp.code(s, 0))))
			s.outcome("no code", s.token(r, passwordGrant(u)))
		})
		// An import ignores an OTP policy without a type.
		policy := object{"otpPolicyCodeReusable": true, "otpPolicyLookAheadWindow": 0}
		for _, settings := range []object{policy,
			merge(policy, object{"otpPolicyType": "totp"})} {
			reusableCodeRealm := g.realm(realmFile(settings))
			g.scenario(fmt.Sprint("reusable codes, no look-ahead, type ", settings["otpPolicyType"]),
				func(s *scenario) {
					u := s.user(reusableCodeRealm, withOTP)
					code := otp.code(s, 0)
					s.outcome("first", s.token(reusableCodeRealm, passwordGrant(u, "otp", code)))
					s.outcome("again", s.token(reusableCodeRealm, passwordGrant(u, "otp", code)))
					s.outcome("the step before",
						s.token(reusableCodeRealm, passwordGrant(u, "otp", otp.code(s, -1))))
				})
		}
		g.scenario("CONFIGURE_TOTP required", func(s *scenario) {
			u := s.user(r, object{"requiredActions": []string{"CONFIGURE_TOTP"}})
			s.outcome("login", s.token(r, passwordGrant(u)))
		})
	})
}

// sec returns n seconds.
func sec(n int) time.Duration { return time.Duration(n) * time.Second }

// atHash returns the at_hash for an access token that is signed with a 256-bit algorithm.
func atHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
