package realmfile

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The members of Keycloak 26.7.4's representations, each with its fate (reader.go). They are those
// that its JSON reader knows, old names included.

// scalar is a shape without parts.
func scalar(expected string, take func(any) (any, bool)) *shape {
	return &shape{expected: expected, scalar: take}
}

func listOf(items *shape) *shape { return &shape{items: items} }
func mapOf(values *shape) *shape { return &shape{values: values} }
func of(r *record) *shape        { return &shape{record: r} }

var (
	aText  = scalar("a text", takeText)
	aName  = scalar("a name", takeName)
	aFlag  = scalar("true or false", takeFlag)
	aWhole = scalar("a whole number of 32 bits", func(value any) (any, bool) { return takeWhole(value, 32) })
	aLong  = scalar("a whole number", func(value any) (any, bool) { return takeWhole(value, 64) })
	// anyValue isn't looked into.
	anyValue  = scalar("", func(value any) (any, bool) { return value, true })
	someTexts = listOf(aText)
	aConfig   = mapOf(aText)
	// textLists are attributes of groups, userTexts those of users: there, Keycloak takes a text
	// for a list of one.
	textLists = mapOf(someTexts)
	userTexts = mapOf(scalar("a list of texts", takeTextOrList))
)

func takeText(value any) (any, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	case bool:
		return strconv.FormatBool(value), true
	}
	return nil, false
}

func takeName(value any) (any, bool) {
	text, ok := takeText(value)
	return text, ok && strings.TrimSpace(text.(string)) != ""
}

func takeTextOrList(value any) (any, bool) {
	if items, ok := value.([]any); ok {
		out := make([]any, len(items))
		for i, item := range items {
			if out[i], ok = takeText(item); !ok {
				return nil, false
			}
		}
		return out, true
	}
	taken, ok := takeText(value)
	return []any{taken}, ok
}

func takeFlag(value any) (any, bool) {
	switch value := value.(type) {
	case bool:
		return value, true
	case json.Number:
		n, err := strconv.ParseInt(value.String(), 10, 32)
		return n != 0, err == nil
	case string:
		switch strings.TrimSpace(value) {
		case "true", "True", "TRUE":
			return true, true
		case "false", "False", "FALSE":
			return false, true
		case "":
			return nil, true
		}
	}
	return nil, false
}

// takeWhole cuts a fraction off, as Keycloak does, but not out of a text.
func takeWhole(value any, bits int) (any, bool) {
	switch value := value.(type) {
	case string:
		if value = strings.TrimSpace(value); value == "" {
			return nil, true
		}
		n, err := strconv.ParseInt(value, 10, bits)
		return n, err == nil
	case json.Number:
		if n, err := strconv.ParseInt(value.String(), 10, bits); err == nil {
			return n, true
		}
		f, err := value.Float64()
		f = math.Trunc(f)
		most := math.Ldexp(1, bits-1)
		return int64(f), err == nil && f >= -most && f < most
	}
	return nil, false
}

// oneOf is a text out of a few.
func oneOf(words ...string) *shape {
	return scalar("one of "+strings.Join(words, ", "), func(value any) (any, bool) {
		text, ok := value.(string)
		return text, ok && slices.Contains(words, text)
	})
}

// placeholder is what Keycloak's import fills in from its environment: ${NAME:default}, and ${NAME}
// if it has one. Of the second kind, only names that look like variables are taken for one:
// someTexts such as ${client_id} are Keycloak's own.
var placeholder = regexp.MustCompile(`\$\{[\w.]+:[^}]*\}|\$\{[A-Z][A-Z0-9_]*\}`)

func (r *reader) checkPlaceholder(at *place, value any) {
	if text, ok := value.(string); ok && strings.Contains(text, "${") {
		if found := placeholder.FindString(text); found != "" {
			r.problem(at, "%s is a placeholder, which Keycloak fills in from its environment and a stand-in doesn't: put the value there", found)
		}
	}
}

// members are some of one shape and fate.
type members struct {
	names string // with blanks between them
	entry
}

func reads(s *shape, names string) members   { return members{names, entry{s, isRead, ""}} }
func ignores(s *shape, names string) members { return members{names, entry{s, isIgnored, ""}} }
func refuses(why string, s *shape, names string) members {
	return members{names, entry{s, isRefused, why}}
}

func (r *record) with(groups ...members) *record {
	r.members = map[string]entry{}
	for _, g := range groups {
		for _, name := range strings.Fields(g.names) {
			r.members[name] = g.entry
		}
	}
	return r
}

// records are the ones that a document can be read as.
type records struct{ realm, client, user *record }

