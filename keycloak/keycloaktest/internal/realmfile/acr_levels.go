package realmfile

import (
	"encoding/json"
	"strconv"
	"strings"
)

// ACRLevels parses the attribute acr.loa.map of a client or a realm. It returns the levels of
// authentication by name, or nil if the map is invalid. Keycloak, too, ignores an invalid map; it
// logs a warning.
func ACRLevels(attributes map[string]string) map[string]int {
	var numbers map[string]json.Number
	if json.Unmarshal(unquoteNumbers(attributes["acr.loa.map"]), &numbers) != nil {
		return nil
	}
	levels := map[string]int{}
	for name, number := range numbers {
		level, err := number.Float64()
		if err != nil {
			return nil
		}
		levels[name] = int(level)
	}
	return levels
}

// unquoteNumbers converts a document such as {"gold":"2"} to {"gold":2}. Keycloak accepts both.
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
	converted, err := json.Marshal(values)
	if err != nil {
		return []byte(document)
	}
	return converted
}

// checkRequiredLevels reports the levels in a client's default.acr.values and minimum.acr.value
// that neither the client nor the realm defines.
func (r *reader) checkRequiredLevels(path *fieldPath, c *Client, realm *Realm) {
	levels := ACRLevels(c.Attributes)
	if len(levels) == 0 {
		levels = ACRLevels(realm.Attributes)
	}
	for _, name := range []string{"default.acr.values", "minimum.acr.value"} {
		for _, level := range strings.Split(c.Attributes[name], "##") {
			_, err := strconv.Atoi(level)
			if _, defined := levels[level]; level != "" && err != nil && !defined {
				r.report(path.field("attributes").key(name),
					"neither the client nor the realm has the level of authentication %s", level)
			}
		}
	}
}

// checkLevelMap checks the attribute acr.loa.map, which maps names to levels of authentication.
// Requests contain these names in acr_values.
func (r *reader) checkLevelMap(path *fieldPath, attributes map[string]string) {
	document := attributes["acr.loa.map"]
	if document == "" {
		return
	}
	var levels map[string]json.Number
	if err := json.Unmarshal(unquoteNumbers(document), &levels); err != nil {
		r.report(path.field("attributes").key("acr.loa.map"),
			"an object of names and numbers is expected")
	}
}
