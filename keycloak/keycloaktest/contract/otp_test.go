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

// credentials returns a user's credentials for a realm file: the password "secret" and the one-time
// codes.
func (t totp) credentials() []object {
	secret, _ := json.Marshal(object{"value": t.secret})
	data, _ := json.Marshal(object{"subType": "totp", "algorithm": t.algorithm, "digits": t.digits,
		"period": t.period})
	return []object{
		{"type": "password", "value": "secret", "temporary": false},
		{"type": "otp", "userLabel": "phone", "secretData": string(secret),
			"credentialData": string(data)},
	}
}

// code returns the code for a time step: 0 is the current step, -1 the step before it. If less than
// half of the current step is left, the first call in a scenario waits for the next step. If the
// scenario doesn't end within that step, it runs again.
func (t totp) code(s *scenario, step int64) string {
	if len(s.deadlines) == 0 {
		remaining := t.period - s.kc.now().Unix()%t.period
		if remaining < t.period/2 {
			s.wait(seconds(int(remaining)))
			remaining = t.period
		}
		s.setDeadline(seconds(int(remaining) - 1))
	}
	return t.codeAt(s.kc.now().Unix()/t.period + step)
}

// codeAt returns the code for a time step, counted from 1970. See
// https://www.rfc-editor.org/rfc/rfc4226#section-5.3.
func (t totp) codeAt(step int64) string {
	newHash := map[string]func() hash.Hash{"HmacSHA1": sha1.New,
		"HmacSHA256": sha256.New}[t.algorithm]
	mac := hmac.New(newHash, []byte(t.secret))
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	number := uint64(binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff)
	modulus := uint64(1)
	for range t.digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", t.digits, number%modulus)
}

// TestOTP records the password grant with one-time codes.
func TestOTP(t *testing.T) {
	run(t, "otp", func(suite *testSuite) {
		r := suite.addRealm(realmJSON(nil))
		otp := defaultTOTP
		userWithOTP := object{"credentials": otp.credentials()}
		// addTimeStep adds a scenario that signs in with the code for a time step: see totp.code.
		addTimeStep := func(name string, step int64) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, userWithOTP)
				s.recordOutcome("login", s.token(r, passwordGrant(u, "otp", otp.code(s, step))))
			})
		}
		addTimeStep("current step", 0)
		addTimeStep("previous step", -1)
		addTimeStep("next step", 1)
		addTimeStep("two steps ago", -2)
		addTimeStep("three steps ago", -3)
		addTimeStep("three steps ahead", 3)
		addPasswordGrant := func(name string, userFields object, pairs ...string) {
			suite.add(name, func(s *scenario) {
				u := s.addUser(r, userFields)
				s.recordOutcome("login", s.token(r, passwordGrant(u, pairs...)))
			})
		}
		suite.add("no code", func(s *scenario) {
			s.record(s.token(r, passwordGrant(s.addUser(r, userWithOTP))))
		})
		addPasswordGrant("empty code", userWithOTP, "otp", "")
		addPasswordGrant("not digits", userWithOTP, "otp", "abcdef")
		addPasswordGrant("user without OTP", nil, "otp", "123456")
		suite.add("wrong code", func(s *scenario) {
			u := s.addUser(r, userWithOTP)
			wrongCode := "000000"
			if otp.code(s, 0) == wrongCode || otp.code(s, 1) == wrongCode ||
				otp.code(s, -1) == wrongCode {
				wrongCode = "000001"
			}
			s.recordOutcome("login", s.token(r, passwordGrant(u, "otp", wrongCode)))
			s.recordOutcome("then the right one",
				s.token(r, passwordGrant(u, "otp", otp.code(s, 0))))
		})
		suite.add("right code, wrong password", func(s *scenario) {
			u := s.addUser(r, userWithOTP)
			code := otp.code(s, 0)
			s.recordOutcome("login", s.token(r, passwordGrant(u, "otp", code, "password", "wrong")))
			s.recordOutcome("the same code, right password",
				s.token(r, passwordGrant(u, "otp", code)))
		})
		suite.add("replayed", func(s *scenario) {
			u := s.addUser(r, userWithOTP)
			code := otp.code(s, 0)
			s.recordOutcome("first", s.token(r, passwordGrant(u, "otp", code)))
			s.recordOutcome("again", s.token(r, passwordGrant(u, "otp", code)))
			s.recordOutcome("the code of the step before",
				s.token(r, passwordGrant(u, "otp", otp.code(s, -1))))
			s.recordOutcome("the code of the next step",
				s.token(r, passwordGrant(u, "otp", otp.code(s, 1))))
		})
		suite.add("parameter totp", func(s *scenario) {
			u := s.addUser(r, userWithOTP)
			s.recordOutcome("alone", s.token(r, passwordGrant(u, "totp", otp.code(s, 0))))
			s.recordOutcome("otp wins",
				s.token(r, passwordGrant(u, "totp", otp.code(s, 1), "otp", "000000")))
			s.recordOutcome("otp wins",
				s.token(r, passwordGrant(u, "totp", "000000", "otp", otp.code(s, 1))))
		})
		suite.add("spaces around", func(s *scenario) {
			s.recordOutcome("login",
				s.token(r, passwordGrant(s.addUser(r, userWithOTP), "otp", " "+otp.code(s, 0)+" ")))
		})
		suite.add("another algorithm, length and period than the realm's", func(s *scenario) {
			otp := totp{"another-otp-secret", "HmacSHA256", 8, 60}
			u := s.addUser(r, object{"credentials": otp.credentials()})
			s.recordOutcome("login", s.token(r, passwordGrant(u, "otp", otp.code(s, 0))))
		})
		suite.add("disabled user", func(s *scenario) {
			u := s.addUser(r, merge(userWithOTP, object{"enabled": false}))
			s.recordOutcome("right code", s.token(r, passwordGrant(u, "otp", otp.code(s, 0))))
			s.recordOutcome("no code", s.token(r, passwordGrant(u)))
		})
		// An import ignores an OTP policy without a type: test the policy without and with a type.
		policy := object{"otpPolicyCodeReusable": true, "otpPolicyLookAheadWindow": 0}
		for _, settings := range []object{policy,
			merge(policy, object{"otpPolicyType": "totp"})} {
			reusableCodeRealm := suite.addRealm(realmJSON(settings))
			suite.add(fmt.Sprint("reusable codes, no look-ahead, type ", settings["otpPolicyType"]),
				func(s *scenario) {
					u := s.addUser(reusableCodeRealm, userWithOTP)
					code := otp.code(s, 0)
					s.recordOutcome("first",
						s.token(reusableCodeRealm, passwordGrant(u, "otp", code)))
					s.recordOutcome("again",
						s.token(reusableCodeRealm, passwordGrant(u, "otp", code)))
					s.recordOutcome("the step before",
						s.token(reusableCodeRealm, passwordGrant(u, "otp", otp.code(s, -1))))
				})
		}
		suite.add("CONFIGURE_TOTP required", func(s *scenario) {
			u := s.addUser(r, object{"requiredActions": []string{"CONFIGURE_TOTP"}})
			s.recordOutcome("login", s.token(r, passwordGrant(u)))
		})
	})
}

// seconds returns a duration of n seconds.
func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// atHash returns the at_hash for an access token that is signed with a 256-bit algorithm, such as
// RS256.
func atHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
