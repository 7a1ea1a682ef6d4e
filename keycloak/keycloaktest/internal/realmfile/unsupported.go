package realmfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A realm file may have settings that the fake Keycloak doesn't support. If a setting would affect
// a request, the request gets a 501 that names the setting. Other requests work.

// A Use is a set of kinds of requests to a realm.
type Use int

const (
	UseTokens        Use = 1 << iota // a request to the token endpoint
	UsePassword                      // the password grant
	UseLogin                         // the authorization endpoint, and the pages behind it
	UseDevice                        // device authorization
	UseSecret                        // authentication of a client that has a secret
	UseIDToken                       // an ID token in a response
	UseUserinfo                      // the UserInfo endpoint
	UseIntrospection                 // introspection by the client, or of the client's tokens
	UseLogout                        // logout, by browser or back channel
	UseOTP                           // a sign-in with a second factor
	UseUnknownUser                   // a sign-in with a username that the realm doesn't have

	AllUses Use = -1 // all of the above
)

// An UnsupportedSetting is a setting of a realm, a client or a client scope that the fake doesn't
// support, with the uses that it would affect.
type UnsupportedSetting struct {
	reason string
	uses   Use
}

// UnsupportedReason returns an error message about the settings that affect a use in u, or "" if
// there are none.
func (u Use) UnsupportedReason(settings []UnsupportedSetting) string {
	var reasons []string
	for _, setting := range settings {
		if setting.uses&u != 0 {
			reasons = append(reasons, setting.reason)
		}
	}
	return strings.Join(reasons, "; ")
}

// keycloakMappers are the IDs of Keycloak 26.7.4's protocol mappers for OpenID Connect (GET
// /admin/serverinfo).
var keycloakMappers = append(slices.Clone(MapperIDs), "oidc-claims-param-token-mapper",
	"oidc-claims-param-value-idtoken-mapper",
	"oidc-nonce-backwards-compatible-mapper", "oidc-sha256-pairwise-sub-mapper", "oidc-amr-mapper",
	"oidc-session-state-mapper")

// MapperIDs are the IDs of the protocol mappers that the fake supports, in the order in which they
// run.
var MapperIDs = []string{
	"oidc-hardcoded-role-mapper", "oidc-role-name-mapper", "oidc-audience-resolve-mapper",
	"oidc-audience-mapper", "oidc-sub-mapper", "oidc-usermodel-realm-role-mapper",
	"oidc-usermodel-client-role-mapper", "oidc-group-membership-mapper",
	"oidc-usermodel-attribute-mapper", "oidc-usermodel-property-mapper", "oidc-full-name-mapper",
	"oidc-address-mapper", "oidc-hardcoded-claim-mapper", "oidc-usersessionmodel-note-mapper",
	"oidc-acr-mapper", "oidc-allowed-origins-mapper", OrganizationMapper,
	"oidc-organization-group-membership-mapper",
}

