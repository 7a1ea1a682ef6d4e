package realmfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What a realm file wants and the stand-in can't do is refused where it would change an answer:
// with status 501, and by its name. A realm may hold such a thing that no test asks for.

// A use is something that a realm is used for. Several of them are one value.
type Use int

const (
	UseTokens        Use = 1 << iota // an exchange at the token endpoint
	UsePassword                      // the password grant
	UseLogin                         // the authorization endpoint, and the pages behind it
	UseDevice                        // device authorization
	UseSecret                        // authentication of a client that has a secret
	UseIDToken                       // an ID token in an answer
	UseUserinfo                      // the UserInfo endpoint
	UseIntrospection                 // introspection, by the client or of its tokens
	UseLogout                        // logout, by browser or back channel
	UseOTP                           // a sign-in with a second factor
	UseUnknownUser                   // a sign-in under a name that the realm doesn't know

	UseAnything Use = -1
)

// An unsupported thing is what a realm, a client or a client scope wants, and the uses that it
// would change.
type Unsupported struct {
	what string
	at   Use
}

// Among says what of the list would change a use, for an error; "" when that is nothing.
func (u Use) Reasons(list []Unsupported) string {
	var all []string
	for _, one := range list {
		if one.at&u != 0 {
			all = append(all, one.what)
		}
	}
	return strings.Join(all, "; ")
}

// keycloakMappers are the protocol mappers of OpenID Connect that Keycloak 26.7.4 has (GET
// /admin/serverinfo).
var keycloakMappers = append(slices.Clone(MapperIDs), "oidc-claims-param-token-mapper",
	"oidc-claims-param-value-idtoken-mapper", "oidc-organization-group-membership-mapper",
	"oidc-nonce-backwards-compatible-mapper", "oidc-sha256-pairwise-sub-mapper", "oidc-amr-mapper",
	"oidc-session-state-mapper")

// MapperIDs are the protocol mappers that the stand-in has, in the order in which they run.
var MapperIDs = []string{
	"oidc-hardcoded-role-mapper", "oidc-role-name-mapper", "oidc-audience-resolve-mapper",
	"oidc-audience-mapper", "oidc-sub-mapper", "oidc-usermodel-realm-role-mapper",
	"oidc-usermodel-client-role-mapper", "oidc-group-membership-mapper",
	"oidc-usermodel-attribute-mapper", "oidc-usermodel-property-mapper", "oidc-full-name-mapper",
	"oidc-address-mapper", "oidc-hardcoded-claim-mapper", "oidc-usersessionmodel-note-mapper",
	"oidc-acr-mapper", "oidc-allowed-origins-mapper", "oidc-organization-membership-mapper",
}

// unsupportedAttributes are attributes of a client that change its answers, with what is said of
// them, the uses that they change, and the values that change nothing.
var unsupportedAttributes = map[string]struct {
	why     string
	at      Use
	neutral []string
}{
	"user.info.response.signature.alg": {"userinfo isn't signed here",
		UseUserinfo, nil},
	"user.info.encrypted.response.alg": {"userinfo isn't encrypted here",
		UseUserinfo, nil},
	"id.token.encrypted.response.alg": {"ID tokens aren't encrypted here",
		UseIDToken, nil},
	"request.object.required": {"there are no request objects here",
		UseLogin, []string{"not required"}},
	"require.pushed.authorization.requests": {
		"there are no pushed authorization requests here", UseLogin, []string{"false"},
	},
	"tls.client.certificate.bound.access.tokens": {
		"tokens aren't bound to certificates here", UseTokens, []string{"false"},
	},
	"dpop.bound.access.tokens": {"tokens aren't bound to keys here",
		UseTokens, []string{"false"}},
	"exclude.session.state.from.auth.response": {
		"session_state is always in the answer here", UseLogin, []string{"false"},
	},
	"exclude.issuer.from.auth.response": {"iss is always in the answer here",
		UseLogin, []string{"false"}},
	"allow.oidc.params.in.redirect.uris": {"they are refused here", UseLogin,
		[]string{"false"}},
	"logout.confirmation.enabled": {
		"logout with an ID token asks nothing here", UseLogout, []string{"false"},
	},
	"allow.token.introspection.without.audience.check": {"the audience is always checked here",
		UseIntrospection, []string{"false"}},
	"client.introspection.response.allow.jwt.claim.enabled": {"introspection answers with JSON here", UseIntrospection, []string{"false"}},
	"allow.userinfo.with.lightweight.access.token": {
		"userinfo refuses lightweight tokens here", UseUserinfo, []string{"false"},
	},
	"client.secret.authentication.allowed.method": {
		"a secret may come in a header or in the form here", UseSecret, nil,
	},
	"default.acr.values": {
		"there are no levels of authentication to step up to here", UseLogin, nil,
	},
	"minimum.acr.value": {
		"there are no levels of authentication to step up to here", UseLogin, nil,
	},
}

// SigningAttributes name the algorithm of a client's tokens.
var SigningAttributes = map[string]Use{
	"access.token.signed.response.alg": UseTokens, "id.token.signed.response.alg": UseIDToken,
	"logout.token.signed.response.alg": UseLogout,
}