var tables = sync.OnceValue(func() records {
	var (
		client, user = clientRecord(), userRecord()
		role         = roleRecord()
		group        = groupRecord()
	)
	return records{realmRecord(client, user, role, group), client, user}
})

const (
	oldRelease = "it is from an old release of Keycloak, and the import of 26 breaks off at it"
)

func realmRecord(client, user, role, group *record) *record {
	roles := (&record{name: "RolesRepresentation"}).with(
		reads(listOf(of(role)), "realm"), reads(mapOf(listOf(of(role))), "client application"))
	scopeMapping := (&record{name: "ScopeMappingRepresentation"}).with(
		reads(aText, "client clientScope clientTemplate"), reads(someTexts, "roles"), ignores(aText, "self"))
	scope := (&record{name: "ClientScopeRepresentation", lenient: true, nameless: isMissing}).with(
		reads(aText, "name protocol"), reads(aConfig, "attributes"), reads(listOf(of(mapperRecord())), "protocolMappers"),
		ignores(aText, "id description"))
	template := (&record{name: "ClientTemplateRepresentation"}).with(
		reads(aText, "name protocol"), reads(aConfig, "attributes"), reads(listOf(of(mapperRecord())), "protocolMappers"),
		ignores(aText, "id description"), ignores(aFlag, `fullScopeAllowed bearerOnly consentRequired standardFlowEnabled
			implicitFlowEnabled directAccessGrantsEnabled serviceAccountsEnabled publicClient frontchannelLogout`))
	component := &record{name: "ComponentExportRepresentation"}
	component.with(
		reads(aText, "id name providerId"), reads(textLists, "config"), reads(mapOf(listOf(of(component))), "subComponents"), ignores(aText, "subType"))
	execution := (&record{name: "AuthenticationExecutionExportRepresentation"}).with(
		reads(aText, "authenticatorConfig authenticator flowAlias"), reads(oneOf("REQUIRED", "CONDITIONAL", "ALTERNATIVE", "DISABLED", "OPTIONAL"), "requirement"),
		reads(aWhole, "priority"), ignores(aFlag, "authenticatorFlow autheticatorFlow userSetupAllowed"))
	flow := (&record{name: "AuthenticationFlowRepresentation"}).with(
		reads(aText, "id alias"), reads(listOf(of(execution)), "authenticationExecutions"), ignores(aText, "description providerId"), ignores(aFlag, "topLevel builtIn"))
	authenticatorConfig := (&record{name: "AuthenticatorConfigRepresentation"}).with(
		reads(aText, "alias"), reads(aConfig, "config"), ignores(aText, "id"))
	action := (&record{name: "RequiredActionProviderRepresentation"}).with(
		reads(aText, "alias"), reads(aFlag, "enabled defaultAction"), ignores(aText, "name providerId"), ignores(aWhole, "priority"), ignores(aConfig, "config"))
	provider := (&record{name: "IdentityProviderRepresentation"}).with(
		reads(aText, "alias providerId firstBrokerLoginFlowAlias postBrokerLoginFlowAlias"), reads(aFlag, "enabled"), reads(aConfig, "config"),
		ignores(aText, "displayName internalId updateProfileFirstLoginMode organizationId"),
		ignores(aFlag, "trustEmail storeToken addReadTokenRoleOnCreate authenticateByDefault linkOnly hideOnLogin updateProfileFirstLogin"),
		ignores(someTexts, "types"))
	providerMapper := (&record{name: "IdentityProviderMapperRepresentation"}).with(
		ignores(aText, "id name identityProviderAlias identityProviderMapper"), ignores(aConfig, "config"))
	return (&record{name: "RealmRepresentation"}).with(
		reads(aText, `id realm sslRequired defaultSignatureAlgorithm otpPolicyType otpPolicyAlgorithm keycloakVersion passwordPolicy
			browserFlow directGrantFlow clientAuthenticationFlow registrationFlow resetCredentialsFlow dockerAuthenticationFlow firstBrokerLoginFlow`),
		reads(aWhole, `notBefore refreshTokenMaxReuse accessTokenLifespan ssoSessionIdleTimeout ssoSessionMaxLifespan offlineSessionIdleTimeout
			offlineSessionMaxLifespan clientSessionIdleTimeout clientSessionMaxLifespan clientOfflineSessionIdleTimeout
			clientOfflineSessionMaxLifespan accessCodeLifespan accessCodeLifespanLogin oauth2DeviceCodeLifespan
			oauth2DevicePollingInterval maxTemporaryLockouts maxFailureWaitSeconds minimumQuickLoginWaitSeconds waitIncrementSeconds
			maxDeltaTimeSeconds failureFactor otpPolicyDigits otpPolicyPeriod otpPolicyLookAheadWindow`),
		reads(aWhole, "maxSecondaryAuthFailures ssoSessionIdleTimeoutRememberMe ssoSessionMaxLifespanRememberMe"), reads(aLong, "quickLoginCheckMilliSeconds"),
		reads(aFlag, `enabled revokeRefreshToken offlineSessionMaxLifespanEnabled loginWithEmailAllowed duplicateEmailsAllowed
			registrationEmailAsUsername verifyEmail editUsernameAllowed bruteForceProtected permanentLockout otpPolicyCodeReusable
			internationalizationEnabled organizationsEnabled rememberMe registrationAllowed`),
		reads(aText, "defaultLocale"), reads(someTexts, "supportedLocales"), reads(listOf(of(provider)), "identityProviders"),
		reads(listOf(anyValue), "userFederationProviders"),
		reads(oneOf("LINEAR", "MULTIPLE"), "bruteForceStrategy"),
		reads(of(roles), "roles"), reads(of(role), "defaultRole"), reads(someTexts, "defaultRoles defaultGroups"), reads(listOf(of(group)), "groups"),
		reads(listOf(of(user)), "users"), reads(listOf(of(client)), "clients"), reads(listOf(of(scope)), "clientScopes"),
		reads(someTexts, "defaultDefaultClientScopes defaultOptionalClientScopes"),
		reads(listOf(of(scopeMapping)), "scopeMappings"), reads(mapOf(listOf(of(scopeMapping))), "clientScopeMappings"),
		reads(mapOf(listOf(of(component))), "components"), reads(aConfig, "attributes"), reads(listOf(of(action)), "requiredActions"),
		reads(listOf(of(flow)), "authenticationFlows"), reads(listOf(of(authenticatorConfig)), "authenticatorConfig"), reads(anyValue, "clientPolicies clientProfiles"),

		reads(listOf(anyValue), "organizations"), ignores(listOf(anyValue), "userFederationMappers"), ignores(listOf(of(user)), "federatedUsers"),
		refuses(oldRelease, listOf(anyValue), "applications oauthClients"),
		reads(listOf(of(template)), "clientTemplates"), reads(mapOf(listOf(of(scopeMapping))), "applicationScopeMappings"),

		ignores(aText, `displayName displayNameHtml loginTheme accountTheme adminTheme emailTheme privateKey publicKey certificate codeSecret`),
		ignores(aWhole, `accessTokenLifespanForImplicitFlow accessCodeLifespanUserAction actionTokenGeneratedByAdminLifespan actionTokenGeneratedByUserLifespan otpPolicyInitialCounter`),
		ignores(aLong, "eventsExpiration"),
		ignores(aFlag, `resetPasswordAllowed eventsEnabled adminEventsEnabled adminEventsDetailsEnabled
			userManagedAccessAllowed verifiableCredentialsEnabled adminPermissionsEnabled scimApiEnabled`),
		ignores(someTexts, "requiredCredentials otpSupportedApplications eventsListeners enabledEventTypes"),
		reads(aConfig, "smtpServer"), ignores(aConfig, "browserSecurityHeaders"), ignores(mapOf(aConfig), "localizationTexts"),
		ignores(listOf(of(providerMapper)), "identityProviderMappers"),
		ignores(listOf(of(mapperRecord())), "protocolMappers"), ignores(of(client), "adminPermissionsClient"),
		ignores(anyValue, `passwordCredentialGrantAllowed social updateProfileOnInitialSocialLogin socialProviders
			identityFederationEnabled attributesOrEmpty parsedClientProfiles parsedClientPolicies`),
		webAuthn("webAuthnPolicy"), webAuthn("webAuthnPolicyPasswordless"),
		ignores(aWhole, "webAuthnPolicyCreateTimeout webAuthnPolicyPasswordlessCreateTimeout"),
		ignores(aFlag, `webAuthnPolicyAvoidSameAuthenticatorRegister webAuthnPolicyPasswordlessAvoidSameAuthenticatorRegister
			webAuthnPolicyPasswordlessPasskeysEnabled`),
		ignores(aText, "webAuthnPolicyPasswordlessMediation"),
		ignores(someTexts, `webAuthnPolicySignatureAlgorithms webAuthnPolicyAcceptableAaguids webAuthnPolicyExtraOrigins
			webAuthnPolicyPasswordlessSignatureAlgorithms webAuthnPolicyPasswordlessAcceptableAaguids webAuthnPolicyPasswordlessExtraOrigins`),
	)
}

