package realmfile

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

type Organization struct {
	ID                string               `json:"id"`
	Name              string               `json:"name"`
	Alias             string               `json:"alias"` // absent: the name
	Enabled           *bool                `json:"enabled"`
	RedirectURL       string               `json:"redirectUrl"`
	Attributes        map[string][]string  `json:"attributes"`
	Domains           []OrganizationDomain `json:"domains"`
	Members           []OrganizationMember `json:"members"`
	Groups            []Group              `json:"groups"`
	IdentityProviders []IdentityProvider   `json:"identityProviders"`
}

type OrganizationDomain struct {
	Name string `json:"name"`
}

type OrganizationMember struct {
	Username string   `json:"username"`
	Groups   []string `json:"groups"` // IDs of groups of the organization
}

// OrganizationMapper is the protocol mapper that makes a client scope a scope for organizations.
const OrganizationMapper = "oidc-organization-membership-mapper"

func organizationRecord(group, user, provider *record) *record {
	domain := (&record{name: "OrganizationDomainRepresentation"}).withFields(
		decodes(stringType, "name"), ignores(boolType, "verified"))
	member := (&record{name: "MemberRepresentation", nameRule: nameRequired,
		nameField: "username"}).withFields(
		decodes(stringType, "username"), decodes(stringList, "groups"),
		ignores(oneOf("MANAGED", "UNMANAGED"), "membershipType"))
	for name, f := range user.fields {
		if _, ok := member.fields[name]; !ok {
			f.disposition = dispositionIgnore
			member.fields[name] = f
		}
	}
	return (&record{name: "OrganizationRepresentation"}).withFields(
		decodes(stringType, "id name alias redirectUrl"), decodes(boolType, "enabled"),
		decodes(stringLists, "attributes"), decodes(listOf(object(domain)), "domains"),
		decodes(listOf(object(member)), "members"), decodes(listOf(object(group)), "groups"),
		decodes(listOf(object(provider)), "identityProviders"),
		ignores(stringType, "description"))
}

// domainPattern matches the domains of organizations.
var domainPattern = regexp.MustCompile(`^(\*\.)?[\pL\pN-]+(\.[\pL\pN-]+)*$`)

// checkOrganizations checks the realm's organizations, and sets the aliases that the file omits.
func (r *reader) checkOrganizations(realm *Realm) {
	path := (*fieldPath)(nil).field("organizations")
	checkName := r.newRequiredNameCheck(path, "name")
	checkAlias, checkID := r.newNameCheck(path, "alias"), r.newNameCheck(path, "id")
	domains := map[string]bool{}
	for i := range realm.Organizations {
		o, path := &realm.Organizations[i], path.item(i)
		checkName(i, o.Name)
		if o.Alias == "" {
			o.Alias = o.Name
			if strings.ContainsFunc(o.Name, unicode.IsSpace) {
				r.report(path.field("alias"), "missing, and the name can't be the alias, because "+
					"it has a space")
			}
		}
		checkAlias(i, o.Alias)
		if o.ID != "" {
			checkID(i, o.ID)
		}
		for j, d := range o.Domains {
			name := strings.ToLower(d.Name)
			switch {
			case !domainPattern.MatchString(name):
				r.report(path.field("domains").item(j).field("name"), "%q isn't a domain", d.Name)
			case domains[name]:
				r.report(path.field("domains").item(j).field("name"),
					"another organization has the domain %s", d.Name)
			}
			domains[name] = true
		}
		if address, err := url.Parse(o.RedirectURL); err != nil ||
			o.RedirectURL != "" && !address.IsAbs() {
			r.report(path.field("redirectUrl"), "%q isn't an absolute URL", o.RedirectURL)
		}
		for j, p := range o.IdentityProviders {
			if !slices.ContainsFunc(realm.IdentityProviders, func(other IdentityProvider) bool {
				return other.Alias == p.Alias
			}) {
				r.report(path.field("identityProviders").item(j),
					"the realm has no identity provider %q", p.Alias)
			}
		}
		r.checkGroups(path.field("groups"), o.Groups)
		r.checkMembers(path.field("members"), realm, *o)
	}
}

// checkMembers reports members of an organization who aren't users of the realm, or who are in
// groups that the organization doesn't have.
func (r *reader) checkMembers(path *fieldPath, realm *Realm, o Organization) {
	groupIDs := map[string]bool{}
	var addGroups func(groups []Group)
	addGroups = func(groups []Group) {
		for _, g := range groups {
			groupIDs[g.ID] = true
			addGroups(g.SubGroups)
		}
	}
	addGroups(o.Groups)
	for i, m := range o.Members {
		if !slices.ContainsFunc(realm.Users, func(u User) bool {
			return strings.EqualFold(u.Username, m.Username)
		}) {
			r.report(path, "the realm has no user %q", m.Username)
		}
		for j, id := range m.Groups {
			if id == "" || !groupIDs[id] {
				r.report(path.item(i).field("groups").item(j),
					"the organization has no group with the id %q", id)
			}
		}
	}
}

// hasOrganizations reports whether the realm has organizations and uses them.
func (realm *Realm) hasOrganizations() bool {
	return realm.OrganizationsEnabled && len(realm.Organizations) > 0
}

// hasOrganizationProviders reports whether users of an organization may sign in with an identity
// provider.
func (realm *Realm) hasOrganizationProviders() bool {
	return slices.ContainsFunc(realm.Organizations, func(o Organization) bool {
		return len(o.IdentityProviders) > 0
	})
}
