package realmfile

// These are the clients, roles and client scopes that Keycloak 26.7.4 adds to every realm whose
// file doesn't define them, as the admin API exports them.

// newMapper returns a protocol mapper of a built-in scope. By default, it adds its claim to all
// tokens. config overrides and adds settings, as alternating names and values.
func newMapper(name, provider string, config ...string) Mapper {
	settings := map[string]string{"access.token.claim": "true", "id.token.claim": "true",
		"introspection.token.claim": "true"}
	for i := 0; i < len(config); i += 2 {
		settings[config[i]] = config[i+1]
	}
	return Mapper{Name: name, Protocol: "openid-connect", ProtocolMapper: provider,
		Config: settings}
}

// newAttributeMapper returns a mapper that adds a user attribute to tokens.
func newAttributeMapper(name, attribute, claim, jsonType string) Mapper {
	return newMapper(name, "oidc-usermodel-attribute-mapper", "userinfo.token.claim", "true",
		"user.attribute", attribute, "claim.name", claim, "jsonType.label", jsonType)
}

// newNoteMapper returns a mapper that adds a note in the user's session to tokens.
func newNoteMapper(name, note, claim, jsonType string) Mapper {
	return newMapper(name, "oidc-usersessionmodel-note-mapper", "user.session.note", note,
		"claim.name", claim, "jsonType.label", jsonType)
}

// BuiltinScopes returns the client scopes of a realm whose file has no field clientScopes.
func BuiltinScopes() []Scope {
	newScope := func(name, includeInToken, consentText string, mappers ...Mapper) Scope {
		attributes := map[string]string{"display.on.consent.screen": "false"}
		if includeInToken != "" {
			attributes["include.in.token.scope"] = includeInToken
		}
		if consentText != "" {
			attributes["display.on.consent.screen"] = "true"
			attributes["consent.screen.text"] = consentText
		}
		return Scope{Name: name, Protocol: "openid-connect", Attributes: attributes,
			ProtocolMappers: mappers}
	}
	return []Scope{
		newScope("basic", "false", "",
			newNoteMapper("auth_time", "AUTH_TIME", "auth_time", "long"),
			newMapper("sub", "oidc-sub-mapper", "id.token.claim", "false")),
		newScope("profile", "true", "${profileScopeConsentText}",
			newMapper("full name", "oidc-full-name-mapper", "userinfo.token.claim", "true"),
			newAttributeMapper("username", "username", "preferred_username", "String"),
			newAttributeMapper("given name", "firstName", "given_name", "String"),
			newAttributeMapper("family name", "lastName", "family_name", "String"),
			newAttributeMapper("middle name", "middleName", "middle_name", "String"),
			newAttributeMapper("nickname", "nickname", "nickname", "String"),
			newAttributeMapper("profile", "profile", "profile", "String"),
			newAttributeMapper("picture", "picture", "picture", "String"),
			newAttributeMapper("website", "website", "website", "String"),
			newAttributeMapper("gender", "gender", "gender", "String"),
			newAttributeMapper("birthdate", "birthdate", "birthdate", "String"),
			newAttributeMapper("zoneinfo", "zoneinfo", "zoneinfo", "String"),
			newAttributeMapper("locale", "locale", "locale", "String"),
			newAttributeMapper("updated at", "updatedAt", "updated_at", "long")),
		newScope("email", "true", "${emailScopeConsentText}",
			newAttributeMapper("email", "email", "email", "String"),
			newMapper("email verified", "oidc-usermodel-property-mapper",
				"userinfo.token.claim", "true", "user.attribute", "emailVerified", "claim.name",
				"email_verified", "jsonType.label",
				"boolean")),
		newScope("roles", "false", "${rolesScopeConsentText}",
			newMapper("realm roles", "oidc-usermodel-realm-role-mapper", "id.token.claim", "false",
				"claim.name", "realm_access.roles", "jsonType.label", "String", "multivalued",
				"true"),
			newMapper("client roles", "oidc-usermodel-client-role-mapper", "id.token.claim",
				"false", "claim.name", "resource_access.${client_id}.roles", "jsonType.label",
				"String", "multivalued", "true"),
			newMapper("audience resolve", "oidc-audience-resolve-mapper", "id.token.claim",
				"false")),
		newScope("web-origins", "false", "",
			newMapper("allowed web origins", "oidc-allowed-origins-mapper",
				"id.token.claim", "false")),
		newScope("acr", "false", "", newMapper("acr loa level", "oidc-acr-mapper")),
		newScope("address", "true", "${addressScopeConsentText}",
			newMapper("address", "oidc-address-mapper", "userinfo.token.claim", "true",
				"user.attribute.formatted", "formatted", "user.attribute.street", "street",
				"user.attribute.locality", "locality", "user.attribute.region", "region",
				"user.attribute.postal_code", "postal_code", "user.attribute.country", "country")),
		newScope("phone", "true", "${phoneScopeConsentText}",
			newAttributeMapper("phone number", "phoneNumber", "phone_number", "String"),
			newAttributeMapper("phone number verified", "phoneNumberVerified",
				"phone_number_verified", "boolean")),
		newScope("microprofile-jwt", "true", "",
			newAttributeMapper("upn", "username", "upn", "String"),
			newMapper("groups", "oidc-usermodel-realm-role-mapper", "claim.name", "groups",
				"jsonType.label", "String", "multivalued", "true")),
		newScope("offline_access", "", "${offlineAccessScopeConsentText}"),
		newScope("organization", "true", "${organizationScopeConsentText}",
			newMapper("organization", "oidc-organization-membership-mapper", "claim.name",
				"organization", "jsonType.label", "String", "multivalued", "true")),
		newScope("service_account", "false", "",
			newNoteMapper("Client ID", "client_id", "client_id", "String"),
			newNoteMapper("Client Host", "clientHost", "clientHost", "String"),
			newNoteMapper("Client IP Address", "clientAddress", "clientAddress", "String")),
	}
}

