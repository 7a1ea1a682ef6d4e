package keycloaktest

import (
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// An otpCredential makes and checks one-time codes (TOTP, RFC 6238).
type otpCredential struct {
	secret  string // base32 of the key
	options hotp.ValidateOpts
	period  int64
	used    []int64 // time steps whose code was accepted, newest last
}

// addCredential takes a password or a one-time-code secret of a realm file.
func (u *user) addCredential(document realmfile.Credential, settings realmfile.Realm) error {
	switch {
	case document.Hashed() || !document.Known(): // as without it; it is listed as ignored
		return nil
	case document.SecretData == "" && document.Type != "password" && document.Type != "":
		return errors.New("credential: secretData is missing")
	}
	switch document.Type {
	case "password", "":
		u.password = document.Value
	case "otp", "totp":
		var secret struct {
			Value string `json:"value"`
		}
		var data struct {
			SubType   string `json:"subType"`
			Digits    int    `json:"digits"`
			Period    int64  `json:"period"`
			Algorithm string `json:"algorithm"`
			Encoding  string `json:"secretEncoding"`
		}
		if err := json.Unmarshal([]byte(document.SecretData), &secret); err != nil {
			return fmt.Errorf("credential: secretData: %w", err)
		}
		if err := json.Unmarshal([]byte(document.CredentialData), &data); err != nil {
			return fmt.Errorf("credential: credentialData: %w", err)
		}
		if data.SubType != "" && data.SubType != "totp" {
			return fmt.Errorf("credential: one-time codes of type %q are not supported: totp is",
				data.SubType)
		}
		key := []byte(secret.Value) // Keycloak's key is the text's own bytes
		if data.Encoding == "BASE32" {
			var err error
			key, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(
				strings.TrimRight(secret.Value, "="))
			if err != nil {
				return fmt.Errorf("credential: secretData: %w", err)
			}
		}
		algorithm, known := map[string]otp.Algorithm{"": otp.AlgorithmSHA1,
			"HmacSHA1": otp.AlgorithmSHA1, "HmacSHA256": otp.AlgorithmSHA256,
			"HmacSHA512": otp.AlgorithmSHA512}[data.Algorithm]
		if !known {
			return fmt.Errorf("credential: the algorithm %q of one-time codes is not supported",
				data.Algorithm)
		}
		digits, period := data.Digits, data.Period
		if digits == 0 {
			digits = 6
		}
		if period == 0 {
			period = 30
		}
		if digits < 4 || digits > 10 || period < 1 || period > 3600 {
			return fmt.Errorf("credential: one-time codes of %d digits and %d s are not supported",
				digits, period)
		}
		u.otp = &otpCredential{
			secret:  base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key),
			period:  period,
			options: hotp.ValidateOpts{Digits: otp.Digits(digits), Algorithm: algorithm},
		}
	default:
		return fmt.Errorf("credential type %q is not supported", document.Type)
	}
	return nil
}

// code is the one-time code of a moment.
func (o *otpCredential) code(step int64) string {
	return must(hotp.GenerateCodeCustom(o.secret, uint64(step), o.options))
}

// accepts takes the codes of the look-ahead window around now, each once.
func (o *otpCredential) accepts(code string, now time.Time, settings realmfile.Realm) bool {
	window, reusable := int64(1), false
	if settings.OTPPolicyType != "" { // without a type, an import takes nothing of the policy
		window = int64(or(settings.OTPPolicyLookAheadWindow, 1))
		reusable = settings.OTPPolicyCodeReusable ||
			settings.Attributes["realmReusableOtpCode"] == "true"
	}
	current := now.Unix() / o.period
	for step := current - window; step <= current+window; step++ {
		if o.code(step) != code {
			continue
		}
		if reusable {
			return true
		}
		if slices.Contains(o.used, step) {
			return false
		}
		o.used = append(o.used, step)
		o.used = o.used[max(0, len(o.used)-10):]
		return true
	}
	return false
}

// failures is what brute-force protection knows of a user.
type failures struct {
	count       int
	last        time.Time
	until       time.Time // locked until then
	lockouts    int
	permanently bool
}

