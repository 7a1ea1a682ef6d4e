package keycloaktest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A target is where claims go: which of a mapper's switches decides.
type target int

const (
	forAccess target = iota
	forLightweight
	forID
	forUserinfo
	forIntrospection
)

// takes says whether a mapper's claim goes to a target. Missing switches mean what Keycloak's
// OIDCAttributeMapperHelper says: userinfo follows the ID token, introspection the access token.
func (t target) takes(config map[string]string) bool {
	on := func(name, fallback string) bool {
		value, set := config[name]
		if !set && fallback != "" {
			value = config[fallback]
		}
		return value == "true"
	}
	switch t {
	case forAccess:
		return on("access.token.claim", "")
	case forLightweight:
		return on("lightweight.claim", "")
	case forID:
		return on("id.token.claim", "")
	case forUserinfo:
		return on("userinfo.token.claim", "id.token.claim")
	default:
		return on("introspection.token.claim", "access.token.claim")
	}
}

// A mapping is one run of a grant's mappers.
type mapping struct {
	*grant
	into   claims
	target target
	roles  []*role // that the token may show
}

// mapperTypes are the protocol mappers that the stand-in has, by Keycloak's provider ids, in the order in
// which they run: those that change roles come before those that show them. A grant reads no other table, so
// a mapper that isn't here can't be answered wrongly.
var mapperTypes = []struct {
	id         string
	run        func(x *mapping, config map[string]string)
	tokensOnly bool // says nothing at the userinfo endpoint, whatever its switches
}{
	{"oidc-hardcoded-role-mapper", hardcodedRole, false},
	{"oidc-role-name-mapper", renameRole, false},
	{"oidc-audience-resolve-mapper", resolveAudience, true},
	{"oidc-audience-mapper", hardcodedAudience, true},
	{"oidc-sub-mapper", func(x *mapping, _ map[string]string) { x.into["sub"] = x.user.ID }, true},
	{"oidc-usermodel-realm-role-mapper", realmRoles, false},
	{"oidc-usermodel-client-role-mapper", clientRoles, false},
	{"oidc-group-membership-mapper", groupMembership, false},
	{"oidc-usermodel-attribute-mapper", userAttribute, false},
	{"oidc-usermodel-property-mapper", userProperty, false},
	{"oidc-full-name-mapper", fullName, false},
	{"oidc-address-mapper", address, false},
	{"oidc-hardcoded-claim-mapper", hardcodedClaim, false},
	{"oidc-usersessionmodel-note-mapper", sessionNote, true},
	{"oidc-acr-mapper", acr, true},
	{"oidc-allowed-origins-mapper", allowedOrigins, true},
	{"oidc-organization-membership-mapper", func(*mapping, map[string]string) {}, false}, // realms here have no organizations: organizationsEnabled is refused
}

// changesRoles says whether a mapper changes the roles that the others show: it has no switches.
func changesRoles(id string) bool {
	return id == "oidc-hardcoded-role-mapper" || id == "oidc-role-name-mapper"
}

func knownMapper(id string) bool {
	for _, t := range mapperTypes {
		if t.id == id {
			return true
		}
	}
	return false
}

