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

// The schemas list all fields of representations that Keycloak 26.7.4's JSON reader accepts,
// including old names. Each field has a disposition (reader.go).

// scalar returns the schema of a scalar. decode converts a value, and returns false if the value is
// invalid.
func scalar(typeName string, decode func(any) (any, bool)) *schema {
	return &schema{typeName: typeName, scalar: decode}
}

func listOf(items *schema) *schema { return &schema{items: items} }
func mapOf(values *schema) *schema { return &schema{values: values} }
func object(r *record) *schema     { return &schema{record: r} }

var (
	stringType = scalar("a text", decodeString)
	nameType   = scalar("a name", decodeName)
	boolType   = scalar("true or false", decodeBool)
	int32Type  = scalar("a whole number of 32 bits", func(value any) (any, bool) {
		return decodeInt(value, 32)
	})
	int64Type = scalar("a whole number", func(value any) (any, bool) {
		return decodeInt(value, 64)
	})
	anyType     = scalar("", func(value any) (any, bool) { return value, true })
	stringList  = listOf(stringType)
	stringMap   = mapOf(stringType)
	stringLists = mapOf(stringList)
	// A user's attribute may be a string instead of a list; a group's attribute must be a list.
	userAttributes = mapOf(scalar("a list of texts", decodeStringOrList))
)

