package realmfile

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The fake Keycloak doesn't support identity providers and user storage providers. Requests that
// depend on them get a 501. The settings of a provider are still checked, as in Keycloak's import.

type IdentityProvider struct {
	Alias                string            `json:"alias"`
	Enabled              *bool             `json:"enabled"`
	ProviderID           string            `json:"providerId"`
	FirstBrokerLoginFlow string            `json:"firstBrokerLoginFlowAlias"`
	PostBrokerLoginFlow  string            `json:"postBrokerLoginFlowAlias"`
	Config               map[string]string `json:"config"`
}

// The providers, mappers and policies of Keycloak 26.7.4 (GET /admin/serverinfo).
var (
	identityProviders = []string{
		"bitbucket", "facebook", "github", "gitlab", "google", "jwt-authorization-grant",
		"keycloak-oidc", "kubernetes", "linkedin-openid-connect", "microsoft", "oauth2", "oidc",
		"openshift-v4", "paypal", "saml", "stackoverflow", "twitter",
	}
	userStorageProviders = []string{"ldap", "kerberos"}
	ldapMappers          = []string{
		"certificate-ldap-mapper", "full-name-ldap-mapper", "group-ldap-mapper",
		"hardcoded-attribute-mapper", "hardcoded-ldap-attribute-mapper",
		"hardcoded-ldap-group-mapper", "hardcoded-ldap-role-mapper",
		"kerberos-principal-attribute-mapper", "msad-lds-user-account-control-mapper",
		"msad-user-account-control-mapper", "role-ldap-mapper", "user-attribute-ldap-mapper",
	}
	registrationPolicies = []string{
		"allowed-client-templates", "allowed-protocol-mappers", "client-disabled",
		"consent-required", "max-clients", "registration-web-origins", "scope", "trusted-hosts",
	}
)

// urlSettings are the settings of an identity provider that must be URLs.
var urlSettings = []string{"authorizationUrl", "tokenUrl", "logoutUrl", "userInfoUrl", "jwksUrl"}

// checkLDAP checks the settings of an LDAP user storage provider.
func (r *reader) checkLDAP(path *fieldPath, c Component) {
	path = path.field("config")
	mode := firstValue(c.Config["editMode"])
	switch {
	case !slices.Contains([]string{"READ_ONLY", "WRITABLE", "UNSYNCED"}, mode):
		r.report(path.key("editMode"), "%q: READ_ONLY, WRITABLE or UNSYNCED is expected", mode)
	case mode == "UNSYNCED" && firstValue(c.Config["importEnabled"]) == "false":
		r.report(path.key("editMode"), "UNSYNCED requires importEnabled")
	}
	for _, period := range []string{"fullSyncPeriod", "changedSyncPeriod"} {
		if values := c.Config[period]; len(values) > 0 {
			if _, err := strconv.Atoi(values[0]); err != nil {
				r.report(path.key(period), "a whole number is expected")
			}
		}
	}
}

// checkRegistrationPolicy checks a client registration policy.
func (r *reader) checkRegistrationPolicy(path *fieldPath, c Component, realm *Realm) {
	if !slices.Contains(registrationPolicies, c.ProviderID) {
		r.report(path, "Keycloak has no such policy %q", c.ProviderID)
	}
	settings := path.field("config")
	switch c.ProviderID {
	case "max-clients":
		if _, err := strconv.Atoi(firstValue(c.Config["max-clients"])); err != nil {
			r.report(settings.key("max-clients"), "a whole number is expected")
		}
	case "trusted-hosts":
		for _, name := range []string{"host-sending-registration-request-must-match",
			"client-uris-must-match"} {
			if len(c.Config[name]) == 0 {
				r.report(settings.key(name), "missing")
			}
			r.checkBool(path, c, name)
		}
	case "allowed-client-templates":
		for i, name := range c.Config["allowed-client-scopes"] {
			sameName := func(s Scope) bool { return s.Name == name }
			if !slices.ContainsFunc(realm.Scopes(), sameName) && name != "offline_access" &&
				!slices.Contains(samlScopes, name) {
				r.report(settings.key("allowed-client-scopes").item(i),
					"the realm has no client scope %s", name)
			}
		}
	}
}

// checkComponentIDs reports an ID that another component already has.
func (r *reader) checkComponentIDs(path *fieldPath, components map[string][]Component) {
	seen := map[string]bool{}
	for _, providerType := range sortedNames(components) {
		for i, c := range components[providerType] {
			path := path.key(providerType).item(i)
			if c.ID != "" && seen[c.ID] {
				r.report(path.field("id"), "%s is the id of another component already", c.ID)
			}
			seen[c.ID] = true
			r.checkComponentIDs(path.field("subComponents"), c.SubComponents)
		}
	}
}

// firstValue returns the first value of a component's setting, or "" if it isn't set.
func firstValue(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// checkIdentityProviders checks the identity providers, and drops their settings, which may contain
// secrets.
func (r *reader) checkIdentityProviders(realm *Realm) {
	var root *fieldPath
	var aliases []string
	for i, p := range realm.IdentityProviders {
		path := root.field("identityProviders").item(i)
		for field, isSet := range map[string]bool{
			"providerId": p.ProviderID != "", "config": len(p.Config) > 0,
			"firstBrokerLoginFlowAlias": p.FirstBrokerLoginFlow != "",
			"postBrokerLoginFlowAlias":  p.PostBrokerLoginFlow != "",
		} {
			if isSet {
				r.ignore(path.field(field).pattern())
			}
		}
		if !slices.Contains(identityProviders, p.ProviderID) {
			r.report(path.field("providerId"), "Keycloak has no identity provider %q", p.ProviderID)
		}
		if p.Alias != "" && slices.Contains(aliases, p.Alias) {
			r.report(path.field("alias"), "there is an identity provider %s already", p.Alias)
		}
		aliases = append(aliases, p.Alias)
		for _, alias := range []string{p.FirstBrokerLoginFlow, p.PostBrokerLoginFlow} {
			if alias != "" && !slices.Contains(builtinFlows, alias) &&
				!realm.hasFlow(func(f Flow) bool { return f.Alias == alias }) {
				r.report(path, "the file has no authentication flow %q", alias)
			}
		}
		for _, name := range urlSettings {
			if address := p.Config[name]; address != "" && !isJavaURL(address) {
				r.report(path.field("config").key(name), "%s: not a URL", address)
			}
		}
	}
	for i := range realm.IdentityProviders {
		realm.IdentityProviders[i].Config = nil // it contains secrets
	}
}

// isJavaURL reports whether Java's java.net.URL accepts an address, which needs a known scheme.
func isJavaURL(address string) bool {
	parsed, err := url.Parse(address)
	return err == nil &&
		slices.Contains([]string{"http", "https", "ftp", "file", "jar"},
			strings.ToLower(parsed.Scheme))
}
