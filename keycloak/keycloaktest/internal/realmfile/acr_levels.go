package realmfile

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Levels returns the levels of authentication in the attributes of a client or a realm, by name.
// An invalid map counts as none: Keycloak only logs a warning.
func Levels(attributes map[string]string) map[string]json.Number {
	var names map[string]json.Number
	if json.Unmarshal(unquoteNumbers(attributes["acr.loa.map"]), &names) != nil {
		return nil
	}
	return names
}

// unquoteNumbers converts {"gold":"2"} to {"gold":2}: Keycloak accepts both.
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

// checkRequiredLevels finds levels that a client requires and that aren't defined.
func (r *reader) checkRequiredLevels(at *path, c *Client, realm *Realm) {
	levels := Levels(c.Attributes)
	if len(levels) == 0 {
		levels = Levels(realm.Attributes)
	}
	for _, name := range []string{"default.acr.values", "minimum.acr.value"} {
		for _, level := range strings.Split(c.Attributes[name], "##") {
			_, err := strconv.Atoi(level)
			if _, known := levels[level]; level != "" && err != nil && !known {
				r.problem(at.field("attributes").key(name),
					"%s is no level of authentication of the client or the realm", level)
			}
		}
	}
}

// checkLevelMap checks the map of names to levels of authentication, which acr_values of a request
// refer to.
func (r *reader) checkLevelMap(at *path, attributes map[string]string) {
	document := attributes["acr.loa.map"]
	if document == "" {
		return
	}
	var names map[string]json.Number
	if err := json.Unmarshal(unquoteNumbers(document), &names); err != nil {
		r.problem(at.field("attributes").key("acr.loa.map"),
			"an object of names and numbers is expected")
	}
}