// flowUses are the uses that a client's own flow changes, by the names of
// authenticationFlowBindingOverrides.
var flowUses = map[string]Use{"browser": UseLogin, "direct_grant": UsePassword}

// UnsupportedIn is what a client wants of the stand-in that it can't do.
func UnsupportedSettings(c Client) []Unsupported {
	var all []Unsupported
	add := func(at Use, format string, args ...any) {
		all = append(all, Unsupported{fmt.Sprintf(format, args...), at})
	}
	if c.Protocol != "" && c.Protocol != "openid-connect" {
		add(UseAnything, "protocol %q is not supported: openid-connect is", c.Protocol)
	}
	if kind := c.ClientAuthenticatorType; !c.PublicClient && kind != "" && kind != "client-secret" {
		add(UseSecret, "clientAuthenticatorType %q is not supported: client-secret is", kind)
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
		if u := unsupportedAttributes[name]; value != "" && !slices.Contains(u.neutral, value) {
			add(u.at, "the attribute %s: %q is not supported: %s", name, value, u.why)
		}
	}
	if lifespan := c.Attributes["access.token.lifespan"]; lifespan != "" {
		if _, err := strconv.Atoi(lifespan); err != nil {
			add(UseTokens,
				"the attribute access.token.lifespan: %q is not supported: it is no whole number",
				lifespan)
		}
	}
	for _, name := range sortedNames(SigningAttributes) {
		if value := c.Attributes[name]; value != "" &&
			!slices.Contains(SignatureAlgorithms, value) {
			add(SigningAttributes[name],
				"the attribute %s: %q is not supported: it is no signature algorithm of Keycloak's",
				name, value)
		}
	}
	return append(all, UnsupportedMappers(c.ProtocolMappers)...)
}

func UnsupportedMappers(mappers []Mapper) []Unsupported {
	var all []Unsupported
	for _, m := range mappers {
		if why := unsupportedMapper(m); why != "" {
			all = append(all,
				Unsupported{fmt.Sprintf("protocol mapper %s: %s", m.Name, why), m.uses()})
		}
	}
	return all
}

// mapperUses are the uses that a mapper with these switches may change.
var mapperUses = map[Target]Use{
	ForAccess: UseTokens, ForLightweight: UseTokens, ForID: UseIDToken, ForUserinfo: UseUserinfo,
	ForIntrospection: UseIntrospection,
}

// uses are the answers that a mapper may write to.
func (m Mapper) uses() Use {
	switch m.ProtocolMapper {
	case "oidc-claims-param-token-mapper", "oidc-claims-param-value-idtoken-mapper",
		"oidc-nonce-backwards-compatible-mapper":
		return UseLogin // for parameters that only its requests have
	case "oidc-sha256-pairwise-sub-mapper", "oidc-hardcoded-role-mapper":
		return UseAnything // they have no switches
	}
	var at Use
	for target, u := range mapperUses {
		if target.Includes(m.Config) {
			at |= u
		}
	}
	if m.Config["access.tokenResponse.claim"] == "true" {
		at |= UseTokens
	}
	return at
}

// unsupportedMapper says what a mapper does in Keycloak and not here; "" when that is nothing.
func unsupportedMapper(m Mapper) string {
	if !slices.Contains(keycloakMappers, m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: it isn't of Keycloak itself",
			m.ProtocolMapper)
	}
	if !slices.Contains(MapperIDs, m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: the stand-in has %s",
			m.ProtocolMapper, strings.Join(MapperIDs, ", "))
	}
	if m.Config["access.tokenResponse.claim"] == "true" {
		return "access.tokenResponse.claim is not supported: claims are in tokens here"
	}
	if name := m.Config["claim.name"]; slices.Contains(reservedClaims, name) {
		return fmt.Sprintf("claim.name %q is not supported: Keycloak can't read its own token then",
			name)
	} else if name == "aud" {
		return `claim.name "aud" is not supported: oidc-audience-mapper writes that claim`
	}
	switch m.ProtocolMapper {
	case "oidc-hardcoded-role-mapper":
		if m.Config["role"] == "" {
			return "role is missing"
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
		if slices.Contains(otherProperties, name) ||
			name != property && slices.Contains(userProperties, name) {
			return fmt.Sprintf("user.attribute %q is not supported: %s are", property,
				strings.Join(userProperties, ", "))
		}
	}
	return ""
}

var (
	// reservedClaims are claims that Keycloak reads back out of an access token, as something other
	// than a text.
	reservedClaims = []string{"nbf", "cnf", "authorization", "trusted-certs", "allowed-origins",
		"realm_access", "resource_access"}
	userProperties = []string{"username", "email", "firstName", "lastName", "emailVerified",
		"enabled", "id"}
	// otherProperties are what Keycloak's users have besides; what they haven't either is no claim.
	otherProperties = []string{
		"attributes", "createdTimestamp", "federated", "groupsCount", "groupsStream",
		"lastModifiedTimestamp", "realmRoleMappingsStream", "requiredActionsStream",
		"roleMappingsStream", "serviceAccountClientLink",
	}
)
