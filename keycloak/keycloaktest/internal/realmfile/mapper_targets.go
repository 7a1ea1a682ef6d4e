package realmfile

// A Target is where a mapper's claims can go. The mapper has a switch for each target.
type Target int

const (
	ForAccess Target = iota
	ForLightweight
	ForID
	ForUserinfo
	ForIntrospection
)

// Includes reports whether a mapper with this configuration writes to the target. Defaults are
// those of Keycloak's OIDCAttributeMapperHelper: userinfo follows the ID token, introspection the
// access token.
func (t Target) Includes(config map[string]string) bool {
	on := func(name, fallback string) bool {
		value, set := config[name]
		if !set && fallback != "" {
			value = config[fallback]
		}
		return value == "true"
	}
	switch t {
	case ForAccess:
		return on("access.token.claim", "")
	case ForLightweight:
		return on("lightweight.claim", "")
	case ForID:
		return on("id.token.claim", "")
	case ForUserinfo:
		return on("userinfo.token.claim", "id.token.claim")
	default:
		return on("introspection.token.claim", "access.token.claim")
	}
}

// IncludesAccessOnly is Includes for a mapper that only writes to access tokens and introspection
// responses; there, a missing switch means on.
func (t Target) IncludesAccessOnly(config map[string]string) bool {
	switch value, set := config["introspection.token.claim"]; {
	case t == ForLightweight:
		return config["lightweight.claim"] == "true"
	case t == ForIntrospection && set:
		return value == "true"
	case t == ForAccess || t == ForIntrospection:
		value, set := config["access.token.claim"]
		return !set || value == "true"
	}
	return false
}
