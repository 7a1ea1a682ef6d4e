package realmfile

// A Target is a token or response that a mapper can add a claim to. A mapper's configuration has a
// switch for each target.
type Target int

const (
	TargetAccessToken Target = iota
	TargetLightweightToken
	TargetIDToken
	TargetUserinfo
	TargetIntrospection
)

// Includes reports whether a mapper with this configuration adds its claim to the target. As in
// Keycloak's OIDCAttributeMapperHelper, a missing switch for userinfo has the value of the switch
// for ID tokens, and a missing switch for introspection has the value of the switch for access
// tokens.
func (t Target) Includes(config map[string]string) bool {
	isOn := func(name, fallback string) bool {
		value, ok := config[name]
		if !ok && fallback != "" {
			value = config[fallback]
		}
		return value == "true"
	}
	switch t {
	case TargetAccessToken:
		return isOn("access.token.claim", "")
	case TargetLightweightToken:
		return isOn("lightweight.claim", "")
	case TargetIDToken:
		return isOn("id.token.claim", "")
	case TargetUserinfo:
		return isOn("userinfo.token.claim", "id.token.claim")
	default:
		return isOn("introspection.token.claim", "access.token.claim")
	}
}

// IncludesAccessOnly is like Includes, for a mapper that adds its claim only to access tokens and
// introspection responses. The switches of such a mapper are on by default.
func (t Target) IncludesAccessOnly(config map[string]string) bool {
	switch value, ok := config["introspection.token.claim"]; {
	case t == TargetLightweightToken:
		return config["lightweight.claim"] == "true"
	case t == TargetIntrospection && ok:
		return value == "true"
	case t == TargetAccessToken || t == TargetIntrospection:
		value, ok := config["access.token.claim"]
		return !ok || value == "true"
	}
	return false
}