// failed counts a wrong password or code, and locks (DefaultBruteForceProtector, Keycloak 26.7.4).
// Unlike there, the lock holds at once: Keycloak counts in another thread, and a right password in
// that moment gets in.
func (r *Realm) failed(u *user, now time.Time) {
	set := r.settings
	if !set.BruteForceProtected || !u.Enabled {
		return
	}
	f := &u.failures
	sinceLast := now.Sub(f.last)
	if !f.last.IsZero() && sinceLast > seconds(or(set.MaxDeltaTimeSeconds, 43200)) {
		f.count = 0
	}
	first := f.last.IsZero()
	f.count++
	f.last = now
	factor := max(1, or(set.FailureFactor, 30))
	wait := time.Duration(0)
	if f.count >= factor {
		times := f.count / factor
		if set.BruteForceStrategy == "LINEAR" {
			times = 1 + f.count - factor
		}
		wait = seconds(or(set.WaitIncrementSeconds, 60)) * time.Duration(times)
	}
	quick := time.Duration(or(set.QuickLoginCheckMilliSeconds, 1000)) * time.Millisecond
	// Keycloak hashes a password for longer than quickest, so that no two failures of its are that
	// close.
	const quickest = 10 * time.Millisecond
	if wait == 0 && !first && sinceLast < quick && quick > quickest {
		wait = seconds(or(set.MinimumQuickLoginWait, 60))
	}
	if wait == 0 {
		return
	}
	if set.PermanentLockout && f.count >= factor {
		if f.lockouts >= set.MaxTemporaryLockouts {
			f.permanently = true
			u.Enabled = false
			return
		}
		f.lockouts++
	}
	f.until = now.Add(min(wait, seconds(or(set.MaxFailureWaitSeconds, 900))))
}

func (r *Realm) succeeded(u *user) { u.failures = failures{permanently: u.permanently} }

func (r *Realm) locked(u *user, now time.Time) bool {
	return r.settings.BruteForceProtected && now.Before(u.until) || u.permanently
}

// profileAction is what Keycloak asks of who has an incomplete profile.
const profileAction = "VERIFY_PROFILE"

// incomplete reports whether a person's profile lacks what it must have.
func (r *Realm) incomplete(u *user) bool {
	return u.ServiceAccountOf == "" && !r.profile.Complete(&u.User, &r.settings)
}

// pendingActions are the required actions of a user that the realm hasn't switched off, and the one
// of an incomplete profile.
func (r *Realm) pendingActions(u *user) []string {
	off := func(alias string) bool {
		if r.settings.RequiredActions == nil {
			return false // not said: Keycloak's own are on
		}
		for _, action := range r.settings.RequiredActions {
			if action.Alias == alias {
				return !action.Enabled
			}
		}
		return true // the realm has it not
	}
	pending := slices.DeleteFunc(slices.Clone(u.RequiredActions), func(alias string) bool {
		return alias == profileAction || off(alias)
	})
	if r.incomplete(u) && !off(profileAction) {
		pending = append(pending, profileAction)
	}
	const verify = "VERIFY_EMAIL"
	if r.settings.VerifyEmail && !u.EmailVerified && u.ServiceAccountOf == "" && !off(verify) &&
		!slices.Contains(pending, verify) {
		pending = append(pending, verify)
	}
	const update = "UPDATE_PASSWORD"
	if age := realmfile.MaxPasswordAge(r.settings.PasswordPolicy); age > 0 && u.password != "" &&
		r.server.Now().Sub(u.since) > age && !off(update) && !slices.Contains(pending, update) {
		pending = append(pending, update)
	}
	return pending
}

// badPassword says what the realm's policy has against a user's new password; nothing is "".
func (r *Realm) badPassword(u realmfile.User, password string) string {
	// it was checked when it was read
	rules, _ := realmfile.PasswordRules(r.settings.PasswordPolicy)
	for _, rule := range rules {
		if complaint := rule(u, password); complaint != "" {
			return complaint
		}
	}
	return ""
}