func decodeString(value any) (any, bool) {
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

func decodeName(value any) (any, bool) {
	text, ok := decodeString(value)
	return text, ok && strings.TrimSpace(text.(string)) != ""
}

func decodeStringOrList(value any) (any, bool) {
	if items, ok := value.([]any); ok {
		out := make([]any, len(items))
		for i, item := range items {
			if out[i], ok = decodeString(item); !ok {
				return nil, false
			}
		}
		return out, true
	}
	decoded, ok := decodeString(value)
	return []any{decoded}, ok
}

func decodeBool(value any) (any, bool) {
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

// decodeInt truncates a fraction, as Keycloak does. In a string, a fraction is invalid.
func decodeInt(value any, bits int) (any, bool) {
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
		limit := math.Ldexp(1, bits-1)
		return int64(f), err == nil && f >= -limit && f < limit
	}
	return nil, false
}

// oneOf returns the schema of an enumeration.
func oneOf(names ...string) *schema {
	return scalar("one of "+strings.Join(names, ", "), func(value any) (any, bool) {
		text, ok := value.(string)
		return text, ok && slices.Contains(names, text)
	})
}

// placeholderPattern matches placeholders that Keycloak's import replaces from the environment:
// ${NAME:default}, and ${NAME} if that variable is set. ${NAME} only matches in upper case, because
// Keycloak itself uses strings such as ${client_id}.
var placeholderPattern = regexp.MustCompile(`\$\{[\w.]+:[^}]*\}|\$\{[A-Z][A-Z0-9_]*\}`)

// checkPlaceholder reports a string that contains a placeholder.
func (r *reader) checkPlaceholder(path *fieldPath, value any) {
	if text, ok := value.(string); ok && strings.Contains(text, "${") {
		if match := placeholderPattern.FindString(text); match != "" {
			r.report(path,
				"%s is a placeholder, which Keycloak replaces from its environment and the "+
					"fake doesn't: write the value instead", match)
		}
	}
}

// A fieldGroup is a group of fields with the same schema and disposition.
type fieldGroup struct {
	names string // separated by white space
	field
}

func decodes(s *schema, names string) fieldGroup {
	return fieldGroup{names, field{s, dispositionDecode, ""}}
}
func ignores(s *schema, names string) fieldGroup {
	return fieldGroup{names, field{s, dispositionIgnore, ""}}
}
func rejects(reason string, s *schema, names string) fieldGroup {
	return fieldGroup{names, field{s, dispositionReject, reason}}
}

// withFields sets the fields of a record, and returns the record.
func (r *record) withFields(groups ...fieldGroup) *record {
	r.fields = map[string]field{}
	for _, g := range groups {
		for _, name := range strings.Fields(g.names) {
			r.fields[name] = g.field
		}
	}
	return r
}

// A schemaSet has a record for each kind of document.
type schemaSet struct{ realm, client, user *record }

// schemas returns the schemas, which are built on the first call.
var schemas = sync.OnceValue(func() schemaSet {
	var (
		client, user = clientRecord(), userRecord()
		role         = roleRecord()
		group        = groupRecord()
	)
	return schemaSet{realmRecord(client, user, role, group), client, user}
})

const oldRelease = "it is from an old release of Keycloak, and the import of Keycloak 26 fails " +
	"on it"

func realmRecord(client, user, role, group *record) *record {
	roles := (&record{name: "RolesRepresentation"}).withFields(
		decodes(listOf(object(role)), "realm"),
		decodes(mapOf(listOf(object(role))), "client application"))
	scopeMapping := (&record{name: "ScopeMappingRepresentation"}).withFields(
		decodes(stringType, "client clientScope clientTemplate"), decodes(stringList, "roles"),
		ignores(stringType, "self"))
	scope := (&record{name: "ClientScopeRepresentation", lenient: true,
		nameRule: nameRequired}).withFields(
		decodes(stringType, "name protocol"), decodes(stringMap, "attributes"),
		decodes(listOf(object(mapperRecord())), "protocolMappers"),
		ignores(stringType, "id description"))
	template := (&record{name: "ClientTemplateRepresentation", nameRule: nameRequired}).withFields(
		decodes(stringType, "name protocol"), decodes(stringMap, "attributes"),
		decodes(listOf(object(mapperRecord())), "protocolMappers"),
		ignores(stringType, "id description"),
		ignores(boolType, `fullScopeAllowed bearerOnly consentRequired standardFlowEnabled
			implicitFlowEnabled directAccessGrantsEnabled serviceAccountsEnabled publicClient
			frontchannelLogout`))
	component := &record{name: "ComponentExportRepresentation"}
	component.withFields(
		decodes(stringType, "id name providerId"), decodes(stringLists, "config"),
		decodes(mapOf(listOf(object(component))), "subComponents"), ignores(stringType, "subType"))
	execution := (&record{name: "AuthenticationExecutionExportRepresentation"}).withFields(
		decodes(stringType, "authenticatorConfig authenticator flowAlias"),
		decodes(oneOf("REQUIRED", "CONDITIONAL", "ALTERNATIVE", "DISABLED", "OPTIONAL"),
			"requirement"), decodes(int32Type, "priority"),
		ignores(boolType, "authenticatorFlow autheticatorFlow userSetupAllowed"))
	flow := (&record{name: "AuthenticationFlowRepresentation"}).withFields(
		decodes(stringType, "id alias"),
		decodes(listOf(object(execution)), "authenticationExecutions"),
		ignores(stringType, "description providerId"), ignores(boolType, "topLevel builtIn"))
	authenticatorConfig := (&record{name: "AuthenticatorConfigRepresentation"}).withFields(
		decodes(stringType, "alias"), decodes(stringMap, "config"), ignores(stringType, "id"))
	action := (&record{name: "RequiredActionProviderRepresentation"}).withFields(
		decodes(stringType, "alias"), decodes(boolType, "enabled defaultAction"),
		ignores(stringType, "name providerId"), ignores(int32Type, "priority"),
		ignores(stringMap, "config"))
	provider := (&record{name: "IdentityProviderRepresentation"}).withFields(
		decodes(stringType, "alias providerId firstBrokerLoginFlowAlias postBrokerLoginFlowAlias"),
		decodes(boolType, "enabled"), decodes(stringMap, "config"),
		ignores(stringType, "displayName internalId updateProfileFirstLoginMode organizationId"),
		ignores(boolType,
			"trustEmail storeToken addReadTokenRoleOnCreate authenticateByDefault linkOnly "+
				"hideOnLogin "+
				"updateProfileFirstLogin"),
		ignores(stringList, "types"))
	providerMapper := (&record{name: "IdentityProviderMapperRepresentation"}).withFields(
		ignores(stringType, "id name identityProviderAlias identityProviderMapper"),
		ignores(stringMap, "config"))
	return (&record{name: "RealmRepresentation"}).withFields(
		decodes(stringType,
			`id realm sslRequired defaultSignatureAlgorithm otpPolicyType otpPolicyAlgorithm
			keycloakVersion passwordPolicy browserFlow directGrantFlow clientAuthenticationFlow
			registrationFlow resetCredentialsFlow dockerAuthenticationFlow firstBrokerLoginFlow`),
		decodes(int32Type,
			`notBefore refreshTokenMaxReuse accessTokenLifespan ssoSessionIdleTimeout
			ssoSessionMaxLifespan offlineSessionIdleTimeout offlineSessionMaxLifespan
			clientSessionIdleTimeout clientSessionMaxLifespan clientOfflineSessionIdleTimeout
			clientOfflineSessionMaxLifespan accessCodeLifespan accessCodeLifespanLogin
			oauth2DeviceCodeLifespan oauth2DevicePollingInterval maxTemporaryLockouts
			maxFailureWaitSeconds minimumQuickLoginWaitSeconds waitIncrementSeconds
			maxDeltaTimeSeconds failureFactor otpPolicyDigits otpPolicyPeriod
			otpPolicyLookAheadWindow`),
		decodes(int32Type,
			"maxSecondaryAuthFailures ssoSessionIdleTimeoutRememberMe "+
				"ssoSessionMaxLifespanRememberMe"),
		decodes(int64Type, "quickLoginCheckMilliSeconds"),
		decodes(boolType,
			`enabled revokeRefreshToken offlineSessionMaxLifespanEnabled loginWithEmailAllowed
			duplicateEmailsAllowed registrationEmailAsUsername verifyEmail editUsernameAllowed
			bruteForceProtected permanentLockout otpPolicyCodeReusable
			internationalizationEnabled organizationsEnabled rememberMe registrationAllowed`),
		decodes(stringType, "defaultLocale"), decodes(stringList, "supportedLocales"),
		decodes(listOf(object(provider)), "identityProviders"),
		decodes(listOf(anyType), "userFederationProviders"),
		decodes(oneOf("LINEAR", "MULTIPLE"), "bruteForceStrategy"), decodes(object(roles), "roles"),
		decodes(object(role), "defaultRole"), decodes(stringList, "defaultRoles defaultGroups"),
		decodes(listOf(object(group)), "groups"), decodes(listOf(object(user)), "users"),
		decodes(listOf(object(client)), "clients"), decodes(listOf(object(scope)), "clientScopes"),
		decodes(stringList, "defaultDefaultClientScopes defaultOptionalClientScopes"),
		decodes(listOf(object(scopeMapping)), "scopeMappings"),
		decodes(mapOf(listOf(object(scopeMapping))), "clientScopeMappings"),
		decodes(mapOf(listOf(object(component))), "components"), decodes(stringMap, "attributes"),
		decodes(listOf(object(action)), "requiredActions"),
		decodes(listOf(object(flow)), "authenticationFlows"),
		decodes(listOf(object(authenticatorConfig)), "authenticatorConfig"),
		decodes(anyType, "clientPolicies clientProfiles"),

		decodes(listOf(object(organizationRecord(group, user, provider))), "organizations"),
		ignores(listOf(anyType), "userFederationMappers"),
		ignores(listOf(object(user)), "federatedUsers"),
		rejects(oldRelease, listOf(anyType), "applications oauthClients"),
		decodes(listOf(object(template)), "clientTemplates"),
		decodes(mapOf(listOf(object(scopeMapping))), "applicationScopeMappings"),

		ignores(stringType,
			`displayName displayNameHtml loginTheme accountTheme adminTheme emailTheme privateKey
			publicKey certificate codeSecret`),
		ignores(int32Type,
			`accessTokenLifespanForImplicitFlow accessCodeLifespanUserAction
			actionTokenGeneratedByAdminLifespan actionTokenGeneratedByUserLifespan
			otpPolicyInitialCounter`),
		ignores(int64Type, "eventsExpiration"),
		ignores(boolType,
			`resetPasswordAllowed eventsEnabled adminEventsEnabled adminEventsDetailsEnabled
			userManagedAccessAllowed verifiableCredentialsEnabled adminPermissionsEnabled
			scimApiEnabled`),
		ignores(stringList,
			"requiredCredentials otpSupportedApplications eventsListeners enabledEventTypes"),
		decodes(stringMap, "smtpServer"), ignores(stringMap, "browserSecurityHeaders"),
		ignores(mapOf(stringMap), "localizationTexts"),
		ignores(listOf(object(providerMapper)), "identityProviderMappers"),
		ignores(listOf(object(mapperRecord())), "protocolMappers"),
		ignores(object(client), "adminPermissionsClient"), ignores(anyType,
			`passwordCredentialGrantAllowed social updateProfileOnInitialSocialLogin
			socialProviders identityFederationEnabled attributesOrEmpty parsedClientProfiles
			parsedClientPolicies`),
		webAuthnStrings("webAuthnPolicy"), webAuthnStrings("webAuthnPolicyPasswordless"),
		ignores(int32Type, "webAuthnPolicyCreateTimeout webAuthnPolicyPasswordlessCreateTimeout"),
		ignores(boolType,
			`webAuthnPolicyAvoidSameAuthenticatorRegister
			webAuthnPolicyPasswordlessAvoidSameAuthenticatorRegister
			webAuthnPolicyPasswordlessPasskeysEnabled`),
		ignores(stringType, "webAuthnPolicyPasswordlessMediation"),
		ignores(stringList,
			`webAuthnPolicySignatureAlgorithms webAuthnPolicyAcceptableAaguids
			webAuthnPolicyExtraOrigins webAuthnPolicyPasswordlessSignatureAlgorithms
			webAuthnPolicyPasswordlessAcceptableAaguids webAuthnPolicyPasswordlessExtraOrigins`),
	)
}

// webAuthnStrings returns the string fields of the WebAuthn policy with this prefix.
func webAuthnStrings(prefix string) fieldGroup {
	names := []string{"RpEntityName", "RpId", "AttestationConveyancePreference",
		"AuthenticatorAttachment", "RequireResidentKey", "ResidentKey",
		"UserVerificationRequirement"}
	for i, name := range names {
		names[i] = prefix + name
	}
	return ignores(stringType, strings.Join(names, " "))
}

func roleRecord() *record {
	composites := (&record{name: "Composites"}).withFields(
		decodes(stringList, "realm"), decodes(stringLists, "client application"))
	return (&record{name: "RoleRepresentation", nameRule: namelessIgnored}).withFields(
		decodes(stringType, "name"), decodes(object(composites), "composites"),
		ignores(stringType, "id description containerId"),
		ignores(boolType, "composite clientRole"), ignores(stringLists, "attributes"),
		ignores(anyType, "scopeParamRequired"))
}

func groupRecord() *record {
	group := &record{name: "GroupRepresentation", nameRule: namelessIgnored}
	return group.withFields(
		decodes(stringType, "id name"), decodes(stringLists, "attributes clientRoles"),
		decodes(stringList, "realmRoles"), decodes(listOf(object(group)), "subGroups"),
		ignores(stringType, "description path parentId"), ignores(int64Type, "subGroupCount"),
		ignores(mapOf(boolType), "access"))
}

func userRecord() *record {
	credential := (&record{name: "CredentialRepresentation"}).withFields(
		decodes(stringType, "type value secretData credentialData"), decodes(boolType, "temporary"),
		ignores(stringType, "id userLabel federationLink"), ignores(int64Type, "createdDate"),
		ignores(int32Type, "priority"), decodes(stringType, "hashedSaltedValue"),
		ignores(anyType, "device salt hashIterations counter algorithm digits period config"))
	consent := (&record{name: "UserConsentRepresentation", lenient: true}).withFields(
		decodes(stringType, "clientId"), decodes(stringList, "grantedClientScopes"),
		ignores(int64Type, "createdDate lastUpdatedDate"), ignores(stringList, "grantedRealmRoles"))
	federatedIdentity := (&record{name: "FederatedIdentityRepresentation"}).withFields(
		ignores(stringType, "identityProvider userId userName"))
	socialLink := (&record{name: "SocialLinkRepresentation"}).withFields(ignores(stringType,
		"socialProvider socialUserId socialUsername"))
	return (&record{name: "UserRepresentation", nameRule: nameRequired,
		nameField: "username"}).withFields(
		decodes(stringType, "id username email firstName lastName serviceAccountClientId"),
		decodes(boolType, "enabled emailVerified"), decodes(int32Type, "notBefore"),
		decodes(userAttributes, "attributes"),
		decodes(stringList, "requiredActions realmRoles groups"),
		decodes(stringLists, "clientRoles applicationRoles"),
		decodes(listOf(object(credential)), "credentials"),
		decodes(listOf(object(consent)), "clientConsents"), decodes(stringType, "federationLink"),
		ignores(stringType, "self origin"), ignores(int64Type, "createdTimestamp"),
		ignores(boolType, "totp"), ignores(stringList, "disableableCredentialTypes"),
		ignores(listOf(object(federatedIdentity)), "federatedIdentities"),
		ignores(listOf(object(socialLink)), "socialLinks"), ignores(mapOf(boolType), "access"),
		ignores(listOf(anyType), "verifiableCredentials issuedVerifiableCredentials"),
		ignores(anyType, "userProfileMetadata rawAttributes"))
}

func clientRecord() *record {
	return (&record{name: "ClientRepresentation"}).withFields(
		decodes(nameType, "clientId"),
		decodes(stringType,
			"id name protocol clientAuthenticatorType secret rootUrl baseUrl adminUrl "+
				"clientTemplate"),
		decodes(boolType, `enabled publicClient bearerOnly consentRequired standardFlowEnabled
				implicitFlowEnabled directAccessGrantsEnabled serviceAccountsEnabled
				authorizationServicesEnabled frontchannelLogout fullScopeAllowed`),
		decodes(int32Type, "notBefore"),
		decodes(stringList,
			"redirectUris webOrigins defaultClientScopes optionalClientScopes defaultRoles"),
		decodes(stringMap, "attributes authenticationFlowBindingOverrides"),
		decodes(listOf(object(mapperRecord())), "protocolMappers"),
		decodes(boolType, "directGrantsOnly"),
		ignores(stringType, "description type registrationAccessToken origin"),
		ignores(int32Type, "nodeReRegistrationTimeout"), ignores(boolType,
			"surrogateAuthRequired alwaysDisplayInConsole useTemplateConfig useTemplateScope "+
				"useTemplateMappers"),
		ignores(mapOf(int32Type), "registeredNodes"), ignores(mapOf(boolType), "access"),
		decodes(anyType, "authorizationSettings"))
}

func mapperRecord() *record {
	return (&record{name: "ProtocolMapperRepresentation", nameRule: nameRequired}).withFields(
		decodes(stringType, "name protocol protocolMapper"), decodes(stringMap, "config"),
		ignores(stringType, "id"), ignores(anyType, "consentRequired consentText"))
}