// mapInto lets the grant's mappers write their claims.
func (g *grant) mapInto(into claims, target target) {
	x := &mapping{grant: g, into: into, target: target, roles: g.shownRoles()}
	mappers := g.mappers()
	for _, t := range mapperTypes {
		if t.tokensOnly && target == forUserinfo {
			continue
		}
		for _, m := range mappers {
			if m.ProtocolMapper != t.id {
				continue
			}
			// Keycloak resolves the audience whatever the switches say where a mapper has none (account-console's).
			if changesRoles(t.id) || target.takes(m.Config) || len(m.Config) == 0 && target == forAccess {
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
			path = path[strings.LastIndex(path, "/")+1:]
		}
		paths = append(paths, path)
	}
	x.put(cloneWith(config, "multivalued", "true"), paths)
}

func userAttribute(x *mapping, config map[string]string) {
	var values []any
	for _, value := range x.user.attribute(config["user.attribute"], config["aggregate.attrs"] == "true") {
		values = append(values, value)
	}
	x.put(config, values)
}

func userProperty(x *mapping, config map[string]string) {
	switch name := config["user.attribute"]; name {
	case "emailVerified":
		x.put(config, []any{strconv.FormatBool(x.user.EmailVerified)})
	case "enabled":
		x.put(config, []any{strconv.FormatBool(x.user.Enabled)})
	case "id":
		x.put(config, []any{x.user.ID})
	case "username", "email", "firstName", "lastName":
		userAttribute(x, config)
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
		"formatted": "formatted", "street": "street", "locality": "locality", "region": "region", "postal_code": "postal_code", "country": "country",
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
		x.put(config, []any{value})
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
		x.put(config, []any{value})
	}
}

// acr is the level of authentication, or the name that the client or the realm maps to it.
func acr(x *mapping, _ map[string]string) {
	level := "1"
	if x.part != nil {
		level = x.part.level
	}
	for _, attributes := range []map[string]string{x.client.Attributes, x.realm.settings.Attributes} {
		var names map[string]json.Number
		if json.Unmarshal(unquoteNumbers(attributes["acr.loa.map"]), &names) != nil {
			continue
		}
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

// unquoteNumbers makes {"gold":"2"} what {"gold":2} is: Keycloak takes both.
func unquoteNumbers(document string) []byte {
	var values map[string]any
	if json.Unmarshal([]byte(document), &values) != nil {
		return []byte(document)
	}
	for name, value := range values {
		if text, ok := value.(string); ok {
			values[name] = json.Number(text)
		}
	}
	out, err := json.Marshal(values)
	if err != nil {
		return []byte(document)
	}
	return out
}

func allowedOrigins(x *mapping, _ map[string]string) {
	if origins := x.realm.webOrigins(x.client); len(origins) > 0 {
		x.into["allowed-origins"] = origins
	}
}

// put writes values under the claim's name, in the type that the mapper names. Values that aren't of that
// type are left out.
func (x *mapping) put(config map[string]string, values []any) {
	var typed []any
	for _, value := range values {
		if converted, ok := convert(value, config["jsonType.label"]); ok {
			typed = append(typed, converted)
		}
	}
	path := splitClaim(config["claim.name"])
	if len(typed) == 0 || len(path) == 0 || len(path) == 1 && !mayWrite(path[0], typed[0]) {
		return
	}
	if path[0] == "aud" && len(path) == 1 {
		for _, value := range typed {
			if audience, ok := value.(string); ok {
				x.addAudience(audience)
			}
		}
		return
	}
	into := x.into
	for _, step := range path[:len(path)-1] {
		inner, ok := into[step].(claims)
		if !ok {
			inner = claims{}
			into[step] = inner
		}
		into = inner
	}
	last := path[len(path)-1]
	if config["multivalued"] != "true" {
		into[last] = typed[0]
		return
	}
	// Two mappers of one claim add to one list: microprofile-jwt and a group mapper share "groups".
	present, _ := into[last].([]any)
	for _, value := range typed {
		if !slices.ContainsFunc(present, func(p any) bool { return reflect.DeepEqual(p, value) }) {
			present = append(present, value)
		}
	}
	into[last] = present
}

// mayWrite says whether a mapper may write a claim: some are the server's alone, some of one type (observed,
// Keycloak 26.7.4).
func mayWrite(claim string, value any) bool {
	switch claim {
	case "iss", "exp", "iat", "jti", "typ", "nonce", "session_state", "acr", "scope":
		return false
	case "auth_time":
		_, ok := value.(int64)
		return ok
	case "email_verified":
		_, ok := value.(bool)
		return ok
	}
	return true
}

// splitClaim splits a.b.c, where a dot of a name is written as \.
func splitClaim(name string) []string {
	if name == "" {
		return nil
	}
	parts := strings.Split(strings.ReplaceAll(name, `\.`, "\x00"), ".")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, "\x00", ".")
	}
	return parts
}

func convert(value any, label string) (any, bool) {
	text, ok := value.(string)
	if !ok {
		return value, true
	}
	if text == "" {
		return nil, false
	}
	switch label {
	case "long", "int":
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case "boolean":
		return text == "true", true
	case "JSON":
		var document any
		return document, json.Unmarshal([]byte(text), &document) == nil
	}
	return text, true
}
