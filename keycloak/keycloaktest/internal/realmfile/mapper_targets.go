package realmfile

// A target is where claims go: which of a mapper's switches decides.
type Target int

const (
	ForAccess Target = iota
	ForLightweight
	ForID
	ForUserinfo
	ForIntrospection
)

// Takes reports whether a mapper's claim goes to a target. Missing switches mean what Keycloak's
// OIDCAttributeMapperHelper says: userinfo follows the ID token, introspection the access token.
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

// TakesAccess is takes for a mapper that is for access tokens only: it writes nothing else, and a
// missing switch is on.
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
