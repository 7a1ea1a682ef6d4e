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

// An otpCredential generates and checks one-time codes (TOTP, RFC 6238).
type otpCredential struct {
	secret    string // in base32
	options   hotp.ValidateOpts
	period    int64
	usedSteps []int64 // time steps of accepted codes, newest last
}

// addCredential sets the user's password or one-time code secret from a credential in a realm file.
func (u *user) addCredential(record realmfile.Credential) error {
	switch {
	case record.IsHashed() || !record.IsSupported(): // not supported; Ignored lists it
		return nil
	case record.SecretData == "" && record.Type != "password" && record.Type != "":
		return errors.New("credential: secretData is missing")
	}
	switch record.Type {
	case "password", "":
		u.password = record.Value
	case "otp", "totp":
		var secretData struct {
			Value string `json:"value"`
		}
		var credentialData struct {
			SubType   string `json:"subType"`
			Digits    int    `json:"digits"`
			Period    int64  `json:"period"`
			Algorithm string `json:"algorithm"`
			Encoding  string `json:"secretEncoding"`
		}
		if err := json.Unmarshal([]byte(record.SecretData), &secretData); err != nil {
			return fmt.Errorf("credential: secretData: %w", err)
		}
		if err := json.Unmarshal([]byte(record.CredentialData), &credentialData); err != nil {
			return fmt.Errorf("credential: credentialData: %w", err)
		}
		if credentialData.SubType != "" && credentialData.SubType != "totp" {
			return fmt.Errorf("credential: one-time codes of type %q are not supported; only "+
				"totp is",
				credentialData.SubType)
		}
		key := []byte(secretData.Value) // not encoded by default
		if credentialData.Encoding == "BASE32" {
			var err error
			key, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(
				strings.TrimRight(secretData.Value, "="))
			if err != nil {
				return fmt.Errorf("credential: secretData: %w", err)
			}
		}
		algorithm, ok := map[string]otp.Algorithm{"": otp.AlgorithmSHA1,
			"HmacSHA1": otp.AlgorithmSHA1, "HmacSHA256": otp.AlgorithmSHA256,
			"HmacSHA512": otp.AlgorithmSHA512}[credentialData.Algorithm]
		if !ok {
			return fmt.Errorf("credential: the algorithm %q of one-time codes is not supported",
				credentialData.Algorithm)
		}
		digits, period := credentialData.Digits, credentialData.Period
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
		return fmt.Errorf("credential type %q is not supported", record.Type)
	}
	return nil
}

// code returns the one-time code of a time step.
func (o *otpCredential) code(step int64) string {
	return must(hotp.GenerateCodeCustom(o.secret, uint64(step), o.options))
}

// accept reports whether code is valid for a time step in the look-ahead window around now. It
// accepts a code only once unless the realm allows reuse.
func (o *otpCredential) accept(code string, now time.Time, settings realmfile.Realm) bool {
	lookAheadSteps, allowReuse := int64(1), false
	if settings.OTPPolicyType != "" { // an import ignores a policy without a type
		lookAheadSteps = int64(valueOr(settings.OTPPolicyLookAheadWindow, 1))
		allowReuse = settings.OTPPolicyCodeReusable ||
			settings.Attributes["realmReusableOtpCode"] == "true"
	}
	currentStep := now.Unix() / o.period
	for step := currentStep - lookAheadSteps; step <= currentStep+lookAheadSteps; step++ {
		if o.code(step) != code {
			continue
		}
		if allowReuse {
			return true
		}
		if slices.Contains(o.usedSteps, step) {
			return false
		}
		o.usedSteps = append(o.usedSteps, step)
		o.usedSteps = o.usedSteps[max(0, len(o.usedSteps)-10):]
		return true
	}
	return false
}

// bruteForceState is the state of a user's brute-force protection.
type bruteForceState struct {
	failureCount      int
	lastFailureAt     time.Time
	lockedUntil       time.Time
	lockoutCount      int
	lockedPermanently bool
}

