package keycloaktest

import (
	"encoding/json"
	"slices"
)

// Authorization services aren't done here: the grant for them is refused by name. A file's settings for them are looked at
// for what an import refuses.

type authorizationSettings struct {
	Policies []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"policies"`
}

// policyTypes are those that Keycloak 26.7.4 has (GET /admin/serverinfo). It had js until 18.
var policyTypes = []string{"aggregate", "client", "client-scope", "group", "regex", "resource", "role", "scope", "time", "uma", "user"}

// checkAuthorization refuses settings of a client's authorization services that an import refuses.
func (r *reader) checkAuthorization(at *place, c *clientRepresentation) {
	if !c.AuthorizationEnabled || len(c.Authorization) == 0 {
		return
	}
	var settings authorizationSettings
	if err := json.Unmarshal(c.Authorization, &settings); err != nil {
		r.problem(at.member("authorizationSettings"), "%v", err)
		return
	}
	for i, policy := range settings.Policies {
		if !slices.Contains(policyTypes, policy.Type) {
			r.problem(at.member("authorizationSettings").member("policies").item(i), "policy %s: Keycloak has no policies of the type %q", policy.Name, policy.Type)
		}
	}
}