// webAuthn are the someTexts of one of the two policies for security keys.
func webAuthn(prefix string) members {
	names := []string{"RpEntityName", "RpId", "AttestationConveyancePreference", "AuthenticatorAttachment", "RequireResidentKey", "ResidentKey", "UserVerificationRequirement"}
	for i, name := range names {
		names[i] = prefix + name
	}
	return ignores(aText, strings.Join(names, " "))
}

func roleRecord() *record {
	composites := (&record{name: "Composites"}).with(
		reads(someTexts, "realm"), reads(textLists, "client application"))
	return (&record{name: "RoleRepresentation", nameless: isIdle}).with(
		reads(aText, "name"), reads(of(composites), "composites"),
		ignores(aText, "id description containerId"), ignores(aFlag, "composite clientRole"), ignores(textLists, "attributes"), ignores(anyValue, "scopeParamRequired"))
}

func groupRecord() *record {
	group := &record{name: "GroupRepresentation", nameless: isIdle}
	return group.with(
		reads(aText, "name"), reads(textLists, "attributes clientRoles"), reads(someTexts, "realmRoles"), reads(listOf(of(group)), "subGroups"),
		ignores(aText, "id description path parentId"), ignores(aLong, "subGroupCount"), ignores(mapOf(aFlag), "access"))
}

