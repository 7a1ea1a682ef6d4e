package keycloaktest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What only one client or one client scope wants, and the stand-in can't do, is refused when the client is used or the scope
// is granted: with status 501, and by its name.

// keycloakMappers are the protocol mappers of OpenID Connect that Keycloak 26.7.4 has (GET /admin/serverinfo).
var keycloakMappers = append(mapperIDs(), "oidc-claims-param-token-mapper", "oidc-claims-param-value-idtoken-mapper",
	"oidc-organization-group-membership-mapper", "oidc-nonce-backwards-compatible-mapper", "oidc-sha256-pairwise-sub-mapper",
	"oidc-amr-mapper", "oidc-session-state-mapper")

// mapperIDs are the protocol mappers that the stand-in has.
func mapperIDs() []string {
	var ids []string
	for _, t := range mapperTypes {
		ids = append(ids, t.id)
	}
	return ids
}

// unsupportedAttributes are attributes of a client that change its answers, with what is said of them and the values that
// change nothing.
var unsupportedAttributes = map[string]struct {
	why     string
	neutral []string
}{
	"user.info.response.signature.alg":                      {"userinfo isn't signed here", nil},
	"user.info.encrypted.response.alg":                      {"userinfo isn't encrypted here", nil},
	"id.token.encrypted.response.alg":                       {"ID tokens aren't encrypted here", nil},
	"request.object.required":                               {"there are no request objects here", []string{"not required"}},
	"require.pushed.authorization.requests":                 {"there are no pushed authorization requests here", []string{"false"}},
	"tls.client.certificate.bound.access.tokens":            {"tokens aren't bound to certificates here", []string{"false"}},
	"dpop.bound.access.tokens":                              {"tokens aren't bound to keys here", []string{"false"}},
	"exclude.session.state.from.auth.response":              {"session_state is always in the answer here", []string{"false"}},
	"exclude.issuer.from.auth.response":                     {"iss is always in the answer here", []string{"false"}},
	"allow.oidc.params.in.redirect.uris":                    {"they are refused here", []string{"false"}},
	"logout.confirmation.enabled":                           {"logout with an ID token asks nothing here", []string{"false"}},
	"allow.token.introspection.without.audience.check":      {"the audience is always checked here", []string{"false"}},
	"client.introspection.response.allow.jwt.claim.enabled": {"introspection answers with JSON here", []string{"false"}},
	"allow.userinfo.with.lightweight.access.token":          {"userinfo refuses lightweight tokens here", []string{"false"}},
	"client.secret.authentication.allowed.method":           {"a secret may come in a header or in the form here", nil},
	"acr.uri.map":        {"levels have names here, not URIs", []string{"{}"}},
	"default.acr.values": {"there are no levels of authentication to step up to here", nil},
	"minimum.acr.value":  {"there are no levels of authentication to step up to here", nil},
}

// signingAttributes name the algorithm of a client's tokens.
var signingAttributes = []string{"access.token.signed.response.alg", "id.token.signed.response.alg", "logout.token.signed.response.alg"}

// unsupportedIn is what a client wants of the stand-in that it can't do.
func unsupportedIn(c clientRepresentation) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if c.Protocol != "" && c.Protocol != "openid-connect" {
		add("protocol %q is not supported: openid-connect is", c.Protocol)
	}
	if kind := c.ClientAuthenticatorType; !c.PublicClient && kind != "" && kind != "client-secret" {
		add("clientAuthenticatorType %q is not supported: client-secret is", kind)
	}
	for _, name := range slices.Sorted(maps.Keys(c.FlowOverrides)) {
		if c.FlowOverrides[name] != "" {
			add("authenticationFlowBindingOverrides: %s is not supported: a client uses the realm's flow", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unsupportedAttributes)) {
		value := c.Attributes[name]
		if u := unsupportedAttributes[name]; value != "" && !slices.Contains(u.neutral, value) {
			add("the attribute %s: %q is not supported: %s", name, value, u.why)
		}
	}
	for _, name := range signingAttributes {
		if value := c.Attributes[name]; value != "" && !slices.Contains(signatureAlgorithms, value) {
			add("the attribute %s: %q is not supported: it is no signature algorithm of Keycloak's", name, value)
		}
	}
	return append(all, unsupportedMappers(c.ProtocolMappers)...)
}

func unsupportedMappers(mappers []mapperRepresentation) []string {
	var all []string
	for _, m := range mappers {
		if why := unsupportedMapper(m); why != "" {
			all = append(all, fmt.Sprintf("protocol mapper %s: %s", m.Name, why))
		}
	}
	return all
}

// unsupportedMapper says what a mapper does in Keycloak and not here; "" when that is nothing.
func unsupportedMapper(m mapperRepresentation) string {
	if !knownMapper(m.ProtocolMapper) {
		return fmt.Sprintf("protocolMapper %s is not supported: the stand-in has %s", m.ProtocolMapper, strings.Join(mapperIDs(), ", "))
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
	// reservedClaims are claims that Keycloak reads back out of an access token, as something other than a text.
	reservedClaims = []string{"nbf", "cnf", "authorization", "trusted-certs", "allowed-origins", "realm_access", "resource_access"}
	userProperties = []string{"username", "email", "firstName", "lastName", "emailVerified", "enabled", "id"}
	// otherProperties are what Keycloak's users have besides; what they haven't either is no claim.
	otherProperties = []string{
		"attributes", "createdTimestamp", "federated", "groupsCount", "groupsStream", "lastModifiedTimestamp", "realmRoleMappingsStream",
		"requiredActionsStream", "roleMappingsStream", "serviceAccountClientLink",
	}
)

// knownSecret refuses a client whose secret an export has masked: nobody could say whether the one of a request is right.
func (c *client) knownSecret() *refusal {
	if !c.secretIsUnknown || c.PublicClient {
		return nil
	}
	return refuse(501, notInStandIn, "client "+c.ClientID+": its secret is masked in the realm file: give it with WithClientSecrets")
}

// supportedScopes refuses, by name, scopes that would be answered wrongly.
func (r *Realm) supportedScopes(names []string) *refusal {
	for _, name := range names {
		if s := r.scopes[name]; s != nil && len(s.unsupported) > 0 {
			return refuse(501, notInStandIn, "client scope "+name+": "+strings.Join(s.unsupported, "; "))
		}
	}
	return nil
}
