package realmfile

import (
	"encoding/json"
	"slices"
)

// The fake Keycloak doesn't support authorization services, and rejects requests with their grant
// type. It only checks that Keycloak's import would accept their settings.

type authorizationSettings struct {
	Resources []struct{ Name string }
	Scopes    []struct{ Name string }
	Policies  []authorizationPolicy
	Mode      string `json:"policyEnforcementMode"`
}

type authorizationPolicy struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"`
	Config map[string]string `json:"config"`
}

var (
	// policyTypes are the policy types of Keycloak 26.7.4 (GET /admin/serverinfo). Releases before
	// 18 also had the policy type js.
	policyTypes = []string{"aggregate", "client", "client-scope", "group", "regex", "resource",
		"role", "scope", "time", "uma", "user"}
	enforcementModes = []string{"", "ENFORCING", "PERMISSIVE", "DISABLED"}
)

// checkAuthorization checks a client's settings for authorization services, even if the client
// doesn't enable them.
func (r *reader) checkAuthorization(path *fieldPath, c *Client, realm *Realm) {
	if len(c.Authorization) == 0 {
		return
	}
	path = path.field("authorizationSettings")
	var fields map[string]json.RawMessage
	var settings authorizationSettings
	if json.Unmarshal(c.Authorization, &fields) != nil ||
		json.Unmarshal(c.Authorization, &settings) != nil {
		r.report(path, "can't be read")
		return
	}
	for name := range fields {
		if !slices.Contains([]string{
			"id", "clientId", "name", "allowRemoteResourceManagement", "policyEnforcementMode",
			"resources", "policies", "scopes", "decisionStrategy", "authorizationSchema",
		}, name) {
			r.report(path.field(name),
				"not a field of Keycloak's ResourceServerRepresentation")
		}
	}
	if !slices.Contains(enforcementModes, settings.Mode) {
		r.report(path.field("policyEnforcementMode"),
			"%s: ENFORCING, PERMISSIVE or DISABLED is expected", settings.Mode)
	}
	for i, policy := range settings.Policies {
		path := path.field("policies").item(i)
		if !slices.Contains(policyTypes, policy.Type) {
			r.report(path.field("type"), "policy %s: Keycloak has no policies of the type %q",
				policy.Name, policy.Type)
		}
		for name, exists := range map[string]func(string) bool{
			"applyPolicies": func(name string) bool {
				return slices.ContainsFunc(settings.Policies, func(p authorizationPolicy) bool {
					return p.Name == name
				})
			},
			"resources": func(name string) bool {
				return slices.ContainsFunc(settings.Resources, func(r struct{ Name string }) bool {
					return r.Name == name
				})
			},
			"scopes": func(name string) bool {
				return slices.ContainsFunc(settings.Scopes, func(s struct{ Name string }) bool {
					return s.Name == name
				})
			},
			"users": func(name string) bool {
				return slices.ContainsFunc(realm.Users, func(u User) bool {
					return u.Username == name
				})
			},
			"clients": func(name string) bool {
				return slices.ContainsFunc(realm.Clients, func(c Client) bool {
					return c.ClientID == name
				})
			},
		} {
			var names []string
			if json.Unmarshal([]byte(policy.Config[name]), &names) != nil {
				continue // roles and groups are objects; they needn't exist in the realm
			}
			for _, ref := range names {
				if !exists(ref) {
					r.report(path.field("config").key(name),
						"policy %s refers to %q, which doesn't exist", policy.Name, ref)
				}
			}
		}
	}
}
