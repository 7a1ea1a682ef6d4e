package keycloaktest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What a realm file wants and the stand-in can't do is refused where it would change an answer:
// with status 501, and by its name. A realm may hold such a thing that no test asks for.

// A use is something that a realm is used for. Several of them are one value.
type use int

const (
	useTokens        use = 1 << iota // an exchange at the token endpoint
	usePassword                      // the password grant
	useLogin                         // the authorization endpoint, and the pages behind it
	useDevice                        // device authorization
	useSecret                        // authentication of a client that has a secret
	useIDToken                       // an ID token in an answer
	useUserinfo                      // the UserInfo endpoint
	useIntrospection                 // introspection, by the client or of its tokens
	useLogout                        // logout, by browser or back channel
	useOTP                           // a sign-in with a second factor
	useStranger                      // a sign-in under a name that the realm doesn't know

	useAnything use = -1
)

// An unsupported thing is what a realm, a client or a client scope wants, and the uses that it
// would change.
type unsupported struct {
	what string
	at   use
}

// among says what of the list would change a use, for an error; "" when that is nothing.
func (u use) among(list []unsupported) string {
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
var keycloakMappers = append(slices.Clone(mapperIDs), "oidc-claims-param-token-mapper", "oidc-claims-param-value-idtoken-mapper",
	"oidc-organization-group-membership-mapper", "oidc-nonce-backwards-compatible-mapper", "oidc-sha256-pairwise-sub-mapper",
	"oidc-amr-mapper", "oidc-session-state-mapper")

// mapperIDs are the protocol mappers that the stand-in has, in the order in which they run.
var mapperIDs = []string{
	"oidc-hardcoded-role-mapper", "oidc-role-name-mapper", "oidc-audience-resolve-mapper", "oidc-audience-mapper", "oidc-sub-mapper",
	"oidc-usermodel-realm-role-mapper", "oidc-usermodel-client-role-mapper", "oidc-group-membership-mapper",
	"oidc-usermodel-attribute-mapper", "oidc-usermodel-property-mapper", "oidc-full-name-mapper", "oidc-address-mapper",
	"oidc-hardcoded-claim-mapper", "oidc-usersessionmodel-note-mapper", "oidc-acr-mapper", "oidc-allowed-origins-mapper",
	"oidc-organization-membership-mapper",
}

// unsupportedAttributes are attributes of a client that change its answers, with what is said of
// them, the uses that they change, and the values that change nothing.
var unsupportedAttributes = map[string]struct {
	why     string
	at      use
	neutral []string
}{
	"user.info.response.signature.alg":                      {"userinfo isn't signed here", useUserinfo, nil},
	"user.info.encrypted.response.alg":                      {"userinfo isn't encrypted here", useUserinfo, nil},
	"id.token.encrypted.response.alg":                       {"ID tokens aren't encrypted here", useIDToken, nil},
	"request.object.required":                               {"there are no request objects here", useLogin, []string{"not required"}},
	"require.pushed.authorization.requests":                 {"there are no pushed authorization requests here", useLogin, []string{"false"}},
	"tls.client.certificate.bound.access.tokens":            {"tokens aren't bound to certificates here", useTokens, []string{"false"}},
	"dpop.bound.access.tokens":                              {"tokens aren't bound to keys here", useTokens, []string{"false"}},
	"exclude.session.state.from.auth.response":              {"session_state is always in the answer here", useLogin, []string{"false"}},
	"exclude.issuer.from.auth.response":                     {"iss is always in the answer here", useLogin, []string{"false"}},
	"allow.oidc.params.in.redirect.uris":                    {"they are refused here", useLogin, []string{"false"}},
	"logout.confirmation.enabled":                           {"logout with an ID token asks nothing here", useLogout, []string{"false"}},
	"allow.token.introspection.without.audience.check":      {"the audience is always checked here", useIntrospection, []string{"false"}},
	"client.introspection.response.allow.jwt.claim.enabled": {"introspection answers with JSON here", useIntrospection, []string{"false"}},
	"allow.userinfo.with.lightweight.access.token":          {"userinfo refuses lightweight tokens here", useUserinfo, []string{"false"}},
	"client.secret.authentication.allowed.method":           {"a secret may come in a header or in the form here", useSecret, nil},
	"default.acr.values":                                    {"there are no levels of authentication to step up to here", useLogin, nil},
	"minimum.acr.value":                                     {"there are no levels of authentication to step up to here", useLogin, nil},
}

// signingAttributes name the algorithm of a client's tokens.
var signingAttributes = map[string]use{
	"access.token.signed.response.alg": useTokens, "id.token.signed.response.alg": useIDToken, "logout.token.signed.response.alg": useLogout,
}

// flowUses are the uses that a client's own flow changes, by the names of
// authenticationFlowBindingOverrides.
var flowUses = map[string]use{"browser": useLogin, "direct_grant": usePassword}

// unsupportedIn is what a client wants of the stand-in that it can't do.
func unsupportedIn(c clientRepresentation) []unsupported {
	var all []unsupported
	add := func(at use, format string, args ...any) {
		all = append(all, unsupported{fmt.Sprintf(format, args...), at})
	}
	if c.Protocol != "" && c.Protocol != "openid-connect" {
		add(useAnything, "protocol %q is not supported: openid-connect is", c.Protocol)
	}
	if kind := c.ClientAuthenticatorType; !c.PublicClient && kind != "" && kind != "client-secret" {
		add(useSecret, "clientAuthenticatorType %q is not supported: client-secret is", kind)
	}
	for _, name := range sortedNames(c.FlowOverrides) {
		if c.FlowOverrides[name] != "" {
			add(flowUses[name], "authenticationFlowBindingOverrides: %s is not supported: a client uses the realm's flow", name)
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
			add(useTokens, "the attribute access.token.lifespan: %q is not supported: it is no whole number", lifespan)
		}
	}
	for _, name := range sortedNames(signingAttributes) {
		if value := c.Attributes[name]; value != "" && !slices.Contains(signatureAlgorithms, value) {
			add(signingAttributes[name], "the attribute %s: %q is not supported: it is no signature algorithm of Keycloak's", name, value)
		}
	}
	return append(all, unsupportedMappers(c.ProtocolMappers)...)
}

func unsupportedMappers(mappers []mapperRepresentation) []unsupported {
	var all []unsupported
	for _, m := range mappers {
		if why := unsupportedMapper(m); why != "" {
			all = append(all, unsupported{fmt.Sprintf("protocol mapper %s: %s", m.Name, why), m.uses()})
		}
	}
	return all
}

// mapperUses are the uses that a mapper with these switches may change.
var mapperUses = map[target]use{
	forAccess: useTokens, forLightweight: useTokens, forID: useIDToken, forUserinfo: useUserinfo, forIntrospection: useIntrospection,
}

// uses are the answers that a mapper may write to.
func (m mapperRepresentation) uses() use {
	switch m.ProtocolMapper {
	case "oidc-claims-param-token-mapper", "oidc-claims-param-value-idtoken-mapper", "oidc-nonce-backwards-compatible-mapper":
		return useLogin // for parameters that only its requests have
	case "oidc-sha256-pairwise-sub-mapper", "oidc-hardcoded-role-mapper":
		return useAnything // they have no switches
	}
	var at use
	for target, u := range mapperUses {
		if target.takes(m.Config) {
			at |= u
		}
	}
	if m.Config["access.tokenResponse.claim"] == "true" {
		at |= useTokens
	}
	return at
}

// unsupportedMapper says what a mapper does in Keycloak and not here; "" when that is nothing.
func unsupportedMapper(m mapperRepresentation) string {
	if !slices.Contains(keycloakMappers, m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: it isn't of Keycloak itself", m.ProtocolMapper)
	}
	if !slices.Contains(mapperIDs, m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: the stand-in has %s", m.ProtocolMapper, strings.Join(mapperIDs, ", "))
	}
	if m.Config["access.tokenResponse.claim"] == "true" {
		return "access.tokenResponse.claim is not supported: claims are in tokens here"
	}
	if name := m.Config["claim.name"]; slices.Contains(reservedClaims, name) {
		return fmt.Sprintf("claim.name %q is not supported: Keycloak can't read its own token then", name)
	} else if name == "aud" {
		return `claim.name "aud" is not supported: oidc-audience-mapper writes that claim`
	}
	switch m.ProtocolMapper {
	case "oidc-hardcoded-role-mapper":
		if m.Config["role"] == "" {
			return "role is missing"
		}
	case "oidc-usersessionmodel-note-mapper":
		if note := m.Config["user.session.note"]; slices.Contains([]string{"", "KC_DEVICE_NOTE", "authenticators-completed"}, note) {
			return fmt.Sprintf("user.session.note %q is not supported", note)
		}
	case "oidc-usermodel-property-mapper":
		property := m.Config["user.attribute"]
		if property == "" {
			break
		}
		if name := strings.ToLower(property[:1]) + property[1:]; slices.Contains(otherProperties, name) || name != property && slices.Contains(userProperties, name) {
			return fmt.Sprintf("user.attribute %q is not supported: %s are", property, strings.Join(userProperties, ", "))
		}
	}
	return ""
}

var (
	// reservedClaims are claims that Keycloak reads back out of an access token, as something other
	// than a text.
	reservedClaims = []string{"nbf", "cnf", "authorization", "trusted-certs", "allowed-origins", "realm_access", "resource_access"}
	userProperties = []string{"username", "email", "firstName", "lastName", "emailVerified", "enabled", "id"}
	// otherProperties are what Keycloak's users have besides; what they haven't either is no claim.
	otherProperties = []string{
		"attributes", "createdTimestamp", "federated", "groupsCount", "groupsStream", "lastModifiedTimestamp", "realmRoleMappingsStream",
		"requiredActionsStream", "roleMappingsStream", "serviceAccountClientLink",
	}
)
