package realmfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// The fake Keycloak doesn't apply client policies. If a realm has an enabled policy, all requests
// to the realm get a 501. The policies are still checked, as in Keycloak's import.

type clientPolicies struct {
	Policies []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Enabled     bool   `json:"enabled"`
		Conditions  []struct {
			Condition     string          `json:"condition"`
			Configuration json.RawMessage `json:"configuration"`
		} `json:"conditions"`
		Profiles []string `json:"profiles"`
	} `json:"policies"`
	GlobalPolicies json.RawMessage `json:"globalPolicies"`
}

type clientProfiles struct {
	Profiles []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Executors   []struct {
			Executor      string          `json:"executor"`
			Configuration json.RawMessage `json:"configuration"`
		} `json:"executors"`
	} `json:"profiles"`
	GlobalProfiles json.RawMessage `json:"globalProfiles"`
}

// The global profiles, conditions and executors of Keycloak 26.7.4 (GET /admin/serverinfo).
var (
	globalProfiles = []string{
		"fapi-1-baseline", "fapi-1-advanced", "fapi-ciba", "fapi-2-security-profile",
		"fapi-2-message-signing", "oauth-2-1-for-confidential-client",
		"oauth-2-1-for-public-client", "fapi-2-dpop-security-profile",
		"fapi-2-dpop-message-signing", "saml-security-profile",
	}
	policyConditions = []string{
		"acr-condition", "any-client", "client-access-type", "client-attributes", "client-roles",
		"client-scopes", "client-type", "client-updater-context", "client-updater-source-groups",
		"client-updater-source-host", "client-updater-source-roles", "grant-type",
		"identity-provider-alias",
	}
	policyExecutors = []string{
		"auth-flow-enforcer", "confidential-client", "consent-required",
		"downscope-assertion-grant-enforcer", "dpop-bind-enforcer", "full-scope-disabled",
		"holder-of-key-enforcer", "intent-client-bind-checker", "jwt-claim-enforcer",
		"pkce-enforcer", "registration-access-token-rotation-disabled", "reject-implicit-grant",
		"reject-request", "reject-ropc-grant", "saml-avoid-redirect", "saml-secure-client-uris",
		"saml-signature-enforcer", "secure-ciba-req-sig-algorithm", "secure-ciba-session",
		"secure-ciba-signed-authn-req", "secure-client-authentication-assertion",
		"secure-client-authenticator", "secure-client-uris", "secure-client-uris-pattern",
		"secure-logout", "secure-par-content", "secure-redirect-uris-enforcer",
		"secure-request-object", "secure-response-type", "secure-session",
		"secure-signature-algorithm", "secure-signature-algorithm-signed-jwt",
		"suppress-refresh-token-rotation", "tls-client-auth-ca-subject-dn",
		"use-lightweight-access-token",
	}
)

// decodeOrZero decodes a document. It returns the zero value if the document has an unknown field
// or a value of a wrong type, because Keycloak then logs a warning and ignores the whole document.
func decodeOrZero[T any](document json.RawMessage) (out T) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&out) != nil {
		var zero T
		return zero
	}
	return out
}

// checkPolicies checks the client policies, and returns the names of the enabled policies.
func (r *reader) checkPolicies(realm *Realm) (enabled []string) {
	var root *fieldPath
	profileNames := slices.Clone(globalProfiles)
	for i, profile := range decodeOrZero[clientProfiles](realm.ClientProfiles).Profiles {
		path := root.field("clientProfiles").field("profiles").item(i)
		if slices.Contains(profileNames, profile.Name) {
			r.report(path.field("name"), "there is a client profile %s already", profile.Name)
		}
		profileNames = append(profileNames, profile.Name)
		for j, executor := range profile.Executors {
			if !slices.Contains(policyExecutors, executor.Executor) {
				r.report(path.field("executors").item(j), "Keycloak has no executor %q",
					executor.Executor)
			}
		}
	}
	var policyNames []string
	for i, policy := range decodeOrZero[clientPolicies](realm.ClientPolicies).Policies {
		path := root.field("clientPolicies").field("policies").item(i)
		if slices.Contains(policyNames, policy.Name) {
			r.report(path.field("name"), "there is a client policy %s already", policy.Name)
		}
		policyNames = append(policyNames, policy.Name)
		for j, condition := range policy.Conditions {
			if !slices.Contains(policyConditions, condition.Condition) {
				r.report(path.field("conditions").item(j), "Keycloak has no condition %q",
					condition.Condition)
			}
		}
		for j, name := range policy.Profiles {
			if !slices.Contains(profileNames, name) {
				r.report(path.field("profiles").item(j), "the realm has no client profile %s", name)
			}
		}
		if policy.Enabled {
			enabled = append(enabled, policy.Name)
		}
	}
	return enabled
}

// unsupportedPolicies checks the client policies, and returns each enabled policy as unsupported.
func (r *reader) unsupportedPolicies(realm *Realm) []UnsupportedSetting {
	var unsupported []UnsupportedSetting
	for _, name := range r.checkPolicies(realm) {
		reason := fmt.Sprintf(
			"the client policy %s is not supported: the fake Keycloak applies no client policies",
			name)
		unsupported = append(unsupported, UnsupportedSetting{reason, AllUses})
	}
	return unsupported
}
