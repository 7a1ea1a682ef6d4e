package keycloaktest

import (
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A mapping is one run of a grant's mappers.
type mapping struct {
	*grant
	into   claims
	target realmfile.Target
	roles  []*role // that the token may show
}

// mapperTypes are the protocol mappers that the stand-in has, by Keycloak's provider ids, in the
// order in which they run: those that change roles come before those that show them. A grant reads
// no other table, so a mapper that isn't here can't be answered wrongly.
var mapperTypes = []struct {
	id         string
	run        func(x *mapping, config map[string]string)
	tokensOnly bool // says nothing at the userinfo endpoint, whatever its switches
	accessOnly bool // is for access tokens alone, and on where it has no switch
}{
	{"oidc-hardcoded-role-mapper", hardcodedRole, false, false},
	{"oidc-role-name-mapper", renameRole, false, false},
	{"oidc-audience-resolve-mapper", resolveAudience, true, true},
	{"oidc-audience-mapper", hardcodedAudience, true, false},
	{"oidc-sub-mapper", func(x *mapping, _ map[string]string) { x.into["sub"] = x.user.ID }, true, false},
	{"oidc-usermodel-realm-role-mapper", realmRoles, false, false},
	{"oidc-usermodel-client-role-mapper", clientRoles, false, false},
	{"oidc-group-membership-mapper", groupMembership, false, false},
	{"oidc-usermodel-attribute-mapper", userAttribute, false, false},
	{"oidc-usermodel-property-mapper", userProperty, false, false},
	{"oidc-full-name-mapper", fullName, false, false},
	{"oidc-address-mapper", address, false, false},
	{"oidc-hardcoded-claim-mapper", hardcodedClaim, false, false},
	{"oidc-usersessionmodel-note-mapper", sessionNote, true, false},
	{"oidc-acr-mapper", acr, true, false},
	{"oidc-allowed-origins-mapper", allowedOrigins, true, true},
	{"oidc-organization-membership-mapper", func(*mapping, map[string]string) {}, false, false}, // realms here have no organizations: organizationsEnabled is refused
}

// changesRoles reports whether a mapper changes the roles that the others show: it has no switches.
func changesRoles(id string) bool {
	return id == "oidc-hardcoded-role-mapper" || id == "oidc-role-name-mapper"
}

// mapInto lets the grant's mappers write their claims.
func (g *grant) mapInto(into claims, target realmfile.Target) {
	x := &mapping{grant: g, into: into, target: target, roles: g.shownRoles()}
	mappers := g.mappers(target)
	for _, t := range mapperTypes {
		if t.tokensOnly && target == realmfile.ForUserinfo {
			continue
		}
		for _, m := range mappers {
			if m.ProtocolMapper != t.id {
				continue
			}
			takes := target.Includes(m.Config)
			if t.accessOnly {
				takes = target.IncludesAccessOnly(m.Config)
			}
			if changesRoles(t.id) || takes {
				t.run(x, m.Config)
			}
		}
	}
}

func groupMembership(x *mapping, config map[string]string) {
	var paths []any
	for _, g := range x.user.groups {
		path := g.path
		if config["full.path"] != "true" {
			path = g.name
		}
		paths = append(paths, path)
	}
	x.put(cloneWith(config, "multivalued", "true"), paths)
}

func userAttribute(x *mapping, config map[string]string) {
	var values []any
	for _, value := range x.user.attribute(config["user.attribute"],
		config["aggregate.attrs"] == "true") {
		values = append(values, value)
	}
	x.put(config, values)
}

func userProperty(x *mapping, config map[string]string) {
	switch name := config["user.attribute"]; name {
	case "emailVerified":
		x.putOne(config, strconv.FormatBool(x.user.EmailVerified))
	case "enabled":
		x.putOne(config, strconv.FormatBool(x.user.Enabled))
	case "id":
		x.putOne(config, x.user.ID)
	case "username", "email", "firstName", "lastName":
		userAttribute(x, cloneWith(config, "multivalued", "false"))
	}
}

func fullName(x *mapping, _ map[string]string) {
	var names []string
	for _, name := range []string{x.user.FirstName, x.user.LastName} {
		if name != "" {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		x.into["name"] = strings.Join(names, " ")
	}
}

func address(x *mapping, config map[string]string) {
	out := claims{}
	for claim, fallback := range map[string]string{
		"formatted": "formatted", "street": "street", "locality": "locality", "region": "region",
		"postal_code": "postal_code", "country": "country",
	} {
		name := config["user.attribute."+claim]
		if name == "" {
			name = fallback
		}
		if values := x.user.attribute(name, false); len(values) > 0 {
			if claim == "street" {
				claim = "street_address"
			}
			out[claim] = values[0]
		}
	}
	if len(out) > 0 {
		x.into["address"] = out
	}
}

func hardcodedClaim(x *mapping, config map[string]string) {
	if value, set := config["claim.value"]; set {
		x.putOne(config, value)
	}
}

func sessionNote(x *mapping, config map[string]string) {
	name := config["user.session.note"]
	value := x.notes[name]
	if value == "" && x.session != nil {
		value = x.session.notes[name]
	}
	if name == "AUTH_TIME" && x.session != nil && !x.session.authTime.IsZero() {
		value = strconv.FormatInt(x.session.authTime.Unix(), 10)
	}
	if value != "" {
		x.putOne(config, value)
	}
}

// acr is the level of authentication, or the name that the client or the realm maps to it.
func acr(x *mapping, _ map[string]string) {
	level := "1"
	if x.part != nil {
		level = x.part.level
	}
	for _, attributes := range []map[string]string{x.client.Attributes,
		x.realm.settings.Attributes} {
		names := realmfile.Levels(attributes)
		for name, value := range names {
			if value.String() == level {
				x.into["acr"] = name
				return
			}
		}
		if len(names) > 0 {
			break
		}
	}
	x.into["acr"] = level
}

func allowedOrigins(x *mapping, _ map[string]string) {
	if origins := x.realm.webOrigins(x.client); len(origins) > 0 {
		x.into["allowed-origins"] = origins
	}
}
