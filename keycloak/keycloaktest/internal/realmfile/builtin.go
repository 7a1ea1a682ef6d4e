package realmfile

// These are the clients, roles and client scopes that Keycloak 26.7.4 adds to every realm whose
// file doesn't define them, as the admin API exports them.

// mapper returns a protocol mapper of a built-in scope. Its claim is in all tokens, unless config
// (pairs of a name and a value) overrides that.
func mapper(name, provider string, config ...string) Mapper {
	settings := map[string]string{"access.token.claim": "true", "id.token.claim": "true",
		"introspection.token.claim": "true"}
	for i := 0; i < len(config); i += 2 {
		settings[config[i]] = config[i+1]
	}
	return Mapper{Name: name, Protocol: "openid-connect", ProtocolMapper: provider,
		Config: settings}
}

// attribute returns a mapper for a user attribute.
func attribute(name, attribute, claim, jsonType string) Mapper {
	return mapper(name, "oidc-usermodel-attribute-mapper", "userinfo.token.claim", "true",
		"user.attribute", attribute, "claim.name", claim, "jsonType.label", jsonType)
}

// note returns a mapper for a note in the user's session.
func note(name, note, claim, jsonType string) Mapper {
	return mapper(name, "oidc-usersessionmodel-note-mapper", "user.session.note", note, "claim.name",
		claim, "jsonType.label", jsonType)
}

// BuiltinScopes returns the client scopes of a realm whose file has none.
func BuiltinScopes() []Scope {
	scope := func(name, inToken, consent string, mappers ...Mapper) Scope {
		attributes := map[string]string{"display.on.consent.screen": "false"}
		if inToken != "" {
			attributes["include.in.token.scope"] = inToken
		}
		if consent != "" {
			attributes["display.on.consent.screen"] = "true"
			attributes["consent.screen.text"] = consent
		}
		return Scope{Name: name, Protocol: "openid-connect", Attributes: attributes,
			ProtocolMappers: mappers}
	}
	return []Scope{
		scope("basic", "false", "",
			note("auth_time", "AUTH_TIME", "auth_time", "long"),
			mapper("sub", "oidc-sub-mapper", "id.token.claim", "false")),
		scope("profile", "true", "${profileScopeConsentText}",
			mapper("full name", "oidc-full-name-mapper", "userinfo.token.claim", "true"),
			attribute("username", "username", "preferred_username", "String"),
			attribute("given name", "firstName", "given_name", "String"),
			attribute("family name", "lastName", "family_name", "String"),
			attribute("middle name", "middleName", "middle_name", "String"),
			attribute("nickname", "nickname", "nickname", "String"),
			attribute("profile", "profile", "profile", "String"),
			attribute("picture", "picture", "picture", "String"),
			attribute("website", "website", "website", "String"),
			attribute("gender", "gender", "gender", "String"),
			attribute("birthdate", "birthdate", "birthdate", "String"),
			attribute("zoneinfo", "zoneinfo", "zoneinfo", "String"),
			attribute("locale", "locale", "locale", "String"),
			attribute("updated at", "updatedAt", "updated_at", "long")),
		scope("email", "true", "${emailScopeConsentText}",
			attribute("email", "email", "email", "String"),
			mapper("email verified", "oidc-usermodel-property-mapper",
				"userinfo.token.claim", "true", "user.attribute", "emailVerified", "claim.name", "email_verified", "jsonType.label",
				"boolean")),
		scope("roles", "false", "${rolesScopeConsentText}",
			mapper("realm roles", "oidc-usermodel-realm-role-mapper", "id.token.claim", "false",
				"claim.name", "realm_access.roles", "jsonType.label", "String", "multivalued",
				"true"),
			mapper("client roles", "oidc-usermodel-client-role-mapper", "id.token.claim", "false",
				"claim.name", "resource_access.${client_id}.roles", "jsonType.label", "String",
				"multivalued", "true"),
			mapper("audience resolve", "oidc-audience-resolve-mapper", "id.token.claim", "false")),
		scope("web-origins", "false", "",
			mapper("allowed web origins", "oidc-allowed-origins-mapper",
				"id.token.claim", "false")),
		scope("acr", "false", "", mapper("acr loa level", "oidc-acr-mapper")),
		scope("address", "true", "${addressScopeConsentText}",
			mapper("address", "oidc-address-mapper", "userinfo.token.claim", "true",
				"user.attribute.formatted", "formatted", "user.attribute.street", "street",
				"user.attribute.locality", "locality", "user.attribute.region", "region",
				"user.attribute.postal_code", "postal_code", "user.attribute.country", "country")),
		scope("phone", "true", "${phoneScopeConsentText}",
			attribute("phone number", "phoneNumber", "phone_number", "String"),
			attribute("phone number verified", "phoneNumberVerified", "phone_number_verified",
				"boolean")),
		scope("microprofile-jwt", "true", "",
			attribute("upn", "username", "upn", "String"),
			mapper("groups", "oidc-usermodel-realm-role-mapper", "claim.name", "groups",
				"jsonType.label", "String", "multivalued", "true")),
		scope("offline_access", "", "${offlineAccessScopeConsentText}"),
		scope("organization", "true", "${organizationScopeConsentText}",
			mapper("organization", "oidc-organization-membership-mapper", "claim.name", "organization",
				"jsonType.label", "String", "multivalued", "true")),
		scope("service_account", "false", "",
			note("Client ID", "client_id", "client_id", "String"),
			note("Client Host", "clientHost", "clientHost", "String"),
			note("Client IP Address", "clientAddress", "clientAddress", "String")),
	}
}