// unsupportedAttributes are the client attributes that the fake doesn't support.
var unsupportedAttributes = map[string]struct {
	reason   string
	uses     Use      // the uses that the attribute affects
	defaults []string // the values that have no effect
}{
	"user.info.response.signature.alg": {"the fake Keycloak doesn't sign userinfo",
		UseUserinfo, nil},
	"user.info.encrypted.response.alg": {"the fake Keycloak doesn't encrypt userinfo",
		UseUserinfo, nil},
	"id.token.encrypted.response.alg": {"the fake Keycloak doesn't encrypt ID tokens",
		UseIDToken, nil},
	"request.object.required": {"the fake Keycloak has no request objects",
		UseLogin, []string{"not required"}},
	"require.pushed.authorization.requests": {
		"the fake Keycloak has no pushed authorization requests", UseLogin, []string{"false"},
	},
	"tls.client.certificate.bound.access.tokens": {
		"the fake Keycloak doesn't bind tokens to certificates", UseTokens, []string{"false"},
	},
	"dpop.bound.access.tokens": {"the fake Keycloak doesn't bind tokens to keys",
		UseTokens, []string{"false"}},
	"exclude.session.state.from.auth.response": {
		"the fake Keycloak always returns session_state", UseLogin, []string{"false"},
	},
	"exclude.issuer.from.auth.response": {"the fake Keycloak always returns iss",
		UseLogin, []string{"false"}},
	"allow.oidc.params.in.redirect.uris": {"the fake Keycloak rejects such redirect URIs", UseLogin,
		[]string{"false"}},
	"logout.confirmation.enabled": {
		"the fake Keycloak asks for no confirmation of a logout with an ID token", UseLogout,
		[]string{"false"},
	},
	"allow.token.introspection.without.audience.check": {
		"the fake Keycloak always checks the audience", UseIntrospection, []string{"false"},
	},
	"client.introspection.response.allow.jwt.claim.enabled": {
		"the fake Keycloak returns introspection responses as JSON", UseIntrospection,
		[]string{"false"},
	},
	"allow.userinfo.with.lightweight.access.token": {
		"the fake Keycloak's userinfo rejects lightweight tokens", UseUserinfo, []string{"false"},
	},
	"client.secret.authentication.allowed.method": {
		"the fake Keycloak accepts a secret in the header and in the form", UseSecret, nil,
	},
}

// SigningAttributes are the client attributes that set the signature algorithm of tokens.
var SigningAttributes = map[string]Use{
	"access.token.signed.response.alg": UseTokens, "id.token.signed.response.alg": UseIDToken,
	"logout.token.signed.response.alg": UseLogout,
}

// flowUses are the uses that a client's flow override affects, by the key of the override in
// authenticationFlowBindingOverrides.
var flowUses = map[string]Use{"browser": UseLogin, "direct_grant": UsePassword}

// UnsupportedSettings returns the client's settings that the fake doesn't support.
func UnsupportedSettings(c Client) []UnsupportedSetting {
	var unsupported []UnsupportedSetting
	add := func(uses Use, format string, args ...any) {
		unsupported = append(unsupported, UnsupportedSetting{fmt.Sprintf(format, args...), uses})
	}
	if c.Protocol != "" && c.Protocol != "openid-connect" {
		add(AllUses, "protocol %q is not supported: the fake Keycloak has only openid-connect",
			c.Protocol)
	}
	if name := c.ClientAuthenticatorType; !c.PublicClient && name != "" && name != "client-secret" {
		add(UseSecret, "clientAuthenticatorType %q is not supported: the fake Keycloak has only "+
			"client-secret", name)
	}
	for _, name := range sortedNames(c.FlowOverrides) {
		if c.FlowOverrides[name] != "" {
			add(flowUses[name],
				"authenticationFlowBindingOverrides: %s is not supported: a client uses the "+
					"realm's flow", name)
		}
	}
	for _, name := range sortedNames(unsupportedAttributes) {
		value := c.Attributes[name]
		if u := unsupportedAttributes[name]; value != "" && !slices.Contains(u.defaults, value) {
			add(u.uses, "the attribute %s: %q is not supported: %s", name, value, u.reason)
		}
	}
	if lifespan := c.Attributes["access.token.lifespan"]; lifespan != "" {
		if _, err := strconv.Atoi(lifespan); err != nil {
			add(UseTokens,
				"the attribute access.token.lifespan: %q is not supported: it isn't a whole number",
				lifespan)
		}
	}
	for _, name := range sortedNames(SigningAttributes) {
		if value := c.Attributes[name]; value != "" &&
			!slices.Contains(SignatureAlgorithms, value) {
			add(SigningAttributes[name],
				"the attribute %s: %q is not supported: it isn't a signature algorithm of "+
					"Keycloak",
				name, value)
		}
	}
	return append(unsupported, UnsupportedMappers(c.ProtocolMappers)...)
}

// UnsupportedMappers returns the mappers that the fake doesn't support.
func UnsupportedMappers(mappers []Mapper) []UnsupportedSetting {
	var unsupported []UnsupportedSetting
	for _, m := range mappers {
		if reason := unsupportedMapper(m); reason != "" {
			unsupported = append(unsupported,
				UnsupportedSetting{fmt.Sprintf("protocol mapper %s: %s", m.Name, reason),
					m.affectedUses()})
		}
	}
	return unsupported
}