// recordFailure counts a wrong password or code and may lock the user (DefaultBruteForceProtector,
// Keycloak 26.7.4). The lock takes effect immediately. Keycloak counts failures in another thread,
// so for a moment it still accepts the right password.
func (r *Realm) recordFailure(u *user, now time.Time) {
	settings := r.settings
	if !settings.BruteForceProtected || !u.Enabled {
		return
	}
	f := &u.bruteForceState
	sinceLastFailure := now.Sub(f.lastFailureAt)
	failureResetTime := seconds(valueOr(settings.MaxDeltaTimeSeconds, 43200))
	if !f.lastFailureAt.IsZero() && sinceLastFailure > failureResetTime {
		f.failureCount = 0
	}
	isFirstFailure := f.lastFailureAt.IsZero()
	f.failureCount++
	f.lastFailureAt = now
	failureFactor := max(1, valueOr(settings.FailureFactor, 30))
	wait := time.Duration(0)
	if f.failureCount >= failureFactor {
		increments := f.failureCount / failureFactor
		if settings.BruteForceStrategy == "LINEAR" {
			increments = 1 + f.failureCount - failureFactor
		}
		wait = seconds(valueOr(settings.WaitIncrementSeconds, 60)) * time.Duration(increments)
	}
	quickLoginInterval := time.Millisecond *
		time.Duration(valueOr(settings.QuickLoginCheckMilliSeconds, 1000))
	// In Keycloak, two failures are at least this far apart, because it hashes each password.
	const minInterval = 10 * time.Millisecond
	if wait == 0 && !isFirstFailure && sinceLastFailure < quickLoginInterval &&
		quickLoginInterval > minInterval {
		wait = seconds(valueOr(settings.MinimumQuickLoginWait, 60))
	}
	if wait == 0 {
		return
	}
	if settings.PermanentLockout && f.failureCount >= failureFactor {
		if f.lockoutCount >= settings.MaxTemporaryLockouts {
			f.lockedPermanently = true
			u.Enabled = false
			return
		}
		f.lockoutCount++
	}
	f.lockedUntil = now.Add(min(wait, seconds(valueOr(settings.MaxFailureWaitSeconds, 900))))
}

// resetFailures clears the user's failures and temporary lock, but not a permanent lockout.
func (r *Realm) resetFailures(u *user) {
	u.bruteForceState = bruteForceState{lockedPermanently: u.lockedPermanently}
}

// isLocked reports whether brute-force protection has locked the user, temporarily or permanently.
func (r *Realm) isLocked(u *user, now time.Time) bool {
	return r.settings.BruteForceProtected && now.Before(u.lockedUntil) || u.lockedPermanently
}

// verifyProfile is the required action of users with an incomplete profile.
const verifyProfile = "VERIFY_PROFILE"

// hasIncompleteProfile reports whether a user's profile lacks required attributes.
func (r *Realm) hasIncompleteProfile(u *user) bool {
	return u.ServiceAccountClientID == "" && !r.profile.IsComplete(&u.User, &r.settings)
}

// pendingActions returns the required actions that a user must complete: the actions assigned to
// the user and the actions that follow from the realm's settings, except for disabled actions.
func (r *Realm) pendingActions(u *user) []string {
	isDisabled := func(alias string) bool {
		if r.settings.RequiredActions == nil {
			return false // if the file has no list, Keycloak enables its default actions
		}
		for _, action := range r.settings.RequiredActions {
			if action.Alias == alias {
				return !action.Enabled
			}
		}
		return true // not in the realm's list
	}
	actions := slices.DeleteFunc(slices.Clone(u.RequiredActions), func(alias string) bool {
		return alias == verifyProfile || isDisabled(alias)
	})
	if r.hasIncompleteProfile(u) && !isDisabled(verifyProfile) {
		actions = append(actions, verifyProfile)
	}
	const verifyEmail = "VERIFY_EMAIL"
	if r.settings.VerifyEmail && !u.EmailVerified && u.ServiceAccountClientID == "" &&
		!isDisabled(verifyEmail) && !slices.Contains(actions, verifyEmail) {
		actions = append(actions, verifyEmail)
	}
	const updatePassword = "UPDATE_PASSWORD"
	if age := realmfile.PasswordExpiry(r.settings.PasswordPolicy); age > 0 && u.password != "" &&
		r.server.Now().Sub(u.passwordSetAt) > age && !isDisabled(updatePassword) &&
		!slices.Contains(actions, updatePassword) {
		actions = append(actions, updatePassword)
	}
	return actions
}

// passwordProblem returns why a password violates the realm's password policy, or "".
func (r *Realm) passwordProblem(u realmfile.User, password string) string {
	// The policy was validated when the realm file was read.
	rules, _ := realmfile.ParsePasswordPolicy(r.settings.PasswordPolicy)
	for _, rule := range rules {
		if problem := rule(u, password); problem != "" {
			return problem
		}
	}
	return ""
}