var (
	BuiltinDefaultScopes  = []string{"profile", "email", "roles", "web-origins", "acr", "basic"}
	BuiltinOptionalScopes = []string{"offline_access", "address", "phone", "microprofile-jwt",
		"organization"}
)

// BuiltinClientRoles are the roles of the built-in clients.
var BuiltinClientRoles = map[string][]string{
	"account": {"manage-account", "manage-account-links", "view-profile", "view-groups", "view-applications", "view-consent", "manage-consent", "delete-account"},
	"broker":  {"read-token"},
	"realm-management": {
		"realm-admin", "create-client", "impersonation", "manage-authorization", "manage-clients",
		"manage-events", "manage-identity-providers", "manage-organizations", "manage-realm",
		"manage-users", "query-clients", "query-groups", "query-organizations", "query-realms",
		"query-users", "view-authorization", "view-clients", "view-events",
		"view-identity-providers", "view-organizations", "view-realm", "view-users",
	},
}

// BuiltinComposites are the composite roles of the built-in clients. They contain roles of the same
// client.
var BuiltinComposites = map[string]map[string][]string{
	"account": {"manage-account": {"manage-account-links"}, "manage-consent": {"view-consent"}},
	"realm-management": {
		"view-users": {"query-users", "query-groups"}, "view-clients": {"query-clients"}, "view-organizations": {"query-organizations"},
		"realm-admin": BuiltinClientRoles["realm-management"][1:],
	},
}

// BuiltinClients returns the clients that Keycloak adds to a realm with this name.
func BuiltinClients(realm string) []Client {
	account, console := "/realms/"+realm+"/account/", "/admin/"+realm+"/console/"
	pkce := map[string]string{"post.logout.redirect.uris": "+",
		"pkce.code.challenge.method": "S256"}
	return []Client{
		{ClientID: "account", PublicClient: true, FullScopeAllowed: new(false), BaseURL: account, RedirectURIs: []string{account + "*"},
			Attributes: map[string]string{"post.logout.redirect.uris": "+"}},
		{ClientID: "account-console", PublicClient: true, FullScopeAllowed: new(false), BaseURL: account, RedirectURIs: []string{account + "*"},
			Attributes: pkce,
			ProtocolMappers: []Mapper{{Name: "audience resolve", Protocol: "openid-connect",
				ProtocolMapper: "oidc-audience-resolve-mapper"}}},
		{ClientID: "admin-cli", PublicClient: true, StandardFlowEnabled: new(false), DirectAccessGrantsEnabled: true,
			Attributes: map[string]string{"client.use.lightweight.access.token.enabled": "true"}},
		{ClientID: "broker", BearerOnly: true, FullScopeAllowed: new(false)},
		{ClientID: "realm-management", BearerOnly: true, FullScopeAllowed: new(false)},
		{ClientID: "security-admin-console", PublicClient: true, BaseURL: console, RedirectURIs: []string{console + "*"}, WebOrigins: []string{"+"},
			Attributes: map[string]string{"post.logout.redirect.uris": "+",
				"pkce.code.challenge.method":                  "S256",
				"client.use.lightweight.access.token.enabled": "true"},
			ProtocolMappers: []Mapper{attribute("locale", "locale", "locale", "String")}},
	}
}
