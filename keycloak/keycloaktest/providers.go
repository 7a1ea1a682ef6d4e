package keycloaktest

import (
	"net/url"
	"slices"
	"strings"
)

// Identity providers and other stores change nothing here that isn't refused by name. Their part of
// a file is looked at for what an import refuses.

type identityProvider struct {
	Alias          string            `json:"alias"`
	Enabled        *bool             `json:"enabled"`
	ProviderID     string            `json:"providerId"`
	FirstLoginFlow string            `json:"firstBrokerLoginFlowAlias"`
	AfterLoginFlow string            `json:"postBrokerLoginFlowAlias"`
	Config         map[string]string `json:"config"`
}

// These are Keycloak 26.7.4's own (GET /admin/serverinfo).
var (
	identityProviders = []string{
		"bitbucket", "facebook", "github", "gitlab", "google", "jwt-authorization-grant", "keycloak-oidc", "kubernetes", "linkedin-openid-connect",
		"microsoft", "oauth2", "oidc", "openshift-v4", "paypal", "saml", "stackoverflow", "twitter",
	}
	userStores       = []string{"ldap", "kerberos"}
	userStoreMappers = []string{
		"certificate-ldap-mapper", "full-name-ldap-mapper", "group-ldap-mapper", "hardcoded-attribute-mapper",
		"hardcoded-ldap-attribute-mapper", "hardcoded-ldap-group-mapper", "hardcoded-ldap-role-mapper", "kerberos-principal-attribute-mapper",
		"msad-lds-user-account-control-mapper", "msad-user-account-control-mapper", "role-ldap-mapper", "user-attribute-ldap-mapper",
	}
	registrationPolicies = []string{
		"allowed-client-templates", "allowed-protocol-mappers", "client-disabled", "consent-required", "max-clients", "registration-web-origins",
		"scope", "trusted-hosts",
	}
	providerURLs = []string{"authorizationUrl", "tokenUrl", "logoutUrl", "userInfoUrl", "jwksUrl"}
)

func (r *reader) checkIdentityProviders(file *realmRepresentation) {
	var top *place
	var aliases []string
	for i, p := range file.IdentityProviders {
		at := top.member("identityProviders").item(i)
		for member, said := range map[string]bool{
			"providerId": p.ProviderID != "", "config": len(p.Config) > 0,
			"firstBrokerLoginFlowAlias": p.FirstLoginFlow != "", "postBrokerLoginFlowAlias": p.AfterLoginFlow != "",
		} {
			if said {
				r.leftAside(at.member(member).general())
			}
		}
		if !slices.Contains(identityProviders, p.ProviderID) {
			r.problem(at.member("providerId"), "Keycloak has no identity provider %q", p.ProviderID)
		}
		if p.Alias != "" && slices.Contains(aliases, p.Alias) {
			r.problem(at.member("alias"), "there is an identity provider %s already", p.Alias)
		}
		aliases = append(aliases, p.Alias)
		for _, alias := range []string{p.FirstLoginFlow, p.AfterLoginFlow} {
			if alias != "" && !slices.Contains(builtinFlows, alias) && !file.hasFlow(func(f flowRepresentation) bool { return f.Alias == alias }) {
				r.problem(at, "the file has no authentication flow %q", alias)
			}
		}
		for _, name := range providerURLs {
			if address := p.Config[name]; address != "" && !hasScheme(address) {
				r.problem(at.member("config").key(name), "%s: not a URL", address)
			}
		}
	}
	for i := range file.IdentityProviders {
		file.IdentityProviders[i].Config = nil // there are secrets in it
	}
}

// hasScheme reports whether Java's URL reads an address.
func hasScheme(address string) bool {
	parsed, err := url.Parse(address)
	return err == nil && slices.Contains([]string{"http", "https", "ftp", "file", "jar"}, strings.ToLower(parsed.Scheme))
}