func userRecord() *record {
	credential := (&record{name: "CredentialRepresentation"}).with(
		reads(aText, "type value secretData credentialData"), reads(aFlag, "temporary"),
		ignores(aText, "id userLabel federationLink"), ignores(aLong, "createdDate"), ignores(aWhole, "priority"),
		reads(aText, "hashedSaltedValue"), ignores(anyValue, "device salt hashIterations counter algorithm digits period config"))
	consent := (&record{name: "UserConsentRepresentation", lenient: true}).with(
		reads(aText, "clientId"), reads(someTexts, "grantedClientScopes"), ignores(aLong, "createdDate lastUpdatedDate"), ignores(someTexts, "grantedRealmRoles"))
	federated := (&record{name: "FederatedIdentityRepresentation"}).with(ignores(aText, "identityProvider userId userName"))
	social := (&record{name: "SocialLinkRepresentation"}).with(ignores(aText, "socialProvider socialUserId socialUsername"))
	return (&record{name: "UserRepresentation"}).with(
		reads(aText, "id username email firstName lastName serviceAccountClientId"), reads(aFlag, "enabled emailVerified"), reads(aWhole, "notBefore"),
		reads(userTexts, "attributes"), reads(someTexts, "requiredActions realmRoles groups"), reads(textLists, "clientRoles applicationRoles"),
		reads(listOf(of(credential)), "credentials"), reads(listOf(of(consent)), "clientConsents"),
		reads(aText, "federationLink"),
		ignores(aText, "self origin"), ignores(aLong, "createdTimestamp"), ignores(aFlag, "totp"), ignores(someTexts, "disableableCredentialTypes"),
		ignores(listOf(of(federated)), "federatedIdentities"), ignores(listOf(of(social)), "socialLinks"), ignores(mapOf(aFlag), "access"),
		ignores(listOf(anyValue), "verifiableCredentials issuedVerifiableCredentials"), ignores(anyValue, "userProfileMetadata rawAttributes"))
}

func clientRecord() *record {
	return (&record{name: "ClientRepresentation"}).with(
		reads(aName, "clientId"), reads(aText, "id name protocol clientAuthenticatorType secret rootUrl baseUrl adminUrl clientTemplate"),
		reads(aFlag, `enabled publicClient bearerOnly consentRequired standardFlowEnabled implicitFlowEnabled directAccessGrantsEnabled
			serviceAccountsEnabled authorizationServicesEnabled frontchannelLogout fullScopeAllowed`),
		reads(aWhole, "notBefore"), reads(someTexts, "redirectUris webOrigins defaultClientScopes optionalClientScopes defaultRoles"),
		reads(aConfig, "attributes authenticationFlowBindingOverrides"), reads(listOf(of(mapperRecord())), "protocolMappers"),
		reads(aFlag, "directGrantsOnly"),
		ignores(aText, "description type registrationAccessToken origin"), ignores(aWhole, "nodeReRegistrationTimeout"),
		ignores(aFlag, "surrogateAuthRequired alwaysDisplayInConsole useTemplateConfig useTemplateScope useTemplateMappers"),
		ignores(mapOf(aWhole), "registeredNodes"), ignores(mapOf(aFlag), "access"), reads(anyValue, "authorizationSettings"))
}

func mapperRecord() *record {
	return (&record{name: "ProtocolMapperRepresentation", nameless: isMissing}).with(
		reads(aText, "name protocol protocolMapper"), reads(aConfig, "config"), ignores(aText, "id"), ignores(anyValue, "consentRequired consentText"))
}
