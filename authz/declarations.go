package authz

import (
	"fmt"
	"slices"
	"strings"
)

// readDeclarations reads the names that the schema declares with @roles, @scopes and @groups.
func (c *compiler) readDeclarations() {
	c.forbidGuards("the schema", c.schema.SchemaDirectives)
	for _, directive := range c.schema.SchemaDirectives {
		name := c.names[directive.Name]
		if name != "roles" && name != "scopes" && name != "groups" {
			continue
		}
		args, err := directiveArguments(directive, definitions[name])
		if err != nil {
			c.failf("the schema's @%s %w", directive.Name, err)
			continue
		}
		d := &c.declared
		switch name {
		case "scopes":
			d.scopes = declare(d.scopes, args["names"])
		case "groups":
			d.groups = declare(d.groups, args["paths"])
		case "roles":
			if realm, ok := args["realm"]; ok {
				d.realmRoles = declare(d.realmRoles, realm)
			}
			client, _ := args["client"].(string)
			roles, ok := args["clientRoles"]
			if (client == "") == ok {
				c.failf("the schema's @%s needs client and clientRoles together", directive.Name)
			}
			if client != "" {
				if d.clientRoles == nil {
					d.clientRoles = map[string][]string{}
				}
				d.clientRoles[client] = declare(d.clientRoles[client], roles)
			}
		}
	}
}

// declare returns names followed by the names in list. The result is never nil: an empty list
// declares that no name is allowed.
func declare(names []string, list any) []string {
	return append(append([]string{}, names...), toStrings(list)...)
}

// declaredNames are the names that a schema declares with @roles, @scopes and @groups. If a list is
// nil, the schema declares no names of this kind, and any name is allowed.
type declaredNames struct {
	realmRoles, scopes, groups []string
	clientRoles                map[string][]string // by client ID
}

// checkRoles returns an error if one of the roles isn't declared. The roles are those of client or,
// if client is empty, those of the realm.
func (d *declaredNames) checkRoles(client string, roles []string) error {
	if client == "" {
		return checkDeclared("role", "@roles(realm:)", d.realmRoles, roles)
	}
	declared, ok := d.clientRoles[client]
	if !ok && d.clientRoles != nil {
		return fmt.Errorf("names the client %q, which isn't declared in @roles(client:)", client)
	}
	return checkDeclared("role", "@roles(clientRoles:)", declared, roles)
}

func (d *declaredNames) checkScopes(scopes []string) error {
	return checkDeclared("scope", "@scopes", d.scopes, scopes)
}

func (d *declaredNames) checkGroups(groups []string) error {
	return checkDeclared("group", "@groups", d.groups, groups)
}

// checkDeclared returns an error if declared isn't nil and lacks one of the names.
func checkDeclared(kind, directive string, declared, names []string) error {
	for _, name := range names {
		if declared != nil && !slices.Contains(declared, name) {
			return fmt.Errorf("names the %s %q, which isn't declared in %s; declared: %s", kind,
				name, directive, quoteNames(declared))
		}
	}
	return nil
}

// quoteNames returns names in quotation marks, separated by commas, or "nothing".
func quoteNames(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return `"` + strings.Join(names, `", "`) + `"`
}