// targetUses has, for each target, the uses whose responses contain its claims.
var targetUses = map[Target]Use{
	TargetAccessToken: UseTokens, TargetLightweightToken: UseTokens, TargetIDToken: UseIDToken,
	TargetUserinfo: UseUserinfo, TargetIntrospection: UseIntrospection,
}

// affectedUses returns the uses that a mapper may affect.
func (m Mapper) affectedUses() Use {
	switch m.ProtocolMapper {
	case "oidc-claims-param-token-mapper", "oidc-claims-param-value-idtoken-mapper",
		"oidc-nonce-backwards-compatible-mapper":
		return UseLogin // these mappers use parameters of authorization requests
	case "oidc-sha256-pairwise-sub-mapper", "oidc-hardcoded-role-mapper":
		return AllUses // these mappers always affect all targets
	}
	var uses Use
	for target, u := range targetUses {
		if target.Includes(m.Config) {
			uses |= u
		}
	}
	if m.Config["access.tokenResponse.claim"] == "true" {
		uses |= UseTokens
	}
	return uses
}

// unsupportedMapper returns why the fake doesn't support a mapper, or "" if it does.
func unsupportedMapper(m Mapper) string {
	if !slices.Contains(keycloakMappers, m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: it isn't built into Keycloak",
			m.ProtocolMapper)
	}
	if !slices.Contains(MapperIDs, m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: the fake Keycloak has %s",
			m.ProtocolMapper, strings.Join(MapperIDs, ", "))
	}
	if m.Config["access.tokenResponse.claim"] == "true" {
		return "access.tokenResponse.claim is not supported: the fake Keycloak adds claims only " +
			"to tokens"
	}
	if name := m.Config["claim.name"]; slices.Contains(reservedClaims, name) {
		return fmt.Sprintf("claim.name %q is not supported: Keycloak couldn't read its own token",
			name)
	} else if name == "aud" {
		return `claim.name "aud" is not supported: oidc-audience-mapper writes that claim`
	}
	switch m.ProtocolMapper {
	case "oidc-hardcoded-role-mapper":
		if m.Config["role"] == "" {
			return "role is missing"
		}
	case OrganizationMapper:
		if m.Config["addOrganizationDomain"] == "true" {
			return "addOrganizationDomain is not supported"
		}
	case "oidc-usersessionmodel-note-mapper":
		if note := m.Config["user.session.note"]; slices.Contains([]string{"", "KC_DEVICE_NOTE",
			"authenticators-completed"}, note) {
			return fmt.Sprintf("user.session.note %q is not supported", note)
		}
	case "oidc-usermodel-property-mapper":
		property := m.Config["user.attribute"]
		if property == "" {
			break
		}
		name := strings.ToLower(property[:1]) + property[1:]
		if slices.Contains(unsupportedProperties, name) ||
			name != property && slices.Contains(userProperties, name) {
			return fmt.Sprintf("user.attribute %q is not supported: the fake Keycloak has %s",
				property, strings.Join(userProperties, ", "))
		}
	}
	return ""
}

var (
	// reservedClaims are claims that Keycloak reads from its own access tokens. A mapper could
	// replace them with strings, which Keycloak can't read.
	reservedClaims = []string{"nbf", "cnf", "authorization", "trusted-certs", "allowed-origins",
		"realm_access", "resource_access"}
	userProperties = []string{"username", "email", "firstName", "lastName", "emailVerified",
		"enabled", "id"}
	// unsupportedProperties are properties that users have in Keycloak but not in the fake. A
	// mapper for a property that even Keycloak doesn't have adds no claim, as in Keycloak.
	unsupportedProperties = []string{
		"attributes", "createdTimestamp", "federated", "groupsCount", "groupsStream",
		"lastModifiedTimestamp", "realmRoleMappingsStream", "requiredActionsStream",
		"roleMappingsStream", "serviceAccountClientLink",
	}
)