var (
	BuiltinDefaultScopes  = []string{"profile", "email", "roles", "web-origins", "acr", "basic"}
	BuiltinOptionalScopes = []string{"offline_access", "address", "phone", "microprofile-jwt",
		"organization"}
)

// BuiltinClientRoles are the roles of the built-in clients, by client.
var BuiltinClientRoles = map[string][]string{
	"account": {"manage-account", "manage-account-links", "view-profile", "view-groups",
		"view-applications", "view-consent", "manage-consent", "delete-account"},
	"broker": {"read-token"},
	"realm-management": {
		"realm-admin", "create-client", "impersonation", "manage-authorization", "manage-clients",
		"manage-events", "manage-identity-providers", "manage-organizations", "manage-realm",
		"manage-users", "query-clients", "query-groups", "query-organizations", "query-realms",
		"query-users", "view-authorization", "view-clients", "view-events",
		"view-identity-providers", "view-organizations", "view-realm", "view-users",
	},
}

// BuiltinComposites are the composite roles of the built-in clients, by client, and the roles of
// the same client that they contain.
var BuiltinComposites = map[string]map[string][]string{
	"account": {"manage-account": {"manage-account-links"}, "manage-consent": {"view-consent"}},
	"realm-management": {
		"view-users": {"query-users", "query-groups"}, "view-clients": {"query-clients"},
		"view-organizations": {"query-organizations"},
		"realm-admin":        BuiltinClientRoles["realm-management"][1:],
	},
}

// BuiltinClients returns the clients that Keycloak adds to a realm with this name.
func BuiltinClients(realm string) []Client {
	accountURL, consoleURL := "/realms/"+realm+"/account/", "/admin/"+realm+"/console/"
	pkce := map[string]string{"post.logout.redirect.uris": "+",
		"pkce.code.challenge.method": "S256"}
	return []Client{
		{ClientID: "account", PublicClient: true, FullScopeAllowed: new(false), BaseURL: accountURL,
			RedirectURIs: []string{accountURL + "*"},
			Attributes:   map[string]string{"post.logout.redirect.uris": "+"}},
		{ClientID: "account-console", PublicClient: true, FullScopeAllowed: new(false),
			BaseURL: accountURL, RedirectURIs: []string{accountURL + "*"},
			Attributes: pkce,
			ProtocolMappers: []Mapper{{Name: "audience resolve", Protocol: "openid-connect",
				ProtocolMapper: "oidc-audience-resolve-mapper"}}},
		{ClientID: "admin-cli", PublicClient: true, StandardFlowEnabled: new(false),
			DirectAccessGrantsEnabled: true,
			Attributes: map[string]string{
				"client.use.lightweight.access.token.enabled": "true"}},
		{ClientID: "broker", BearerOnly: true, FullScopeAllowed: new(false)},
		{ClientID: "realm-management", BearerOnly: true, FullScopeAllowed: new(false)},
		{ClientID: "security-admin-console", PublicClient: true, BaseURL: consoleURL,
			RedirectURIs: []string{consoleURL + "*"}, WebOrigins: []string{"+"},
			Attributes: map[string]string{"post.logout.redirect.uris": "+",
				"pkce.code.challenge.method":                  "S256",
				"client.use.lightweight.access.token.enabled": "true"},
			ProtocolMappers: []Mapper{newAttributeMapper("locale", "locale", "locale", "String")}},
	}
}
