package program

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloakql/cloakql/identity"
)

// newLog returns a log that replaces the names of Go fields with the names of settings. It does so
// only in messages and in some attributes, not in requestId.
func TestNewLog_settingNames(t *testing.T) {
	for _, local := range []bool{true, false} {
		var out strings.Builder
		log, flush := newLog(local, &out)
		log.Warn("set Issuer.Names and AddressConfig.Trusted", "detail",
			"aud (VerifierConfig.Audience)", "error", errors.New("check NewRealm's name"), "reason",
			"no (ClientConfig.RefreshGraceAnyNetwork)", "requestId", "Issuer.Names")
		log.Warn("x", "error",
			&identity.Error{Reason: identity.ErrTokenTooLarge,
				Detail: "accepted: 9 (VerifierConfig.MaxBytes)"})
		log.With("detail", "in With: VerifierConfig.MaxBytes").WithGroup("g").Info("x", "error",
			"in a group: VerifierConfig.MaxBytes")
		flush()
		for _, want := range []string{"in With: TOKEN_MAX_BYTES", "in a group: TOKEN_MAX_BYTES",
			"set KEYCLOAK_ISSUER and TRUSTED_PROXIES",
			"aud (KEYCLOAK_AUDIENCE)", "check KEYCLOAK_REALM_NAME", "no (REFRESH_GRACE_NETWORK)",
			"accepted: 9 (TOKEN_MAX_BYTES)", "Issuer.Names"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("local %t: logged %q, want %q in it", local, out.String(), want)
			}
		}
	}
}
