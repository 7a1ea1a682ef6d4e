package keycloaktest

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

// takesAccess is takes for a mapper that is for access tokens alone: it writes nothing else, and a
// missing switch is on.
func (t target) takesAccess(config map[string]string) bool {
	switch value, set := config["introspection.token.claim"]; {
	case t == forLightweight:
		return config["lightweight.claim"] == "true"
	case t == forIntrospection && set:
		return value == "true"
	case t == forAccess || t == forIntrospection:
		value, set := config["access.token.claim"]
		return !set || value == "true"
	}
	return false
}
