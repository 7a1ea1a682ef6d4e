package keycloaktest

import (
	"strconv"
	"strings"

	"github.com/cloakql/cloakql/keycloak/keycloaktest/internal/realmfile"
)

// A mapperRun is one run of a grant's protocol mappers.
type mapperRun struct {
	*grant
	claims claims
	target realmfile.Target
	roles  []*role // the roles that the token may contain
}

// mapperTypes lists the supported protocol mappers with Keycloak's provider IDs, in the order in
// which they run: mappers that change roles run before mappers that write roles to claims.
var mapperTypes = []struct {
	id              string
	apply           func(run *mapperRun, config map[string]string)
	tokensOnly      bool // has no effect on userinfo, even if enabled for it
	accessTokenOnly bool // affects only access tokens, and is enabled by default
}{
	{"oidc-hardcoded-role-mapper", addHardcodedRole, false, false},
	{"oidc-role-name-mapper", renameRole, false, false},
	{"oidc-audience-resolve-mapper", mapResolvedAudience, true, true},
	{"oidc-audience-mapper", mapAudience, true, false},
	{"oidc-sub-mapper", mapSubject, true, false},
	{"oidc-usermodel-realm-role-mapper", mapRealmRoles, false, false},
	{"oidc-usermodel-client-role-mapper", mapClientRoles, false, false},
	{"oidc-group-membership-mapper", mapGroups, false, false},
	{"oidc-usermodel-attribute-mapper", mapUserAttribute, false, false},
	{"oidc-usermodel-property-mapper", mapUserProperty, false, false},
	{"oidc-full-name-mapper", mapFullName, false, false},
	{"oidc-address-mapper", mapAddress, false, false},
	{"oidc-hardcoded-claim-mapper", mapHardcodedClaim, false, false},
	{"oidc-usersessionmodel-note-mapper", mapSessionNote, false, false},
	{"oidc-acr-mapper", mapACR, true, false},
	{"oidc-allowed-origins-mapper", mapAllowedOrigins, true, true},
	{realmfile.OrganizationMapper, mapOrganizations, false, false},
	{"oidc-organization-group-membership-mapper", mapOrganizationGroups, false, false},
}

// changesRoles reports whether a mapper changes the roles that other mappers see. Such a mapper
// applies to all tokens.
func changesRoles(id string) bool {
	return id == "oidc-hardcoded-role-mapper" || id == "oidc-role-name-mapper"
}

// applyMappers runs the grant's protocol mappers, which add their claims to out.
func (g *grant) applyMappers(out claims, target realmfile.Target) {
	run := &mapperRun{grant: g, claims: out, target: target, roles: g.rolesInScope()}
	mappers := g.mappers(target)
	for _, mapperType := range mapperTypes {
		if mapperType.tokensOnly && target == realmfile.TargetUserinfo {
			continue
		}
		for _, mapper := range mappers {
			if mapper.ProtocolMapper != mapperType.id {
				continue
			}
			applies := target.Includes(mapper.Config)
			if mapperType.accessTokenOnly {
				applies = target.IncludesAccessOnly(mapper.Config)
			}
			if changesRoles(mapperType.id) || applies {
				mapperType.apply(run, mapper.Config)
			}
		}
	}
}

func mapSubject(run *mapperRun, _ map[string]string) { run.claims["sub"] = run.user.ID }

func mapGroups(run *mapperRun, config map[string]string) {
	var paths []any
	for _, g := range run.user.groups {
		path := g.path
		if config["full.path"] != "true" {
			path = g.name
		}
		paths = append(paths, path)
	}
	run.setNonEmptyValues(cloneWith(config, "multivalued", "true"), paths)
}

func mapUserAttribute(run *mapperRun, config map[string]string) {
	var values []any
	for _, value := range run.user.attribute(config["user.attribute"],
		config["aggregate.attrs"] == "true") {
		values = append(values, value)
	}
	run.setNonEmptyValues(config, values)
}

func mapUserProperty(run *mapperRun, config map[string]string) {
	switch name := config["user.attribute"]; name {
	case "emailVerified":
		run.setSingleValue(config, strconv.FormatBool(run.user.EmailVerified))
	case "enabled":
		run.setSingleValue(config, strconv.FormatBool(run.user.Enabled))
	case "id":
		run.setSingleValue(config, run.user.ID)
	case "username", "email", "firstName", "lastName":
		mapUserAttribute(run, cloneWith(config, "multivalued", "false"))
	}
}

func mapFullName(run *mapperRun, _ map[string]string) {
	var names []string
	for _, name := range []string{run.user.FirstName, run.user.LastName} {
		if name != "" {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		run.claims["name"] = strings.Join(names, " ")
	}
}

func mapAddress(run *mapperRun, config map[string]string) {
	out := claims{}
	for claim, fallback := range map[string]string{
		"formatted": "formatted", "street": "street", "locality": "locality", "region": "region",
		"postal_code": "postal_code", "country": "country",
	} {
		name := config["user.attribute."+claim]
		if name == "" {
			name = fallback
		}
		if values := run.user.attribute(name, false); len(values) > 0 {
			if claim == "street" {
				claim = "street_address"
			}
			out[claim] = values[0]
		}
	}
	if len(out) > 0 {
		run.claims["address"] = out
	}
}

func mapHardcodedClaim(run *mapperRun, config map[string]string) {
	if value, ok := config["claim.value"]; ok {
		run.setSingleValue(config, value)
	}
}

func mapSessionNote(run *mapperRun, config map[string]string) {
	name := config["user.session.note"]
	value := run.notes[name]
	if value == "" && run.session != nil {
		value = run.session.notes[name]
	}
	if name == "AUTH_TIME" && run.session != nil && !run.session.authTime.IsZero() {
		value = strconv.FormatInt(run.session.authTime.Unix(), 10)
	}
	if value != "" {
		run.setSingleValue(config, value)
	}
}

// mapACR sets acr to the name of the level of authentication, or to its number if it has no name.
func mapACR(run *mapperRun, _ map[string]string) {
	level, requested := 1, acrRequest{}
	if run.clientSession != nil {
		level, requested = run.clientSession.loa, run.clientSession.acr
	}
	run.claims["acr"] = requested.acrOf(level, run.realm.acrLevels(run.client))
}

func mapAllowedOrigins(run *mapperRun, _ map[string]string) {
	if origins := run.realm.webOrigins(run.client); len(origins) > 0 {
		run.claims["allowed-origins"] = origins
	}
}
